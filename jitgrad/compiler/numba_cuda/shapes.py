"""The shape of a launch: blocks of threads, from the lengths of a stage's loops.

Input: the kind of a stage (codegen/cuda), how often its outer and its inner loops run.  Output: a `Shape`.
Invariant: it depends on these alone, never on the device, so that sums are formed in the same order everywhere.
"""
from __future__ import annotations

from typing import NamedTuple

THREADS = 256           # of a block
BLOCKS = 2048           # of a grid, about: what a large device runs at once
PER_THREAD = 8          # elements that a thread takes at least before a sum is cut in chunks
FOUR = 4                # elements that a thread takes at a time where nothing is reduced
WARP = 32               # neighbours that load together
PARTIAL = 1 << 25       # elements of the partial results that lanes of rows hold, at most


class Shape(NamedTuple):
    """(x, y) of the grid and of a block."""

    grid: tuple[int, int]
    block: tuple[int, int]


def shape(kind: str, outer: int, inner: int, threads: int = THREADS, blocks: int = BLOCKS) -> Shape:
    """That of a stage."""
    if kind == "alone" or outer * inner == 0 and kind in ("elementwise", "scatter"):
        return Shape((1, 1), (1, 1))
    if kind == "columns" or kind == "combine":
        x = min(_power(outer), max(WARP, threads // _power(inner)), threads)
        y = min(_power(inner), threads // x)
        across = min(_over(outer, x), blocks)
        chunks = 1 if kind == "combine" else min(_over(inner, y * PER_THREAD), max(1, blocks // across))
        return Shape((across, chunks), (x, y))
    x = min(_power(_over(inner, FOUR) if kind == "elementwise" else inner), threads)
    y = min(_power(outer), threads // x)
    across = min(_over(outer, y), blocks)
    if kind == "scatter":
        y = threads // x
        return Shape((max(1, min(_over(outer, y), blocks // 8)), min(_over(inner, x), 8)), (x, y))
    if kind in ("phases", "scan"):
        return Shape((across, 1), (x, y))
    if kind == "added":
        return Shape((max(1, min(across, blocks // 4, PARTIAL // max(1, inner * y))), 1), (x, y))
    if kind == "elementwise":
        return Shape((across, min(_over(inner, FOUR * x), max(1, 8 * blocks // across))), (x, y))
    return Shape((across, min(_over(inner, PER_THREAD * x), max(1, blocks // across))), (x, y))


def _over(n: int, size: int) -> int:
    return max(1, -(-n // size))


def _power(n: int) -> int:
    """The least power of two that is not less."""
    return 1 << max(0, n - 1).bit_length()
