"""The compiler's passes, in order.

Input: a `Request`, a captured graph and what is wanted of it.  Output: a `Program`.
Invariant: the program depends on the structure of the graph alone (operations, dtypes, ranks, which dimensions are 1,
layouts of inputs), never on values or lengths, and keeps no node and no array of the request.
"""
from __future__ import annotations

from collections.abc import Sequence

from jitgrad.compiler.fusion.fuse import fuse
from jitgrad.compiler.fusion.unfused import apart
from jitgrad.compiler.ir.dims import Dims, lengths
from jitgrad.compiler.ir.lower import Lowering
from jitgrad.compiler.ir.steps import Output, StepList
from jitgrad.compiler.ir.values import NUMBERS, Value, core, full_shape
from jitgrad.compiler.program import Program
from jitgrad.compiler.request import Request, device_of
from jitgrad.compiler.targets import Target, target_of
from jitgrad.differentiate import backward_graph
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import differentiating, own_sizes


def build(request: Request, target: Target | None = None) -> Program:
    """Compile a request.

    target: by default that of the device of the request's arrays."""
    target = target or target_of(device_of(request.order))
    return target.program(steps(request, target), request.small)


def steps(request: Request, target: Target) -> StepList:
    """Differentiate, find symbolic lengths, lower to simplified values, fuse, emit."""
    captured = {node: k for k, node in enumerate(request.order)}
    sizes = _own_sizes(request.order)
    before = differentiating.sizes
    differentiating.sizes = True
    try:
        gradients = backward_graph(request.order, request.roots, request.cotangents, request.wrt)
        wanted: list[Node | None] = [*request.outputs, *[gradients.get(n) for n in request.wrt]]
    finally:
        differentiating.sizes = before
    order = topological([*request.order, *[n for n in wanted if n is not None]])
    dims, sources = lengths(order, captured)
    lowering = Lowering(captured, sizes, dims, _uses(order, wanted), target.phased, sources, request.known, request.in_place)
    lowering.lower(order)
    stored = _store_outputs(lowering, wanted, dims)
    if request.small:
        fused = apart(lowering.values, stored, target.emit, lowering.checks)
    else:
        fused = fuse(lowering.values, stored, target.emit, target.phased, lowering.checks)
    of = [*request.outputs, *request.wrt]
    outputs: list[Output | None] = []
    by_number = {b.number: k for k, b in enumerate(fused.buffers) if b.kind == "output"}
    for k, node in enumerate(wanted):
        outputs.append(None if node is None else
                       Output(by_number[k], full_shape(dims[node]), node.type.dtype.np, of[k].type.device))
    return StepList(fused.steps, fused.buffers, outputs, sources)


def _own_sizes(order: Sequence[Node]) -> dict[int, int]:
    """Identity of each `sizes` tuple -> the position of its node.

    Derivatives hand on the tuple object itself; where two nodes share one, they are given tuples of their own first, so
    that it tells which node is meant."""
    found: dict[int, int] = {}
    for k, node in enumerate(order):
        if node.sizes:
            if id(node.sizes) in found:
                own_sizes(node)
            found[id(node.sizes)] = k
    return found


def _uses(order: Sequence[Node], wanted: Sequence[Node | None]) -> dict[Node, int]:
    """How often each node is an operand or wanted."""
    uses: dict[Node, int] = {}
    for node in [*[n for m in order for n in m.inputs], *[n for n in wanted if n is not None]]:
        uses[node] = uses.get(node, 0) + 1
    return uses


def _store_outputs(lowering: Lowering, wanted: Sequence[Node | None], dims: dict[Node, Dims]) -> list[Value | None]:
    """For each wanted node a value with memory of its own: the node's, or a copy where that is a view, an input or
    already another output."""
    claimed: set[int] = set()
    result: list[Value | None] = []
    for k, node in enumerate(wanted):
        if node is None:
            result.append(None)
            continue
        ref, space = lowering.refs[node], core(dims[node])
        value = ref.value
        root = value.root()
        if not ref.is_identity(space) or root.kind in NUMBERS or root.kind == "input" or root.id in claimed:
            value = root = lowering.copied(ref, space, ("output", k))
        elif root.kind == "elementwise":
            root.barrier = True
        claimed.add(root.id)
        result.append(value)
    return result
