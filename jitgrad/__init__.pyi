"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
from collections.abc import Sequence
from typing import Any
from typing import overload
from jitgrad.autograd.graph import Tensors
from jitgrad.types.device import DeviceLike
from jitgrad import accelerator as accelerator
from jitgrad import autograd as autograd
from jitgrad import backends as backends
from jitgrad import cuda as cuda
from jitgrad import distributions as distributions
from jitgrad import func as func
from jitgrad import linalg as linalg
from jitgrad import nn as nn
from jitgrad import optim as optim
from jitgrad import random as random
from jitgrad import return_types as return_types
from jitgrad import special as special
from jitgrad import testing as testing
from jitgrad import utils as utils
from jitgrad.autograd.anomaly_mode import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from jitgrad.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from jitgrad.autograd.modes import enable_grad as enable_grad
from jitgrad.autograd.modes import inference_mode as inference_mode
from jitgrad.autograd.modes import is_grad_enabled as is_grad_enabled
from jitgrad.autograd.modes import is_inference_mode_enabled as is_inference_mode_enabled
from jitgrad.autograd.modes import no_grad as no_grad
from jitgrad.autograd.modes import set_grad_enabled as set_grad_enabled
from jitgrad.capture.compiled import compile as compile
from jitgrad.capture.compiled import interpret as interpret
from jitgrad.capture.derivative import grad as grad
from jitgrad.capture.derivative import value_and_grad as value_and_grad
from jitgrad.capture.jacobians import hessian as hessian
from jitgrad.capture.jacobians import hvp as hvp
from jitgrad.capture.jacobians import jacobian as jacobian
from jitgrad.capture.jacobians import value_and_jacobian as value_and_jacobian
from jitgrad.explain import cache_info as cache_info
from jitgrad.explain import clear_cache as clear_cache
from jitgrad.explain import explain as explain
from jitgrad.func.vmap import vmap as vmap
from jitgrad.memory.threads import get_num_threads as get_num_threads
from jitgrad.memory.threads import set_num_threads as set_num_threads
from jitgrad.operators.conversion import is_tensor as is_tensor
from jitgrad.operators.creation import arange as arange
from jitgrad.operators.creation import as_tensor as as_tensor
from jitgrad.operators.creation import asarray as asarray
from jitgrad.operators.creation import eye as eye
from jitgrad.operators.creation import from_numpy as from_numpy
from jitgrad.operators.creation import full as full
from jitgrad.operators.creation import full_like as full_like
from jitgrad.operators.creation import linspace as linspace
from jitgrad.operators.creation import logspace as logspace
from jitgrad.operators.creation import scalar_tensor as scalar_tensor
from jitgrad.operators.creation import tensor as tensor
from jitgrad.profiling import profile as profile
from jitgrad.random import Generator as Generator
from jitgrad.random import bernoulli as bernoulli
from jitgrad.random import get_rng_state as get_rng_state
from jitgrad.random import initial_seed as initial_seed
from jitgrad.random import manual_seed as manual_seed
from jitgrad.random import normal as normal
from jitgrad.random import rand as rand
from jitgrad.random import rand_like as rand_like
from jitgrad.random import randint as randint
from jitgrad.random import randint_like as randint_like
from jitgrad.random import randn as randn
from jitgrad.random import randn_like as randn_like
from jitgrad.random import randperm as randperm
from jitgrad.random import seed as seed
from jitgrad.random import set_rng_state as set_rng_state
from jitgrad.requests.schedule_cache import get_memory_limit as get_memory_limit
from jitgrad.requests.schedule_cache import set_memory_limit as set_memory_limit
from jitgrad.sampling import binomial as binomial
from jitgrad.sampling import multinomial as multinomial
from jitgrad.sampling import poisson as poisson
from jitgrad.tensors.formatting import set_printoptions as set_printoptions
from jitgrad.tensors.serialization import load as load
from jitgrad.tensors.serialization import save as save
from jitgrad.tensors.tensor import Size as Size
from jitgrad.tensors.tensor import Tensor as Tensor
from jitgrad.type_info import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from jitgrad.type_info import can_cast as can_cast
from jitgrad.type_info import finfo as finfo
from jitgrad.type_info import get_default_device as get_default_device
from jitgrad.type_info import get_float32_matmul_precision as get_float32_matmul_precision
from jitgrad.type_info import get_num_interop_threads as get_num_interop_threads
from jitgrad.type_info import iinfo as iinfo
from jitgrad.type_info import promote_types as promote_types
from jitgrad.type_info import result_type as result_type
from jitgrad.type_info import set_default_device as set_default_device
from jitgrad.type_info import set_default_tensor_type as set_default_tensor_type
from jitgrad.type_info import set_float32_matmul_precision as set_float32_matmul_precision
from jitgrad.type_info import set_flush_denormal as set_flush_denormal
from jitgrad.type_info import set_num_interop_threads as set_num_interop_threads
from jitgrad.type_info import typename as typename
from jitgrad.type_info import use_deterministic_algorithms as use_deterministic_algorithms
from jitgrad.types.device import device as device
from jitgrad.types.dtype import dtype as dtype
from jitgrad.types.dtype import get_default_dtype as get_default_dtype
from jitgrad.types.dtype import set_default_dtype as set_default_dtype
from jitgrad.types.memory_layout import layout as layout
from jitgrad.types.memory_layout import memory_format as memory_format

