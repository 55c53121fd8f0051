"""`x[...]`: reading, and writing through the view or at positions; and the functions that read at positions.

As in PyTorch, integers, slices, None and Ellipsis are applied first, one after the other, and give a view; tensors and
masks then read from that view.
"""
from __future__ import annotations

from operator import index
from typing import Any, NamedTuple

import numpy as np

from jitgrad import executor, ops, tracing
from jitgrad.arraytype import ArrayType, array_type, broadcast_shapes
from jitgrad.dtype import bool_, check_fits, int64
from jitgrad.graph import INPUT, Node, Spec, find_spec, grad_mode, input_node
from jitgrad.operators.declare import finish_composite, operator, register
from jitgrad.operators.operands import Number, cast, normal_dim, number_node, reach, to_node, within
from jitgrad.operators.origin import Composite, user_line
from jitgrad.operators.recipes import holds
from jitgrad.operators.shape import region, selected
from jitgrad.operators.views import MAX_PLANS, Plan, make_plan, remember, view, view_by_plan
from jitgrad.ops.indexing import check_positions
from jitgrad.storage import Step, stamp
from jitgrad.tensor import Tensor, from_array, wrap

Steps = tuple[Step, ...]
_UNSQUEEZE = ops.REGISTRY["unsqueeze"]


class Key(NamedTuple):
    """An index taken apart: views with their grad_fn names, then positions (tensors of int64 or bool) by dimension."""

    views: list[tuple[str, Steps]]
    positions: list[tuple[int, Tensor]]


# -- taking an index apart -------------------------------------------------------------------------------------------

def _as_tuple(key: Any) -> tuple:
    """The index as a tuple.  A list that holds more than numbers counts as one (PyTorch's rule)."""
    if isinstance(key, tuple):
        return key
    if isinstance(key, list) and len(key) < 32 and any(
            [v is None or v is Ellipsis or isinstance(v, (slice, Tensor, list, tuple, np.ndarray)) for v in key]):
        return tuple(key)
    return (key,)


def _as_position(value: Any) -> Tensor | None:
    """A tensor for what indexes by elements: tensors, arrays and sequences of integers or bools."""
    if isinstance(value, Tensor):
        tensor = value
    elif isinstance(value, (list, tuple, range, np.ndarray)):
        array = np.asarray(value)
        if not array.size:
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        tensor = from_array(array.astype(np.bool_ if array.dtype.kind == "b" else np.int64))
    else:
        return None
    if tensor.dtype.category == 2:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return tensor


def _whole_number(value: Any) -> int | None:
    """The integer that a part of an index stands for, if it is one."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, Tensor):
        if value.ndim or value.dtype.category != 1:
            return None
        return int(value._array())
    if isinstance(value, (np.ndarray, list, tuple)):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def _consumed(part: Any) -> int:
    """How many dimensions a part of an index refers to."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    if isinstance(part, Tensor) and part.dtype is bool_:
        return part.ndim
    if isinstance(part, np.ndarray) and part.dtype == np.bool_:
        return part.ndim
    if isinstance(part, list) and part:
        array = np.asarray(part)
        return array.ndim if array.dtype == np.bool_ else 1
    return 1


