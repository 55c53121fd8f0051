"""Recognising a recorded graph as one seen before, without capturing it.

Input: a captured graph, taken once as the pattern.  Output: a `Pattern`, which is followed from other roots and gives the same
order, or None where the graph is not the same.
Invariant: a match means equal operations and shapes (run-time sizes may differ: the schedule is bound anew then), equal needs of
gradients, equal strides and equal stops at every place, nothing freed, the same overwritten, and nodes shared wherever the pattern
shares them.  Nodes but stops may be shared where the pattern has two: what is computed twice then is right all the same.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.graph.node import INPUT, Node, Spec, is_stale
from jitgrad.requests.capture import Capture

NOTHING = (None, False)
VALUES = "values"           # the kind of a request for values alone
_numbers = itertools.count()
# native[0](pattern): its match by machine code (operators/native/matching.py), or None; once there is any.
native: list[Callable[[Any], Callable[..., list[Any] | None] | None] | None] = [None]
MAX_SIZES = 512     # sets of run-time sizes that a pattern keeps what is bound for
ANY_DEPTH = -1      # depth of a pattern that is looked for whatever the root's depth is
OPERATION, ARRAY, KNOWN, OUTPUT = 0, 1, 2, 3        # of an OUTPUT, a Function's, the array is there and gradients go on


def _owner(node: Node) -> Any:
    extra = node.extra
    return None if extra is None else (extra.fn and (extra.fn.name, extra.fn.number), type(extra.in_place), extra.in_place is True)


class Pattern:
    """A request that comes again.

    kind: what is asked of such roots, which callers compare.  visits: (place in the order, place of a node that has it as operand,
    or -1 for the roots, which operand, spec, whether it requires a gradient, what it is, the strides of an array, True if it is
    contiguous, whether Python is called there, whether it was overwritten); repeats: further uses of a node.
    types: of the order.  leaves, interior: places of leaves with gradients, and of what gradients go through.
    number: which was learnt earlier.
    entry, bound, era: the executor's: what to run.  sized: places of operations with run-time sizes; others: what is bound, by those.
    native: `match` by machine code, once the reference has met the graph again; False where that cannot follow it.
    again(root): match, run, mark and deliver in one, by machine code (operators/native/backward.py), of a plain backward; None where
    there is none.  depth: of the first root, by which a graph of another length is told apart at once; ANY_DEPTH where graphs of other
    depths turned out to be the same."""

    __slots__ = ("kind", "size", "root", "visits", "repeats", "functions", "applications", "arities", "owners", "stops", "leaves",
                 "interior", "entry", "bound", "era", "known", "native", "number", "sized", "others", "again", "depth", "types")

    def __init__(self, kind: Any, captured: Capture, roots: Sequence[Node], interior: list[int], entry: Any, bound: Any,
                 era: int) -> None:
        order, index, children = captured.order, captured.index, captured.children
        self.kind = kind
        self.root = index[roots[0]]
        self.size = len(order)
        self.types = [n.spec.type for n in order]
        self.leaves = [index[n] for n in captured.leaves]
        self.interior = interior
        self.entry = entry
        self.bound = bound
        self.era = era
        self.known = captured.known
        self.stops = frozenset(captured.stops)
        self.arities = [len(of) for of in children]
        self.visits: list[tuple[int, int, int, Spec, bool, int, Any, bool, bool]] = []
        self.repeats: list[tuple[int, int, int]] = []
        # Of outputs of Functions: the place, that of the first output of the same application, the output's number, and which
        # operands need a gradient.
        self.functions: list[tuple[int, int, int, list[bool]]] = []
        first: dict[Any, int] = {}
        seen: set[int] = set()
        stack: list[tuple[int, Sequence[int]]] = [(-1, [index[n] for n in roots])]
        while stack:
            user, below = stack.pop()
            for k, place in enumerate(below):
                if place < 0:
                    continue
                if place in seen:
                    self.repeats.append((user, k, place))
                    continue
                seen.add(place)
                n = order[place]
                what, strides = OPERATION, None
                if n.spec.op is INPUT:
                    what = OUTPUT if place in self.stops else ARRAY
                    strides = n.value.flags.c_contiguous or n.value.strides
                elif n.inputs and (place in captured.known or not children[place]):
                    what = KNOWN
                self.visits.append((place, user, k, n.spec, n.requires_grad, what, strides, place in self.stops, is_stale(n)))
                if what == OUTPUT:
                    fn = n.extra.fn                                         # type: ignore[union-attr]
                    self.functions.append((place, first.setdefault(fn.ctx, place), fn.number, [j >= 0 for j in children[place]]))
                if children[place]:
                    stack.append((place, children[place]))
        self.applications = len(first)
        # Where values were overwritten: who owns the nodes, which decides what of that was saved for gradients.
        self.owners = [_owner(n) for n in order] if self.for_gradients and any([visit[8] for visit in self.visits]) else None
        self.native: Any = None
        self.number = next(_numbers)
        self.sized = [k for k, n in enumerate(order) if n.spec.sizes is not None]
        self.others: dict[tuple[Spec, ...], Any] = {}
        self.again: Any = None
        self.depth = roots[0].depth

    def bind(self, order: list[Node]) -> Any:
        """What is bound for other run-time sizes: of the last few, if that takes no memory of its own."""
        sizes = tuple([order[k].spec for k in self.sized])
        found = self.others.get(sizes)
        if found is None:
            found = self.entry.program.bind(order)
            if self.entry.program.single:
                if len(self.others) >= MAX_SIZES:
                    self.others.clear()
                self.others[sizes] = found
        return found

    @property
    def for_gradients(self) -> bool:
        """Whether gradients are asked for: of a Function's output, then, it counts what lies behind it."""
        return self.kind != VALUES

    @property
    def is_simple(self) -> bool:
        """Whether machine code can do all: nothing calls Python, the root is to be computed."""
        return not self.stops and self.root not in self.known

    def match(self, roots: Sequence[Node]) -> tuple[list[Node] | None, bool]:
        """The order of the graph below `roots` if it is the pattern's, and whether all run-time sizes are the pattern's, too."""
        if self.native:
            order = self.native(*roots)
            return NOTHING if order is None else (order, order.pop())
        found = self.follow(roots)
        if self.native is None and native[0] is not None and found is not NOTHING:
            self.native = native[0](self) or False
        return found

    def follow(self, roots: Sequence[Node]) -> tuple[list[Node] | None, bool]:
        """`match` in Python: the reference, for where there is no machine code."""
        order: list[Any] = [None] * self.size
        exact = True
        for place, user, k, spec, requires_grad, what, strides, stop, stale in self.visits:
            if user < 0:
                n = roots[k]
            else:
                above = order[user]
                inputs = above.inputs or above.extra.fn.ctx._edges
                n = inputs[k]
                if n is None:
                    return NOTHING
            if n.requires_grad is not requires_grad:
                return NOTHING
            if what != OUTPUT and self.arities[place] and len(n.inputs) != self.arities[place]:
                return NOTHING
            if n.spec is not spec:
                if n.spec.sig != spec.sig or n.spec.type is not spec.type:
                    return NOTHING
                exact = False
            extra = n.extra
            active = False
            if is_stale(n) is not stale:
                return NOTHING
            if extra is not None:
                active = extra.watch is not None and extra.watch.is_active()
            if what == OUTPUT:
                if extra is None or extra.fn is None or len(extra.fn.ctx._edges) != self.arities[place]:
                    return NOTHING
            elif active is not stop:
                return NOTHING
            if what == OPERATION or what == KNOWN:
                if (n.run is not None and n.run.freed) or (
                        what == KNOWN and (n.value is None or not n.value.flags.c_contiguous)):
                    return NOTHING
            elif strides is not None and (not n.value.flags.c_contiguous if strides is True else n.value.strides != strides):
                return NOTHING
            elif what == ARRAY and self.for_gradients and extra is not None and extra.fn is not None:
                return NOTHING
            order[place] = n
        for user, k, place in self.repeats:
            above = order[user] if user >= 0 else None
            of = roots if above is None else above.inputs or above.extra.fn.ctx._edges
            if of[k] is not order[place]:
                return NOTHING
        if self.stops and len({order[place] for place in self.stops}) < len(self.stops):
            return NOTHING
        if self.owners is not None and self.owners != [_owner(n) for n in order]:
            return NOTHING
        applications: set[Any] = set()
        for place, other, number, needs in self.functions:
            fn, ctx = order[place].extra.fn, order[other].extra.fn.ctx
            if place == other:
                applications.add(ctx)
            if fn.ctx is not ctx or fn.number != number or ctx._freed or [
                    e is not None and e.requires_grad for e in ctx._edges] != needs:
                return NOTHING
        if len(applications) < self.applications:
            return NOTHING
        return order, exact
