"""Reading and adding at positions that are computed: index, take_along, index_put_add, put_along_add.

Input: a node of such an op.  Output: the Ref that it is.
Invariant: no position reaches beyond its dimension, whatever its value: it is clamped where it is used, and a check of its
own, one of `Lowering.checks`, raises PyTorch's error.  What is added at equal positions is added in the order of the loops.

A gather of cheap elementwise work is that work on gathered operands, so that it costs what it picks, not whole arrays.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.lowering_context import Context
from jitgrad.compiler.ir.values import GATHER, NUMBERS, AxisMap, Dims, Operand, Ref, along, core, full_shape, identity, positions
from jitgrad.graph.node import Node, Op
from jitgrad.ops.declare import MODERATE, REGISTRY, Facts
from jitgrad.ops.indexing import check_along, check_positions, indexed_at
from jitgrad.types.dtype import bool_, int64

Coordinate = AxisMap | Ref         # along the user's space, or at a computed position seen from it
MOST = 8                        # operations that are done again on what a gather picks


def _check(low: np.ndarray, high: np.ndarray, index: np.ndarray, shape: tuple[int, ...], *, axis: int,
           along: bool) -> np.ndarray:
    """Raise if a position is out of bounds; `low` and `high` are the extreme ones."""
    n = shape[axis]
    if index.size and (low.item() < (0 if along else -n) or high.item() >= n):
        if along:
            check_along(n, index, axis)
        check_positions(shape, (index,), (axis,))
    return _DONE


_DONE = np.zeros((), np.bool_)
CHECK = Op(name="check_positions", kind="library", arg_names=("low", "high", "index", "donor"),
           param_names=("axis", "along"), shape_only=(3,), numpy=_check, facts=Facts(), doc="raises if a position is out of bounds")


def _position(low: Context, node: Node, index: Node, ref: Ref, axis: int, space: Dims, strict: bool,
              whole: Dims) -> Ref | None:
    """The position along `axis` of an array of dims `whole`, from the index's Ref seen from `space`; None where only 0 is.

    strict: negative ones are errors."""
    _checked(low, node, index, axis, strict, whole)
    symbol = whole[axis]
    if not symbol:
        return None
    n, line = E.length(symbol), node.line

    def extent(e: E.Expr) -> Ref:
        return Ref(low.value(("extent", e, int64), "extent", (), int64, payload=e), ())

    zero = low.constant(0, int64)
    if not strict:
        negative = low.apply(REGISTRY["lt"], (), [ref, zero], space, line, out=bool_)
        ref = low.named("where", [negative, low.named("add", [ref, extent(n)], space, line), ref], space, line)
    ref = low.named("minimum", [ref, extent(E.add(n, -1))], space, line)
    return low.named("maximum", [ref, zero], space, line)


def _checked(low: Context, node: Node, index: Node, axis: int, strict: bool, whole: Dims) -> None:
    """Have the positions checked, once for each way that they are used."""
    dims, ref = low.dims[index], low.refs[index]
    space = core(dims)
    ends = [low.reduced(REGISTRY[name], ref, space, set(range(len(space))), node.line) for name in ("amin", "amax")]
    operands = [Operand(low.in_memory(end, ()), ()) for end in ends]
    operands += [Operand(low.in_memory(ref, space), full_shape(dims)), Operand(None, full_shape(whole))]
    key = ("library", CHECK, (axis, strict), tuple(operands), None, ())
    value = low.value(key, "library", (), bool_, op=CHECK, params=(axis, strict), operands=tuple(operands), line=node.line)
    if value not in low.checks:
        low.checks.append(value)


def _coordinates(low: Context, node: Node, x: Dims, indices: tuple[Node, ...], space: Dims) -> list[Coordinate]:
    """For each dimension in the core of `x` how the elements that `node` speaks of lie along it, from the core of the
    dims `space`, those of what is picked."""
    found: dict[int, Coordinate] = {}
    place = positions(space)
    if node.op.facts.role in ("gather", "scatter_add"):
        (axes,) = node.params
        first, count = indexed_at(axes), len(low.dims[indices[0]])
        steps = tuple([along(place[first + a]) for a in positions(low.dims[indices[0]])])
        rest = [axis for axis in range(len(x)) if axis not in axes]
        picked = [axis for axis in range(len(space)) if not first <= axis < first + count]
        for axis, index in zip(axes, indices, strict=True):
            at = _position(low, node, index, low.refs[index].within(steps), axis, core(space), False, x)
            found[axis] = along(-1) if at is None else at
    else:
        (dim,) = node.params
        rest = picked = [axis for axis in range(len(x)) if axis != dim]
        at = _position(low, node, indices[0], low.refs[indices[0]], dim, core(space), True, x)
        found[dim] = along(-1) if at is None else at
    for axis, own in zip(rest, picked, strict=True):
        found[axis] = along(place.get(own, -1))
    return [found[axis] for axis in positions(x)]


# -- reading ---------------------------------------------------------------------------------------------------------

def _gathered(low: Context, ref: Ref, at: list[Coordinate], space: Dims, line: Any, budget: list[int]) -> Ref:
    """The elements of a Ref at coordinates of the space that it is seen from; the result is seen from `space`."""
    value = ref.value
    taken = {d: c for d, (dim, *_) in enumerate(ref.index) if dim >= 0 and isinstance(c := at[dim], Ref)}
    affine = tuple([c if isinstance(c, AxisMap) else along(-1) for c in at])
    if not taken or (value.kind in NUMBERS and value.kind != "position"):
        return ref.within(affine)
    if value.kind == "position":
        ((_, start, mult),) = ref.index
        if (start, mult) == (0, 1):
            return taken[0]
    op = value.op
    if value.kind == "elementwise" and op is not None and not value.barrier and op is not GATHER and op.facts.cost <= MODERATE and \
            budget[0] > 0:
        budget[0] -= 1
        refs = [_gathered(low, a.within(ref.index), at, space, line, budget) for a in value.args]
        return low.apply(op, value.params, refs, space, value.line, out=value.dtype)
    if value.kind == "position":
        value = low.copied(identity(value), value.dims)
    if value.kind == "elementwise":
        value.barrier = True
    base = ref.within(affine).index
    base = tuple([along(-1, own.start) if d in taken else b for d, (b, own) in enumerate(zip(base, ref.index, strict=True))])
    used = [*[c for c in taken.values()], Ref(value, base)]
    order = sorted({step.dim for r in used for step in r.index if step.dim >= 0})
    back = {d: i for i, d in enumerate(order)}
    inward = tuple([along(back.get(d, -1)) for d in range(len(space))])
    args = tuple([c.within(inward) for c in taken.values()])
    index = Ref(value, base).within(inward).index
    steps = tuple([(d, ref.index[d].mult) for d in taken])
    dims = tuple([space[d] for d in order])
    made = low.value(("gather", value, index, steps, args, dims), "elementwise", dims, value.dtype, op=GATHER, args=args,
                     source=value, index=index, taken=steps, line=line)
    return Ref(made, tuple([along(d) for d in order]))


def _read(low: Context, node: Node, dims: Dims) -> Ref:
    x, *indices = node.inputs
    at = _coordinates(low, node, low.dims[x], tuple(indices), dims)
    return _gathered(low, low.refs[x], at, core(dims), node.line, [MOST])


# -- adding ----------------------------------------------------------------------------------------------------------

def _add(low: Context, node: Node, dims: Dims) -> Ref:
    if node.op.facts.role == "scatter_add":
        base, value, *indices = node.inputs
    else:
        base, *indices, value = node.inputs
    space, inner = core(dims), core(low.dims[value])
    at = _coordinates(low, node, dims, tuple(indices), low.dims[value])
    taken = {d: c for d, c in enumerate(at) if isinstance(c, Ref)}
    index = tuple([c if isinstance(c, AxisMap) else along(-1) for c in at])
    steps = tuple([(d, 1) for d in taken])
    args = (low.refs[value], *taken.values())
    key = ("added", low.refs[base], args, index, steps, inner, dims)
    target = low.value(key, "assemble", space, node.type.dtype, line=node.line)
    if not target.puts:
        low.put(target, low.refs[base], space, tuple([along(i) for i in range(len(space))]), True)
        low.put(target, low.refs[value], inner, index, True)
        put = target.puts[-1]
        put.args, put.taken, put.accumulate = args, steps, True
    return Ref(target, tuple([along(i) for i in range(len(space))]))


# By the role of an op.
READS: dict[str, Callable[[Context, Node, Dims], Ref]] = {"gather": _read, "gather_along": _read}
ADDS: dict[str, Callable[[Context, Node, Dims], Ref]] = {"scatter_add": _add, "scatter_add_along": _add}
