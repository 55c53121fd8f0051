"""The operators without state: every one that is declared for nn.functional."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.missing import lookup
from jitgrad.operators import FUNCTIONAL

__getattr__: Callable[[str], Callable] = lookup("nn.functional")
globals().update(FUNCTIONAL)
__all__ = sorted(FUNCTIONAL)        # pyright: ignore[reportUnsupportedDunderAll]
