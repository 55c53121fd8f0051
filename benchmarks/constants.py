"""What depends on no parameter and is computed anew in each step of a loop, and operators of known arrays, beside PyTorch."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .calls import Timed
from .tools import PEERS, library

TOOLS = ["jitgrad", *[name for name in PEERS if name == "torch"]]


class PowersLeastSquares(Timed):
    """A 256 x 128 matrix of powers `t[:, None] ** k` that each step makes anew, then the gradient of least squares."""

    params = (TOOLS,)
    param_names = ("tool",)

    def prepare(self, tool: str) -> Callable[[], Any]:
        """One step, without the update."""
        xp = library(tool)
        t = xp.tensor(np.linspace(0, 1, 256))
        y = xp.tensor(np.sin(np.linspace(0, 9, 256)))
        c = xp.tensor(np.zeros(128), requires_grad=True)

        def step() -> None:
            c.grad = None
            powers = t[:, None] ** xp.arange(128, dtype=xp.float64)
            ((powers @ c - y) ** 2).mean().backward()

        return step

    def time_step(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class KnownOperands(Timed):
    """Operators of arrays without a gradient, which change, so that nothing can be kept: five a call."""

    params = (TOOLS, [10, 1000])
    param_names = ("tool", "elements")

    def prepare(self, tool: str, elements: int) -> Callable[[], Any]:
        """A mean of a function, after a step of its argument."""
        xp = library(tool)
        state = [xp.tensor(np.linspace(-1, 1, elements))]
        y = xp.tensor(np.linspace(0, 1, elements))

        def call() -> Any:
            x = state[0] = state[0] * 0.999 + 0.001 * y
            return (xp.tanh(x) - y).mean()

        return call

    def time_call(self, *_: Any) -> None:
        """Seconds."""
        self.run()
