"""Integer expressions over lengths that are known only at run time: lengths, strides, offsets.

Input: symbols of dims.py, run-time sizes, strides of strided inputs.  Output: canonical, hashable expressions.
Invariant: expressions that are equal as Python objects are equal numbers at every call; the converse need not hold.

An expression is an int, or one of

    ("len", s)            the length behind symbol s
    ("size", p, k)        order[p].sizes[k]
    ("stride", p, axis)   the stride of the array of order[p] along axis, in elements
    ("mul", c, x, ...)    c * x * ..., c an int, the factors sorted
    ("add", c, x, ...)    c + x + ...

A length that lowering made has instead of a recorded dimension, in `Sources`, ("most", x, y): x, which is at most y.
"""
from __future__ import annotations

from collections.abc import Callable

Expr = int | tuple
Atom = Callable[[tuple], int]


def length(symbol: int) -> Expr:
    """The length of a dimension: 1 for the symbol ONE (0)."""
    return ("len", symbol) if symbol else 1


def _combine(kind: str, neutral: int, operands: tuple[Expr, ...]) -> tuple[int, list[tuple]]:
    constant, rest = neutral, []
    for x in operands:
        if isinstance(x, int):
            constants, terms = x, ()
        elif x[0] == kind:
            constants, terms = x[1], x[2:]
        else:
            constants, terms = neutral, (x,)
        constant = constant * constants if kind == "mul" else constant + constants
        rest += terms
    return constant, rest


def mul(*operands: Expr) -> Expr:
    """The product, flattened and sorted."""
    constant, rest = _combine("mul", 1, operands)
    if constant == 0 or not rest:
        return constant
    if constant == 1 and len(rest) == 1:
        return rest[0]
    return ("mul", constant, *sorted(rest, key=repr))


def add(*operands: Expr) -> Expr:
    """The sum, flattened and sorted."""
    constant, rest = _combine("add", 0, operands)
    if not rest:
        return constant
    if constant == 0 and len(rest) == 1:
        return rest[0]
    return ("add", constant, *sorted(rest, key=repr))


def evaluate(expr: Expr, atom: Atom) -> int:
    """The number; `atom` gives the value of a "len", "size" or "stride"."""
    if isinstance(expr, int):
        return expr
    kind = expr[0]
    if kind == "mul":
        result = expr[1]
        for x in expr[2:]:
            result *= evaluate(x, atom)
        return result
    if kind == "add":
        result = expr[1]
        for x in expr[2:]:
            result += evaluate(x, atom)
        return result
    return atom(expr)


def atoms(expr: Expr) -> list[tuple]:
    """The run-time numbers that an expression depends on."""
    if isinstance(expr, int):
        return []
    if expr[0] in ("mul", "add"):
        return [a for x in expr[2:] for a in atoms(x)]
    return [expr]


def text(expr: Expr, names: Callable[[tuple], str]) -> str:
    """For people: `a*b + 3`."""
    if isinstance(expr, int):
        return str(expr)
    kind, rest = expr[0], expr[2:]
    if kind == "mul":
        words = [str(expr[1])] if expr[1] != 1 else []
        return "*".join(words + [text(x, names) for x in rest])
    if kind == "add":
        return " + ".join([text(x, names) for x in rest] + ([str(expr[1])] if expr[1] else []))
    return names(expr)
