"""First calls: of a structure in this process, of a process with nothing cached, and of a process that finds its kernels
on disk."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import jitgrad

from .kernel_workloads import KERNEL_WORKLOADS
from .loop_workloads import LONG_WORKLOADS, LOOP_WORKLOADS
from .row_workloads import ROW_WORKLOADS
from .tools import PEERS, prepare
from .workloads import WORKLOADS

LOADS = {**WORKLOADS, **ROW_WORKLOADS, **LOOP_WORKLOADS, **LONG_WORKLOADS, **KERNEL_WORKLOADS}


class FirstGradient:
    """The first gradient of a structure in this process: recording, differentiating, compiling, running."""

    params = (["jitgrad", *[name for name in PEERS if name == "jax"]], list(LOADS))
    param_names = ("tool", "workload")
    number = 1
    rounds = 1
    repeat = 3
    warmup_time = 0.0

    def setup(self, tool: str, workload: str) -> None:
        """Do something else first (importing a compiler is not what is measured), then forget everything."""
        prepare(tool, WORKLOADS["sgd"], "small")()
        if tool == "jitgrad":
            jitgrad.clear_cache()
        self.call = prepare(tool, LOADS[workload], "large" if workload in {**LOOP_WORKLOADS, **LONG_WORKLOADS} else "small")

    def time_first_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.call()


SCRIPTS = {
    "jitgrad": """
import numpy as np, jitgrad as torch
x = torch.tensor(np.linspace(-1, 1, 1000), requires_grad=True)
torch.sum(torch.tanh(x * 1.5 + 0.1) * torch.exp(-x * x) + torch.log1p(x * x)).backward()
""",
    "import torch": "import torch",
    "import jitgrad": "import jitgrad",
}


class Process:
    """Whole processes: jitgrad's first gradient with and without its kernels on disk, and what importing costs."""

    params = (["cold", "warm", "import jitgrad", *["import torch" for name in PEERS if name == "torch"]],)
    param_names = ("what",)
    number = 1
    rounds = 1
    repeat = (3, 5, 10.0)
    warmup_time = 0.0

    def setup(self, what: str) -> None:
        """A cache directory, empty for "cold"; "warm": one run before."""
        self.directory = tempfile.TemporaryDirectory()
        self.environment = {**os.environ, "JITGRAD_CACHE": "on", "JITGRAD_CACHE_DIR": self.directory.name}
        if what == "warm":
            self._run(what)

    def teardown(self, what: str) -> None:
        """Remove it."""
        self.directory.cleanup()

    def _run(self, what: str) -> None:
        script = SCRIPTS["jitgrad" if what in ("cold", "warm") else what]
        subprocess.run([sys.executable, "-c", script], env=self.environment, check=True)

    def time_process(self, what: str) -> None:
        """Seconds, the interpreter's own start included."""
        self._run(what)


MODULES = SCRIPTS["jitgrad"] + "import sys; print(sum(name in sys.modules for name in ('numba', 'llvmlite')))"


class WarmImports:
    """How many of Numba and llvmlite a process imports that finds its kernels on disk."""

    def track_compilers_imported(self) -> int:
        """Modules."""
        with tempfile.TemporaryDirectory() as directory:
            environment = {**os.environ, "JITGRAD_CACHE": "on", "JITGRAD_CACHE_DIR": directory}
            for _ in range(2):
                run = subprocess.run([sys.executable, "-c", MODULES], env=environment, check=True, capture_output=True, text=True)
            return int(run.stdout)


WarmImports.track_compilers_imported.unit = "modules"       # type: ignore[attr-defined]
