"""`x[...]`: reading, and writing through the view or at positions.  index_keys.py takes the index apart."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import INPUT, Composite, Node, Spec
from jitgrad.graph.recording import bind, find_spec, grad_mode
from jitgrad.operators.declaration.declare import finish, finish_composite, saving
from jitgrad.operators.indexing.index_keys import Key, parse, read_at
from jitgrad.operators.operands import Number, cast, number_node, reach
from jitgrad.operators.provenance import user_line
from jitgrad.operators.views.view import MAX_PLANS, NO_STEPS, Plan, make_plan, remember, view_by_plan
from jitgrad.requests import execute
from jitgrad.tensors.histories import count_write, is_fixed, write_to_itself, written_over
from jitgrad.tensors.steps import is_basic
from jitgrad.tensors.storage import insist
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.tensors.writing import writes
from jitgrad.types.array import ArrayType
from jitgrad.types.dtype import bool_, check_fits, int64, refuse_complex

COPY = ops.REGISTRY["copy"]

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
    axes, positions = read_at(parsed, source)
    made = finish_composite(ops.index(source, *positions, axes=axes), "IndexBackward0", (source,), _saved(parsed))
    if saving:
        saving[0]((made,), {})
    return wrap(made)


_gathers: dict[tuple, Spec] = {}


def _at_positions(self: Tensor, of: ArrayType, key: Any) -> Tensor | None:
    """self[..., positions]: the usual case of one int64 tensor beside `:`, on a tensor that records or is known; None for others."""
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
    if not source.requires_grad and source.depth == 0 and type(source.value) is np.ndarray:
        try:
            return from_array(source.value[(slice(None),) * dim + (node.value,)])
        except IndexError:
            return None
    if not source.requires_grad or not grad_mode.enabled or source.depth >= execute.MAX_HISTORY or node.depth:
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
    refuse_complex(value)
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


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """self[key] = value, seen by every tensor that shares the storage."""
    if is_basic(key):
        if isinstance(value, Tensor):
            storage = value._storage
            stale = storage is not None and storage is self._storage and storage.writes != value._seen      # see write_to_itself
            if stale and storage is not None and storage.private is not None:
                known = _plan_key(self._node.spec.type, key)
                if known is not None and (plan := _plans.get(known)) is not None and count_write(self, plan.steps, value):
                    return
                stale = False
            if not stale and (source := value._current()).depth < 0 and _waits(self, key, source):
                return
            if (not stale and (source := value._current()).op is INPUT and not source.requires_grad
                    and source.type.dtype is self._node.type.dtype and self._write_private(key, source.value)):
                return
        elif type(value) in PLAIN_NUMBERS and (to := self._node.spec.type.dtype).category >= PLAIN_NUMBERS[type(value)]:
            check_fits(value, to)
            if self._write_private(key, value):
                return
    insist(_record, self, key, value)


def _waits(self: Tensor, key: Any, value: Node) -> bool:
    """Whether a value that is postponed waits to be written to self[key], where nothing is recorded; otherwise it is computed."""
    of, storage = self._node.spec.type, self._storage
    plan = None if self._chain or self._leaf is not None or (known := _plan_key(of, key)) is None else _plans.get(known)
    if plan is None or plan.nodes[-1][0].type is not value.spec.type or storage is None or storage.deferred or (
            storage.owner is not None):
        execute.value(value)
        return False
    return storage.wait(key, value, writes(self))


def _record(self: Tensor, key: Any, value: Any) -> bool:
    """setitem, the general way; False where somebody has written in between."""
    of = self._node.spec.type
    known = _plan_key(of, key)
    plan = None if known is None else _plans.get(known)
    if plan is not None:
        return _write_view(self, plan, value)
    parsed = parse(key, of.shape)
    if not parsed.positions:
        plan = make_plan(of, parsed.views or (("AliasBackward0", ()),))
        return _write_view(self, plan if known is None else remember(_plans, known, plan), value)
    return _write_positions(self if not parsed.views else view_by_plan(self, make_plan(of, parsed.views)), parsed, value)


def _write_view(self: Tensor, plan: Plan, value: Any) -> bool:
    """Write to the view that a plan describes."""
    target, steps, type_ = self, plan.steps, plan.nodes[-1][0].type
    if steps == NO_STEPS:
        steps = ()
    elif self._chain and is_fixed(self._chain):         # the view's own grad_fn is in the error
        target, steps = view_by_plan(self, plan), ()
    if isinstance(value, Tensor):
        if plan.steps != NO_STEPS and value._storage is not None and value._storage is self._storage and grad_mode.enabled and (
                write_to_itself(self, plan.steps, value)):
            return True
    seen = writes(target)
    new = value_node(value, target._current())
    inputs = (new,) if isinstance(value, Tensor) else ()
    new = broadcast_value(new, type_.shape)
    if inputs and new is inputs[0] and new.depth > 0:
        new = finish(bind(COPY, inputs))
        if new.requires_grad:
            new.ensure_extra().fn = Composite("CopyBackwards", inputs, ())
    elif new.inputs or inputs:
        new = finish_composite(new, "CopyBackwards", inputs, ())
    return target._write(new, "CopyBackwards", seen, steps) is not None


def _write_positions(target: Tensor, parsed: Key, value: Any) -> bool:
    """Write at positions."""
    seen = writes(target)
    node = written_over(target)
    new = value_node(value, node)
    inputs = (new,) if isinstance(value, Tensor) else ()
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
        axes, positions = read_at(parsed, node)
        shape = ops.index(node, *positions, axes=axes).type.shape
        try:
            new = broadcast_value(new, shape)
        except RuntimeError:
            raise RuntimeError(f"shape mismatch: value tensor of shape {list(new.type.shape)} cannot be broadcast to "
                               f"indexing result of shape {list(shape)}") from None
        new = ops.index_put(node, new, *positions, axes=axes)
    new = finish_composite(new, "IndexPutBackward0", (node, *inputs), _saved(parsed))
    if saving:
        saving[0]((new,), {})
    if new.requires_grad:
        new.ensure_extra().in_place = node
    return target._write(new, None, seen) is not None
