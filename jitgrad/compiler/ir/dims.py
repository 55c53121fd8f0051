"""Symbolic lengths.

Input: the joint graph of values and gradients, inputs first, and which of its nodes were captured.
Output: for each node one symbol a dimension, and for each symbol the captured dimension that tells its length.
Invariant: ONE (0) stands for exactly the dimensions of length 1; two dimensions with the same symbol have the same
length at every call that has the same key.  Different symbols may have equal lengths by coincidence.

Lengths follow from the operations alone: each dimension of an input is a new symbol, broadcasting makes symbols equal,
a movement has a rule of its own (`Op.dims`), a "fresh" length is read from the recorded node.  Of concatenations along
dimensions of one length whose other parts have the same lengths, the remaining parts have the same, too.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from jitgrad.errors import InternalError
from jitgrad.graph.node import INPUT, Node

Dims = tuple[int, ...]
Sources = dict[int, tuple]       # (position, axis), or what expr.py says of a length that lowering made
MAX_TERMS = 8       # of a sum that is looked at


class DimContext:
    """What an op's `dims` rule may ask for: new symbols for the node at hand, equality of two symbols."""

    ONE = 0

    def __init__(self, captured: Mapping[Node, int]) -> None:
        self._captured = captured
        self._parent: list[int] = [0]
        self._source: Sources = {}
        self._sums: list[tuple[int, list[int]]] = []
        self._node: Node | None = None

    def at(self, node: Node) -> None:
        """Say which node the next `fresh` speaks of."""
        self._node = node

    def fresh(self, axis: int) -> int:
        """A new symbol for a dimension of the present node, which must have been captured."""
        assert self._node is not None
        position = self._captured.get(self._node)
        if position is None:
            raise InternalError(f"a derivative made {self._node}, whose length along {axis} no operand tells")
        symbol = len(self._parent)
        self._parent.append(symbol)
        self._source[symbol] = (position, axis)
        return symbol

    def find(self, symbol: int) -> int:
        """The representative of a symbol's class."""
        parent = self._parent
        while parent[symbol] != symbol:
            parent[symbol] = parent[parent[symbol]]
            symbol = parent[symbol]
        return symbol

    def unify(self, a: int, b: int) -> int:
        """Two dimensions that the operation requires to be of equal length; the common symbol."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return a
        if not a or not b:
            raise InternalError(f"{self._node}: a dimension of length 1 was taken for one of another length")
        if b < a:
            a, b = b, a
        self._parent[b] = a
        return a

    def sum(self, total: int, parts: list[int]) -> None:
        """Note that a length is the sum of others."""
        if len(parts) <= MAX_TERMS:
            self._sums.append((total, parts))

    def solve(self) -> None:
        """Make equal what follows from sums with all but one term in common."""
        changed = True
        while changed:
            changed = False
            known: dict[tuple, int] = {}
            for total, parts in self._sums:
                terms = [self.find(s) for s in (total, *parts)]
                for k, term in enumerate(terms):
                    other = known.setdefault((k, *terms[:k], *terms[k + 1:]), term)
                    if self.find(other) != self.find(term):
                        self.unify(other, term)
                        changed = True

    def sources(self) -> Sources:
        """For each symbol (position in the captured order, axis) of a dimension with its length."""
        return self._source


def broadcast(context: DimContext, node: Node, operands: Sequence[Dims]) -> Dims:
    """NumPy's rule; dimensions that are not 1 become equal."""
    result = [context.ONE] * node.type.ndim
    for dims in operands:
        lead = len(result) - len(dims)
        for i, symbol in enumerate(dims):
            if symbol:
                have = result[lead + i]
                result[lead + i] = context.unify(have, symbol) if have else symbol
    return tuple(result)


def _of_node(context: DimContext, node: Node, operands: list[Dims]) -> Dims:
    op, shape = node.op, node.type.shape
    if op.kind == "leaf":
        return tuple([context.ONE if n == 1 else context.fresh(i) for i, n in enumerate(shape)]) if op is INPUT else ()
    if op.kind == "elementwise":
        return broadcast(context, node, operands)
    if op.kind == "reduction":
        (axes,) = node.params
        return tuple([context.ONE if i in axes else d for i, d in enumerate(operands[0])])
    rule = op.dims
    if rule == "fresh":
        dims = tuple([context.ONE if n == 1 else context.fresh(i) for i, n in enumerate(shape)])
    elif isinstance(rule, str):
        dims = operands[int(rule.removeprefix("donor:"))]
    else:
        dims = tuple(rule(context, node, operands))
    if op.facts.role == "reshape":
        before, after = [d for d in operands[0] if d], [d for d in dims if d]
        if len(before) == len(after) == 1:      # one dimension before and after: all the elements
            context.unify(before[0], after[0])
    return dims


def lengths(order: Sequence[Node], captured: Mapping[Node, int]) -> tuple[dict[Node, Dims], Sources]:
    """Symbols of every node of `order`, and where their lengths are found: (position in the captured order, axis).

    Raises InternalError for a rule that contradicts the recorded types."""
    context = DimContext(captured)
    found: dict[Node, Dims] = {}
    for node in order:
        context.at(node)
        dims = _of_node(context, node, [found[n] for n in node.inputs])
        if [d == 0 for d in dims] != [n == 1 for n in node.type.shape]:
            raise InternalError(f"the dims rule of {node} gave {dims}")
        found[node] = dims
        if node.op.kind == "movement" and node.op.facts.role == "cat":
            (axis,) = node.params
            context.sum(dims[axis], [found[n][axis] for n in node.inputs])
    context.solve()
    return {node: tuple([context.find(d) for d in dims]) for node, dims in found.items()}, context.sources()
