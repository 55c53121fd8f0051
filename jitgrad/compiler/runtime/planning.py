"""From steps and lengths to an execution plan: addresses within an arena, chunks, the filled part of the argument blocks.

Input: the steps of a program and a captured graph, whose lengths are those of the plan.  Output: an `ExecutionPlan`.
Invariant: nothing is decided by a start or step of a slice or by a stride if it can be avoided; then `Planned.indexed` is
false, and the plan is moved (plan.Moving) to other ones.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.compiler.codegen import combine
from jitgrad.compiler.ir.expr import Expr, add, mul
from jitgrad.compiler.ir.gathers import CHECK
from jitgrad.compiler.ir.loop_nest import Integer, Number, Pointer, Slot
from jitgrad.compiler.ir.steps import KernelStep, LibraryStep, StepList
from jitgrad.compiler.runtime import batch_blocking, blas, skewed_tiling
from jitgrad.compiler.runtime.arena import Spans, aligned
from jitgrad.compiler.runtime.evaluator import Lengths
from jitgrad.compiler.runtime.library_calls import LibraryCall, Strided
from jitgrad.compiler.runtime.plan import ArgumentList, Calls, Chunks, ExecutionPlan, Lanes, Moving, Rows, Stage, Waves, Work
from jitgrad.memory import buffers

KEEP_BYTES = 4 << 20            # a larger arena is taken from the buffer pool at each call instead of being kept
# Estimates (of AVX2): with 512-bit registers the loops take a quarter of it, and to hand work to a thread takes 40 us.
SERIAL_NANOSECONDS = 600_000    # work below this is not cut
CHUNK_NANOSECONDS = 300_000
MAX_CHUNKS = 64
LONGEST_SUM = 1 << 17           # iterations of a chunk that adds up: bounds the rounding error
LANES = 16                      # that the iterations of a group of steps are shared out to
NOTHING: Mapping[int, tuple[int, int]] = {}
MAX_MEMORY_PARTIALS = 8         # chunks, where each needs a whole array to accumulate in


@dataclass
class _PlannedCall:
    """A call of a kernel or a product for all `count` iterations; `word`: where its block starts."""

    function: int
    count: int
    word: int
    nanoseconds: float
    step: KernelStep | None

    @property
    def row(self) -> skewed_tiling.KernelCall:
        return self.function, 0, self.count, 8 * self.word


@dataclass
class _Chunked:
    """A kernel in chunks.  bounds: (first and last iteration of loop 0, offset of the block in bytes) of each; combining: calls."""

    step: KernelStep
    bounds: list[tuple[int, int, int]]
    combining: list[skewed_tiling.KernelCall]

    @property
    def whole(self) -> skewed_tiling.KernelCall:
        """The call of the kernel in one, where nothing is to be combined."""
        return self.step.function.address, 0, self.bounds[-1][1], self.bounds[0][2]


_Lanes = list[list[skewed_tiling.KernelCall]]
_Item = _PlannedCall | _Chunked | _Lanes | list[list[np.ndarray]] | LibraryCall


class Planner:
    """Makes one plan."""

    def __init__(self, program: StepList, arguments: ArgumentList, lengths: Lengths) -> None:
        self._buffers = program.buffers
        self._arguments = arguments
        self._argument = {position: k for k, position in enumerate(arguments.positions)}
        self._lengths = lengths
        self._value = lengths.decided
        self._makers: list[tuple[Any, tuple[int, ...], np.dtype]] = []
        for o in program.outputs:
            if o is not None:
                shape = tuple([lengths.most(n) for n in o.shape])
                self._makers.append((buffers.maker(math.prod(shape) * o.dtype.itemsize), shape, o.dtype))
        self._results = [o.buffer for o in program.outputs if o is not None]
        self._absent = tuple([k for k, o in enumerate(program.outputs) if o is None])
        self._place_of = {b: len(arguments.positions) + k for k, b in enumerate(self._results)}
        self._words: list[int] = []                         # the static content of the blocks
        self._in_arena: list[tuple[int, int, int]] = []     # word, buffer, bytes
        self._patches: list[tuple[int, int, int]] = []      # see driver.py
        self._late: dict[int, list[tuple[int, int]]] = {}   # buffer of a library result -> words, bytes
        self._local: set[int] = set()                       # temporaries that have no place of their own
        self._extra: list[tuple[int, int]] = []             # size in bytes and step of further temporaries
        self._limits: list[tuple[int, int, int, int, LibraryCall]] = []
        self._items: list[_Item] = []                       # in order
        self._work: dict[int, Work] = {}                    # see ExecutionPlan
        # Where a number goes that changes with starts, steps and strides, and what it is: words, rows of in_arena and patches.
        self._moving: dict[str, list[tuple[int, Expr]]] = {"words": [], "arena": [], "patches": [], "calls": []}
        groups = batch_blocking.groups(program.steps, program.buffers, self._value) if not lengths.greatest else [
            batch_blocking.Group([step]) for step in program.steps]
        for k, group in enumerate(groups):
            if group.together and self._group(k, group):
                continue
            for step in group.steps:
                if isinstance(step, KernelStep):
                    self._kernel(k, step)
                elif step.op is CHECK:
                    self._limit(step)
                elif (call := self._product(step)) is not None:
                    self._items.append(call)
                else:
                    self._items.append(LibraryCall(step, program.buffers, self._value))
        self._allocate(groups)
        if len(self._items) >= skewed_tiling.LEAST_CALLS and self._bytes() >= skewed_tiling.LEAST_BYTES and not lengths.greatest:
            self._tile()

    # -- kernels -----------------------------------------------------------------------------------------------------

    def _kernel(self, k: int, step: KernelStep) -> None:
        outer, inner = self._lengths.most(step.outer), self._lengths.most(step.inner)
        nanoseconds = inner * step.kernel.nanoseconds
        if not outer * inner and not step.kernel.reductions:
            return
        bounds = _chunks(outer, nanoseconds, step)
        if len(bounds) == 1 or self._lengths.greatest:
            block = self._block(step.kernel.slots, {}, 0)
            self._note_work(step, outer, inner, [8 * block])
            self._items.append(_PlannedCall(step.function.address, self._lengths(step.outer), block, outer * nanoseconds, step))
            return
        if self._lengths.depends(step.outer):
            bounds = _chunks(self._value(step.outer), nanoseconds, step)
        partial: dict[int, tuple[int, int]] = {}
        combining = []
        for buffer, _, size in step.combines:
            count, itemsize, number = self._value(size), self._buffers[buffer].dtype.itemsize, len(self._buffers) + len(self._extra)
            self._extra.append((len(bounds) * count * itemsize, k))
            partial[buffer] = (number, count * itemsize)
            word = len(self._words)
            self._words += [0, 0, count, len(bounds)]
            self._in_arena.append((word + combine.PARTIALS, number, 0))
            self._pointer(word + combine.RESULT, Pointer(buffer), {}, 0)
            combining.append((self._arguments.combining[buffer], 0, count, 8 * word))
        partial.update(self._scratch(k, step, len(bounds)))
        if partial:
            blocks = [8 * self._block(step.kernel.slots, partial, c) for c in range(len(bounds))]
        else:
            blocks = [8 * self._block(step.kernel.slots, {}, 0)] * len(bounds)
        self._note_work(step, outer, inner, blocks)
        self._items.append(_Chunked(step, [(*b, at) for b, at in zip(bounds, blocks, strict=True)], combining))

    def _note_work(self, step: KernelStep | LibraryStep, outer: int, inner: int, blocks: Sequence[int]) -> None:
        """Note what a step does, for who tells (profiling.py)."""
        moved = sum([self._lengths.most(self._buffers[b].size) * self._buffers[b].dtype.itemsize for b in {*step.buffers}])
        self._work.update(dict.fromkeys(blocks, Work(outer, inner, moved)))

    def _product(self, step: LibraryStep, moved: Mapping[int, tuple[int, int]] = NOTHING) -> _PlannedCall | None:
        """A matrix product that BLAS can be called for directly; None for every other library call."""
        a, b = step.operands[:2] if step.product else (None, None)
        call = self._direct(step)
        if a is None or b is None or call is None:
            return None
        first = len(self._words)
        self._words += call.words
        if self._lengths.greatest:
            words, fixed = blas.lengths(step, call)
            self._moving["words"] += [(first + word, n) for word, n in words if self._lengths.depends(n)]
            self._lengths.indexed |= any([self._lengths.depends(n) for n in fixed])
        sources = [(step.sources[0], a.offset), (step.sources[1], b.offset)]
        if blas.vector_first(self._shape(step)):
            sources.reverse()
        for word, (source, offset) in zip((blas.A, blas.B), sources, strict=True):
            self._pointer(first + word, Pointer(source, offset), {}, 0, moved)
        self._pointer(first + blas.C, Pointer(step.target), {}, 0, moved)
        elements = math.prod([self._lengths.most(n) for n in step.shape]) // max(call.matrices, 1)
        self._note_work(step, call.matrices, elements, [8 * first])
        return _PlannedCall(call.address, call.matrices, first, call.nanoseconds, None)

    def _direct(self, step: LibraryStep) -> blas.Product | None:
        """The call of a matrix product, as far as BLAS takes it."""
        if not step.product or self._buffers[step.target].kind == "result" or min(step.sources) < 0:
            return None
        a, b = [Strided(o, self._lengths.most if self._lengths.greatest else self._value) for o in step.operands]
        return blas.product(a, b, self._shape(step), self._buffers[step.target].dtype)

    def _shape(self, step: LibraryStep) -> tuple[int, ...]:
        return tuple([self._lengths.most(n) if self._lengths.greatest else self._value(n) for n in step.shape])

    def _group(self, k: int, group: batch_blocking.Group) -> bool:
        """Steps that go through their iterations together, some at a time; False where one cannot be called so.

        Each of several lanes takes its share of them in order, with one place for what is local.  A block holds the addresses
        for one part, and what functions of products note there."""
        count = -(-group.n // group.together)
        lanes = min(count, LANES)
        local = {b: (len(self._buffers) + len(self._extra) + i, step) for i, (b, step) in enumerate(group.local.items())}
        extra = [(lanes * aligned(group.together * step), k) for _, step in local.values()]
        if any([isinstance(s, LibraryStep) and self._direct(s) is None for s in group.steps]):
            return False
        self._extra += extra
        self._local |= {*local}
        partial = [self._scratch(k, s, lanes) if isinstance(s, KernelStep) else {} for s in group.steps]
        calls: _Lanes = []
        for lane in range(lanes):
            calls.append([])
            for part in range(lane * count // lanes, (lane + 1) * count // lanes):
                lo, hi = part * group.together, min((part + 1) * group.together, group.n)
                moved = {b: (number, lane * aligned(group.together * step) - lo * step) for b, (number, step) in local.items()}
                for step, own in zip(group.steps, partial, strict=True):
                    if isinstance(step, KernelStep):
                        address, word = step.function.address, self._block(step.kernel.slots, own, lane, moved)
                        self._note_work(step, group.n, self._lengths.most(step.inner), [8 * word])
                    else:
                        call = self._product(step, moved)
                        assert call is not None
                        address, word = call.function, call.word
                    calls[-1].append((address, lo, hi, 8 * word))
        self._items.append(calls)
        return True

    def _scratch(self, k: int, step: KernelStep, chunks: int) -> dict[int, tuple[int, int]]:
        """Temporaries of which each chunk has its own: buffer -> number and bytes."""
        partial: dict[int, tuple[int, int]] = {}
        for buffer, size in step.scratch:
            nbytes = aligned(self._lengths.most(size) * self._buffers[buffer].dtype.itemsize)
            partial[buffer] = (len(self._buffers) + len(self._extra), nbytes)
            self._extra.append((chunks * nbytes, k))
        return partial

    def _limit(self, step: LibraryStep) -> None:
        """A check of positions comes after all kernels, which clamp them: so it does not cut a stretch of kernels in two."""
        axis, along = step.params["axis"], step.params["along"]
        n = self._value(step.operands[3].shape[axis])
        low, high = step.sources[:2]
        call = LibraryCall(step, self._buffers, self._value)
        if min(low, high) < 0 or {self._buffers[low].kind, self._buffers[high].kind} != {"temp"}:
            self._items.append(call)
        else:
            self._limits.append((low, high, 0 if along else -n, n, call))

    def _block(self, slots: Sequence[Slot], partial: dict[int, tuple[int, int]], chunk: int,
               moved: Mapping[int, tuple[int, int]] = NOTHING) -> int:
        """Append a block; the number of its first word.  moved: temporaries that are elsewhere, as number and offset."""
        first = len(self._words)
        for word, slot in enumerate(slots, first):
            number = 0
            if isinstance(slot, Integer):
                number = self._lengths(slot.expr)
                if self._lengths.depends(slot.expr):
                    self._moving["words"].append((word, slot.expr))
            elif isinstance(slot, Number):
                self._patches.append((8 * self._argument[slot.position], 8 * word, 0))
            else:
                self._pointer(word, slot, partial, chunk, moved)
            self._words.append(number)
        return first

    def _pointer(self, word: int, slot: Pointer, partial: dict[int, tuple[int, int]], chunk: int,
                 moved: Mapping[int, tuple[int, int]] = NOTHING) -> None:
        b = self._buffers[slot.buffer]
        if slot.partial and slot.buffer in partial:
            number, nbytes = partial[slot.buffer]
            self._in_arena.append((word, number, chunk * nbytes))
            return
        if b.kind == "result":
            self._late.setdefault(slot.buffer, []).append((word, self._value(slot.offset) * b.dtype.itemsize))
            return
        offset, moves = self._lengths(slot.offset) * b.dtype.itemsize, self._lengths.depends(slot.offset)
        if b.kind == "temp":
            number, shift = moved.get(slot.buffer, (slot.buffer, 0))
            if moves:
                self._moving["arena"].append((len(self._in_arena), add(shift, mul(b.dtype.itemsize, slot.offset))))
            self._in_arena.append((word, number, offset + shift))
        else:
            argument = self._argument[b.number] if b.kind == "input" else self._place_of[slot.buffer]
            if moves:
                self._moving["patches"].append((len(self._patches), mul(b.dtype.itemsize, slot.offset)))
            self._patches.append((8 * argument, 8 * word, offset))

    # -- temporaries -------------------------------------------------------------------------------------------------

    def _allocate(self, groups: Sequence[batch_blocking.Group]) -> None:
        """Places in the arena for temporaries."""
        spans = Spans()
        for k, step in [(k, step) for k, group in enumerate(groups) for step in group.steps]:
            for number in step.buffers:
                b = self._buffers[number]
                if b.kind == "temp" and number not in self._local:
                    # What a check asks for is read after the last kernel.
                    late = isinstance(step, LibraryStep) and step.op is CHECK
                    spans.use(number, self._lengths.most(b.size) * b.dtype.itemsize, k, len(groups) if late else k)
        for i, (size, k) in enumerate(self._extra):
            spans.use(len(self._buffers) + i, size, k, k)
        self._places, self._arena_bytes = spans.places()

    def _bytes(self) -> int:
        """Of all buffers."""
        return sum([self._lengths.most(b.size) * b.dtype.itemsize for b in self._buffers if b.kind != "result"])

    def _tile(self) -> None:
        """Long loops over the same vectors go tile by tile."""
        calls: list[skewed_tiling.KernelCall] = []
        touched: list[skewed_tiling.Uses | None] = []
        for item in self._items:
            step = item.step if isinstance(item, _PlannedCall | _Chunked) else None
            calls.append(item.row if isinstance(item, _PlannedCall) else item.whole if isinstance(item, _Chunked) else (0, 0, 0, 0))
            touched.append(None if step is None else skewed_tiling.uses(step, self._value(step.outer), self._buffers, self._value,
                                                                         self._place))
        items, done = [], 0
        for first, end, waves in skewed_tiling.series(calls, touched):
            items += [*self._items[done:first], waves]
            done = end
        self._items = items + self._items[done:]

    def _place(self, buffer: int) -> int:
        """A number for the memory of a buffer: temporaries may share theirs."""
        return self._places.get(buffer, ~buffer)

    # -- the plan ----------------------------------------------------------------------------------------------------

    def plan(self) -> ExecutionPlan:
        """All of it."""
        a, keep = self._arguments, self._arena_bytes <= KEEP_BYTES
        arena = [(w, self._places[b] + offset) for w, b, offset in self._in_arena]
        patches, moving = self._patches, self._moving
        if not keep:
            argument = len(a.positions) + len(self._results)        # the arena
            moving["patches"] += [(len(patches) + k, add(self._places[self._in_arena[k][1]], x)) for k, x in moving["arena"]]
            moving["arena"] = []
            patches = patches + [(8 * argument, 8 * w, offset) for w, offset in arena]
        else:
            moving["arena"] = [(arena[k][0], add(self._places[self._in_arena[k][1]], x)) for k, x in moving["arena"]]
        rows, stages = self._stages()
        return ExecutionPlan(
            a.positions, a.floats, a.integers, a.inputs, self._makers, tuple(self._results), self._absent,
            np.array(self._words, np.int64), np.array([w for w, _ in arena], np.int64),
            np.array([offset for _, offset in arena], np.int64), self._arena_bytes, keep,
            np.array(patches, np.int64).reshape(-1, 3), np.array(rows, np.int64).reshape(-1, 4), stages, self._places,
            {b: tuple(words) for b, words in self._late.items()}, self._limits, self._moved(), work=self._work)

    def _stages(self) -> tuple[list[skewed_tiling.KernelCall], list[Stage]]:
        """The calls in order, and how they are made; the first stage is one of plain calls."""
        rows: list[skewed_tiling.KernelCall] = []
        stages: list[Stage] = [Calls((0, 0), 0.0)]

        def added(calls: Sequence[skewed_tiling.KernelCall]) -> Rows:
            first = len(rows)
            rows.extend(calls)
            return first, len(rows)

        for item in self._items:
            if isinstance(item, LibraryCall):
                stages.append(item)
            elif isinstance(item, _PlannedCall):
                if item.step is not None and self._lengths.depends(item.step.outer):
                    self._moving["calls"].append((len(rows), item.step.outer))
                stage = stages[-1]
                if not isinstance(stage, Calls):
                    stage = Calls((len(rows), len(rows)), 0.0)
                    stages.append(stage)
                stage.rows = stage.rows[0], added([item.row])[1]
                stage.nanoseconds += item.nanoseconds
            elif isinstance(item, _Chunked):
                function = item.step.function
                stages.append(Chunks(function.call, added([(function.address, *b) for b in item.bounds]), added(item.combining)))
            elif any([isinstance(part, np.ndarray) for wave in item for part in wave]):
                waves = [tuple([added(part.tolist()) for part in wave]) for wave in item]       # type: ignore[union-attr]
                stages.append(Waves(tuple(waves)))
            else:
                stages.append(Lanes(tuple([added(lane) for lane in item])))     # type: ignore[arg-type]
        return rows, stages

    def _moved(self) -> Moving | None:
        """What moves the plan; None if nothing does, or if it was decided by what would."""
        everything = [x for entries in self._moving.values() for _, x in entries]
        if self._lengths.indexed or not everything:
            return None
        constants, coefficients, factors, numbers, starts = [], [], [], [], []
        for k, x in enumerate(everything):
            terms = self._lengths.polynomial(x)
            constants.append(terms.pop((), 0))
            if terms:
                numbers.append(k)
                starts.append(len(coefficients))
            for atoms, c in terms.items():
                coefficients.append(c)
                factors.append([1 + self._arguments.numbers[atom] for atom in atoms])
        degree = max([len(f) for f in factors], default=1)
        table = [f + [0] * (degree - len(f)) for f in factors]
        where = [np.array([k for k, _ in entries], np.int64) for entries in self._moving.values()]
        return Moving(len(self._arguments.numbers), np.array(constants, np.int64), np.array(coefficients, np.int64),
                      np.array(table, np.int64).reshape(-1, degree).T.copy(), np.array(numbers, np.int64),
                      np.array(starts, np.int64), *where)


def _chunks(outer: int, nanoseconds: float, step: KernelStep) -> list[tuple[int, int]]:
    """How loop 0 is cut, given the time that one iteration takes."""
    total = outer * nanoseconds
    sums = -(-outer // LONGEST_SUM) if step.combines else 1
    if (total < SERIAL_NANOSECONDS and sums == 1) or outer < 2 or step.kernel.serial:
        return [(0, outer)]
    count = min(MAX_CHUNKS, max(int(total // CHUNK_NANOSECONDS), sums))
    if any([r.reduced[0] and not all(r.reduced) for r in step.kernel.reductions]):
        count = min(count, MAX_MEMORY_PARTIALS)
    size = -(-outer // count)
    if size > 1024:
        size = -(-size // 1024) * 1024
    return [(lo, min(lo + size, outer)) for lo in range(0, outer, size)]