def _sliced(part: slice, shape: tuple[int, ...], dim: int) -> Step | None:
    """The step of a slice; None for one without bounds.

    A bound counts even if it leaves everything: `x[:k]` has the same structure for every k."""
    if part.start is None and part.stop is None and (part.step is None or part.step == 1):
        return None
    step = 1 if part.step is None else index(part.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    n = shape[dim]
    start, stop, _ = slice(None if part.start is None else index(part.start),
                           None if part.stop is None else index(part.stop)).indices(n)
    length = max(0, -((start - stop) // step))
    kind = part.step is None and ("prefix" if part.start is None else "suffix" if part.stop is None else "unit")
    return region(shape, dim, start, length, step, kind)


def parse(key: Any, shape: tuple[int, ...]) -> Key:
    """Take an index apart, for a tensor of this shape.  Raises IndexError, ValueError or TypeError as PyTorch does."""
    parts = _as_tuple(key)
    if sum(map(_consumed, parts)) > len(shape):
        if not shape and len(parts) == 1 and _whole_number(parts[0]) is not None:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
                             "C++ to convert a 0-dim tensor to a number")
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    views: list[tuple[str, Steps]] = []
    positions: list[tuple[int, Tensor]] = []
    dim = gone = 0      # where the next part applies in the view so far; how many dimensions integers have taken away
    for i, part in enumerate(parts):
        if part is Ellipsis:
            dim = len(shape) - sum(map(_consumed, parts[i + 1:]))
        elif part is None:
            views.append(("UnsqueezeBackward0", (Step(_UNSQUEEZE, ((dim,),), None),)))
            shape = shape[:dim] + (1,) + shape[dim:]
            dim += 1
        elif isinstance(part, slice):
            step = _sliced(part, shape, dim)
            if step is not None:
                views.append(("SliceBackward0", (step,)))
                shape = shape[:dim] + (step.sizes[1],) + shape[dim + 1:]       # type: ignore[index]
            elif len(parts) == 1:
                views.append(("SliceBackward0", ()))
            dim += 1
        elif (number := _whole_number(part)) is not None:
            if not -shape[dim] <= number < shape[dim]:
                raise IndexError(f"index {number} is out of bounds for dimension {dim + gone} with size {shape[dim]}")
            views.append(("SelectBackward0", selected(shape, dim, number)))
            shape = shape[:dim] + shape[dim + 1:]
            gone += 1
        elif isinstance(part, (bool, np.bool_)) or (isinstance(part, Tensor) and not part.ndim):
            views.append(("UnsqueezeBackward0", (Step(_UNSQUEEZE, ((dim,),), None),)))
            shape = shape[:dim] + (1,) + shape[dim:]
            positions.append((dim, from_array(np.array([bool(part)]))))
            dim += 1
        else:
            tensor = _as_position(part)
            if tensor is None:
                raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
                                 f"valid indices (got {type(part).__name__})")
            width = _consumed(tensor)
            if tensor.dtype is bool_ and tuple(tensor.shape) != shape[dim:dim + width]:
                at = next(i for i, (n, m) in enumerate(zip(tensor.shape, shape[dim:], strict=False)) if n != m)
                raise IndexError(f"The shape of the mask {list(tensor.shape)} at index {at} does not match the shape "
                                 f"of the indexed tensor {list(shape)} at index {dim + at}")
            positions.append((dim, tensor))
            dim += width
    return Key(views, positions)


def _positions(key: Key, source: Node) -> tuple[tuple[int, ...], list[Node]]:
    """The dimensions of `source` that are read at positions, and the positions: int64 nodes of one shape.

    Raises IndexError for positions out of range, if their values are there already; otherwise that waits until they are."""
    axes: list[int] = []
    nodes: list[Node] = []
    for dim, tensor in key.positions:
        node = tensor._current()
        if node.type.dtype is bool_:
            cell = tensor._ensure_storage().cell
            for i, array in enumerate(np.nonzero(executor.value(node))):
                axes.append(dim + i)
                nodes.append(input_node(array, array_type(array.shape, int64)))
                stamp(nodes[-1], cell)      # a write to the mask is seen by what has read at these positions
        else:
            axes.append(dim)
            nodes.append(cast(node, int64))
            trace = tracing.current()
            length = source.type.shape[dim]
            if node.value is not None and (trace is None or not trace.positions(node, -length, length)):
                check_positions(source.type.shape, (executor.value(node),), (dim,))
    try:
        shape = broadcast_shapes(*[n.type.shape for n in nodes])
    except RuntimeError:
        shapes = ", ".join([str(list(n.type.shape)) for n in nodes])
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         f"{shapes}") from None
    return tuple(axes), [n if n.type.shape == shape else ops.expand(n, sizes=shape) for n in nodes]


# -- reading ---------------------------------------------------------------------------------------------------------

