"""What a run does for one set of lengths, as data: few objects, whatever the number of steps.

A block holds the arguments of one chunk of one kernel; all blocks of a program are one array, the words of a workspace
(workspace.py).  Lengths, strides and addresses in the arena are written when the workspace is made; the driver
(driver.py) writes the addresses of inputs and outputs, and run-time numbers, at each call.

Invariant: how work is cut, and so the bits of the results, depends on lengths alone, not on the number of threads; a
workspace is used by one run at a time.
"""
from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jitgrad.compiler.runtime.library_calls import LibraryCall
from jitgrad.config import config, logger
from jitgrad.generated import function

Rows = tuple[int, int]          # first and end, of calls
Writer = Callable[[memoryview, memoryview, memoryview, int, Sequence[int]], None]      # words, patches, calls, arena, numbers
FEW = 100                       # numbers that code is generated for


@dataclass(slots=True)
class Calls:
    """Kernels that are called one after the other, and an estimate of their time."""

    rows: Rows
    nanoseconds: float


@dataclass(slots=True)
class Chunks:
    """Calls of one kernel that do not depend on each other, and after them those that put together what they give."""

    kernel: Callable[[int, int, int], object]
    rows: Rows
    combining: Rows


@dataclass(slots=True)
class Lanes:
    """Calls one after the other in each of several lanes, which do not depend on each other."""

    lanes: tuple[Rows, ...]


@dataclass(slots=True)
class Waves:
    """The lanes of a wave do not depend on each other, but on the waves before."""

    waves: tuple[tuple[Rows, ...], ...]


class Work(NamedTuple):
    """What a kernel does in one call for all its iterations: `outer` of loop 0, of `inner` each, and the bytes of its arrays."""

    outer: int
    inner: int
    bytes: int


Stage = Calls | Chunks | Lanes | Waves | LibraryCall


@dataclass(slots=True)
class Moving:
    """What changes with starts and steps of slices and with strides, while lengths stay: numbers, each a polynomial in those.

    count: of starts, steps and strides.  constants: a term of each number; coefficients, factors: the other terms in order, and
    what each is multiplied with (0 stands for 1, k + 1 for the k-th of those); numbers, starts: of which these are, and where
    those of each begin.  Then where the numbers go: words of the blocks, words that
    hold an address in the arena (its start is added), rows of the patches, rows of the calls."""

    count: int
    constants: np.ndarray
    coefficients: np.ndarray
    factors: np.ndarray
    numbers: np.ndarray
    starts: np.ndarray
    words: np.ndarray
    arena: np.ndarray
    patches: np.ndarray
    calls: np.ndarray

    def writer(self) -> Writer:
        """What writes all of them, for other starts, steps and strides."""
        return self._generated() if len(self.constants) <= FEW else self._vectorised

    def _generated(self) -> Writer:
        """Quicker for few.  Sample, for `x[k]` of rows of 50 float64 numbers:

            def write(words, patches, calls, arena, numbers):
                n0, n1, n2, = numbers
                patches[2] = 400 * n0
        """
        ends = [*self.starts.tolist(), len(self.coefficients)]
        terms: dict[int, list[str]] = {}
        for number, first, end in zip(self.numbers.tolist(), ends, ends[1:], strict=False):
            terms[number] = [" * ".join([str(self.coefficients[k]), *[f"n{f - 1}" for f in self.factors[:, k].tolist() if f]])
                             for k in range(first, end)]
        targets = [f"words[{w}]" for w in self.words.tolist()] + [f"words[{w}]" for w in self.arena.tolist()]
        targets += [f"patches[{3 * row + 2}]" for row in self.patches.tolist()]
        targets += [f"calls[{4 * row + 2}]" for row in self.calls.tolist()]
        lines = ["".join([f"n{k}, " for k in range(self.count)]) + "= numbers"]
        for k, (target, constant) in enumerate(zip(targets, self.constants.tolist(), strict=True)):
            start = ["arena"] if 0 <= k - len(self.words) < len(self.arena) else []
            lines.append(f"{target} = {' + '.join([*terms.get(k, ()), *([str(constant)] if constant else []), *start]) or 0}")
        return function("write", "words, patches, calls, arena, numbers", lines, {}, __file__)

    def _vectorised(self, words: memoryview, patches: memoryview, calls: memoryview, arena: int, numbers: Sequence[int]) -> None:
        found = self.constants.copy()
        terms = np.array((1, *numbers), np.int64)[self.factors].prod(0)
        found[self.numbers] += np.add.reduceat(self.coefficients * terms, self.starts)
        ends = np.cumsum([len(self.words), len(self.arena), len(self.patches)])
        own, places, addresses, counts = np.split(found, ends)
        np.asarray(words)[self.words] = own
        np.asarray(words)[self.arena] = places + arena
        np.asarray(patches)[3 * self.patches + 2] = addresses
        np.asarray(calls)[4 * self.calls + 2] = counts

    def without(self, rows: Mapping[int, int]) -> Moving:
        """The same where the rows of the patches are other ones."""
        moving = copy.copy(self)
        moving.patches = np.array([rows[row] for row in self.patches.tolist()], np.int64)
        return moving


