"""What recording one more operation costs, beside PyTorch's x * y."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Timed
from .tools import PEERS, library


class Operation(Timed):
    """x * y of two scalars, which PyTorch computes and jitgrad records, alone and with its backward."""

    params = (["jitgrad", *[name for name in PEERS if name == "torch"]], ["multiply", "multiply and backward"])
    param_names = ("tool", "what")

    def prepare(self, tool: str, what: str) -> Callable[[], Any]:
        """Two scalars; what is recorded is dropped again."""
        xp = library(tool)
        x = xp.tensor(1.5, requires_grad=True)
        y = xp.tensor(0.5, requires_grad=True)
        if what == "multiply":
            return lambda: x * y

        def both() -> None:
            x.grad = y.grad = None
            (x * y).backward()

        return both

    def time_operation(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class Chain(Timed):
    """A product of factors and its gradient: the slope over their number is the cost of one operation with its share of
    key, look-up, call and gradient."""

    params = (["jitgrad", *[name for name in PEERS if name == "torch"]], [10, 60])
    param_names = ("tool", "factors")

    def prepare(self, tool: str, factors: int) -> Callable[[], Any]:
        """Unchanged code."""
        xp = library(tool)
        x, y = xp.tensor(1.01, requires_grad=True), xp.tensor(0.99)

        def call() -> None:
            x.grad = None
            z = x
            for _ in range(factors):
                z = z * y
            z.backward()

        return call

    def time_chain(self, *_: Any) -> None:
        """Seconds."""
        self.run()
