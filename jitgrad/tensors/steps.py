"""View steps: deriving a view from its base, and putting what was written to a view back into the base."""
from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import INPUT, Composite, Node, Op, Spec, topological
from jitgrad.graph.recording import apply_spec, become_input, bind, input_node
from jitgrad.interpreter import compute
from jitgrad.ops import REGISTRY
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import int64

MAX_PUTS = 10_000           # views of which it is remembered how they are written to
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


class OfFunction(Part):
    """The step to what an autograd.Function has returned as a view of what it was given."""

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


_chains: dict[tuple[Step, ...], tuple[Step, ...]] = {}


def interned(chain: tuple[Step, ...]) -> tuple[Step, ...] | None:
    """Steps of equal content as one object, by whose identity machine code knows them; None of others than movements, and
    those made without grad mode: a detached base holds a value, which nothing learnt must keep alive."""
    if any([type(step) is not Step or (step.op is DETACH and step is not NO_GRAD) for step in chain]):
        return None
    if len(_chains) >= MAX_PUTS:
        _chains.clear()
    return _chains.setdefault(chain, chain)


def is_basic(key: Any) -> bool:
    """Whether NumPy reads an index as PyTorch does: integers and slices of positive step, at most with an Ellipsis."""
    for k in key if type(key) is tuple else (key,):
        if type(k) is not int and k is not Ellipsis and not (
                type(k) is slice and (k.step is None or (type(k.step) is int and k.step > 0))):
            return False
    return True


def arguments(step: Step) -> dict[str, Any]:
    """What the rules of a step's primitive are called with."""
    found: dict[str, Any] = dict(zip(step.op.param_names, step.params, strict=True))
    if step.op.has_sizes:
        found["sizes"] = step.sizes
    return found


def view_of(array: np.ndarray, chain: tuple[Step, ...]) -> np.ndarray:
    """An array as seen along movements; a copy where NumPy cannot see it so."""
    for step in chain:
        array = step.op.numpy(array, **arguments(step))
    return array


Strided = tuple[tuple[int, ...], int, tuple[int, ...]]          # shape, offset and strides
_strided: dict[tuple, Strided | None] = {}


def view_into(array: np.ndarray, type: ArrayType, chain: tuple[Step, ...]) -> np.ndarray | None:
    """The view along movements of an array of a type, C-contiguous; None where NumPy cannot see it so, or elements come again."""
    if not chain:
        return array
    key = (type, chain)
    if key in _strided:
        found = _strided[key]
    else:
        if len(_strided) >= MAX_PUTS:
            _strided.clear()
        view, found = view_of(array, chain), None
        if (view.base is array or view.base is array.base is not None) and view.size and not _repeats(view):
            found = view.shape, view.__array_interface__["data"][0] - array.__array_interface__["data"][0], view.strides
        _strided[key] = found
    return None if found is None else np.ndarray(found[0], array.dtype, array, found[1], found[2])


def _repeats(view: np.ndarray) -> bool:
    """Whether a view may have one element at several places."""
    reach = view.itemsize
    for stride, n in sorted(zip(view.strides, view.shape, strict=True)):
        if n > 1:
            if stride < reach:
                return True
            reach += stride * (n - 1)
    return False


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


Recording = tuple[tuple[Spec, tuple[int, ...]], ...]        # operations, and which of the base, the value and those before they take
_puts: dict[tuple, Recording] = {}


def put(base: Node, chain: tuple[Step, ...], value: Node, uniform: bool = False) -> Node:
    """The base with the elements that `chain`, movements, selects replaced by `value` (of the view's type).

    uniform: all elements of the value are one, so that it does not matter which is written where a view repeats elements."""
    key = (base.spec.type, chain)
    recording = _puts.get(key)
    if recording is None:
        if any([step.op.put is None for step in chain]):
            return _put_at_positions(base, chain, value, uniform)
        if len(_puts) >= MAX_PUTS:
            _puts.clear()
        recording = _puts[key] = _recording(base.spec.type, chain, value.spec.type)
    nodes = [base, value]
    for spec, operands in recording:
        nodes.append(settle(apply_spec(spec, tuple([nodes[k] for k in operands]))))
    return nodes[-1]


def _recording(of: ArrayType, chain: tuple[Step, ...], type: ArrayType) -> Recording:
    """What `put` records for a base and a value of these types."""
    base, value = input_node(None, of), input_node(None, type)
    bases, result = [base], value
    for step in chain[:-1]:
        bases.append(bind(step.op, (bases[-1],), step.params, step.sizes))
    for node, step in zip(reversed(bases), reversed(chain), strict=True):
        result = step.op.put(node, result, **arguments(step))       # type: ignore[misc]
    places = {base: 0, value: 1}
    found = []
    for node in topological([result]):
        if node.inputs:
            places[node] = len(places)
            found.append((node.spec, tuple([places[n] for n in node.inputs])))
    return tuple(found)


def _put_at_positions(base: Node, chain: tuple[Step, ...], value: Node, uniform: bool) -> Node:
    """`put` along steps that repeat elements, for a view that does not, or a uniform value: others raise RuntimeError."""
    size = base.type.size
    positions = view_of(np.arange(size).reshape(base.type.shape), chain)
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
