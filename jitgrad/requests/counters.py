"""What has happened in this process: compilations, hits, graphs that were interpreted."""
from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

# repeats[0](compiling=True) is called where a program repeats itself: autograd makes the machine code, which needs what is above
# this layer.  compiling: also where it is not on disk.
repeats: list[Callable[..., Any]] = [lambda compiling=True: None]
hits = array("q", [0])      # Stats.memory_hits, which machine code counts too
PATIENCE = 4                # structures that have been compiled and did not come again: from then on the first meeting is interpreted
unreturned: set[Any] = set()    # such structures: entries of schedule_cache.py


def is_varying() -> bool:
    """Whether new structures keep coming and old ones do not return."""
    return len(unreturned) >= PATIENCE


class Stats:
    """Counters of this process, as `cache_info()` shows them."""

    def __init__(self) -> None:
        self.compilations = 0
        self.disk_hits = 0
        self.interpreted = 0
        self.reasons: Counter[str] = Counter()      # why

    @property
    def memory_hits(self) -> int:
        """Requests that a program in memory served."""
        return hits[0]

    def clear(self) -> None:
        """Count from 0."""
        self.compilations = self.disk_hits = self.interpreted = hits[0] = 0
        self.reasons.clear()


stats = Stats()
