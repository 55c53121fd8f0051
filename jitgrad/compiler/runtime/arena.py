"""Where temporaries lie in the arena of a plan.

Input: of each its size, and from which step to which it is needed.  Output: the place of each, in bytes, and the arena's size.
Invariant: two temporaries share a place only where the first is not needed any more when the second is written.
"""
from __future__ import annotations

from jitgrad.compiler.runtime import skewed_tiling

ALIGN = 64


def aligned(nbytes: int) -> int:
    """The next multiple of ALIGN."""
    return -(-nbytes // ALIGN) * ALIGN


class Spans:
    """The steps from the first to the last that uses each temporary."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._nbytes: dict[int, int] = {}

    def use(self, number: int, nbytes: int, first: int, last: int) -> None:
        """A temporary is needed from one step to another; steps come in order."""
        self._first.setdefault(number, first)
        self._last[number] = max(last, self._last.get(number, 0))
        self._nbytes[number] = nbytes

    def places(self) -> tuple[dict[int, int], int]:
        """A temporary takes the place of one of its size which is not needed any more, or a new one.

        Where vectors are long, each number has a place of its own: loops that share none can run tile by tile (skewed_tiling.py)."""
        least = ALIGN + 1 if sum(self._nbytes.values()) >= skewed_tiling.LEAST_BYTES else 0
        found: dict[int, int] = {}
        expiring: dict[int, list[int]] = {}
        for number, k in self._last.items():
            if self._nbytes[number] >= least:
                expiring.setdefault(k, []).append(number)
        free: dict[int, list[int]] = {}                     # places by size
        total = 0
        step = 0
        for number in sorted(self._first, key=lambda n: (self._first[n], n)):
            for k in range(step, self._first[number]):
                for old in expiring.get(k, ()):
                    free.setdefault(aligned(self._nbytes[old]), []).append(found[old])
            step = max(step, self._first[number])
            size = aligned(self._nbytes[number])
            places = free.get(size)
            if places:
                found[number] = places.pop()
            else:
                found[number] = total
                total += size
        return found, total