_plans: dict[tuple, Plan] = {}
_BOUND = (int, type(None))


def _saved(key: Key) -> tuple[Node, ...]:
    """What reading or writing at positions saves for backward: the positions, as they were given."""
    return tuple([tensor._current() for _, tensor in key.positions])


def _plan_key(type_: ArrayType, key: Any) -> tuple | None:
    """What tells one index of integers, slices, None and Ellipsis from all others; None for an index of other parts."""
    kind = type(key)
    if kind is int:
        return type_, key
    if kind is slice:
        if type(key.start) in _BOUND and type(key.stop) in _BOUND and type(key.step) in _BOUND:
            return type_, key.start, key.stop, key.step
        return None
    if kind is not tuple:
        return (type_, None, key) if key is None or key is Ellipsis else None
    parts: list[Any] = [type_, "parts"]
    for part in key:
        kind = type(part)
        if kind is int or part is None or part is Ellipsis:
            parts.append(part)
        elif kind is slice and type(part.start) in _BOUND and type(part.stop) in _BOUND and type(part.step) in _BOUND:
            parts += (slice, part.start, part.stop, part.step)
        else:
            return None
    return tuple(parts)


def getitem(self: Tensor, key: Any) -> Tensor:
    """self[key]: a view for integers, slices, None and Ellipsis; a copy for tensors, arrays, lists and masks."""
    of = self._node.spec.type
    known = _plan_key(of, key)
    if known is not None:
        plan = _plans.get(known)
        if plan is not None:
            return view_by_plan(self, plan)
    else:
        result = _at_positions(self, of, key)
        if result is not None:
            return result
    if isinstance(key, str):
        raise TypeError("new(): invalid data type 'str'")
    parsed = parse(key, of.shape)
    if not parsed.positions:
        plan = make_plan(of, parsed.views or (("AliasBackward0", ()),))
        return view_by_plan(self, plan if known is None else remember(_plans, known, plan))
    result = self if not parsed.views else view_by_plan(self, make_plan(of, parsed.views))
    source = result._current()
    axes, positions = _positions(parsed, source)
    return wrap(finish_composite(ops.index(source, *positions, axes=axes), "IndexBackward0", (source,), _saved(parsed)))


_gathers: dict[tuple, Spec] = {}


def _at_positions(self: Tensor, of: ArrayType, key: Any) -> Tensor | None:
    """self[..., positions]: the usual case of one int64 tensor beside `:`, on a tensor that records; None for others."""
    if type(key) is tuple:
        dim, tensor = -1, None
        for i, part in enumerate(key):
            if isinstance(part, Tensor):
                if tensor is not None:
                    return None
                dim, tensor = i, part
            elif type(part) is not slice or part.start is not None or part.stop is not None or part.step is not None:
                return None
        if tensor is None or len(key) > of.ndim:
            return None
    elif isinstance(key, Tensor):
        dim, tensor = 0, key
    else:
        return None
    node = tensor._node if tensor._storage is None else tensor._current()
    type_ = node.spec.type
    if type_.dtype is not int64 or not type_.shape or dim >= of.ndim or type(node.value) is not np.ndarray or tracing.traces:
        return None
    source = self._node if self._storage is None else self._current()
    if not source.requires_grad or not grad_mode.enabled or source.depth >= executor.MAX_HISTORY or node.depth:
        return None
    n = of.shape[dim]
    bounds = reach(node)
    if bounds is None or bounds[0] < -n or bounds[1] >= n:
        return None
    known = _gathers.get((of, dim, type_))
    if known is None:
        if len(_gathers) >= MAX_PLANS:
            _gathers.clear()
        known = _gathers[of, dim, type_] = find_spec(ops.index, (source, node), ((dim,),))
    made = Node(known, (source, node), True, source.depth + 1, None, user_line(3))
    made.ensure_extra().fn = Composite("IndexBackward0", (source,), (node,))
    return wrap(made)


# -- writing ---------------------------------------------------------------------------------------------------------

