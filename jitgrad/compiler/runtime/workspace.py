"""The memory of one run at a time, and the calls that run a plan in it.

Input: a `Plan`.  Output: `Runs`, which runs it.
Invariant: a stretch of kernels between two calls that Python must make (NumPy, several threads) is one call of the
driver; nothing of one run is left in the workspace but contents without meaning.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad import buffers, threads
from jitgrad.buffers import address
from jitgrad.compiler.runtime import driver
from jitgrad.compiler.runtime.library_calls import Chunked, LibraryCall
from jitgrad.config import config
from jitgrad.generated import function
from jitgrad.ops.quiet import quiet

if TYPE_CHECKING:
    from jitgrad.compiler.ir.steps import KernelStep
    from jitgrad.compiler.runtime.plan import Plan

HOLD_NANOSECONDS = 20_000       # kernels that take less are called without giving the GIL away
MOST_GENERATED = 200            # arguments and results of a program that is called by generated code
MAX_FIXED = 16                  # sets of fixed numbers of one plan that are remembered
_BYTES = np.dtype(np.uint8)


@dataclass
class Stage:
    """Kernels that are called one after the other: (address, lo, hi, offset of the block in bytes) of each, and an
    estimate of their time.  steps: what each is a call of, None for a product, and its estimate."""

    calls: list[tuple[int, int, int, int]]
    nanoseconds: float
    steps: list[tuple[KernelStep | None, float]] = field(default_factory=list)


@dataclass
class Parts:
    """Calls as those of a stage, for each of several parts that do not depend on each other."""

    calls: list[list[tuple[int, int, int, int]]]


@dataclass
class Waves:
    """Calls in parts: those of a wave do not depend on each other, but on the waves before."""

    waves: list[list[np.ndarray]]


Way = tuple["Callable[..., None]", "list[Callable[[], None] | LibraryCall]"]


class Workspace:
    """An arena for temporaries, and the argument blocks with their static words."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.words = plan.static_words.copy()
        self.base = address(self.words)
        self.places = plan.places
        self.views: dict[Any, np.ndarray] = {}
        self.arena = buffers.empty((plan.arena_bytes if plan.keep else 0,), _BYTES)
        if plan.keep:
            self.words[plan.arena_words] = plan.arena_offsets + address(self.arena)
        self.call = self._bound(plan.first, plan.patches)       # all of a plan without further calls
        self._ways: dict[bool, Way] = {}

    def way(self) -> Way:
        """The calls of a run, for the number of threads at hand."""
        alone = config.threads == 1
        found = self._ways.get(alone)
        if found is None:
            plan = self._plan
            first, *rest = _merged(plan) if alone else [plan.first, *plan.rest]
            assert isinstance(first, Stage)
            none = np.empty((0, 3), np.int64)
            found = self._ways[alone] = self._bound(first, plan.patches), [
                self._bound(s, none) if isinstance(s, Stage) else self._chunks(s) if isinstance(s, Chunked) else
                self._parts(s) if isinstance(s, Parts) else self._waves(s) if isinstance(s, Waves) else s for s in rest]
        return found

    def _bound(self, stage: Stage, patches: np.ndarray) -> Callable[..., None]:
        calls = np.array(stage.calls, np.int64).reshape(-1, 4)
        return driver.bind(self.words, patches, calls, stage.nanoseconds > HOLD_NANOSECONDS)

    def _chunks(self, chunked: Chunked) -> Callable[[], None]:
        call = chunked.step.function.call
        bounds = [(lo, hi, self.base + block) for lo, hi, block in chunked.bounds]
        combine = self._bound(Stage(chunked.combining, 0), np.empty((0, 3), np.int64))

        def run() -> None:
            threads.parallel_for(call, bounds)
            combine()
        return run

    def _parts(self, parts: Parts) -> Callable[[], None]:
        none = np.empty((0, 3), np.int64)
        runs = [driver.bind(self.words, none, np.array(calls, np.int64), True) for calls in parts.calls]
        bounds = [(c, c, 0) for c in range(len(runs))]
        return lambda: threads.parallel_for(lambda c, _, __: runs[c](), bounds)

    def _waves(self, waves: Waves) -> Callable[[], None]:
        none = np.empty((0, 3), np.int64)
        runs = [[driver.bind(self.words, none, calls, True) for calls in wave] for wave in waves.waves]
        bounds = [[(c, c, 0) for c in range(len(wave))] for wave in runs]

        def run() -> None:
            for wave, chunks in zip(runs, bounds, strict=True):
                threads.parallel_for(lambda c, _, __, wave=wave: wave[c](), chunks)
        return run

    def array(self, number: int, dtype: np.dtype, count: int) -> np.ndarray:
        """A temporary as a flat array."""
        start = self.places[number]
        return self.arena[start:start + count * dtype.itemsize].view(dtype)

    def run(self, values: list[Any], results: list[np.ndarray]) -> None:
        """Run the plan: `values` and `results` as in Runs.run."""
        plan = self._plan
        call, rest = self.way()
        if plan.keep:
            call(*values, *results)
        else:
            self.arena = buffers.empty((plan.arena_bytes,), _BYTES)
            call(*values, *results, self.arena)
        if rest:
            arrays = self._arrays(values, results)
            for stage in rest:
                if isinstance(stage, LibraryCall):
                    quiet.run(self._library, stage, values, arrays)
                else:
                    stage()
        if plan.limits:
            self.check(values, results)
        if not plan.keep:
            self.views.clear()
            self.arena = self.arena[:0].copy()

    def check(self, values: list[Any], results: list[np.ndarray]) -> None:
        """Raise if a position was out of bounds."""
        words = memoryview(self.arena).cast("q")          # type: ignore[arg-type]
        for low, high, least, end, call in self._plan.limits:
            if words[self.places[low] >> 3] < least or words[self.places[high] >> 3] >= end:
                self._library(call, values, self._arrays(values, results))

    def _arrays(self, values: list[Any], results: list[np.ndarray]) -> dict[int, np.ndarray]:
        arrays = {b: values[k] for b, k in self._plan.input_arguments}
        arrays.update(zip(self._plan.result_buffers, results, strict=True))
        return arrays

    def _library(self, call: LibraryCall, values: list[Any], arrays: dict[int, np.ndarray]) -> None:
        argument, fixed = self._plan.argument, self._plan.fixed
        array = call.run(lambda position: fixed[position] if position in fixed else values[argument[position]], self, arrays)
        if array is not None:
            arrays[call.target] = array
            start = address(array)
            for word, offset in self._plan.late.get(call.target, ()):
                self.words[word] = start + offset


