"""What of each piece of a graph is needed: values that others read, and derivatives.

Input: a graph in pieces, and what is wanted of it.  Output: `Needs`.
Invariant: gradients go through the pieces from the last to the first; what comes together is added in the order in which the derivative
of the whole graph would add it.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.compiler.loops.arrange import Graph
from jitgrad.compiler.loops.body import Body, Reverse, Sizes, bodies_of, reverse
from jitgrad.compiler.loops.pieces import CARRIED, INDEXED, INVARIANT, Piece
from jitgrad.compiler.loops.tables import Block, Location, Unsuitable
from jitgrad.compiler.runtime.arena import aligned
from jitgrad.graph.node import Node

# What the gradient of a place is added to: (leaf), or (number of a piece, operation of its body, whether there is one for each
# iteration; otherwise it is that of the last one).
Target = tuple


def once(make: Callable[..., Any], of: Body | Reverse, *what: tuple) -> Any:
    """make(of, *what), which is the same for the same arguments: what is found of a body for some use of it."""
    key = (make, *what)
    if key not in of.found:
        of.found[key] = make(of, *what)
    return of.found[key]


class Loop:
    """A piece, with its body, and what of it is needed.

    later: the body with the lengths of the iteration behind it, where they advance.  last: operations of which other pieces read the
    last iteration's value; all: those of which they read other iterations' values; seeded: those of which other iterations are roots;
    kept, before: of which the derivative reads the same iteration's, and that of the iteration before."""

    def __init__(self, number: int, graph: Graph, piece: Piece, bodies: dict[tuple, list[Body]]) -> None:
        self.number = number
        self.piece = piece
        found = bodies_of(graph, piece, bodies)
        self.body, self.later = found[0], found[-1]
        self._graph = graph
        self.sizes: Sizes = self.body.sizes(graph, piece)
        self.count = piece.count
        self.last: set[int] = set()
        self.all: set[int] = set()
        self.seeded: set[int] = set()
        self.kept: set[int] = set()
        self.before: set[int] = set()
        self.offset = {n: o for o, n in enumerate(self.body.nodes)}
        self.carried = {o.offset: j for j, o in enumerate(piece.operands) if o.kind == CARRIED}
        self.reverse: Reverse | None = None
        self.later_reverse: Reverse | None = None
        self.places: dict[Node, Location] = {}     # of operands and operations
        self.blocks: list[Block] = []              # in which its derivative goes back

    def place(self, offset: int, updated: Mapping[Node, Node], iterations: int, array: Callable[[int], Location]) -> None:
        """Find a place for the result of an operation, and for the operand that it is to the next iteration: for each of some
        iterations, or, where these are none, for that of the last one alone.

        updated: see iteration.split; array: makes a place of so many bytes."""
        places, node, nbytes = self.places, self.body.nodes[offset], self.nbytes(offset)
        operand = self.body.operands[self.carried[offset]] if offset in self.carried else None
        if self.count == 1:
            places[node] = array(nbytes)
        elif operand is None:
            places[node] = array(max(iterations, 1) * nbytes)._replace(stride=nbytes if iterations else 0)
        elif iterations:
            places[operand] = array((iterations + 1) * nbytes)._replace(stride=nbytes)
            places[node] = places[operand].after(1)
        elif updated.get(node) is operand:
            places[operand] = places[node] = array(nbytes)
        else:
            size = aligned(nbytes)
            places[operand] = array(2 * size)._replace(stride=size, alternates=True)
            places[node] = places[operand].after(1)

    def goes_on(self, offset: int, updated: Mapping[Node, Node]) -> bool:
        """Whether what is handed on may stay where the value is with which the loop begins (updated: see iteration.split)."""
        operand, node = self.body.operands[self.carried[offset]], self.body.nodes[offset]
        return updated.get(node) is operand and not self.piece.varies and operand.spec.type == node.spec.type

    def each(self, offset: int) -> list[int]:
        """Bytes of what is handed on to the first iteration in place of the result of an operation, if any is, and of that result in
        each iteration."""
        graph, piece = self._graph, self.piece
        at = graph.body[piece.first + offset:piece.end:piece.period].tolist()
        initial = [piece.operands[self.carried[offset]].places[0]] if offset in self.carried else []
        found = [graph.order[k].spec.type for k in ([*initial, *at] if piece.varies else at[:1])]
        nbytes = [t.size * t.dtype.np.itemsize for t in found]
        return nbytes if piece.varies else nbytes * (self.count + len(initial))

    def nbytes(self, offset: int) -> int:
        """The most that it is of these."""
        return max(self.each(offset))


