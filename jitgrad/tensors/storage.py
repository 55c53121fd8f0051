"""Storage: memory that several tensors share; who owns a history over it, and what a write does.

Values are immutable: an array that is overwritten is a new node (SSA).  Of what PyTorch keeps in one tensor object,
- the **memory** (`Storage`) owns the value: the current node, whoever has written it, and the count of writes;
- a **base** owns a history, the gradient edge that operations on it record: the tensor that is no view, and each result of
  detach() and `.data`, which begins anew over the same memory (`Detached`).  A write goes to one base, directly or through a
  view of it: its history is that of what was written from then on.  The other bases take the new value and keep their own
  edge (`keep`), none included;
- a **view** owns nothing: it is a base and a chain of movement steps, and is derived from the base again after each write,
  those through itself included.  One that was made without grad mode, or along with others by one call (`Part`), cannot be
  derived again where there is a history.
Hooks are the edge's and stay there; retain_grad is the tensor's and follows it to its next edge.
"""
from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import INPUT, Node
from jitgrad.graph.recording import bind, grad_mode, in_grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.requests import execute
from jitgrad.tensors.steps import NO_GRAD, Step, apply_step, derive, movements, pending_detached, put, view_into
from jitgrad.types.array import ArrayType

ATTACH = REGISTRY["attach"]
MOST_WAITING = 128  # values that are postponed
PART, SMALL = 4, 1024       # times the size of a part that is read for itself is that of all, at least, unless it is as small as this


class Version:
    """A version counter.  Nodes refer to it rather than to the storage, so that nothing is cyclic."""

    __slots__ = ("value", "writer")

    def __init__(self) -> None:
        self.value = 0
        self.writer: weakref.ref[Node] | None = None        # the base as last written, for error messages


class Detached:
    """The step of detach() or `.data` in a chain: a base of its own over the same memory.

    node: its current one, as of the storage's write number `seen`.  cell: the version counter, its own after `.data`."""

    __slots__ = ("node", "seen", "cell")
    op, params, sizes = NO_GRAD         # it is a Step, which could not have slots

    def __init__(self, node: Node, seen: int, cell: Version) -> None:
        self.node = node
        self.seen = seen
        self.cell = cell


class Owner(Protocol):
    """See Storage."""

    def settle(self) -> None:
        """Give all its storages their values, and own them no more."""
        ...


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


