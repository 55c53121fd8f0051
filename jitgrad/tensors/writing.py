"""Writing to a tensor in place: its base gets a new node, and every tensor on the storage looks again (see storage.py).

methods.py attaches these functions to Tensor as `_write`, `_write_private`, `_replace` and `_rebase`.
"""
from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from jitgrad.graph.node import INPUT, Composite, Extra, Node
from jitgrad.graph.recording import bind, grad_mode, in_grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.requests import execute
from jitgrad.tensors.histories import check_writable
from jitgrad.tensors.steps import Step, covers, movements, put
from jitgrad.tensors.storage import (
    ATTACH,
    Detached,
    base_depth,
    gradient_edge,
    insist,
    leaf_node,
    recorded,
    retain_along,
)
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import same_type

COPY, OVERWRITE = REGISTRY["copy"], REGISTRY["overwrite"]


def write(tensor: Tensor, value: Node, name: str | None = None, seen: int | None = None,
          beyond: tuple[Step, ...] = ()) -> Tensor | None:
    """Replace the current value (an in-place operation), or that of the view `beyond`, along movements.  `value` has its type.

    name: of the grad_fn where a tensor that has a history is overwritten by what has none.
    seen: after how many writes (see `writes`) `value` was made; None, and nothing has happened, where there are more by now."""
    if seen is None:
        insist(_write, tensor, value, name, None, beyond)
        return tensor
    return tensor if _write(tensor, value, name, seen, beyond) else None


def _write(tensor: Tensor, value: Node, name: str | None, seen: int | None, beyond: tuple[Step, ...]) -> bool:
    """See `write`; False, and nothing has happened, where somebody has come in between.

    All that is new is made before anything is changed: an allocation may run the collector, which runs anybody's code."""
    if seen is None:
        seen = writes(tensor)
    current = tensor._current()
    if not beyond and value.spec.type is not current.spec.type and not same_type(value.type, current.type):
        raise RuntimeError(f"in-place operation: a result of {value.type!r} cannot be written to {current.type!r}")
    storage = tensor._ensure_storage()
    chain = tensor._chain
    if chain or storage.history is not None:
        depth = base_depth(chain)
        base, steps = storage.base(chain, depth), chain[depth:] + beyond
    else:
        depth, base, steps = 0, current, beyond
    recording, extra = grad_mode.enabled, value.extra
    recorded = recording and (base.requires_grad or value.requires_grad or current.requires_grad)
    if recorded:
        check_writable(current, base, steps)
    reads_old = extra is not None and bool(extra.in_place)
    if extra is not None and (extra.cell is not None or extra.leaf is not None):
        value = bind(COPY, (value,))          # a value that another tensor owns: this one gets a node of its own
    uniform = name is not None and not recorded and name.startswith(("Fill", "Zero"))
    new = value if not steps else put(base, movements(steps), value, uniform)
    if base.requires_grad:
        if steps or not recording or not reads_old:
            new = _with_history(base, new, value, steps, reads_old, name)
    elif steps and new.requires_grad and new.op.grad_name != "CopySlices":
        new.ensure_extra().fn = Composite("CopySlices", (base, value), ())
    if new.depth > execute.MAX_DEPTH:
        execute.cut(new)
    cell, writer = storage.cell if tensor._tracks_version else tensor._cell(), weakref.ref(new)
    own_extra, step = value.ensure_extra(), chain[depth - 1] if depth else None
    first = storage.spread(chain, depth, new, uniform and not steps)
    new.ensure_extra()
    if storage.writes != seen:
        return False
    storage.commit(new, first, step, cell, writer)
    retain_along(base, new)
    if beyond and chain:                # it is derived when somebody asks for it
        return True
    if not steps or beyond:
        tensor._node = new
    else:
        own_extra.cell = cell
        own_extra.version = cell.value
        if new.requires_grad or tensor._leaf is not None:       # it is derived again when somebody asks
            if tensor._node.extra is not None and tensor._node.extra.watch is not None:
                tensor._current()
            return True
        tensor._node = value
    tensor._seen = storage.writes
    return True