class Needs:
    """loops: the pieces.  needed: of each place, whether its gradient leads to a wanted one; came: what gradients are added to."""

    def __init__(self, graph: Graph, pieces: Sequence[Piece], outputs: Sequence[int], roots: Sequence[int],
                 wanted: Sequence[int]) -> None:
        self.graph = graph
        bodies: dict[tuple, list[Body]] = {}
        self.loops = [Loop(number, graph, piece, bodies) for number, piece in enumerate(pieces)]
        self._where = np.zeros(len(graph.body), np.int64)
        for number, one in enumerate(self.loops):
            self._where[one.piece.first:one.piece.end] = number
        self.needed = self._find_needed(set(wanted))
        self.came: set[Target] = set()
        self._read_outside(outputs, roots)
        self._differentiate(roots)

    def _find_needed(self, wanted: set[int]) -> list[bool]:
        order = self.graph.order
        needed = [False] * len(order)
        for k, of in enumerate(self.graph.children):
            needed[k] = k in wanted or (order[k].requires_grad and any([needed[j] for j in of]))
            if k in self.graph.joined:
                needed[k] = any(needed[self.graph.joined[k]:k])
        if any([self.graph.at[k] >= 0 for k in wanted]):      # of operations: they are in no place of their own
            raise Unsuitable
        return needed

    def at(self, place: int) -> tuple[Loop, int, int] | None:
        """Piece, operation of its body and iteration of a place; None for a leaf."""
        at = int(self.graph.at[self.graph.joined.get(place, place)])
        if at < 0:
            return None
        one = self.loops[self._where[at]]
        iteration, offset = divmod(at - one.piece.first, one.piece.period)
        return one, offset, iteration

    def _outside(self, one: Loop) -> list[int]:
        """All places of other pieces that a piece reads."""
        return [k for operand in one.piece.operands for k in operand.places]

    def _read_outside(self, outputs: Sequence[int], roots: Sequence[int]) -> None:
        """Note what is read of each piece by others, or wanted."""
        for place in [*outputs, *[k for one in self.loops for k in self._outside(one)]]:
            at = self.at(place)
            if at is not None:
                one, offset, iteration = at
                (one.last if place not in self.graph.joined and iteration == one.count - 1 else one.all).add(offset)
        for place in roots:
            at = self.at(place)
            if at is not None and at[2] < at[0].count - 1:
                at[0].seeded.add(at[1])

    def stacked(self, one: Loop, offset: int) -> bool:
        """Whether gradients of an operation come from outside for each iteration."""
        return one.count > 1 and (offset in one.all or offset in one.seeded or offset not in one.carried
                                  or not self._hands_on(one, one.carried[offset]))

    def _hands_on(self, one: Loop, number: int) -> bool:
        """Whether the gradient of an operand that is handed on is needed."""
        operand = one.piece.operands[number]
        return self.needed[int(self.graph.body[one.piece.first + operand.offset])]

    def target(self, place: int) -> Target:
        """What the gradient of a place is added to."""
        at = self.at(place)
        if at is None:
            return (place,)
        one, offset, _ = at
        return (one.number, offset, self.stacked(one, offset))

    def _differentiate(self, roots: Sequence[int]) -> None:
        """The derivatives of all bodies that gradients go through."""
        self.came.update([self.target(place) for place in roots])
        for one in reversed(self.loops):
            operands = one.piece.operands
            slots, comes = [], False
            for offset in range(one.piece.period):
                stacked = self.stacked(one, offset)
                if (one.number, offset, stacked) in self.came:
                    comes = True
                    if stacked or one.count == 1:
                        slots.append(offset)
            if not comes:
                continue
            needed = [self._hands_on(one, j) if o.kind == CARRIED else any([self.needed[k] for k in o.places])
                      for j, o in enumerate(operands)]
            targets = [[self.target(k) for k in o.places] if need and o.kind != CARRIED else [] for o, need in
                       zip(operands, needed, strict=True)]
            met: set[tuple] = set()
            summed = set()
            for j, (operand, of) in enumerate(zip(operands, targets, strict=True)):
                if not of:
                    continue
                whole = operand.kind == INDEXED and self._covers(operand.places)
                if (operand.kind == INVARIANT and one.count > 1) or not met.isdisjoint(of) or not self.came.isdisjoint(of) or not (
                        whole or one.count == 1 and not self.is_part(operand.places[0])):
                    summed.add(j)
                met.update(of)
            what = tuple(slots), tuple(needed), tuple(sorted(summed))
            found: Reverse = once(reverse, one.body, *what)
            one.reverse = found
            one.later_reverse = once(reverse, one.later, *what)
            for n in found.saved:
                if n in one.offset:
                    one.kept.add(one.offset[n])
                else:
                    number = one.body.operands.index(n)
                    if operands[number].kind == CARRIED:
                        one.before.add(operands[number].offset)
            for j in found.gradients:
                self.came.update(targets[j])
                if operands[j].kind == CARRIED and self.needed[operands[j].places[0]]:
                    self.came.add(self.target(operands[j].places[0]))

    def dying(self, outputs: Iterable[int], blocked: Collection[int]) -> list[list[int]]:
        """Of each piece, the operands whose arrays nobody reads behind it, the derivative included: it may write over them.

        blocked: the numbers of loops that are computed again on the way back."""
        last: dict[int, tuple[int, int]] = {}       # of each place, the last piece that reads it, and as which operand
        stay = {*outputs}
        for one in self.loops:
            for j, operand in enumerate(one.piece.operands):
                saved = one.reverse is not None and one.body.operands[j] in one.reverse.saved and operand.kind != CARRIED
                for k in operand.places:
                    if saved or one.number in blocked or last.get(k, (-1,))[0] == one.number:
                        stay.add(k)
                    last[k] = one.number, j
        found: list[list[int]] = [[] for _ in self.loops]
        for k, (number, j) in last.items():
            at = self.at(k)
            if at is None or k in stay or self.loops[number].piece.operands[j].kind == INDEXED:
                continue
            one, offset, iteration = at
            if iteration == one.count - 1 and one.number not in blocked and offset not in one.all | one.kept | one.before:
                found[number].append(j)
        return found

    def is_part(self, place: int) -> bool:
        """Whether the gradient of a place is one among those of all iterations."""
        at = self.at(place)
        return at is not None and self.stacked(at[0], at[1]) and place not in self.graph.joined

    def _covers(self, places: Sequence[int]) -> bool:
        """Whether places are different leaves, or one operation in all iterations of a piece."""
        ats = [self.at(k) for k in places]
        if len(set(places)) < len(places):
            return False
        if all([at is None or not self.stacked(at[0], at[1]) for at in ats]):
            return True
        first = ats[0]
        return first is not None and len(places) == first[0].count and all(
            [at is not None and at[0] is first[0] and at[1] == first[1] for at in ats])
