"""Operators for which backward calls Python: hooks on their grad_fn, and hooks on what they save.

Input: the node of an operator's result.  Output: an `Operation`, the context that stands where a Function's does: from then on
the node has no operands, and backward asks the context for the gradients of what the operator was applied to.
Invariant: without hooks that change something the gradients are those of the operator.
"""
from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from jitgrad import tracing
from jitgrad.autograd.function import PyFunction
from jitgrad.autograd.reverse.hooks import NodeHooks
from jitgrad.autograd.reverse.owners import composite, edges, fn_name, output_number
from jitgrad.autograd.reverse.saved_hooks import Packed, installed
from jitgrad.autograd.reverse.saved_values import FREED, checked_nodes, saved_nodes, stale_message, viewed
from jitgrad.differentiate import differentiate, operand_gradients
from jitgrad.graph.node import CONST, SCALAR, Node, is_stale, topological
from jitgrad.graph.recording import apply_spec, in_grad_mode, input_spec
from jitgrad.requests.execute import value
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import wrap


class Operation(NodeHooks):
    """One application of an operator."""

    _is_grad_fn = False         # the object that users see is a GradFn
    _reason = "a hook on this grad_fn, or on what it saves"
    _freed = False

    def __init__(self, outputs: Mapping[int, Node]) -> None:
        """outputs: of the operator, by number.  They keep this, which does not keep them."""
        some = next(iter(outputs.values()))
        numbers = {n: i for i, n in outputs.items()}
        self._name = fn_name(some)
        self._edges = edges(some)
        saved = [n for node in outputs.values() for n in saved_nodes(node)]
        self._saves = bool(saved)
        checked = [n for node in outputs.values() for n in checked_nodes(node)]
        self._checked = [n for n in checked if n not in numbers]
        self._checked_outputs = [numbers[n] for n in checked if n in numbers]
        self._outputs: list[weakref.ref[Node] | None] = [None] * (max(outputs) + 1)
        self._inner: list[Node | None] = [None] * (max(outputs) + 1)        # as they were recorded
        self._packed: list[tuple[Node, Packed]] = []         # of what was saved, what hooks have made of it
        for n in dict.fromkeys(saved):
            value(n)
        for number, node in outputs.items():
            self._take(number, node)

    def name(self) -> str:
        """PyTorch's name of the backward function."""
        return self._name

    def _take(self, number: int, node: Node) -> None:
        """Make the node of an output one without operands."""
        array = value(node)
        inner = Node(node.spec, node.inputs, True, node.depth, array, node.line)
        inner.run = node.run
        extra = node.ensure_extra()
        if extra.in_place:
            inner.ensure_extra().in_place = extra.in_place
        self._inner[number] = inner
        self._outputs[number] = weakref.ref(node)
        extra.fn = PyFunction(self, number)
        node.spec, node.inputs, node.run = input_spec(node.spec.type), (), None

    def keep(self, saved: Node, packed: Packed) -> None:
        """Read something that was saved from what hooks have made of it."""
        number = next((i for i, ref in enumerate(self._outputs) if ref is not None and ref() is saved), None)
        inner = saved if number is None else self._inner[number]
        assert inner is not None
        self._packed.append((inner, packed))

    def _gradients(self, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
        """The gradients of the operands, from those of the outputs."""
        if self._saves and (self._freed or any([n is not None and n.run is not None and n.run.freed for n in self._inner])):
            raise RuntimeError(FREED)
        if not self._packed:            # what hooks have kept cannot be overwritten
            for n in self._checked:
                if is_stale(viewed(n)):
                    raise RuntimeError(stale_message(n))
            for number in self._checked_outputs:
                ref = self._outputs[number]
                node = None if ref is None else ref()
                if node is not None and is_stale(viewed(node)):
                    raise RuntimeError(stale_message(node, True))
        return in_grad_mode(create_graph, self._called, grads, create_graph)

    def _called(self, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
        given = self._before([None if g is None else wrap(g) for g in grads])
        found = self._derivative([None if g is None else g._current() for g in given], create_graph)
        return [None if g is None else g._current() for g in self._after([None if g is None else wrap(g) for g in found], given)]

    def _release(self) -> None:
        """Let go of what hooks have made of what was saved."""
        self._freed = True
        self._packed = []

    def _derivative(self, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
        """The gradients of the operands.  Of one that comes twice in an operator of several primitives, all with its first."""
        below = {n for n in self._edges if n is not None}
        start = {n: g for n, g in zip(self._inner, grads, strict=True) if n is not None and g is not None}
        if not start:
            return [None] * len(self._edges)
        [node, *others] = start
        if not others and tuple([n for n in node.inputs if n in below or n.requires_grad]) == self._edges:
            gradients = operand_gradients(node, start[node], below, {})
            found = [g for n, g in zip(node.inputs, gradients, strict=True) if n in below]
        else:
            order = topological(list(start), lambda n: () if n in below else n.inputs)
            by_node = differentiate(order, start, {n for n in below if n.requires_grad}, below)
            found = [None if n is None else by_node.pop(n, None) for n in self._edges]
        return self._of_unpacked(found, {*below, *start.values()}, create_graph) if self._packed else found

    def _of_unpacked(self, found: list[Node | None], given: set[Node], create_graph: bool) -> list[Node | None]:
        """The gradients, computed of what hooks give for what was saved."""
        made: dict[Node, Node] = {}
        for n, packed in self._packed:
            history = None
            if create_graph:
                ref = self._outputs[self._inner.index(n)] if n in self._inner else None
                history = (None if ref is None else ref()) or n
            made[n] = packed.unpacked(history)._current()
        for n in topological([g for g in found if g is not None], lambda n: () if n in given or n in made else n.inputs):
            if n not in made:
                made[n] = n if n in given or not n.inputs else apply_spec(n.spec, tuple([made[m] for m in n.inputs]))
        return [None if g is None else made[g] for g in found]


def operation(node: Node) -> NodeHooks:
    """The context of the operator, or Function, whose result a node is."""
    node = gradient_edge(node)
    fn = None if node.extra is None else node.extra.fn
    if fn is not None and composite(node) is None:
        return fn.ctx
    tracing.refuse("it registers a hook on a grad_fn")
    return Operation({output_number(node): node})


def keep_saved(nodes: Sequence[Node], arguments: Mapping[str, Any]) -> None:
    """What an operator saves, given to the hooks in force, as PyTorch does: by the names of the arguments, results last.

    nodes: its results.  Only those of operators that save something become those of an Operation."""
    outputs = {i: n for i, n in enumerate(nodes) if n.requires_grad and n.inputs}
    if not installed.pairs or not outputs:
        return
    saved = [n for node in outputs.values() for n in saved_nodes(node) if n.op is not SCALAR and n.op is not CONST]
    if len(outputs) > 1:
        saved = list(dict.fromkeys(saved))
    if not saved:
        return
    names = {n: "self" if name == "input" else name for name, n in arguments.items() if type(n) is Node}
    results = {*outputs.values()}
    saved.sort(key=lambda n: (2, "") if n in results else (0, names[n]) if n in names else (1, ""))
    made = Operation(outputs)
    for n in saved:
        made.keep(n, Packed(wrap(n)))
