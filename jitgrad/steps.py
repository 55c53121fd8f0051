"""The steps from a base to a view of it, and back: a view derived, and what was written to one put into its base."""
from __future__ import annotations

import weakref
from typing import NamedTuple

import numpy as np

from jitgrad import ops, tracing
from jitgrad.arraytype import array_type
from jitgrad.dtype import int64
from jitgrad.graph import INPUT, Composite, Node, Op, become_input, bind, input_node
from jitgrad.interpreter import compute
from jitgrad.ops import REGISTRY

DETACH, SLICE = REGISTRY["detach"], REGISTRY["slice"]
# Detached tensors that still refer to the graph they come from; backward lets go of those whose value it has computed.
pending_detached: weakref.WeakSet[Node] = weakref.WeakSet()


class Step(NamedTuple):
    """One movement step of a view."""

    op: Op
    params: tuple
    sizes: tuple | None


class Part(Step):
    """The first step to one of several views that one call returns (split, chunk, unbind).  PyTorch forbids to write to
    such a view in place where autograd would have to see it."""

    __slots__ = ()


NO_GRAD = Step(DETACH, (), None)        # the first step of a view that is made without grad mode


def settle(node: Node) -> Node:
    """Compute at once a node that depends on nothing pending and needs no gradient (its inputs are leaves)."""
    if node.depth == 0 and node.inputs:
        if tracing.current() is None:
            become_input(node, compute(node))
        else:
            node.depth = 1
    return node


def movements(chain: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps of a chain that move elements."""
    for step in chain:
        if step.op is DETACH:
            return tuple([step for step in chain if step.op is not DETACH])
    return chain


def apply_step(node: Node, step: Step) -> Node:
    """The node one step further along a view's chain."""
    if step.op is not DETACH:
        return settle(bind(step.op, (node,), step.params, step.sizes))
    if (node.spec.op is INPUT or (node.run is not None and node.value is not None)) and tracing.current() is None:
        return input_node(node.value, node.spec.type)     # the value is known: keep nothing of how it came about
    result = bind(step.op, (node,))
    if tracing.current() is None:
        pending_detached.add(result)
    else:
        settle(result)
    return result


def covers(chain: tuple[Step, ...]) -> bool:
    """Whether a view along these steps shows all of its base."""
    for step in chain:
        if step.op is SLICE:
            return False
    return True


def derive(base: Node, chain: tuple[Step, ...]) -> Node:
    """The view's node, from the base node."""
    for step in movements(chain):
        base = apply_step(base, step)
    return base


def rederive(base: Node, chain: tuple[Step, ...]) -> Node:
    """The view's node after a write: whatever the steps, PyTorch records one operator."""
    node = derive(base, chain)
    if node.requires_grad:
        node.ensure_extra().fn = Composite("AsStridedBackward0", (base,), ())
    return node


def put(base: Node, chain: tuple[Step, ...], value: Node, uniform: bool = False) -> Node:
    """The base with the elements that `chain`, movements, selects replaced by `value` (of the view's type).

    uniform: all elements of the value are one, so that it does not matter which is written where a view repeats elements."""
    for step in chain:
        if step.op.put is None:
            return _put_at_positions(base, chain, value, uniform)
    bases = [base]
    for step in chain[:-1]:
        bases.append(apply_step(bases[-1], step))
    for node, step in zip(reversed(bases), reversed(chain), strict=True):
        params = dict(zip(step.op.param_names, step.params, strict=True))
        if step.op.has_sizes:
            params["sizes"] = step.sizes
        value = settle(step.op.put(node, value, **params))      # type: ignore[misc]
    return value


def _put_at_positions(base: Node, chain: tuple[Step, ...], value: Node, uniform: bool) -> Node:
    """`put` along steps that repeat elements, for a view that does not, or a uniform value: others raise RuntimeError."""
    size = base.type.size
    positions = np.arange(size).reshape(base.type.shape)
    for step in chain:
        kwargs = {} if step.sizes is None else {"sizes": step.sizes}
        positions = step.op.numpy(positions, **dict(zip(step.op.param_names, step.params, strict=True)), **kwargs)
    once, first = np.unique(positions, return_index=True)
    if once.size < positions.size and not uniform:
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                           "memory location. Please clone() the tensor before performing the operation.")
    values = settle(ops.reshape(value, sizes=(positions.size,)))
    if once.size < positions.size:
        values = settle(ops.index(values, input_node(first, array_type(first.shape, int64)), axes=(0,)))
        positions = once
    at = input_node(positions.reshape(-1), array_type((positions.size,), int64))
    flat = settle(ops.reshape(base, sizes=(size,)))
    return settle(ops.reshape_like(settle(ops.index_put(flat, values, at, axes=(0,))), base))
