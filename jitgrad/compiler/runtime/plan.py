"""From a program to a run: everything that depends on lengths, worked out once for each set of lengths.

Input: steps, buffers, outputs, and the captured dimensions that tell the lengths.  Output: for each set of lengths, run-time
sizes and strides a `Plan` (addresses within an arena, chunks, the filled part of the argument blocks).
Invariant: how work is cut, and so the bits of the results, depends on lengths alone, not on the number of threads; a
workspace is used by one run at a time.

A block holds the arguments of one chunk of one kernel; all blocks of a program are one array, the words of a workspace
(workspace.py).  Lengths, strides and addresses in the arena are written when the workspace is made; the driver
(driver.py) writes the addresses of inputs and outputs, and run-time numbers, at each call.
"""
from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad import buffers
from jitgrad.compiler.codegen import combine
from jitgrad.compiler.ir.dims import Sources
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.gathers import CHECK
from jitgrad.compiler.ir.loop_nest import Integer, Number, Pointer, Slot
from jitgrad.compiler.ir.steps import Buffer, KernelStep, LibraryStep, Output
from jitgrad.compiler.numba_cpu import kernels
from jitgrad.compiler.runtime import batch_blocking, blas, driver, skewed_tiling
from jitgrad.compiler.runtime.arena import Spans, aligned
from jitgrad.compiler.runtime.evaluator import Evaluator, needed
from jitgrad.compiler.runtime.library_calls import Chunked, LibraryCall, View
from jitgrad.compiler.runtime.workspace import Parts, Runs, Stage, Waves
from jitgrad.dtype import BY_NUMPY
from jitgrad.graph import Node

KEEP_BYTES = 4 << 20            # a larger arena is taken from the buffer pool at each call instead of being kept
MAX_PLANS = 64
# Estimates (of AVX2): with 512-bit registers the loops take a quarter of it, and to hand work to a thread takes 40 us.
SERIAL_NANOSECONDS = 600_000    # work below this is not cut
CHUNK_NANOSECONDS = 300_000
MAX_CHUNKS = 64
LONGEST_SUM = 1 << 17           # iterations of a chunk that adds up: bounds the rounding error
LANES = 16                      # that the iterations of a group of steps are shared out to
NOTHING: Mapping[int, tuple[int, int]] = {}
MAX_MEMORY_PARTIALS = 8         # chunks, where each needs a whole array to accumulate in


