"""From a program to a run: everything that depends on lengths, worked out once for each set of lengths.

Input: steps, buffers, outputs, and the captured dimensions that tell the lengths.  Output: for each set of lengths, run-time
sizes and strides a `Plan` (addresses within an arena, chunks, the filled part of the argument blocks), and the results.
Invariant: how work is cut, and so the bits of the results, depends on lengths alone, not on the number of threads; a
workspace is used by one run at a time.

A block holds the arguments of one chunk of one kernel; all blocks of a program are one array.  Lengths, strides and
addresses in the arena are written when the workspace is made; addresses of inputs and outputs, and run-time numbers, at
each call.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import buffers
from jitgrad.buffers import address
from jitgrad.compiler import expr as E
from jitgrad.compiler.dims import Sources
from jitgrad.compiler.expr import Expr
from jitgrad.compiler.program import Buffer, Integer, KernelStep, LibraryStep, Number, Output, Pointer, Slot
from jitgrad.compiler.steps import Chunked, LibraryCall
from jitgrad.errors import InternalError
from jitgrad.graph import Node

empty = np.empty
ALIGN = 64
KEEP_BYTES = 4 << 20            # a larger arena is taken from the buffer pool at each call instead of being kept
MAX_PLANS = 64
SERIAL_NANOSECONDS = 200_000    # work below this is not cut
CHUNK_NANOSECONDS = 100_000
MAX_CHUNKS = 64
MAX_MEMORY_PARTIALS = 8         # chunks, where each needs a whole array to accumulate in


class Plan:
    """One set of lengths.  See `Plans`."""

    def __init__(self, plans: Plans, order: Sequence[Node]) -> None:
        self._buffers = plans.buffers
        self._value = Evaluator(plans.sources, order)
        value = self._value
        self.blank = [0] * len(plans.buffers)
        self.outputs: list[tuple[int, tuple[int, ...], np.dtype, bool] | None] = []
        for o in plans.outputs:
            shape = () if o is None else tuple([value(n) for n in o.shape])
            self.outputs.append(None if o is None else (o.buffer, shape, o.dtype,
                                                        math.prod(shape) * o.dtype.itemsize >= buffers.LARGE))
        self._words: list[int] = []                         # the static content of the blocks
        self._in_arena: list[tuple[int, int, int]] = []     # word, buffer, bytes
        self.addresses: list[tuple[int, int, int]] = []     # word, buffer (input or output), bytes
        self.numbers: list[tuple[int, int, bool]] = []      # word, position in the order, whether floating
        self.late: dict[int, list[tuple[int, int]]] = {}    # buffer of a library result -> words, bytes
        self._extra: list[tuple[int, int]] = []             # size in bytes and step of further temporaries
        self.calls: list[tuple] = []
        for k, step in enumerate(plans.steps):
            if isinstance(step, KernelStep):
                self._kernel(k, step)
            else:
                self.calls.append((None, LibraryCall(step, plans.buffers, value)))
        self.simple = all([c[0] is not None for c in self.calls])
        self._allocate(plans.steps)
        del self._value                             # it refers to the graph
        self.keep = self.arena_bytes <= KEEP_BYTES
        self.spare: list[Workspace] = []            # workspaces that no run uses

    # -- kernels -----------------------------------------------------------------------------------------------------

    def _kernel(self, k: int, step: KernelStep) -> None:
        outer, inner = self._value(step.outer), self._value(step.inner)
        bounds = _chunks(outer, inner * step.kernel.nanoseconds, step)
        if len(bounds) == 1:
            self.calls.append((step.function.call, outer, 8 * self._block(step.kernel.slots, {}, 0)))
            return
        partial: dict[int, tuple[int, int]] = {}
        combined = []
        for buffer, op, size in step.combines:
            count, itemsize = self._value(size), self._buffers[buffer].dtype.itemsize
            number = len(self._buffers) + len(self._extra)
            self._extra.append((len(bounds) * count * itemsize, k))
            partial[buffer] = (number, count * itemsize)
            combined.append((number, buffer, op, count, self._buffers[buffer].dtype))
        for buffer, size in step.scratch:
            nbytes = _aligned(self._value(size) * self._buffers[buffer].dtype.itemsize)
            partial[buffer] = (len(self._buffers) + len(self._extra), nbytes)
            self._extra.append((len(bounds) * nbytes, k))
        if partial:
            blocks = [8 * self._block(step.kernel.slots, partial, c) for c in range(len(bounds))]
        else:
            blocks = [8 * self._block(step.kernel.slots, {}, 0)] * len(bounds)
        self.calls.append((None, Chunked(step.function.call, [(*b, at) for b, at in zip(bounds, blocks, strict=True)],
                                         combined)))

    def _block(self, slots: Sequence[Slot], partial: dict[int, tuple[int, int]], chunk: int) -> int:
        """Append a block; the number of its first word."""
        first = len(self._words)
        for word, slot in enumerate(slots, first):
            number = 0
            if isinstance(slot, Integer):
                number = self._value(slot.expr)
            elif isinstance(slot, Number):
                self.numbers.append((word, slot.position, slot.code[0] == "f"))
            else:
                self._pointer(word, slot, partial, chunk)
            self._words.append(number)
        return first

    def _pointer(self, word: int, slot: Pointer, partial: dict[int, tuple[int, int]], chunk: int) -> None:
        b = self._buffers[slot.buffer]
        if slot.partial and slot.buffer in partial:
            number, nbytes = partial[slot.buffer]
            self._in_arena.append((word, number, chunk * nbytes))
            return
        offset = self._value(slot.offset) * b.dtype.itemsize
        if b.kind == "temp":
            self._in_arena.append((word, slot.buffer, offset))
        elif b.kind == "result":
            self.late.setdefault(slot.buffer, []).append((word, offset))
        else:
            self.addresses.append((word, slot.buffer, offset))

    # -- temporaries -------------------------------------------------------------------------------------------------

    def _allocate(self, steps: Sequence[KernelStep | LibraryStep]) -> None:
        """Places in the arena: a temporary takes that of one of its size which is not needed any more, or a new one."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        nbytes: dict[int, int] = {}
        for k, step in enumerate(steps):
            for number in _buffers_of(step):
                if self._buffers[number].kind == "temp":
                    first.setdefault(number, k)
                    last[number] = k
        for number in first:
            b = self._buffers[number]
            nbytes[number] = self._value(b.size) * b.dtype.itemsize
        for i, (size, k) in enumerate(self._extra):
            number = len(self._buffers) + i
            first[number] = last[number] = k
            nbytes[number] = size
        self.places: dict[int, int] = {}
        expiring: dict[int, list[int]] = {}
        for number, k in last.items():
            expiring.setdefault(k, []).append(number)
        free: dict[int, list[int]] = {}                     # places by size
        self.arena_bytes = 0
        step = 0
        for number in sorted(first, key=lambda n: (first[n], n)):
            for k in range(step, first[number]):
                for old in expiring.get(k, ()):
                    free.setdefault(_aligned(nbytes[old]), []).append(self.places[old])
            step = max(step, first[number])
            size = _aligned(nbytes[number])
            places = free.get(size)
            if places:
                self.places[number] = places.pop()
            else:
                self.places[number] = self.arena_bytes
                self.arena_bytes += size
        self._static_words = np.array(self._words, np.int64)
        self._arena_words = np.array([w for w, _, _ in self._in_arena], np.int64)
        self._arena_offsets = np.array([self.places[b] + off for _, b, off in self._in_arena], np.int64)


