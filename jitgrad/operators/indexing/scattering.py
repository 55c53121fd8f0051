"""Writing at positions into a copy: scatter, index_put, index_add and their relatives; repeat_interleave and take, which read."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator, overloaded
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.indexing.getitem import setitem
from jitgrad.operators.indexing.selection import index_node
from jitgrad.operators.operands import Scalar, Tensors, cast, normal_dim, number_node
from jitgrad.operators.templates.template import no_template
from jitgrad.ops.reduction import greatest, least
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import array_type
from jitgrad.types.dtype import bool_, check_fits, int64

BOTH = ("torch", "method")


# -- along one dimension -----------------------------------------------------------------------------------------------

def _along(called: str, input: Node, dim: int, index: Node, src: Node | None) -> tuple[Node, int, Node, Node | None]:
    """The operands of a scatter, with a dimension each, src as large as the index."""
    index, d = index_node(called, index, input), normal_dim(dim, input.type.ndim)
    if src is not None and src.type.dtype is not input.type.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    operands = [n if n is None or n.type.ndim else ops.unsqueeze(n, dims=(0,)) for n in (input, index, src)]
    x, index, src = operands        # type: ignore[assignment]
    assert index is not None and x is not None
    if not index.type.size:
        return x, d, index, src
    if index.type.ndim != x.type.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src is not None and index.type.ndim != src.type.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for i, n in enumerate(index.type.shape):
        if (i != d and n > x.type.shape[i]) or (src is not None and n > src.type.shape[i]):
            to = f" and to be no larger size than src {list(src.type.shape)}" if src is not None else ""
            raise RuntimeError(f"Expected index {list(index.type.shape)} to be no larger than self {list(x.type.shape)} apart from "
                               f"dimension {d}{to}")
    if src is not None and src.type.shape != index.type.shape:
        sizes = tuple([v for n, m in zip(index.type.shape, src.type.shape, strict=True) if n != m for v in (0, n, 1)])
        full = tuple([True if n == m else "prefix" for n, m in zip(index.type.shape, src.type.shape, strict=True)])
        src = ops.slice(src, full=full, sizes=sizes)
    return x, d, index, src


def _scattered(input: Node, dim: int, index: Node, src: Node, op: Any, called: str) -> Node:
    x, d, at, value = _along(called, input, dim, index, src)
    if not at.type.size:
        return ops.copy(input)
    result = op(x, at, value, dim=d)
    return result if input.type.ndim else ops.squeeze(result, dims=(0,))


def _filled(input: Node, index: Node, value: Any) -> Node:
    check_fits(value, input.type.dtype)
    return ops.expand(number_node(value, input.type.dtype, input.type.device), sizes=index.type.shape)


@operator("ScatterBackward0", name="scatter.src", places=(), edges=("input", "src"), saves=("index",), out=EXACT)
def _scatter(input: Node, dim: int, index: Node, src: Node) -> Node:
    """input with the elements at the positions `index` along `dim` replaced by those of src."""
    return _scattered(input, dim, index, src, ops.put_along, "scatter")


@operator("ScatterBackward1", name="scatter.value", places=(), edges=("input",), saves=("index",), out=EXACT)
def _scatter_value(input: Node, dim: int, index: Node, value: Scalar) -> Node:
    """input with the elements at the positions `index` along `dim` replaced by a number."""
    return _scattered(input, dim, index, _filled(input, index, value), ops.put_along, "scatter")


@operator("ScatterAddBackward0", edges=("input", "src"), saves=("index",), inplace=True, out=EXACT)
def scatter_add(input: Node, dim: int, index: Node, src: Node) -> Node:
    """input with the elements of src added at the positions `index` along `dim`; equal positions add up."""
    return _scattered(input, dim, index, src, ops.put_along_add, "scatter_add")


def _included(x: Node, at: Node, dim: int) -> Node:
    """1 where elements are written to, else 0."""
    return ops.put_along_add(ops.zeros_like(x), at, ops.expand_like(ops.number(1, x), at), dim=dim)


def _extreme_of(x: Node, d: int, at: Node, value: Node, include_self: bool, largest: bool) -> Node:
    """The largest (or smallest) of what is written to each place; ties share the gradient evenly."""
    no_template()
    positions, n = execute.on_host(at, "scatter_reduce"), x.type.shape[d]
    kept = np.array(execute.value(x))
    function = np.maximum if largest else np.minimum
    key = tuple([positions if i == d else g for i, g in enumerate(np.ogrid[tuple([slice(0, m) for m in positions.shape])])])
    if ((positions < 0) | (positions >= n)).any():
        bad = positions[(positions < 0) | (positions >= n)]
        raise RuntimeError(f"index {int(bad[0])} is out of bounds for dimension {d} with size {n}")
    if not include_self:
        kept[key] = (least if largest else greatest)(x.type.dtype)
    with np.errstate(invalid="ignore"):
        function.at(kept, key, execute.value(value))
    best = input_node(kept, x.type)
    if x.type.dtype.category < 2:
        return best
    won = cast(ops.eq(value, ops.take_along(best, at, dim=d)), x.type.dtype)
    own = cast(ops.eq(x, best), x.type.dtype)
    if not include_self:
        own = own * cast(ops.eq(_included(x, at, d), 0), x.type.dtype)
    count = ops.put_along_add(own, at, won, dim=d)
    total = ops.put_along_add(own * x, at, won * value, dim=d)
    return total / count


def _reduced(x: Node, d: int, at: Node, value: Node, reduce: str, include_self: bool) -> Node:
    counted = _included(x, at, d)
    untouched = ops.eq(counted, 0)
    if reduce in ("sum", "mean"):
        base = x if include_self else ops.where(untouched, x, ops.number(0, x))
        total = ops.put_along_add(base, at, value, dim=d)
        if reduce == "sum":
            return total
        count = counted + 1 if include_self else ops.where(untouched, ops.number(1, x), counted)
        return total / count if x.type.dtype.category == 2 else ops.floor_divide(total, count)
    if x.type.dtype is bool_:
        return cast(_reduced(cast(x, int64), d, at, cast(value, int64), reduce, include_self), bool_)
    if reduce in ("amax", "amin"):
        return _extreme_of(x, d, at, value, include_self, reduce == "amax")
    base = x if include_self else ops.where(untouched, x, ops.number(1, x))
    return _product(base, d, at, value)


def _product(x: Node, d: int, at: Node, value: Node) -> Node:
    """x times all that is written to each place: through a table of as many rows as elements that meet."""
    no_template()
    positions = np.moveaxis(execute.on_host(at, "scatter_reduce"), d, 0)
    order = np.zeros(positions.shape, np.int64)
    for i in range(len(positions)):
        order[i] = (positions[:i] == positions[i]).sum(0)
    depth = int(order.max(initial=0)) + 1
    rank = input_node(np.ascontiguousarray(np.moveaxis(order, 0, d)), at.type)
    result = x
    for k in range(depth):
        here = ops.eq(rank, ops.number(k, rank))
        factor = ops.put_along_add(ops.expand_like(ops.number(1, x), x), at, ops.where(here, value - 1, ops.number(0, value)), dim=d)
        result = result * factor
    return result


_REDUCTIONS = {"sum": "sum", "prod": "prod", "mean": "mean", "amax": "amax", "amin": "amin"}


@operator("ScatterReduceBackward0", edges=("input", "src"), saves=("index", "src"), inplace=True, out=EXACT)
def scatter_reduce(input: Node, dim: int, index: Node, src: Node, reduce: str, *, include_self: bool = True) -> Node:
    """What is written to each place along `dim`, reduced (sum, prod, mean, amax, amin), with what was there if include_self."""
    if reduce not in _REDUCTIONS:
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got " + str(reduce))
    x, d, at, value = _along("scatter", input, dim, index, src)
    if not at.type.size:
        return ops.copy(input)
    assert value is not None
    result = _reduced(x, d, at, value, reduce, include_self)
    return result if input.type.ndim else ops.squeeze(result, dims=(0,))


@function(name="scatter.reduce", places=(), out=EXACT)
def _scatter_by(input: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    """scatter() that adds to what is there, or multiplies it ("add", "multiply")."""
    return scatter_reduce(input, dim, index, src, {"add": "sum", "multiply": "prod"}[reduce])


@function(name="scatter.value_reduce", places=(), kind=None, out=EXACT)
def _scatter_value_by(input: Tensor, dim: int, index: Tensor, value: Scalar, *, reduce: str) -> Tensor:
    """scatter() of a number that adds to what is there, or multiplies it ("add", "multiply")."""
    src = OPERATORS["expand"].call(input.new_full((), value), tuple(index.shape))
    return scatter_reduce(input, dim, index, src, {"add": "sum", "multiply": "prod"}[reduce])


overloaded("scatter", (_scatter, _scatter_value, _scatter_by, _scatter_value_by),
           "input with the elements at the positions `index` along `dim` replaced by those of src, or by a number.", inplace=True)


# -- along one dimension, whole parts ----------------------------------------------------------------------------------

def _parts(called: str, input: Node, dim: int, index: Node, source: Node | None) -> tuple[Node, int, Node, Node | None]:
    """The operands of index_add and its kin: a vector of positions, parts of the input's shape elsewhere."""
    index, d = index_node(called, index, input), normal_dim(dim, input.type.ndim)
    if index.type.ndim > 1:
        raise IndexError(f"{called}(): Index is supposed to be a vector, but got dim: {index.type.ndim}")
    if not index.type.ndim:
        index = ops.unsqueeze(index, dims=(0,))
    x = input if input.type.ndim else ops.unsqueeze(input, dims=(0,))
    n = x.type.shape[d]
    positions = index.value
    no_template()
    if index.type.device == "cpu":
        positions = execute.value(index) if positions is None else positions
    else:
        positions = np.zeros(0, np.int64)       # what is not there is found on the device
    if ((positions < -n * (called == "index_fill")) | (positions >= n)).any():
        raise IndexError("index out of range in self")
    if source is not None:
        if source.type.dtype is not input.type.dtype:
            raise RuntimeError(f"{called}(): self and source expected to have the same dtype, but got (self) "
                               f"{input.type.dtype.title} and "
                               f"(source) {source.type.dtype.title}")
        wanted = (*x.type.shape[:d], index.type.shape[0], *x.type.shape[d + 1:])
        if source.type.size == 1 and source.type.shape != wanted and int(np.prod(wanted)) == 1:
            source = ops.reshape(source, sizes=wanted)
        if source.type.shape != wanted:
            if source.type.ndim == len(wanted) and source.type.shape[d] != index.type.shape[0]:
                raise IndexError(f"{called}(): Number of indices ({index.type.shape[0]}) should be equal to source.size(dim) "
                                 f"({source.type.shape[d]})")
            raise RuntimeError(f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                               f"{list(x.type.shape)} source.shape = {list(source.type.shape)}")
    return x, d, index, source


