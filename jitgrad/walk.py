"""Recognising a recorded graph as one seen before, without capturing it.

Input: a captured graph, taken once as the pattern.  Output: a `Walk`, which follows the pattern from another root and
gives the same order, or None where the graph is not the same.
Invariant: a match means equal specs (so equal shapes and sizes), equal needs of gradients and equal strides at every
place, and nodes shared wherever the pattern shares them.  Nodes may be shared where the pattern has two: what is
computed twice then is right all the same.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jitgrad.graph import INPUT, Node, Spec


def edges(node: Node) -> Sequence[Node]:
    """The inputs that a gradient may flow on to."""
    op = node.spec.op
    if op.shape_only and not op.history:
        return [n for i, n in enumerate(node.inputs) if n.requires_grad and i not in op.shape_only]
    return [n for n in node.inputs if n.requires_grad]


def passed(order: Sequence[Node], roots: Iterable[Node]) -> list[int]:
    """The places in an order of the nodes that a backward from some roots goes through, without leaves: not of what only values
    flow from, a detached tensor's history for instance, which stays for a backward of its own."""
    reached = set(roots)
    places: list[int] = []
    for place in range(len(order) - 1, -1, -1):
        node = order[place]
        if node.inputs and node in reached and node.requires_grad:
            places.append(place)
            reached.update(edges(node))
    places.reverse()
    return places


class Walk:
    """The pattern.  visits: (place in the order, place of a node that has it as input, which input, spec, whether it
    requires a gradient, the strides of an array, True if it is contiguous, or None where there is none); repeats: further
    uses of a node.
    entry, bound, era: the executor's: what to run.  again(root): match, run, mark and deliver in one, by machine code
    (operators/native/again.py); None where there is none.  usual: `again` while nobody has asked for more than gradients;
    asker: who has, weakly; deliver(run): `again` for another program."""

    __slots__ = ("root", "size", "visits", "repeats", "leaves", "interior", "entry", "bound", "era", "again", "usual",
                 "asker", "deliver", "reference", "__weakref__")

    def __init__(self, order: Sequence[Node], index: Mapping[Node, int], root: Node, leaves: Sequence[Node], entry: Any,
                 bound: Any, era: int) -> None:
        self.root = index[root]
        self.size = len(order)
        self.leaves = [index[n] for n in leaves]
        self.interior = passed(order, (root,))
        self.entry = entry
        self.bound = bound
        self.era = era
        self.visits: list[tuple[int, int, int, Spec, bool, Any]] = []
        self.repeats: list[tuple[int, int, int]] = []
        seen = {root}
        stack = [root]
        while stack:
            user = stack.pop()
            for k, n in enumerate(user.inputs):
                if n in seen:
                    self.repeats.append((index[user], k, index[n]))
                    continue
                seen.add(n)
                stack.append(n)
                strides = None if n.spec.op is not INPUT else n.value.flags.c_contiguous or n.value.strides
                self.visits.append((index[n], index[user], k, n.spec, n.requires_grad, strides))
        self.again: Any = None
        self.usual: Any = None
        self.asker: Any = None
        self.deliver: Any = None
        self.reference = weakref.ref(self)

    def go(self, deliver: Callable[[Callable], Callable]) -> None:
        """Go through graphs by machine code from now on (operators/native/code.py)."""
        self.deliver = deliver
        self.again = self.usual = deliver(self.bound.run)

    def ask(self, asker: Any) -> bool:
        """See look_ahead.Source."""
        if self.usual is None:
            return False
        own = self.reference

        def leave(gone: Any) -> None:
            walk = own()
            if walk is not None and walk.asker is gone:
                walk.again, walk.asker = walk.usual, None

        def again(root: Node) -> bool | None:
            walk = own()
            order = None if walk is None else walk.match(root)
            if walk is None or order is None:
                return None
            leaves = [order[i] for i in walk.leaves]
            accumulators = [n.extra and n.extra.leaf for n in leaves]
            asked = walk.asker and walk.asker()
            if asked is None or asked.wants(accumulators):
                run = None if asked is None else asked.program(order, root, leaves, accumulators, walk.bound, {})
                walk.again = walk.usual if run is None else walk.deliver(run)
                return walk.again(root)
            return walk.usual(root)

        self.asker = weakref.ref(asker, leave)
        self.again = again
        return True

    def match(self, root: Node) -> list[Node] | None:
        """The order of the graph below `root` if it is the pattern's, and needs none of autograd's attention."""
        order: list[Any] = [None] * self.size
        order[self.root] = root
        for place, user, k, spec, requires_grad, strides in self.visits:
            n = order[user].inputs[k]
            if n.spec is not spec or n.requires_grad is not requires_grad:
                return None
            extra = n.extra
            if extra is not None and ((extra.cell is not None and extra.cell.value != extra.version)
                                      or extra.watch is not None):
                return None
            if strides is None:
                if n.run is not None:
                    return None
            elif (not n.value.flags.c_contiguous if strides is True else n.value.strides != strides) or (
                    extra is not None and extra.fn is not None):
                return None
            order[place] = n
        for user, k, place in self.repeats:
            if order[user].inputs[k] is not order[place]:
                return None
        return order
