"""Steps that go over the same arrays part by part: which may run one part after the other.

Input: the steps of a program and the lengths of a plan.  Output: the steps again, in groups; those of a group have loop 0, or
the batch of matrices, in common.
Invariant: iteration i of a step in a group reads of the arrays that the group writes only what iteration i of other steps
wrote, and writes nothing that another iteration uses; the order of all other steps that depend on each other is kept.

A batch of 100 matrices of 1000 x 64 is 51 MB: written by loops, read and written by a product, read by loops again, each time
through memory.  Done for one matrix after the other all of that stays in cache, what only the group uses needs no more
memory than one part of it, and several threads share the products.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.loop_nest import Access, Amount, Integer, Load, Pointer, Var
from jitgrad.compiler.ir.steps import Buffer, KernelStep, LibraryStep
from jitgrad.compiler.runtime.library_calls import BufferView

SHARED_BYTES = 2 << 20          # of all arrays, from which on a group is made
MOST_BYTES = 4 << 20            # of them in one iteration, that stay in cache
PART_BYTES = 512 << 10          # of them in the iterations that run together
LEAST_BYTES = 1 << 10           # of an array in one iteration
WINDOW = 64                     # steps among which members of a group are looked for


@dataclass
class Group:
    """Steps in order, the iterations that they have in common, and how many of these run together; 0 for a single step.

    local: temporaries that nothing else uses, and bytes from one iteration to the next."""

    steps: list[KernelStep | LibraryStep]
    n: int = 0
    together: int = 0
    local: dict[int, int] = field(default_factory=dict)


class _Uses:
    """What a step does in iteration i of n: for each buffer the bytes from one iteration to the next, where all that it touches
    lies within that distance; else 0."""

    def __init__(self, n: int, reads: set[int], writes: set[int]) -> None:
        self.n = n
        self.reads = reads
        self.writes = writes
        self.apart: dict[int, int] = {}

    def add(self, buffer: int, step: int, first: int, last: int) -> None:
        """One access: bytes first to last of each `step`."""
        step = step if 0 <= first and last <= step else 0
        self.apart[buffer] = step if self.apart.get(buffer, step) == step else 0

    @property
    def touched(self) -> set[int]:
        return self.reads | self.writes


def groups(steps: Sequence[KernelStep | LibraryStep], buffers: Sequence[Buffer], value: Callable[[Expr], int]) -> list[Group]:
    """All steps, in an order that serves: as they are, where none is a product of a batch (the rest has not been found to pay)."""
    if not any([isinstance(s, LibraryStep) and s.product and math.prod([value(n) for n in s.shape[:-2]]) > 1
                for s in steps]):
        return [Group([s]) for s in steps]
    uses = [_uses(s, buffers, value) for s in steps]
    result: list[Group] = []
    pending = list(range(len(steps)))
    while pending:
        first = pending[0]
        members, before, after = [first], list[int](), list[int]()
        for k in pending[1:WINDOW] if uses[first].n > 1 else ():
            late = any([_depends(uses[p], uses[k]) for p in after])
            if not late and _joins(uses[k], [uses[m] for m in members]):
                members.append(k)
            else:
                (after if late or any([_depends(uses[m], uses[k]) for m in members]) else before).append(k)
        together = _together([uses[m] for m in members]) if len(members) > 1 else 0
        if together:
            before = [p for p in before if p < members[-1]]
            result += [Group([steps[p]]) for p in before]
            result.append(Group([steps[m] for m in members], uses[first].n, together, _local(members, uses, buffers)))
        else:
            members, before = [first], []
            result.append(Group([steps[first]]))
        taken = {*members, *before}
        pending = [k for k in pending if k not in taken]
    return result


def _depends(a: _Uses, b: _Uses) -> bool:
    """Whether the order of two steps matters."""
    return bool(a.writes & b.touched or a.touched & b.writes)


def _joins(new: _Uses, members: Sequence[_Uses]) -> bool:
    """Whether a step can go through its iterations with those of a group, which must share an array with it."""
    if new.n != members[0].n:
        return False
    shared = False
    for m in members:
        for b in (m.writes & new.touched) | (m.touched & new.writes):
            if not m.apart.get(b) or m.apart.get(b) != new.apart.get(b):
                return False
        shared = shared or bool(m.writes & new.reads or m.reads & new.writes or
                                any([m.apart.get(b) and m.apart.get(b) == new.apart.get(b) for b in m.reads & new.reads]))
    return shared


def _together(members: Sequence[_Uses]) -> int:
    """How many iterations of a group are to run together; 0 where it does not pay."""
    apart: dict[int, int] = {}
    for m in members:
        apart.update(m.apart)
    nbytes = sum(apart.values())
    if nbytes > MOST_BYTES or nbytes * members[0].n < SHARED_BYTES:
        return 0
    return max(1, PART_BYTES // nbytes)


def _local(members: Sequence[int], uses: Sequence[_Uses], buffers: Sequence[Buffer]) -> dict[int, int]:
    apart: dict[int, int] = {}
    for m in members:
        for b in uses[m].writes:
            apart[b] = uses[m].apart[b]
    others = set().union(*[u.touched for k, u in enumerate(uses) if k not in members])
    return {b: step for b, step in apart.items() if buffers[b].kind == "temp" and b not in others}


def _uses(step: KernelStep | LibraryStep, buffers: Sequence[Buffer], value: Callable[[Expr], int]) -> _Uses:
    """n is 1 for a step that cannot be in a group."""
    if isinstance(step, LibraryStep):
        found = _Uses(1, {s for s in step.sources if s >= 0}, {step.target})
        if step.product and min(step.sources) >= 0 and buffers[step.target].kind != "result":
            shape = [value(n) for n in step.shape]
            found.n = math.prod(shape[:-2])
            _of_product(found, step, shape, buffers[step.target].dtype.itemsize, value)
        return found
    kernel = step.kernel
    found = _Uses(1, {*step.reads}, {*step.writes})
    if step.combines or kernel.serial or any([r.reduced[0] for r in kernel.reductions]):
        return found
    accesses = [e.access for e in kernel.body if isinstance(e, Load)] + kernel.written() + [*kernel.saves.values()]

    def number(amount: Amount) -> int:
        slot = kernel.slots[amount.slot] if isinstance(amount, Var) else None
        return value(slot.expr) if isinstance(slot, Integer) else amount if isinstance(amount, int) else 0

    lengths = [number(n) for n in kernel.lengths]
    for a in accesses:
        _of_access(found, a, kernel.slots[a.slot], lengths, [number(c) for c in a.coefs], buffers, value)
    if all([found.apart.get(b) for b in found.writes]) and max(found.apart.values()) >= LEAST_BYTES:
        found.n = value(step.outer)
    return found


def _of_access(found: _Uses, a: Access, slot: object, lengths: Sequence[int], coefs: Sequence[int], buffers: Sequence[Buffer],
               value: Callable[[Expr], int]) -> None:
    if not isinstance(slot, Pointer) or slot.partial:
        return
    size = buffers[slot.buffer].dtype.itemsize
    if a.computed or min(coefs, default=0) < 0 or not coefs:
        found.add(slot.buffer, 0, 0, 1)
        return
    first = value(slot.offset)
    last = first + sum([(n - 1) * c for n, c in zip(lengths[1:], coefs[1:], strict=True)]) + 1
    found.add(slot.buffer, coefs[0] * size, first * size, last * size)


def _of_product(found: _Uses, step: LibraryStep, shape: Sequence[int], size: int, value: Callable[[Expr], int]) -> None:
    """Of a product whose operands lie matrix by matrix, like its result."""
    found.add(step.target, shape[-2] * shape[-1] * size, 0, shape[-2] * shape[-1] * size)
    for source, operand in zip(step.sources, step.operands, strict=True):
        view = BufferView(operand, value)
        batch = view.shape[:-2]
        extent = size + sum([(n - 1) * abs(s) for n, s in zip(view.shape[-2:], view.strides[-2:], strict=True)])
        reach, distance = 1, 0
        if math.prod(batch) == found.n:
            for n, s in zip(reversed(batch), reversed(view.strides[:-2]), strict=True):
                distance = s if reach == 1 and n > 1 else distance
                if n > 1 and s != distance * reach:
                    distance = 0
                    break
                reach *= n
        found.add(source, distance, view.offset, view.offset + extent)