@operator("IndexAddBackward0", edges=("input", "source"), saves=("index",), inplace=True, out=EXACT, kind=None)
def index_add(input: Node, dim: int, index: Node, source: Node, *, alpha: Scalar = 1) -> Node:
    """input with alpha times the parts of source added at the positions `index` of `dim`."""
    x, d, at, value = _parts("index_add", input, dim, index, source)
    assert value is not None
    if alpha != 1:
        value = value * number_node(alpha, value.type.dtype)
    return ops.reshape_like(ops.index_put_add(x, value, at, axes=(d,)), input)


@operator("IndexCopyBackward0", edges=("input", "source"), saves=("index",), inplace=True, out=EXACT, kind=None)
def index_copy(input: Node, dim: int, index: Node, source: Node) -> Node:
    """input with the parts at the positions `index` of `dim` replaced by those of source."""
    x, d, at, value = _parts("index_copy", input, dim, index, source)
    return ops.reshape_like(ops.index_put(x, value, at, axes=(d,)), input)


@operator(lambda a: "IndexFillBackward1" if type(a.get("value")) is Node else "IndexFillBackward0", inplace=True, saves=("index",),
          edges=lambda a: ("input", "value") if type(a.get("value")) is Node else ("input",), kind=None)
def index_fill(input: Node, dim: int, index: Node, value: Node | Scalar) -> Node:
    """input with the parts at the positions `index` of `dim` replaced by a number."""
    x, d, at, _ = _parts("index_fill", input, dim, index, None)
    if type(value) is Node:
        if value.type.ndim:
            raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.type.ndim} "
                               "dimension(s).")
        number = cast(value, x.type.dtype)
    else:
        check_fits(value, x.type.dtype)         # type: ignore[arg-type]
        number = number_node(value, x.type.dtype, x.type.device)
    row = ops.expand(ops.number(False, ops.gt(number, number)), sizes=(x.type.shape[d],))
    filled = ops.index_put(row, ops.expand(ops.number(True, row), sizes=at.type.shape), at, axes=(0,))
    filled = ops.unsqueeze(filled, dims=tuple(range(1, x.type.ndim - d)))
    return ops.reshape_like(ops.where(filled, number, x), input)


