"""The primitives.  `ops.add`, `ops.sum` ... are the declared `Op`s, callable on nodes inside rules and composites.

Importing this package fills `REGISTRY` from the tables and gives `Node` Python's arithmetic and order operators.  `==`
stays identity, because nodes are dictionary keys; write `ops.eq(a, b)`.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jitgrad.graph.node import Node, Op
from jitgrad.ops import activation, analysis, decomposition, diagonals, elementwise, indexing, linalg, movement, reduction, scan
from jitgrad.ops.declare import REGISTRY, literal
from jitgrad.ops.linalg import transposed
from jitgrad.ops.movement import number, zeros_like

__all__ = ["REGISTRY", "activation", "analysis", "decomposition", "diagonals", "elementwise", "indexing", "linalg", "literal",
           "movement", "number", "reduction", "scan", "transposed", "zeros_like"]

if TYPE_CHECKING:
    def __getattr__(name: str) -> Op: ...

globals().update(REGISTRY)


def _attach_operators() -> None:
    def binary(op: Op) -> tuple[Callable, Callable]:
        return lambda a, b: op(a, b), lambda a, b: op(b, a)

    for name, op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow"),
                     ("matmul", "matmul")):
        straight, reflected = binary(REGISTRY[op])
        setattr(Node, f"__{name}__", straight)
        setattr(Node, f"__r{name}__", reflected)
    for name in ("lt", "le", "gt", "ge"):
        setattr(Node, f"__{name}__", binary(REGISTRY[name])[0])
    neg = REGISTRY["neg"]
    Node.__neg__ = lambda self: neg(self)


_attach_operators()
