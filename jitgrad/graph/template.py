"""A template: a stretch of a graph as data, without the operands that it was recorded of.

What an operator records for operands of some types (operators/templates), the derivative of a graph (autograd/reverse) and a
captured function (capture/replays/) are templates.  Whoever makes one sees to it that it would be recorded again, and by which
operands it is recognised.  Templates are instantiated here, or by machine code (operators/native/record.py).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitgrad.graph.node import Composite, Node, Spec


class TemplateNode(NamedTuple):
    """One node: inputs are numbers of operands (first) and of nodes made before; leaves are numbers (`value`)."""

    spec: Spec
    inputs: tuple[int, ...]
    requires_grad: bool
    depth: int                  # above that of the deepest operand; 0: of operands that are known
    value: Any


class TemplateOwner(NamedTuple):
    """A Composite, its nodes by number."""

    name: str
    inputs: tuple[int | None, ...]
    saves: tuple[int, ...] | None
    saves_result: bool
    number: int


class Template:
    """All nodes, who owns them, by number, the numbers of the results, and what puts several results together (None: there is
    one).  lines: of each node the user's line, as far as they are to be those of the template; in_place: Extra.in_place of the
    nodes that have it."""

    __slots__ = ("nodes", "owners", "results", "make", "lines", "in_place")

    def __init__(self, nodes: list[TemplateNode], owners: dict[int, TemplateOwner], results: list[int],
                 make: Callable[[list[Any]], Any] | None = None, lines: Sequence[Any] | None = None,
                 in_place: dict[int, int | bool] | None = None) -> None:
        self.nodes = nodes
        self.owners = owners
        self.results = results
        self.make = make
        self.lines = [None] * len(nodes) if lines is None else lines
        self.in_place = in_place or {}

    @staticmethod
    def of(operands: Sequence[Node], made: Sequence[Node], results: Sequence[Node],
           make: Callable[[list[Any]], Any] | None = None, lines: Sequence[Any] | None = None) -> Template:
        """The template of nodes that were made of operands.  made: inputs first; each either a literal or of what is in these lists,
        as are the nodes that a Composite among their owners names."""
        numbers = {n: i for i, n in enumerate([*operands, *made])}
        base = max([n.depth for n in operands], default=0)
        nodes: list[TemplateNode] = []
        owners: dict[int, TemplateOwner] = {}
        in_place: dict[int, int | bool] = {}
        for n in made:
            nodes.append(TemplateNode(n.spec, tuple([numbers[m] for m in n.inputs]), n.requires_grad,
                                      max(n.depth - base, 1) if n.depth else 0, None if n.inputs else n.value))
            if n.extra is None:
                continue
            fn, held = n.extra.fn, n.extra.in_place
            if type(fn) is Composite:
                owners[numbers[n]] = TemplateOwner(
                    fn.name, tuple([None if m is None else numbers[m] for m in fn.inputs]),
                    None if fn.saves is None else tuple([numbers[m] for m in fn.saves]), fn.saves_result, fn.number)
            if held is not False:
                in_place[numbers[n]] = True if held is True else numbers.get(held, True)
        return Template(nodes, owners, [numbers[n] for n in results], make, lines, in_place)

    def instantiate(self, operands: Sequence[Node]) -> list[Node]:
        """The nodes by number: operands, and what is recorded of them."""
        made = list(operands)
        for (spec, inputs, requires_grad, pending, value), line in zip(self.nodes, self.lines):     # noqa: B905 (of one length)
            if inputs:
                below = tuple([made[k] for k in inputs])
                depth = max([n.depth for n in below])
                made.append(Node(spec, below, requires_grad, depth + 1 if depth or pending else 0, None, line))
            else:
                made.append(Node(spec, (), requires_grad, 0, value, line))
        for k, (name, given, saves, saves_result, number) in self.owners.items():
            made[k].ensure_extra().fn = Composite(name, tuple([None if i is None else made[i] for i in given]),
                                                  None if saves is None else tuple([made[i] for i in saves]), saves_result, number)
        for k, held in self.in_place.items():
            made[k].ensure_extra().in_place = held if held is True else made[held]
        return made
