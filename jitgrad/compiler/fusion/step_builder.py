"""Builds the list of steps (kernels, library calls) of a program and the buffers between them.

Input: values (values.py), from the last to the first: which of them one kernel is to compute, or that a library call is due.
Output: the step, and the buffers that it reads and writes.
Invariant: what a step reads is asked for (`demanded`), so that only what somebody needs is computed; each value that is
stored has one buffer.
"""
from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.compiler.fusion.nest import NestBuilder
from jitgrad.compiler.ir.expr import Expr, text
from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.steps import Buffer, KernelInfo, KernelStep, LibraryOperand, LibraryStep
from jitgrad.compiler.ir.values import NUMBERS, Dims, Ref, Value, along, identity
from jitgrad.errors import InternalError


@dataclass
class Fused:
    """The result: steps in order, buffers by number."""

    steps: list[KernelStep | LibraryStep]
    buffers: list[Buffer]

    def verify(self) -> None:
        """Raise InternalError unless each buffer is written by a step before the first that reads it."""
        written = {i for i, b in enumerate(self.buffers) if b.kind == "input"}
        for step in self.steps:
            if isinstance(step, KernelStep):
                missing = [b for b in step.reads if b not in written and b not in step.writes]
                written.update(step.writes)
            else:
                missing = [b for b in step.sources if b >= 0 and b not in written]
                written.add(step.target)
            if missing:
                raise InternalError(f"{step} reads buffers {missing}, which nothing has written")


class Construction:
    """The state.

    outputs: what is to be in a buffer of the program's results; checks: values that raise errors.  recomputable(value): whether
    it is computed again wherever it is read.  home: ids of elementwise values that are computed once a row of a kernel.
    in_whole(value): the part of another value in memory that is the same, if there is one."""

    def __init__(self, outputs: Sequence[Value | None], checks: Sequence[Value], emit: Callable[[LoopNest], str],
                 recomputable: Callable[[Value], bool], home: Container[int],
                 in_whole: Callable[[Value], Ref | None]) -> None:
        self._emit = emit
        self._recomputable = recomputable
        self._home = home
        self._in_whole = in_whole
        self._claimed = {v.root().id: k for k, v in enumerate(outputs) if v is not None}
        self._numbers: dict[int, int] = {}
        self.demanded: set[int] = set()
        self.buffers: list[Buffer] = []
        for v in [*[v.root() for v in outputs if v is not None], *checks]:
            self.buffer_of(v)

    def demand(self, value: Value) -> None:
        """Ask that a value be computed and stored."""
        value = value.root()
        if value.kind == "assemble" and value.id not in self.demanded:
            self.demanded.update([p.id for p in value.puts])
        self.demanded.add(value.id)

    def buffer_of(self, value: Value) -> int:
        """The number of the buffer that holds a value, which is thereby asked for."""
        value = value.root()
        self.demand(value)
        number = self._numbers.get(value.id)
        if number is None:
            number = self._numbers[value.id] = len(self.buffers)
            if value.kind == "input":
                kind, which = "input", value.position
            elif value.id in self._claimed:
                kind, which = "output", self._claimed[value.id]
            elif value.kind == "library" and value.facts.role != "matrix_product":
                kind, which = "result", -1
            else:
                kind, which = "temp", -1
            self.buffers.append(Buffer(kind, which, value.size(), value.dtype.np))
        return number

    def library(self, v: Value) -> LibraryStep:
        """The step that computes the value of a library call."""
        assert v.op is not None
        sources = tuple([self._source(o.ref) for o in v.operands])
        params = dict(zip(v.op.param_names, v.params, strict=True))
        operands = tuple([LibraryOperand.of(o) for o in v.operands])
        return LibraryStep(v.op, params, operands, sources, self.buffer_of(v), v.shape, v.sizes)

    def _source(self, ref: Ref | None) -> int:
        return -1 if ref is None or ref.value.kind in NUMBERS else self.buffer_of(ref.value)

    def kernel(self, space: Dims, inner: tuple[int, ...], members: list[Value]) -> KernelStep | None:
        """One kernel over `space`, in rows along `inner` if that is not empty, of those members that are asked for."""
        here = {v.id for v in members}
        scratch: list[tuple[int, Expr]] = []

        def new_scratch(size: Expr, dtype: np.dtype) -> int:
            scratch.append((len(self.buffers), size))
            self.buffers.append(Buffer("temp", -1, size, dtype))
            return scratch[-1][0]

        nest = NestBuilder(space, inner, lambda v: v.id in here, self._recomputable, self.buffer_of, new_scratch,
                           self._in_whole)
        whole = tuple([along(i) for i in range(len(space))])
        combines = []
        for v in members:
            if v.id not in self.demanded:
                continue
            if v.kind == "reduction":
                nest.reduce(v)
                if 0 in v.reduced:
                    assert v.op is not None
                    combines.append((self.buffer_of(v), v.op, v.size()))
            elif v.kind == "put":
                assert v.target is not None
                nest.store(v.target, v.index, v.args[0], v)
            elif v.id in self._home:
                row = tuple([along(i) for i in range(len(space)) if i not in inner])
                nest.store(v, row, Ref(v, row))
            else:
                nest.store(v, whole, identity(v))
        if not nest.writes:
            return None
        kernel, outer, rest = nest.finish()
        info = KernelInfo("", self._emit(kernel), nest.ops, [self.label(b) for b in nest.reads],
                          [self.label(b) for b in nest.writes], self._domain_text(space))
        return KernelStep(kernel, info, outer, rest, combines, scratch, list(nest.reads), list(nest.writes))

    def label(self, number: int) -> str:
        """A buffer, for people."""
        b = self.buffers[number]
        return f"{b.kind}{b.number}" if b.number >= 0 else f"{b.kind}:{number}"

    @staticmethod
    def _domain_text(space: Dims) -> str:
        return "(" + ", ".join([text(("len", d), lambda a: f"n{a[1]}") for d in space]) + ")"
