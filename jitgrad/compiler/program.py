"""A compiled graph: the steps that run it, and what is told about them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jitgrad.compiler.ir.steps import Buffer, KernelInfo, KernelStep, LibraryStep, Output
from jitgrad.graph import Node


class Bound(Protocol):
    """A program for one set of lengths.

    run(values): as Program.run.  values: of the nodes at `positions` of the order, arrays or numbers; the list may be
    changed.  fixing(numbers): the same with some run-time numbers, by position of the order, that are never others."""

    @property
    def positions(self) -> Sequence[int]: ...
    @property
    def run(self) -> Callable[[list[Any]], list[np.ndarray | None]]: ...
    def fixing(self, numbers: Mapping[int, float | int]) -> Bound: ...


class AnyProgram(Protocol):
    """What callers know of a Program, and of one for a long graph (stretches.py)."""

    kernels: list[KernelInfo]
    small: str

    @property
    def steps(self) -> Sequence[Any]: ...
    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]: ...
    def bind(self, order: Sequence[Node]) -> Bound: ...


class Executable(Protocol):
    """What runs the steps of a program, on a target."""

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]: ...
    def plan(self, order: Sequence[Node]) -> Bound: ...


class Program:
    """A compiled request.  Holds no node and no array of it; may be run by several threads at once.

    kernels: list[KernelInfo], each once; steps: list of str()-able steps; small: why each operation is a kernel of its own, or
    empty; bytes: size of the kernels' object code."""

    def __init__(self, steps: list[KernelStep | LibraryStep], buffers: list[Buffer], outputs: list[Output | None],
                 plans: Executable, small: str = "") -> None:
        self.steps = steps
        self.buffers = buffers
        self.outputs = outputs
        self.kernels = [*{id(s.info): s.info for s in steps if isinstance(s, KernelStep)}.values()]
        self.small = small
        self._plans = plans

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """The outputs' values, then the gradients (None: structurally none).

        `order` is any captured graph with the key of the one that was compiled.  The arrays are fresh at each call,
        C-contiguous, of the right shape and dtype, and alias neither each other nor an input."""
        return self._plans.run(order)

    def bind(self, order: Sequence[Node]) -> Bound:
        """For calls with the lengths, strides and run-time sizes of `order`, without looking at nodes."""
        return self._plans.plan(order)

    @property
    def bytes(self) -> int:
        """Size of the object code of the kernels."""
        functions = {id(s.function): s.function for s in self.steps if isinstance(s, KernelStep)}
        return sum([getattr(f, "bytes", 0) for f in functions.values()])

