"""A training loop's step: gradient and parameter update, of one parameter and of six."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad

from .calls import Timed
from .tools import PEERS, library

OPTIMIZERS = {"SGD": ("SGD", {"lr": 1e-3}), "momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}), "Adam": ("Adam", {"lr": 1e-3})}


def step_of(tool: str, optimizer: str, parameters: int) -> Callable[[], Any]:
    """zero_grad, a sum of squares over vectors of 10, backward, step: unchanged code, or its loss through
    jitgrad.compile."""
    xp = library(tool)
    name, options = OPTIMIZERS[optimizer]
    p = [xp.tensor(np.linspace(-1, 1, 10), requires_grad=True) for _ in range(parameters)]

    def loss(p: Any) -> Any:
        total = xp.sum(p[0] * p[0])
        for q in p[1:]:
            total = total + xp.sum(q * q)
        return total

    objective = jitgrad.compile(loss) if tool == "compile" else loss
    method = getattr(xp.optim, name)(p, **options)

    def step() -> None:
        method.zero_grad()
        objective(p).backward()
        method.step()

    return step


class Step(Timed):
    """One step in a steady loop."""

    params = (["jitgrad", "compile", *[name for name in PEERS if name == "torch"]], list(OPTIMIZERS), [1, 6])
    param_names = ("tool", "optimizer", "parameters")

    def prepare(self, tool: str, optimizer: str, parameters: int) -> Callable[[], Any]:
        """Parameters and optimizer."""
        return step_of(tool, optimizer, parameters)

    def time_step(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class StepCounts:
    """What 20 steps compile; six parameters should need no more than one."""

    params = (list(OPTIMIZERS), [1, 6])
    param_names = ("optimizer", "parameters")

    def setup(self, optimizer: str, parameters: int) -> None:
        """The steps, their learning rate as given."""
        jitgrad.clear_cache()
        step = step_of("jitgrad", optimizer, parameters)
        for _ in range(20):
            step()

    def track_compilations(self, *_: Any) -> int:
        """Programs."""
        return jitgrad.cache_info().compilations

    def track_kernels(self, *_: Any) -> int:
        """Kernels."""
        return jitgrad.cache_info().kernels


StepCounts.track_compilations.unit = "programs"     # type: ignore[attr-defined]
StepCounts.track_kernels.unit = "kernels"           # type: ignore[attr-defined]
