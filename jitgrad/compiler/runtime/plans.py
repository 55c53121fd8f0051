"""The plans of a program, by lengths.

Input: the steps of a program, and captured graphs.  Output: for each the plan of its lengths, made or found, and its run.
Invariant: graphs whose lengths agree share a plan, whatever the starts and steps of slices and the strides of inputs are,
unless something had to be decided by these.

Steps are many small objects, which the cyclic garbage collector would walk again and again.  They are needed when lengths are
new, and kept as bytes until then; as they are where that has happened and they are no more than FEW.
"""
from __future__ import annotations

import copyreg
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitgrad.compiler.codegen import combine
from jitgrad.compiler.ir.gathers import CHECK
from jitgrad.compiler.ir.loop_nest import Number
from jitgrad.compiler.ir.steps import UNTOLD, KernelStep, LibraryStep, StepList
from jitgrad.compiler.numba_cpu import kernels
from jitgrad.compiler.runtime import blas, driver
from jitgrad.compiler.runtime.evaluator import Lengths, needed, strides
from jitgrad.compiler.runtime.plan import ArgumentList, ExecutionPlan, check_limit
from jitgrad.compiler.runtime.planning import Planner
from jitgrad.compiler.runtime.workspace import Runs
from jitgrad.graph.node import Node, Op
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.dtype import BY_NUMPY

MAX_PLANS = 64
FEW = 8


class Plans:
    """Finds or makes the plan for the lengths of a captured graph, and runs it."""

    def __init__(self, program: StepList) -> None:
        self._kernels = tuple([s.function for s in program.steps if isinstance(s, KernelStep)])
        self._program: StepList | None = program
        self._packed = b""
        self._plans: dict[Any, Any] = {}
        bufs, steps = program.buffers, program.steps
        # By buffer, what puts the results of chunks together.  They are few, and there before lengths ask for them.
        combining = {buffer: kernels.get_kernel(combine.source(op, BY_NUMPY[bufs[buffer].dtype].code)).address
                     for step in steps if isinstance(step, KernelStep) for buffer, op, _ in step.combines}
        inputs = [k for k, b in enumerate(bufs) if b.kind == "input"]
        used = needed(program.expressions(), program.sources)
        self._types = tuple(sorted({program.sources[a[1]][0] for a in used if a[0] == "len"}))
        self._sizes = tuple(sorted({a[1] for a in used if a[0] == "size"}))
        self._strides = tuple(sorted({a[1] for a in used if a[0] == "stride"}))
        self._indexed = bool(self._sizes or self._strides)
        scalars = _scalars(steps)
        floats, integers = [[len(inputs) + k for k, convert in enumerate(scalars.values()) if convert is kind]
                            for kind in (float, np.int64)]
        self._arguments = ArgumentList([*[bufs[number].number for number in inputs], *scalars], tuple(floats), tuple(integers),
                                    tuple([(number, k) for k, number in enumerate(inputs)]), combining, {})
        self._by_type = self._types[0] if not self._indexed and len(self._types) == 1 else None
        self._independent = not self._indexed and not self._types       # of all lengths: one plan is for ever
        self._the_plan: Runs | None = None
        driver.prepare()
        for dtype in {bufs[step.target].dtype for step in steps if isinstance(step, LibraryStep) and step.product}:
            blas.prepare(dtype)

    def bind(self, order: Sequence[Node]) -> Runs:
        """What runs the plan for the lengths, strides and sizes of a captured graph."""
        if self._the_plan is not None:
            return self._the_plan
        if self._independent:
            self._the_plan = self._made(order)[0]
            return self._the_plan
        key: Any = order[self._by_type].type if self._by_type is not None else tuple([order[p].type for p in self._types])
        if not self._indexed:
            return self._plans.get(key) or self._keep(key, self._made(order)[0])
        numbers = self._numbers(order)
        found = self._plans.get(key)
        if found is None:
            runs, exact = self._made(order)
            if not exact:
                return self._keep(key, Moved(runs)).to(numbers)
            self._keep(key, _EXACT)
            return self._keep((key, numbers), runs)
        if found is not _EXACT:
            return found.to(numbers)
        return self._plans.get((key, numbers)) or self._keep((key, numbers), self._made(order)[0])

    def planned(self, order: Sequence[Node], greatest: Mapping[tuple[int, int], int]
                ) -> tuple[ExecutionPlan, tuple[int, ...], Mapping[tuple, int]]:
        """The plan for a captured graph, and the starts, steps and strides that it is to be moved to, and which these are.

        greatest: of lengths, (position, axis), that the plan may be moved to as well, ("length", position, axis): up to what."""
        program = self.steps()
        symbols = {s: source for s, source in program.sources.items() if source in greatest}
        if not symbols:
            runs = self.bind(order)
            return runs.plan, self._numbers(order) if self._indexed else (), self._arguments.numbers
        atoms = [*self._atoms(order), *[("len", s) for s in symbols]]
        arguments = replace(self._arguments, numbers={atom: k for k, atom in enumerate(atoms)})
        lengths = Lengths(program.sources, order, {s: greatest[source] for s, source in symbols.items()})
        plan = Planner(program, arguments, lengths).plan()
        names = {("length", *symbols[atom[1]]) if atom[0] == "len" else atom: k for atom, k in arguments.numbers.items()}
        return plan, (*self._numbers(order), *[order[p].type.shape[axis] for p, axis in symbols.values()]), names

    def _atoms(self, order: Sequence[Node]) -> list[tuple]:
        """Starts and steps of slices, and strides, as expressions."""
        atoms: list[tuple] = [("size", p, k) for p in self._sizes for k in range(len(order[p].sizes))]
        return atoms + [("stride", p, axis) for p in self._strides for axis in range(order[p].value.ndim)]

    def _keep(self, key: Any, plan: Any) -> Any:
        """Remember a plan, in place of the oldest where there are many."""
        if len(self._plans) >= MAX_PLANS and key not in self._plans:
            self._plans.pop(next(iter(self._plans)), None)
        self._plans[key] = plan
        return plan

    def _made(self, order: Sequence[Node]) -> tuple[Runs, bool]:
        """A new plan, and whether it is for no other starts, steps and strides."""
        program = self.steps()
        known = self._arguments.numbers
        if self._indexed and not known:
            known.update({atom: k for k, atom in enumerate(self._atoms(order))})
        lengths = Lengths(program.sources, order)
        plan = Planner(program, self._arguments, lengths).plan()
        check_limit(plan.arena_bytes)
        if not self._packed:
            self._packed, self._program = _pack(program), None
        elif len(program.steps) <= FEW:
            self._program = program
        return Runs(plan), lengths.indexed

    def _numbers(self, order: Sequence[Node]) -> tuple[int, ...]:
        """The starts and steps of slices and the strides, as in `ArgumentList.numbers`."""
        numbers: list[int] = []
        for p in self._sizes:
            numbers += order[p].sizes
        for p in self._strides:
            numbers += strides(order[p])
        return tuple(numbers)

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        return (self._the_plan or self.bind(order)).run([order[p].value for p in self._arguments.positions])

    def steps(self) -> StepList:
        """All that the program does."""
        return self._program or _unpack(self._packed, self._kernels)