@function(places=BOTH, kind=None, out=EXACT, inplace=True)
def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """The parts written to each position of `dim`, reduced ("prod", "mean", "amax", "amin"), with what was there if include_self."""
    d = normal_dim(dim, input.ndim)
    if not source.ndim:
        return scatter_reduce(input, dim, index.reshape(()), source, reduce, include_self=include_self)
    at = index.reshape([-1 if i == d else 1 for i in range(max(source.ndim, 1))]).expand(tuple(source.shape))
    return scatter_reduce(input, dim, at, source, reduce, include_self=include_self)


# -- at positions in several dimensions --------------------------------------------------------------------------------

@function(places=BOTH, kind=None, inplace=True)
def index_put(input: Tensor, indices: Tensors, values: Tensor, accumulate: bool = False) -> Tensor:
    """input with the elements at input[indices] replaced by values, or with values added (equal positions add up)."""
    if values.dtype is not input.dtype:
        raise RuntimeError(f"Index put requires the source and destination dtypes match, got {input.dtype.title} for the destination "
                           f"and {values.dtype.title} for the source.")
    key = tuple([slice(None) if i is None else i for i in indices])
    at = _positions(input)[key]
    shape = list(values.shape)
    if len(shape) > at.ndim or any([n not in (1, m) for n, m in zip(reversed(shape), reversed(at.shape), strict=False)]):
        raise RuntimeError(f"shape mismatch: value tensor of shape {shape} cannot be broadcast to indexing result of shape "
                           f"{list(at.shape)}")
    if accumulate:
        return put(input, at, OPERATORS["broadcast_to"].call(values, tuple(at.shape)), True)
    result = OPERATORS["clone"].call(input)
    setitem(result, key, values)
    return result


