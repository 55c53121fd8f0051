"""Peak memory of gradients, and what the pool holds after them."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jitgrad
from jitgrad.memory import buffers

from .tools import PEERS
from .workloads import WORKLOADS

PEAK = Path(__file__).with_name("peak.py").read_text()


def peak(tool: str, program: str, n: int, *limit: int) -> int:
    """The peak of a gradient in a process of its own, in bytes."""
    run = subprocess.run([sys.executable, "-c", PEAK, tool, program, *map(str, (n, *limit))], check=True, capture_output=True,
                         text=True)
    return int(run.stdout)


class Chain:
    """chain's gradient at n = 10^7, an input of 80 MB."""

    params = (["input", *[name for name in PEERS if name == "torch"]],)
    param_names = ("over",)

    def setup(self, over: str) -> None:
        """Linux only."""
        if not sys.platform.startswith("linux"):
            raise NotImplementedError("reads /proc/self/status")        # asv skips it

    def track_peak(self, over: str) -> float:
        """jitgrad's peak, input included, over the input's size ("input") or over PyTorch's peak."""
        n = 10**7
        return peak("jitgrad", "chain", n) / (8 * n if over == "input" else peak(over, "chain", n))


Chain.track_peak.unit = "ratio"                     # type: ignore[attr-defined]


class Loops:
    """Gradients of loops over arrays of 100,000 elements."""

    params = (["written", "joined", "rungekutta", "rows", "recurrent"], [None, 40_000_000])
    param_names = ("program", "limit")

    def setup(self, program: str, limit: int | None) -> None:
        """Linux only, where PyTorch is installed."""
        if not sys.platform.startswith("linux") or "torch" not in PEERS:
            raise NotImplementedError("reads /proc/self/status, and compares with PyTorch")

    def track_peak(self, program: str, limit: int | None) -> float:
        """jitgrad's peak, with or without a limit (bytes), over PyTorch's."""
        n = 100_000
        return peak("jitgrad", program, n, *([] if limit is None else [limit])) / peak("torch", program, n)


Loops.track_peak.unit = "ratio"                     # type: ignore[attr-defined]


class Whole:
    """The process as asv sees it: with what the package imports, the same in each row."""

    params = (["chain", "lse", "rosenbrock"],)
    param_names = ("workload",)

    def setup(self, workload: str) -> None:
        """The inputs: 40 MB."""
        p, _ = WORKLOADS[workload].inputs(n=5_000_000)
        self.p = {"x": jitgrad.tensor(p["x"], requires_grad=True)}

    def peakmem_gradient(self, workload: str) -> None:
        """Bytes."""
        WORKLOADS[workload].torch_style(jitgrad, self.p, {}).backward()

    def track_pool(self, workload: str) -> int:
        """Bytes that the pool holds after three gradients."""
        for _ in range(3):
            self.p["x"].grad = None
            self.peakmem_gradient(workload)
        return buffers.stats().held


Whole.track_pool.unit = "bytes"                     # type: ignore[attr-defined]


class Pool:
    """Large arrays that come from the system in ten steady gradients: none should."""

    def track_misses(self) -> Any:
        """Arrays."""
        p, _ = WORKLOADS["chain"].inputs(n=10**6)
        x = {"x": jitgrad.tensor(p["x"], requires_grad=True)}
        for k in range(12):
            if k == 2:
                before = buffers.stats().misses
            x["x"].grad = None
            WORKLOADS["chain"].torch_style(jitgrad, x, {}).backward()
        return buffers.stats().misses - before


Pool.track_misses.unit = "arrays"                   # type: ignore[attr-defined]