_EXACT = object()       # in place of a plan for lengths: there is one for each set of starts, steps and strides


class Moved:
    """A plan for all starts and steps of slices, and strides."""

    __slots__ = ("_last",)

    def __init__(self, runs: Runs) -> None:
        self._last: tuple[tuple[int, ...] | None, Runs] = None, runs       # one object: threads change it at once

    def to(self, numbers: tuple[int, ...]) -> Runs:
        """Its runs for these."""
        known, runs = self._last
        if numbers != known:
            runs = runs.at(numbers)
            self._last = numbers, runs
        return runs


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
                if operand.kind == "scalar" and operand.dtype is not None:
                    found[operand.position] = float if operand.dtype.kind == "f" else np.int64
    return found


# -- as bytes ----------------------------------------------------------------------------------------------------------

def _op(name: str) -> Op:
    return CHECK if name == CHECK.name else REGISTRY[name]


copyreg.pickle(Op, lambda op: (_op, (op.name,)))


def _pack(program: StepList) -> bytes:
    """Without kernels and what is told about them."""
    steps = [replace(s, function=None, info=UNTOLD) if isinstance(s, KernelStep) else s for s in program.steps]
    return pickle.dumps(replace(program, steps=steps), pickle.HIGHEST_PROTOCOL)


def _unpack(packed: bytes, functions: Sequence[Any]) -> StepList:
    program: StepList = pickle.loads(packed)
    left = iter(functions)
    for step in program.steps:
        if isinstance(step, KernelStep):
            step.function = next(left)
    return program