class BoolTensor(Tensor): ...
class ByteTensor(Tensor): ...
class CharTensor(Tensor): ...
class DoubleTensor(Tensor): ...
class FloatTensor(Tensor): ...
class IntTensor(Tensor): ...
class LongTensor(Tensor): ...
class ShortTensor(Tensor): ...
__version__: builtins.str
def abs(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """|x|; derivative 0 at 0 and at nan, element by element."""
def absolute(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """|x|; derivative 0 at 0 and at nan, element by element."""
def acos(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse cosine; derivative -inf at -1, 1, element by element."""
def acosh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic cosine; derivative inf at 1, element by element."""
def add(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input + alpha * other, element by element, with broadcasting and type promotion."""
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """beta * input + alpha * the sum of bmm(batch1, batch2)."""
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input + value * tensor1 / tensor2, in floating point."""
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input + value * tensor1 * tensor2."""
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """beta * input + alpha * mv(mat, vec)."""
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged: there are no complex numbers."""
def all(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """whether all are true, of bools; numbers other than 0 count as true.  Of uint8 the result is uint8."""
def allclose(input: Tensor, other: Tensor, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> builtins.bool:
    """Whether all elements are close, see isclose."""
def amax(input: Tensor, dim: builtins.int | Sequence[builtins.int] = (), keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] = (), keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the largest, nan if any is; ties share the gradient evenly."""
def amin(input: Tensor, dim: builtins.int | Sequence[builtins.int] = (), keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] = (), keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the smallest, nan if any is; ties share the gradient evenly."""
def aminmax(input: Tensor, *, dim: builtins.int | None = None, keepdim: builtins.bool = False, axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.aminmax:
    """(smallest, largest) of all elements or along `dim`."""
def angle(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """0 for positive numbers, pi for negative ones, nan for nan; its derivative is 0."""
def any(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """whether any is true, of bools; numbers other than 0 count as true.  Of uint8 the result is uint8."""
def arccos(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse cosine; derivative -inf at -1, 1, element by element."""
def arccosh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic cosine; derivative inf at 1, element by element."""
def arcsin(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse sine; derivative inf at -1, 1, element by element."""
def arcsinh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic sine, element by element."""
def arctan(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse tangent, element by element."""
def arctan2(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the angle of the point (b, a); derivative 0 at the origin, element by element, with broadcasting and type promotion."""
def arctanh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic tangent; derivative inf at -1, 1, element by element."""
def argmax(input: Tensor, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The position of the first largest element, of all or along `dim`."""
def argmin(input: Tensor, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The position of the first smallest element, of all or along `dim`."""
@overload
def argsort(input: Tensor, dim: builtins.int = -1, descending: builtins.bool = False, *, axis: builtins.int = -1) -> Tensor:
    """The positions that sort the elements along `dim`; equal elements stay in their order, nan is largest."""
@overload
def argsort(input: Tensor, *, stable: builtins.bool, dim: builtins.int = -1, descending: builtins.bool = False, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The positions that sort the elements along `dim`; equal elements stay in their order, nan is largest."""
def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that are not 0, a row each."""
def asin(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse sine; derivative inf at -1, 1, element by element."""
def asinh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic sine, element by element."""
def atan(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse tangent, element by element."""
def atan2(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the angle of the point (b, a); derivative 0 at the origin, element by element, with broadcasting and type promotion."""
def atanh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """inverse hyperbolic tangent; derivative inf at -1, 1, element by element."""
def atleast_1d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """0-d tensors with one dimension, others as they are."""
def atleast_2d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """The tensors with dimensions put in front until there are two."""
def atleast_3d(*tensors: Tensor | Sequence[Tensor]) -> Any:
    """Tensors with dimensions of length 1 added, as NumPy does, until there are three."""
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2)."""
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', pos_weight: Tensor | None = None) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without overflow; pos_weight multiplies the positive part."""
def bincount(input: Tensor, weights: Tensor | None = None, minlength: builtins.int = 0) -> Tensor:
    """How often each integer from 0 on comes, or the sum of the weights where it does."""
def bitwise_and(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a & b of integers or bools."""
def bitwise_left_shift(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a << b of integers; 0 where b is no position of a bit."""
def bitwise_not(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """~input of integers or bools."""
def bitwise_or(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a | b of integers or bools."""
def bitwise_right_shift(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a >> b of integers; the sign where b is no position of a bit."""
def bitwise_xor(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a ^ b of integers or bools."""
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the tensors, of two dimensions at most, as blocks on its diagonal."""
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The products of two batches of matrices."""
bool: dtype
def broadcast_shapes(*shapes: Any) -> Size:
    """The common shape of shapes."""
def broadcast_tensors(*tensors: Tensor) -> builtins.tuple[Tensor, ...]:
    """The tensors broadcast to their common shape."""
def broadcast_to(input: Tensor, size: builtins.int | Sequence[builtins.int]) -> Tensor:
    """The tensor broadcast to the shape `size`."""
def bucketize(input: Tensor | builtins.int | builtins.float, boundaries: Tensor, *, out_int32: builtins.bool = False, right: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Between which boundaries each value lies: searchsorted(boundaries, input)."""
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each."""
def cat(tensors: Sequence[Tensor], dim: builtins.int = 0, *, axis: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors one after the other along `dim`; of mixed dtypes in their common one."""
def cdist(x1: Tensor, x2: Tensor, p: builtins.float = 2.0, compute_mode: Any = 'use_mm_for_euclid_dist_if_necessary') -> Tensor:
    """The p-norm of the difference of each row of x1 and each row of x2."""
def ceil(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the smallest integer not below x, element by element."""
def celu(input: Tensor, alpha: builtins.float = 1.0) -> Tensor:
    """input where it is positive, alpha * (exp(input / alpha) - 1) elsewhere."""
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices."""
def cholesky(input: Tensor, upper: builtins.bool = False, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The Cholesky factor of symmetric positive definite matrices: lower triangular, or upper."""
def cholesky_inverse(input: Tensor, upper: builtins.bool = False, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of A, given its Cholesky factor: A = input @ input.T, or input.T @ input if `upper`."""
def cholesky_solve(input: Tensor, input2: Tensor, upper: builtins.bool = False, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """X with A @ X = input, given A's Cholesky factor input2 = L: A = L @ L.T, or L.T @ L if `upper`."""
def chunk(input: Tensor, chunks: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """At most `chunks` parts of dimension `dim`, all but the last of one length."""
def clamp(input: Tensor, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """min(max(input, min), max); the gradient passes where min <= input <= max."""
def clamp_max(input: Tensor, max: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """min(input, max); the gradient passes where input <= max."""
def clamp_min(input: Tensor, min: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """max(input, min); the gradient passes where input >= min."""
def clip(input: Tensor, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """min(max(input, min), max); the gradient passes where min <= input <= max."""
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy that gradients pass through."""
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors side by side, vectors as columns."""
def combinations(input: Tensor, r: builtins.int = 2, with_replacement: builtins.bool = False) -> Tensor:
    """All combinations of r elements of a vector, a row each."""
def concat(tensors: Sequence[Tensor], dim: builtins.int = 0, *, axis: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors one after the other along `dim`; of mixed dtypes in their common one."""
def concatenate(tensors: Sequence[Tensor], dim: builtins.int = 0, *, axis: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors one after the other along `dim`; of mixed dtypes in their common one."""
def conj(input: Tensor) -> Tensor:
    """The tensor itself: there are no complex numbers."""
def conj_physical(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """A copy of the tensor: there are no complex numbers."""
contiguous_format: memory_format
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: builtins.int | Sequence[builtins.int] = 1, padding: builtins.int | Sequence[builtins.int] | builtins.str = 0, dilation: builtins.int | Sequence[builtins.int] = 1, groups: builtins.int = 1) -> Tensor:
    """The cross-correlation of (batch, channels, length) with (out_channels, channels / groups, kernel)."""
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: builtins.int | Sequence[builtins.int] = 1, padding: builtins.int | Sequence[builtins.int] | builtins.str = 0, dilation: builtins.int | Sequence[builtins.int] = 1, groups: builtins.int = 1) -> Tensor:
    """The cross-correlation of (batch, channels, height, width) with (out_channels, channels / groups, kernel height, width)."""
def copysign(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """|a| with the sign of b; derivative 0 at a = 0, element by element, with broadcasting and type promotion."""
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows, columns being observations."""
def cos(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """cosine, of radians, element by element."""
def cosh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """hyperbolic cosine, element by element."""
def cosine_similarity(x1: Tensor, x2: Tensor, dim: builtins.int = 1, eps: builtins.float = 1e-08, *, axis: builtins.int = 1) -> Tensor:
    """The cosine of the angle between vectors along dim; norms are kept above eps."""
def count_nonzero(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, *, axis: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
    """The number of elements that are not 0, of all or over `dim`."""
def cov(input: Tensor, *, correction: builtins.int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariances of the rows, columns being observations, weighted by how often they came and by what they count."""
def cross(input: Tensor, other: Tensor, dim: builtins.int | None = None, *, axis: builtins.int | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The vector product along `dim`, or the first dimension of length 3."""
@overload
def cummax(input: Tensor, dim: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.cummax:
    """(values, indices) of the largest element up to each along `dim`."""
@overload
def cummax(input: Tensor, *, axis: builtins.int, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.cummax:
    """(values, indices) of the largest element up to each along `dim`."""
@overload
def cummin(input: Tensor, dim: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.cummin:
    """(values, indices) of the smallest element up to each along `dim`."""
@overload
def cummin(input: Tensor, *, axis: builtins.int, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.cummin:
    """(values, indices) of the smallest element up to each along `dim`."""
@overload
def cumprod(input: Tensor, dim: builtins.int, *, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the product of the elements up to each along dim; of integers and bools in int64."""
@overload
def cumprod(input: Tensor, *, axis: builtins.int, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the product of the elements up to each along dim; of integers and bools in int64."""
@overload
def cumsum(input: Tensor, dim: builtins.int, *, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the sum of the elements up to each along dim; of integers and bools in int64."""
@overload
def cumsum(input: Tensor, *, axis: builtins.int, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the sum of the elements up to each along dim; of integers and bools in int64."""
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: builtins.int | builtins.float | None = None, dim: builtins.int = -1, axis: builtins.int = -1) -> Tensor:
    """The running integral of y along `dim` by the trapezoidal rule."""
default_generator: Generator
def deg2rad(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Degrees as radians."""
def det(input: Tensor) -> Tensor:
    """The determinants of square matrices; see linalg.det."""
def diag(input: Tensor, diagonal: builtins.int = 0, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The matrix with a vector on its diagonal, or a copy of a matrix's diagonal."""
def diag_embed(input: Tensor, offset: builtins.int = 0, dim1: builtins.int = -2, dim2: builtins.int = -1) -> Tensor:
    """Matrices, in dim1 and dim2, with the last dimension of input on their diagonal, zeros elsewhere."""
def diagflat(input: Tensor, offset: builtins.int = 0) -> Tensor:
    """The matrix with all elements of input on its diagonal."""
def diagonal(input: Tensor, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Tensor:
    """The diagonal of two dimensions, `offset` above the main one, as the last dimension."""
def diagonal_scatter(input: Tensor, src: Tensor, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Tensor:
    """input with its diagonal replaced by src."""
def diff(input: Tensor, n: builtins.int = 1, dim: builtins.int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The differences of neighbours along `dim`, n times."""
def digamma(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """derivative of lgamma; -inf at 0, nan at the other poles, element by element."""
def dist(input: Tensor, other: Tensor, p: builtins.int | builtins.float = 2) -> Tensor:
    """The p-norm of input - other."""
def div(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
def divide(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum of the products of two vectors' elements."""
double: dtype
@overload
def dsplit(input: Tensor, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 2."""
@overload
def dsplit(input: Tensor, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 2."""
def dstack(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors behind each other: along dimension 2."""
e: builtins.float
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Einstein's sum: products of the operands over all dimensions named in the equation, summed over those not after `->`."""
@overload
def empty(*size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of the given shape whose values are not to be relied on."""
@overload
def empty(size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of the given shape whose values are not to be relied on."""
def empty_like(input: Tensor, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """empty() of the shape and dtype of another tensor."""
def eq(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a == b, elementwise, element by element, with broadcasting and type promotion."""
def equal(input: Tensor, other: Tensor) -> builtins.bool:
    """Whether two tensors have the same shape and the same elements."""
def erf(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """error function, element by element."""
def erfc(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 - erf(x), accurate for large x, element by element."""
def erfinv(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of erf, element by element."""
def exp(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """e ** x, element by element."""
def exp2(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """2 ** x, element by element."""
def expm1(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """e ** x - 1, accurate near 0, element by element."""
def fix(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """x without its fraction, element by element."""
def flatten(input: Tensor, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
    """The dimensions from start_dim to end_dim as one."""
def flip(input: Tensor, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
    """The elements in reverse order along `dims`."""
def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
float: dtype
float32: dtype
float64: dtype
def float_power(input: Tensor | builtins.int | builtins.float, exponent: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input ** exponent, in float64."""
def floor(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the largest integer not above x, element by element."""
def floor_divide(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """floor(input / other).  Its derivative is not implemented: backward through it raises, as in PyTorch."""
def fmax(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the larger, nan if both are; a tie gives the gradient to a, element by element, with broadcasting and type promotion."""
def fmin(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the smaller, nan if both are; a tie gives the gradient to a, element by element, with broadcasting and type promotion."""
def fmod(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input - other * trunc(input / other): with the sign of input, as C's fmod."""
def frac(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """x - trunc(x), element by element."""
@overload
def gather(input: Tensor, dim: builtins.int, index: Tensor, *, sparse_grad: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
@overload
def gather(input: Tensor, *, axis: builtins.int, index: Tensor, sparse_grad: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
def ge(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a >= b, elementwise, element by element, with broadcasting and type promotion."""
def ger(input: Tensor, vec2: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """outer(input, vec2)."""
def greater(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a > b, elementwise, element by element, with broadcasting and type promotion."""
def greater_equal(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a >= b, elementwise, element by element, with broadcasting and type promotion."""
def gt(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a > b, elementwise, element by element, with broadcasting and type promotion."""
def heaviside(input: Tensor, values: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """0 below 0, `values` at 0, 1 above.  Its derivative is not implemented: backward through it raises, as in PyTorch."""
def histc(input: Tensor, bins: builtins.int = 100, min: builtins.int | builtins.float = 0, max: builtins.int | builtins.float = 0, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """How many elements are in each of `bins` equal parts of [min, max]; of the elements' own range if these are equal."""
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.histogram:
    """(hist, bin_edges): how many elements are between neighbouring edges, which are given, or as many equal parts of a range."""
@overload
def hsplit(input: Tensor, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 1, or 0 of a vector."""
@overload
def hsplit(input: Tensor, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 1, or 0 of a vector."""
def hstack(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors side by side: along dimension 1, or 0 for 1-d tensors."""
def hypot(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """sqrt(a * a + b * b), without overflow; derivative nan at the origin, element by element, with broadcasting and type promotion."""
@overload
def index_add(input: Tensor, dim: builtins.int, index: Tensor, source: Tensor, *, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with alpha times the parts of source added at the positions `index` of `dim`."""
@overload
def index_add(input: Tensor, *, axis: builtins.int, index: Tensor, source: Tensor, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with alpha times the parts of source added at the positions `index` of `dim`."""
@overload
def index_copy(input: Tensor, dim: builtins.int, index: Tensor, source: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the parts at the positions `index` of `dim` replaced by those of source."""
@overload
def index_copy(input: Tensor, *, axis: builtins.int, index: Tensor, source: Tensor, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the parts at the positions `index` of `dim` replaced by those of source."""
@overload
def index_fill(input: Tensor, dim: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
    """input with the parts at the positions `index` of `dim` replaced by a number."""
@overload
def index_fill(input: Tensor, *, axis: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
    """input with the parts at the positions `index` of `dim` replaced by a number."""
def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: builtins.bool = False) -> Tensor:
    """input with the elements at input[indices] replaced by values, or with values added (equal positions add up)."""
@overload
def index_reduce(input: Tensor, dim: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The parts written to each position of `dim`, reduced ("prod", "mean", "amax", "amin"), with what was there if include_self."""
@overload
def index_reduce(input: Tensor, *, axis: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, include_self: builtins.bool = True, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The parts written to each position of `dim`, reduced ("prod", "mean", "amax", "amin"), with what was there if include_self."""
@overload
def index_select(input: Tensor, dim: builtins.int, index: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
@overload
def index_select(input: Tensor, *, axis: builtins.int, index: Tensor, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
inf: builtins.float
def inner(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Products summed over the last dimension of both; of a 0-d tensor the product."""
int: dtype
int16: dtype
int32: dtype
int64: dtype
int8: dtype
def inverse(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of square matrices; see linalg.inv."""
def is_complex(input: Tensor) -> builtins.bool:
    """False: there are no complex tensors."""
def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether the dtype is float32 or float64."""
def is_inference(input: Tensor) -> builtins.bool:
    """False: tensors of inference_mode are not marked."""
def is_nonzero(input: Tensor) -> builtins.bool:
    """Whether the only element is not 0."""
def is_same_size(input: Tensor, other: Tensor) -> builtins.bool:
    """Whether two tensors have the same shape."""
def is_signed(input: Tensor) -> builtins.bool:
    """Whether the dtype has negative numbers."""
def isclose(input: Tensor, other: Tensor, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> Tensor:
    """|input - other| <= atol + rtol * |other|, element by element; equal infinities are close."""
def isfinite(input: Tensor) -> Tensor:
    """whether x is neither nan nor infinite, element by element."""
def isin(elements: Tensor | builtins.int | builtins.float, test_elements: Tensor | builtins.int | builtins.float, *, assume_unique: builtins.bool = False, invert: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Whether each element is among test_elements."""
def isinf(input: Tensor) -> Tensor:
    """whether x is inf or -inf, element by element."""
def isnan(input: Tensor) -> Tensor:
    """whether x is nan, element by element."""
def isneginf(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Whether an element is -inf."""
def isposinf(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Whether an element is inf."""
def isreal(input: Tensor) -> Tensor:
    """true for all elements: there are no complex numbers."""
def kron(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Kronecker's product: each element of input times all of other."""
def kthvalue(input: Tensor, k: builtins.int, dim: builtins.int = -1, keepdim: builtins.bool = False, *, axis: builtins.int = -1, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.kthvalue:
    """(values, indices) of the k-th smallest element along `dim`, k counted from 1."""
def ldexp(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input * 2 ** other."""
def le(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a <= b, elementwise, element by element, with broadcasting and type promotion."""
def lerp(input: Tensor, end: Tensor, weight: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input + weight * (end - input), exact at weight 0 and 1."""
def less(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a < b, elementwise, element by element, with broadcasting and type promotion."""
def less_equal(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a <= b, elementwise, element by element, with broadcasting and type promotion."""
def lgamma(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log |gamma(x)|, element by element."""
def log(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """natural logarithm, element by element."""
def log10(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """logarithm to base 10, element by element."""
def log1p(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(1 + x), accurate near 0, element by element."""
def log2(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """logarithm to base 2, element by element."""
@overload
def log_softmax(input: Tensor, dim: builtins.int | None, dtype: dtype | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
@overload
def log_softmax(input: Tensor, *, axis: builtins.int | None, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
def logaddexp(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(e ** a + e ** b), without overflow, element by element, with broadcasting and type promotion."""
def logaddexp2(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log2(2 ** input + 2 ** other), without overflow."""
@overload
def logcumsumexp(input: Tensor, dim: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(cumsum(exp(input))) along `dim`, without overflow."""
@overload
def logcumsumexp(input: Tensor, *, axis: builtins.int, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(cumsum(exp(input))) along `dim`, without overflow."""
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinants: nan where they are negative."""
def logical_and(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a and b, of bools; numbers other than 0 count as true."""
def logical_not(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """not input; numbers other than 0 count as true."""
def logical_or(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a or b, of bools; numbers other than 0 count as true."""
def logical_xor(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a or b but not both, of bools; numbers other than 0 count as true."""
def logit(input: Tensor, eps: builtins.float | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(x / (1 - x)), of x clamped to [eps, 1 - eps] if eps is given; no gradient passes where it was clamped."""
@overload
def logsumexp(input: Tensor, dim: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow."""
@overload
def logsumexp(input: Tensor, *, axis: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow."""
long: dtype
def lt(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a < b, elementwise, element by element, with broadcasting and type promotion."""
def masked_fill(input: Tensor, mask: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
    """input with `value`, a number or a 0-d tensor, where the bool tensor `mask` is true."""
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements where mask is true replaced by those of source, in order."""
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements where the bool tensor `mask` is true, 1-d; the two are broadcast."""
def matmul(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The matrix product: of vectors, matrices, or batches of matrices with broadcast batch dimensions."""
def matrix_power(input: Tensor, n: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The n-th power of square matrices, of the inverse for negative n."""
@overload
def max(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def max(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def max(input: Tensor, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.max:
    """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def max(input: Tensor, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.max:
    """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
def maximum(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the larger, nan if either is; a tie gives half of the gradient to each, element by element, with broadcasting and type promotion."""
def mean(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The mean over all elements or over `dim`, of floating-point tensors."""
@overload
def median(input: Tensor) -> Tensor:
    """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
@overload
def median(input: Tensor, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.median:
    """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
@overload
def median(input: Tensor, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.median:
    """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
def meshgrid(*tensors: Any, indexing: builtins.str = 'ij') -> builtins.tuple[Tensor, ...]:
    """The coordinates of all points of a grid, from those along each axis; indexing "xy": the first two exchanged, as NumPy does."""
@overload
def min(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def min(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def min(input: Tensor, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.min:
    """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
@overload
def min(input: Tensor, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.min:
    """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
def minimum(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """the smaller, nan if either is; a tie gives half of the gradient to each, element by element, with broadcasting and type promotion."""
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The product of two matrices."""
def mode(input: Tensor, dim: builtins.int = -1, keepdim: builtins.bool = False, *, axis: builtins.int = -1, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.mode:
    """(values, indices) of the most frequent element along `dim`, the smallest of several."""
def moveaxis(input: Tensor, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]) -> Tensor:
    """Dimensions `source` moved to the positions `destination`, the others in their order."""
def movedim(input: Tensor, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]) -> Tensor:
    """Dimensions `source` moved to the positions `destination`, the others in their order."""
def msort(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements sorted along the first dimension."""
def mul(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a * b, element by element, with broadcasting and type promotion."""
def multiply(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a * b, element by element, with broadcasting and type promotion."""
def mv(input: Tensor, vec: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The product of a matrix and a vector."""
def mvlgamma(input: Tensor, p: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
nan: builtins.float
def nan_to_num(input: Tensor, nan: builtins.float | None = None, posinf: builtins.float | None = None, neginf: builtins.float | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """nan replaced by `nan` (0), the infinities by `posinf` and `neginf` (the largest finite numbers)."""
def nanmean(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The mean over all elements or over `dim`, of those that are not nan."""
@overload
def nanmedian(input: Tensor) -> Tensor:
    """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
@overload
def nanmedian(input: Tensor, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.nanmedian:
    """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
@overload
def nanmedian(input: Tensor, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.nanmedian:
    """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
def nanquantile(input: Tensor, q: Tensor | builtins.int | builtins.float, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, interpolation: builtins.str = 'linear', axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The quantiles at the levels q (in [0, 1]) of all elements or along `dim`, nans left out."""
def nansum(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum over all elements or over `dim`, nans counting as 0."""
@overload
def narrow(input: Tensor, dim: builtins.int, start: Tensor | builtins.int, length: builtins.int) -> Tensor:
    """`length` positions of dimension `dim` from `start` on."""
@overload
def narrow(input: Tensor, *, axis: builtins.int, start: Tensor | builtins.int, length: builtins.int) -> Tensor:
    """`length` positions of dimension `dim` from `start` on."""
@overload
def narrow_copy(input: Tensor, dim: builtins.int, start: builtins.int, length: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """A copy of narrow()."""
@overload
def narrow_copy(input: Tensor, *, axis: builtins.int, start: builtins.int, length: builtins.int, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """A copy of narrow()."""
def ne(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a != b, elementwise, element by element, with broadcasting and type promotion."""
def neg(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """-x, element by element."""
def negative(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """-x, element by element."""
def nonzero(input: Tensor, *, as_tuple: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Any:
    """The positions of the elements that are not 0: a row each, or with as_tuple a tensor a dimension."""
def norm(input: Tensor, p: builtins.int | builtins.float | builtins.str | None = 'fro', dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The p-norm of the elements, of all or over `dim`; "fro" is 2."""
def not_equal(input: Tensor, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a != b, elementwise, element by element, with broadcasting and type promotion."""
def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
@overload
def ones(*size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of ones of the given shape."""
@overload
def ones(size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of ones of the given shape."""
def ones_like(input: Tensor, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """ones() of the shape and dtype of another tensor."""
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The products of all pairs of two vectors' elements."""
def permute(input: Tensor, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
    """Dimension i of the result is dimension dims[i]."""
pi: builtins.float
def pinverse(input: Tensor, rcond: builtins.float = 1e-15) -> Tensor:
    """The pseudo-inverse; singular values of at most rcond * the largest count as 0."""
def polygamma(n: builtins.int, input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The n-th derivative of digamma."""
def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself."""
def pow(input: Tensor | builtins.int | builtins.float, exponent: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input ** exponent; either may be a number."""
preserve_format: memory_format
def prod(input: Tensor, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The product of all elements or along `dim`; of integers and bools in int64."""
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: builtins.bool = False) -> Tensor:
    """input, as one dimension, with the elements at `index` replaced by those of source, or with those added."""
def qr(input: Tensor, some: builtins.bool = True, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.qr:
    """(Q, R) of input = Q @ R; some: with as many columns of Q as the smaller dimension."""
def quantile(input: Tensor, q: Tensor | builtins.int | builtins.float, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, interpolation: builtins.str = 'linear', axis: builtins.int | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The quantiles at the levels q (in [0, 1]) of all elements or along `dim`."""
def rad2deg(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Radians as degrees."""
def ravel(input: Tensor) -> Tensor:
    """All elements as one dimension."""
def real(input: Tensor) -> Tensor:
    """The tensor itself: there are no complex numbers."""
def reciprocal(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 / x, element by element."""
def relu(input: Tensor) -> Tensor:
    """max(x, 0); derivative 0 at 0, element by element."""
def remainder(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input - other * floor(input / other): with the sign of other, as Python's %."""
@overload
def renorm(input: Tensor, p: builtins.int | builtins.float, dim: builtins.int, maxnorm: builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Each part along `dim` scaled down to a p-norm of at most maxnorm."""
@overload
def renorm(input: Tensor, p: builtins.int | builtins.float, *, axis: builtins.int, maxnorm: builtins.int | builtins.float, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Each part along `dim` scaled down to a p-norm of at most maxnorm."""
@overload
def repeat_interleave(input: Tensor, repeats: Tensor | builtins.int, dim: builtins.int | None = None, *, output_size: builtins.int | None = None, axis: builtins.int | None = None) -> Tensor:
    """Each element (or part along `dim`) as often as `repeats` says."""
@overload
def repeat_interleave(repeats: Tensor, *, output_size: builtins.int | None = None) -> Tensor:
    """Each element (or part along `dim`) as often as `repeats` says."""
def reshape(input: Tensor, shape: builtins.int | Sequence[builtins.int]) -> Tensor:
    """The same elements in row-major order in another shape; a view where possible.  One length may be -1."""
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: there are no complex numbers."""
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: there are no complex numbers."""
def roll(input: Tensor, shifts: builtins.int | Sequence[builtins.int], dims: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
    """The elements moved by `shifts` along `dims`, those beyond the end put at the start."""
def rot90(input: Tensor, k: builtins.int = 1, dims: builtins.int | Sequence[builtins.int] = (0, 1)) -> Tensor:
    """Turned by k right angles in the plane of two dimensions."""
def round(input: Tensor, *, decimals: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The nearest integer, half to even, or the nearest multiple of 10 ** -decimals.  The derivative is 0."""
def row_stack(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """vstack()."""
def rsqrt(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 / sqrt(x), element by element."""
def rsub(input: Tensor, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
    """other - alpha * input."""
@overload
def scatter(input: Tensor, dim: builtins.int, index: Tensor, src: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, *, axis: builtins.int, index: Tensor, src: Tensor, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, dim: builtins.int, index: Tensor, src: Tensor, *, reduce: builtins.str, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float, *, reduce: builtins.str, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter(input: Tensor, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float, reduce: builtins.str, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
@overload
def scatter_add(input: Tensor, dim: builtins.int, index: Tensor, src: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements of src added at the positions `index` along `dim`; equal positions add up."""
@overload
def scatter_add(input: Tensor, *, axis: builtins.int, index: Tensor, src: Tensor, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input with the elements of src added at the positions `index` along `dim`; equal positions add up."""
@overload
def scatter_reduce(input: Tensor, dim: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """What is written to each place along `dim`, reduced (sum, prod, mean, amax, amin), with what was there if include_self."""
@overload
def scatter_reduce(input: Tensor, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, include_self: builtins.bool = True, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """What is written to each place along `dim`, reduced (sum, prod, mean, amax, amin), with what was there if include_self."""
def searchsorted(sorted_sequence: Tensor, input: Tensor | builtins.int | builtins.float, *, out_int32: builtins.bool = False, right: builtins.bool = False, side: builtins.str | None = None, sorter: Tensor | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Where in sorted rows each value belongs: before the elements equal to it, or behind them (right)."""
@overload
def select(input: Tensor, dim: builtins.int, index: builtins.int) -> Tensor:
    """The part at position `index` of dimension `dim`."""
@overload
def select(input: Tensor, *, axis: builtins.int, index: builtins.int) -> Tensor:
    """The part at position `index` of dimension `dim`."""
@overload
def select_scatter(input: Tensor, src: Tensor, dim: builtins.int, index: builtins.int) -> Tensor:
    """A copy with the part at a position of a dimension replaced by src."""
@overload
def select_scatter(input: Tensor, src: Tensor, *, axis: builtins.int, index: builtins.int) -> Tensor:
    """A copy with the part at a position of a dimension replaced by src."""
def selu(input: Tensor) -> Tensor:
    """elu with the fixed scale and alpha of self-normalizing networks (Klambauer et al. 2017)."""
def sgn(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """-1, 0 or 1; 0 for nan, element by element."""
short: dtype
def sigmoid(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 / (1 + e ** -x), element by element."""
def sign(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """-1, 0 or 1; 0 for nan, element by element."""
def signbit(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Whether the sign bit is set: of -0.0, too."""
def sin(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """sine, of radians, element by element."""
def sinc(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
def sinh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """hyperbolic sine, element by element."""
def slice_scatter(input: Tensor, src: Tensor, dim: builtins.int = 0, start: builtins.int | None = None, end: builtins.int | None = None, step: builtins.int = 1, *, axis: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """A copy with a slice of a dimension replaced by src."""
def slogdet(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.slogdet:
    """(sign, log |det|) of square matrices."""
@overload
def softmax(input: Tensor, dim: builtins.int | None, dtype: dtype | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """exp(input), divided by its sum along `dim`."""
@overload
def softmax(input: Tensor, *, axis: builtins.int | None, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """exp(input), divided by its sum along `dim`."""
@overload
def sort(input: Tensor, dim: builtins.int = -1, descending: builtins.bool = False, *, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.sort:
    """(values, indices) sorted along `dim`; equal elements stay in their order, nan is largest."""
@overload
def sort(input: Tensor, *, stable: builtins.bool | None, dim: builtins.int = -1, descending: builtins.bool = False, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.sort:
    """(values, indices) sorted along `dim`; equal elements stay in their order, nan is largest."""
def split(tensor: Tensor, split_size_or_sections: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """The parts of dimension `dim`: of one length (the last may be shorter), or of the given lengths."""
def split_with_sizes(input: Tensor, split_sizes: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """The parts of dimension `dim` of the given lengths."""
def sqrt(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """square root; derivative inf at 0, element by element."""
def square(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input * input."""
def squeeze(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, *, axis: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
    """The tensor without its dimensions of length 1, or without those among `dim`."""
def stack(tensors: Sequence[Tensor], dim: builtins.int = 0, *, axis: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors, of one shape, along a new dimension `dim`."""
def std(input: Tensor, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The square root of the variance; the derivative is 0 where it is 0."""
def std_mean(input: Tensor, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False) -> builtins.tuple[Tensor, Tensor]:
    """(standard deviation, mean)."""
strided: layout
def sub(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input - alpha * other, element by element, with broadcasting and type promotion."""
def subtract(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input - alpha * other, element by element, with broadcasting and type promotion."""
def sum(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum over all elements or over `dim`; of integers and bools in int64."""
def svd(input: Tensor, some: builtins.bool = True, compute_uv: builtins.bool = True, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.svd:
    """(U, S, V) with input = U @ diag(S) @ V.T; some: with as many columns as singular values."""
def swapaxes(input: Tensor, axis0: builtins.int, axis1: builtins.int) -> Tensor:
    """Two dimensions exchanged."""
def swapdims(input: Tensor, dim0: builtins.int, dim1: builtins.int) -> Tensor:
    """Two dimensions exchanged."""
def t(input: Tensor) -> Tensor:
    """The transpose of a tensor of at most two dimensions."""
def take(input: Tensor, index: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements of input, as one dimension, at the positions `index`."""
def take_along_dim(input: Tensor, indices: Tensor, dim: builtins.int | None = None, *, axis: builtins.int | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """gather(), the other dimensions broadcast, positions beyond `dim` counted on from its other end; without `dim` of the"""
def tan(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """tangent, of radians, element by element."""
def tanh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """hyperbolic tangent, element by element."""
@overload
def tensor_split(input: Tensor, sections: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
@overload
def tensor_split(input: Tensor, indices: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
@overload
def tensor_split(input: Tensor, tensor_indices_or_sections: Tensor, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """Products summed over the last `dims` dimensions of a and the first of b, or over pairs of listed dimensions."""
def threshold(input: Tensor, threshold: builtins.float, value: builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input where it is above the threshold, value elsewhere."""
def tile(input: Tensor, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
    """repeat(), where fewer numbers than dimensions stand for the last ones."""
def topk(input: Tensor, k: builtins.int, dim: builtins.int = -1, largest: builtins.bool = True, sorted: builtins.bool = True, *, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.topk:
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order."""
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; of integers in int64."""
def transpose(input: Tensor, dim0: builtins.int, dim1: builtins.int) -> Tensor:
    """Two dimensions exchanged."""
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: builtins.int | builtins.float | None = None, dim: builtins.int = -1, axis: builtins.int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule, at points x or `dx` (1) apart."""
def trapz(y: Tensor, x: Tensor | None = None, *, dx: builtins.int | builtins.float | None = None, dim: builtins.int = -1, axis: builtins.int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule, at points x or `dx` (1) apart."""
def triangular_solve(input: Tensor, A: Tensor, upper: builtins.bool = True, transpose: builtins.bool = False, unitriangular: builtins.bool = False, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.triangular_solve:
    """(X, A) with A @ X = input, of A one triangle."""
def tril(input: Tensor, diagonal: builtins.int = 0, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements on and below a diagonal of matrices, zeros elsewhere."""
def tril_indices(row: builtins.int, col: builtins.int, offset: builtins.int = 0, *, dtype: dtype | None = None, layout: Any = None, device: Any = None) -> Tensor:
    """The positions, two rows of them, of the lower triangle of a row by col matrix."""
def triu(input: Tensor, diagonal: builtins.int = 0, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The elements on and above a diagonal of matrices, zeros elsewhere."""
def triu_indices(row: builtins.int, col: builtins.int, offset: builtins.int = 0, *, dtype: dtype | None = None, layout: Any = None, device: Any = None) -> Tensor:
    """The positions, two rows of them, of the upper triangle of a row by col matrix."""
def true_divide(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """a / b, floating, element by element, with broadcasting and type promotion."""
def trunc(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """x without its fraction, element by element."""
uint8: dtype
def unbind(input: Tensor, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """The parts at each position of dimension `dim`, without it."""
@overload
def unflatten(input: Tensor, dim: builtins.int, sizes: builtins.int | Sequence[builtins.int]) -> Tensor:
    """Dimension `dim` as several."""
@overload
def unflatten(input: Tensor, *, axis: builtins.int, sizes: builtins.int | Sequence[builtins.int]) -> Tensor:
    """Dimension `dim` as several."""
def unique(input: Tensor, sorted: builtins.bool = True, return_inverse: builtins.bool = False, return_counts: builtins.bool = False, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Any:
    """The distinct elements (or parts along `dim`), rising; with where each element is among them, and how often it comes."""
def unique_consecutive(input: Tensor, return_inverse: builtins.bool = False, return_counts: builtins.bool = False, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Any:
    """The elements (or parts along `dim`) that differ from the one before."""
def unsafe_chunk(input: Tensor, chunks: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """chunk()."""
def unsafe_split(input: Tensor, split_size: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
    """split()."""
@overload
def unsqueeze(input: Tensor, dim: builtins.int) -> Tensor:
    """A new dimension of length 1 at `dim`."""
@overload
def unsqueeze(input: Tensor, *, axis: builtins.int) -> Tensor:
    """A new dimension of length 1 at `dim`."""
def vander(x: Tensor, N: builtins.int | None = None, increasing: builtins.bool = False) -> Tensor:
    """The powers of the elements of a vector, falling from N - 1 on (or rising from 0), in columns."""
def var(input: Tensor, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The variance: squared distances from the mean, summed and divided by n - correction (1)."""
def var_mean(input: Tensor, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False) -> builtins.tuple[Tensor, Tensor]:
    """(variance, mean)."""
def vdot(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """dot(input, other): there are no complex numbers to conjugate."""
@overload
def vsplit(input: Tensor, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 0."""
@overload
def vsplit(input: Tensor, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
    """tensor_split() along dimension 0."""
def vstack(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The tensors below each other: along dimension 0, 1-d tensors as rows."""
@overload
def where(condition: Tensor) -> builtins.tuple[Tensor, ...]:
    """input where condition, other elsewhere; of a condition alone the positions at which it is true, a tuple."""
@overload
def where(condition: Tensor, input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input where condition, other elsewhere; of a condition alone the positions at which it is true, a tuple."""
def xlogy(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """x * log(y), 0 where x is 0 (unless y is nan), element by element, with broadcasting and type promotion."""
@overload
def zeros(*size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of zeros of the given shape."""
@overload
def zeros(size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """A tensor of zeros of the given shape."""
def zeros_like(input: Tensor, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
    """zeros() of the shape and dtype of another tensor."""
