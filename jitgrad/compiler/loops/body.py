"""The body of a piece as a graph of its own, and its derivative.

Input: a piece of a graph (pieces.py), and which gradients come and go.  Output: nodes whose leaves stand for what the body reads.
Invariant: a derivative reads of the values of its iteration only what is saved (`Reverse.saved`); cheap formulas are computed again.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from jitgrad.compiler.loops import saving
from jitgrad.compiler.loops.arrange import Graph
from jitgrad.compiler.loops.pieces import CARRIED, BodyOperand, Piece, place_read, structure
from jitgrad.compiler.loops.saving import operands_read
from jitgrad.differentiate import differentiate
from jitgrad.graph.node import CONST, SCALAR, Node, topological
from jitgrad.graph.recording import differentiating, in_grad_mode, input_spec, own_sizes
from jitgrad.ops.declare import REGISTRY
from jitgrad.ops.movement import zeros_like
from jitgrad.types.array import ArrayType

# By identity of a `sizes` tuple of a body: what stands in its place in the first iteration of a piece, and what is added to that from
# iteration to iteration.
Sizes = dict[int, tuple[tuple[int, ...], tuple[int, ...]]]


KEPT, SMALL = 256, 4 << 20         # bodies that are kept for other graphs, of so many operations at most and arrays of so many bytes
_kept: dict[tuple, list[Body]] = {}
_arrays: WeakValueDictionary[ArrayType, np.ndarray] = WeakValueDictionary()


def forget() -> None:
    """Forget all bodies."""
    _kept.clear()


def bodies_of(graph: Graph, piece: Piece, own: dict[tuple, list[Body]]) -> list[Body]:
    """The bodies of the iterations that tell what all do, made if there is none like that.  own: those of the graph, by structure."""
    # What is done once may write over what was computed before, not over what it is given.
    key = structure(graph, piece), piece.count == 1 and tuple([graph.at[operand.places[0]] >= 0 for operand in piece.operands])
    found = own.get(key) or _kept.get(key)
    if found is None:
        found = [Body(graph, piece, i) for i in piece.drawn]
        if piece.period <= KEPT and all([n.spec.type.size * n.spec.type.dtype.np.itemsize <= SMALL for n in found[0].order]):
            if len(_kept) >= KEPT:
                _kept.pop(next(iter(_kept)))
            _kept[key] = found
    own[key] = found
    return found


class Body:
    """operands: leaves for Piece.operands; nodes: the operations of one iteration, with the lengths that they have there.

    found: what has been found of it for some use, see needs.once.  changing: the operands that may be written over when the iteration
    is done: what is handed on, and what a part is written to."""

    def __init__(self, graph: Graph, piece: Piece, iteration: int) -> None:
        self.piece = piece
        self.found: dict[tuple, Any] = {}
        self.operands = [_operand(graph, piece, operand, iteration) for operand in piece.operands]
        self.nodes: list[Node] = []
        for offset, wiring in enumerate(piece.wiring):
            recorded = graph.order[graph.body[piece.first + iteration * piece.period + offset]]
            node = Node(recorded.spec, tuple([self.nodes[i] if i >= 0 else self.operands[~i] for i in wiring]),
                        recorded.requires_grad, 0, None, recorded.line)
            if recorded.extra is not None and recorded.extra.in_place:      # an error names it
                node.ensure_extra().in_place = True
            own_sizes(node)
            self.nodes.append(node)
        self.changing = {n for n, operand in zip(self.operands, piece.operands, strict=True) if operand.kind == CARRIED}
        if piece.count == 1:
            computed = {n for n, operand in zip(self.operands, piece.operands, strict=True) if graph.at[operand.places[0]] >= 0}
            self.changing |= computed & {n.inputs[0] for n in self.nodes if saving.role(n) == "slice_put"}

    def sizes(self, graph: Graph, piece: Piece) -> Sizes:
        """Those of a piece that has this body."""
        found: Sizes = {}
        for offset, node in enumerate(self.nodes):
            if node.spec.sizes:
                own = graph.order[graph.body[piece.first + offset]].spec.sizes
                found[id(node.spec.sizes)] = own, piece.advances.get(offset, (0,) * len(own))      # type: ignore[arg-type]
        return found

    @property
    def order(self) -> list[Node]:
        """Leaves first."""
        return [*self.operands, *self.nodes]


def leaf(type: ArrayType, requires_grad: bool = False) -> Node:
    """What stands for an array: all of one type share what is never read, for many are kept."""
    array = _arrays.get(type)
    if array is None:
        array = _arrays[type] = np.empty(type.shape, type.dtype.np)
    return Node(input_spec(type), (), requires_grad, 0, array)


def _operand(graph: Graph, piece: Piece, operand: BodyOperand, iteration: int) -> Node:
    recorded = graph.order[place_read(graph, piece, operand, iteration)]
    if operand.kind == CARRIED:
        return leaf(recorded.spec.type, graph.order[graph.body[piece.first + operand.offset]].requires_grad or recorded.requires_grad)
    if recorded.spec.op is CONST or recorded.spec.op is SCALAR:
        return Node(recorded.spec, (), False, 0, recorded.value)
    requires_grad = recorded.requires_grad or any([graph.order[k].requires_grad for k in operand.places])
    return leaf(recorded.spec.type, requires_grad)


@dataclass
class Reverse:
    """The derivative of a body.

    carried, slots, sums: leaves for gradients that come: by number of a CARRIED operand, from the iteration behind; by operation of
    the body, from outside; by number of another operand, what has been summed up so far.  gradients: what goes, by operand.
    saved: leaves for values of the iteration, by what is saved (an operation or a leaf of the body).  found: as of a body."""

    carried: dict[int, Node] = field(default_factory=dict)
    slots: dict[int, Node] = field(default_factory=dict)
    sums: dict[int, Node] = field(default_factory=dict)
    gradients: dict[int, Node] = field(default_factory=dict)
    saved: dict[Node, Node] = field(default_factory=dict)
    found: dict[tuple, Any] = field(default_factory=dict)


def reverse(body: Body, slots: Collection[int], needed: Sequence[bool], summed: Collection[int]) -> Reverse:
    """slots: the operations whose gradients come from outside.  needed: which operands' gradients are wanted.  summed: to which
    operands' gradients something is to be added."""
    found = Reverse()
    cotangents: dict[Node, Node] = {}
    for offset in slots:
        found.slots[offset] = cotangents[body.nodes[offset]] = leaf(body.nodes[offset].spec.type)
    for j, operand in enumerate(body.piece.operands):
        if not needed[j]:
            continue
        if operand.kind == CARRIED:
            node = body.nodes[operand.offset]
            g = found.carried[j] = leaf(node.spec.type)
            cotangents[node] = in_grad_mode(False, REGISTRY["add"], cotangents[node], g) if node in cotangents else g
        elif j in summed:
            found.sums[j] = cotangents[body.operands[j]] = leaf(body.operands[j].spec.type)
    wanted = [n for n, need in zip(body.operands, needed, strict=True) if need]
    before = differentiating.sizes
    differentiating.sizes = True
    try:
        gradients = in_grad_mode(False, differentiate, body.order, cotangents, set(wanted))
    finally:
        differentiating.sizes = before
    results: dict[int, Node] = {}
    for j, n in enumerate(body.operands):
        g = gradients.get(n)
        if g is None and j in found.carried:
            g = in_grad_mode(False, zeros_like, n)
        if g is not None and g is not found.sums.get(j):
            results[j] = g
    found.sums = {j: g for j, g in found.sums.items() if j in results}
    _save(body, found, results)
    return found


def _save(body: Body, found: Reverse, results: dict[int, Node]) -> None:
    """Put leaves in place of values of the iteration that are saved, or whose shapes alone are read."""
    forward = {*body.nodes, *body.operands}
    reached = topological(results.values(), lambda n: () if n in forward else operands_read(n))
    saved = saving.to_save(body.nodes, body.changing, [n for n in reached if n in forward])
    made: dict[Node, Node] = {}
    shapes: dict[Node, Node] = {}

    def children(n: Node) -> Iterable[Node]:
        return () if n in saved else operands_read(n)

    for n in topological(results.values(), children):       # type: ignore[arg-type]
        if n in saved or not n.inputs:
            if n in forward:
                made[n] = n if n.spec.op is CONST else found.saved.setdefault(n, n if n in body.operands else leaf(n.spec.type))
            else:
                made[n] = n
            continue
        inputs = []
        for m in n.inputs:
            if m in made:
                inputs.append(made[m])
            else:       # its shape is all that is read
                inputs.append(shapes.setdefault(m, leaf(m.spec.type)))
        made[n] = Node(n.spec, tuple(inputs), False, 0, None, n.line)
        made[n].extra = n.extra
    found.gradients = {j: made[g] for j, g in results.items()}
