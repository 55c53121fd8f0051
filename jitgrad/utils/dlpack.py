"""torch.utils.dlpack: capsules of tensors for other libraries, and tensors of theirs."""
from __future__ import annotations

from typing import Any

from jitgrad.operators.exchange import from_dlpack
from jitgrad.tensors.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule of a tensor."""
    return tensor.__dlpack__()          # type: ignore[attr-defined]
