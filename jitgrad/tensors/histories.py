"""What history a tensor has after a write, and the errors where there is none or a write may not be recorded."""
from __future__ import annotations

import weakref
from typing import Any

from jitgrad.graph.node import Node
from jitgrad.requests import execute
from jitgrad.tensors.steps import NO_GRAD, OfFunction, Part, Step, apply_step, derive, movements, rederive
from jitgrad.tensors.storage import base_depth, keep, leaf_node, recorded, retain_along, stamp

_MODIFIED = "{}its base or another view of its base has been modified inplace"
_WRITTEN = "{}is being modified inplace"
_NO_GRAD = (" with grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
            "code by moving both the view and the inplace either both inside the no_grad block (if you don't want the inplace to be "
            "tracked) or both outside (if you want the inplace to be tracked).")
_PARTS = (". This view is the output of a function that returns multiple views. Such functions do not allow the output views to be "
          "modified inplace. You should replace the inplace operation by an out-of-place one.")

_FUNCTION = (". This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to "
             "handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect "
             "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.")


class Hooks(dict):
    """Hooks by id, in order of registration (a dict that can be weakly referenced)."""

    __slots__ = ("__weakref__",)


class Accumulator:
    """Where the gradient of a leaf tensor arrives: its hooks, and the tensor itself (weakly: graphs keep this alive)."""

    __slots__ = ("tensor", "hooks", "post_hooks", "__weakref__")

    def __init__(self, tensor: Any) -> None:
        self.tensor = weakref.ref(tensor)
        self.hooks = Hooks()            # hook(grad), before the gradient is added
        self.post_hooks = Hooks()       # hook(tensor), after it


def derived(tensor: Any, record: bool) -> Node:
    """The node of a tensor after a write to its storage; its `_node` from then on.  record: for operations that are recorded.

    Raises RuntimeError where those would need a history that there is none of."""
    storage: Any = tensor._storage
    if not record:
        seen, known = tensor._unrecorded
        if seen == storage.writes and storage.owner is None:
            return known
    chain, old = tensor._chain, tensor._node
    if storage.private is not None and chain and _read_part(tensor, storage, chain):
        return tensor._node
    storage.flush()
    depth = base_depth(chain)
    base, cell = storage.base(chain, depth), tensor._cell()
    writes, version = storage.writes, cell.value            # of one moment, whoever writes meanwhile
    steps = chain[depth:]
    if not steps:
        node = base
    else:
        modified = old.extra is None or old.extra.version != version         # otherwise it was through .data
        if not modified and old.requires_grad:
            node = keep(old, derive(apply_step(base, NO_GRAD), steps))
        elif base.requires_grad and is_fixed(steps):
            if record and modified:
                raise RuntimeError(_forbidden(old, steps, _MODIFIED))
            if modified or NO_GRAD in steps:
                node = derive(apply_step(base, NO_GRAD), steps)
                if not record:
                    tensor._unrecorded = writes, node
                    return node
                node = leaf_node(execute.stored(node), node, Accumulator(tensor))   # whose gradient nobody wants
            else:
                node = recorded(rederive, base, steps)
        else:
            node = recorded(rederive, base, steps)
            if tensor._leaf is not None and not node.requires_grad:
                node = leaf_node(execute.stored(node), node, tensor._leaf)
        stamp(node, cell, version)
        retain_along(old, node)
    tensor._node = node
    tensor._seen = writes
    return node


def _read_part(tensor: Any, storage: Any, chain: tuple[Step, ...]) -> bool:
    """Give a view of what is being filled, to which no gradient goes, the node of its own elements, if they are few."""
    if tensor._node.requires_grad or tensor._leaf is not None or storage.node.requires_grad or not tensor._tracks_version:
        return False
    writes, version = storage.writes, storage.cell.value
    node = storage.read_private(movements(chain), tensor._node.spec.type)
    if node is None or storage.writes != writes:
        return False
    stamp(node, storage.cell, version)
    tensor._node = node
    tensor._seen = writes
    return True


def written_over(tensor: Any) -> Node:
    """The node that an operation in place reads.  Its gradient goes to the base: what was registered on the view, or on one in
    between, belongs to the value that is no more."""
    node = tensor._current()
    chain = tensor._chain
    if not chain or not node.requires_grad:
        return node
    depth = base_depth(chain)
    base, n = tensor._storage.base(chain, depth), node
    while n is not base and n.inputs:
        if n.extra is not None and n.extra.watch is not None:
            node = recorded(rederive, base, chain[depth:])
            stamp(node, tensor._cell())
            return node
        n = n.inputs[0]
    return node


def write_to_itself(of: Any, steps: tuple[Step, ...], value: Any) -> bool:
    """Write a view to itself, if `value` is the view of a tensor along `steps` and unused since it was written: `y[1:] *= 2` ends
    with `y[1:] = (that view)`.  This counts as a write, of which nothing is to be recorded."""
    storage, chain = of._storage, of._chain + steps
    if value._storage is not storage or value._seen == storage.writes or value._chain != chain or is_fixed(chain) or (
            storage.private is not None or storage.owner is not None or value._leaf is not None):
        return False
    extra = value._node.extra
    if extra is None or extra.watch is not None:
        return False
    depth, cell = base_depth(chain), value._cell()
    base = storage.base(chain, depth)
    base.ensure_extra()
    storage.commit(base, storage.spread(chain, depth, base), chain[depth - 1] if depth else None, cell, cell.writer)
    return True


def count_write(of: Any, steps: tuple[Step, ...], value: Any) -> bool:
    """`write_to_itself` of what is being filled, whose values are there: that it counts is all."""
    storage = of._storage
    if value._storage is not storage or storage.private is None or storage.owner is not None or value._leaf is not None or (
            of._leaf is not None or movements(value._chain) != movements(of._chain) + steps):
        return False
    storage.writes += 1
    storage.cell.value += 1
    return True


def check_writable(current: Node, base: Node, steps: tuple[Step, ...]) -> None:
    """Raise RuntimeError for a tensor that must not be written to where that is recorded."""
    if is_fixed(steps):
        raise RuntimeError(_forbidden(current, steps, _WRITTEN))
    if steps and current.requires_grad and (not base.requires_grad or (base.extra is not None and base.extra.leaf is not None)):
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if current.extra is not None and current.extra.leaf is not None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def is_fixed(steps: tuple[Step, ...]) -> bool:
    """Whether a view along these steps cannot get another history than the one it was made with."""
    return any([step is NO_GRAD or isinstance(step, Part) for step in steps])


def _forbidden(node: Node, steps: tuple[Step, ...], what: str) -> str:
    """PyTorch's words for such a view, of which `node` is the latest node.  what: has happened to it."""
    without = any([step is NO_GRAD for step in steps])
    fn = None if node.extra is None else node.extra.fn
    name, number = (node.op.grad_name or "", 0) if fn is None else (fn.name, fn.number)
    if not node.requires_grad or (not node.inputs and fn is None):
        text = "A view was created in no_grad mode and "
        what = what if without else f"{what} with grad mode enabled"
    elif without:
        text = f"Output {number} of {name.split('Backward')[0]} is a view of a view which was created in no_grad mode and "
    else:
        text = f"Output {number} of {name.split('Backward')[0]} is a view and "
    return what.format(text) + (_NO_GRAD if without else _FUNCTION if any([type(step) is OfFunction for step in steps]) else _PARTS)
