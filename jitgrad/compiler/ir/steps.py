"""What a program does, in order: kernels and library calls, and the buffers between them.

Invariant: a step speaks of buffers by number, of lengths by expressions; it holds no node and no array.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.values import Operand
from jitgrad.graph import Op


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

    def __str__(self) -> str:
        names = [name for name, _ in self.info.ops]
        return f"kernel {self.info.name}: {' '.join(names if self.info.times == 1 else dict.fromkeys(names))}"


@dataclass
class LibraryStep:
    """Call NumPy.  The operands' Refs speak of values whose buffers are `sources` (-1: shape only or literal)."""

    op: Op
    params: dict[str, Any]
    operands: tuple[Operand, ...]
    sources: tuple[int, ...]
    target: int
    shape: tuple[Expr, ...]
    sizes: tuple[Expr, ...] | None
    line: Any

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
    """Where a result is: a buffer and its shape; None where there is structurally no gradient."""

    buffer: int
    shape: tuple[Expr, ...]
    dtype: np.dtype
