"""One kernel for each operation: for long graphs whose operations do not repeat.

Input: values (values.py) and the ones that are wanted as outputs.  Output: steps in the order of the values, and the buffers
they use.
Invariant: the source of a kernel depends on its operation, the dtypes, and how its operands lie to each other, since slots
are numbered by first use and numbers are arguments: there are as many sources as the graph has such forms, one or two
hundred, however long it is; every buffer that a step reads was written by an earlier step.

Fused kernels of a graph that does not repeat are as many as it is long, each compiled for itself, and the next graph of the
kind has none of them.  A call costs some nanoseconds in the driver, so that for numbers and short arrays such a program is
about as quick as one of fused kernels; long arrays go through memory at each operation.

Two operations are one kernel where the second says only where the first goes: what is put in a place of a larger array, and
a product that is summed.  Steps of one form are built once; the others are that one with buffers and numbers of their own.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jitgrad.compiler.fusion.step_builder import Construction, Fused
from jitgrad.compiler.ir.loop_nest import LoopNest, Number, Pointer, Slot
from jitgrad.compiler.ir.steps import Buffer, KernelInfo, KernelStep, LibraryStep
from jitgrad.compiler.ir.values import Ref, Value


@dataclass
class Form:
    """The first step that was built of a form.

    slots: each with the place of its buffer (in the list of those that the step touches) or of its run-time number, or -1.
    reads, writes, combines: places of buffers.  scratch: the buffers that come after those of values."""

    step: KernelStep
    slots: list[tuple[int, Slot]]
    reads: list[int]
    writes: list[int]
    combines: list[int]
    scratch: list[Buffer]


class Signature:
    """What makes steps alike, as `key`; and in what they differ: the stored values that they touch, positions of numbers."""

    def __init__(self, v: Value, inside: set[int]) -> None:
        self.arrays: dict[int, Value] = {}      # by id
        self.numbers: dict[int, int] = {}       # position -> place
        self._places: dict[int, int] = {}
        self._inside = inside
        key = [v.kind, v.op, v.params, v.dims, v.dtype.code, v.space, v.reduced, *self._source(v), *[self._operand(a) for a in v.args]]
        if v.target is not None:
            key += [self._array(v.target), v.index, v.taken, v.accumulate]
        else:
            key.append(self._array(v))
        self.key = tuple(key)

    def _array(self, v: Value) -> tuple:
        root = v.root()
        self.arrays[root.id] = root
        return self._places.setdefault(root.id, len(self._places)), v.dims, v.layout, v.dtype.code

    def _source(self, v: Value) -> tuple:
        """What a gather reads."""
        return () if v.source is None else (self._array(v.source), v.index, v.taken)

    def _operand(self, ref: Ref) -> tuple:
        v = ref.value
        if v.kind == "const":
            return "const", repr(v.payload), v.dtype.code
        if v.kind == "scalar":
            return "number", self.numbers.setdefault(v.position, len(self.numbers)), v.dtype.code
        if v.kind in ("extent", "position"):
            return v.kind, v.payload, v.dims, v.dtype.code, ref.index
        if v.id in self._inside:
            return (v.op, v.params, v.dims, v.dtype.code, ref.index, *self._source(v), *[self._operand(a) for a in v.args])
        return *self._array(v), ref.index


class Apart:
    """State of the pass over one graph."""

    def __init__(self, values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[LoopNest], str],
                 checks: Sequence[Value]) -> None:
        self._values = values
        self._inside = _placed(values)
        self._construction = Construction(outputs, checks, emit, lambda v: v.id in self._inside, (), lambda v: None)
        self._forms: dict[tuple, Form] = {}
        self._infos: dict[str, KernelInfo] = {}

    def run(self) -> Fused:
        """Build all steps."""
        construction = self._construction
        steps: list[KernelStep | LibraryStep] = []
        for v in reversed(self._values):
            if v.id not in construction.demanded:
                continue
            if v.kind == "library":
                steps.append(construction.library(v))
            elif v.kind in ("elementwise", "reduction", "put"):
                steps.append(self._step(v))
        steps.reverse()
        for k, info in enumerate(reversed(self._infos.values())):
            info.name = f"k{k}"
            info.ops = [*dict.fromkeys(reversed(info.ops))]
        return Fused(steps, construction.buffers)

    def _step(self, v: Value) -> KernelStep:
        """The step of one value, with what is computed inside it."""
        signature = Signature(v, self._inside)
        form = self._forms.get(signature.key)
        if form is None:
            form = self._forms[signature.key] = self._form(v, signature)
            step = form.step
        else:
            step = self._alike(form, signature)
            step.info.times += 1
            step.info.ops += [(x.op.name, x.line) for x in (v, *[a.value for a in v.args if a.value.id in self._inside]) if x.op]
        return step

    def _form(self, v: Value, signature: Signature) -> Form:
        construction = self._construction
        step = construction.kernel(v.space if v.kind == "reduction" else v.dims, (), [v])
        assert step is not None
        known = self._infos.get(step.info.source)
        if known is None:
            self._infos[step.info.source] = step.info
        else:
            known.times += 1
            known.ops += step.info.ops
            step.info = known
        touched = [construction.buffer_of(x) for x in signature.arrays.values()] + [b for b, _ in step.scratch]
        place = {b: k for k, b in enumerate(touched)}
        slots = [(place[s.buffer] if isinstance(s, Pointer) else signature.numbers[s.position] if isinstance(s, Number) else -1, s)
                 for s in step.kernel.slots]
        return Form(step, slots, [place[b] for b in step.reads], [place[b] for b in step.writes],
                    [place[b] for b, *_ in step.combines], [construction.buffers[b] for b, _ in step.scratch])

    def _alike(self, form: Form, signature: Signature) -> KernelStep:
        """The step of a form with other buffers and numbers."""
        construction, first = self._construction, form.step
        touched = [construction.buffer_of(x) for x in signature.arrays.values()]
        scratch = []
        for buffer, (_, size) in zip(form.scratch, first.scratch, strict=True):
            scratch.append((len(construction.buffers), size))
            touched.append(len(construction.buffers))
            construction.buffers.append(buffer)
        positions = [*signature.numbers]
        slots: list[Slot] = []
        for k, slot in form.slots:
            if isinstance(slot, Pointer):
                slot = Pointer(touched[k], slot.offset, slot.partial)
            elif isinstance(slot, Number):
                slot = Number(positions[k], slot.code)
            slots.append(slot)
        combines = [(touched[k], op, size) for k, (_, op, size) in zip(form.combines, first.combines, strict=True)]
        return KernelStep(replace(first.kernel, slots=slots), first.info, first.outer, first.inner, combines, scratch,
                          [touched[k] for k in form.reads], [touched[k] for k in form.writes])


def _placed(values: Sequence[Value]) -> set[int]:
    """The values that are computed by the kernel of their only user, which puts them in a place or sums them."""
    uses: dict[int, int] = {}
    for v in values:
        for x in [*[a.value for a in v.args], *([v.source] if v.source is not None else [])]:
            uses[x.id] = uses.get(x.id, 0) + 1
    found: set[int] = set()
    for v in values:
        if v.kind == "put" or (v.kind == "reduction" and v.facts.role == "sum"):
            x = v.args[0].value
            if x.kind == "elementwise" and not x.barrier and uses[x.id] == 1 and x.op is not None and (
                    v.kind == "put" or x.op.facts.linear == (0, 1)):
                found.add(x.id)
    return found


def apart(values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[LoopNest], str],
          checks: Sequence[Value] = ()) -> Fused:
    """Steps and buffers that compute the outputs, and `checks`, which raise errors, with kernels of one operation."""
    fused = Apart(values, outputs, emit, checks).run()
    fused.verify()
    return fused
