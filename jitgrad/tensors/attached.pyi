"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
import numpy as np
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import overload
from jitgrad import return_types
from jitgrad.autograd.graph import Tensors
from jitgrad.autograd.reverse.hooks import RemovableHandle
from jitgrad.graph.node import Node
from jitgrad.random import Generator
from jitgrad.tensors.steps import Step
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.device import DeviceLike
from jitgrad.types.dtype import dtype

class Attached:
    @property
    def H(self) -> Tensor:
        """A matrix transposed."""
    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
    def __abs__(self) -> Tensor:
        """|x|; derivative 0 at 0 and at nan, element by element."""
    def __add__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __and__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray[Any, Any]:
        """What NumPy functions read."""
    def __array_wrap__(self, array: np.ndarray[Any, Any], context: Any = None, return_scalar: builtins.bool = False) -> Tensor:
        """What NumPy functions give back: tensors."""
    def __bool__(self) -> builtins.bool: ...
    def __complex__(self) -> builtins.complex: ...
    def __contains__(self, element: Any) -> builtins.bool: ...
    @property
    def __cuda_array_interface__(self) -> builtins.dict[builtins.str, Any]:
        """Address, shape and dtype of a CUDA tensor for CuPy, Numba and others, and the stream that they are to wait for."""
    def __dir__(self) -> builtins.list[builtins.str]:
        """What dir() shows: no names that raise."""
    def __div__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __dlpack__(self, *, stream: builtins.int | None = None, max_version: Any = None, dl_device: Any = None, copy: builtins.bool | None = None) -> Any:
        """A DLPack capsule of the values: of a CUDA tensor of its memory, of one on the CPU of a copy."""
    def __dlpack_device__(self) -> builtins.tuple[builtins.int, builtins.int]:
        """DLPack's number of the kind of device, and the device's."""
    def __eq__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...  # type: ignore[override]
    def __float__(self) -> builtins.float: ...
    def __floordiv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __format__(self, spec: builtins.str) -> builtins.str:
        """format(): of a 0-d tensor as of its number."""
    def __ge__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __getitem__(self, key: Any) -> Tensor:
        """self[key]: a view for integers, slices, None and Ellipsis; a copy for tensors, arrays, lists and masks."""
    def __gt__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __hash__(self) -> builtins.int: ...
    def __iadd__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __iand__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __idiv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ifloordiv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ilshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __imod__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __imul__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __index__(self) -> builtins.int: ...
    def __init__(self, *args: Any, **named: Any) -> None:
        """Of these sizes, filled with 0; of this data, in `to` (the default dtype); or another tensor on a tensor's storage."""
    def __int__(self) -> builtins.int: ...
    def __invert__(self) -> Tensor:
        """~self of integers or bools."""
    def __ior__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ipow__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __irshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __isub__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __itruediv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ixor__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __le__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __len__(self) -> builtins.int: ...
    def __lshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __lt__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __matmul__(self, other: Tensor) -> Tensor:
        """The matrix product."""
    def __mod__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __mul__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ne__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor:
        """-x, element by element."""
    def __or__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __pos__(self) -> Tensor:
        """+input: the tensor itself."""
    def __pow__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __radd__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rand__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rdiv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __repr__(self) -> builtins.str:
        """The tensor as PyTorch prints it."""
    def __rfloordiv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rlshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rmod__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rmul__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __ror__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rpow__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rrshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rshift__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rsub__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rtruediv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __rxor__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __setitem__(self, key: Any, value: Any) -> None:
        """self[key] = value, seen by every tensor that shares the storage."""
    def __sub__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __truediv__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def __xor__(self, other: Tensor | builtins.float | np.ndarray[Any, Any]) -> Tensor: ...
    def _rebase(self, node: Node) -> Tensor:
        """Take a node of the same value but another history (an input that a Function has modified in place)."""
    def _replace(self, array: np.ndarray[Any, Any], seen: builtins.int | None = None) -> builtins.bool:
        """Write a whole new value that was computed outside the graph (an optimizer's step), of this tensor's type."""
    def _write(self, value: Node, name: builtins.str | None = None, seen: builtins.int | None = None, beyond: builtins.tuple[Step, ...] = ()) -> Tensor | None:
        """Replace the current value (an in-place operation), or that of the view `beyond`, along movements.  `value` has its type."""
    def _write_private(self, index: Any, value: np.ndarray[Any, Any] | builtins.float | builtins.int | builtins.bool, seen: builtins.int | None = None) -> builtins.bool:
        """tensor[index] = value without recording, if this is a plain array; False if it has to be written in general, or there are more"""
    def abs(self) -> Tensor:
        """|x|; derivative 0 at 0 and at nan, element by element."""
    def abs_(self) -> Tensor:
        """abs(), written to this tensor."""
    def absolute(self) -> Tensor:
        """|x|; derivative 0 at 0 and at nan, element by element."""
    def absolute_(self) -> Tensor:
        """absolute(), written to this tensor."""
    def acos(self) -> Tensor:
        """inverse cosine; derivative -inf at -1, 1, element by element."""
    def acos_(self) -> Tensor:
        """acos(), written to this tensor."""
    def acosh(self) -> Tensor:
        """inverse hyperbolic cosine; derivative inf at 1, element by element."""
    def acosh_(self) -> Tensor:
        """acosh(), written to this tensor."""
    def add(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """input + alpha * other, element by element, with broadcasting and type promotion."""
    def add_(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """add(), written to this tensor."""
    def addbmm(self, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """beta * input + alpha * the sum of bmm(batch1, batch2)."""
    def addbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """addbmm(), written to this tensor."""
    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1) -> Tensor:
        """input + value * tensor1 / tensor2, in floating point."""
    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1) -> Tensor:
        """addcdiv(), written to this tensor."""
    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1) -> Tensor:
        """input + value * tensor1 * tensor2."""
    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: builtins.int | builtins.float = 1) -> Tensor:
        """addcmul(), written to this tensor."""
    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """beta * input + alpha * (mat1 @ mat2)."""
    def addmm_(self, mat1: Tensor, mat2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """addmm(), written to this tensor."""
    def addmv(self, mat: Tensor, vec: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """beta * input + alpha * mv(mat, vec)."""
    def addmv_(self, mat: Tensor, vec: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """addmv(), written to this tensor."""
    def addr(self, vec1: Tensor, vec2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """beta * input + alpha * outer(vec1, vec2)."""
    def addr_(self, vec1: Tensor, vec2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """addr(), written to this tensor."""
    def adjoint(self) -> Tensor:
        """The last two dimensions exchanged: there are no complex numbers."""
    def all(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """whether all are true, of bools; numbers other than 0 count as true.  Of uint8 the result is uint8."""
    def allclose(self, other: Tensor, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> builtins.bool:
        """Whether all elements are close, see isclose."""
    def amax(self, dim: builtins.int | Sequence[builtins.int] = (), keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] = (), keepdims: builtins.bool = False) -> Tensor:
        """the largest, nan if any is; ties share the gradient evenly."""
    def amin(self, dim: builtins.int | Sequence[builtins.int] = (), keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] = (), keepdims: builtins.bool = False) -> Tensor:
        """the smallest, nan if any is; ties share the gradient evenly."""
    def aminmax(self, *, dim: builtins.int | None = None, keepdim: builtins.bool = False, axis: builtins.int | None = None, keepdims: builtins.bool = False) -> return_types.aminmax:
        """(smallest, largest) of all elements or along `dim`."""
    def angle(self) -> Tensor:
        """0 for positive numbers, pi for negative ones, nan for nan; its derivative is 0."""
    def any(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """whether any is true, of bools; numbers other than 0 count as true.  Of uint8 the result is uint8."""
    def arccos(self) -> Tensor:
        """inverse cosine; derivative -inf at -1, 1, element by element."""
    def arccos_(self) -> Tensor:
        """arccos(), written to this tensor."""
    def arccosh(self) -> Tensor:
        """inverse hyperbolic cosine; derivative inf at 1, element by element."""
    def arccosh_(self) -> Tensor:
        """arccosh(), written to this tensor."""
    def arcsin(self) -> Tensor:
        """inverse sine; derivative inf at -1, 1, element by element."""
    def arcsin_(self) -> Tensor:
        """arcsin(), written to this tensor."""
    def arcsinh(self) -> Tensor:
        """inverse hyperbolic sine, element by element."""
    def arcsinh_(self) -> Tensor:
        """arcsinh(), written to this tensor."""
    def arctan(self) -> Tensor:
        """inverse tangent, element by element."""
    def arctan2(self, other: Tensor) -> Tensor:
        """the angle of the point (b, a); derivative 0 at the origin, element by element, with broadcasting and type promotion."""
    def arctan2_(self, other: Tensor) -> Tensor:
        """arctan2(), written to this tensor."""
    def arctan_(self) -> Tensor:
        """arctan(), written to this tensor."""
    def arctanh(self) -> Tensor:
        """inverse hyperbolic tangent; derivative inf at -1, 1, element by element."""
    def arctanh_(self) -> Tensor:
        """arctanh(), written to this tensor."""
    def argmax(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The position of the first largest element, of all or along `dim`."""
    def argmin(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The position of the first smallest element, of all or along `dim`."""
    @overload
    def argsort(self, dim: builtins.int = -1, descending: builtins.bool = False, *, axis: builtins.int = -1) -> Tensor:
        """The positions that sort the elements along `dim`; equal elements stay in their order, nan is largest."""
    @overload
    def argsort(self, *, stable: builtins.bool, dim: builtins.int = -1, descending: builtins.bool = False, axis: builtins.int = -1) -> Tensor:
        """The positions that sort the elements along `dim`; equal elements stay in their order, nan is largest."""
    def argwhere(self) -> Tensor:
        """The positions of the elements that are not 0, a row each."""
    def asin(self) -> Tensor:
        """inverse sine; derivative inf at -1, 1, element by element."""
    def asin_(self) -> Tensor:
        """asin(), written to this tensor."""
    def asinh(self) -> Tensor:
        """inverse hyperbolic sine, element by element."""
    def asinh_(self) -> Tensor:
        """asinh(), written to this tensor."""
    def atan(self) -> Tensor:
        """inverse tangent, element by element."""
    def atan2(self, other: Tensor) -> Tensor:
        """the angle of the point (b, a); derivative 0 at the origin, element by element, with broadcasting and type promotion."""
    def atan2_(self, other: Tensor) -> Tensor:
        """atan2(), written to this tensor."""
    def atan_(self) -> Tensor:
        """atan(), written to this tensor."""
    def atanh(self) -> Tensor:
        """inverse hyperbolic tangent; derivative inf at -1, 1, element by element."""
    def atanh_(self) -> Tensor:
        """atanh(), written to this tensor."""
    def backward(self, gradient: Tensor | None = None, retain_graph: builtins.bool | None = None, create_graph: builtins.bool = False, inputs: Tensors | None = None) -> None:
        """Compute the gradient of this tensor with respect to the leaves below it; see autograd.backward."""
    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """beta * input + alpha * bmm(batch1, batch2)."""
    def baddbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: builtins.int | builtins.float = 1, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """baddbmm(), written to this tensor."""
    def bernoulli(self, p: Any = None, *, generator: Generator | None = None) -> Tensor:
        """1 with the probabilities in this tensor (or all with probability p), else 0."""
    def bernoulli_(self, p: builtins.float = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with 1 with probability p, else 0."""
    def bfloat16(self) -> Tensor:
        """Raises: there is no such dtype."""
    def bincount(self, weights: Tensor | None = None, minlength: builtins.int = 0) -> Tensor:
        """How often each integer from 0 on comes, or the sum of the weights where it does."""
    def bitwise_and(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a & b of integers or bools."""
    def bitwise_and_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """bitwise_and(), written to this tensor."""
    def bitwise_left_shift(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a << b of integers; 0 where b is no position of a bit."""
    def bitwise_left_shift_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """bitwise_left_shift(), written to this tensor."""
    def bitwise_not(self) -> Tensor:
        """~input of integers or bools."""
    def bitwise_not_(self) -> Tensor:
        """bitwise_not(), written to this tensor."""
    def bitwise_or(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a | b of integers or bools."""
    def bitwise_or_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """bitwise_or(), written to this tensor."""
    def bitwise_right_shift(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a >> b of integers; the sign where b is no position of a bit."""
    def bitwise_right_shift_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """bitwise_right_shift(), written to this tensor."""
    def bitwise_xor(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a ^ b of integers or bools."""
    def bitwise_xor_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """bitwise_xor(), written to this tensor."""
    def bmm(self, mat2: Tensor) -> Tensor:
        """The products of two batches of matrices."""
    def bool(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.bool; itself if it is."""
    @overload
    def broadcast_to(self, size: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The tensor broadcast to the shape `size`."""
    @overload
    def broadcast_to(self, *size: builtins.int) -> Tensor:
        """The tensor broadcast to the shape `size`."""
    def byte(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.uint8; itself if it is."""
    def cauchy_(self, median: builtins.float = 0, sigma: builtins.float = 1, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with Cauchy random numbers."""
    def cdouble(self) -> Tensor:
        """Raises: there is no such dtype."""
    def ceil(self) -> Tensor:
        """the smallest integer not below x, element by element."""
    def ceil_(self) -> Tensor:
        """ceil(), written to this tensor."""
    def cfloat(self) -> Tensor:
        """Raises: there is no such dtype."""
    def char(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.int8; itself if it is."""
    def cholesky(self, upper: builtins.bool = False) -> Tensor:
        """The Cholesky factor of symmetric positive definite matrices: lower triangular, or upper."""
    def cholesky_inverse(self, upper: builtins.bool = False) -> Tensor:
        """The inverse of A, given its Cholesky factor: A = input @ input.T, or input.T @ input if `upper`."""
    def cholesky_solve(self, input2: Tensor, upper: builtins.bool = False) -> Tensor:
        """X with A @ X = input, given A's Cholesky factor input2 = L: A = L @ L.T, or L.T @ L if `upper`."""
    def chunk(self, chunks: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """At most `chunks` parts of dimension `dim`, all but the last of one length."""
    def clamp(self, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None) -> Tensor:
        """min(max(input, min), max); the gradient passes where min <= input <= max."""
    def clamp_(self, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None) -> Tensor:
        """clamp(), written to this tensor."""
    def clamp_max(self, max: Tensor | builtins.int | builtins.float) -> Tensor:
        """min(input, max); the gradient passes where input <= max."""
    def clamp_max_(self, max: Tensor | builtins.int | builtins.float) -> Tensor:
        """clamp_max(), written to this tensor."""
    def clamp_min(self, min: Tensor | builtins.int | builtins.float) -> Tensor:
        """max(input, min); the gradient passes where input >= min."""
    def clamp_min_(self, min: Tensor | builtins.int | builtins.float) -> Tensor:
        """clamp_min(), written to this tensor."""
    def clip(self, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None) -> Tensor:
        """min(max(input, min), max); the gradient passes where min <= input <= max."""
    def clip_(self, min: Tensor | builtins.int | builtins.float | None = None, max: Tensor | builtins.int | builtins.float | None = None) -> Tensor:
        """clip(), written to this tensor."""
    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy that gradients pass through."""
    def conj(self) -> Tensor:
        """The tensor itself: there are no complex numbers."""
    def conj_physical(self) -> Tensor:
        """A copy of the tensor: there are no complex numbers."""
    def conj_physical_(self) -> Tensor:
        """conj_physical(), written to this tensor."""
    def contiguous(self, memory_format: Any = None) -> Tensor:
        """The tensor itself if it is contiguous, else a copy."""
    def copy_(self, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
        """Write the values of src, broadcast and converted, to this tensor."""
    def copysign(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """|a| with the sign of b; derivative 0 at a = 0, element by element, with broadcasting and type promotion."""
    def copysign_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """copysign(), written to this tensor."""
    def corrcoef(self) -> Tensor:
        """The correlations of the rows, columns being observations."""
    def cos(self) -> Tensor:
        """cosine, of radians, element by element."""
    def cos_(self) -> Tensor:
        """cos(), written to this tensor."""
    def cosh(self) -> Tensor:
        """hyperbolic cosine, element by element."""
    def cosh_(self) -> Tensor:
        """cosh(), written to this tensor."""
    def count_nonzero(self, dim: builtins.int | Sequence[builtins.int] | None = None, *, axis: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
        """The number of elements that are not 0, of all or over `dim`."""
    def cov(self, *, correction: builtins.int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
        """The covariances of the rows, columns being observations, weighted by how often they came and by what they count."""
    def cpu(self, memory_format: Any = None) -> Tensor:
        """The tensor on the CPU; itself if it is there."""
    def cross(self, other: Tensor, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Tensor:
        """The vector product along `dim`, or the first dimension of length 3."""
    def cuda(self, device: Any = None, non_blocking: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """The tensor on the CUDA device; itself if it is there."""
    @overload
    def cummax(self, dim: builtins.int) -> return_types.cummax:
        """(values, indices) of the largest element up to each along `dim`."""
    @overload
    def cummax(self, *, axis: builtins.int) -> return_types.cummax:
        """(values, indices) of the largest element up to each along `dim`."""
    @overload
    def cummin(self, dim: builtins.int) -> return_types.cummin:
        """(values, indices) of the smallest element up to each along `dim`."""
    @overload
    def cummin(self, *, axis: builtins.int) -> return_types.cummin:
        """(values, indices) of the smallest element up to each along `dim`."""
    @overload
    def cumprod(self, dim: builtins.int, *, dtype: dtype | None = None) -> Tensor:
        """the product of the elements up to each along dim; of integers and bools in int64."""
    @overload
    def cumprod(self, *, axis: builtins.int, dtype: dtype | None = None) -> Tensor:
        """the product of the elements up to each along dim; of integers and bools in int64."""
    @overload
    def cumprod_(self, dim: builtins.int, *, dtype: dtype | None = None) -> Tensor:
        """cumprod(), written to this tensor."""
    @overload
    def cumprod_(self, *, axis: builtins.int, dtype: dtype | None = None) -> Tensor:
        """cumprod(), written to this tensor."""
    @overload
    def cumsum(self, dim: builtins.int, *, dtype: dtype | None = None) -> Tensor:
        """the sum of the elements up to each along dim; of integers and bools in int64."""
    @overload
    def cumsum(self, *, axis: builtins.int, dtype: dtype | None = None) -> Tensor:
        """the sum of the elements up to each along dim; of integers and bools in int64."""
    @overload
    def cumsum_(self, dim: builtins.int, *, dtype: dtype | None = None) -> Tensor:
        """cumsum(), written to this tensor."""
    @overload
    def cumsum_(self, *, axis: builtins.int, dtype: dtype | None = None) -> Tensor:
        """cumsum(), written to this tensor."""
    def data_ptr(self) -> builtins.int:
        """The address of the first element at this moment.  Values are immutable underneath: a write changes it."""
    def deg2rad(self) -> Tensor:
        """Degrees as radians."""
    def deg2rad_(self) -> Tensor:
        """deg2rad(), written to this tensor."""
    def det(self) -> Tensor:
        """The determinants of square matrices; see linalg.det."""
    def detach_(self) -> Tensor:
        """Cut this tensor off from the graph.  Raises RuntimeError for views."""
    def diag(self, diagonal: builtins.int = 0) -> Tensor:
        """The matrix with a vector on its diagonal, or a copy of a matrix's diagonal."""
    def diag_embed(self, offset: builtins.int = 0, dim1: builtins.int = -2, dim2: builtins.int = -1) -> Tensor:
        """Matrices, in dim1 and dim2, with the last dimension of input on their diagonal, zeros elsewhere."""
    def diagflat(self, offset: builtins.int = 0) -> Tensor:
        """The matrix with all elements of input on its diagonal."""
    def diagonal(self, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Tensor:
        """The diagonal of two dimensions, `offset` above the main one, as the last dimension."""
    def diagonal_scatter(self, src: Tensor, offset: builtins.int = 0, dim1: builtins.int = 0, dim2: builtins.int = 1) -> Tensor:
        """input with its diagonal replaced by src."""
    def diff(self, n: builtins.int = 1, dim: builtins.int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, axis: builtins.int = -1) -> Tensor:
        """The differences of neighbours along `dim`, n times."""
    def digamma(self) -> Tensor:
        """derivative of lgamma; -inf at 0, nan at the other poles, element by element."""
    def digamma_(self) -> Tensor:
        """digamma(), written to this tensor."""
    def dim(self) -> builtins.int:
        """The number of dimensions."""
    def dist(self, other: Tensor, p: builtins.int | builtins.float = 2) -> Tensor:
        """The p-norm of input - other."""
    def div(self, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None) -> Tensor:
        """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def div_(self, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None) -> Tensor:
        """div(), written to this tensor."""
    def divide(self, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None) -> Tensor:
        """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def divide_(self, other: Tensor | builtins.int | builtins.float, *, rounding_mode: builtins.str | None = None) -> Tensor:
        """divide(), written to this tensor."""
    def dot(self, tensor: Tensor) -> Tensor:
        """The sum of the products of two vectors' elements."""
    def double(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.float64; itself if it is."""
    @overload
    def dsplit(self, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 2."""
    @overload
    def dsplit(self, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 2."""
    @overload
    def dsplit(self, *indices: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 2."""
    def element_size(self) -> builtins.int:
        """Bytes per element."""
    def eq(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a == b, elementwise, element by element, with broadcasting and type promotion."""
    def eq_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """eq(), written to this tensor."""
    def equal(self, other: Tensor) -> builtins.bool:
        """Whether two tensors have the same shape and the same elements."""
    def erf(self) -> Tensor:
        """error function, element by element."""
    def erf_(self) -> Tensor:
        """erf(), written to this tensor."""
    def erfc(self) -> Tensor:
        """1 - erf(x), accurate for large x, element by element."""
    def erfc_(self) -> Tensor:
        """erfc(), written to this tensor."""
    def erfinv(self) -> Tensor:
        """The inverse of erf, element by element."""
    def erfinv_(self) -> Tensor:
        """erfinv(), written to this tensor."""
    def exp(self) -> Tensor:
        """e ** x, element by element."""
    def exp2(self) -> Tensor:
        """2 ** x, element by element."""
    def exp2_(self) -> Tensor:
        """exp2(), written to this tensor."""
    def exp_(self) -> Tensor:
        """exp(), written to this tensor."""
    @overload
    def expand(self, size: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The tensor broadcast to a larger shape; -1 keeps a length."""
    @overload
    def expand(self, *size: builtins.int) -> Tensor:
        """The tensor broadcast to a larger shape; -1 keeps a length."""
    def expand_as(self, other: Tensor) -> Tensor:
        """The tensor broadcast to the shape of another."""
    def expm1(self) -> Tensor:
        """e ** x - 1, accurate near 0, element by element."""
    def expm1_(self) -> Tensor:
        """expm1(), written to this tensor."""
    def exponential_(self, lambd: builtins.float = 1, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with exponential random numbers of rate lambd; none is 0."""
    def fill_(self, value: Any) -> Tensor:
        """Write a number, or a 0-d tensor's value, to every element."""
    def fill_diagonal_(self, fill_value: Any, wrap: builtins.bool = False) -> Tensor:
        """Write a number to the main diagonal (of a tall matrix again below, one row left out, if `wrap`)."""
    def fix(self) -> Tensor:
        """x without its fraction, element by element."""
    def fix_(self) -> Tensor:
        """fix(), written to this tensor."""
    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
        """The dimensions from start_dim to end_dim as one."""
    @overload
    def flip(self, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The elements in reverse order along `dims`."""
    @overload
    def flip(self, *dims: builtins.int) -> Tensor:
        """The elements in reverse order along `dims`."""
    def fliplr(self) -> Tensor:
        """The columns in reverse order."""
    def flipud(self) -> Tensor:
        """The rows in reverse order."""
    def float(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.float32; itself if it is."""
    def float_power(self, exponent: Tensor | builtins.int | builtins.float) -> Tensor:
        """input ** exponent, in float64."""
    def float_power_(self, exponent: Tensor | builtins.int | builtins.float) -> Tensor:
        """float_power(), written to this tensor."""
    def floor(self) -> Tensor:
        """the largest integer not above x, element by element."""
    def floor_(self) -> Tensor:
        """floor(), written to this tensor."""
    def floor_divide(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """floor(input / other).  Its derivative is not implemented: backward through it raises, as in PyTorch."""
    def floor_divide_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """floor_divide(), written to this tensor."""
    def fmax(self, other: Tensor) -> Tensor:
        """the larger, nan if both are; a tie gives the gradient to a, element by element, with broadcasting and type promotion."""
    def fmin(self, other: Tensor) -> Tensor:
        """the smaller, nan if both are; a tie gives the gradient to a, element by element, with broadcasting and type promotion."""
    def fmod(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """input - other * trunc(input / other): with the sign of input, as C's fmod."""
    def fmod_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """fmod(), written to this tensor."""
    def frac(self) -> Tensor:
        """x - trunc(x), element by element."""
    def frac_(self) -> Tensor:
        """frac(), written to this tensor."""
    @overload
    def gather(self, dim: builtins.int, index: Tensor, *, sparse_grad: builtins.bool = False) -> Tensor:
        """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
    @overload
    def gather(self, *, axis: builtins.int, index: Tensor, sparse_grad: builtins.bool = False) -> Tensor:
        """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
    def ge(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a >= b, elementwise, element by element, with broadcasting and type promotion."""
    def ge_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """ge(), written to this tensor."""
    def geometric_(self, p: builtins.float, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with the number of trials up to the first success, of probability p."""
    def ger(self, vec2: Tensor) -> Tensor:
        """outer(input, vec2)."""
    def get_device(self) -> builtins.int:
        """The number of the CUDA device; -1: the CPU."""
    @property
    def grad_fn(self) -> Any:
        """Tensor.grad_fn: None for leaves."""
    def greater(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a > b, elementwise, element by element, with broadcasting and type promotion."""
    def greater_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """greater(), written to this tensor."""
    def greater_equal(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a >= b, elementwise, element by element, with broadcasting and type promotion."""
    def greater_equal_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """greater_equal(), written to this tensor."""
    def gt(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a > b, elementwise, element by element, with broadcasting and type promotion."""
    def gt_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """gt(), written to this tensor."""
    def half(self) -> Tensor:
        """Raises: there is no such dtype."""
    def heaviside(self, values: Tensor) -> Tensor:
        """0 below 0, `values` at 0, 1 above.  Its derivative is not implemented: backward through it raises, as in PyTorch."""
    def heaviside_(self, values: Tensor) -> Tensor:
        """heaviside(), written to this tensor."""
    def histc(self, bins: builtins.int = 100, min: builtins.int | builtins.float = 0, max: builtins.int | builtins.float = 0) -> Tensor:
        """How many elements are in each of `bins` equal parts of [min, max]; of the elements' own range if these are equal."""
    def histogram(self, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: builtins.bool = False) -> return_types.histogram:
        """(hist, bin_edges): how many elements are between neighbouring edges, which are given, or as many equal parts of a range."""
    @overload
    def hsplit(self, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 1, or 0 of a vector."""
    @overload
    def hsplit(self, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 1, or 0 of a vector."""
    @overload
    def hsplit(self, *indices: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 1, or 0 of a vector."""
    def hypot(self, other: Tensor) -> Tensor:
        """sqrt(a * a + b * b), without overflow; derivative nan at the origin, element by element, with broadcasting and type promotion."""
    def hypot_(self, other: Tensor) -> Tensor:
        """hypot(), written to this tensor."""
    @property
    def imag(self) -> Tensor:
        """Raises: there are no complex numbers."""
    @overload
    def index_add(self, dim: builtins.int, index: Tensor, source: Tensor, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """input with alpha times the parts of source added at the positions `index` of `dim`."""
    @overload
    def index_add(self, *, axis: builtins.int, index: Tensor, source: Tensor, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """input with alpha times the parts of source added at the positions `index` of `dim`."""
    @overload
    def index_add_(self, dim: builtins.int, index: Tensor, source: Tensor, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """index_add(), written to this tensor."""
    @overload
    def index_add_(self, *, axis: builtins.int, index: Tensor, source: Tensor, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """index_add(), written to this tensor."""
    @overload
    def index_copy(self, dim: builtins.int, index: Tensor, source: Tensor) -> Tensor:
        """input with the parts at the positions `index` of `dim` replaced by those of source."""
    @overload
    def index_copy(self, *, axis: builtins.int, index: Tensor, source: Tensor) -> Tensor:
        """input with the parts at the positions `index` of `dim` replaced by those of source."""
    @overload
    def index_copy_(self, dim: builtins.int, index: Tensor, source: Tensor) -> Tensor:
        """index_copy(), written to this tensor."""
    @overload
    def index_copy_(self, *, axis: builtins.int, index: Tensor, source: Tensor) -> Tensor:
        """index_copy(), written to this tensor."""
    @overload
    def index_fill(self, dim: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """input with the parts at the positions `index` of `dim` replaced by a number."""
    @overload
    def index_fill(self, *, axis: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """input with the parts at the positions `index` of `dim` replaced by a number."""
    @overload
    def index_fill_(self, dim: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """index_fill(), written to this tensor."""
    @overload
    def index_fill_(self, *, axis: builtins.int, index: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """index_fill(), written to this tensor."""
    def index_put(self, indices: Sequence[Tensor], values: Tensor, accumulate: builtins.bool = False) -> Tensor:
        """input with the elements at input[indices] replaced by values, or with values added (equal positions add up)."""
    def index_put_(self, indices: Sequence[Tensor], values: Tensor, accumulate: builtins.bool = False) -> Tensor:
        """index_put(), written to this tensor."""
    @overload
    def index_reduce(self, dim: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True) -> Tensor:
        """The parts written to each position of `dim`, reduced ("prod", "mean", "amax", "amin"), with what was there if include_self."""
    @overload
    def index_reduce(self, *, axis: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, include_self: builtins.bool = True) -> Tensor:
        """The parts written to each position of `dim`, reduced ("prod", "mean", "amax", "amin"), with what was there if include_self."""
    @overload
    def index_reduce_(self, dim: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True) -> Tensor:
        """index_reduce(), written to this tensor."""
    @overload
    def index_reduce_(self, *, axis: builtins.int, index: Tensor, source: Tensor, reduce: builtins.str, include_self: builtins.bool = True) -> Tensor:
        """index_reduce(), written to this tensor."""
    @overload
    def index_select(self, dim: builtins.int, index: Tensor) -> Tensor:
        """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
    @overload
    def index_select(self, *, axis: builtins.int, index: Tensor) -> Tensor:
        """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
    def inner(self, other: Tensor) -> Tensor:
        """Products summed over the last dimension of both; of a 0-d tensor the product."""
    def int(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.int32; itself if it is."""
    def inverse(self) -> Tensor:
        """The inverse of square matrices; see linalg.inv."""
    def is_complex(self) -> builtins.bool:
        """False: there are no complex tensors."""
    def is_contiguous(self) -> builtins.bool:
        """Whether the elements lie in memory in row-major order without gaps, as PyTorch would have placed them."""
    @property
    def is_cpu(self) -> builtins.bool:
        """Whether the tensor is on the CPU."""
    @property
    def is_cuda(self) -> builtins.bool:
        """Whether the tensor is on a CUDA device."""
    def is_floating_point(self) -> builtins.bool:
        """Whether the dtype is float32 or float64."""
    def is_inference(self) -> builtins.bool:
        """False: tensors of inference_mode are not marked."""
    @property
    def is_meta(self) -> builtins.bool:
        """False on every tensor of this library."""
    @property
    def is_mps(self) -> builtins.bool:
        """False on every tensor of this library."""
    def is_nonzero(self) -> builtins.bool:
        """Whether the only element is not 0."""
    @property
    def is_quantized(self) -> builtins.bool:
        """False on every tensor of this library."""
    def is_same_size(self, other: Tensor) -> builtins.bool:
        """Whether two tensors have the same shape."""
    def is_signed(self) -> builtins.bool:
        """Whether the dtype has negative numbers."""
    @property
    def is_sparse(self) -> builtins.bool:
        """False on every tensor of this library."""
    @property
    def is_xpu(self) -> builtins.bool:
        """False on every tensor of this library."""
    def isclose(self, other: Tensor, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: builtins.bool = False) -> Tensor:
        """|input - other| <= atol + rtol * |other|, element by element; equal infinities are close."""
    def isfinite(self) -> Tensor:
        """whether x is neither nan nor infinite, element by element."""
    def isinf(self) -> Tensor:
        """whether x is inf or -inf, element by element."""
    def isnan(self) -> Tensor:
        """whether x is nan, element by element."""
    def isneginf(self) -> Tensor:
        """Whether an element is -inf."""
    def isposinf(self) -> Tensor:
        """Whether an element is inf."""
    def isreal(self) -> Tensor:
        """true for all elements: there are no complex numbers."""
    def item(self) -> Any:
        """The only element as a Python number.  Raises RuntimeError for several or none."""
    @property
    def itemsize(self) -> builtins.int:
        """Bytes per element."""
    def kron(self, other: Tensor) -> Tensor:
        """Kronecker's product: each element of input times all of other."""
    def kthvalue(self, k: builtins.int, dim: builtins.int = -1, keepdim: builtins.bool = False, *, axis: builtins.int = -1, keepdims: builtins.bool = False) -> return_types.kthvalue:
        """(values, indices) of the k-th smallest element along `dim`, k counted from 1."""
    @property
    def layout(self) -> Any:
        """torch.strided, the only layout."""
    def ldexp(self, other: Tensor) -> Tensor:
        """input * 2 ** other."""
    def ldexp_(self, other: Tensor) -> Tensor:
        """ldexp(), written to this tensor."""
    def le(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a <= b, elementwise, element by element, with broadcasting and type promotion."""
    def le_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """le(), written to this tensor."""
    def lerp(self, end: Tensor, weight: Tensor | builtins.int | builtins.float) -> Tensor:
        """input + weight * (end - input), exact at weight 0 and 1."""
    def lerp_(self, end: Tensor, weight: Tensor | builtins.int | builtins.float) -> Tensor:
        """lerp(), written to this tensor."""
    def less(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a < b, elementwise, element by element, with broadcasting and type promotion."""
    def less_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """less(), written to this tensor."""
    def less_equal(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a <= b, elementwise, element by element, with broadcasting and type promotion."""
    def less_equal_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """less_equal(), written to this tensor."""
    def lgamma(self) -> Tensor:
        """log |gamma(x)|, element by element."""
    def lgamma_(self) -> Tensor:
        """lgamma(), written to this tensor."""
    def log(self) -> Tensor:
        """natural logarithm, element by element."""
    def log10(self) -> Tensor:
        """logarithm to base 10, element by element."""
    def log10_(self) -> Tensor:
        """log10(), written to this tensor."""
    def log1p(self) -> Tensor:
        """log(1 + x), accurate near 0, element by element."""
    def log1p_(self) -> Tensor:
        """log1p(), written to this tensor."""
    def log2(self) -> Tensor:
        """logarithm to base 2, element by element."""
    def log2_(self) -> Tensor:
        """log2(), written to this tensor."""
    def log_(self) -> Tensor:
        """log(), written to this tensor."""
    def log_normal_(self, mean: builtins.float = 1, std: builtins.float = 2, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with numbers of which the logarithms are normal, with this mean and deviation."""
    @overload
    def log_softmax(self, dim: builtins.int | None, dtype: dtype | None = None) -> Tensor:
        """log(softmax(input)) along `dim`, without overflow."""
    @overload
    def log_softmax(self, *, axis: builtins.int | None, dtype: dtype | None = None) -> Tensor:
        """log(softmax(input)) along `dim`, without overflow."""
    def logaddexp(self, other: Tensor) -> Tensor:
        """log(e ** a + e ** b), without overflow, element by element, with broadcasting and type promotion."""
    def logaddexp2(self, other: Tensor) -> Tensor:
        """log2(2 ** input + 2 ** other), without overflow."""
    def logaddexp_(self, other: Tensor) -> Tensor:
        """logaddexp(), written to this tensor."""
    @overload
    def logcumsumexp(self, dim: builtins.int) -> Tensor:
        """log(cumsum(exp(input))) along `dim`, without overflow."""
    @overload
    def logcumsumexp(self, *, axis: builtins.int) -> Tensor:
        """log(cumsum(exp(input))) along `dim`, without overflow."""
    def logdet(self) -> Tensor:
        """The logarithm of the determinants: nan where they are negative."""
    def logical_and(self, other: Tensor) -> Tensor:
        """a and b, of bools; numbers other than 0 count as true."""
    def logical_and_(self, other: Tensor) -> Tensor:
        """logical_and(), written to this tensor."""
    def logical_not(self) -> Tensor:
        """not input; numbers other than 0 count as true."""
    def logical_not_(self) -> Tensor:
        """logical_not(), written to this tensor."""
    def logical_or(self, other: Tensor) -> Tensor:
        """a or b, of bools; numbers other than 0 count as true."""
    def logical_or_(self, other: Tensor) -> Tensor:
        """logical_or(), written to this tensor."""
    def logical_xor(self, other: Tensor) -> Tensor:
        """a or b but not both, of bools; numbers other than 0 count as true."""
    def logical_xor_(self, other: Tensor) -> Tensor:
        """logical_xor(), written to this tensor."""
    def logit(self, eps: builtins.float | None = None) -> Tensor:
        """log(x / (1 - x)), of x clamped to [eps, 1 - eps] if eps is given; no gradient passes where it was clamped."""
    def logit_(self, eps: builtins.float | None = None) -> Tensor:
        """logit(), written to this tensor."""
    @overload
    def logsumexp(self, dim: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, *, keepdims: builtins.bool = False) -> Tensor:
        """log(sum(exp(input))) over `dim`, without overflow."""
    @overload
    def logsumexp(self, *, axis: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, keepdims: builtins.bool = False) -> Tensor:
        """log(sum(exp(input))) over `dim`, without overflow."""
    def long(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.int64; itself if it is."""
    def lt(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a < b, elementwise, element by element, with broadcasting and type promotion."""
    def lt_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """lt(), written to this tensor."""
    @property
    def mH(self) -> Tensor:
        """The last two dimensions exchanged."""
    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
    def masked_fill(self, mask: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """input with `value`, a number or a 0-d tensor, where the bool tensor `mask` is true."""
    def masked_fill_(self, mask: Tensor, value: Tensor | builtins.int | builtins.float) -> Tensor:
        """masked_fill(), written to this tensor."""
    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """input with the elements where mask is true replaced by those of source, in order."""
    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        """masked_scatter(), written to this tensor."""
    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where the bool tensor `mask` is true, 1-d; the two are broadcast."""
    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product: of vectors, matrices, or batches of matrices with broadcast batch dimensions."""
    def matrix_power(self, n: builtins.int) -> Tensor:
        """The n-th power of square matrices, of the inverse for negative n."""
    @overload
    def max(self) -> Tensor:
        """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def max(self, other: Tensor) -> Tensor:
        """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def max(self, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False) -> return_types.max:
        """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def max(self, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False) -> return_types.max:
        """Max of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    def maximum(self, other: Tensor) -> Tensor:
        """the larger, nan if either is; a tie gives half of the gradient to each, element by element, with broadcasting and type promotion."""
    def mean(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The mean over all elements or over `dim`, of floating-point tensors."""
    @overload
    def median(self) -> Tensor:
        """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
    @overload
    def median(self, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False) -> return_types.median:
        """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
    @overload
    def median(self, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False) -> return_types.median:
        """The lower of the two elements in the middle, of all elements, or (values, indices) along `dim`."""
    @overload
    def min(self) -> Tensor:
        """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def min(self, other: Tensor) -> Tensor:
        """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def min(self, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False) -> return_types.min:
        """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    @overload
    def min(self, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False) -> return_types.min:
        """Min of all elements; with `dim`, (values, indices) along it; with a second tensor, of the two element by element."""
    def minimum(self, other: Tensor) -> Tensor:
        """the smaller, nan if either is; a tie gives half of the gradient to each, element by element, with broadcasting and type promotion."""
    def mm(self, mat2: Tensor) -> Tensor:
        """The product of two matrices."""
    def mode(self, dim: builtins.int = -1, keepdim: builtins.bool = False, *, axis: builtins.int = -1, keepdims: builtins.bool = False) -> return_types.mode:
        """(values, indices) of the most frequent element along `dim`, the smallest of several."""
    @overload
    def moveaxis(self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]) -> Tensor:
        """Dimensions `source` moved to the positions `destination`, the others in their order."""
    @overload
    def moveaxis(self, source: builtins.int | Sequence[builtins.int], *destination: builtins.int) -> Tensor:
        """Dimensions `source` moved to the positions `destination`, the others in their order."""
    @overload
    def movedim(self, source: builtins.int | Sequence[builtins.int], destination: builtins.int | Sequence[builtins.int]) -> Tensor:
        """Dimensions `source` moved to the positions `destination`, the others in their order."""
    @overload
    def movedim(self, source: builtins.int | Sequence[builtins.int], *destination: builtins.int) -> Tensor:
        """Dimensions `source` moved to the positions `destination`, the others in their order."""
    def msort(self) -> Tensor:
        """The elements sorted along the first dimension."""
    def mul(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a * b, element by element, with broadcasting and type promotion."""
    def mul_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """mul(), written to this tensor."""
    def multinomial(self, num_samples: builtins.int, replacement: builtins.bool = False, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
        """Positions drawn from each row with probabilities in proportion to its elements, int64."""
    def multiply(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a * b, element by element, with broadcasting and type promotion."""
    def multiply_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """multiply(), written to this tensor."""
    def mv(self, vec: Tensor) -> Tensor:
        """The product of a matrix and a vector."""
    def mvlgamma(self, p: builtins.int) -> Tensor:
        """The logarithm of the multivariate gamma function of dimension p."""
    def mvlgamma_(self, p: builtins.int) -> Tensor:
        """mvlgamma(), written to this tensor."""
    def nan_to_num(self, nan: builtins.float | None = None, posinf: builtins.float | None = None, neginf: builtins.float | None = None) -> Tensor:
        """nan replaced by `nan` (0), the infinities by `posinf` and `neginf` (the largest finite numbers)."""
    def nan_to_num_(self, nan: builtins.float | None = None, posinf: builtins.float | None = None, neginf: builtins.float | None = None) -> Tensor:
        """nan_to_num(), written to this tensor."""
    def nanmean(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The mean over all elements or over `dim`, of those that are not nan."""
    @overload
    def nanmedian(self) -> Tensor:
        """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
    @overload
    def nanmedian(self, dim: builtins.int, keepdim: builtins.bool = False, *, keepdims: builtins.bool = False) -> return_types.nanmedian:
        """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
    @overload
    def nanmedian(self, *, axis: builtins.int, keepdim: builtins.bool = False, keepdims: builtins.bool = False) -> return_types.nanmedian:
        """The lower of the two elements in the middle, nans left out, of all elements, or (values, indices) along `dim`."""
    def nanquantile(self, q: Tensor | builtins.int | builtins.float, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, interpolation: builtins.str = 'linear', axis: builtins.int | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The quantiles at the levels q (in [0, 1]) of all elements or along `dim`, nans left out."""
    def nansum(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The sum over all elements or over `dim`, nans counting as 0."""
    @overload
    def narrow(self, dim: builtins.int, start: Tensor | builtins.int, length: builtins.int) -> Tensor:
        """`length` positions of dimension `dim` from `start` on."""
    @overload
    def narrow(self, *, axis: builtins.int, start: Tensor | builtins.int, length: builtins.int) -> Tensor:
        """`length` positions of dimension `dim` from `start` on."""
    @overload
    def narrow_copy(self, dim: builtins.int, start: builtins.int, length: builtins.int) -> Tensor:
        """A copy of narrow()."""
    @overload
    def narrow_copy(self, *, axis: builtins.int, start: builtins.int, length: builtins.int) -> Tensor:
        """A copy of narrow()."""
    @property
    def nbytes(self) -> builtins.int:
        """Bytes of all elements."""
    def ndimension(self) -> builtins.int:
        """The number of dimensions."""
    def ne(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a != b, elementwise, element by element, with broadcasting and type promotion."""
    def ne_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """ne(), written to this tensor."""
    def neg(self) -> Tensor:
        """-x, element by element."""
    def neg_(self) -> Tensor:
        """neg(), written to this tensor."""
    def negative(self) -> Tensor:
        """-x, element by element."""
    def negative_(self) -> Tensor:
        """negative(), written to this tensor."""
    def nelement(self) -> builtins.int:
        """The number of elements."""
    def new(self, *args: Any, **named: Any) -> Tensor:
        """The legacy constructor of tensors of this one's dtype."""
    @overload
    def new_empty(self, *size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of the given shape whose values are not to be relied on."""
    @overload
    def new_empty(self, size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of the given shape whose values are not to be relied on."""
    def new_full(self, size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False) -> Tensor:
        """A tensor of one value, whose dtype follows from the value unless given."""
    @overload
    def new_ones(self, *size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of ones of the given shape."""
    @overload
    def new_ones(self, size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of ones of the given shape."""
    def new_tensor(self, data: Any, *, dtype: dtype | None = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False) -> Tensor:
        """A leaf tensor with a copy of the data: a number, nested sequences, an array, or a tensor."""
    @overload
    def new_zeros(self, *size: builtins.int, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of zeros of the given shape."""
    @overload
    def new_zeros(self, size: Sequence[builtins.int], *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: builtins.bool = False, pin_memory: builtins.bool = False, memory_format: Any = None) -> Tensor:
        """A tensor of zeros of the given shape."""
    def nonzero(self, *, as_tuple: builtins.bool = False) -> Any:
        """The positions of the elements that are not 0: a row each, or with as_tuple a tensor a dimension."""
    def norm(self, p: builtins.int | builtins.float | builtins.str | None = 'fro', dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The p-norm of the elements, of all or over `dim`; "fro" is 2."""
    def normal_(self, mean: builtins.float = 0.0, std: builtins.float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with normal numbers."""
    def not_equal(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a != b, elementwise, element by element, with broadcasting and type promotion."""
    def not_equal_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """not_equal(), written to this tensor."""
    def numel(self) -> builtins.int:
        """The number of elements."""
    def numpy(self, *, force: builtins.bool = False) -> np.ndarray[Any, Any]:
        """The values as an array: a read-only snapshot.  RuntimeError where gradients are recorded, unless `force`."""
    def outer(self, vec2: Tensor) -> Tensor:
        """The products of all pairs of two vectors' elements."""
    @property
    def output_nr(self) -> builtins.int:
        """Which output of its grad_fn this tensor is."""
    @overload
    def permute(self, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
        """Dimension i of the result is dimension dims[i]."""
    @overload
    def permute(self, *dims: builtins.int) -> Tensor:
        """Dimension i of the result is dimension dims[i]."""
    def pinverse(self, rcond: builtins.float = 1e-15) -> Tensor:
        """The pseudo-inverse; singular values of at most rcond * the largest count as 0."""
    def polygamma(self, n: builtins.int) -> Tensor:
        """The n-th derivative of digamma."""
    def positive(self) -> Tensor:
        """+input: the tensor itself."""
    def pow(self, exponent: Tensor | builtins.int | builtins.float) -> Tensor:
        """input ** exponent; either may be a number."""
    def pow_(self, exponent: Tensor | builtins.int | builtins.float) -> Tensor:
        """pow(), written to this tensor."""
    def prod(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The product of all elements or along `dim`; of integers and bools in int64."""
    def put(self, index: Tensor, source: Tensor, accumulate: builtins.bool = False) -> Tensor:
        """input, as one dimension, with the elements at `index` replaced by those of source, or with those added."""
    def put_(self, index: Tensor, source: Tensor, accumulate: builtins.bool = False) -> Tensor:
        """put(), written to this tensor."""
    def qr(self, some: builtins.bool = True) -> return_types.qr:
        """(Q, R) of input = Q @ R; some: with as many columns of Q as the smaller dimension."""
    def quantile(self, q: Tensor | builtins.int | builtins.float, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, interpolation: builtins.str = 'linear', axis: builtins.int | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The quantiles at the levels q (in [0, 1]) of all elements or along `dim`."""
    def rad2deg(self) -> Tensor:
        """Radians as degrees."""
    def rad2deg_(self) -> Tensor:
        """rad2deg(), written to this tensor."""
    def random_(self, from_: builtins.int = 0, to: builtins.int | None = None, *, generator: Generator | None = None) -> Tensor:
        """Overwrite with integers: random_(to), random_(from, to), or of the whole range that the dtype holds exactly."""
    def ravel(self) -> Tensor:
        """All elements as one dimension."""
    @property
    def real(self) -> Tensor:
        """The tensor: it has no imaginary part."""
    def reciprocal(self) -> Tensor:
        """1 / x, element by element."""
    def reciprocal_(self) -> Tensor:
        """reciprocal(), written to this tensor."""
    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` whenever this tensor's gradient is computed; a tensor it returns takes the gradient's place."""
    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call `hook(tensor)` after each accumulation into this leaf's .grad."""
    def relu(self) -> Tensor:
        """max(x, 0); derivative 0 at 0, element by element."""
    def relu_(self) -> Tensor:
        """relu(), written to this tensor."""
    def remainder(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """input - other * floor(input / other): with the sign of other, as Python's %."""
    def remainder_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """remainder(), written to this tensor."""
    @overload
    def renorm(self, p: builtins.int | builtins.float, dim: builtins.int, maxnorm: builtins.int | builtins.float) -> Tensor:
        """Each part along `dim` scaled down to a p-norm of at most maxnorm."""
    @overload
    def renorm(self, p: builtins.int | builtins.float, *, axis: builtins.int, maxnorm: builtins.int | builtins.float) -> Tensor:
        """Each part along `dim` scaled down to a p-norm of at most maxnorm."""
    @overload
    def renorm_(self, p: builtins.int | builtins.float, dim: builtins.int, maxnorm: builtins.int | builtins.float) -> Tensor:
        """renorm(), written to this tensor."""
    @overload
    def renorm_(self, p: builtins.int | builtins.float, *, axis: builtins.int, maxnorm: builtins.int | builtins.float) -> Tensor:
        """renorm(), written to this tensor."""
    @overload
    def repeat(self, repeats: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The tensor repeated along each dimension; more numbers than dimensions add dimensions in front."""
    @overload
    def repeat(self, *repeats: builtins.int) -> Tensor:
        """The tensor repeated along each dimension; more numbers than dimensions add dimensions in front."""
    @overload
    def repeat_interleave(self, repeats: Tensor | builtins.int, dim: builtins.int | None = None, *, output_size: builtins.int | None = None, axis: builtins.int | None = None) -> Tensor:
        """Each element (or part along `dim`) as often as `repeats` says."""
    @overload
    def repeat_interleave(self, *, output_size: builtins.int | None = None) -> Tensor:
        """Each element (or part along `dim`) as often as `repeats` says."""
    @overload
    def reshape(self, shape: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The same elements in row-major order in another shape; a view where possible.  One length may be -1."""
    @overload
    def reshape(self, *shape: builtins.int) -> Tensor:
        """The same elements in row-major order in another shape; a view where possible.  One length may be -1."""
    def reshape_as(self, other: Tensor) -> Tensor:
        """reshape() to the shape of another tensor."""
    def resolve_conj(self) -> Tensor:
        """The tensor itself: there are no complex numbers."""
    def resolve_neg(self) -> Tensor:
        """The tensor itself: there are no complex numbers."""
    def retain_grad(self) -> None:
        """Keep this non-leaf tensor's gradient in `.grad` at backward.  A leaf's is kept anyway."""
    @property
    def retains_grad(self) -> builtins.bool:
        """Whether `retain_grad` was asked for."""
    @overload
    def roll(self, shifts: builtins.int | Sequence[builtins.int], dims: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
        """The elements moved by `shifts` along `dims`, those beyond the end put at the start."""
    @overload
    def roll(self, shifts: builtins.int | Sequence[builtins.int], *dims: builtins.int) -> Tensor:
        """The elements moved by `shifts` along `dims`, those beyond the end put at the start."""
    @overload
    def rot90(self, k: builtins.int = 1, dims: builtins.int | Sequence[builtins.int] = (0, 1)) -> Tensor:
        """Turned by k right angles in the plane of two dimensions."""
    @overload
    def rot90(self, k: builtins.int = 1, *dims: builtins.int) -> Tensor:
        """Turned by k right angles in the plane of two dimensions."""
    def round(self, *, decimals: builtins.int = 0) -> Tensor:
        """The nearest integer, half to even, or the nearest multiple of 10 ** -decimals.  The derivative is 0."""
    def round_(self, *, decimals: builtins.int = 0) -> Tensor:
        """round(), written to this tensor."""
    def rsqrt(self) -> Tensor:
        """1 / sqrt(x), element by element."""
    def rsqrt_(self) -> Tensor:
        """rsqrt(), written to this tensor."""
    def rsub(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """other - alpha * input."""
    @overload
    def scatter(self, dim: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, *, axis: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, dim: builtins.int, index: Tensor, src: Tensor, *, reduce: builtins.str) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float, *, reduce: builtins.str) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter(self, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float, reduce: builtins.str) -> Tensor:
        """input with the elements at the positions `index` along `dim` replaced by those of src, or by a number."""
    @overload
    def scatter_(self, dim: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, *, axis: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, dim: builtins.int, index: Tensor, src: Tensor, *, reduce: builtins.str) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, dim: builtins.int, index: Tensor, value: builtins.int | builtins.float, *, reduce: builtins.str) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_(self, *, axis: builtins.int, index: Tensor, value: builtins.int | builtins.float, reduce: builtins.str) -> Tensor:
        """scatter(), written to this tensor."""
    @overload
    def scatter_add(self, dim: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """input with the elements of src added at the positions `index` along `dim`; equal positions add up."""
    @overload
    def scatter_add(self, *, axis: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """input with the elements of src added at the positions `index` along `dim`; equal positions add up."""
    @overload
    def scatter_add_(self, dim: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """scatter_add(), written to this tensor."""
    @overload
    def scatter_add_(self, *, axis: builtins.int, index: Tensor, src: Tensor) -> Tensor:
        """scatter_add(), written to this tensor."""
    @overload
    def scatter_reduce(self, dim: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True) -> Tensor:
        """What is written to each place along `dim`, reduced (sum, prod, mean, amax, amin), with what was there if include_self."""
    @overload
    def scatter_reduce(self, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, include_self: builtins.bool = True) -> Tensor:
        """What is written to each place along `dim`, reduced (sum, prod, mean, amax, amin), with what was there if include_self."""
    @overload
    def scatter_reduce_(self, dim: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, *, include_self: builtins.bool = True) -> Tensor:
        """scatter_reduce(), written to this tensor."""
    @overload
    def scatter_reduce_(self, *, axis: builtins.int, index: Tensor, src: Tensor, reduce: builtins.str, include_self: builtins.bool = True) -> Tensor:
        """scatter_reduce(), written to this tensor."""
    @overload
    def select(self, dim: builtins.int, index: builtins.int) -> Tensor:
        """The part at position `index` of dimension `dim`."""
    @overload
    def select(self, *, axis: builtins.int, index: builtins.int) -> Tensor:
        """The part at position `index` of dimension `dim`."""
    @overload
    def select_scatter(self, src: Tensor, dim: builtins.int, index: builtins.int) -> Tensor:
        """A copy with the part at a position of a dimension replaced by src."""
    @overload
    def select_scatter(self, src: Tensor, *, axis: builtins.int, index: builtins.int) -> Tensor:
        """A copy with the part at a position of a dimension replaced by src."""
    def sgn(self) -> Tensor:
        """-1, 0 or 1; 0 for nan, element by element."""
    def sgn_(self) -> Tensor:
        """sgn(), written to this tensor."""
    def short(self, memory_format: Any = None) -> Tensor:
        """The tensor as torch.int16; itself if it is."""
    def sigmoid(self) -> Tensor:
        """1 / (1 + e ** -x), element by element."""
    def sigmoid_(self) -> Tensor:
        """sigmoid(), written to this tensor."""
    def sign(self) -> Tensor:
        """-1, 0 or 1; 0 for nan, element by element."""
    def sign_(self) -> Tensor:
        """sign(), written to this tensor."""
    def signbit(self) -> Tensor:
        """Whether the sign bit is set: of -0.0, too."""
    def sin(self) -> Tensor:
        """sine, of radians, element by element."""
    def sin_(self) -> Tensor:
        """sin(), written to this tensor."""
    def sinc(self) -> Tensor:
        """sin(pi x) / (pi x), 1 at 0."""
    def sinc_(self) -> Tensor:
        """sinc(), written to this tensor."""
    def sinh(self) -> Tensor:
        """hyperbolic sine, element by element."""
    def sinh_(self) -> Tensor:
        """sinh(), written to this tensor."""
    def size(self, dim: builtins.int | None = None) -> Any:
        """The shape, or the length of one dimension."""
    def slice_scatter(self, src: Tensor, dim: builtins.int = 0, start: builtins.int | None = None, end: builtins.int | None = None, step: builtins.int = 1, *, axis: builtins.int = 0) -> Tensor:
        """A copy with a slice of a dimension replaced by src."""
    def slogdet(self) -> return_types.slogdet:
        """(sign, log |det|) of square matrices."""
    @overload
    def softmax(self, dim: builtins.int | None, dtype: dtype | None = None) -> Tensor:
        """exp(input), divided by its sum along `dim`."""
    @overload
    def softmax(self, *, axis: builtins.int | None, dtype: dtype | None = None) -> Tensor:
        """exp(input), divided by its sum along `dim`."""
    @overload
    def sort(self, dim: builtins.int = -1, descending: builtins.bool = False, *, axis: builtins.int = -1) -> return_types.sort:
        """(values, indices) sorted along `dim`; equal elements stay in their order, nan is largest."""
    @overload
    def sort(self, *, stable: builtins.bool | None, dim: builtins.int = -1, descending: builtins.bool = False, axis: builtins.int = -1) -> return_types.sort:
        """(values, indices) sorted along `dim`; equal elements stay in their order, nan is largest."""
    def split(self, split_size_or_sections: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """The parts of dimension `dim`: of one length (the last may be shorter), or of the given lengths."""
    def split_with_sizes(self, split_sizes: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """The parts of dimension `dim` of the given lengths."""
    def sqrt(self) -> Tensor:
        """square root; derivative inf at 0, element by element."""
    def sqrt_(self) -> Tensor:
        """sqrt(), written to this tensor."""
    def square(self) -> Tensor:
        """input * input."""
    def square_(self) -> Tensor:
        """square(), written to this tensor."""
    def squeeze(self, dim: builtins.int | Sequence[builtins.int] | None = None, *, axis: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
        """The tensor without its dimensions of length 1, or without those among `dim`."""
    def squeeze_(self, dim: builtins.int | Sequence[builtins.int] | None = None, *, axis: builtins.int | Sequence[builtins.int] | None = None) -> Tensor:
        """squeeze(), which this tensor becomes."""
    def std(self, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The square root of the variance; the derivative is 0 where it is 0."""
    def storage_offset(self) -> builtins.int:
        """Where the first element lies in the storage, in elements."""
    def stride(self, dim: builtins.int | None = None) -> Any:
        """Elements between neighbours along each dimension, or along one."""
    def sub(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """input - alpha * other, element by element, with broadcasting and type promotion."""
    def sub_(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """sub(), written to this tensor."""
    def subtract(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """input - alpha * other, element by element, with broadcasting and type promotion."""
    def subtract_(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:
        """subtract(), written to this tensor."""
    def sum(self, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The sum over all elements or over `dim`; of integers and bools in int64."""
    @overload
    def sum_to_size(self, size: builtins.int | Sequence[builtins.int]) -> Tensor:
        """The sum over the dimensions along which `size` would be broadcast to the tensor's shape."""
    @overload
    def sum_to_size(self, *size: builtins.int) -> Tensor:
        """The sum over the dimensions along which `size` would be broadcast to the tensor's shape."""
    def svd(self, some: builtins.bool = True, compute_uv: builtins.bool = True) -> return_types.svd:
        """(U, S, V) with input = U @ diag(S) @ V.T; some: with as many columns as singular values."""
    def swapaxes(self, axis0: builtins.int, axis1: builtins.int) -> Tensor:
        """Two dimensions exchanged."""
    def swapaxes_(self, axis0: builtins.int, axis1: builtins.int) -> Tensor:
        """swapaxes(), which this tensor becomes."""
    def swapdims(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """Two dimensions exchanged."""
    def swapdims_(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """swapdims(), which this tensor becomes."""
    def t(self) -> Tensor:
        """The transpose of a tensor of at most two dimensions."""
    def t_(self) -> Tensor:
        """t(), which this tensor becomes."""
    def take(self, index: Tensor) -> Tensor:
        """The elements of input, as one dimension, at the positions `index`."""
    def take_along_dim(self, indices: Tensor, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Tensor:
        """gather(), the other dimensions broadcast, positions beyond `dim` counted on from its other end; without `dim` of the"""
    def tan(self) -> Tensor:
        """tangent, of radians, element by element."""
    def tan_(self) -> Tensor:
        """tan(), written to this tensor."""
    def tanh(self) -> Tensor:
        """hyperbolic tangent, element by element."""
    def tanh_(self) -> Tensor:
        """tanh(), written to this tensor."""
    @overload
    def tensor_split(self, sections: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
    @overload
    def tensor_split(self, indices: builtins.int | Sequence[builtins.int], dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
    @overload
    def tensor_split(self, tensor_indices_or_sections: Tensor, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """Parts of a dimension: as many, of lengths that differ by 1 at most, or those that begin at given positions."""
    @overload
    def tile(self, dims: builtins.int | Sequence[builtins.int]) -> Tensor:
        """repeat(), where fewer numbers than dimensions stand for the last ones."""
    @overload
    def tile(self, *dims: builtins.int) -> Tensor:
        """repeat(), where fewer numbers than dimensions stand for the last ones."""
    def to(self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: builtins.bool = False, copy: builtins.bool = False, memory_format: Any = None, other: Any = None) -> Tensor:
        """to(dtype), to(device), to(device, dtype) or to(other): the tensor itself where nothing changes, unless `copy`."""
    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
    def topk(self, k: builtins.int, dim: builtins.int = -1, largest: builtins.bool = True, sorted: builtins.bool = True, *, axis: builtins.int = -1) -> return_types.topk:
        """(values, indices) of the k largest (or smallest) elements along `dim`, in order."""
    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal; of integers in int64."""
    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """Two dimensions exchanged."""
    def transpose_(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """transpose(), which this tensor becomes."""
    def triangular_solve(self, A: Tensor, upper: builtins.bool = True, transpose: builtins.bool = False, unitriangular: builtins.bool = False) -> return_types.triangular_solve:
        """(X, A) with A @ X = input, of A one triangle."""
    def tril(self, diagonal: builtins.int = 0) -> Tensor:
        """The elements on and below a diagonal of matrices, zeros elsewhere."""
    def tril_(self, diagonal: builtins.int = 0) -> Tensor:
        """tril(), written to this tensor."""
    def triu(self, diagonal: builtins.int = 0) -> Tensor:
        """The elements on and above a diagonal of matrices, zeros elsewhere."""
    def triu_(self, diagonal: builtins.int = 0) -> Tensor:
        """triu(), written to this tensor."""
    def true_divide(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """a / b, floating, element by element, with broadcasting and type promotion."""
    def true_divide_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """true_divide(), written to this tensor."""
    def trunc(self) -> Tensor:
        """x without its fraction, element by element."""
    def trunc_(self) -> Tensor:
        """trunc(), written to this tensor."""
    def type(self, dtype: Any = None, non_blocking: builtins.bool = False) -> Any:
        """type(): the legacy name, such as 'torch.FloatTensor'; with a dtype or such a name, the tensor in it."""
    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of another."""
    def unbind(self, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """The parts at each position of dimension `dim`, without it."""
    @overload
    def unflatten(self, dim: builtins.int, sizes: builtins.int | Sequence[builtins.int]) -> Tensor:
        """Dimension `dim` as several."""
    @overload
    def unflatten(self, dim: builtins.int, *sizes: builtins.int) -> Tensor:
        """Dimension `dim` as several."""
    def unfold(self, dimension: builtins.int, size: builtins.int, step: builtins.int) -> Tensor:
        """Windows of a dimension, `size` long and `step` apart, as a new last dimension; a copy here."""
    def uniform_(self, from_: builtins.float = 0.0, to: builtins.float = 1.0, *, generator: Generator | None = None, **named: Any) -> Tensor:
        """Overwrite with uniform numbers in [from, to)."""
    def unique(self, sorted: builtins.bool = True, return_inverse: builtins.bool = False, return_counts: builtins.bool = False, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Any:
        """The distinct elements (or parts along `dim`), rising; with where each element is among them, and how often it comes."""
    def unique_consecutive(self, return_inverse: builtins.bool = False, return_counts: builtins.bool = False, dim: builtins.int | None = None, *, axis: builtins.int | None = None) -> Any:
        """The elements (or parts along `dim`) that differ from the one before."""
    def unsafe_chunk(self, chunks: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """chunk()."""
    def unsafe_split(self, split_size: builtins.int, dim: builtins.int = 0, *, axis: builtins.int = 0) -> builtins.tuple[Tensor, ...]:
        """split()."""
    @overload
    def unsqueeze(self, dim: builtins.int) -> Tensor:
        """A new dimension of length 1 at `dim`."""
    @overload
    def unsqueeze(self, *, axis: builtins.int) -> Tensor:
        """A new dimension of length 1 at `dim`."""
    @overload
    def unsqueeze_(self, dim: builtins.int) -> Tensor:
        """unsqueeze(), which this tensor becomes."""
    @overload
    def unsqueeze_(self, *, axis: builtins.int) -> Tensor:
        """unsqueeze(), which this tensor becomes."""
    def var(self, dim: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, unbiased: builtins.bool | None = None, keepdim: builtins.bool = False, *, correction: builtins.int | builtins.float | None = None, axis: builtins.int | Sequence[builtins.int] | builtins.bool | None = None, keepdims: builtins.bool = False) -> Tensor:
        """The variance: squared distances from the mean, summed and divided by n - correction (1)."""
    def vdot(self, other: Tensor) -> Tensor:
        """dot(input, other): there are no complex numbers to conjugate."""
    @overload
    def view(self, size: builtins.int | Sequence[builtins.int] | dtype) -> Tensor:
        """The same elements in another shape, sharing storage.  One length may be -1."""
    @overload
    def view(self, *size: builtins.int) -> Tensor:
        """The same elements in another shape, sharing storage.  One length may be -1."""
    def view_as(self, other: Tensor) -> Tensor:
        """view() in the shape of another tensor."""
    @overload
    def vsplit(self, sections: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 0."""
    @overload
    def vsplit(self, indices: builtins.int | Sequence[builtins.int]) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 0."""
    @overload
    def vsplit(self, *indices: builtins.int) -> builtins.tuple[Tensor, ...]:
        """tensor_split() along dimension 0."""
    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition, other elsewhere."""
    def xlogy(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """x * log(y), 0 where x is 0 (unless y is nan), element by element, with broadcasting and type promotion."""
    def xlogy_(self, other: Tensor | builtins.int | builtins.float) -> Tensor:
        """xlogy(), written to this tensor."""
    def zero_(self) -> Tensor:
        """Write 0 to every element."""