def _merged(plan: Plan) -> list[Stage | LibraryCall]:
    """What one thread runs: all between two NumPy calls at once, which takes 10 to 20 us less for each kernel in chunks."""
    merged: list[Stage | LibraryCall] = []
    for s in [plan.first, *plan.rest]:
        if isinstance(s, LibraryCall):
            merged.append(s)
            continue
        if not merged or isinstance(merged[-1], LibraryCall):
            merged.append(Stage([], 0))
        stage = merged[-1]
        assert isinstance(stage, Stage)
        if isinstance(s, Stage | Chunked):
            stage.calls += s.calls
        elif isinstance(s, Parts):
            stage.calls += [call for calls in s.calls for call in calls]
        else:
            stage.calls += [call for wave in s.waves for part in wave for call in part.tolist()]
        stage.nanoseconds += s.nanoseconds if isinstance(s, Stage) else HOLD_NANOSECONDS + 1
    return merged


class Runs:
    """A plan with its workspaces.

    run(values): the program's results, fresh arrays.  values: of the nodes of the captured order at `positions`, arrays or
    numbers; the list may be changed.  Their shapes and strides must be those of the order that the plan was made for.
    (A closure finds its names quicker than a method.  It does not refer to this object: no cycle keeps memory.)"""

    def __init__(self, plan: Plan) -> None:
        self.positions = plan.positions
        self.run = _runner(plan)
        self._plan = plan
        self._fixed: dict[tuple, Runs] = {}

    def fixing(self, numbers: Mapping[int, float | int]) -> Runs:
        """See program.Bound."""
        own = {p: n for p in self.positions if (n := numbers.get(p)) is not None}
        if not own:
            return self
        key = (*own, *map(repr, own.values()))          # 0.0 == -0.0, and nan is itself
        found = self._fixed.get(key)
        if found is None:
            if len(self._fixed) >= MAX_FIXED:
                self._fixed.clear()
            found = self._fixed[key] = Runs(self._plan.fixing(own))
        return found


def _runner(plan: Plan) -> Callable[[list[Any]], list[np.ndarray | None]]:
    spare: list[Workspace] = []                 # workspaces that no run uses
    pop, append = spare.pop, spare.append
    numbers, makers, absent = plan.numbers, plan.makers, plan.absent
    plain = plan.keep and not plan.rest
    limited = bool(plan.limits)
    if plain and not limited and len(plan.positions) + len(makers) <= MOST_GENERATED:
        return _generated(plan, pop, append)

    def run(values: list[Any]) -> list[np.ndarray | None]:
        try:
            workspace = pop()
        except IndexError:
            workspace = Workspace(plan)
        for k, convert in numbers:
            values[k] = convert(values[k])
        results: list[Any] = [make(shape, dtype) for make, shape, dtype in makers]
        if plain:
            workspace.call(*values, *results)
            if limited:
                workspace.check(values, results)
        else:
            workspace.run(values, results)
        append(workspace)
        for k in absent:
            results.insert(k, None)
        return results

    return run


def _generated(plan: Plan, pop: Callable[[], Workspace], append: Callable[[Workspace], None]) -> Callable[
        [list[Any]], list[np.ndarray | None]]:
    """The run of a plan that is one call of the driver, as code.  For two arrays, a number and two results:

        def run(values):
            try: workspace = pop()
            except IndexError: workspace = Workspace(plan)
            v0, v1, v2, = values
            r0 = make0(shape0, dtype0)
            r1 = make1(shape1, dtype1)
            workspace.call(v0, v1, convert2(v2), r0, r1)
            append(workspace)
            return [r0, r1]
    """
    given: dict[str, Any] = {"plan": plan, "pop": pop, "append": append, "Workspace": Workspace}
    arguments = [f"v{k}" for k in range(len(plan.positions))]
    results = [f"r{k}" for k in range(len(plan.makers))]
    lines = ["try: workspace = pop()", "except IndexError: workspace = Workspace(plan)"]
    lines += [f"{''.join([name + ', ' for name in arguments])}= values"] if arguments else []
    for k, (make, shape, dtype) in enumerate(plan.makers):
        given |= {f"make{k}": make, f"shape{k}": shape, f"dtype{k}": dtype}
        lines.append(f"r{k} = make{k}(shape{k}, dtype{k})")
    for k, convert in plan.numbers:
        given[f"convert{k}"] = convert
        arguments[k] = f"convert{k}(v{k})"
    lines += [f"workspace.call({', '.join(arguments + results)})", "append(workspace)"]
    for k in plan.absent:
        results.insert(k, "None")
    lines.append(f"return [{', '.join(results)}]")
    return function("run", "values", lines, given, __file__)
