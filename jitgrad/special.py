"""torch.special: functions of analysis, under the names that SciPy has for them."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.missing import lookup
from jitgrad.operators import OPERATORS
from jitgrad.operators.elementwise.special import SPECIAL

__getattr__: Callable[[str], Callable] = lookup("special")
_operators = {name: op.call for name, op in OPERATORS.items() if "special" in op.places} | {
    name: OPERATORS[other].call for name, other in SPECIAL.items()}
globals().update(_operators)
__all__ = sorted(_operators)        # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted(__all__)
