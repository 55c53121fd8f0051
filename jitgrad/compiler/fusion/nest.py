"""One kernel from the values it computes: instances of values at places of the iteration domain.

Input: the values to store and reduce, over one domain (a tuple of symbols), and three questions to fuse.py: which
elementwise values are computed here, which may be recomputed, and where everything else lies in memory.
Output: a `loop_nest.LoopNest`.
Invariant: a value is computed once for each view it is seen through; adjacent loops that are contiguous in every access
become one; slots, variables and loops are numbered by first use, so that equal kernels are equal as text.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.compiler.codegen.phases import Phases
from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.loop_nest import (
    Access,
    Amount,
    Compute,
    Integer,
    Load,
    LoopNest,
    Number,
    Operand_,
    Pointer,
    Position,
    Read,
    Reduce,
    Result,
    Slot,
    Store,
    Totals,
    Var,
)
from jitgrad.compiler.ir.values import GATHER, AxisMap, Dims, Ref, Value, along
from jitgrad.ops.declare import CHEAP, MODERATE, literal
from jitgrad.types.dtype import BY_CODE


@dataclass(frozen=True)
class Place:
    """An access before loops are merged: buffer, offset and one coefficient a dimension of the domain."""

    buffer: int
    offset: Expr
    coefs: tuple[Expr, ...]
    code: str
    partial: bool = False
    computed: tuple[tuple[Operand_, Expr], ...] = ()


def scalar_text(value: Value) -> str:
    """The template of an elementwise value's op for its operands' dtype."""
    op = value.op
    assert op is not None
    if not callable(op.scalar):
        return op.scalar
    params = dict(zip(op.param_names, value.params, strict=True))
    last = value.args[-1].value.dtype
    return op.scalar(last, **params)


class NestBuilder:
    """Collects a kernel; `finish` merges loops and numbers slots.

    inner: the positions of the domain that a row runs along, for a kernel with phases, else none.
    computed_here(value), may_recompute(value): see fuse.py; buffer_of(value): the number of the buffer that holds it,
    which also asks fuse.py to have it stored; scratch(size, dtype): the number of a new buffer, one for each chunk;
    in_whole(value): the part of another value in memory that is the same."""

    def __init__(self, domain: Dims, inner: tuple[int, ...], computed_here: Callable[[Value], bool],
                 may_recompute: Callable[[Value], bool], buffer_of: Callable[[Value], int],
                 scratch: Callable[[Expr, np.dtype], int], in_whole: Callable[[Value], Ref | None]) -> None:
        self.domain = domain
        self.inner = inner
        self._scratch = scratch
        self._in_whole = in_whole
        self._here = computed_here
        self._recompute = may_recompute
        self._buffer = buffer_of
        self._memo: dict[tuple, Operand_] = {}
        self._body: list[tuple[str, Any, frozenset[int]]] = []     # kind, entry, dimensions it varies in
        self._stores: list[tuple[Place, Operand_, bool, bool]] = []      # whether it accumulates; whether once a row
        self._reductions: list[tuple[Place | None, Operand_, Value]] = []
        self._reduced: dict[int, int] = {}      # value -> number of its reduction
        self.ops: list[tuple[str, Any]] = []
        self.reads: dict[int, None] = {}
        self.writes: dict[int, None] = {}

    # -- collecting --------------------------------------------------------------------------------------------------

    def _emit(self, key: tuple, kind: str, entry: Any, varies: frozenset[int]) -> int:
        self._body.append((kind, entry, varies))
        self._memo[key] = len(self._body) - 1
        return len(self._body) - 1

    def operand(self, ref: Ref) -> Operand_:
        """The variable (or literal) that holds what `ref`, a view from the domain, is."""
        value = ref.value
        key = (value.id, ref.index)
        found = self._memo.get(key)
        if found is not None:
            return found
        if value.kind == "const":
            return literal(value.payload, value.dtype)
        if value.kind == "scalar":
            return self._emit(key, "read", (Number(value.position, value.dtype.code), value.dtype.code), frozenset())
        if value.kind == "extent":
            return self._emit(key, "read", (Integer(value.payload), value.dtype.code), frozenset())
        if value.kind == "position":
            ((dim, start, mult),) = ref.index
            coefs = tuple([mult if d == dim else 0 for d in range(len(self.domain))])
            return self._emit(key, "position", (start, coefs), frozenset([dim] if dim >= 0 else []))
        if value.kind == "reduction" and self._here(value) and self.is_row(ref):
            varies = frozenset(range(len(self.domain))) - frozenset(self.inner)
            return self._emit(key, "result", (self._number_of(value), value.dtype.code), varies)
        inside = value.kind == "elementwise" and (self._recompute(value) or (
            self._here(value) and (ref.is_identity(self.domain) or self.is_row(ref))))
        if not inside:
            return self._load(key, value, ref.index)
        args = tuple([self.operand(a.within(ref.index)) for a in value.args])
        if value.op is GATHER:
            assert value.source is not None
            source = Ref(value.source, value.index).within(ref.index)
            self.ops.append(("gather", value.line))
            return self._load(key, value.source, source.index, tuple(zip(args, value.taken, strict=True)))
        varies = frozenset().union(*[self._body[a][2] for a in args if type(a) is int])
        assert value.op is not None
        self.ops.append((value.op.name, value.line))
        return self._emit(key, "compute", (value, args), varies)

    def is_row(self, ref: Ref) -> bool:
        """Whether the value has one element a row, and the Ref is that of the row at hand."""
        return is_row(ref, self.domain, self.inner)

    def place(self, value: Value, index: tuple[AxisMap, ...], partial: bool = False,
              taken: Sequence[tuple[Operand_, tuple[int, Expr]]] = ()) -> Place:
        """Where the element of a stored value lies; taken: computed positions, with dimension and step."""
        coefs: list[Expr] = [0] * len(self.domain)
        offset: Expr = 0
        for (dim, start, mult), stride in zip(index, value.strides(), strict=True):
            offset = E.add(offset, E.mul(stride, start))
            if dim >= 0:
                coefs[dim] = E.add(coefs[dim], E.mul(stride, mult))
        strides = value.strides()
        computed = tuple([(x, E.mul(strides[dim], step)) for x, (dim, step) in taken])
        return Place(self._buffer(value), offset, tuple(coefs), value.dtype.code, partial, computed)

    def _load(self, key: tuple, value: Value, index: tuple[AxisMap, ...],
              taken: Sequence[tuple[Operand_, tuple[int, Expr]]] = ()) -> int:
        whole = self._in_whole(value)
        if whole is not None:
            whole = whole.within(index)
            value, index = whole.value, whole.index
        place = self.place(value, index, taken=taken)
        self.reads[place.buffer] = None
        varies = frozenset([i for i, c in enumerate(place.coefs) if c != 0])
        return self._emit(key, "load", place, varies.union(*[self._body[x][2] for x, _ in taken if type(x) is int]))

    def store(self, value: Value, index: tuple[AxisMap, ...], what: Ref, put: Value | None = None) -> None:
        """Write `what` to the element of `value` at `index`, both seen from the domain; put: tells more of it."""
        operand, taken, accumulate = self.operand(what), (), False
        if put is not None:
            taken = tuple(zip([self.operand(a) for a in put.args[1:]], put.taken, strict=True))
            accumulate = put.accumulate
        place = self.place(value, index, taken=taken)
        self.writes[place.buffer] = None
        once = bool(self.inner) and self.is_row(what) and not accumulate and not self._moves(place, self.inner)
        self._stores.append((place, operand, accumulate, once))

    def _moves(self, place: Place, dims: Sequence[int]) -> bool:
        """Whether a place is another one at other positions along some dimensions of the domain."""
        varies = frozenset().union(*[self._body[x][2] for x, _ in place.computed if type(x) is int])
        return any([place.coefs[d] != 0 or d in varies for d in dims])

    def reduce(self, value: Value) -> None:
        """Compute and store a reduction whose space is the domain."""
        number = self._number_of(value)
        kept = [i for i in range(len(self.domain)) if i not in value.reduced]
        place = self.place(value, tuple([along(i) for i in kept]), partial=0 in value.reduced)
        self.writes[place.buffer] = None
        self._reductions[number] = (place, *self._reductions[number][1:])

    def _number_of(self, value: Value) -> int:
        """The reduction that computes a value, made if need be."""
        number = self._reduced.get(value.id)
        if number is None:
            operand = self.operand(value.args[0])
            number = self._reduced[value.id] = len(self._reductions)
            self._reductions.append((None, operand, value))
            assert value.op is not None
            self.ops.append((value.op.name, value.line))
        return number

    # -- finishing ---------------------------------------------------------------------------------------------------

    def _coefs(self) -> list[tuple[Expr, ...]]:
        """The coefficients of every place and position."""
        own = [e.coefs if kind == "load" else e[1] for kind, e, _ in self._body if kind in ("load", "position")]
        return own + [p.coefs for p, *_ in self._stores] + [p.coefs for p, *_ in self._reductions if p is not None]

    def _merged(self) -> list[list[int]]:
        """The domain's dimensions, grouped: those of one group are one loop."""
        groups: list[list[int]] = []
        coefs = self._coefs()
        for i in range(len(self.domain)):
            if groups and self._mergeable(i - 1, i, coefs):
                groups[-1].append(i)
            else:
                groups.append([i])
        return groups

    def _mergeable(self, i: int, j: int, coefs: list[tuple[Expr, ...]]) -> bool:
        n = E.length(self.domain[j])
        if any([(i in v.reduced) != (j in v.reduced) for _, _, v in self._reductions]):
            return False
        if (i in self.inner) != (j in self.inner):
            return False
        return all([c[i] == E.mul(c[j], n) for c in coefs])

    def finish(self) -> tuple[LoopNest, Expr, Expr]:
        """The kernel, the number of iterations of loop 0, and of all other loops together."""
        groups = self._merged()
        loop_of = {d: k for k, group in enumerate(groups) for d in group}
        lengths = [E.mul(*[E.length(self.domain[d]) for d in group]) for group in groups]
        numbering = _Slots()
        kernel = LoopNest(())

        def amount(expr: Expr) -> Amount:
            return expr if type(expr) is int else Var(numbering.of(Integer(expr)))

        def access(place: Place) -> Access:
            slot = numbering.of(Pointer(place.buffer, place.offset, place.partial))
            computed = tuple([(x, amount(stride)) for x, stride in place.computed])
            return Access(slot, place.code, tuple([amount(place.coefs[g[-1]]) for g in groups]), computed)

        if any([kind == "result" for kind, _, _ in self._body]):
            kernel.rows = loop_of[self.inner[0]]
        costs = []
        for kind, entry, varies in self._body:
            costs.append(1)
            depth = max([loop_of[d] + 1 for d in varies], default=0)
            if kind == "load":
                kernel.body.append(Load(access(entry), depth))
                kernel.nanoseconds += 0.3 if depth == len(groups) else 0
            elif kind == "result":
                reduction, code = entry
                kernel.body.append(Result(reduction, code, depth))
            elif kind == "read":
                slot, code = entry
                kernel.body.append(Read(numbering.of(slot), code))
            elif kind == "position":
                start, coefs = entry
                kernel.body.append(Position(amount(start), tuple([amount(coefs[g[-1]]) for g in groups]), depth))
            else:
                value, args = entry
                kernel.body.append(Compute(scalar_text(value), _names(value), args, value.dtype.code, depth))
                cost = value.op.facts.cost
                costs[-1] = 1 if cost <= CHEAP else 8 if cost <= MODERATE else 10
                if depth == len(groups):
                    kernel.nanoseconds += cost
        for place, operand, accumulate, row in self._stores:
            depth = kernel.rows if row and kernel.rows else len(groups)
            kernel.stores.append(Store(access(place), operand, depth, accumulate))
        for place, operand, value in self._reductions:
            op = value.op
            assert op is not None
            reduced = tuple([g[0] in value.reduced for g in groups])
            first = reduced.index(True)
            extent = E.mul(*[n for k, n in enumerate(lengths) if k > first and not reduced[k]])
            one = op.identity(value.dtype) if callable(op.identity) else op.identity
            where = None if place is None else access(place)
            made = Reduce(where, operand, value.dtype.code, op.combine, one, reduced, amount(extent))
            if where is not None and made.in_memory and op.facts.role == "sum" and value.dtype.category == 2:
                slot = numbering.of(Pointer(self._scratch(extent, np.dtype(np.float64)), 0, True))
                coefs = (*[0] * (first + 1), *where.coefs[first + 1:])
                loop = max([k for k in range(len(groups) - 1) if reduced[k] and not all(reduced[k:])])
                inside = E.mul(*[n for k, n in enumerate(lengths) if k > loop and not reduced[k]])
                made = dataclasses.replace(made, totals=Totals(Access(slot, "f8", coefs), loop, amount(inside)))
            kernel.reductions.append(made)
        kernel.lengths = tuple([0 if k == 0 else amount(n) for k, n in enumerate(lengths)])
        if kernel.rows:
            self._save(kernel, costs, lengths[kernel.rows:], lambda buffer: numbering.of(Pointer(buffer, 0, True)), amount)
        kernel.slots = numbering.slots
        kernel.nanoseconds -= 1 - 0.3 * len(kernel.stores) - 0.3 * len(kernel.reductions)
        return kernel, lengths[0] if lengths else 1, E.mul(*lengths[1:])

    def _save(self, kernel: LoopNest, costs: list[int], lengths: list[Expr], slot_of: Callable[[int], int],
              amount: Callable[[Expr], Amount]) -> None:
        """Give what one phase leaves for another its place: that of a store of it, else an array as long as a row."""
        stored = {s.operand: s.access for s in kernel.stores if s.depth == kernel.depth}
        phases = Phases(kernel)
        for variable in phases.worth_keeping(costs):
            kernel.nanoseconds += 0.5
            entry = kernel.body[variable]
            known = stored.get(variable)
            if known is not None and 0 not in known.coefs[kernel.rows:]:
                kernel.saves[variable] = known
                continue
            assert isinstance(entry, Compute)
            coefs = [amount(E.mul(*lengths[k + 1:])) for k in range(len(lengths))]
            buffer = self._scratch(E.mul(*lengths), BY_CODE[entry.code].np)
            kernel.saves[variable] = Access(slot_of(buffer), entry.code, (*[0] * kernel.rows, *coefs))


def is_row(ref: Ref, domain: Dims, inner: tuple[int, ...]) -> bool:
    """Whether a Ref from `domain` is, in order, along exactly the dimensions that are not in `inner`, if any are."""
    kept = [d for d in range(len(domain)) if d not in inner]
    return bool(inner) and ref.value.dims == tuple([domain[d] for d in kept]) and \
        all([step == (d, 0, 1) for step, d in zip(ref.index, kept, strict=True)])


def _names(value: Value) -> tuple[str, ...]:
    """Names of the operands in the template."""
    assert value.op is not None
    return value.op.arg_names


class _Slots:
    """Slots in order of first use."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._known: dict[Slot, int] = {}

    def of(self, slot: Slot) -> int:
        found = self._known.get(slot)
        if found is None:
            found = self._known[slot] = len(self.slots)
            self.slots.append(slot)
        return found
