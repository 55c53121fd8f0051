"""The memory of one run at a time, and the calls that run a plan in it.

Input: an `ExecutionPlan`.  Output: `Runs`, which runs it.
Invariant: a stretch of kernels between two calls that Python must make (NumPy, several threads) is one call of the
driver; nothing of one run is left in the workspace but contents without meaning.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any

import numpy as np

from jitgrad.compiler.runtime import driver
from jitgrad.compiler.runtime.library_calls import LibraryCall
from jitgrad.compiler.runtime.plan import Calls, Chunks, ExecutionPlan, Lanes, Rows, Stage, Writer
from jitgrad.config import config
from jitgrad.generated import function
from jitgrad.memory import buffers, threads
from jitgrad.memory.buffers import address
from jitgrad.ops.quiet import quiet

HOLD_NANOSECONDS = 20_000       # kernels that take less are called without giving the GIL away
MOST_GENERATED = 200            # arguments and results of a program that is called by generated code
MAX_FIXED = 16                  # sets of fixed numbers of one plan that are remembered
_BYTES = np.dtype(np.uint8)
_NONE = np.empty((0, 3), np.int64)

workspaces: weakref.WeakSet[Workspace] = weakref.WeakSet()
timing: list[Any] = []          # while a profile is open: it (profiling.profile)


def time_by(profile: Any) -> None:
    """Have each kernel called and timed alone, for a profile, or none any more."""
    timing[:] = [] if profile is None else [profile]
    for workspace in list(workspaces):
        workspace.bind()


Way = tuple["Callable[..., None]", "list[Callable[[], None] | LibraryCall]"]


class Workspace:
    """An arena for temporaries, and the argument blocks with their static words."""

    def __init__(self, plan: ExecutionPlan, write: Writer | None) -> None:
        self._plan = plan
        self.words = plan.words.copy()
        self.base = address(self.words)
        self.words[plan.own_words] += self.base
        self.places = plan.places
        self.views: dict[Any, np.ndarray] = {}
        self.arena = buffers.empty((plan.arena_bytes if plan.keep else 0,), _BYTES)
        if plan.keep:
            self.words[plan.arena_words] = plan.arena_offsets + address(self.arena)
        self.patches, self.calls = plan.patches, plan.calls
        if plan.moving is not None:
            self.patches, self.calls = plan.patches.copy(), plan.calls.copy()
            self._written = self.words.data, self.patches.reshape(-1).data, self.calls.reshape(-1).data
        self._write = write
        self.moved: Sequence[int] | None = None         # what move() was given last
        self._ways: dict[bool, Way] = {}
        self.bind()
        workspaces.add(self)

    def bind(self) -> None:
        """Make the calls anew."""
        first = self._plan.stages[0]
        assert isinstance(first, Calls)
        self._ways.clear()
        self.call = self._bound(first.rows, self.patches, first.nanoseconds, True)     # all of a plan without further calls

    def move(self, numbers: Sequence[int]) -> None:
        """Go over to other starts and steps of slices, and strides."""
        assert self._write is not None
        words, patches, calls = self._written
        self._write(words, patches, calls, address(self.arena), numbers)
        self.moved = numbers

    def way(self) -> Way:
        """The calls of a run, for the number of threads at hand."""
        alone = config.threads == 1 or bool(timing)
        found = self._ways.get(alone)
        if found is None:
            first, *rest = _merged(self._plan) if alone else self._plan.stages
            assert isinstance(first, Calls)
            found = self._ways[alone] = self._bound(first.rows, self.patches, first.nanoseconds, True), [self._stage(s) for s in rest]
        return found

    def _stage(self, stage: Stage) -> Callable[[], None] | LibraryCall:
        if isinstance(stage, LibraryCall):
            return stage
        if isinstance(stage, Calls):
            return self._bound(stage.rows, _NONE, stage.nanoseconds)
        return self._chunks(stage) if isinstance(stage, Chunks) else self._waves((stage.lanes,) if isinstance(stage, Lanes)
                                                                                  else stage.waves)

    def _bound(self, rows: Rows, patches: np.ndarray, nanoseconds: float, first: bool = False) -> Callable[..., None]:
        """What calls kernels in order.  first: of a run."""
        if timing:
            return self._timed(rows, patches, first)
        return driver.bind(self.words, patches, self.calls[slice(*rows)], nanoseconds > HOLD_NANOSECONDS)

    def _timed(self, rows: Rows, patches: np.ndarray, first: bool) -> Callable[..., None]:
        """The same where a profile is told of each call."""
        profile, plan, base, calls = timing[0], self._plan, self.base, self.calls[slice(*rows)]
        fill = driver.bind(self.words, patches, calls[:0], False)

        def run(*objects: Any) -> None:
            fill(*objects)
            if first:
                profile.ran(plan)
            for address_, lo, hi, block in calls.tolist():
                function = driver.PROTOTYPE(address_)
                start = perf_counter_ns()
                function(lo, hi, base + block)
                profile.kernel(plan, address_, block, hi - lo, perf_counter_ns() - start)
        return run

    def _chunks(self, chunks: Chunks) -> Callable[[], None]:
        call = chunks.kernel
        bounds = [(lo, hi, self.base + block) for _, lo, hi, block in self.calls[slice(*chunks.rows)].tolist()]
        combine = self._bound(chunks.combining, _NONE, 0.0)

        def run() -> None:
            threads.parallel_for(call, bounds)
            combine()
        return run

    def _waves(self, waves: tuple[tuple[Rows, ...], ...]) -> Callable[[], None]:
        runs = [[driver.bind(self.words, _NONE, self.calls[slice(*rows)], True) for rows in wave] for wave in waves]
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
        argument, fixed = self._plan.positions.index, self._plan.fixed
        start = perf_counter_ns() if timing else 0
        array = call.run(lambda position: fixed[position] if position in fixed else values[argument(position)], self, arrays)
        if timing:
            timing[0].library(call.op.name, call.count, call.count * call.dtype.itemsize, perf_counter_ns() - start)
        if array is not None:
            arrays[call.target] = array
            start = address(array)
            for word, offset in self._plan.late.get(call.target, ()):
                self.words[word] = start + offset


def _merged(plan: ExecutionPlan) -> list[Stage]:
    """What one thread runs: all between two NumPy calls at once, which takes 10 to 20 us less for each kernel in chunks."""
    merged: list[Stage] = []
    for s in plan.stages:
        if isinstance(s, LibraryCall):
            merged.append(s)
            continue
        if isinstance(s, Calls):
            rows, nanoseconds = s.rows, s.nanoseconds
        else:
            nanoseconds = HOLD_NANOSECONDS + 1
            if isinstance(s, Chunks):
                rows = s.rows[0], s.combining[1]
            else:
                lanes = s.lanes if isinstance(s, Lanes) else [lane for wave in s.waves for lane in wave]
                rows = lanes[0][0], lanes[-1][1]
        last = merged[-1] if merged else None
        if isinstance(last, Calls):
            merged[-1] = Calls((last.rows[0], rows[1]), last.nanoseconds + nanoseconds)
        else:
            merged.append(Calls(rows, nanoseconds))
    return merged


class Runs:
    """A plan with its workspaces.

    run(values): the program's results, fresh arrays.  values: of the nodes of the captured order at `positions`, arrays or
    numbers; the list may be changed.  Their shapes must be those of the order that the plan was made for, and so must be their
    strides, or those that the plan was moved to.
    (A closure finds its names quicker than a method.  It does not refer to this object: no cycle keeps memory.)"""

    __slots__ = ("positions", "run", "plan", "_moved", "_runner", "_fixed")

    def __init__(self, plan: ExecutionPlan, moved: Sequence[int] | None = None, runner: Callable[..., Any] | None = None) -> None:
        self.positions = plan.positions
        self.plan = plan
        self._moved = moved
        self._runner = runner or _runner(plan)
        run: Callable[[list[Any]], list[np.ndarray | None]] = \
            self._runner if plan.moving is None else partial(self._runner, moved)
        self.run = run
        self._fixed: dict[tuple, Runs] = {}

    def at(self, numbers: Sequence[int]) -> Runs:
        """For other starts and steps of slices, and strides, with the same workspaces."""
        return self if self.plan.moving is None else Runs(self.plan, numbers, self._runner)

    def fixing(self, numbers: Mapping[int, float | int]) -> Runs:
        """See program.Bound."""
        own = {p: n for p in self.positions if (n := numbers.get(p)) is not None}
        if not own:
            return self
        key = (*own, *map(repr, own.values()))          # 0.0 == -0.0, and nan is itself
        found = self._fixed.get(key)
        if found is None:
            if len(self._fixed) >= MAX_FIXED:
                self._fixed.pop(next(iter(self._fixed)), None)
            found = self._fixed[key] = Runs(self.plan.fixing(own), self._moved)
        return found


def _runner(plan: ExecutionPlan) -> Callable[..., list[np.ndarray | None]]:
    """run(values), or run(numbers, values) for a plan that is moved to the starts, steps and strides given."""
    spare: list[Workspace] = []                 # workspaces that no run uses
    pop, append = spare.pop, spare.append
    make = partial(Workspace, plan, None if plan.moving is None else plan.moving.writer())
    floats, integers, makers, absent = plan.floats, plan.integers, plan.makers, plan.absent
    plain = plan.keep and len(plan.stages) == 1
    limited = bool(plan.limits)
    if plain and not limited and not len(plan.own_words) and len(plan.positions) + len(makers) <= MOST_GENERATED:
        return _generated(plan, pop, append, make)

    def run(numbers: Sequence[int] | None, values: list[Any]) -> list[np.ndarray | None]:
        try:
            workspace = pop()
        except IndexError:
            workspace = make()
        if workspace.moved is not numbers:
            workspace.move(numbers)         # type: ignore[arg-type]
        for k in floats:
            values[k] = float(values[k])
        for k in integers:
            values[k] = np.int64(values[k])
        results: list[Any] = [empty(shape, dtype) for empty, shape, dtype in makers]
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

    return run if plan.moving is not None else partial(run, None)


def _generated(plan: ExecutionPlan, pop: Callable[[], Workspace], append: Callable[[Workspace], None],
               make: Callable[[], Workspace]) -> Callable[..., list[np.ndarray | None]]:
    """The run of a plan that is one call of the driver, as code.  For two arrays, a number and two results:

        def run(values):
            try: workspace = pop()
            except IndexError: workspace = make()
            v0, v1, v2, = values
            r0 = make0(shape0, dtype0)
            r1 = make1(shape1, dtype1)
            workspace.call(v0, v1, convert2(v2), r0, r1)
            append(workspace)
            return [r0, r1]
    """
    given: dict[str, Any] = {"pop": pop, "append": append, "make": make}
    arguments = [f"v{k}" for k in range(len(plan.positions))]
    results = [f"r{k}" for k in range(len(plan.makers))]
    lines = ["try: workspace = pop()", "except IndexError: workspace = make()"]
    if plan.moving is not None:
        lines.append("if workspace.moved is not numbers: workspace.move(numbers)")
    lines += [f"{''.join([name + ', ' for name in arguments])}= values"] if arguments else []
    for k, (make, shape, dtype) in enumerate(plan.makers):
        given |= {f"make{k}": make, f"shape{k}": shape, f"dtype{k}": dtype}
        lines.append(f"r{k} = make{k}(shape{k}, dtype{k})")
    for which, convert in ((plan.floats, float), (plan.integers, np.int64)):
        for k in which:
            given[f"convert{k}"] = convert
            arguments[k] = f"convert{k}(v{k})"
    lines += [f"workspace.call({', '.join(arguments + results)})", "append(workspace)"]
    for k in plan.absent:
        results.insert(k, "None")
    lines.append(f"return [{', '.join(results)}]")
    return function("run", "values" if plan.moving is None else "numbers, values", lines, given, __file__)