@dataclass(frozen=True)
class ArgumentList:
    """What a program's runs are given: positions of the order, first arrays, then numbers, of which `floats` and `integers` are.

    inputs: (buffer, argument) of the arrays.  combining: by buffer, the address of what puts the results of chunks together.
    numbers: which starts, steps and strides there are, in order."""

    positions: list[int]
    floats: tuple[int, ...]
    integers: tuple[int, ...]
    inputs: tuple[tuple[int, int], ...]
    combining: dict[int, int]
    numbers: dict[tuple, int]


def check_limit(nbytes: int) -> None:
    """Say that the intermediate results of a program take more than jitgrad.set_memory_limit allows, if they do."""
    if config.memory_limit is not None and nbytes > config.memory_limit:
        logger.warning("a program takes %d bytes, more than the limit of %d (jitgrad.set_memory_limit): explain() tells what is stored",
                       nbytes, config.memory_limit)


@dataclass
class ExecutionPlan:
    """positions: of the order, whose values are the arguments, first arrays, then numbers; floats, integers: which arguments are
    such.  fixed: numbers by position that are no arguments.  makers: of results, (function, shape, dtype); absent: which
    results are None; result_buffers: their buffers.  input_arguments: (buffer, argument).

    words: the static content of the blocks; arena_words, arena_offsets: which of them are addresses in the arena; patches:
    see driver.py; late: by buffer of a library's result, words and bytes that are added to its address; places: of temporaries in
    the arena.  calls: of all stages.  work: of kernels and products, by where their blocks begin, in bytes.
    limits: temporaries of the least and the greatest position, the range that they have
    to be in, and what raises.  own_words: words that hold an address within the words.  keep: whether each workspace has an arena of
    its own; else it is taken from the pool."""

    positions: list[int]
    floats: tuple[int, ...]
    integers: tuple[int, ...]
    input_arguments: tuple[tuple[int, int], ...]
    makers: list[tuple[Any, tuple[int, ...], np.dtype]]
    result_buffers: tuple[int, ...]
    absent: tuple[int, ...]
    words: np.ndarray
    arena_words: np.ndarray
    arena_offsets: np.ndarray
    arena_bytes: int
    keep: bool
    patches: np.ndarray
    calls: np.ndarray
    stages: list[Stage]
    places: dict[int, int]
    late: dict[int, tuple[tuple[int, int], ...]]
    limits: list[tuple[int, int, int, int, LibraryCall]]
    moving: Moving | None = None
    work: dict[int, Work] = field(default_factory=dict)
    fixed: dict[int, Any] = field(default_factory=dict)
    own_words: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def argument(self) -> dict[int, int]:
        """The argument that a position is."""
        return {position: k for k, position in enumerate(self.positions)}

    def fixing(self, numbers: Mapping[int, float | int]) -> ExecutionPlan:
        """The plan where some of the numbers, by position, are what they are, and no arguments."""
        gone = {k: float if k in self.floats else np.int64 for k in (*self.floats, *self.integers) if self.positions[k] in numbers}
        if not gone:
            return self
        left = [k for k in range(len(self.positions)) if k not in gone]
        new = {k: i for i, k in enumerate(left)}
        plan = copy.copy(self)
        plan.positions = [self.positions[k] for k in left]
        plan.input_arguments = tuple([(buffer, new[k]) for buffer, k in self.input_arguments])
        plan.floats = tuple([new[k] for k in self.floats if k in new])
        plan.integers = tuple([new[k] for k in self.integers if k in new])
        plan.fixed = {**self.fixed, **{self.positions[k]: numbers[self.positions[k]] for k in gone}}
        plan.words = self.words.copy()
        patches: list[tuple[int, int, int]] = []
        rows: dict[int, int] = {}
        for row, (argument, word, offset) in enumerate(self.patches.tolist()):
            k = argument // 8
            if k in gone:
                kind = np.float64 if gone[k] is float else np.int64
                plan.words[word // 8] = np.array(numbers[self.positions[k]], kind).view(np.int64)
            else:
                rows[row] = len(patches)
                patches.append((8 * (new[k] if k in new else k - len(gone)), word, offset))
        plan.patches = np.array(patches, np.int64).reshape(-1, 3)
        plan.moving = None if self.moving is None else self.moving.without(rows)
        return plan
