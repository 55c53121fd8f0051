"""The numbers behind expressions: lengths, sizes and strides of one captured graph.

Input: expressions (expr.py) and the nodes of a graph.  Output: integers, and which numbers of a graph expressions need at all.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.dims import Sources
from jitgrad.compiler.ir.expr import Expr
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node

NOTHING: Mapping[int, int] = {}


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
            if source[0] == "most":
                return self(source[1])
            position, axis = source
            return self._order[position].type.shape[axis]
        if atom[0] == "size":
            return self._order[atom[1]].sizes[atom[2]]
        return strides(self._order[atom[1]])[atom[2]]


class Lengths(Evaluator):
    """The same for a plan, which is made for lengths alone as far as it goes: what it decides by is `decided`.

    greatest: of lengths, by symbol, that the plan is to be for as well: up to what.  indexed: whether something was decided by a
    number that changes though no other length does: a start or step of a slice, a stride, one of these lengths."""

    def __init__(self, sources: Sources, order: Sequence[Node], greatest: Mapping[int, int] = NOTHING) -> None:
        super().__init__(sources, order)
        self.greatest = greatest
        self.indexed = False
        self._depends: dict[Expr, bool] = {}

    def depends(self, expr: Expr) -> bool:
        """Whether a number changes though no length does."""
        if type(expr) is int:
            return False
        found = self._depends.get(expr)
        if found is None:
            found = self._depends[expr] = any([self._indexes(atom) for atom in E.atoms(expr)])
        return found

    def _indexes(self, atom: tuple) -> bool:
        if atom[0] != "len" or atom[1] in self.greatest:
            return True
        source = self._sources[atom[1]]
        return source[0] == "most" and self.depends(source[1])

    def decided(self, expr: Expr) -> int:
        """The number, to decide by."""
        if self.depends(expr):
            self.indexed = True
        return self(expr)

    def most(self, expr: Expr) -> int:
        """The most that a number can be for these lengths; the number itself where that is not known."""
        found = self._bound(expr)
        return self.decided(expr) if found is None else found

    def _bound(self, expr: Expr) -> int | None:
        """None where there is none.  (Lengths are never negative.)"""
        if isinstance(expr, int) or not self.depends(expr):
            return self(expr)
        if expr[0] in ("mul", "add"):
            bounds = [self._bound(x) for x in expr[2:]]
            if None in bounds:
                return None
            if expr[0] == "mul":
                return max(expr[1], 0) * math.prod(bounds)      # type: ignore[arg-type]
            return expr[1] + sum(bounds)                        # type: ignore[arg-type]
        if expr[0] != "len":
            return None
        return self.greatest[expr[1]] if expr[1] in self.greatest else self._bound(self._sources[expr[1]][2])

    def polynomial(self, expr: Expr) -> dict[tuple, int]:
        """The number as a sum of coefficient * product of the sizes and strides named, for these lengths."""
        if not self.depends(expr):
            return {(): self(expr)}
        assert not isinstance(expr, int)
        if expr[0] == "add":
            total = {(): expr[1]}
            for x in expr[2:]:
                for atoms, c in self.polynomial(x).items():
                    total[atoms] = total.get(atoms, 0) + c
            return total
        if expr[0] == "mul":
            product = {(): expr[1]}
            for x in expr[2:]:
                factor, before, product = self.polynomial(x), product, {}
                for a, c in before.items():
                    for b, d in factor.items():
                        atoms = tuple(sorted((*a, *b)))
                        product[atoms] = product.get(atoms, 0) + c * d
            return product
        return {(expr,): 1} if expr[0] != "len" or expr[1] in self.greatest else self.polynomial(self._sources[expr[1]][1])


def strides(node: Node) -> tuple[int, ...]:
    """Those of an input's array, in elements."""
    array = node.value
    size = array.itemsize
    if any([s % size and n > 1 for s, n in zip(array.strides, array.shape, strict=True)]):
        raise InternalError(f"an input of strides {array.strides} and item size {size} was not copied")
    return tuple([s // size for s in array.strides])


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
            if atom[0] == "len" and sources[atom[1]][0] == "most":
                pending += sources[atom[1]][1:]
            else:
                found.add(atom)
    return found
