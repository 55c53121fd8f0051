"""The operators without state: every one that is declared for nn.functional."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jitgrad.operators import FUNCTIONAL

if TYPE_CHECKING:
    def __getattr__(name: str) -> Callable: ...

globals().update(FUNCTIONAL)
__all__ = sorted(FUNCTIONAL)        # pyright: ignore[reportUnsupportedDunderAll]
