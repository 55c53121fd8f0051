"""The operators without state: every one that is declared for nn.functional."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.missing import lookup
from jitgrad.operators import FUNCTIONAL
from jitgrad.random import rand_like
from jitgrad.tensors.tensor import Tensor

__getattr__: Callable[[str], Callable] = lookup("nn.functional")
globals().update(FUNCTIONAL)
__all__ = sorted(FUNCTIONAL)        # pyright: ignore[reportUnsupportedDunderAll]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is zero with probability p, others are divided by 1 - p, while training (Srivastava et al. 2014)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    kept = rand_like(input) >= p
    scaled = kept.to(input.dtype) * (0.0 if p == 1 else 1 / (1 - p))
    return input.mul_(scaled) if inplace else input * scaled


__all__ += ["dropout"]


def __dir__() -> list[str]:
    return sorted(__all__)
