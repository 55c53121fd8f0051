"""Layer and batch normalisation, vectors of length 1, the cosine between vectors, and rows of a table."""
from __future__ import annotations

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import in_grad_mode, scalar_node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST
from jitgrad.operators.operands import Dim, Dims, Integers, cast
from jitgrad.operators.templates.template import no_template
from jitgrad.ops.declare import common_device
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import int32, int64

F = ("functional",)


def _moments(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node, Node]:
    """x minus its mean along axes, the mean, and the mean square of the difference."""
    count = ops.count(x, axes=axes)
    mean = ops.sum(x, axes=axes) / count
    centred = x - mean
    return centred, mean, ops.sum(centred * centred, axes=axes) / count


def _check_dtypes(input: Node, *others: Node | None) -> None:
    if any([p is not None and p.type.dtype is not input.type.dtype for p in others]):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")


@operator("NativeLayerNormBackward0", places=F, saves=("input", "weight"), edges=("input", "weight", "bias"))
def layer_norm(input: Node, normalized_shape: Integers, weight: Node | None = None, bias: Node | None = None,
               eps: float = 1e-5) -> Node:
    """The last dimensions, of normalized_shape, to mean 0 and variance 1, then times weight plus bias (Ba et al. 2016)."""
    shape, have = tuple(normalized_shape), input.type.shape
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
                           "normalized_shape = []")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p.type.shape != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                               f"{list(p.type.shape)} and normalized_shape = {list(shape)}")
    if have[len(have) - len(shape):] != shape or len(have) < len(shape):
        wanted = "".join([f", {n}" for n in shape])
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*{wanted}], but got input of "
                           f"size{list(have)}")
    _check_dtypes(input, weight, bias)
    centred, _, variance = _moments(input, tuple(range(len(have) - len(shape), len(have))))
    result = centred * ops.rsqrt(variance + scalar_node(float(eps), input.type.dtype))
    if weight is not None:
        result = result * weight
    return result if bias is None else result + bias


@operator("NativeBatchNormBackward0", name="nn.functional.batch_norm", places=(), saves=("input", "weight"),
          edges=("input", "weight", "bias"))
def _batch_norm(input: Node, weight: Node | None, bias: Node | None, mean: Node | None, variance: Node | None,
                eps: float) -> tuple[Node, Node, Node]:
    """The normalised input, and the mean and variance by which it is."""
    _check_dtypes(input, weight, bias, mean, variance)
    ndim = input.type.ndim
    across = tuple([d for d in range(ndim) if d != 1]) if ndim > 1 else ()

    def along(v: Node) -> Node:
        return ops.unsqueeze(v, dims=across) if across else v

    if mean is None or variance is None:
        centred, found, spread = _moments(input, across)
    else:
        found, spread = along(mean), along(variance)
        centred = input - found
    result = centred * ops.rsqrt(spread + scalar_node(float(eps), input.type.dtype))
    if weight is not None:
        result = result * along(weight)
    if bias is not None:
        result = result + along(bias)
    return result, ops.squeeze(ops.detach(found), dims=across), ops.squeeze(ops.detach(spread), dims=across)


@function(places=F)
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Each feature (dimension 1) to mean 0 and variance 1 over the batch, then times weight plus bias (Ioffe and Szegedy 2015).

    In training by the batch's own moments, from which running_mean and running_var, if given, move by `momentum`; else by those."""
    no_template()
    count = 0
    if training:
        count = input.numel() // max(input.shape[1], 1) if input.ndim > 1 else 0
        if count == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    elif running_mean is None or running_var is None:
        raise RuntimeError(f"running_{'mean' if running_mean is None else 'var'} must be defined in evaluation mode")
    moments = (None, None) if training else (running_mean, running_var)
    result, mean, variance = OPERATORS["nn.functional.batch_norm"].call(input, weight, bias, *moments, eps)
    if training and input.numel() and (running_mean is not None or running_var is not None):
        in_grad_mode(False, _follow, running_mean, running_var, mean, variance, momentum, count)
    return result


def _follow(running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, variance: Tensor, momentum: float,
            count: int) -> None:
    """Move running moments towards those of a batch; the variance is the unbiased one."""
    if running_mean is not None:
        running_mean.copy_(momentum * mean + (1 - momentum) * running_mean)
    if running_var is not None:
        running_var.copy_(momentum * (variance * (count / max(count - 1, 1))) + (1 - momentum) * running_var)


@operator("EmbeddingBackward0", name="nn.functional.embedding", places=(), saves=("input",), edges=("weight",))
def _embedding(input: Node, weight: Node, padding: int) -> Node:
    """The rows; those of the number `padding`, if that is not negative, pass no gradient on."""
    common_device((weight.type, input.type))
    rows = ops.index(weight, cast(input, int64), axes=(0,))
    if padding < 0:
        return rows
    padded = ops.eq(cast(input, int64), scalar_node(padding, int64))
    return ops.where(ops.unsqueeze(padded, dims=(input.type.ndim,)), ops.detach(rows), rows)


@function(places=F)
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """weight[input]; the row padding_idx gets no gradient."""
    no_template()
    if max_norm is not None or scale_grad_by_freq:
        raise NotImplementedError("embedding(): max_norm and scale_grad_by_freq are not supported")
    if input.dtype not in (int32, int64):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
                           f"{input.type()} instead (while checking arguments for embedding)")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    count = weight.shape[0]
    if padding_idx is not None:
        if not -count <= padding_idx < count:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= count
    _check_rows(input, count)
    return OPERATORS["nn.functional.embedding"].call(input, weight, -1 if padding_idx is None else padding_idx)


def _check_rows(input: Tensor, count: int) -> None:
    """Raise IndexError for numbers of no row."""
    from jitgrad import tracing
    trace = tracing.current()
    node = input._current()
    if trace is not None and trace.positions(node, 0, count):
        return
    if node.type.device != "cpu":         # what is not there is found when it is read
        return
    no_template()
    numbers = execute.value(node)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise IndexError("index out of range in self")


@function(places=F, out=CAST)
def normalize(input: Tensor, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Tensor:
    """The input over its norm of order p along dim, which is kept above eps."""
    no_template()
    size = OPERATORS["clamp"].call(OPERATORS["norm"].call(input, p, dim, keepdim=True), min=eps)
    return input / size.expand(input.shape)


@function(places=("torch", "functional"))
def cosine_similarity(x1: Tensor, x2: Tensor, dim: Dim = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along dim; norms are kept above eps."""
    no_template()
    x1, x2 = OPERATORS["broadcast_tensors"].call(x1, x2)
    norm, clamp = OPERATORS["norm"].call, OPERATORS["clamp"].call
    sizes = [clamp(norm(x, 2, dim, keepdim=True), min=eps) for x in (x1, x2)]
    return ((x1 / sizes[0]) * (x2 / sizes[1])).sum(dim)
