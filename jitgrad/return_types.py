"""torch.return_types: the types of results that have names, by operator."""
from __future__ import annotations

from jitgrad.operators.result_types import RESULTS

globals().update(RESULTS)
__all__ = sorted(RESULTS)        # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted(__all__)
