"""The operators without state: every one that is declared for nn.functional."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.missing import lookup
from jitgrad.operators import FUNCTIONAL
from jitgrad.random.creation import floating
from jitgrad.random.drawing import UNIFORM, kept, recorded, tensor
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
    node = input._node if input._storage is None else input._current()
    type = node.type
    factors = tensor(UNIFORM, type.shape, floating("dropout", type.dtype), None, kept, float(p), 0.0, 0.0 if p == 1 else 1 / (1 - p),
                     like=recorded(node), device=type.device)
    return input.mul_(factors) if inplace else input * factors


__all__ += ["dropout"]


def __dir__() -> list[str]:
    return sorted(__all__)
