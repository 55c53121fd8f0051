"""One value and gradient, after the first, of small calls, fused work and long graphs: time and what is compiled for it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitgrad

from .calls import Timed
from .counts import Counted
from .kernel_workloads import KERNEL_WORKLOADS, MINIMAL_WORKLOADS, STEPS
from .loop_workloads import LONG_WORKLOADS, LOOP_WORKLOADS
from .row_workloads import ROW_WORKLOADS
from .tools import PEERS, prepare
from .workloads import WORKLOADS, Workload

TOOLS = ["jitgrad", "compile", "value_and_grad", *PEERS]


class Small(Timed):
    """The cost of a call: hello on a scalar (NumPy's, for value_and_grad), Rosenbrock's function of 100 variables, and so
    on."""

    params = ([*TOOLS, "interpreted"], list(WORKLOADS))
    param_names = ("tool", "workload")

    def prepare(self, tool: str, workload: str) -> Callable[[], Any]:
        """At its small size."""
        return prepare(tool, WORKLOADS[workload], "small")

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class Large(Timed):
    """Elementwise work, products and row-wise work on arrays out of cache."""

    loads = {name: load for name, load in {**WORKLOADS, **ROW_WORKLOADS}.items() if load.sizes["large"]}
    params = (["jitgrad", *PEERS], list(loads))
    param_names = ("tool", "workload")

    def prepare(self, tool: str, workload: str) -> Callable[[], Any]:
        """At its large size."""
        return prepare(tool, self.loads[workload], "large")

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class LargeCounts(Counted):
    """What is compiled for it, and what its kernels move."""

    params = (list(Large.loads),)

    def load(self, workload: str) -> Workload:
        """Large."""
        return Large.loads[workload]


class Rows(Timed):
    """Row-wise work in cache."""

    params = (["compile", *PEERS], list(ROW_WORKLOADS))
    param_names = ("tool", "workload")

    def prepare(self, tool: str, workload: str) -> Callable[[], Any]:
        """At its small size."""
        return prepare(tool, ROW_WORKLOADS[workload], "small")

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class Loops(Timed):
    """Python loops of equal steps."""

    params = (["jitgrad", "compile", *PEERS], list(LOOP_WORKLOADS), ["small", "large"])
    param_names = ("tool", "workload", "size")
    warm_seconds = 1.0

    def prepare(self, tool: str, workload: str, size: str) -> Callable[[], Any]:
        """The whole loop and its gradient."""
        return prepare(tool, LOOP_WORKLOADS[workload], size)

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class LongLoops(Timed):
    """Loops of so many steps that their graphs are cut to be compiled."""

    params = (["jitgrad", "compile", *PEERS], list(LONG_WORKLOADS))
    param_names = ("tool", "workload")
    warm_seconds = 1.0

    def prepare(self, tool: str, workload: str) -> Callable[[], Any]:
        """The whole loop and its gradient."""
        return prepare(tool, LONG_WORKLOADS[workload], "small")

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class LoopCounts(Counted):
    """Kernels should not grow with the number of steps."""

    params = (list(LOOP_WORKLOADS),)

    def load(self, workload: str) -> Workload:
        """Large."""
        return LOOP_WORKLOADS[workload]


class Kernels(Timed):
    """Numerical kernels: loops over slices and elements, with writes in place."""

    params = (TOOLS, list(KERNEL_WORKLOADS), ["small", "medium"])
    param_names = ("tool", "workload", "size")
    warm_seconds = 1.0

    def prepare(self, tool: str, workload: str, size: str) -> Callable[[], Any]:
        """The whole kernel and its gradient."""
        return prepare(tool, KERNEL_WORKLOADS[workload], size)

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class MinimalKernels:
    """What the smallest kernels compile for 50 steps and then for another number of steps: it should be the same in each row."""

    params = (list(MINIMAL_WORKLOADS), list(STEPS))
    param_names = ("workload", "steps")

    def setup(self, workload: str, steps: int) -> None:
        """Two gradients, in a process that has compiled nothing before."""
        jitgrad.clear_cache()
        for size in (STEPS[0], steps):
            prepare("jitgrad", MINIMAL_WORKLOADS[workload], str(size))()
        self.info = jitgrad.cache_info()

    def track_compilations(self, *_: Any) -> int:
        """Programs."""
        return self.info.compilations

    def track_kernels(self, *_: Any) -> int:
        """Kernels."""
        return self.info.kernels


MinimalKernels.track_compilations.unit = "programs"     # type: ignore[attr-defined]
MinimalKernels.track_kernels.unit = "kernels"           # type: ignore[attr-defined]


class Threads(Timed):
    """The same on one thread and on two.  (JAX has its own pool, sized by the environment: not compared.)"""

    loads = {name: Large.loads[name] for name in ("chain", "lse", "softmax", "layer_norm", "column_sums")}
    params = (["jitgrad", *[name for name in PEERS if name == "torch"]], list(loads), [1, 2])
    param_names = ("tool", "workload", "threads")

    def prepare(self, tool: str, workload: str, threads: int) -> Callable[[], Any]:
        """At its large size."""
        return prepare(tool, self.loads[workload], "large", threads)

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class Steps:
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


Steps.track_compilations.unit = "programs"       # type: ignore[attr-defined]
Steps.track_kernels.unit = "kernels"             # type: ignore[attr-defined]
