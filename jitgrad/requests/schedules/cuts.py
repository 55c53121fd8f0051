"""Where to cut a long graph, and how much of it repeats.

Input: a graph in order.  Output: bounds of stretches along it.
Invariant: the stretches cover all operations in order; those counted as equal do the same with the same of their values.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.compiler.fusion.splitting import repetition
from jitgrad.graph.node import Node

MAX_PERIOD = 4096           # operations of the longest period that is looked for


@dataclass
class Cuts:
    """Where a graph is cut.  body: positions in the order of what is computed; bounds: of stretches, in the body.
    forms: of all stretches that differ, in what they do or in which of their values that reads, how many operations they have."""

    body: list[int]
    bounds: list[tuple[int, int]]
    forms: dict[tuple, int]

    @property
    def distinct(self) -> int:
        """The operations of all stretches that differ."""
        return sum(self.forms.values())

    @property
    def repeats(self) -> bool:
        """Whether cutting saves most of the work of compiling."""
        return 3 * self.distinct <= len(self.body)


def cut(order: Sequence[Node], children: Sequence[Sequence[int]], least: int, repeated: int = 0) -> Cuts:
    """Find the stretches of a graph, of `least` operations or a whole number of periods that has as many.

    children: the places of each node's operands.  repeated: how many operations are enough of what repeats; 0: `least`."""
    body = [k for k, of in enumerate(children) if of and order[k].inputs]
    kinds = np.array([2 * order[k].spec.sig + order[k].requires_grad for k in body], np.int64)
    bounds = []
    at, end = 0, len(body)
    while at < end:
        period, run = repetition(kinds, at, MAX_PERIOD)
        step = period * -(-(repeated or least) // period)
        if run < 2 * step:
            step = run = min(least, end - at)
        for _ in range(run // step):
            bounds.append((at, at + step))
            at += step
    return Cuts(body, bounds, {(kinds[lo:hi].tobytes(), _wiring(children, body[lo:hi])): hi - lo for lo, hi in bounds})


def _wiring(children: Sequence[Sequence[int]], body: list[int]) -> tuple[int, ...]:
    """Which values the operations of a stretch read: of its own, how far back; of others, a number by first use."""
    own = {k: i for i, k in enumerate(body)}
    others: dict[int, int] = {}
    found = []
    for i, k in enumerate(body):
        for j in children[k]:
            found.append(i - own[j] if j in own else -1 - others.setdefault(j, len(others)))
    return tuple(found)
