"""Where to cut a long sequence of operations.

Input: what each operation is, in order, the largest number of operations of one kernel, and how many are enough where
kernels repeat.  Output: bounds of segments.
Invariant: the segments cover the sequence in order; none is longer than the cap.

Cuts fall on the period of the sequence where it has one (a loop that was unrolled by recording it): then the segments are
equal, and so are their kernels, which are compiled once.
"""
from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

WINDOW = 8          # places that have to be the same for a period to be tried


def segments(kinds: Sequence[Hashable], cap: int, enough: int) -> list[tuple[int, int]]:
    """[(first, end), ...]."""
    result: list[tuple[int, int]] = []
    at, n = 0, len(kinds)
    known: dict[Hashable, int] = {}
    numbers = np.array([known.setdefault(kind, len(known)) for kind in kinds], np.int64)
    while at < n:
        if n - at <= cap:
            result.append((at, n))
            break
        period, run = repetition(numbers, at, cap)
        if run < 2 * cap:
            start = _next_repetition(numbers, at, cap)
            result.append((at, start))
            at = start
            continue
        step = period * min(cap // period, -(-enough // period))
        while run >= step:
            result.append((at, at + step))
            at += step
            run -= step
    return result


def repetition(kinds: np.ndarray, at: int, cap: int) -> tuple[int, int]:
    """(period, length) of the longest repetition that begins here, of at most this period; the smallest period among the
    longest.  Repetitions that end within 8 places of the first period are not looked for."""
    rest = kinds[at:]
    count = min(cap, len(rest) - WINDOW)
    if count < 1:
        return 1, 0
    same = rest[1:1 + count] == rest[0]
    for i in range(1, WINDOW):
        same &= rest[1 + i:1 + i + count] == rest[i]
    best, longest = 1, 0
    for period in (np.flatnonzero(same) + 1).tolist():
        if longest > 2 * best and period < longest and period % best == 0:
            continue                # the same repetition
        differs = rest[period:] != rest[:-period]
        first = int(differs.argmax())
        length = period + (first if differs[first] else len(differs))
        if length > longest:
            best, longest = period, length
            if length == len(rest):
                break
    return best, longest


def _next_repetition(kinds: np.ndarray, at: int, cap: int) -> int:
    """Where, at most a cap further on, a repetition begins that is worth aligning to; else a cap further on."""
    starts = min(at + cap, len(kinds) - 2 * cap) - (at + 1)
    if starts <= 0:
        return at + cap
    rest = kinds[at + 1:]
    found = np.zeros(starts, np.bool_)
    for period in range(1, cap + 1):
        end = starts + cap
        ran = np.concatenate([[0], np.cumsum(rest[:end] == rest[period:period + end])])
        found |= ran[cap + 1:] - ran[:starts] == cap + 1
    return at + 1 + int(found.argmax()) if found.any() else at + cap
