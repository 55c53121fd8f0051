"""Writing to a tensor in place: the storage gets a new base node, and every tensor on it looks again.

methods.py attaches these functions to Tensor as `_write`, `_write_private`, `_replace` and `_rebase`.
"""
from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import executor
from jitgrad.arraytype import same_type
from jitgrad.graph import INPUT, Extra, Node, bind, grad_mode, in_grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.storage import Part, note_write, put, stamp
from jitgrad.tensor import DETACH, NO_GRAD, Tensor, leaf_node, recorded

COPY, ATTACH = REGISTRY["copy"], REGISTRY["attach"]


def write(tensor: Tensor, value: Node, seen: Node | None = None) -> Tensor | None:
    """Replace the current value (an in-place operation).  `value` has this tensor's type.

    seen: what `value` was made from; None, and nothing has happened, where the tensor has another node by now.
    All that is new is made before anything is changed: an allocation may run the collector, which runs anybody's code."""
    current = tensor._current()
    if not same_type(value.type, current.type):
        raise RuntimeError(f"in-place operation: a result of {value.type!r} cannot be written to {current.type!r}")
    storage = tensor._ensure_storage()
    note_write(storage)
    if grad_mode.enabled and storage.node.requires_grad:
        _check_writable(tensor, current)
    if value.extra is not None and (value.extra.cell is not None or value.extra.leaf is not None):
        value = bind(COPY, (value,))          # a value that another tensor owns: this one gets a node of its own
    if tensor._leaf is not None:
        value = leaf_node(executor.value(value), value, tensor._leaf)
    base = storage.node
    if not tensor._chain:
        new = value
    else:
        new = put(base, tensor._chain, value)
        if base.extra is not None and base.extra.leaf is not None:
            new = leaf_node(executor.value(new), new, base.extra.leaf)
    unseen = base.requires_grad and not grad_mode.enabled and not new.requires_grad
    if unseen:      # written without grad mode: the history stays as it was
        new = value = recorded(bind, ATTACH, (base, new))
    if new.depth > executor.MAX_DEPTH:
        executor.cut(new)
    writer, cell = weakref.ref(new), storage.cell
    extra, own_extra = new.ensure_extra(), value.ensure_extra()
    if seen is not None and tensor._current() is not seen:
        return None
    # From here on stores alone: see graph.in_grad_mode.
    if tensor._tracks_version:
        cell.value += 1
        cell.writer = writer
    extra.cell = cell
    extra.version = cell.value
    storage.node = new
    storage.writes += 1
    if tensor._chain:
        own = value.requires_grad and DETACH in tensor._chain       # a detached tensor of a leaf gets a history, the leaf none
        if unseen or (new.extra is not None and new.extra.leaf is not None and not own):
            tensor._current()
            return tensor
        own_extra.cell = cell
        own_extra.version = cell.value
    tensor._node = value
    tensor._seen = storage.writes
    return tensor


def write_private(tensor: Tensor, index: Any, value: np.ndarray | float | int | bool) -> bool:
    """tensor[index] = value without recording, if this is a plain array; False if it has to be written in general.

    `index`: integers, slices of positive step, None and Ellipsis."""
    if tensor._chain or tensor._leaf is not None or not tensor._tracks_version:
        return False
    return tensor._ensure_storage().write_private(index, value)


def replace(tensor: Tensor, array: np.ndarray, seen: Node | None = None) -> bool:
    """Write a whole new value that was computed outside the graph (an optimizer's step), of this tensor's type.

    seen: what it was computed from; False, and nothing has happened, where the tensor has another node by now."""
    if tensor._storage is not None and (tensor._storage.deferred or tensor._storage.owner is not None):
        tensor._current()
    old, leaf = tensor._node, tensor._leaf
    detached = _is_detached(tensor)
    if not detached and (tensor._chain or (leaf is None and old.requires_grad)):
        return in_grad_mode(False, write, tensor, input_node(array, old.type), seen) is not None
    storage = tensor._storage or tensor._ensure_storage()
    note_write(storage)
    base = storage.node.extra
    owner = base.leaf if detached and base is not None else leaf
    node, extra = input_node(array, old.spec.type, owner is not None), Extra()
    own, own_extra = (input_node(array, old.spec.type), Extra()) if detached else (node, extra)
    # All that is new is there.
    if seen is not None and tensor._current() is not seen:
        return False
    storage.private = None              # what was written by index before; from here on stores alone: see graph.in_grad_mode
    cell = storage.cell
    if not detached or tensor._tracks_version:
        cell.value += 1
        cell.writer = None
    node.extra = extra          # (one by one: four at once would be a tuple, which is allocated)
    extra.leaf = owner
    extra.cell = cell
    extra.version = cell.value
    if detached:
        own.extra = own_extra
        own_extra.cell = cell
        own_extra.version = cell.value
    storage.node = node
    tensor._node = own
    storage.writes += 1
    tensor._seen = storage.writes
    return True


def insist(attempt: Callable[..., bool | None], *args: Any) -> bool | None:
    """Try what changes a tensor by what it is until nobody has come in between, which is False; what it gives then.

    A second attempt goes without the collector, which could run again in each: what it runs could change the tensor each time."""
    done = attempt(*args)
    if done is not False:
        return done
    collecting = gc.isenabled()
    try:                        # (in this order: see capture.trace.Trace)
        gc.disable()
        while done is False:
            done = attempt(*args)
        return done
    finally:
        if collecting:
            gc.enable()


def _is_detached(tensor: Tensor) -> bool:
    """Whether a tensor is another one detached, its `.data` for instance, where that is an array."""
    storage = tensor._storage
    return bool(tensor._chain) and storage is not None and tensor._leaf is None and storage.node.spec.op is INPUT and all(
        [step is DETACH for step in tensor._chain])


def rebase(tensor: Tensor, node: Node) -> Tensor:
    """Take a node of the same value but another history (an input that a Function has modified in place)."""
    if tensor._chain:
        write(tensor, node)
        return tensor
    storage = tensor._ensure_storage()
    stamp(node, storage.cell)
    storage.node = tensor._node = node
    storage.writes += 1
    tensor._seen = storage.writes
    return tensor


def _check_writable(tensor: Tensor, current: Node) -> None:
    if current.extra is not None and current.extra.leaf is not None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if any([step is NO_GRAD for step in tensor._chain]):
        raise RuntimeError("A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
                           "Make the view outside of no_grad, or modify it inside.")
    if any([type(step) is Part for step in tensor._chain]) and DETACH not in tensor._chain:
        fn = None if current.extra is None else current.extra.fn
        name, number = (current.op.grad_name, 0) if fn is None else (fn.name, fn.number)
        raise RuntimeError(f"Output {number} of {name.split('Backward')[0]} is a view and is being modified inplace. This view "
                           "is the output of a function that returns multiple views. Such functions do not allow the output "
                           "views to be modified inplace. You should replace the inplace operation by an out-of-place one.")
    if tensor._storage is not None and tensor._chain and DETACH not in tensor._chain:
        base = tensor._storage.node
        if base.extra is not None and base.extra.leaf is not None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
