"""What a name of the kernel vocabulary is: a rule for types, and what it lowers to.

A type is called by its kind: f4 f8 i4 i8, b1, and two vectors, v8f8 and v16f4, of 512 bits.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import F4, F8, I1, I4, I8, IRValue

SCALARS = ("f4", "f8", "i4", "i8", "b1")
VECTORS = {"v8f8": ("f8", 8), "v16f4": ("f4", 16)}
IR: dict[str, Any] = {"f4": F4, "f8": F8, "i4": I4, "i8": I8, "b1": I1, "v8f8": ir.VectorType(F8, 8), "v16f4": ir.VectorType(F4, 16)}
FLOATS = frozenset(["f4", "f8"])
INTS = frozenset(["i4", "i8"])
BOOL = frozenset(["b1"])
NUMBERS = FLOATS | INTS
ANY = NUMBERS | BOOL

Kinds = tuple[str, ...]


@dataclass(frozen=True)
class Intrinsic:
    """check(kinds): the kind of the result, None for none; raises TypeError.  build(builder, *values): the LLVM value."""

    arity: int
    check: Callable[[Kinds], str | None]
    build: Callable[..., Any]


def signature(name: str, given: Kinds, result: str | None) -> Callable[[Kinds], str | None]:
    """The rule that the arguments are of these kinds."""
    def check(kinds: Kinds) -> str | None:
        if kinds != given:
            raise TypeError(f"{name}({', '.join(kinds)}): needs ({', '.join(given)})")
        return result
    return check


def alike(name: str, accepted: frozenset, result: str | None = None) -> Callable[[Kinds], str]:
    """The rule that the arguments are of one kind out of those accepted, which is the result's, too, unless one is given."""
    def check(kinds: Kinds) -> str:
        first = kinds[0]
        if first not in accepted or any(kind != first for kind in kinds):
            raise TypeError(f"{name}({', '.join(kinds)}): needs arguments of one type out of "
                            f"{', '.join(sorted(accepted))}")
        return result or first
    return check


def formula_of(formula: Callable[..., IRValue]) -> Callable:
    """What builds a formula over IRValues."""
    def build(builder, *values):
        return formula(*[IRValue(builder, v) for v in values]).ir
    return build
