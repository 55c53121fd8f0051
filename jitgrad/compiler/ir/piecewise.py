"""Values that are made of parts: concatenations, and arrays of which a slice was replaced.

Input: Refs, and where each goes in the whole.  Output: a value of kind "assemble" (values.py).
Invariant: `Value.parts` of such a value are disjoint and cover it, so that any elementwise function of it is assembled of
that function of the parts.

Without this, cat([a, b * c[:-1]]) * d costs a pass that writes the concatenation and one that reads it; applied part by
part, the product is computed where its operand is.  The whole is written only if something reads it in another way: in
another place (a stencil), for a product, in a reduction.

Sample: y + 0.5 * cat([x[:1], x[1:] * y[:-1]]) is assembled of

    [0, 1)   y[:1] + 0.5 * x[:1]
    [1, n)   y[1:] + 0.5 * (x[1:] * y[:-1])
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.lowering_context import Context
from jitgrad.compiler.ir.values import NUMBERS, AxisMap, Dims, Part, Ref, Value, along, core, identity, positions
from jitgrad.graph.node import Op
from jitgrad.ops.declare import CHEAP
from jitgrad.types.dtype import dtype

MAX_PARTS = 64  # of one sum of padded arrays
AGAIN = 8       # cost of an operand that is computed again for a part, rather than stored to be read there
_MEMORY = frozenset(["input", "library", "reduction", "alias", "assemble"])


def assemble(low: Context, tag: str, dims: Dims, dtype: dtype, parts: Sequence[Part], line: Any, *,
             ordered: bool) -> Ref:
    """The parts, written one after the other where they may overlap (`ordered`); else they are disjoint and cover all."""
    target = low.value(("assemble", tag, dims, dtype, tuple(parts)), "assemble", dims, dtype, line=line)
    if not target.puts:
        for ref, space, index in parts:
            low.put(target, ref, space, index, ordered)
        if not ordered:
            target.parts = tuple(parts)
        elif len(parts) == 2 and parts[0][0].value.is_zero():
            target.payload = parts[1:]
    return identity(target)


def place(dims: Dims, inner: Dims, axis: int, start: Expr) -> tuple[AxisMap, ...]:
    """How the core of `dims` is indexed from that of `inner`, which is part of it along `axis`, from `start` on."""
    own = positions(inner)
    return tuple([along(own.get(a, -1), start) if a == axis else along(own[a]) for a in positions(dims)])


def replaced(low: Context, base: Ref, value: Ref, dims: Dims, inner: Dims, axis: int, start: Expr,
             last: bool) -> list[Part]:
    """`base`, of dimensions `dims`, with `value` in place of what is there along `axis` from `start`; `last`: to its end."""
    def rest(first: Expr, length: Expr) -> Part:
        own = (*dims[:axis], low.symbol(length, E.length(dims[axis])), *dims[axis + 1:])
        index = place(dims, own, axis, first)
        return base.within(index), core(own), index

    parts = [] if start == 0 else [rest(0, start)]
    parts.append((value, core(inner), place(dims, inner, axis, start)))
    if not last:
        end = E.add(start, E.length(inner[axis]))
        parts.append(rest(end, E.add(E.length(dims[axis]), E.mul(-1, end))))
    return parts


def part_at(ref: Ref, space: Dims) -> Ref:
    """The view itself, or, where it is exactly one part of an assembled value, that part."""
    for what, own, index in ref.value.parts:
        if index == ref.index and own == space:
            return what
    return ref


def by_parts(low: Context, op: Op, params: tuple, refs: list[Ref], space: Dims, line: Any, out: dtype) -> Ref | None:
    """An elementwise op with an operand made of parts, applied to each part; None where there is no such operand, or
    another would have to be stored for it."""
    whole: Value | None = None
    for r in refs:
        if r.value.parts and r.is_identity(space) and (whole is None or r.value.id > whole.id):
            whole = r.value
    if whole is None:
        return None
    alike = [r.value.parts and r.is_identity(space) and _cuts(r.value) == _cuts(whole) for r in refs]
    if not all([same or _cheap(low, r.value) for same, r in zip(alike, refs, strict=True)]):
        return None
    parts: list[Part] = []
    for k, (_, own, index) in enumerate(whole.parts):
        args = [r.value.parts[k][0] if same else r.within(index) for same, r in zip(alike, refs, strict=True)]
        parts.append((low.apply(op, params, args, own, line, out=out), own, index))
    return assemble(low, op.name, space, out, parts, line, ordered=False)


def _cuts(value: Value) -> list[tuple[Dims, tuple[AxisMap, ...]]]:
    """Where the parts of a value lie."""
    return [part[1:] for part in value.parts]


def _cheap(low: Context, value: Value) -> bool:
    return value.kind in NUMBERS or value.kind in _MEMORY or _cost(low, value) <= AGAIN


def _cost(low: Context, value: Value) -> int:
    """The number of operations and reads of an elementwise value, as far as it is no more than AGAIN."""
    cost = low.costs.get(value)
    if cost is None:
        cost = 1 if not value.barrier and value.op is not None and value.op.facts.cost <= CHEAP else AGAIN + 1
        for arg in value.args if cost <= AGAIN else ():
            cost += _cost(low, arg.value) if arg.value.kind == "elementwise" else 1
        low.costs[value] = cost
    return cost


# -- sums of padded arrays ---------------------------------------------------------------------------------------------

def padding(ref: Ref, space: Dims) -> list[Part] | None:
    """What is added to zeros, for a value that is zeros with parts written into them."""
    value = ref.value
    if value.kind != "assemble" or not ref.is_identity(space):
        return None
    if value.payload:
        return value.payload
    parts = [part for part in value.parts if not part[0].value.is_zero()]
    return parts if len(parts) < len(value.parts) else None


def merged(low: Context, x: Ref, y: Ref, space: Dims, line: Any) -> list[Part] | None:
    """The parts of the sum of two such values, those at the same place added; None unless they differ in places."""
    first, second = padding(x, space), padding(y, space)
    if first is None or second is None or (x.value.parts and _cuts(x.value) == _cuts(y.value)):
        return None
    found: dict[tuple, Part] = {}
    for part in [*first, *second]:
        ref, own, index = part
        have = found.get((own, index))
        found[own, index] = part if have is None else (low.named("add", [have[0], ref], own, line), own, index)
    return list(found.values())


def padded_sum(low: Context, x: Ref, y: Ref, space: Dims, line: Any) -> Ref | None:
    """x + y where both are zeros with parts written into them: the parts added into one array, place by place.

    So that the gradient of an array of which many parts were used costs the parts, not as many whole arrays."""
    parts = merged(low, x, y, space, line)
    if parts is None or len(parts) > MAX_PARTS:
        return None
    d = x.value.dtype
    target = low.value(("padded sum", tuple(parts)), "assemble", space, d, line=line, payload=parts)
    if not target.puts:
        zero = low.constant((False, 0, 0.0)[d.category], d)
        low.put(target, zero, space, tuple([along(i) for i in range(len(space))]), True)
        for ref, own, index in parts:
            low.put(target, identity(low.added(target, index, ref, own, line)), own, index, True)
    return identity(target)