class Workspace:
    """Memory of one run at a time: the arena for temporaries, and the argument blocks with their static words."""

    def __init__(self, plan: Plan) -> None:
        self.arena = buffers.empty((plan.arena_bytes,), np.dtype(np.uint8))
        self.words = plan._static_words.copy()
        if len(plan._arena_words):
            self.words[plan._arena_words] = plan._arena_offsets + address(self.arena)
        self.base = address(self.words) if len(self.words) else 0
        self.integers = self.words.data
        self.floats = self.words.view(np.float64).data
        self.places = plan.places
        self.views: dict[Any, np.ndarray] = {}

    def array(self, number: int, dtype: np.dtype, count: int) -> np.ndarray:
        """A temporary as a flat array."""
        start = self.places[number]
        return self.arena[start:start + count * dtype.itemsize].view(dtype)


class Plans:
    """Finds or makes the plan for the lengths of a captured graph, and runs it."""

    def __init__(self, steps: list[KernelStep | LibraryStep], bufs: list[Buffer], outputs: list[Output | None],
                 sources: Sources) -> None:
        self.steps = steps
        self.buffers = bufs
        self.outputs = outputs
        self.sources = sources
        self._plans: dict[Any, Plan] = {}
        self._inputs = [(k, b.number) for k, b in enumerate(bufs) if b.kind == "input"]
        used = [a for x in _expressions(steps, bufs, outputs) for a in E.atoms(x)]
        self._types = sorted({sources[a[1]][0] for a in used if a[0] == "len"})
        self._sizes = sorted({a[1] for a in used if a[0] == "size"})
        self._strides = sorted({a[1] for a in used if a[0] == "stride"})
        only_types = not self._sizes and not self._strides
        self._by_type = self._types[0] if only_types and len(self._types) == 1 else None
        self._independent = only_types and not self._types      # of all lengths: one plan is for ever
        self._the_plan: Plan | None = None

    def _plan(self, order: Sequence[Node]) -> Plan:
        if self._independent:
            self._the_plan = Plan(self, order)
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
            plan = self._plans[key] = Plan(self, order)
        return plan

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        plan = self._the_plan or self._plan(order)
        spare = plan.spare
        try:
            workspace = spare.pop()
        except IndexError:
            workspace = Workspace(plan)
        where: list[Any] = plan.blank.copy()        # address by buffer
        results: list[np.ndarray | None] = []
        for output in plan.outputs:
            if output is None:
                results.append(None)
                continue
            number, shape, dtype, large = output
            array = buffers.empty(shape, dtype) if large else empty(shape, dtype)
            where[number] = address(array)
            results.append(array)
        for number, position in self._inputs:
            where[number] = address(order[position].value)
        integers = workspace.integers
        for word, number, offset in plan.addresses:
            integers[word] = where[number] + offset
        for word, position, floating in plan.numbers:
            if floating:
                workspace.floats[word] = order[position].value
            else:
                integers[word] = order[position].value
        base = workspace.base
        if plan.simple:
            for call, hi, block in plan.calls:
                call(0, hi, base + block)
        else:
            self._run_all(order, plan, workspace, results)
        if plan.keep:
            spare.append(workspace)
        return results

    def _run_all(self, order: Sequence[Node], plan: Plan, workspace: Workspace,
                 results: list[np.ndarray | None]) -> None:
        """The calls of a plan among which are some that need arrays."""
        arrays = {number: order[position].value for number, position in self._inputs}
        for output, array in zip(plan.outputs, results, strict=True):
            if output is not None and array is not None:
                arrays[output[0]] = array
        base = workspace.base
        with np.errstate(all="ignore"):
            for call in plan.calls:
                if call[0] is not None:
                    call[0](0, call[1], base + call[2])
                else:
                    self._other(call[1], order, plan, workspace, arrays)

    def _other(self, call: LibraryCall | Chunked, order: Sequence[Node], plan: Plan, workspace: Workspace,
               arrays: dict[int, np.ndarray]) -> None:
        if isinstance(call, Chunked):
            call.run(workspace, arrays, self.buffers)
            return
        array = call.run(order, workspace, arrays)
        if array is not None:
            arrays[call.target] = array
            base = address(array)
            for word, offset in plan.late.get(call.target, ()):
                workspace.integers[word] = base + offset


