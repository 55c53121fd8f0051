"""torch.layout and torch.memory_format: of each the one that tensors here have."""
from __future__ import annotations

from inspect import Signature


class layout(str):
    """How the elements of a tensor are stored: torch.strided."""

    __signature__ = Signature()         # as of torch.layout; of a class of C's there is none

    def __repr__(self) -> str:
        return str(self)


class memory_format(str):
    """The order of the dimensions in memory: as PyTorch's tensors have it, results of operations here are contiguous."""

    __signature__ = Signature()

    def __repr__(self) -> str:
        return str(self)


strided = layout("torch.strided")
contiguous_format = memory_format("torch.contiguous_format")
preserve_format = memory_format("torch.preserve_format")
