"""Long graphs that do not repeat: random operations on earlier results.  (No row of JAX: its compiler takes minutes.)"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad

from .calls import Timed
from .counts import Counted
from .tools import PEERS, prepare
from .workloads import WORKLOADS, Arrays, Workload

# Of each operation: which it is, and on which two of the last twelve results.
# (Bytes are one value to guard.)
CHOICES = np.random.default_rng(0).integers(0, (6, 12, 12), (5000, 3)).astype(np.uint8).tobytes()


def _vectors(operations: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=64) for name in "abcdefghijkl"}, {"count": np.zeros(operations)}


def _numbers(operations: int) -> tuple[Arrays, Arrays]:
    p, c = _vectors(operations)
    return {name: x[0] for name, x in p.items()}, c


def irregular(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Random operations (three nodes each with the sum), of which all results are summed."""
    pool: list[Any] = list(p.values())
    result = 0.0
    for k in range(0, 3 * c["count"].shape[0], 3):
        form, first, second = CHOICES[k:k + 3]
        x, y = pool[-1 - first], pool[-1 - second]
        if form == 0:
            z = xp.tanh(x * y)
        elif form == 1:
            z = 0.5 * (x + y)
        elif form == 2:
            z = xp.exp(-x * x)
        elif form == 3:
            z = xp.tanh(x) - y
        elif form == 4:
            z = x / (y * y + 1.5)
        else:
            z = xp.log1p(x * x)
        pool.append(z)
        result = result + z
    return xp.sum(result)


IRREGULAR_WORKLOADS = {name: Workload({"small": {"operations": 500}, "large": {"operations": 3300}}, inputs, irregular, irregular)
                       for name, inputs in {"vectors": _vectors, "numbers": _numbers}.items()}


class Irregular(Timed):
    """One gradient of 10,000 nodes, after the first."""

    params = (["jitgrad", "compile", "interpreted", *[name for name in PEERS if name == "torch"]], list(IRREGULAR_WORKLOADS))
    param_names = ("tool", "workload")
    warm_seconds = 1.0

    def prepare(self, tool: str, workload: str) -> Callable[[], Any]:
        """At its large size."""
        return prepare(tool, IRREGULAR_WORKLOADS[workload], "large")

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class FirstIrregular:
    """The first gradient, with no kernel in memory; on disk are those of an earlier repetition, if any."""

    params = (list(IRREGULAR_WORKLOADS), ["small", "large"])
    param_names = ("workload", "size")
    number = 1
    rounds = 1
    repeat = 3
    warmup_time = 0.0

    def setup(self, workload: str, size: str) -> None:
        """Do something else first, then forget everything."""
        prepare("jitgrad", WORKLOADS["sgd"], "small")()
        jitgrad.clear_cache()
        self.call = prepare("jitgrad", IRREGULAR_WORKLOADS[workload], size)

    def time_first_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.call()


class IrregularCounts(Counted):
    """Kernels should not grow with the number of operations."""

    params = (list(IRREGULAR_WORKLOADS),)

    def load(self, workload: str) -> Workload:
        """Large."""
        return IRREGULAR_WORKLOADS[workload]
