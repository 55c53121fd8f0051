"""How one call is timed."""
from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from time import perf_counter
from typing import Any

BLOCK = 0.005           # seconds of calls that one sample measures
WARM_CALLS = 20         # between the first and the measured ones: what comes back some eight times gets a replay of its own, and an
                        # optimizer's step that has been steady for as long becomes part of the backward's program


class Timed:
    """A base of benchmarks of a call that gets quick after its first time.

    asv repeats `setup` before each timed call where there is one, so it cannot itself time microseconds after a
    preparation.  Here the preparation is made once, the timed function makes as many calls as take BLOCK, and the clock
    runs slower by that factor: what asv reports is the time of one call.  `--quick` measures the same, from one block."""

    timer: Callable[[], float] = staticmethod(perf_counter)
    number = 1
    rounds = 1
    repeat = (5, 40, 0.5)
    warmup_time = 0.0
    warm_seconds = 0.3      # the most that the calls before may take
    call: Callable[[], Any] | None = None

    def prepare(self, *params: Any) -> Callable[[], Any]:
        """The call to measure; what it computes first is not measured."""
        raise NotImplementedError

    def setup(self, *params: Any) -> None:
        """Prepare and warm up, once."""
        if self.call is not None:
            return
        call = self.prepare(*params)
        call()
        end = perf_counter() + self.warm_seconds
        for _ in range(WARM_CALLS):
            call()
            if perf_counter() > end:
                break
        start = perf_counter()
        call()
        count, seconds = 1, perf_counter() - start
        while seconds < BLOCK / 4:
            count *= 4
            start = perf_counter()
            for _ in repeat(None, count):
                call()
            seconds = perf_counter() - start
        self.calls = max(1, round(BLOCK * count / seconds))
        self.timer = lambda: perf_counter() / self.calls
        self.call = call

    def run(self) -> None:
        """One block."""
        call = self.call
        for _ in repeat(None, self.calls):
            call()      # type: ignore[misc]