class Storage:
    """The current node of all of the memory, with the history of the base that is not detached, the number of writes
    (tensors compare it) and the version counter that autograd checks.

    `private`: the base's next value, an array that no node refers to yet.  A loop that fills an array by index writes
    there, so that only the first write copies; `flush` makes it the base node before anybody can look.  `waiting`: what is to be
    written there, as indices and nodes, whose values are postponed: they are computed together (`drain`).
    `owner`: who has computed newer values, and gives them to the storage when asked to `settle` (optim/steady.py).
    `history`: the node with the history, weakly, where the storage has let go of it (`release`)."""

    __slots__ = ("node", "writes", "cell", "private", "waiting", "owner", "history", "__weakref__")
    deferred = False        # True of what stands in for the storage of a replayed result: see Deferred

    def __init__(self, node: Node) -> None:
        self.node = node
        self.writes = 0
        self.cell = Version()
        self.private: np.ndarray | None = None
        self.waiting: list[tuple[Any, Node]] | None = None
        self.owner: Owner | None = None
        self.history: weakref.ref[Node] | None = None
        stamp(node, self.cell)

    def write_private(self, chain: tuple[Step, ...], index: Any, value: Any, seen: int) -> bool:
        """view[index] = value for a view of a base, both plain arrays; False if NumPy does not take it so, or there are more than
        `seen` writes by now.

        chain: the view's movements.  The caller sees to it that every tensor on this storage looks again (`writes`)."""
        if self.waiting is not None:
            self.drain()
        node, private = self.node, self.private
        array = self.to_fill()
        if array is None:
            return False
        try:
            view = view_into(array, node.spec.type, chain)
            if view is None or self.writes != seen or self.private is not private or self.node is not node or self.waiting is not None:
                return False
            self.private = array
            view[index] = value
        except (ValueError, IndexError, TypeError, OverflowError):
            return False            # the general way raises the error in PyTorch's words
        self.writes += 1
        self.cell.value += 1
        return True

    def to_fill(self) -> np.ndarray | None:
        """What is written privately, or a copy that is to be; None where gradients go to the base, or it is not known."""
        array, node = self.private, self.node
        if array is not None:
            return array
        if node.spec.op is not INPUT or node.requires_grad or self.history is not None or tracing.traces:
            return None
        return node.value.copy()

    def wait(self, index: Any, node: Node, seen: int) -> bool:
        """Write a value that is postponed, of the type of what is at an index, when somebody looks; see `write_private`."""
        base, private = self.node, self.private
        array, added = self.to_fill(), [(index, node)]
        # All that is new is there.
        if array is None or self.writes != seen or self.private is not private or self.node is not base:
            return False
        waiting = self.waiting
        if waiting is None:
            waiting = added
        else:
            waiting += added
        self.private, self.waiting = array, waiting
        self.writes += 1
        self.cell.value += 1
        if len(waiting) >= MOST_WAITING:
            self.drain()
        return True

    def drain(self) -> None:
        """Write what is waiting.  (Where that is interrupted, all of it is written once more.)

        To compute it may run anybody's code, a finalizer for instance, which may write here, or flush: then what is there is looked at
        anew."""
        insist(self._drained)

    def _drained(self) -> bool:
        waiting, array, writes = self.waiting, self.private, self.writes
        if waiting is None:
            return True
        assert array is not None
        values = [(index, execute.value(node)) for index, node in reversed(waiting[:])]        # the last needs most of the others
        for index, value in reversed(values):
            if self.private is not array or self.waiting is not waiting or self.writes != writes:
                return False
            array[index] = value
        if self.private is not array or self.waiting is not waiting or self.writes != writes:
            return False
        self.waiting = None
        return True

    def read_private(self, chain: tuple[Step, ...], type: ArrayType) -> Node | None:
        """The node of a small part of what was written privately, None of others, for which that is made a node first.

        chain: the part's movements; type: its type."""
        if self.waiting is not None:
            self.drain()
        array = self.private
        if array is None or (PART * type.size > array.size and type.size > SMALL) or self.owner is not None or tracing.traces:
            return None
        view = view_into(array, self.node.spec.type, chain)
        return None if view is None else input_node(np.array(view), type)

    def flush(self) -> None:
        """Make what was written privately, or what the owner has computed, the base node."""
        if self.owner is not None:
            self.owner.settle()
        if self.private is not None:
            insist(self._flushed)

    def _flushed(self) -> bool:
        if self.waiting is not None:
            self.drain()
        array, writes = self.private, self.writes
        if array is None:               # whatever ran then has done it
            return True
        node = input_node(array, self.node.type)
        stamp(node, self.cell)
        # All that is new is there.
        if self.private is not array or self.waiting is not None or self.writes != writes:
            return False
        self.node = node
        self.private = None
        return True

    def base(self, chain: tuple[Step, ...], depth: int) -> Node:
        """The node, as of now, of the base that the first `depth` steps of a chain lead to (see base_depth)."""
        if self.private is not None:
            self.flush()
        if not depth:
            if self.history is not None and (node := self.history()) is not None:
                self.hold(keep(node, self.node))
                detached_storages.add(self)
            return self.node
        step: Any = chain[depth - 1]
        if step.seen != self.writes:
            step.node = keep(step.node, derive(apply_step(self.node, NO_GRAD), chain[:depth - 1]))
            step.seen = self.writes
            stamp(step.node, step.cell)
        return step.node

    def spread(self, chain: tuple[Step, ...], depth: int, node: Node, uniform: bool = False) -> Node:
        """The node of the first base once `node` is that of the base that the first `depth` steps lead to: its value, its history.

        uniform: see steps.put."""
        if depth:
            value = apply_step(node, NO_GRAD)
            moves = movements(chain[:depth])
            if moves:
                value = put(apply_step(self.node, NO_GRAD), moves, value, uniform)
            node = keep(self.base((), 0), value)
        node.ensure_extra()
        return node

    def commit(self, node: Node, first: Node, step: Any, cell: Version, writer: weakref.ref[Node] | None, count: int = 1) -> None:
        """Make `node` that of a base with this version counter, and `first`, made by `spread`, that of the first base.

        step: of the base, None for the first.  writer, count: see Version.  Of stores alone: an exception out of a signal handler
        comes before or after."""
        extra, first_extra, own = node.extra, first.extra, self.cell
        assert extra is not None and first_extra is not None
        self.private = self.waiting = None              # what was written by index before
        cell.value += count
        cell.writer = writer
        first_extra.cell = own
        first_extra.version = own.value
        extra.cell = cell
        extra.version = cell.value
        self.node = first
        self.history = None
        self.writes += 1
        if step is not None:
            step.node = node
            step.seen = self.writes

    def hold(self, node: Node) -> None:
        """Take a node with its history."""
        self.node, self.history = node, None

    def release(self) -> None:
        """Let go of the base's history if backward has finished with it: detached tensors must not keep it alive.

        The tensors that have the history keep it themselves."""
        node = self.node
        if node.inputs and node.value is not None and node.run is not None and node.run.freed:
            history = weakref.ref(node)
            node = input_node(node.value, node.type)
            stamp(node, self.cell)
            self.node, self.history = node, history


