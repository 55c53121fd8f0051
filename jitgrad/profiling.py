"""profile: which kernels a program runs, from which of its lines, how often, how long, and what they move.

While a `with profile()` is open every kernel is called and timed alone, on one thread; otherwise nothing of this file is there.
"""
from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from jitgrad import tracing
from jitgrad.compiler.ir.steps import KernelInfo
from jitgrad.compiler.program import told
from jitgrad.compiler.runtime import workspace
from jitgrad.explain import line_text
from jitgrad.requests.counters import stats


class KernelUse:
    """One kernel, or call of a library.  seconds, bytes and elements: of all its calls together; bytes: of the arrays that it reads and
    writes, each once, of a library call of its result; None where that is not known (of loops)."""

    def __init__(self, name: str, lines: list[str], operations: list[str]) -> None:
        self.name = name
        self.lines = lines
        self.operations = operations
        self.calls = 0
        self.seconds = 0.0
        self.bytes: int | None = None
        self.elements: int | None = None

    def __repr__(self) -> str:
        return f"<{self.name}: {self.calls} calls, {self.seconds:.3g} s>"


class profile:
    """A context that lists the kernels which run in it; `print` shows them as a table, `kernels` has them, the longest first.

    programs: how many ran that differ, and runs: how often.  seconds: of the whole context.  interpreted: requests that NumPy
    served."""

    def __init__(self) -> None:
        self._rows: dict[Any, KernelUse] = {}
        self._plans: dict[int, Any] = {}
        self.runs = 0
        self.seconds = 0.0
        self.interpreted = 0

    def __enter__(self) -> profile:
        tracing.refuse("it profiles")
        if workspace.timing:
            raise RuntimeError("jitgrad.profile(): another profile is open")
        self._interpreted = stats.interpreted
        workspace.time_by(self)
        self._start = perf_counter_ns()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds += (perf_counter_ns() - self._start) * 1e-9
        workspace.time_by(None)
        self.interpreted += stats.interpreted - self._interpreted

    @property
    def programs(self) -> int:
        return len(self._plans)

    @property
    def kernels(self) -> list[KernelUse]:
        """What ran, the longest first."""
        return sorted(self._rows.values(), key=lambda row: -row.seconds)

    # -- what workspaces tell ----------------------------------------------------------------------------------------

    def ran(self, plan: Any) -> None:
        """A program is run."""
        self._plans.setdefault(id(plan), plan)
        self.runs += 1

    def kernel(self, plan: Any, address: int, block: int, iterations: int, nanoseconds: int) -> None:
        """A kernel was called, for so many iterations of its outer loop."""
        work = plan.work.get(block)
        row = self._rows.get(address)
        if row is None:
            row = self._rows[address] = _row(address, work)
        row.calls += 1
        row.seconds += nanoseconds * 1e-9
        if work is not None and work.outer:
            row.elements = (row.elements or 0) + iterations * work.inner
            row.bytes = (row.bytes or 0) + work.bytes * iterations // work.outer

    def library(self, name: str, elements: int, nbytes: int, nanoseconds: int) -> None:
        """NumPy was called, for a result of so many elements."""
        row = self._rows.setdefault(name, KernelUse(f"NumPy: {name}", [], [name]))
        row.calls += 1
        row.seconds += nanoseconds * 1e-9
        row.elements = (row.elements or 0) + elements
        row.bytes = (row.bytes or 0) + nbytes

    def __str__(self) -> str:
        rows = self.kernels
        inside = sum([row.seconds for row in rows])
        lines = [f"{self.programs} programs, {self.runs} runs, {self.interpreted} requests interpreted; "
                 f"{self.seconds * 1e3:.3f} ms, of which {inside * 1e3:.3f} ms in {len(rows)} kernels and library calls",
                 f"{'calls':>8} {'total ms':>10} {'us a call':>10} {'elements':>12} {'MB':>10} {'GB/s':>7}  kernel: operations (lines)"]
        for row in rows:
            size = ["-", "-", "-"]
            if row.bytes is not None and row.elements is not None:
                size = [str(row.elements), f"{row.bytes / 1e6:.3f}", f"{row.bytes / 1e9 / max(row.seconds, 1e-9):.1f}"]
            where = f" ({', '.join(row.lines)})" if row.lines else ""
            lines.append(f"{row.calls:>8} {row.seconds * 1e3:>10.3f} {row.seconds * 1e6 / row.calls:>10.2f} {size[0]:>12} "
                         f"{size[1]:>10} {size[2]:>7}  {row.name}: {' '.join(row.operations)}{where}")
        return "\n".join(lines)


def _row(address: int, work: Any) -> KernelUse:
    """The row of a kernel at an address."""
    known = told.get(address)
    if known is None:
        return KernelUse(*(("BLAS", [], ["matmul"]) if work is not None else ("loop", [], ["a compiled loop"])))
    info = KernelInfo(*known)
    lines = dict.fromkeys([line_text(line) if line is not None else "derivative" for _, line in info.ops])
    return KernelUse(info.name, list(lines), list(dict.fromkeys([op for op, _ in info.ops])))