# -- parts -----------------------------------------------------------------------------------------------------------

def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN


class Evaluator:
    """Numbers behind expressions, for one captured graph."""

    def __init__(self, sources: Sources, order: Sequence[Node]) -> None:
        self._sources = sources
        self._order = order
        self._known: dict[Expr, int] = {}

    def __call__(self, expr: Expr) -> int:
        if type(expr) is int:
            return expr
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = E.evaluate(expr, self._atom)
        return found

    def _atom(self, atom: tuple) -> int:
        if atom[0] == "len":
            position, axis = self._sources[atom[1]]
            return self._order[position].type.shape[axis]
        if atom[0] == "size":
            return self._order[atom[1]].sizes[atom[2]]
        array = self._order[atom[1]].value
        elements, rest = divmod(array.strides[atom[2]], array.itemsize)
        if rest:
            raise InternalError(f"an input of strides {array.strides} and item size {array.itemsize} was not copied")
        return elements


def _chunks(outer: int, nanoseconds: float, step: KernelStep) -> list[tuple[int, int]]:
    """How loop 0 is cut, given the time that one iteration takes."""
    total = outer * nanoseconds
    if total < SERIAL_NANOSECONDS or outer < 2:
        return [(0, outer)]
    count = min(MAX_CHUNKS, int(total // CHUNK_NANOSECONDS))
    if any([r.reduced[0] and not all(r.reduced) for r in step.kernel.reductions]):
        count = min(count, MAX_MEMORY_PARTIALS)
    size = -(-outer // count)
    if size > 1024:
        size = -(-size // 1024) * 1024
    return [(lo, min(lo + size, outer)) for lo in range(0, outer, size)]


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
