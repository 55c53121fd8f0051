"""Random numbers that a captured function draws: no guards, but numbers that each replay takes anew from the generators.

A replay draws as many, in the same order, so that values and the states of generators are those of the function called as it is."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.graph.node import Node, topological
from jitgrad.random import Generator


class Draw(NamedTuple):
    """So many numbers of a generator, by the nodes of its seed and offset."""

    generator: Generator
    size: int
    seed: Node
    offset: Node


class Draws(list[Draw]):
    """Those of one capture, in order."""

    def made(self, node: Node) -> bool:
        """Whether a node depends on them."""
        return bool(self) and not {draw.offset for draw in self}.isdisjoint(topological([node]))

    def nodes(self) -> list[tuple[str, Node]]:
        """Seeds and offsets, with names."""
        return [pair for k, draw in enumerate(self) for pair in ((f"s{k}", draw.seed), (f"f{k}", draw.offset))]

    def rewind(self) -> None:
        """Have the generators draw the same once more."""
        for draw in reversed(self):
            draw.generator.move((draw.seed.value, draw.offset.value))

    def positions(self) -> list[tuple[Generator, tuple[int, int]]]:
        """Where the generators are."""
        return [(draw.generator, draw.generator.position()) for draw in self]

    def lines(self, constant: Callable[[Any], str]) -> list[str]:
        """What adds their nodes to those of a call."""
        lines = [f"s{k}, f{k} = {constant(draw.generator)}.reserve({draw.size})" for k, draw in enumerate(self)]
        made = [f"Node({constant(node.spec)}, (), False, 0, {name})" for name, node in self.nodes()]
        return [*lines, f"nodes = (*nodes, {', '.join(made)})"] if made else []
