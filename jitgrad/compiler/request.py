"""What is to be compiled."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jitgrad.config import config
from jitgrad.graph.node import Node


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


def device_of(order: Sequence[Node]) -> str:
    """Where a graph is computed: on the device of any of its arrays that is not the CPU, beside which others are numbers."""
    for node in order:
        if node.spec.type.device != "cpu":
            return node.spec.type.device
    return "cpu"
