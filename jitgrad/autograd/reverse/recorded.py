"""Derivatives that are recorded, so that the derivative can be taken of them again (create_graph).

Input: roots and their gradients as nodes, and what is wanted.  Output: the gradients as nodes.
Invariant: only what lies between the roots and what is wanted is gone through, however long the history behind.

The derivative of a graph like one before is instantiated from a template instead of being derived anew.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.differentiate import cotangent_map, differentiate
from jitgrad.graph.node import CONST, INPUT, Node, Spec, topological
from jitgrad.graph.recording import grad_mode
from jitgrad.graph.template import Template
from jitgrad.requests.capture import Capture, between, function_edges, gradient_inputs
from jitgrad.requests.counters import repeats
from jitgrad.requests.gradients import Wanted
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.requests.schedules.stops import Callbacks

MOST = 4096         # nodes of a derivative that is kept as a template
MAX_TEMPLATES = 4   # from roots of one spec


def record(roots: Sequence[Node], cotangents: Sequence[Node | None], wanted: Wanted | None, calls_python: Callable[[Node], bool],
           callbacks: Callable[[Sequence[Node]], Callbacks], add: Callable[[int, Node, Node], Node],
           check: Callable[[Sequence[Node], Sequence[Node]], None],
           mark: Callable[[Sequence[Node]], None]) -> tuple[Sequence[Node], dict[Node, Node]]:
    """The order of what gradients go through, and the gradients by node, recorded in the grad mode of the caller.

    calls_python(node): whether a hook, retain_grad or a Function is there; callbacks(order): what is called then.  add: the sum of
    two gradients.  check(roots, order): raises what is wrong with saved values.  mark(order): notes that it was gone through."""
    has = Wanted.of_leaves if wanted is None else wanted.has
    least = 0 if wanted is None else wanted.depth
    for template in roots[0].spec.derivatives:
        order = template.match(roots, cotangents, has, least)
        if order is not None:
            repeats[0]()
            found = template.instantiate(order, cotangents)
            leading = [order[k] for k in template.leading]
            mark(leading)
            return leading, found
    order, leading = between(roots, has, least)
    plain = not any([calls_python(n) for n in leading])
    check(roots, order)
    start = cotangent_map(roots, cotangents)
    targets = {n for n in leading if has(n)}
    try:
        if plain:
            gradients = differentiate(leading, start, targets)
        else:
            gradients = _by_segments(leading, start, targets, calls_python, callbacks, add)
    finally:
        mark(leading)
    if plain and len(order) <= MOST and len(set(roots)) == len(roots):
        template = DerivativeTemplate.of(order, leading, roots, cotangents, gradients, has)
        if template is not None:
            spec = roots[0].spec
            spec.derivatives = (template, *spec.derivatives[:MAX_TEMPLATES - 1])
    return leading, gradients


def _by_segments(order: Sequence[Node], start: dict[Node, Node], wanted: Iterable[Node], calls_python: Callable[[Node], bool],
                 callbacks: Callable[[Sequence[Node]], Callbacks],
                 add: Callable[[int, Node, Node], Node]) -> dict[Node, Node]:
    """The derivative of a graph in which Python is called: recorded segment by segment."""
    index = {n: k for k, n in enumerate(order)}
    children: list[Sequence[int]] = []
    for n in order:
        below: Sequence[Node | None] = gradient_inputs(n) if n.inputs else function_edges(n)
        places = [-1 if m is None else index.get(m, -1) for m in below]
        children.append([k for k in places if k >= 0] if n.inputs else places)
    captured = Capture(list(order), index, children, [], set(), [k for k, n in enumerate(order) if calls_python(n)], True, [])
    roots = [(index[n], True) for n in start if n in index]
    schedule = Schedule(captured, roots, (), [index[n] for n in wanted])

    def segment(number: int, taken: dict[int, Any]) -> Iterable[tuple[int, Any]]:
        part = schedule.segments[number]
        stop = [order[k] for k in part.ins]
        gives = [order[k] for k in part.gives]
        found = differentiate([*stop, *[order[k] for k in part.body]], {order[k]: g for k, g in taken.items()}, set(gives), stop)
        return [(index[n], found[n]) for n in gives if n in found]

    found = schedule.sweep({index[n]: g for n, g in start.items() if n in index}, segment, add, callbacks(order))
    return {order[k]: g for k, g in found.items()}


# -- templates -------------------------------------------------------------------------------------------------------

def _kinds(cotangents: Sequence[Node | None]) -> tuple:
    """What a derivative depends on beside its graph."""
    return (grad_mode.enabled, *[g and (g.requires_grad, g.spec.type) for g in cotangents])


@dataclass(slots=True, eq=False)
class DerivativeTemplate:
    """A graph, by which a derivative is recognised, and the template of the derivative.

    leading: places of what gradients go through; the rest of the order is there to tell that it leads to nothing that is wanted.
    visits: of each node of the order its place, where it is found (a root, or operand of another), spec and what there is to know of
    its operands: of each, whether it is in the order; else whether it requires a gradient, and its op or, of a literal, its spec.
    repeats, shared: further uses of nodes of the order, and of operands outside it, which have to be the same again.
    operands: those of the template that are neither of the order, which come first, nor cotangents, which come last: of which node of
    the order, and which of its operands.  gradients: of wanted places, the number of a node of the template."""

    size: int
    leading: list[int]
    kinds: tuple
    visits: list[tuple]
    repeats: list[tuple]
    shared: list[tuple]
    targets: set[int]
    template: Template
    operands: list[tuple[int, int]]
    gradients: dict[int, int]

    @staticmethod
    def of(order: Sequence[Node], leading: Sequence[Node], roots: Sequence[Node], cotangents: Sequence[Node | None],
           gradients: dict[Node, Node], wanted: Callable[[Node], bool]) -> DerivativeTemplate | None:
        """The template of a derivative that was recorded; None where it holds arrays of its own."""
        index = {n: k for k, n in enumerate(order)}
        outside: dict[Node, tuple[int, int]] = {}
        for k, n in enumerate(order):
            for i, m in enumerate(n.inputs):
                if m not in index:
                    outside.setdefault(m, (k, i))
        given = [g for g in cotangents if g is not None]
        known = {*order, *outside}
        if any([g in known for g in given]) or len(set(given)) < len(given):
            return None                 # one that is an operand, too, or another's: the next one may be none
        known.update(given)
        made = [n for n in topological(gradients.values(), lambda n: () if n in known else n.inputs) if n not in known]
        if len(made) > MOST or any([n.spec.op is INPUT or n.extra is not None for n in made]):
            return None
        template = Template.of([*order, *outside, *given], made, list(gradients.values()))
        visits: list[tuple[int, int, int, Spec, tuple]] = []
        repeats: list[tuple[int, int, int]] = []
        shared: list[tuple[int, int, int, int]] = []
        seen: set[Node] = set()
        stack: list[tuple[int, Sequence[Node]]] = [(-1, roots)]
        while stack:
            user, below = stack.pop()
            for i, n in enumerate(below):
                if n not in index:
                    continue
                if n in seen:
                    repeats.append((user, i, index[n]))
                    continue
                seen.add(n)
                if not n.inputs and n.extra is not None and n.extra.fn is not None:
                    return None
                for j, m in enumerate(n.inputs):
                    if m not in index and outside[m] != (index[n], j):
                        shared.append((index[n], j, *outside[m]))
                operands = tuple([True if m in index else (m.requires_grad, m.spec if m.spec.op is CONST else m.spec.op)
                                  for m in n.inputs])
                visits.append((index[n], user, i, n.spec, operands))
                stack.append((index[n], n.inputs))
        return DerivativeTemplate(len(order), [index[n] for n in leading], _kinds(cotangents), visits, repeats, shared,
                                  {k for k, n in enumerate(order) if wanted(n)}, template, list(outside.values()),
                                  dict(zip([index[n] for n in gradients], template.results, strict=True)))

    def match(self, roots: Sequence[Node], cotangents: Sequence[Node | None], wanted: Callable[[Node], bool],
              least: int) -> list[Node] | None:
        """The order between the roots and what is wanted, if it is the template's and nothing in it was freed or overwritten."""
        if _kinds(cotangents) != self.kinds:
            return None
        order: list[Any] = [None] * self.size
        targets = self.targets
        for place, user, k, spec, operands in self.visits:
            n = roots[k] if user < 0 else order[user].inputs[k]
            if n.spec is not spec or not n.requires_grad or (n.run is not None and n.run.freed) or wanted(n) is not (place in targets):
                return None
            extra = n.extra
            if extra is not None and (extra.watch is not None or (extra.cell is not None and extra.cell.value != extra.version) or (
                    extra.fn is not None and not n.inputs)):
                return None
            if place in targets and not n.inputs:
                order[place] = n
                continue
            for m, known in zip(n.inputs, operands):        # noqa: B905 (of one length)
                if known is not True:
                    spec = m.spec
                    extra = m.extra
                    if extra is not None and extra.cell is not None and extra.cell.value != extra.version:
                        return None
                    if m.requires_grad is not known[0] or (spec.op is not known[1] and spec is not known[1]) or (
                            known[0] and (m.depth > least or wanted(m))):
                        return None
            order[place] = n
        for user, k, place in self.repeats:
            if (roots[k] if user < 0 else order[user].inputs[k]) is not order[place]:
                return None
        for user, k, other, j in self.shared:
            if order[user].inputs[k] is not order[other].inputs[j]:
                return None
        return order if len(set(order)) == self.size else None         # what was two nodes may be one now

    def instantiate(self, order: Sequence[Node], cotangents: Sequence[Node | None]) -> dict[Node, Node]:
        """The gradients of the wanted nodes of another order."""
        outside = [order[k].inputs[i] for k, i in self.operands]
        made = self.template.instantiate([*order, *outside, *[g for g in cotangents if g is not None]])
        return {order[k]: made[number] for k, number in self.gradients.items()}
