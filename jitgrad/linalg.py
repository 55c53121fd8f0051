"""torch.linalg: the operators of linear algebra that are declared for it (jitgrad/operators/linalg)."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jitgrad.errors import LinAlgError
from jitgrad.operators import OPERATORS

if TYPE_CHECKING:
    def __getattr__(name: str) -> Callable: ...

_operators = {name.removeprefix("linalg_"): op.call for name, op in OPERATORS.items() if "linalg" in op.places}
globals().update(_operators)
__all__ = ["LinAlgError", *sorted(_operators)]        # pyright: ignore[reportUnsupportedDunderAll]
