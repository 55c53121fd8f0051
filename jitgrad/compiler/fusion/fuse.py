"""Which values are computed together.

Input: values (values.py) and the ones that are wanted as outputs.  Output: steps in order, and the buffers they use.
Invariant: the order of steps is that of levels (levels.py), so it has no cycle by construction; every buffer that a step
reads was written by an earlier step.

Values of one level and domain are one kernel; several, above CAP operations.  Kernels are built from the last level to the
first, so that only what is asked for is computed.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from jitgrad.compiler.fusion.levels import Levels
from jitgrad.compiler.fusion.nest import is_row
from jitgrad.compiler.fusion.splitting import segments
from jitgrad.compiler.fusion.step_builder import Construction, Fused
from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.steps import KernelStep, LibraryStep
from jitgrad.compiler.ir.values import NUMBERS, Dims, Ref, Value

CAP = 80                # operations of one kernel
ENOUGH = 32             # operations of a kernel that repeats: it is compiled sooner than a larger one
ENOUGH_SCALAR = 12      # the same for one without a loop: a call costs less than ten operations


class Fusion:
    """State of the pass over one graph."""

    def __init__(self, values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[LoopNest], str],
                 phased: bool, checks: Sequence[Value]) -> None:
        self._values = values
        self._levels = Levels(values, phased)
        self._levels.find()
        self._building = 0          # the level of the kernels that are being built
        self._construction = Construction(outputs, checks, emit, self._levels.recomputable, self._levels.home, self._in_whole)

    def _in_whole(self, value: Value) -> Ref | None:
        """Where a value lies as part of another, for a kernel at a later level than the one that puts it there."""
        put = self._levels.placed.get(value.id)
        if put is None or put.target is None or self._levels.level[put.id] >= self._building:
            return None
        return Ref(put.target, put.index)

    def run(self) -> Fused:
        """Build all steps."""
        level_of, construction = self._levels.level, self._construction
        groups: dict[int, dict[Dims, list[Value]]] = {}
        libraries: dict[int, list[Value]] = {}
        for v in self._values:
            if v.kind == "library":
                libraries.setdefault(level_of[v.id], []).append(v)
            elif v.kind in ("elementwise", "reduction", "put"):
                groups.setdefault(level_of[v.id], {}).setdefault(self._levels.space(v), []).append(v)
        steps: list[KernelStep | LibraryStep] = []
        for level in range(max([*groups, *libraries], default=-1), -1, -1):
            self._building = level
            for v in reversed(libraries.get(level, [])):
                if v.id in construction.demanded:
                    steps.append(construction.library(v))
            for space, members in reversed(groups.get(level, {}).items()):
                steps += self._group(space, self._levels.rows.get((level, space), ()), members)
        steps.reverse()
        kernels = [s for s in steps if isinstance(s, KernelStep)]
        for i, step in enumerate(kernels):
            step.info.name = f"k{i}"
        return Fused(steps, construction.buffers)

    def _group(self, space: Dims, inner: tuple[int, ...], members: list[Value]) -> list[KernelStep]:
        """The kernels of one level and domain, last first."""
        inside = {v.id for v in members}
        needed: dict[int, Value] = {}
        stack = [v for v in members if v.id in self._construction.demanded]
        while stack:
            v = stack.pop()
            if v.id in needed:
                continue
            needed[v.id] = v
            own = v.dims if v.kind == "elementwise" else space
            stack += [a.value for a in v.args if a.value.id in inside and
                      (a.is_identity(own) or (own == space and is_row(a, space, inner)))]
        ordered = [needed[k] for k in sorted(needed)]
        bounds = segments([_kind(v) for v in ordered], CAP, ENOUGH if space else ENOUGH_SCALAR)
        return [s for first, end in reversed(bounds) if (s := self._construction.kernel(space, inner, ordered[first:end]))]


def _kind(v: Value) -> tuple:
    """What repeating parts of a graph have in common."""
    return (v.kind, v.op, v.params, tuple([a.value.payload if a.value.kind in NUMBERS else None for a in v.args]))


def fuse(values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[LoopNest], str],
         phased: bool, checks: Sequence[Value] = ()) -> Fused:
    """Steps and buffers that compute the outputs, and `checks`, which raise errors.

    emit: gives a kernel's source, of one with phases if `phased`."""
    fused = Fusion(values, outputs, emit, phased, checks).run()
    fused.verify()
    return fused
