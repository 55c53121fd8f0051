"""What a program does, in order: kernels and library calls, and the buffers between them.

Invariant: a step speaks of buffers by number, of lengths by expressions; it holds no node and no array.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.compiler.ir.dims import Sources
from jitgrad.compiler.ir.expr import Expr, add, mul
from jitgrad.compiler.ir.loop_nest import Integer, LoopNest, Pointer
from jitgrad.compiler.ir.values import NUMBERS, Operand
from jitgrad.graph.node import Op


@dataclass
class KernelInfo:
    """One kernel for people (`jitgrad.explain`).  ops: (name, the user's line or None for a derivative's op).

    times: how many steps of a program of small kernels run it; the others have a kernel of their own for each."""

    name: str
    source: str
    ops: list[tuple[str, Any]]
    reads: list[str]
    writes: list[str]
    domain: str
    origin: str = ""
    compilation: str = ""       # by what it was compiled, and how long that took
    times: int = 1

    def packed(self) -> tuple:
        """All of it, in tuples that the garbage collector does not walk."""
        return (self.name, self.source, tuple(self.ops), tuple(self.reads), tuple(self.writes), self.domain, self.origin,
                self.compilation, self.times)


UNTOLD = KernelInfo("", "", [], [], [], "")


@dataclass
class KernelStep:
    """Run a kernel.  `function(lo, hi, block_address)` is the compiled code; loop 0 has `outer` iterations."""

    kernel: LoopNest
    info: KernelInfo
    outer: Expr
    inner: Expr                 # iterations of all other loops together
    combines: list[tuple[int, Op, Expr]]    # for Reduce over loop 0: buffer, reduction op, size of the result
    scratch: list[tuple[int, Expr]] = field(default_factory=list)   # buffers that each chunk has its own of, and sizes
    reads: list[int] = field(default_factory=list)                  # buffers
    writes: list[int] = field(default_factory=list)
    function: Any = None

    @property
    def buffers(self) -> list[int]:
        """Every buffer that it reads or writes."""
        return [s.buffer for s in self.kernel.slots if isinstance(s, Pointer)]

    def __str__(self) -> str:
        names = [name for name, _ in self.info.ops]
        return f"kernel {self.info.name}: {' '.join(names if self.info.times == 1 else dict.fromkeys(names))}"


@dataclass(frozen=True)
class LibraryOperand:
    """What a library call gets.  kind: "array", the elements of a buffer from `offset` on, `strides` apart; a number of that kind
    (values.NUMBERS); or "shape", no more than that.

    size: of the buffer.  whole: it is in row-major order.  position: of a run-time number.  literal: a "const"."""

    kind: str
    shape: tuple[Expr, ...]
    dtype: np.dtype | None = None
    strides: tuple[Expr, ...] = ()
    offset: Expr = 0
    size: Expr = 0
    whole: bool = False
    position: int = -1
    literal: Any = None

    @classmethod
    def of(cls, operand: Operand) -> LibraryOperand:
        """That of a value, which it does not keep."""
        ref = operand.ref
        if ref is None:
            return cls("shape", operand.shape)
        v = ref.value
        axes = [axis for axis, n in enumerate(operand.shape) if n != 1]
        strides: list[Expr] = [0] * len(operand.shape)
        offset: Expr = 0
        for (dim, start, mult), stride in zip(ref.index, v.strides(), strict=True):
            offset = add(offset, mul(stride, start))
            if dim >= 0:
                strides[axes[dim]] = add(strides[axes[dim]], mul(stride, mult))
        return cls(v.kind if v.kind in NUMBERS else "array", operand.shape, v.dtype.np, tuple(strides), offset, v.size(),
                   v.layout is None, v.position, v.payload if v.kind == "const" else None)


@dataclass
class LibraryStep:
    """Call NumPy.  sources: the buffers of the operands, -1 of those that have none."""

    op: Op
    params: dict[str, Any]
    operands: tuple[LibraryOperand, ...]
    sources: tuple[int, ...]
    target: int
    shape: tuple[Expr, ...]
    sizes: tuple[Expr, ...] | None

    @property
    def buffers(self) -> list[int]:
        """Every buffer that it reads or writes."""
        return [s for s in self.sources if s >= 0] + [self.target]

    def keywords(self, value: Callable[[Expr], int]) -> dict[str, Any]:
        """What the operation's function is called with by name, for one set of lengths."""
        return dict(self.params) if self.sizes is None else {**self.params, "sizes": tuple([value(n) for n in self.sizes])}

    @property
    def product(self) -> bool:
        """Whether it is a matrix product."""
        return self.op.facts.role == "matrix_product"

    def __str__(self) -> str:
        return f"library call: {self.op.name}"


@dataclass(frozen=True)
class Buffer:
    """One array in memory.  kind: "input" (number: position), "output" (number: which), "temp", "result" (what a library
    call returned)."""

    kind: str
    number: int
    size: Expr
    dtype: np.dtype


@dataclass
class Output:
    """Where a result is: a buffer and its shape; None where there is structurally no gradient.

    device: of the tensor that the result is for, which may be one without dimensions on the CPU beside those of another device."""

    buffer: int
    shape: tuple[Expr, ...]
    dtype: np.dtype
    device: str = "cpu"


@dataclass(frozen=True)
class StepList:
    """All that a program does.  sources: what lengths are, see dims.py."""

    steps: list[KernelStep | LibraryStep]
    buffers: list[Buffer]
    outputs: list[Output | None]
    sources: Sources

    def expressions(self) -> list[Expr]:
        """Every number that depends on lengths, sizes or strides."""
        found: list[Expr] = [n for o in self.outputs if o is not None for n in o.shape]
        for step in self.steps:
            found += [self.buffers[b].size for b in step.buffers if self.buffers[b].kind == "temp"]
            if isinstance(step, KernelStep):
                found += [step.outer, step.inner, *[size for _, _, size in step.combines]]
                found += [s.expr for s in step.kernel.slots if isinstance(s, Integer)]
                found += [s.offset for s in step.kernel.slots if isinstance(s, Pointer)]
            else:
                found += [*step.shape, *(step.sizes or ())]
                for o in step.operands:
                    found += [*o.shape, *o.strides, o.offset]
        return found