def _with_history(base: Node, new: Node, value: Node, steps: tuple[Step, ...], reads_old: bool, name: str | None) -> Node:
    """The new node of a base that has a history.  reads_old: whether `value` has a gradient to pass on to it."""
    if base.extra is not None and base.extra.leaf is not None:      # written without grad mode
        return leaf_node(execute.value(new), new, base.extra.leaf)
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


def write_private(tensor: Tensor, index: Any, value: np.ndarray | float | int | bool, seen: int | None = None) -> bool:
    """tensor[index] = value without recording, if this is a plain array; False if it has to be written in general, or there are more
    than `seen` writes by now.

    `index`: integers, slices of positive step, None and Ellipsis."""
    if seen is None:
        seen = writes(tensor)
    chain = tensor._chain
    if tensor._leaf is not None or (chain and any([type(step) is Detached for step in chain])):
        return False
    return tensor._ensure_storage().write_private(movements(chain), index, value, seen)


def replace(tensor: Tensor, array: np.ndarray, seen: int | None = None) -> bool:
    """Write a whole new value that was computed outside the graph (an optimizer's step), of this tensor's type.

    seen: after how many writes (see `writes`) it was computed; False, and nothing has happened, where there are more by now."""
    if tensor._storage is not None and (tensor._storage.deferred or tensor._storage.owner is not None):
        tensor._current()
    old, leaf = tensor._node, tensor._leaf
    if tensor._chain or (leaf is None and old.requires_grad):
        done = _replace_detached(tensor, array, seen)
        if done is None:
            done = in_grad_mode(False, write, tensor, input_node(array, old.type), None, seen) is not None
        return done
    storage = tensor._storage or tensor._ensure_storage()
    node, extra = input_node(array, old.spec.type, leaf is not None), Extra()
    cell = storage.cell
    # All that is new is there.
    if seen is not None and storage.writes != seen:
        return False
    storage.private = None          # what was written by index before; from here on stores alone: see recording.in_grad_mode
    storage.waiting = None
    cell.value += 1
    cell.writer = None
    node.extra = extra              # (one by one: four at once would be a tuple, which is allocated)
    extra.leaf = leaf
    extra.cell = cell
    extra.version = cell.value
    storage.node = tensor._node = node
    storage.writes += 1
    tensor._seen = storage.writes
    return True


def _replace_detached(tensor: Tensor, array: np.ndarray, seen: int | None) -> bool | None:
    """`replace` of a tensor that is another one detached, its `.data` for instance, where both are arrays; None for others."""
    storage, chain = tensor._storage, tensor._chain
    if storage is None or not chain or any([type(step) is not Detached for step in chain]):
        return None
    base = storage.node
    step: Any = chain[-1]
    if base.spec.op is not INPUT or storage.history is not None or step.node.requires_grad:
        return None
    leaf = None if base.extra is None else base.extra.leaf
    node, own = input_node(array, base.spec.type, leaf is not None), input_node(array, base.spec.type)
    node.ensure_extra().leaf = leaf
    own.ensure_extra()
    # All that is new is there.
    if seen is not None and storage.writes != seen:
        return False
    storage.commit(own, node, step, step.cell, None)
    tensor._node = own
    tensor._seen = storage.writes
    return True


def writes(tensor: Tensor) -> int:
    """How often a tensor has been written to, by whichever alias; to be asked before it is read."""
    return 0 if tensor._storage is None else tensor._storage.writes


def rebase(tensor: Tensor, node: Node) -> Tensor:
    """Take a node of the same value but another history (an input that a Function has modified in place)."""
    depth = base_depth(tensor._chain)
    if depth < len(tensor._chain):
        write(tensor, node)
        return tensor
    storage = tensor._ensure_storage()
    old, cell, chain = storage.base(tensor._chain, depth), tensor._cell(), tensor._chain
    node.ensure_extra()
    storage.commit(node, storage.spread(chain, depth, node), chain[depth - 1] if depth else None, cell, cell.writer, 0)
    retain_along(old, node)
    tensor._node = node
    tensor._seen = storage.writes
    return tensor
