"""torch.linalg: the operators of linear algebra that are declared for it (jitgrad/operators/linalg)."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.errors import LinAlgError
from jitgrad.missing import lookup
from jitgrad.operators import OPERATORS

__getattr__: Callable[[str], Callable] = lookup("linalg")
_operators = {name.removeprefix("linalg_"): op.call for name, op in OPERATORS.items() if "linalg" in op.places}
globals().update(_operators)
__all__ = ["LinAlgError", *sorted(_operators)]        # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted(__all__)