# Storages with detached tensors on them; backward releases those whose value it has computed.
detached_storages: weakref.WeakSet[Storage] = weakref.WeakSet()


class Deferred(Protocol):
    """What stands in for the storage of a tensor whose history is not made yet (capture/replays/lazy_result.py).  `writes` never is
    what the tensor has seen, so that every use of its node asks for it."""

    deferred: bool
    writes: int

    def detach(self, tensor: Any, tracks: bool) -> Any:
        """See Tensor._detached."""
        ...

    def materialise(self, tensor: Any) -> None:
        """Give the tensor its node."""
        ...

    def value(self, tensor: Any) -> np.ndarray:
        """The tensor's array."""
        ...

    def backward(self) -> bool:
        """backward() from the tensor, a scalar; False where it has to go the general way."""
        ...


def any_detached() -> bool:
    """Whether there is anything for backward to let go of.  (len() of a WeakSet takes a microsecond.)"""
    return bool(detached_storages.data or pending_detached.data)       # type: ignore[attr-defined]


def stamp(node: Node, cell: Version, version: int | None = None) -> None:
    """Note on a node that it is the value of a storage, as of a version or of now."""
    extra = node.ensure_extra()
    extra.cell = cell
    extra.version = cell.value if version is None else version


def base_depth(chain: tuple[Step, ...]) -> int:
    """How many steps of a chain lead to the tensor's base; the others lead from there to the view."""
    if not chain:
        return 0
    depth = len(chain)
    while depth and type(chain[depth - 1]) is not Detached:
        depth -= 1
    return depth


def gradient_edge(node: Node) -> Node:
    """The node to which the gradient of this one goes: itself, unless its value was written without grad mode since."""
    while node.spec.op is ATTACH and (node.extra is None or node.extra.fn is None):
        node = node.inputs[0]
    return node


def recorded(record: Callable[..., Node], *args: Any) -> Node:
    """What `record` records as in grad mode: values that change hands inside no_grad keep the history they have."""
    return record(*args) if grad_mode.enabled else in_grad_mode(True, record, *args)


def leaf_node(value: np.ndarray, like: Node, accumulator: Any) -> Node:
    """An INPUT node with gradients going to `accumulator`."""
    node = input_node(value, like.type, True)
    node.ensure_extra().leaf = accumulator
    return node


def keep(old: Node, value: Node) -> Node:
    """The history of a base with a value that another base has written, a node without history that nothing refers to."""
    if not old.requires_grad:
        return value
    if old.extra is not None and old.extra.leaf is not None:
        return leaf_node(execute.value(value), value, old.extra.leaf)
    return recorded(bind, ATTACH, (gradient_edge(old), value))


def retain_along(old: Node, new: Node) -> None:
    """A tensor whose node was `old` has become `new`: its retain_grad goes along to the new gradient edge."""
    if old.extra is None or (old.extra.watch is None and old.spec.op is not ATTACH):
        return
    old, new = gradient_edge(old), gradient_edge(new)
    if old is not new and new.requires_grad and old.extra is not None and old.extra.watch is not None:
        old.extra.watch.follow(new)