def _positions(input: Tensor) -> Tensor:
    n = input.numel()
    where = input._node.spec.type.device
    return wrap(input_node(np.arange(n).reshape(tuple(input.shape)), array_type(tuple(input.shape), int64, where)))


@operator("PutBackward0", edges=("input", "source"), saves=("index",), inplace=True)
def put(input: Node, index: Node, source: Node, accumulate: bool = False) -> Node:
    """input, as one dimension, with the elements at `index` replaced by those of source, or with those added."""
    at = ops.reshape(index_node("put_", index, input), sizes=(index.type.size,))
    if source.type.dtype is not input.type.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{input.type.dtype.title} and "
                           f"source.dtype = {source.type.dtype.title}")
    if index.type.size != source.type.size:
        raise RuntimeError(f"put_(): source and index must have the same number of elements, but got source.numel() = "
                           f"{source.type.size}, index.numel() = {index.type.size}")
    value = ops.reshape(source, sizes=(source.type.size,))
    flat = ops.reshape(input, sizes=(input.type.size,))
    if not input.type.size:
        if at.type.size:
            raise IndexError("put_(): Tried to put elements into an empty tensor")
        return ops.copy(input)
    return ops.reshape_like((ops.index_put_add if accumulate else ops.index_put)(flat, value, at, axes=(0,)), input)


