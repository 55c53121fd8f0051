"""How long a gradient takes, how long the first one takes, what is compiled, and how much memory it needs."""
from __future__ import annotations

from typing import Any

import jitgrad

from .tools import INSTALLED, prepare
from .workloads import WORKLOADS


class Gradient:
    """One value and gradient (with sgd and mlp: one training step), after the first."""

    params = (INSTALLED, list(WORKLOADS), ["small", "large"])
    param_names = ("tool", "workload", "size")

    def setup(self, tool: str, workload: str, size: str) -> None:
        """Prepare, and make the first call."""
        if size == "large" and not WORKLOADS[workload].sizes["large"]:
            raise NotImplementedError("this workload has one size")     # asv skips it
        self.call = prepare(tool, WORKLOADS[workload], size)
        self.call()

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.call()


class FirstGradient:
    """The first gradient of a structure in this process: recording, differentiating, compiling, running."""

    params = (list(WORKLOADS),)
    param_names = ("workload",)
    number = 1
    repeat = 3
    warmup_time = 0.0

    def setup(self, workload: str) -> None:
        """Compile something else first (importing Numba is not what is measured), then forget everything."""
        x = jitgrad.tensor(1.0, requires_grad=True)
        (x - 1).backward()
        jitgrad.clear_cache()
        self.call = prepare("jitgrad", WORKLOADS[workload], "small")

    def time_first_gradient(self, workload: str) -> None:
        """Seconds."""
        self.call()


class Compilations:
    """What 50 steps compile, values and batch size changing: structures, not steps, should count."""

    params = (list(WORKLOADS),)
    param_names = ("workload",)

    def setup(self, workload: str) -> None:
        """Run the steps."""
        jitgrad.clear_cache()
        load = WORKLOADS[workload]
        for size in [size for size in load.sizes.values() for _ in range(25)]:
            p, c = load.inputs(**{name: min(n, 2000) + 1 for name, n in size.items()})
            tensors = {name: jitgrad.tensor(value, requires_grad=True) for name, value in p.items()}
            load.torch_style(jitgrad, tensors, {name: jitgrad.tensor(value) for name, value in c.items()}).backward()
        self.info = jitgrad.cache_info()

    def track_compilations(self, workload: str) -> int:
        """Programs."""
        return self.info.compilations

    def track_kernels(self, workload: str) -> int:
        """Kernels."""
        return self.info.kernels


class Memory:
    """The process's peak with 40 MB of input."""

    def setup(self) -> None:
        """The inputs."""
        p, _ = WORKLOADS["chain"].inputs(n=5_000_000)
        self.p = {"x": jitgrad.tensor(p["x"], requires_grad=True)}

    def peakmem_chain(self) -> None:
        """Bytes."""
        WORKLOADS["chain"].torch_style(jitgrad, self.p, {}).backward()


Compilations.track_compilations.unit = "programs"       # type: ignore[attr-defined]
Compilations.track_kernels.unit = "kernels"             # type: ignore[attr-defined]
