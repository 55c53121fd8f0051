"""Capturing a graph: the nodes below some roots as a topological order, and its structure as integers.

Input: the roots of a request.  Output: a `Capture`, whose `parts` are the structure as integers.
Invariant: every operand of a node that is computed or differentiated has a place before it; nothing in `parts` depends on
values or lengths.

Whose value is known already is not computed again: below it the graph is gone through for gradients alone.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad import interpreter
from jitgrad.config import config
from jitgrad.graph.node import INPUT, Node, topological
from jitgrad.graph.recording import become_input, input_spec

NO_NODES: tuple[Any, ...] = ()


@dataclass(slots=True, eq=False)
class Capture:
    """The graph below some roots, ready to be looked up.

    children: of each place the places of its operands, or of a Function's output those of the Function's operands (-1 where
    that is no tensor), and nothing for what is taken as an array.  leaves: INPUT nodes that want gradients.  known: places of
    operations whose values are known and through which gradients go.  stops: places where Python is called on the way back:
    a hook, retain_grad, a Function.  special: some node needs autograd's attention: it was gone through already, is stale, or
    a stop.  parts: the structure, as integers."""

    order: list[Node]
    index: dict[Node, int]
    children: list[Sequence[int]]
    leaves: list[Node]
    known: set[int]
    stops: list[int]
    special: bool
    parts: list[int]


    def is_whole(self) -> bool:
        """Whether no operation has become an input since, when somebody (a finalizer, another thread) asked for its value."""
        stops = set(self.stops)
        return all([not of or self.order[k].inputs or k in stops for k, of in enumerate(self.children)])


def function_edges(node: Node) -> Sequence[Node | None]:
    """What the Function was applied to whose output a leaf is; nothing for other leaves."""
    extra = node.extra
    if extra is None or extra.fn is None:
        return NO_NODES
    return [n if n is not None and n.requires_grad else None for n in extra.fn.ctx._edges]


def capture(roots: Sequence[Node], gradients: bool = True, anew: bool = False) -> Capture:
    """Walk the recorded graph once, inputs first: order, structure and what is special about it.

    gradients: whether they are asked for, too; otherwise nothing below known values is gone through.  anew: known values of
    operations that gradients go through are computed again (which makes one program of the graph and of graphs like it,
    whatever of them has been looked at)."""
    order: list[Node] = []
    index: dict[Node, int] = {}
    children: list[Sequence[int]] = []
    leaves: list[Node] = []
    known: set[int] = set()
    stops: list[int] = []
    parts: list[int] = []
    special = False
    functions: dict[Any, int] = {}
    anew = anew or config.target != "cpu"
    stack: list[Node | None] = [None]       # None stands for what has the roots as inputs
    while stack:
        node = stack[-1]
        inputs: Sequence[Node | None]
        if node is None:
            inputs = roots
        elif node in index:
            stack.pop()
            continue
        else:
            inputs = node.inputs
            if not inputs:
                inputs = function_edges(node)
            elif gradients and not node.requires_grad and _reads_finished_graph(node):
                become_input(node, interpreter.evaluate([node])[0] if node.value is None else node.value)
                inputs = NO_NODES
        for n in inputs:
            if n is None or n in index:
                continue
            if n.inputs:
                if n.value is None or (gradients and n.requires_grad):
                    stack.append(n)
                    break
                _make_contiguous(n)
                if not n.requires_grad:
                    become_input(n, n.value)
                else:
                    index[n] = len(order)
                    order.append(n)
                    children.append(NO_NODES)
                    parts += (input_spec(n.spec.type).sig * 2 + 1, -1)
                    continue
            extra = n.extra
            if gradients and extra is not None and extra.fn is not None:
                stack.append(n)
                break
            index[n] = len(order)
            order.append(n)
            children.append(NO_NODES)
            spec = n.spec
            parts.append(spec.sig * 2 + n.requires_grad)
            if spec.op is INPUT:
                # A second integer: the layout, which decides how a kernel addresses the array.
                parts.append(-1 if not spec.type.shape or n.value.flags.c_contiguous else -2)
                if n.requires_grad:
                    leaves.append(n)
                if extra is not None and extra.cell is not None and extra.cell.value != extra.version:
                    special = True
        else:
            stack.pop()
            if node is None or node in index:
                continue
            place = len(order)
            extra = node.extra
            index[node] = place
            order.append(node)
            parts.append(node.spec.sig * 2 + node.requires_grad)
            if not node.inputs:
                if not inputs and (extra is None or extra.fn is None):      # it has just become a leaf
                    children.append(NO_NODES)
                    parts.append(-1)
                    continue
                stops.append(place)
                special = True
                of = tuple([-1 if n is None else index[n] for n in inputs])
                ctx = extra.fn.ctx                              # type: ignore[union-attr]
                first = functions.setdefault(ctx, place)        # of its outputs
                value: Any = node.value
                contiguous = not node.spec.type.shape or value.flags.c_contiguous
                parts += (-1 if contiguous else -2, extra.fn.number, first, len(of))    # type: ignore[union-attr]
            else:
                of = tuple([index[n] for n in inputs])          # type: ignore[index]
                if node.value is not None and not anew:
                    _make_contiguous(node)
                    known.add(place)
                    parts.append(-3)
                if extra is not None and extra.watch is not None and extra.watch.is_active():
                    stops.append(place)
                if node.run is not None:
                    special = True
            children.append(of)
            if len(of) != len(node.spec.op.arg_names) and node.inputs:
                parts.append(-10 - len(of))         # of an operation that takes any number
            parts += of
            if extra is not None and not special and (
                    extra.watch is not None or (extra.cell is not None and extra.cell.value != extra.version)):
                special = True
    return Capture(order, index, children, leaves, known, stops, special, parts)


def _make_contiguous(node: Node) -> None:
    """A value that was computed node by node may be a view of another."""
    if not node.value.flags.c_contiguous:
        node.value = np.ascontiguousarray(node.value)


def _reads_finished_graph(node: Node) -> bool:
    """Whether this node without gradient reads one that an earlier backward has finished with: its value is final and
    belongs to that graph, so that it enters the present one as an array."""
    for n in node.inputs:
        if n.run is not None and n.run.freed:
            return True
    return False


def between(roots: Sequence[Node], wanted: Callable[[Node], bool], least: int) -> tuple[list[Node], list[Node]]:
    """The nodes that gradients go through from the roots to the wanted ones, inputs first, wanted ones included; and those
    among them that are wanted or lead to a wanted one.

    least: the least depth of a wanted node.  An operand lies at less depth than what is computed of it: so nothing is gone
    through that lies no deeper than all that is wanted, however long the history behind."""
    order = topological(roots, lambda n: [m for m in gradient_inputs(n) if m.depth > least or wanted(m)])
    leading: list[Node] = []
    leads: set[Node] = set()
    for node in order:
        if wanted(node) or any([n in leads for n in gradient_inputs(node)]):
            leads.add(node)
            leading.append(node)
    return order, leading


def gradient_inputs(node: Node) -> Sequence[Node]:
    """The operands that a gradient may flow on to, those of Functions included."""
    if not node.inputs:
        return [n for n in function_edges(node) if n is not None]
    op = node.spec.op
    if op.shape_only and not op.history:
        return [n for i, n in enumerate(node.inputs) if n.requires_grad and i not in op.shape_only]
    return [n for n in node.inputs if n.requires_grad]


def passed(order: Sequence[Node], roots: Iterable[Node]) -> list[int]:
    """The places in an order of the nodes that a backward from some roots goes through, without leaves: not of what only values
    flow from, a detached tensor's history for instance, which stays for a backward of its own."""
    reached = set(roots)
    places: list[int] = []
    for place in range(len(order) - 1, -1, -1):
        node = order[place]
        if node in reached and node.requires_grad:
            below = gradient_inputs(node)
            if node.inputs:
                places.append(place)
            reached.update(below)
    places.reverse()
    return places


def array_of(node: Node) -> np.ndarray:
    """An array of a node's type whose content does not matter."""
    return np.empty(node.spec.type.shape, node.spec.type.dtype.np)

