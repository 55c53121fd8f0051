"""The compiler's passes, in order.

Input: a `Request`, a captured graph and what is wanted of it.  Output: a `Program`.
Invariant: the program depends on the structure of the graph alone (operations, dtypes, ranks, which dimensions are 1,
layouts of inputs), never on values or lengths, and keeps no node and no array of the request.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jitgrad.compiler.fusion.fuse import fuse
from jitgrad.compiler.fusion.unfused import apart
from jitgrad.compiler.ir.dims import Dims, lengths
from jitgrad.compiler.ir.lower import Lowering
from jitgrad.compiler.ir.steps import KernelStep, Output
from jitgrad.compiler.ir.values import NUMBERS, Value, core, full_shape
from jitgrad.compiler.program import Program
from jitgrad.compiler.targets import Target, chosen_target
from jitgrad.config import config
from jitgrad.differentiate import backward_graph
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import differentiating, own_sizes


@dataclass
class Request:
    """What to compile.

    order: the captured graph, inputs first, leaves included.  outputs: nodes of it whose values are wanted.
    roots, cotangents: the incoming gradient of each root, None for an implicit 1.  wrt: nodes whose gradients are
    wanted; they may be interior.  small: why each operation is to be a kernel of its own, or empty.
    known: operations of the order whose values are arrays that each call brings, contiguous, as those of leaves are.
    in_place: outputs that are given the memory of what they are written to, which is not written otherwise."""

    order: list[Node]
    outputs: list[Node]
    roots: list[Node]
    cotangents: list[Node | None]
    wrt: list[Node]
    small: str = ""
    known: Collection[Node] = ()
    in_place: Collection[Node] = ()


def why_small(operations: int) -> str:
    """Why each operation of a graph that does not repeat is to be a kernel of its own, or empty."""
    if operations <= config.max_nodes:
        return ""
    return f"{operations} operations that do not repeat, more than JITGRAD_MAX_NODES={config.max_nodes}"


def build(request: Request, target: Target | None = None) -> Program:
    """Compile: differentiate, find symbolic lengths, lower to simplified values, fuse, emit, compile kernels.

    target: by default the one that is configured."""
    target = target or chosen_target()
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
    outputs: list[Output | None] = []
    by_number = {b.number: k for k, b in enumerate(fused.buffers) if b.kind == "output"}
    for k, node in enumerate(wanted):
        outputs.append(None if node is None else
                       Output(by_number[k], full_shape(dims[node]), node.type.dtype.np))
    for step in fused.steps:
        if isinstance(step, KernelStep):
            step.function = target.get_kernel(step.info.source)
            step.info.origin = step.function.origin
            step.info.compilation = str(step.function.compilation)
    return Program(fused.steps, fused.buffers, outputs, target.plans(fused.steps, fused.buffers, outputs, sources),
                   request.small)


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