def value_node(value: Any, like: Node) -> Node:
    """What is written, in the dtype of the tensor that is written to."""
    if isinstance(value, Tensor):
        return cast(value._current(), like.type.dtype)
    if isinstance(value, Number):
        check_fits(value, like.type.dtype)
        return number_node(value, like.type.dtype)
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    raise TypeError(f"can't assign a {name} to a {like.type.dtype.legacy}")


def broadcast_value(node: Node, shape: tuple[int, ...]) -> Node:
    """The value in the shape that is written; dimensions of length 1 in front are dropped if there are too many."""
    extra = node.type.ndim - len(shape)
    if extra > 0 and node.type.shape[:extra] == (1,) * extra:
        node = ops.squeeze(node, dims=tuple(range(extra)))
    return node if node.type.shape == shape else ops.expand(node, sizes=shape)


PLAIN_NUMBERS = {bool: 0, int: 1, float: 2}     # by category of dtype: what NumPy stores as PyTorch does


def _is_basic(key: Any) -> bool:
    """Whether NumPy reads an index as PyTorch does: integers and slices of positive step, at most with an Ellipsis."""
    for k in key if type(key) is tuple else (key,):
        if type(k) is not int and k is not Ellipsis and not (
                type(k) is slice and (k.step is None or (type(k.step) is int and k.step > 0))):
            return False
    return True


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """self[key] = value, seen by every tensor that shares the storage."""
    if _is_basic(key):
        if isinstance(value, Tensor):
            source = value._current()
            if (source.op is INPUT and not source.requires_grad and source.type.dtype is self._node.type.dtype
                    and self._write_private(key, source.value)):
                return
        elif type(value) in PLAIN_NUMBERS and (to := self._node.spec.type.dtype).category >= PLAIN_NUMBERS[type(value)]:
            check_fits(value, to)
            if self._write_private(key, value):
                return
    parsed = parse(key, self._node.type.shape)
    target = self
    if parsed.views or not parsed.positions:
        target = view(self, tuple([step for _, steps in parsed.views for step in steps]), "SliceBackward0")
    node = target._current()
    new = value_node(value, node)
    inputs = (new,) if isinstance(value, Tensor) else ()
    if not parsed.positions:
        new = broadcast_value(new, node.type.shape)
        target._write(finish_composite(new, "CopyBackwards", inputs, ()))
        return
    masks = [(dim, t) for dim, t in parsed.positions if t.dtype is bool_]
    if len(parsed.positions) == 1 and masks and not new.type.ndim:
        dim, mask = masks[0]
        chosen = mask._current()
        after = node.type.ndim - dim - mask.ndim
        if after:
            chosen = ops.unsqueeze(chosen, dims=tuple(range(mask.ndim, mask.ndim + after)))
        new = ops.where(chosen, new, node)
    else:
        if isinstance(value, Tensor) and value.dtype is not target.dtype:
            raise RuntimeError("Index put requires the source and destination dtypes match, got "
                               f"{target.dtype.title} for the destination and {value.dtype.title} for the "
                               "source.")
        axes, positions = _positions(parsed, node)
        shape = ops.index(node, *positions, axes=axes).type.shape
        try:
            new = broadcast_value(new, shape)
        except RuntimeError:
            raise RuntimeError(f"shape mismatch: value tensor of shape {list(new.type.shape)} cannot be broadcast to "
                               f"indexing result of shape {list(shape)}") from None
        new = ops.index_put(node, new, *positions, axes=axes)
    target._write(finish_composite(new, "IndexPutBackward0", (node, *inputs), _saved(parsed)))


# -- functions -------------------------------------------------------------------------------------------------------

def _index_node(called: str, node: Any) -> Node:
    if type(node) is not Node:
        raise TypeError(f"{called}(): argument 'index' must be Tensor, not {type(node).__name__}")
    if node.type.dtype.category != 1:
        raise RuntimeError(f"{called}(): Expected dtype int32/int64 for index")
    return cast(node, int64)


