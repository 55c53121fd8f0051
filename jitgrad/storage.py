"""Storage: what several tensors share when one is a view of another, and what a write does.

Values are immutable.  A storage names one current base node; a view is (storage, chain), the chain being the movement
steps that lead from the base to the view.  A write computes the base anew through the chain's inverses; other views
notice that `writes` has changed and derive their node again.
"""
from __future__ import annotations

import weakref
from typing import Any, NamedTuple, Protocol

import numpy as np

from jitgrad import tracing
from jitgrad.graph import INPUT, Node, Op, become_input, bind, input_node
from jitgrad.interpreter import compute

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


class Version:
    """A version counter.  Nodes refer to it rather than to the storage, so that nothing is cyclic."""

    __slots__ = ("value", "writer")

    def __init__(self) -> None:
        self.value = 0
        self.writer: weakref.ref[Node] | None = None        # the base as last written, for error messages


class Owner(Protocol):
    """See Storage."""

    def settle(self) -> None:
        """Give all its storages their values, and own them no more."""
        ...


class Storage:
    """The current base node, the number of writes (views compare it) and the version counter that autograd checks.

    `private`: the base's next value, an array that no node refers to yet.  A loop that fills an array by index writes
    there, so that only the first write copies; `flush` makes it the base node before anybody can look.
    `owner`: who has computed newer values, and gives them to the storage when asked to `settle` (optim/steady.py)."""

    __slots__ = ("node", "writes", "cell", "private", "owner", "__weakref__")
    deferred = False        # True of what stands in for the storage of a replayed result: see Deferred

    def __init__(self, node: Node) -> None:
        self.node = node
        self.writes = 0
        self.cell = Version()
        self.private: np.ndarray | None = None
        self.owner: Owner | None = None
        stamp(node, self.cell)

    def write_private(self, index: Any, value: Any) -> bool:
        """base[index] = value for a base and a value that are plain arrays; False if NumPy does not take it so.

        The caller sees to it that every tensor on this storage looks again (`writes`)."""
        array = self.private
        if array is None:
            node = self.node
            if node.op is not INPUT or node.requires_grad or tracing.current() is not None:
                return False
            array = node.value.copy()
        try:
            array[index] = value
        except (ValueError, IndexError, TypeError, OverflowError):
            return False            # the general way raises the error in PyTorch's words
        self.private = array
        self.writes += 1
        self.cell.value += 1
        return True

    def flush(self) -> None:
        """Make what was written privately, or what the owner has computed, the base node."""
        if self.owner is not None:
            self.owner.settle()
        if self.private is not None:
            node = input_node(self.private, self.node.type)
            stamp(node, self.cell)
            self.node, self.private = node, None

    def release(self) -> None:
        """Let go of the base's history if backward has finished with it: detached tensors must not keep it alive.

        The tensor that has the history keeps it itself."""
        node = self.node
        if node.inputs and node.value is not None and node.run is not None and node.run.freed:
            node = input_node(node.value, node.type)
            stamp(node, self.cell)
            self.node = node


# Storages with detached tensors on them; backward releases those whose value it has computed.
detached_storages: weakref.WeakSet[Storage] = weakref.WeakSet()


class Deferred(Protocol):
    """What stands in for the storage of a tensor whose history is not made yet (capture/replay.py).  `writes` never is
    what the tensor has seen, so that every use of its node asks for it."""

    deferred: bool
    writes: int

    def materialise(self, tensor: Any) -> None:
        """Give the tensor its node."""
        ...

    def value(self, tensor: Any) -> np.ndarray:
        """The tensor's array."""
        ...

    def backward(self) -> bool:
        """backward() from the tensor, a scalar; False where it has to go the general way."""
        ...


def note_write(storage: Storage) -> None:
    """Tell a trace, if there is one, that a storage is written to."""
    if tracing.traces:
        trace = tracing.current()
        if trace is not None:
            trace.written.append(storage)


def any_detached() -> bool:
    """Whether there is anything for backward to let go of.  (len() of a WeakSet takes a microsecond.)"""
    return bool(detached_storages.data or pending_detached.data)       # type: ignore[attr-defined]


def stamp(node: Node, cell: Version, version: int | None = None) -> None:
    """Note on a node that it is the value of a storage, as of a version or of now."""
    extra = node.ensure_extra()
    extra.cell = cell
    extra.version = cell.value if version is None else version


def is_stale(node: Node) -> bool:
    """Whether the storage that held this value has been written to since."""
    extra = node.extra
    return extra is not None and extra.cell is not None and extra.cell.value != extra.version


def settle(node: Node) -> Node:
    """Compute at once a node that depends on nothing pending and needs no gradient (its inputs are leaves)."""
    if node.depth == 0 and node.inputs:
        if tracing.current() is None:
            become_input(node, compute(node))
        else:
            node.depth = 1
    return node


def apply_step(node: Node, step: Step) -> Node:
    """The node one step further along a view's chain."""
    if step.op.name != "detach":
        return settle(bind(step.op, (node,), step.params, step.sizes))
    if tracing.current() is None and (node.op is INPUT or (node.run is not None and node.value is not None)):
        return input_node(node.value, node.type)     # the value is known: keep nothing of how it came about
    result = bind(step.op, (node,))
    if tracing.current() is None:
        pending_detached.add(result)
    else:
        settle(result)
    return result


def derive(base: Node, chain: tuple[Step, ...]) -> Node:
    """The view's node, from the base node."""
    for step in chain:
        base = apply_step(base, step)
    return base


def put(base: Node, chain: tuple[Step, ...], value: Node) -> Node:
    """The base with the elements that `chain` selects replaced by `value` (of the view's type)."""
    bases = [base]
    for step in chain[:-1]:
        bases.append(apply_step(bases[-1], step))
    for node, step in zip(reversed(bases), reversed(chain), strict=True):
        if step.op.put is None:
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                               "memory location. Please clone() the tensor before performing the operation.")
        params = dict(zip(step.op.param_names, step.params, strict=True))
        if step.op.has_sizes:
            params["sizes"] = step.sizes
        value = settle(step.op.put(node, value, **params))
    return value
