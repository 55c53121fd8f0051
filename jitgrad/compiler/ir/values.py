"""The compiler's own graph: values without nodes, views resolved to index arithmetic.

A `Value` has only dimensions that are longer or shorter than 1 (`dims`, symbols of dims.py); a dimension of length 1
takes part in no address.  A `Ref` is a value as somebody sees it: for each dimension of the value, which dimension of
the user's space runs along it, from which start and with which step.  Transposition, broadcasting, slices, flips,
squeeze and unsqueeze are nothing but Refs, and compose.

Invariant: arguments of a value have smaller ids; a value keeps no node and no array.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.expr import Expr
from jitgrad.graph.node import Op
from jitgrad.ops.declare import Facts
from jitgrad.types.dtype import dtype

Dims = tuple[int, ...]
NUMBERS = frozenset(["const", "scalar", "extent", "position"])      # kinds without memory


GATHER = Op(name="gather", kind="elementwise", arg_names=(), param_names=(), facts=Facts(), doc="an element by position")


class AxisMap(NamedTuple):
    """The position along one dimension of a value: start + mult * (position along `dim` of the user's space).

    dim -1 fixes it at start, and mult is 0."""

    dim: int
    start: Expr
    mult: Expr


def along(dim: int, start: Expr = 0, mult: Expr = 1) -> AxisMap:
    """An AxisMap, in the one form that equal steps have."""
    return AxisMap(dim, start, mult if dim >= 0 else 0)


@dataclass(frozen=True)
class Ref:
    """A value seen from a space of dimensions; `index` has one AxisMap for each dimension of the value."""

    value: Value
    index: tuple[AxisMap, ...]

    def within(self, steps: tuple[AxisMap, ...]) -> Ref:
        """The same view from another space, of which `steps` tells how each dimension of the present one runs."""
        composed = []
        for dim, start, mult in self.index:
            if dim < 0:
                composed.append(along(-1, start))
            elif start == 0 and mult == 1:
                composed.append(steps[dim])
            else:
                outer, first, factor = steps[dim]
                composed.append(along(outer, E.add(start, E.mul(mult, first)), E.mul(mult, factor)))
        return Ref(self.value, tuple(composed))

    def is_identity(self, dims: Dims) -> bool:
        """Whether the user's space is exactly that of the value."""
        return self.value.dims == dims and all([s == (i, 0, 1) for i, s in enumerate(self.index)])


@dataclass(eq=False)
class Value:
    """One result.  kind:

    input        an array of the captured order: `position`, `layout` (strides, None where C-contiguous)
    scalar       a run-time number: `position`
    const        a literal: `payload` is the number
    extent       a number of elements: `payload` is an expression over lengths
    position     0, 1, 2 ... in row-major order of its dimensions
    elementwise  op over args, Refs from `dims`
    reduction    op over one arg, a Ref from `space`, of which the positions `reduced` are reduced, the others are dims
    library      op over `operands`
    alias        the elements of args[0] (contiguous) under other dims: a reshape
    assemble     filled part by part by `puts`
    gather       elementwise, with GATHER for op: the element of `source` at `index`, but along the dimensions in `taken`,
                 (dimension, step) each, at start + step * the argument in its place
    put          args[0] written to `target` at `index` (an AxisMap for each dimension of the target); if `accumulate`, added
                 there, and `taken` as in a gather, with args[1:]

    `barrier`: an elementwise value that must exist in memory as itself.  `derived`: made by a derivative.
    """

    id: int
    kind: str
    dims: Dims
    dtype: dtype
    op: Op | None = None
    params: tuple = ()
    args: tuple[Ref, ...] = ()
    line: Any = None
    position: int = -1
    payload: Any = None
    layout: tuple[Expr, ...] | None = None
    space: Dims = ()
    reduced: tuple[int, ...] = ()
    operands: tuple[Operand, ...] = ()
    shape: tuple[Expr, ...] = ()        # library: complete, with the ones
    sizes: tuple[Expr, ...] | None = None
    puts: list[Value] = field(default_factory=list)
    target: Value | None = None
    index: tuple[AxisMap, ...] = ()
    source: Value | None = None
    taken: tuple[tuple[int, Expr], ...] = ()
    accumulate: bool = False
    after: Value | None = None
    barrier: bool = False
    derived: bool = False
    parts: tuple[Part, ...] = ()        # assemble: disjoint and covering, where it is known to be so

    @property
    def facts(self) -> Facts:
        """What is known of the op."""
        assert self.op is not None
        return self.op.facts

    def root(self) -> Value:
        """The value that owns the memory: itself unless an alias."""
        value = self
        while value.kind == "alias":
            value = value.args[0].value
        return value

    def is_zero(self) -> bool:
        """Whether this is the literal 0, not -0."""
        return self.kind == "const" and self.payload == 0 and math.copysign(1, self.payload) == 1

    def strides(self) -> tuple[Expr, ...]:
        """Elements from one position to the next along each dimension."""
        if self.layout is not None:
            return self.layout
        result: list[Expr] = []
        step: Expr = 1
        for symbol in reversed(self.dims):
            result.append(step)
            step = E.mul(step, E.length(symbol))
        return tuple(reversed(result))

    def size(self) -> Expr:
        """The number of elements."""
        return E.mul(*[E.length(d) for d in self.dims])


Part = tuple[Ref, Dims, tuple[AxisMap, ...]]       # what, its space, where it goes in the whole


@dataclass(frozen=True)
class Operand:
    """What a library op gets: an array (`ref` from the core of `shape`), or only a shape (ref None)."""

    ref: Ref | None
    shape: tuple[Expr, ...]


def identity(value: Value) -> Ref:
    """A value seen from its own dimensions."""
    return Ref(value, tuple([along(i) for i in range(len(value.dims))]))


def core(dims: Sequence[int]) -> Dims:
    """Without the dimensions of length 1."""
    return tuple([d for d in dims if d])


def positions(dims: Sequence[int]) -> dict[int, int]:
    """Axis -> place in the core, for the axes that are not of length 1.  Not to be changed."""
    return _positions(tuple(dims))


@lru_cache(4096)
def _positions(dims: Dims) -> dict[int, int]:
    return {axis: k for k, axis in enumerate([i for i, d in enumerate(dims) if d])}


def full_shape(dims: Sequence[int]) -> tuple[Expr, ...]:
    """Lengths as expressions, ones included."""
    return tuple([E.length(d) for d in dims])


def viewable(ref: Ref) -> bool:
    """Whether an ndarray can stand for the view: memory or a literal, not a run-time number."""
    return ref.value.kind not in ("scalar", "extent", "position")