@operator("GatherBackward0", edges=("input",), saves=("input", "index"))
def gather(input: Node, dim: int, index: Node, *, sparse_grad: bool = False) -> Node:
    """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
    index = _index_node("gather", index)
    d = normal_dim(dim, input.type.ndim)
    if max(index.type.ndim, 1) != max(input.type.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for i, (n, m) in enumerate(zip(index.type.shape, input.type.shape, strict=False)):
        if i != d and n > m:
            raise RuntimeError(f"Size does not match at dimension {i} expected index {list(index.type.shape)} to be no "
                               f"larger than self {list(input.type.shape)} apart from dimension {d}")
    if not input.type.ndim:
        input = ops.unsqueeze(input, dims=(0,))
        return ops.reshape(ops.take_along(input, ops.reshape(index, sizes=(1,)), dim=0), sizes=index.type.shape)
    return ops.take_along(input, index, dim=d)


@operator("GatherBackward0", edges=("input",), saves=("input", "indices"))
def take_along_dim(input: Node, indices: Node, dim: int | None = None) -> Node:
    """gather(), the other dimensions broadcast; without `dim` of the flattened tensors."""
    indices = _index_node("take_along_dim", indices)
    if dim is None:
        return ops.take_along(ops.reshape(input, sizes=(input.type.size,)),
                              ops.reshape(indices, sizes=(indices.type.size,)), dim=0)
    d = normal_dim(dim, input.type.ndim)
    common = [*broadcast_shapes(input.type.shape[:d] + (1,) + input.type.shape[d + 1:],
                                indices.type.shape[:d] + (1,) + indices.type.shape[d + 1:])]
    shapes = [tuple(common[:d] + [n.type.shape[d]] + common[d + 1:]) for n in (input, indices)]
    x, at = [n if n.type.shape == s else ops.expand(n, sizes=s) for n, s in zip((input, indices), shapes, strict=True)]
    return ops.take_along(x, at, dim=d)


@operator("IndexSelectBackward0", edges=("input",))
def index_select(input: Node, dim: int, index: Node) -> Node:
    """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
    index = _index_node("index_select", index)
    if index.type.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector, but got dim: " + str(index.type.ndim))
    d = normal_dim(dim, input.type.ndim)
    length = input.type.shape[d] if input.type.ndim else 1
    holds(index, within(0, length))
    trace = tracing.current()
    if index.value is not None and (trace is None or not trace.positions(index, 0, length)):
        at = executor.value(index)
        if ((at < 0) | (at >= length)).any():
            raise IndexError("index out of range in self")
    if not index.type.ndim:
        index = ops.unsqueeze(index, dims=(0,))
    if not input.type.ndim:
        return ops.reshape(ops.index(ops.unsqueeze(input, dims=(0,)), index, axes=(0,)), sizes=())
    return ops.index(input, index, axes=(d,))


@operator("MaskedSelectBackward0", edges=("input",), saves=("input", "mask"))
def masked_select(input: Node, mask: Node) -> Node:
    """The elements where the bool tensor `mask` is true, 1-d; the two are broadcast."""
    if mask.type.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(input.type.shape, mask.type.shape) or (1,)
    x = input if input.type.shape == shape else ops.expand(input, sizes=shape)
    arrays = np.nonzero(np.broadcast_to(executor.value(mask), shape))
    positions = [input_node(a, array_type(a.shape, int64)) for a in arrays]
    return ops.index(x, *positions, axes=tuple(range(len(shape))))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0: a row each, or with as_tuple a tensor a dimension."""
    array = executor.value(to_node(input))
    found = np.nonzero(array.reshape(1) if as_tuple and not array.ndim else array) if array.ndim or as_tuple else ()
    if as_tuple:
        return tuple([from_array(a.astype(np.int64)) for a in found])
    rows = np.stack(found, 1) if found else np.zeros((int(bool(array)), 0))
    return from_array(rows.astype(np.int64))


register("nonzero", nonzero, nonzero, None, ("torch", "method"))
