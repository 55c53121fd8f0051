"""The kernel IR: a nest of loops around single assignments, from which every target emits its source.

A `LoopNest` is a nest of `depth` loops around a list of single assignments.  Loop 0 runs from `lo` to `hi`, arguments of the
compiled function; loop k > 0 from 0 to `lengths[k]`.  With depth 0 it runs once and ignores both.

    slots       what the argument block holds, one 8-byte slot each: `Pointer` (address of an array, offset included),
                `Integer` (a length or stride), `Number` (a run-time scalar).  Slot k is variable pk, nk or ck.
    body        in order of dependence, `Load`, `Read` (of a Number or Integer slot), `Position`, `Compute` and `Result`;
                entry k defines variable vk.
                `depth` says in how many loops an entry varies: it is computed inside loop depth - 1 and outside loop
                depth.
    stores      one element each, at the innermost place or, with `depth` == `rows`, once a row
    reductions  `Reduce`: combines one variable over the loops in `reduced`, starting from `identity`

An element is addressed by `Access`: pointer slot and one coefficient a loop (an int, or `Var` of an Integer slot); the
position is the sum of coefficient * loop variable, and of stride * variable for positions that are computed (a gather).
An operand is a variable's number, or the text of a literal.

With `rows` > 0 the first `rows` loops are over rows, and the body may use results of reductions over exactly the other
loops: these run several times for each row, in phases (phases.py).  `saves` are variables of the inner loops that a phase
leaves for later ones, in an array as long as a row.  Only the CPU's emitter takes such kernels.

If loop 0 is cut in chunks, a chunk computes the same as a whole loop over its part.  A `Reduce` over loop 0 then gives
one partial result a chunk, in a buffer of (chunks, *size of the result); the program combines them in order.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from jitgrad.compiler.ir.expr import Expr

# -- slots -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Pointer:
    """The address of element `offset` of a buffer (a number of `Program.buffers`); `partial`: each chunk of loop 0 has an
    array of its own, for a Reduce over loop 0 or a row."""

    buffer: int
    offset: Expr = 0
    partial: bool = False


@dataclass(frozen=True)
class Integer:
    """A run-time integer."""

    expr: Expr


@dataclass(frozen=True)
class Number:
    """The number of the SCALAR node at this position of the captured order."""

    position: int
    code: str


Slot = Pointer | Integer | Number


# -- kernel ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Var:
    """An Integer slot used as a length or coefficient."""

    slot: int


Amount = int | Var
Operand_ = int | str        # variable number, or literal text


@dataclass(frozen=True)
class Access:
    """An element of the array at pointer slot `slot`; `code` is its dtype's code (f4 f8 i4 i8 b1).

    computed: (operand, stride)."""

    slot: int
    code: str
    coefs: tuple[Amount, ...]
    computed: tuple[tuple[Operand_, Amount], ...] = ()

    @property
    def step(self) -> Amount:
        """The coefficient of the innermost loop; 0 in a kernel that has no loop, all of whose iterations, the one, are at one
        element."""
        return self.coefs[-1] if self.coefs else 0


@dataclass(frozen=True)
class Load:
    """v = the element."""

    access: Access
    depth: int

    @property
    def operands(self) -> tuple[Operand_, ...]:
        """What the position is computed from."""
        return tuple([x for x, _ in self.access.computed])


@dataclass(frozen=True)
class Read:
    """v = the number in the slot; an Integer slot is converted to `code`."""

    slot: int
    code: str
    depth: int = 0


@dataclass(frozen=True)
class Position:
    """v = start + sum of coefficient * loop variable, an i8."""

    start: Amount
    coefs: tuple[Amount, ...]
    depth: int


@dataclass(frozen=True)
class Compute:
    """v = the scalar expression `template` with operands in place of its names, as a value of dtype `code`."""

    template: str
    names: tuple[str, ...]
    operands: tuple[Operand_, ...]
    code: str
    depth: int


@dataclass(frozen=True)
class Result:
    """v = what a reduction over the inner loops gave, an element of dtype `code`."""

    reduction: int
    code: str
    depth: int


@dataclass(frozen=True)
class Store:
    """The element = operand, inside `depth` loops; or the element += operand, in the order of the loops, which is that of
    one thread."""

    access: Access
    operand: Operand_
    depth: int
    accumulate: bool = False

    @property
    def operands(self) -> tuple[Operand_, ...]:
        """The operand, and what the position is computed from."""
        return (self.operand, *[x for x, _ in self.access.computed])


@dataclass(frozen=True)
class Totals:
    """Float64 elements, one for each of a sum that is accumulated in memory.  After a block of iterations of loop number
    `loop`, the innermost reduced one around a kept one, the `extent` sums inside it are added here and begin again at 0."""

    access: Access
    loop: int
    extent: Amount


@dataclass(frozen=True)
class Reduce:
    """The element (none where only a Result asks) = combination of operand over the loops where `reduced`.

    combine: over {acc} and {x}, of dtype `code`.  extent: the number of kept elements inside the outermost reduced loop.
    totals: how it is blocked, where there are such elements and rounding."""

    access: Access | None
    operand: Operand_
    code: str
    combine: str
    identity: str
    reduced: tuple[bool, ...]
    extent: Amount
    totals: Totals | None = None

    @property
    def wide(self) -> bool:
        """Whether blocks of its elements are added in float64: a float32 sum."""
        return self.code == "f4" and "radd" in self.combine

    @property
    def in_memory(self) -> bool:
        """Whether a kept loop lies inside a reduced one."""
        return False in self.reduced[self.reduced.index(True):]


@dataclass
class LoopNest:
    """See the head of this file."""

    lengths: tuple[Amount, ...]
    slots: list[Slot] = field(default_factory=list)
    body: list[Load | Read | Position | Compute | Result] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    reductions: list[Reduce] = field(default_factory=list)
    nanoseconds: float = 1.0        # estimate for one innermost iteration
    rows: int = 0
    saves: dict[int, Access] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """The number of loops."""
        return len(self.lengths)

    @property
    def serial(self) -> bool:
        """Whether loop 0 must not be cut: some stores accumulate."""
        return any([s.accumulate for s in self.stores])

    def written(self) -> list[Access]:
        """What is stored: by stores, then by reductions."""
        return [s.access for s in self.stores] + [r.access for r in self.reductions if r.access is not None]
