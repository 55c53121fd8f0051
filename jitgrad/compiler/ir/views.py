"""The movement ops, as index arithmetic where possible.

Input: a node of a movement op and its operands' Refs.  Output: the Ref that the node is.
Invariant: permute, expand, squeeze, unsqueeze, slice, flip and cat_part compute nothing; reshape asks at most for a
contiguous copy; what is filled part by part (slice_put, cat, cat_put) is one value with a put for each part.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.lowering_context import Context
from jitgrad.compiler.ir.piecewise import assemble, part_at, place, replaced
from jitgrad.compiler.ir.products import swapped
from jitgrad.compiler.ir.values import AxisMap, Dims, Ref, along, core, identity, positions
from jitgrad.graph.node import Node
from jitgrad.types.dtype import dtype

Rule = Callable[[Context, Node, Dims], Ref]


def _moved(low: Context, node: Node, steps: Callable[[int], AxisMap]) -> Ref:
    """The first operand, dimension `axis` of which (not of length 1) runs along steps(axis)."""
    x = node.inputs[0]
    ref = low.refs[x].within(tuple([steps(axis) for axis in positions(low.dims[x])]))
    return part_at(ref, core(low.dims[node])) if ref.value.parts else ref


def _permute(low: Context, node: Node, dims: Dims) -> Ref:
    (order,) = node.params
    n = len(order)
    if n >= 2 and order == (*range(n - 2), n - 1, n - 2):
        product = swapped(low, node.inputs[0])
        if product is not None:
            return product
    place = positions(dims)
    return _moved(low, node, lambda axis: along(place[order.index(axis)]))


def _same(low: Context, node: Node, dims: Dims) -> Ref:
    return low.refs[node.inputs[0]]


def _value_of(low: Context, node: Node, dims: Dims) -> Ref:
    return low.refs[node.inputs[1]]


def _expand(low: Context, node: Node, dims: Dims) -> Ref:
    return low.aligned(node.inputs[0], dims)


def _regions(low: Context, node: Node, outer: Dims, inner: Dims) -> list[tuple[Expr, Expr] | None]:
    """(start, step) of each dimension, None where it is whole."""
    flat = iter(low.sizes_of(node))
    result: list[tuple[Expr, Expr] | None] = []
    for kind, total, length in zip(node.params[0], outer, inner, strict=True):
        if kind is True:
            result.append(None)
            continue
        start, _, step = next(flat), next(flat), next(flat)
        if kind == "prefix":
            start = 0
        elif kind == "suffix":
            start = E.add(E.length(total), E.mul(-1, E.length(length)))
        result.append((start, 1 if kind else step))
    return result


def _slice(low: Context, node: Node, dims: Dims) -> Ref:
    regions, place = _regions(low, node, low.dims[node.inputs[0]], dims), positions(dims)

    def step(axis: int) -> AxisMap:
        region = regions[axis]
        return along(place[axis]) if region is None else along(place.get(axis, -1), *region)

    return _moved(low, node, step)


def _flip(low: Context, node: Node, dims: Dims) -> Ref:
    place, turned = positions(dims), node.params[0]
    return _moved(low, node, lambda axis: along(place[axis], E.add(E.length(dims[axis]), -1), -1) if axis in turned
                  else along(place[axis]))


def _offset(low: Context, donors: Sequence[Node], dim: int) -> Expr:
    return E.add(*[E.length(low.dims[n][dim]) for n in donors])


def _cat_part(low: Context, node: Node, dims: Dims) -> Ref:
    dim, index = node.params
    start, place = _offset(low, node.inputs[1:1 + index], dim), positions(dims)
    return _moved(low, node, lambda axis: along(place.get(axis, -1), start) if axis == dim else along(place[axis]))


def _reshape(low: Context, node: Node, dims: Dims) -> Ref:
    x = node.inputs[0]
    before, after = core(low.dims[x]), core(dims)
    if before == after:
        return low.refs[x]
    base = low.stored(low.refs[x], before)
    while base.kind == "alias":
        base = base.args[0].value
    if base.dims == after:
        return identity(base)
    key = ("alias", base, after)
    return identity(low.value(key, "alias", after, base.dtype, args=(identity(base),), line=node.line))


# -- values that are filled part by part ------------------------------------------------------------------------------

def _whole(dims: Dims) -> tuple[AxisMap, ...]:
    return tuple([along(i) for i in range(len(core(dims)))])


def _slice_put(low: Context, node: Node, dims: Dims) -> Ref:
    base, value = node.inputs
    inner = low.dims[value]
    regions, own = _regions(low, node, dims, inner), positions(inner)
    partial = [axis for axis, r in enumerate(regions) if r is not None]
    index = []
    for axis in positions(dims):
        region = regions[axis]
        index.append(along(own[axis]) if region is None else along(own.get(axis, -1), *region))
    if node in low.in_place:        # what is around it is there
        return assemble(low, "slice_put", core(dims), node.type.dtype, [(low.refs[value], core(inner), tuple(index))], node.line,
                        ordered=True)
    if len(partial) == 1 and node.params[0][partial[0]] and dims[partial[0]]:
        [axis] = partial
        start, _ = regions[axis] or (0, 1)
        parts = replaced(low, low.refs[base], low.refs[value], dims, inner, axis, start,
                         node.params[0][axis] == "suffix")
        return assemble(low, "slice_put", core(dims), node.type.dtype, parts, node.line, ordered=False)
    parts = [(low.refs[base], core(dims), _whole(dims)), (low.refs[value], core(inner), tuple(index))]
    return assemble(low, "slice_put", core(dims), node.type.dtype, parts, node.line, ordered=True)


def _cat(low: Context, node: Node, dims: Dims) -> Ref:
    (dim,) = node.params
    if len(node.inputs) == 1:
        return low.refs[node.inputs[0]]
    if not dims[dim]:
        return _single(low, node, dims)
    parts = []
    for i, n in enumerate(node.inputs):
        inner = low.dims[n]
        index = place(dims, inner, dim, _offset(low, node.inputs[:i], dim))
        parts.append((low.refs[n], core(inner), index))
    return assemble(low, "cat", core(dims), node.type.dtype, parts, node.line, ordered=False)


def _single(low: Context, node: Node, dims: Dims) -> Ref:
    """A cat of total length 1: the one operand of length 1, the others being empty."""
    (dim,) = node.params
    (n,) = [n for n in node.inputs if not low.dims[n][dim]]
    return low.refs[n]


def _cat_put(low: Context, node: Node, dims: Dims) -> Ref:
    value, _, *donors = node.inputs
    dim, index = node.params
    inner = low.dims[value]
    if not dims[dim]:
        if not inner[dim]:
            return low.refs[value]
        return low.constant(_zero(node.type.dtype), node.type.dtype)
    zero = low.constant(_zero(node.type.dtype), node.type.dtype)
    parts = replaced(low, zero, low.refs[value], dims, inner, dim, _offset(low, donors[:index], dim), False)
    return assemble(low, "slice_put", core(dims), node.type.dtype, parts, node.line, ordered=False)


def _zero(d: dtype) -> float | int | bool:
    return (False, 0, 0.0)[d.category]


# By the role of an op.
VIEWS: dict[str, Rule] = {
    "permute": _permute, "same": _same, "value": _value_of, "reshape": _reshape, "expand": _expand, "slice": _slice,
    "slice_put": _slice_put, "flip": _flip, "cat": _cat, "cat_part": _cat_part, "cat_put": _cat_put}
