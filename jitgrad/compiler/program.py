"""A compiled program: what runs it, and what explain and profile show of it."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jitgrad.compiler.ir.steps import Buffer, KernelInfo, KernelStep, LibraryStep, Output, StepList
from jitgrad.graph.node import Node

told: dict[int, tuple] = {}         # by a kernel's address what is told about it (KernelInfo.packed), for jitgrad.profile


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
    """What callers know of a Program, and of one whose loops are loops (loops/rolled.py)."""

    rolled: bool
    outputs: tuple[tuple | None, ...]

    @property
    def small(self) -> str: ...

    @property
    def kernels(self) -> list[KernelInfo]: ...
    @property
    def steps(self) -> Sequence[Any]: ...
    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]: ...
    def bind(self, order: Sequence[Node]) -> Bound: ...


class Executable(Protocol):
    """What runs the steps of a program, on a target."""

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]: ...
    def bind(self, order: Sequence[Node]) -> Bound: ...
    def steps(self) -> StepList: ...


class Program:
    """A compiled request.  Holds no node and no array of it; may be run by several threads at once.

    steps: what it does, in order, for people; outputs: the shape of each result, None where there is structurally no gradient;
    small: why each operation is a kernel of its own, or empty; bytes: size of the kernels' object code.
    (What is told about it is kept in few objects that the garbage collector walks, whatever its length.)"""

    rolled = False

    def __init__(self, steps: list[KernelStep | LibraryStep], buffers: list[Buffer], outputs: list[Output | None],
                 executable: Executable, small: str = "") -> None:
        kernels = {id(s.info): s for s in steps if isinstance(s, KernelStep)}
        self.steps = tuple([str(s) for s in steps])
        self.outputs = tuple([None if o is None else o.shape for o in outputs])
        self.small = small
        self.bytes = sum([getattr(s.function, "bytes", 0) for s in {id(s.function): s for s in kernels.values()}.values()])
        self._kernels = tuple([s.info.packed() for s in kernels.values()])
        told.update({s.function.address: packed for s, packed in zip(kernels.values(), self._kernels, strict=True)
                     if hasattr(s.function, "address")})
        self._executable = executable

    @property
    def kernels(self) -> list[KernelInfo]:
        """What is told about the kernels, each once."""
        return [KernelInfo(*told) for told in self._kernels]

    def listing(self) -> StepList:
        """All that it does, to look at."""
        return self._executable.steps()

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """The outputs' values, then the gradients (None: structurally none).

        `order` is any captured graph with the key of the one that was compiled.  The arrays are fresh at each call,
        C-contiguous, of the right shape and dtype, and alias neither each other nor an input."""
        return self._executable.run(order)

    def planned(self, order: Sequence[Node], greatest: Mapping[tuple[int, int], int]
                ) -> tuple[Any, tuple[int, ...], Mapping[tuple, int]]:
        """See runtime.plans.Plans, of a program for the CPU."""
        return self._executable.planned(order, greatest)            # type: ignore[attr-defined]

    def bind(self, order: Sequence[Node]) -> Bound:
        """For calls with the lengths, strides and run-time sizes of `order`, without looking at nodes."""
        return self._executable.bind(order)
