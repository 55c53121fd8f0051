"""Long loops one after the other over the same vectors: tile by tile, while what one leaves for the next is in cache.

Input: the calls of a stretch of kernels, what each touches, and the number of its iterations.  Output: the calls again, each
for some of the iterations at a time, in waves: what is in one wave may run at the same time.
Invariant: an iteration that reads or overwrites what another one, of an earlier kernel, touched comes after it, as before.

A solver that takes a hundred steps over vectors of 100,000 elements is some thousand kernels, each of which reads and
writes several megabytes.  Iteration i of one needs of another not all, but what iteration i, or one near it, wrote.  So the
first tile of all kernels runs, then the second, and so on; a kernel that needs elements to the right of its own lags behind by
as many: its tile is shifted.  With lag[k] the shift of kernel k, iteration i runs at time i + lag[k], and what is to be kept
is j + lag[a] <= i + lag[b] wherever iteration i of b comes to an element after iteration j of an earlier kernel a.  Every kernel
has the least lag that keeps it; sample, of two steps of y[i] += y[i + 1], in tiles of 1000:

    k0 0..1000   k1 0..999   k0 1000..2000   k1 999..1999   ...

Threads share a series like workers at a belt: the first takes a tile through the first quarter of the kernels, then the
second takes it through the next while the first is at the next tile.  What is kept above is all that this needs.

Single elements (of a kernel without a loop, say) fit in as loops of one iteration; where one of them touches both ends of
vectors, everything after it would lag by their length, and a new series of tiles begins instead.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.loop_nest import Load, Pointer
from jitgrad.compiler.ir.steps import Buffer, KernelStep

TILE = 4096                     # iterations of one tile at least; from 1024 to 16384 the time is about the same
FEWEST_TILES = 4
MOST_TILES = 256                # more calls would take more memory than they save time
LEAST_BYTES = 4 << 20           # of all that a series touches: less stays in cache anyway
LEAST_CALLS = 4
STAGES = 4                      # groups of kernels that threads share

KernelCall = tuple[int, int, int, int]


@dataclass(frozen=True)
class Use:
    """Bytes from `first` on in a place of memory, `step` further with each of n iterations."""

    place: int
    first: int
    step: int
    size: int
    n: int

    def gap(self, later: Use) -> int | None:
        """The least i - j of iterations i of `later` and j of this one that touch the same element; None where none do."""
        if self.step == later.step:
            if not self.step:
                return 1 - self.n if self.first == later.first else None
            apart = (self.first - later.first) // self.step
            return apart if -self.n < apart < later.n else None
        i, j = 0, self.n - 1
        if self.step:
            j = (later.first - self.first) // self.step
        else:
            i = (self.first - later.first) // later.step
        return i - j if 0 <= i < later.n and 0 <= j < self.n else None


@dataclass(frozen=True)
class Uses:
    """What a call reads and writes."""

    reads: frozenset[Use]
    writes: frozenset[Use]


def uses(step: KernelStep, n: int, buffers: Sequence[Buffer], value: Callable[[Expr], int],
         place: Callable[[int], int]) -> Uses | None:
    """Of a kernel of one loop, or none, over contiguous arrays; None of any other.  place: of a buffer, a number for its memory."""
    kernel = step.kernel
    if kernel.reductions or kernel.serial or kernel.rows or kernel.depth > 1:
        return None
    reads, writes = set[Use](), set[Use]()
    accesses = [(e.access, reads) for e in kernel.body if isinstance(e, Load)]
    for s in kernel.stores:
        accesses += [(s.access, writes)] + ([(s.access, reads)] if s.accumulate else [])
    for a, found in accesses:
        slot = kernel.slots[a.slot]
        if not isinstance(slot, Pointer) or slot.partial or a.computed or a.step not in (0, 1):
            return None
        size = buffers[slot.buffer].dtype.itemsize
        found.add(Use(place(slot.buffer), value(slot.offset) * size, size if a.step else 0, size, n if kernel.depth else 1))
    return Uses(frozenset(reads), frozenset(writes))


class _Series:
    """Calls that run tile by tile, and by how much each lags."""

    def __init__(self) -> None:
        self.calls: list[KernelCall] = []
        self.lags: list[int] = []
        self._longest = 0               # iterations
        self._most = 0                  # lag of a loop
        self._seen: dict[int, dict[tuple[Use, bool], int]] = {}     # by place: uses, whether they write, and the largest lag
        self._bytes: dict[int, int] = {}

    def lag(self, new: Uses) -> int | None:
        """The least that a further call may have; None where it cannot be told."""
        least = 0
        for use, writes in [*[(u, False) for u in new.reads], *[(u, True) for u in new.writes]]:
            for (old, wrote), lag in self._seen.get(use.place, {}).items():
                if old.size != use.size:
                    return None
                gap = old.gap(use) if writes or wrote else None
                if gap is not None:
                    least = max(least, lag - gap)
        return least

    def late(self, call: KernelCall, lag: int) -> bool:
        """Whether a loop would lag so far behind those before it that nothing they leave is still in cache."""
        return call[2] > 1 and lag > self._most + self._longest // 4

    def add(self, call: KernelCall, new: Uses, lag: int) -> None:
        self.calls.append(call)
        self.lags.append(lag)
        self._longest = max(self._longest, call[2])
        self._most = max(self._most, lag) if call[2] > 1 else self._most
        for use, writes in [*[(u, False) for u in new.reads], *[(u, True) for u in new.writes]]:
            seen = self._seen.setdefault(use.place, {})
            seen[use, writes] = max(seen.get((use, writes), 0), lag)
            self._bytes[use.place] = max(self._bytes.get(use.place, 0), use.size * use.n)

    def waves(self) -> list[list[np.ndarray]] | None:
        """The calls, cut: parts that may run at the same time, after those before them; None where it does not pay.

        The kernels are in STAGES groups in order: group g takes tile t while the one before it takes tile t + 1."""
        if len(self.calls) < LEAST_CALLS or self._longest < FEWEST_TILES * TILE or sum(self._bytes.values()) < LEAST_BYTES:
            return None
        calls, lags = np.array(self.calls, np.int64), np.array(self.lags, np.int64)
        tile = max(TILE, -(-self._longest // MOST_TILES))
        iterations = np.cumsum(calls[:, 2])
        group = (iterations - 1) * STAGES // iterations[-1]
        tiles = -(-(self._longest + int(lags.max())) // tile)
        waves: list[list[np.ndarray]] = []
        for wave in range(tiles + STAGES - 1):
            start = (wave - group) * tile - lags
            part = calls.copy()
            part[:, 1] = np.clip(start, 0, calls[:, 2])
            part[:, 2] = np.clip(start + tile, 0, calls[:, 2])
            some = part[:, 1] < part[:, 2]
            parts = [part[some & (group == g)] for g in range(STAGES)]
            waves.append([p for p in parts if len(p)])
        return waves


def series(calls: Sequence[KernelCall], touched: Sequence[Uses | None]) -> list[tuple[int, int, list[list[np.ndarray]]]]:
    """Ranges of the calls (function, 0, iterations, block) that are to run in tiles, and their waves; touched: what each call
    uses, None where that is not known."""
    found: list[tuple[int, int, list[list[np.ndarray]]]] = []
    first, present = 0, _Series()

    def close(end: int) -> None:
        waves = present.waves()
        if waves is not None:
            found.append((first, end, waves))

    for k, (call, new) in enumerate(zip(calls, touched, strict=True)):
        lag = None if new is None else present.lag(new)
        if new is None or lag is None or present.late(call, lag):
            close(k)
            first, present = k, _Series()
            lag = 0
        if new is None:
            first = k + 1
        else:
            present.add(call, new, lag)
    close(len(calls))
    return found
