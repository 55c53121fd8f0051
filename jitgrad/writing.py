"""Writing to a tensor in place: its base gets a new node, and every tensor on the storage looks again (see storage.py).

methods.py attaches these functions to Tensor as `_write`, `_write_private`, `_replace` and `_rebase`.
"""
from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from jitgrad import executor
from jitgrad.arraytype import same_type
from jitgrad.graph import INPUT, Composite, Extra, Node, bind, grad_mode, input_node
from jitgrad.histories import check_writable
from jitgrad.ops import REGISTRY
from jitgrad.steps import Step, covers, movements, put
from jitgrad.storage import (
    ATTACH,
    Detached,
    Storage,
    base_depth,
    gradient_edge,
    leaf_node,
    note_write,
    recorded,
    retain_along,
    stamp,
)
from jitgrad.tensor import Tensor

COPY, OVERWRITE = REGISTRY["copy"], REGISTRY["overwrite"]


def write(tensor: Tensor, value: Node, name: str | None = None) -> Tensor:
    """Replace the current value (an in-place operation).  `value` has this tensor's type.

    name: of the grad_fn where a tensor that has a history is overwritten by what has none."""
    current = tensor._current()
    if not same_type(value.type, current.type):
        raise RuntimeError(f"in-place operation: a result of {value.type!r} cannot be written to {current.type!r}")
    storage = tensor._ensure_storage()
    note_write(storage)
    chain = tensor._chain
    if chain:
        depth = base_depth(chain)
        base, steps = storage.base(chain, depth), chain[depth:]
    else:
        depth, base, steps = 0, current if storage.history is None else storage.base(chain, 0), chain
    recording = grad_mode.enabled
    if recording and (base.requires_grad or value.requires_grad):
        check_writable(current, base, steps)
    reads_old = value.extra is not None and value.extra.in_place
    if value.extra is not None and (value.extra.cell is not None or value.extra.leaf is not None):
        value = bind(COPY, (value,))          # a value that another tensor owns: this one gets a node of its own
    new = value if not steps else put(base, movements(steps), value)
    if base.requires_grad:
        if steps or not recording or not reads_old:
            new = _with_history(base, new, value, steps, reads_old, name)
    elif steps and new.requires_grad and new.op.grad_name != "CopySlices":
        new.ensure_extra().fn = Composite("CopySlices", (base, value), ())
    if new.depth > executor.MAX_DEPTH:
        executor.cut(new)
    cell = storage.cell if tensor._tracks_version else tensor._cell()
    cell.value += 1
    cell.writer = weakref.ref(new)
    stamp(new, cell)
    if depth:
        storage.put_base(chain, depth, new)
    else:
        storage.node, storage.history = new, None
        storage.writes += 1
    retain_along(base, new)
    if not steps:
        tensor._node = new
    else:
        stamp(value, cell)
        if new.requires_grad or tensor._leaf is not None:       # it is derived again when somebody asks
            if tensor._node.extra is not None and tensor._node.extra.watch is not None:
                tensor._current()
            return tensor
        tensor._node = value
    tensor._seen = storage.writes
    return tensor


def _with_history(base: Node, new: Node, value: Node, steps: tuple[Step, ...], reads_old: bool, name: str | None) -> Node:
    """The new node of a base that has a history.  reads_old: whether `value` has a gradient to pass on to it."""
    if base.extra is not None and base.extra.leaf is not None:      # written without grad mode
        return leaf_node(executor.value(new), new, base.extra.leaf)
    if not grad_mode.enabled:                                       # the history stays as it was
        return recorded(bind, ATTACH, (gradient_edge(base), new))
    if not reads_old and covers(steps):      # nothing of it is left
        new = bind(OVERWRITE, (base, new))
        fn = None if value.extra is None else value.extra.fn
        if not steps and (fn is not None or name is not None):
            new.ensure_extra().fn = Composite(name or "", (base,), ()) if fn is None else fn
    if steps and new.spec.op.grad_name != "CopySlices":
        new.ensure_extra().fn = Composite("CopySlices", (base, value), ())
    return new


def write_private(tensor: Tensor, index: Any, value: np.ndarray | float | int | bool) -> bool:
    """tensor[index] = value without recording, if this is a plain array; False if it has to be written in general.

    `index`: integers, slices of positive step, None and Ellipsis."""
    if tensor._chain or tensor._leaf is not None:
        return False
    return tensor._ensure_storage().write_private(index, value)


def replace(tensor: Tensor, array: np.ndarray) -> None:
    """Write a whole new value that was computed outside the graph (an optimizer's step), of this tensor's type."""
    if tensor._storage is not None and (tensor._storage.deferred or tensor._storage.owner is not None):
        tensor._current()
    old, leaf = tensor._node, tensor._leaf
    if tensor._chain or (leaf is None and old.requires_grad):
        if _replace_detached(tensor, array):
            return
        enabled, grad_mode.enabled = grad_mode.enabled, False
        try:
            write(tensor, input_node(array, old.type))
        finally:
            grad_mode.enabled = enabled
        return
    storage = _overwritten(tensor)
    storage.cell.value += 1
    storage.cell.writer = None
    storage.node = tensor._node = _of_storage(input_node(array, old.spec.type, leaf is not None), leaf, storage.cell)
    storage.writes += 1
    tensor._seen = storage.writes


def _overwritten(tensor: Tensor) -> Storage:
    """The storage of a tensor of which nothing is to be kept."""
    storage = tensor._storage or tensor._ensure_storage()
    note_write(storage)
    storage.private = None              # what was written by index before
    return storage


def _of_storage(node: Node, leaf: Any, cell: Any) -> Node:
    """A new node as what the storage holds now: stamp() in one."""
    extra = node.extra = Extra()
    extra.leaf, extra.cell, extra.version = leaf, cell, cell.value
    return node


def _replace_detached(tensor: Tensor, array: np.ndarray) -> bool:
    """`replace` of a tensor that is another one detached, its `.data` for instance, where both are arrays; False for others."""
    storage, chain = tensor._storage, tensor._chain
    if storage is None or not chain or any([type(step) is not Detached for step in chain]):
        return False
    base = storage.node
    step: Any = chain[-1]
    if base.spec.op is not INPUT or storage.history is not None or step.node.requires_grad:
        return False
    storage = _overwritten(tensor)
    cell = step.cell
    cell.value += 1
    cell.writer = None
    leaf = None if base.extra is None else base.extra.leaf
    storage.node = _of_storage(input_node(array, base.spec.type, leaf is not None), leaf, storage.cell)
    step.node = tensor._node = _of_storage(input_node(array, base.spec.type), None, cell)
    storage.writes += 1
    step.seen = tensor._seen = storage.writes
    return True


def rebase(tensor: Tensor, node: Node) -> Tensor:
    """Take a node of the same value but another history (an input that a Function has modified in place)."""
    depth = base_depth(tensor._chain)
    if depth < len(tensor._chain):
        return write(tensor, node)
    storage = tensor._ensure_storage()
    old = storage.base(tensor._chain, depth)
    stamp(node, tensor._cell())
    storage.put_base(tensor._chain, depth, node)
    retain_along(old, node)
    tensor._node = node
    tensor._seen = storage.writes
    return tensor
