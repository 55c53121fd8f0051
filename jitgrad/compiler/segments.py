"""Where to cut a long sequence of operations.

Input: what each operation is, in order, the largest number of operations of one kernel, and how many are enough where
kernels repeat.  Output: bounds of segments.
Invariant: the segments cover the sequence in order; none is longer than the cap.

Cuts fall on the period of the sequence where it has one (a loop that was unrolled by recording it): then the segments are
equal, and so are their kernels, which are compiled once.
"""
from __future__ import annotations

from collections.abc import Sequence


def segments(kinds: Sequence[object], cap: int, enough: int) -> list[tuple[int, int]]:
    """[(first, end), ...]."""
    result: list[tuple[int, int]] = []
    at, n = 0, len(kinds)
    while at < n:
        if n - at <= cap:
            result.append((at, n))
            break
        period, run = _repetition(kinds, at, cap)
        if run < 2 * cap:
            start = _next_repetition(kinds, at, cap)
            result.append((at, start))
            at = start
            continue
        step = period * min(cap // period, -(-enough // period))
        while run >= step:
            result.append((at, at + step))
            at += step
            run -= step
    return result


def _repetition(kinds: Sequence[object], at: int, cap: int) -> tuple[int, int]:
    """(period, length) of the longest repetition that begins here; the smallest period among the longest."""
    best, longest = 1, 0
    for period in range(1, cap + 1):
        end = at + period
        while end < len(kinds) and kinds[end] == kinds[end - period]:
            end += 1
        length = end - at
        if length > period and length > longest:
            best, longest = period, length
            if end == len(kinds):
                break
    return best, longest


def _next_repetition(kinds: Sequence[object], at: int, cap: int) -> int:
    """Where, at most a cap further on, a repetition begins that is worth aligning to; else a cap further on."""
    for start in range(at + 1, min(at + cap, len(kinds) - 2 * cap)):
        for period in range(1, cap + 1):
            if all([kinds[start + i] == kinds[start + i + period] for i in (0, cap // 2, cap)]) and \
                    all([kinds[start + i] == kinds[start + i + period] for i in range(cap)]):
                return start
    return at + cap