@operator("TakeBackward0", edges=("input",), saves=("index",), out=EXACT)
def take(input: Node, index: Node) -> Node:
    """The elements of input, as one dimension, at the positions `index`."""
    if index.type.dtype is not int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.type.dtype.title}")
    if index.type.size and not input.type.size:
        raise IndexError("take(): tried to take from an empty tensor")
    at = ops.reshape(index, sizes=(index.type.size,))
    return ops.reshape(ops.index(ops.reshape(input, sizes=(input.type.size,)), at, axes=(0,)), sizes=index.type.shape)


@function(places=BOTH, kind=None, inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements where mask is true replaced by those of source, in order."""
    if mask.dtype is not bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype " + repr(mask.dtype))
    if source.dtype is not input.dtype:
        raise RuntimeError("masked_scatter_: expected self and source to have same dtypes but got " +
                           f"{input.dtype.title} and {source.dtype.title}")
    x, where = OPERATORS["broadcast_tensors"].call(input, mask)
    count = int(execute.on_host(where._current(), "masked_scatter").sum())
    if count > source.numel():
        raise RuntimeError("Number of elements of source < number of ones in mask")
    result = OPERATORS["clone"].call(x)
    setitem(result, where, source.reshape(-1)[:count])
    return result


# -- reading -----------------------------------------------------------------------------------------------------------

def _interleaved(input: Tensor, repeats: Any, dim: int | None) -> Tensor:
    if dim is None:
        input, dim = input.reshape(-1), 0
    d = normal_dim(dim, input.ndim)
    if not input.ndim:
        input = input.unsqueeze(0)
    n = input.shape[d]
    counts = execute.on_host(repeats._current(), "repeat_interleave") if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype.kind not in "iu":
        raise RuntimeError("repeats has to be Long or Int tensor")
    if counts.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if counts.size and counts.min() < 0:
        raise RuntimeError("Repeats must be non-negative")
    if counts.ndim and counts.size not in (1, n):
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {counts.size} and "
                           f"input.size({d}) = {n}")
    at = np.repeat(np.arange(n), counts if counts.ndim == 0 or counts.size == n else counts[0])
    return OPERATORS["index_select"].call(input, d, wrap(input_node(at, array_type(at.shape, int64, input._node.spec.type.device))))


@function(name="repeat_interleave.self", places=(), kind=None)
def _repeat_interleave(input: Tensor, repeats: Tensor | int, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each element (or part along `dim`) as often as `repeats` says."""
    return _interleaved(input, repeats, dim)


@function(name="repeat_interleave.counts", places=(), kind=None)
def _repeat_positions(repeats: Tensor, *, output_size: int | None = None) -> Tensor:
    """The position of each element as often as the element says."""
    at = np.arange(len(repeats))
    return _interleaved(wrap(input_node(at, array_type(at.shape, int64, repeats._node.spec.type.device))), repeats, 0)


overloaded("repeat_interleave", (_repeat_interleave, _repeat_positions), "Each element (or part along `dim`) as often as "
                                                                         "`repeats` says.", kind=None)


@operator("UnfoldBackward0", places=("method",), saves=(), kind=None)
def unfold(input: Node, dimension: int, size: int, step: int) -> Node:
    """Windows of a dimension, `size` long and `step` apart, as a new last dimension; a copy here."""
    d, x = normal_dim(dimension, input.type.ndim), input if input.type.ndim else ops.unsqueeze(input, dims=(0,))
    n = x.type.shape[d]
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    windows = (n - size) // step + 1
    at = np.arange(windows)[:, None] * step + np.arange(size)
    picked = ops.index(x, input_node(at, array_type(at.shape, int64, x.type.device)), axes=(d,))
    order = (*range(d + 1), *range(d + 2, x.type.ndim + 1), d + 1)
    picked = ops.permute(picked, dims=order)
    return picked if input.type.ndim else ops.reshape(picked, sizes=(size,))
