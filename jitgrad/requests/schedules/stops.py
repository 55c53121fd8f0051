"""The stops of a backward, where Python is called: what a schedule knows of them, and what it calls.

Input: places of a captured graph.  Output: `Stop`, and the interface `Callbacks`, which autograd hands in from above.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.graph.node import Node


class One:
    """The gradient of a root that is an implicit 1: its type has one."""


ONE: Any = One()


def explicit(node: Node, gradient: Any) -> Any:
    """A gradient as an array, also where it is a root's implicit 1."""
    type_ = node.spec.type
    return np.ones(type_.shape, type_.dtype.np) if gradient is ONE else gradient


class Stop(NamedTuple):
    """Where Python is called on the way back: at a place, for hooks and retain_grad; then, where all gradient of a Function
    has arrived, its backward.

    output: whether a Function's output is here.  outputs: the places of all of its outputs, if this is the last to be reached;
    edges: then, of its operands, -1 for none."""

    place: int
    output: bool = False
    outputs: tuple[int, ...] = ()
    edges: tuple[int, ...] = ()


class Callbacks:
    """What a schedule calls at its stops; gradients are arrays (or, of a recorded derivative, nodes)."""

    def visit(self, place: int, gradient: Any) -> Any:
        """All gradient of a node is there: hooks and retain_grad.  What goes on from there."""
        raise NotImplementedError

    def function(self, stop: Stop, gradients: list[Any]) -> Sequence[Any]:
        """The gradients of a Function's operands (None: none), from those of its outputs."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Something was raised on the way."""
