"""What a recorded graph is made of: stretches of operations that repeat, and what lies between.

Input: a graph in order.  Output: `Piece`s, which cover its operations in order: bodies, and how often each is done.
Invariant: each iteration of a piece does the same, on operands of the same types: what the iteration before has computed, what all
iterations read, or an operand of its own; starts of slices and lengths advance by a constant.  The time taken is linear in the
operations.

Loops whose lengths stay are looked for first, then, in what is left, those where some advance (triangular ones).
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jitgrad.compiler.loops.arrange import MANY, Graph
from jitgrad.compiler.loops.repeats import LEAST, WINDOW, occurring, repeating

LONG, WIDE = 1 << 14, 48    # elements of arrays that are long; operations of an iteration that goes through these
BEHIND = 3              # iterations that values are handed on
MISSES = 4              # iterations that begin no loop, though the operations repeat, before that is given up
FEW = 4                 # iterations of a loop that are read from outside
CARRIED, INVARIANT, INDEXED = range(3)


class BodyOperand(NamedTuple):
    """What a body reads from outside.

    kind: CARRIED, operation `offset` of the iteration before, of the first iteration places[0]; INVARIANT, places[0];
    INDEXED, in iteration i places[i]."""

    kind: int
    places: tuple[int, ...]
    offset: int = -1


@dataclass(eq=False)
class Piece:
    """`count` iterations of `period` operations each, from the operation `first` of the graph's body on.

    operands: what the body reads; wiring: of each operation its operands, numbers of operations of the body or ~number of
    `operands`; advances: of operations whose sizes change from iteration to iteration, by how much; varies: whether lengths do."""

    first: int
    period: int
    count: int
    operands: list[BodyOperand] = field(default_factory=list)
    wiring: list[tuple[int, ...]] = field(default_factory=list)
    advances: dict[int, tuple[int, ...]] = field(default_factory=dict)
    varies: bool = False

    @property
    def end(self) -> int:
        """The operation behind the last one."""
        return self.first + self.period * self.count

    @property
    def drawn(self) -> tuple[int, ...]:
        """The iterations that tell what all do: one, or two in a row where lengths advance, where these are more than 1."""
        return (1, 2) if self.varies else (0,)


def divide(graph: Graph) -> list[Piece]:
    """The pieces of a graph."""
    pieces: list[Piece] = []
    done = 0
    for place, first in sorted(graph.joined.items()):
        start = int(graph.at[first])
        pieces += _between(graph, done, start)
        done = start + place - first
        pieces.append(Piece(start, 1, place - first, [BodyOperand(INDEXED, tuple([graph.children[k][0] for k in range(first, place)]))],
                            [(-1,)]))
    return _cut(graph, pieces + _between(graph, done, len(graph.body)))


def _cut(graph: Graph, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, what is done once being several where most of it is what loops do, too: equal ones are compiled once."""
    text = "".join(map(chr, graph.classes.tolist()))
    bodies = sorted({text[piece.first:piece.first + piece.period] for piece in pieces if piece.count > 1}, key=len, reverse=True)
    found: list[Piece] = []
    for piece in pieces:
        parts = [(piece.first, piece.end)]
        for body in bodies if piece.count == 1 else ():
            parts = [part for first, end in parts for part in occurring(text, body, first, end)]
        if 2 * sum([end - first for first, end in parts if text[first:end] in bodies]) < piece.period:
            parts = parts[:0]
        found += [_straight(graph, first, end) for first, end in parts] if len(parts) > 1 else [piece]
    return found