class Plan:
    """One set of lengths: what workspaces are made from, and what a run does."""

    def __init__(self, plans: Plans, order: Sequence[Node]) -> None:
        self.buffers = plans.buffers
        self._value = Evaluator(plans.sources, order)
        value = self._value
        self._combining = plans.combining
        self.positions = plans.positions
        self.argument = plans.argument
        self.input_arguments = plans.input_arguments
        self.numbers = plans.numbers
        self.fixed: dict[int, Any] = {}                     # numbers by position, that are not arguments
        self.makers: list[tuple[Any, tuple[int, ...], np.dtype]] = []
        self.result_buffers: list[int] = []
        self.absent = [k for k, o in enumerate(plans.outputs) if o is None]    # results that are None
        for o in plans.outputs:
            if o is not None:
                shape = tuple([value(n) for n in o.shape])
                large = math.prod(shape) * o.dtype.itemsize >= buffers.LARGE
                self.makers.append((buffers.empty if large else np.empty, shape, o.dtype))
                self.result_buffers.append(o.buffer)
        self._place_of = {b: len(self.positions) + k for k, b in enumerate(self.result_buffers)}
        self._words: list[int] = []                         # the static content of the blocks
        self._in_arena: list[tuple[int, int, int]] = []     # word, buffer, bytes
        self._patches: list[tuple[int, int, int]] = []      # see driver.py
        self.late: dict[int, list[tuple[int, int]]] = {}    # buffer of a library result -> words, bytes
        self._local: set[int] = set()                       # temporaries that have no place of their own
        self._extra: list[tuple[int, int]] = []             # size in bytes and step of further temporaries
        self.limits: list[tuple[int, int, int, int, LibraryCall]] = []
        self.first = Stage([], 0)
        self.rest: list[Stage | Chunked | Parts | Waves | LibraryCall] = []     # what comes after it, in order
        groups = batch_blocking.groups(plans.steps, plans.buffers, value)
        for k, group in enumerate(groups):
            if group.together and self._group(k, group):
                continue
            for step in group.steps:
                if isinstance(step, KernelStep):
                    self._kernel(k, step)
                elif step.op is CHECK:
                    self._limit(step)
                elif (call := self._product(step)) is not None:
                    self._call(*call)
                else:
                    self.rest.append(LibraryCall(step, plans.buffers, value))
        self._allocate(groups)
        self._tile()
        del self._value                             # it refers to the graph
        self.keep = self.arena_bytes <= KEEP_BYTES
        self._finish()

    def fixing(self, numbers: Mapping[int, float | int]) -> Plan:
        """The plan where some of the numbers, by position, are what they are, and no arguments."""
        gone = {self.argument[p]: (p, convert) for k, convert in self.numbers
                if (p := self.positions[k]) in numbers}
        if not gone:
            return self
        left = [k for k in range(len(self.positions)) if k not in gone]
        new = {k: i for i, k in enumerate(left)}
        plan = copy.copy(self)
        plan.positions = [self.positions[k] for k in left]
        plan.argument = {position: i for i, position in enumerate(plan.positions)}
        plan.input_arguments = [(buffer, new[k]) for buffer, k in self.input_arguments]
        plan.numbers = [(new[k], convert) for k, convert in self.numbers if k in new]
        plan.fixed = {p: numbers[p] for p, _ in gone.values()}
        plan.static_words = self.static_words.copy()
        patches = []
        for argument, word, offset in self.patches.tolist():
            k = argument // 8
            if k in gone:
                position, convert = gone[k]
                kind = np.float64 if convert is float else np.int64
                plan.static_words[word // 8] = np.array(numbers[position], kind).view(np.int64)
            else:
                patches.append((8 * new.get(k, k - len(gone)), word, offset))
        plan.patches = np.array(patches, np.int64).reshape(-1, 3)
        return plan

    # -- kernels -----------------------------------------------------------------------------------------------------

    def _kernel(self, k: int, step: KernelStep) -> None:
        outer, inner = self._value(step.outer), self._value(step.inner)
        nanoseconds = inner * step.kernel.nanoseconds
        if not outer * inner and not step.kernel.reductions:
            return
        bounds = _chunks(outer, nanoseconds, step)
        if len(bounds) == 1:
            self._call(step.function.address, outer, self._block(step.kernel.slots, {}, 0), outer * nanoseconds, step)
            return
        partial: dict[int, tuple[int, int]] = {}
        combining = []
        for buffer, _, size in step.combines:
            count, itemsize = self._value(size), self.buffers[buffer].dtype.itemsize
            number = len(self.buffers) + len(self._extra)
            self._extra.append((len(bounds) * count * itemsize, k))
            partial[buffer] = (number, count * itemsize)
            word = len(self._words)
            self._words += [0, 0, count, len(bounds)]
            self._in_arena.append((word + combine.PARTIALS, number, 0))
            self._pointer(word + combine.RESULT, Pointer(buffer), {}, 0)
            combining.append((self._combining[buffer].address, 0, count, 8 * word))
        partial.update(self._scratch(k, step, len(bounds)))
        if partial:
            blocks = [8 * self._block(step.kernel.slots, partial, c) for c in range(len(bounds))]
        else:
            blocks = [8 * self._block(step.kernel.slots, {}, 0)] * len(bounds)
        self.rest.append(Chunked(step, [(*b, at) for b, at in zip(bounds, blocks, strict=True)], combining))

    def _call(self, function: int, count: int, word: int, nanoseconds: float, step: KernelStep | None = None) -> None:
        """Add a call to the present stretch of kernels; `word`: where its block starts."""
        stage = self.rest[-1] if self.rest else self.first
        if not isinstance(stage, Stage):
            stage = Stage([], 0)
            self.rest.append(stage)
        stage.calls.append((function, 0, count, 8 * word))
        stage.nanoseconds += nanoseconds
        stage.steps.append((step, nanoseconds))

    def _product(self, step: LibraryStep, moved: Mapping[int, tuple[int, int]] = NOTHING) -> tuple[int, int, int, float] | None:
        """A matrix product that BLAS can be called for directly, as arguments of `_call`; None for every other library call."""
        a, b, shape, call = self._direct(step)
        if a is None or b is None or call is None:
            return None
        first = len(self._words)
        self._words += call.words
        sources = [(step.sources[0], a), (step.sources[1], b)]
        if blas.vector_first(shape):
            sources.reverse()
        for word, (source, view) in zip((blas.A, blas.B), sources, strict=True):
            self._pointer(first + word, Pointer(source, view.offset // view.dtype.itemsize), {}, 0, moved)
        self._pointer(first + blas.C, Pointer(step.target), {}, 0, moved)
        return call.address, call.matrices, first, call.nanoseconds

    def _direct(self, step: LibraryStep) -> tuple[View | None, View | None, tuple[int, ...], blas.Product | None]:
        """The operands, the shape and the call of a matrix product, as far as BLAS takes it."""
        if not step.product or self.buffers[step.target].kind == "result" or min(step.sources) < 0:
            return None, None, (), None
        a, b = [View(o, self._value) for o in step.operands]
        shape = tuple([self._value(n) for n in step.shape])
        return a, b, shape, blas.product(a, b, shape, self.buffers[step.target].dtype)

    def _group(self, k: int, group: batch_blocking.Group) -> bool:
        """Steps that go through their iterations together, some at a time; False where one cannot be called so.

        Each of several lanes takes its share of them in order, with one place for what is local.  A block holds the addresses
        for one part, and what functions of products note there."""
        count = -(-group.n // group.together)
        lanes = min(count, LANES)
        local = {b: (len(self.buffers) + len(self._extra) + i, step) for i, (b, step) in enumerate(group.local.items())}
        extra = [(lanes * aligned(group.together * step), k) for _, step in local.values()]
        if any([isinstance(s, LibraryStep) and self._direct(s)[3] is None for s in group.steps]):
            return False
        self._extra += extra
        self._local |= {*local}
        partial = [self._scratch(k, s, lanes) if isinstance(s, KernelStep) else {} for s in group.steps]
        calls: list[list[tuple[int, int, int, int]]] = []
        for lane in range(lanes):
            calls.append([])
            for part in range(lane * count // lanes, (lane + 1) * count // lanes):
                lo, hi = part * group.together, min((part + 1) * group.together, group.n)
                moved = {b: (number, lane * aligned(group.together * step) - lo * step) for b, (number, step) in local.items()}
                for step, own in zip(group.steps, partial, strict=True):
                    if isinstance(step, KernelStep):
                        address, word = step.function.address, self._block(step.kernel.slots, own, lane, moved)
                    else:
                        address, _, word, _ = self._product(step, moved) or (0, 0, 0, 0.0)
                    calls[-1].append((address, lo, hi, 8 * word))
        self.rest.append(Parts(calls))
        return True

    def _scratch(self, k: int, step: KernelStep, chunks: int) -> dict[int, tuple[int, int]]:
        """Temporaries of which each chunk has its own: buffer -> number and bytes."""
        partial: dict[int, tuple[int, int]] = {}
        for buffer, size in step.scratch:
            nbytes = aligned(self._value(size) * self.buffers[buffer].dtype.itemsize)
            partial[buffer] = (len(self.buffers) + len(self._extra), nbytes)
            self._extra.append((chunks * nbytes, k))
        return partial

    def _limit(self, step: LibraryStep) -> None:
        """A check of positions comes after all kernels, which clamp them: so it does not cut a stretch of kernels in two.

        limits: temporaries of the least and the greatest position, the range that they have to be in, and what raises."""
        axis, along = step.params["axis"], step.params["along"]
        n = self._value(step.operands[3].shape[axis])
        low, high = step.sources[:2]
        call = LibraryCall(step, self.buffers, self._value)
        if min(low, high) < 0 or {self.buffers[low].kind, self.buffers[high].kind} != {"temp"}:
            self.rest.append(call)
        else:
            self.limits.append((low, high, 0 if along else -n, n, call))

    def _block(self, slots: Sequence[Slot], partial: dict[int, tuple[int, int]], chunk: int,
               moved: Mapping[int, tuple[int, int]] = NOTHING) -> int:
        """Append a block; the number of its first word.  moved: temporaries that are elsewhere, as number and offset."""
        first = len(self._words)
        for word, slot in enumerate(slots, first):
            number = 0
            if isinstance(slot, Integer):
                number = self._value(slot.expr)
            elif isinstance(slot, Number):
                self._patches.append((8 * self.argument[slot.position], 8 * word, 0))
            else:
                self._pointer(word, slot, partial, chunk, moved)
            self._words.append(number)
        return first

    def _pointer(self, word: int, slot: Pointer, partial: dict[int, tuple[int, int]], chunk: int,
                 moved: Mapping[int, tuple[int, int]] = NOTHING) -> None:
        b = self.buffers[slot.buffer]
        if slot.partial and slot.buffer in partial:
            number, nbytes = partial[slot.buffer]
            self._in_arena.append((word, number, chunk * nbytes))
            return
        offset = self._value(slot.offset) * b.dtype.itemsize
        if b.kind == "temp":
            number, shift = moved.get(slot.buffer, (slot.buffer, 0))
            self._in_arena.append((word, number, offset + shift))
        elif b.kind == "result":
            self.late.setdefault(slot.buffer, []).append((word, offset))
        else:
            argument = self.argument[b.number] if b.kind == "input" else self._place_of[slot.buffer]
            self._patches.append((8 * argument, 8 * word, offset))

    # -- temporaries -------------------------------------------------------------------------------------------------

    def _allocate(self, groups: Sequence[batch_blocking.Group]) -> None:
        """Places in the arena for temporaries."""
        spans = Spans()
        for k, step in [(k, step) for k, group in enumerate(groups) for step in group.steps]:
            for number in _buffers_of(step):
                b = self.buffers[number]
                if b.kind == "temp" and number not in self._local:
                    # What a check asks for is read after the last kernel.
                    late = isinstance(step, LibraryStep) and step.op is CHECK
                    spans.use(number, self._value(b.size) * b.dtype.itemsize, k, len(groups) if late else k)
        for i, (size, k) in enumerate(self._extra):
            spans.use(len(self.buffers) + i, size, k, k)
        self.places, self.arena_bytes = spans.places()

    def _tile(self) -> None:
        """Long loops over the same vectors go tile by tile."""
        todo: list[tuple[skewed_tiling.Call, KernelStep | None, float, Chunked | Parts | Waves | LibraryCall | None]] = []
        for item in [self.first, *self.rest]:
            if isinstance(item, Stage):
                todo += [(call, *of, None) for call, of in zip(item.calls, item.steps, strict=True)]
            elif isinstance(item, Chunked):
                todo.append((item.whole, item.step, 0.0, item))
            else:
                todo.append(((0, 0, 0, 0), None, 0.0, item))
        touched = [None if step is None else skewed_tiling.uses(step, call[2], self.buffers, self._value, self._place)
                   for call, step, *_ in todo]
        found = skewed_tiling.series([call for call, *_ in todo], touched)
        if not found:
            return
        self.first, self.rest, done = Stage([], 0), [], 0
        for first, end, waves in [*found, (len(todo), len(todo), [])]:
            for call, step, nanoseconds, item in todo[done:first]:
                if item is None:
                    self._call(call[0], call[2], call[3] // 8, nanoseconds, step)
                else:
                    self.rest.append(item)
            if waves:
                self.rest.append(Waves(waves))
            done = end

    def _place(self, buffer: int) -> int:
        """A number for the memory of a buffer: temporaries may share theirs."""
        return self.places.get(buffer, ~buffer)

    def _finish(self) -> None:
        """What workspaces are made from."""
        arena = len(self.positions) + len(self.result_buffers)      # the argument that is the arena, where not kept
        self.static_words = np.array(self._words, np.int64)
        self.arena_words = np.array([w for w, _, _ in self._in_arena], np.int64)
        self.arena_offsets = np.array([self.places[b] + offset for _, b, offset in self._in_arena], np.int64)
        if not self.keep:
            self._patches += [(8 * arena, 8 * w, self.places[b] + offset) for w, b, offset in self._in_arena]
        self.patches = np.array(self._patches, np.int64).reshape(-1, 3)
        del self._words, self._in_arena, self._patches, self._place_of


class Plans:
    """Finds or makes the plan for the lengths of a captured graph, and runs it."""

    def __init__(self, steps: list[KernelStep | LibraryStep], bufs: list[Buffer], outputs: list[Output | None],
                 sources: Sources) -> None:
        self.steps = steps
        self.buffers = bufs
        self.outputs = outputs
        self.sources = sources
        self._plans: dict[Any, Runs] = {}
        # By buffer, what puts the results of chunks together.  They are few, and there before lengths ask for them.
        self.combining = {buffer: kernels.get_kernel(combine.source(op, BY_NUMPY[bufs[buffer].dtype].code))
                          for step in steps if isinstance(step, KernelStep) for buffer, op, _ in step.combines}
        scalars = _scalars(steps)
        inputs = [k for k, b in enumerate(bufs) if b.kind == "input"]
        self.input_arguments = [(number, k) for k, number in enumerate(inputs)]
        self.positions = [bufs[number].number for number in inputs]
        self.numbers = [(len(self.positions) + k, convert) for k, convert in enumerate(scalars.values())]
        self.positions += scalars
        self.argument = {position: k for k, position in enumerate(self.positions)}
        used = needed(_expressions(steps, bufs, outputs), sources)
        self._types = sorted({sources[a[1]][0] for a in used if a[0] == "len"})
        self._sizes = sorted({a[1] for a in used if a[0] == "size"})
        self._strides = sorted({a[1] for a in used if a[0] == "stride"})
        only_types = not self._sizes and not self._strides
        self._by_type = self._types[0] if only_types and len(self._types) == 1 else None
        self._independent = only_types and not self._types      # of all lengths: one plan is for ever
        self._the_plan: Runs | None = None
        driver.prepare()
        for dtype in {bufs[step.target].dtype for step in steps if isinstance(step, LibraryStep) and step.product}:
            blas.prepare(dtype)

    def plan(self, order: Sequence[Node]) -> Runs:
        """What runs the plan for the lengths, strides and sizes of a captured graph."""
        if self._the_plan is not None:
            return self._the_plan
        if self._independent:
            self._the_plan = Runs(Plan(self, order))
            return self._the_plan
        if self._by_type is not None:
            key: Any = order[self._by_type].type
        else:
            key = (*[order[p].type for p in self._types], *[order[p].sizes for p in self._sizes],
                   *[order[p].value.strides for p in self._strides])
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans = {}
            plan = self._plans[key] = Runs(Plan(self, order))
        return plan

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        return (self._the_plan or self.plan(order)).run([order[p].value for p in self.positions])


# -- parts -----------------------------------------------------------------------------------------------------------


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


def _scalars(steps: Sequence[KernelStep | LibraryStep]) -> dict[int, type]:
    """The positions of the run-time numbers that are used, and what the driver can read each from."""
    found: dict[int, type] = {}
    for step in steps:
        if isinstance(step, KernelStep):
            for slot in step.kernel.slots:
                if isinstance(slot, Number):
                    found[slot.position] = float if slot.code[0] == "f" else np.int64
        else:
            for operand in step.operands:
                if operand.ref is not None and operand.ref.value.kind == "scalar":
                    value = operand.ref.value
                    found[value.position] = float if value.dtype.category == 2 else np.int64
    return found


def _buffers_of(step: KernelStep | LibraryStep) -> list[int]:
    """Every buffer that a step reads or writes."""
    if isinstance(step, LibraryStep):
        return [s for s in step.sources if s >= 0] + [step.target]
    return [s.buffer for s in step.kernel.slots if isinstance(s, Pointer)]


def _expressions(steps: list[KernelStep | LibraryStep], bufs: list[Buffer],
                 outputs: list[Output | None]) -> list[Expr]:
    """Every expression that a plan evaluates."""
    found: list[Expr] = [n for o in outputs if o is not None for n in o.shape]
    for step in steps:
        found += [bufs[b].size for b in _buffers_of(step) if bufs[b].kind == "temp"]
        if isinstance(step, KernelStep):
            found += [step.outer, step.inner, *[size for _, _, size in step.combines]]
            found += [s.expr for s in step.kernel.slots if isinstance(s, Integer)]
            found += [s.offset for s in step.kernel.slots if isinstance(s, Pointer)]
        else:
            found += [*step.shape, *(step.sizes or ())]
            for o in step.operands:
                found += o.shape
                if o.ref is not None:
                    found += [x for s in o.ref.index for x in s[1:]] + list(o.ref.value.strides())
    return found
