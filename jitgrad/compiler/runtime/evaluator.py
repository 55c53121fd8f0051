"""The numbers behind expressions: lengths, sizes and strides of one captured graph.

Input: expressions (expr.py) and the nodes of a graph.  Output: integers, and which numbers of a graph expressions need at all.
"""
from __future__ import annotations

from collections.abc import Sequence

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.dims import Sources
from jitgrad.compiler.ir.expr import Expr
from jitgrad.errors import InternalError
from jitgrad.graph import Node


class Evaluator:
    """Numbers behind expressions, for one captured graph."""

    def __init__(self, sources: Sources, order: Sequence[Node]) -> None:
        self._sources = sources
        self._order = order
        self._known: dict[Expr, int] = {}

    def __call__(self, expr: Expr) -> int:
        if type(expr) is int:
            return expr
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = E.evaluate(expr, self._atom)
        return found

    def _atom(self, atom: tuple) -> int:
        if atom[0] == "len":
            source = self._sources[atom[1]]
            if isinstance(source[0], str):
                return self(source)
            position, axis = source
            return self._order[position].type.shape[axis]
        if atom[0] == "size":
            return self._order[atom[1]].sizes[atom[2]]
        array = self._order[atom[1]].value
        elements, rest = divmod(array.strides[atom[2]], array.itemsize)
        if rest:
            raise InternalError(f"an input of strides {array.strides} and item size {array.itemsize} was not copied")
        return elements


def needed(expressions: Sequence[Expr], sources: Sources) -> set[tuple]:
    """The captured lengths, sizes and strides that expressions depend on."""
    found: set[tuple] = set()
    seen: set[Expr] = set()
    pending = list(expressions)
    while pending:
        x = pending.pop()
        if x in seen:
            continue
        seen.add(x)
        for atom in E.atoms(x):
            if atom[0] == "len" and isinstance(sources[atom[1]][0], str):
                pending.append(sources[atom[1]])
            else:
                found.add(atom)
    return found
