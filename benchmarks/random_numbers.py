"""Random numbers: a few, a million, and training steps that draw, beside PyTorch."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .calls import Timed
from .tools import PEERS, library

TOOLS = ["jitgrad", *[name for name in PEERS if name == "torch"]]


class Draws(Timed):
    """One tensor of random numbers."""

    params = (TOOLS, ["rand", "randn"], ["float32", "float64"], [10, 1_000_000])
    param_names = ("tool", "function", "dtype", "elements")

    def prepare(self, tool: str, function: str, dtype: str, elements: int) -> Callable[[], Any]:
        """After as many as a kernel is made for."""
        xp = library(tool)
        draw, kind = getattr(xp, function), getattr(xp, dtype)
        for _ in range(300):
            draw(10, dtype=kind)
        return lambda: draw(elements, dtype=kind)

    def time_draw(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class DropoutSteps(Timed):
    """Dropout of tanh(w * x), the gradient of the sum of squares by w."""

    params = (TOOLS, [10, 10_000, 1_000_000])
    param_names = ("tool", "elements")

    def prepare(self, tool: str, elements: int) -> Callable[[], Any]:
        """One step, without the update."""
        xp = library(tool)
        x = xp.tensor(np.linspace(-1, 1, elements), dtype=xp.float32)
        w = xp.ones(elements, requires_grad=True)

        def step() -> None:
            w.grad = None
            (xp.nn.functional.dropout(xp.tanh(w * x), 0.3) ** 2).sum().backward()

        return step

    def time_step(self, *_: Any) -> None:
        """Seconds."""
        self.run()
