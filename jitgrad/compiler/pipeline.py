"""Kernels that run one after the other on a few rows at a time, so that what one writes is still in cache for the next.

Input: steps in order.  Output: `joined` set on each kernel step that may run on some rows as soon as the step before it
has run on these rows.
Invariant: within a run of joined steps, a buffer that one of them writes is touched by the others row by row only; a step
that accumulates over rows in memory is never joined, and neither is one that reads a total over rows of the same run.

A softmax with its gradient is five kernels over rows; joined, they read and write main memory once.
"""
from __future__ import annotations

from collections.abc import Sequence

from jitgrad.compiler.expr import Expr
from jitgrad.compiler.program import KernelStep, LibraryStep, Rows


class _Run:
    """The steps joined so far: for each buffer they touch, whether all of them touch it row by row."""

    def __init__(self) -> None:
        self.count: Expr | None = None
        self.read: dict[int, bool] = {}
        self.written: dict[int, bool] = {}

    def admits(self, rows: Rows) -> bool:
        """Whether a step can follow."""
        if self.count != rows.count:
            return False
        for buffer, by_rows in rows.reads.items():
            if buffer in self.written and not (by_rows and self.written[buffer]):
                return False
        for buffer, by_rows in rows.writes.items():
            for before in (self.read, self.written):
                if buffer in before and not (by_rows and before[buffer]):
                    return False
        return True

    def add(self, rows: Rows) -> None:
        self.count = rows.count
        for mine, theirs in ((self.read, rows.reads), (self.written, rows.writes)):
            for buffer, by_rows in theirs.items():
                mine[buffer] = mine.get(buffer, True) and by_rows


def join(steps: Sequence[KernelStep | LibraryStep]) -> None:
    """Set `joined` where it holds."""
    run = _Run()
    for step in steps:
        if not isinstance(step, KernelStep) or step.rows is None:
            run = _Run()
            continue
        step.joined = run.admits(step.rows)
        if not step.joined:
            run = _Run()
        run.add(step.rows)
