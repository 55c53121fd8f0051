"""Matrix products: which are loops, which are calls of BLAS, and what BLAS is given.

Input: a matmul node, or an operand of one.  Output: the Ref that it is.
Invariant: BLAS gets views, transposed or broadcast, wherever it takes them; a copy only else.
"""
from __future__ import annotations

from jitgrad.compiler.ir.lowering_context import Context
from jitgrad.compiler.ir.values import AxisMap, Dims, Operand, Ref, along, core, full_shape, identity, positions, viewable
from jitgrad.graph.node import Node
from jitgrad.ops.declare import REGISTRY


def thin_product(low: Context, node: Node, dims: Dims) -> Ref | None:
    """A matrix product with a vector, or of a column and a row, as multiplications and a sum, which fuse.

    There BLAS has nothing to reuse in cache, and reads and writes whole arrays between its neighbours' loops."""
    (a, da), (b, db) = [(n, low.dims[n]) for n in node.inputs]
    if da[-2] and da[-1] and db[-1]:
        return None
    space = (*dims[:-1], da[-1], dims[-1])          # batch, rows, summed, columns
    place, end = positions(space), len(space)
    refs = []
    for n, own, last in ((a, da, (end - 3, end - 2)), (b, db, (end - 2, end - 1))):
        lead = end - 1 - len(own)
        axes = [*range(lead, end - 3), *last]
        refs.append(low.refs[n].within(tuple([along(place[axes[axis]]) for axis in positions(own)])))
    product = low.apply(REGISTRY["mul"], (), refs, core(space), node.line)
    summed = {place[end - 2]} if da[-1] else set()
    return low.reduced(REGISTRY["sum"], product, core(space), summed, node.line)


def matrix(low: Context, ref: Ref, space: Dims, dims: Dims) -> Ref:
    """An operand of matmul: a view that BLAS can take, else a copy."""
    used = {step[0] for step in ref.index}
    last = set(range(len(space))) - set(range(len(core(dims[:-2]))))
    steps_of_one = all([s[2] in (0, 1) for s in ref.index])
    if viewable(ref) and steps_of_one and last <= used and ref.value.kind != "const":
        if ref.value.kind == "elementwise":
            ref.value.barrier = True
        return ref
    return identity(low.stored(ref, space))


def swapped(low: Context, n: Node) -> Ref | None:
    """The transposed product as a product of its own, b.mT @ a.mT, where nothing else uses n."""
    ref = low.refs[n]
    value = ref.value
    once = low.uses.get(n) == 1 and ref.is_identity(core(low.dims[n]))
    if value.kind != "library" or n.op.facts.role != "matrix_product" or not once:
        return None
    turned = []
    for operand, node in zip(reversed(value.operands), reversed(n.inputs), strict=True):
        dims = low.dims[node]
        assert operand.ref is not None
        turned.append(Operand(operand.ref.within(_exchange(dims)), (*operand.shape[:-2], *operand.shape[:-3:-1])))
    dims = low.dims[n]
    dims = (*dims[:-2], dims[-1], dims[-2])
    key = ("library", n.op, n.params, tuple(turned), None, dims)
    return identity(low.value(key, "library", core(dims), value.dtype, op=n.op, params=n.params,
                                operands=tuple(turned), shape=full_shape(dims), line=n.line))


def _exchange(dims: Dims) -> tuple[AxisMap, ...]:
    """How the core of `dims` runs in the core of dims with the last two exchanged."""
    axes = list(range(len(dims)))
    axes[-2:] = axes[:-3:-1]
    place = positions([dims[a] for a in axes])
    return tuple([along(place[axes.index(axis)]) for axis in positions(dims)])