def _between(graph: Graph, begin: int, end: int, varying: bool = False) -> list[Piece]:
    """The pieces of a part of a graph.  varying: with lengths that advance."""
    def rest(first: int, end: int) -> list[Piece]:
        return [_straight(graph, first, end)] if varying else _between(graph, first, end, True)

    pieces: list[Piece] = []
    done = begin
    for first, period, run in repeating((graph.classes if varying else graph.kinds)[begin:end]):
        first += begin
        at, last, misses = max(first, done), first + run, 0
        while last - at >= (LEAST + 1) * period and misses < MISSES:
            start = at + _phase(graph, at, period)
            piece = None
            for behind in range(1, BEHIND + 1):     # the iteration before the last one is part of the last one of twice the length
                body = period * behind * _together(graph, start, period, (last - start) // (period * behind))
                piece = _piece(graph, start, body, (last - start) // body)
                if piece is not None:
                    break
            if piece is None:
                at += period
                misses += 1
                continue
            misses = 0
            if start > done:
                pieces += rest(done, start)
            pieces.append(piece)
            at = done = piece.end
    if done < end:
        pieces += rest(done, end)
    return pieces


def _together(graph: Graph, first: int, period: int, count: int) -> int:
    """How many iterations are one: several, where each would be a pass over long arrays that goes on in the next one."""
    nodes = [graph.order[k] for k in graph.body[first:first + period].tolist()]
    if any([n.spec.op.kind != "elementwise" for n in nodes]) or max([n.spec.type.size for n in nodes]) < LONG:
        return 1
    return max(min(-(-WIDE // period), count // LEAST), 1)


def _phase(graph: Graph, first: int, period: int) -> int:
    """Where in the period an iteration begins best: where the least is handed on to the next one."""
    starts, flat = graph.edges
    at = graph.at
    end = min(first + 3 * period, len(graph.body))
    last = np.zeros(end - first, np.int64)          # of each operation, the last that reads it
    for reader in range(first, end):
        for operand in at[flat[starts[reader]:starts[reader + 1]]]:
            if operand >= first:
                last[operand - first] = reader - first
    costs = np.zeros(end - first + 1, np.int64)
    for k in range(end - first):
        if last[k] > k:
            shape = graph.order[graph.body[first + k]].spec.type.shape
            cost = 8 ** sum([n > 1 for n in shape])         # (of no length: other lengths are to have the same body)
            costs[k + 1] += cost
            costs[last[k] + 1] -= cost
    handed = np.cumsum(costs)[period:2 * period]    # before each operation of the second iteration
    return int(handed.argmin())


def structure(graph: Graph, piece: Piece) -> tuple:
    """What pieces have in common that have the same body."""
    operands = []
    for operand in piece.operands:
        k = operand.places[0] if operand.kind != CARRIED else graph.body[piece.first + operand.offset]
        differentiable = operand.kind == INDEXED and any([graph.order[j].requires_grad for j in operand.places])
        leaf = int(graph.signatures[k]) if graph.at[k] < 0 else int(graph.signatures[k]) % 2
        recorded = [graph.order[place_read(graph, piece, operand, i)] for i in piece.drawn]
        operands.append((operand.kind, operand.offset, leaf, differentiable or recorded[0].requires_grad,
                         *[n.spec.type for n in recorded]))
    starts = [piece.first + i * piece.period for i in piece.drawn]
    nodes = [graph.order[k] for at in starts for k in graph.body[at:at + piece.period].tolist()]
    return (piece.count > 1, len(starts), tuple(operands), tuple(piece.wiring),
            *[(n.spec.sig, n.requires_grad, n.spec.type, len(n.spec.sizes or ())) for n in nodes])


def place_read(graph: Graph, piece: Piece, operand: BodyOperand, iteration: int) -> int:
    """The place of what an operand is in an iteration."""
    if operand.kind == INDEXED:
        return operand.places[iteration]
    if operand.kind == INVARIANT or not iteration:
        return operand.places[0]
    return int(graph.body[piece.first + (iteration - 1) * piece.period + operand.offset])


def _straight(graph: Graph, first: int, end: int) -> Piece:
    """Operations that are done once."""
    piece = Piece(first, end - first, 1)
    numbers: dict[int, int] = {}
    for k in graph.body[first:end].tolist():
        own = []
        for j in graph.children[k]:
            if graph.at[j] >= first:
                own.append(int(graph.at[j]) - first)
                continue
            number = numbers.get(j)
            if number is None:
                number = numbers[j] = len(piece.operands)
                piece.operands.append(BodyOperand(INVARIANT, (j,)))
            own.append(~number)
        piece.wiring.append(tuple(own))
    return piece


def _piece(graph: Graph, first: int, period: int, count: int) -> Piece | None:
    """The loop that begins here, of at most `count` iterations; None where there is none."""
    tried = min(count, WINDOW)      # more and more: many short loops may lie behind each other
    while tried >= LEAST:
        piece = Piece(first, period, tried)
        same = _wire(graph, piece)
        if piece.varies and same <= LEAST:
            return None
        if same == tried == count:
            return piece
        if same < tried:
            count = same
        tried = min(count, 4 * tried)
    return None


def ended(graph: Graph, pieces: Sequence[Piece], read: Iterable[int]) -> list[Piece]:
    """The pieces, loops being several where few iterations before the last one are read from outside: these are last ones, then, and
    nothing need be kept of all.

    read: the places that are read by others, or wanted."""
    starts = np.array([piece.first for piece in pieces], np.int64)
    found_at = {*graph.at[[k for k in read if k not in graph.joined]].tolist()} - {-1}
    at = np.array(sorted(found_at), np.int64)       # (np.unique would import numpy.ma)
    which = np.searchsorted(starts, at, "right") - 1
    found: list[Piece] = []
    for number, piece in enumerate(pieces):
        ends = {*((at[which == number] - piece.first) // piece.period + 1).tolist()} if piece.count >= MANY else ()
        some = [end for end in sorted(ends) if end < piece.count]
        parts: list[Piece | None] = [piece]
        if 0 < len(some) <= FEW:
            bounds = zip([0, *some], [*some, piece.count], strict=True)
            parts = [_straight(graph, piece.first + lo * piece.period, piece.first + hi * piece.period) if hi - lo < LEAST else
                     _piece(graph, piece.first + lo * piece.period, piece.period, hi - lo) for lo, hi in bounds]
            if any([part is None or part.count not in (1, hi - lo) for part, (lo, hi) in
                    zip(parts, zip([0, *some], [*some, piece.count], strict=True), strict=True)]):
                parts = [piece]
        found += [part for part in parts if part is not None]
    return found


def _wire(graph: Graph, piece: Piece) -> int:
    """Fill in what a piece reads; for how many iterations that is right."""
    starts, flat = graph.edges
    first, period, count = piece.first, piece.period, piece.count
    base = first + period * np.arange(count)
    numbers: dict[BodyOperand, int] = {}
    good = count
    for offset in range(period):
        places = graph.body[base + offset]
        node = graph.order[places[0]]
        if (graph.types[places] != graph.types[places[0]]).any():
            good = min(good, _ahead(_like(graph, places)))
            piece.varies = True
        if node.spec.sizes:
            sizes = np.array([graph.order[k].spec.sizes for k in places.tolist()], np.int64)
            step = sizes[1] - sizes[0]
            good = min(good, _ahead((sizes == sizes[0] + np.arange(count)[:, None] * step).all(1)))
            if step.any():
                piece.advances[offset] = tuple(step.tolist())
        own = []
        for c in range(starts[base[0] + offset + 1] - starts[base[0] + offset]):
            operands = flat[starts[base + offset] + c]
            number, right = _classified(graph, piece, operands, base, numbers)
            own.append(number)
            good = min(good, right)
            if good < LEAST:
                return 0
        piece.wiring.append(tuple(own))
    return good


def _classified(graph: Graph, piece: Piece, operands: np.ndarray, base: np.ndarray, numbers: dict[BodyOperand, int]) -> tuple[int, int]:
    """What an operand is, as in Piece.wiring, and for how many iterations.  operands: its place in each iteration."""
    at = graph.at[operands]
    leaf = at < 0
    relative = at - base
    outside = leaf | (at < piece.first)
    like = _like(graph, operands)
    signatures = graph.signatures[operands]
    if not leaf[1] and relative[1] >= 0:
        return int(relative[1]), _ahead(~leaf & (relative == relative[1]))
    if not leaf[1] and relative[1] >= -piece.period:
        right = ~leaf & (relative == relative[1])
        right[0] = outside[0] and like[0]
        operand = BodyOperand(CARRIED, (int(operands[0]),), int(relative[1]) + piece.period)
        if any([o.kind == CARRIED and o.offset == operand.offset and o != operand for o in piece.operands]):
            right[0] = False        # two values before the first iteration
    elif graph.literal[operands[0]]:
        right = signatures == signatures[0]
        operand = BodyOperand(INVARIANT, (int(operands[0]),))
    else:
        right = outside & like & (leaf == leaf[1]) & (signatures == signatures[1] if leaf[1] else signatures % 2 == signatures[1] % 2)
        same = bool((operands == operands[0]).all())
        operand = BodyOperand(INVARIANT, (int(operands[0]),)) if same else BodyOperand(INDEXED, tuple(operands.tolist()))
    number = numbers.get(operand)
    if number is None:
        number = numbers[operand] = len(piece.operands)
        piece.operands.append(operand)
        piece.varies |= bool(graph.types[operands[0]] != graph.types[operands[1]])
    return ~number, _ahead(right)


def _like(graph: Graph, places: np.ndarray) -> np.ndarray:
    """Whether the value of each iteration is of the type that the second one's and the third one's ask for: of the same one, or of
    lengths that advance by a constant, and are never 0."""
    types = graph.types[places]
    like = types == types[1]
    found = [graph.order[k].spec.type for k in places.tolist()]
    second, third = found[1:3]
    if second is third or second.ndim != third.ndim:
        return like
    like = np.array([t.ndim == second.ndim and t.dtype is second.dtype and t.device == second.device for t in found], np.bool_)
    step = np.array(third.shape, np.int64) - second.shape
    shapes = np.array([t.shape if same else second.shape for t, same in zip(found, like, strict=True)], np.int64)
    expected = np.array(second.shape, np.int64) + (np.arange(len(found)) - 1)[:, None] * step
    return like & (shapes == expected).all(1) & ((shapes > 0) | (step == 0)).all(1) & bool((shapes[1:3] > 1)[:, step != 0].all())


def _ahead(right: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(right) if right.all() else int(right.argmin())
