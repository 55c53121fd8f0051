"""A driver that notes each call before another does it: for tests of lifetimes, order, copies and launches."""
from __future__ import annotations

from typing import Any, NamedTuple

from jitgrad.memory.cuda.driver import Driver


class Call(NamedTuple):
    """A call of a driver's method."""

    method: str
    arguments: tuple[Any, ...]


class RecordingDriver:
    """See driver.Driver; everything is done by `driver`, and noted in `calls`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.name = driver.name
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.driver, name)
        if not callable(method):
            return method

        def noting(*arguments: Any) -> Any:
            self.calls.append(Call(name, arguments))
            return method(*arguments)

        return noting

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum([call.method == method for call in self.calls])

    def clear(self) -> None:
        """Forget all calls."""
        self.calls.clear()
