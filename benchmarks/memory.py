"""Peak memory of gradients, and what the pool holds after them."""
from __future__ import annotations

import subprocess
import sys
from typing import Any

import jitgrad
from jitgrad import buffers

from .tools import PEERS
from .workloads import WORKLOADS

# Prints the peak over what the process held before its input, in bytes, as Linux counts it.
PEAK = """
import gc, importlib, sys
import numpy as np
xp, n = importlib.import_module(sys.argv[1]), int(sys.argv[2])
xp.set_num_threads(1)

def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

def gradient(n):
    x = xp.tensor(np.linspace(-3, 3, n), requires_grad=True)
    xp.sum(xp.tanh(x * 1.5 + 0.1) * xp.exp(-x * x) + xp.log1p(x * x)).backward()
    return float(x.grad[0])

gradient(100)
gc.collect()
before = status("VmRSS")
gradient(n)
print(status("VmHWM") - before)
"""


def peak(tool: str, n: int) -> int:
    """The peak of chain's gradient in a process of its own."""
    run = subprocess.run([sys.executable, "-c", PEAK, tool, str(n)], check=True, capture_output=True, text=True)
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
        return peak("jitgrad", n) / (8 * n if over == "input" else peak(over, n))


Chain.track_peak.unit = "ratio"                     # type: ignore[attr-defined]


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
