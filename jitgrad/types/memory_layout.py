"""torch.layout and torch.memory_format: of each the one that tensors here have."""
from __future__ import annotations


class layout(str):
    """How the elements of a tensor are stored: torch.strided."""

    def __repr__(self) -> str:
        return str(self)


class memory_format(str):
    """The order of the dimensions in memory: as PyTorch's tensors have it, results of operations here are contiguous."""

    def __repr__(self) -> str:
        return str(self)


strided = layout("torch.strided")
contiguous_format = memory_format("torch.contiguous_format")
preserve_format = memory_format("torch.preserve_format")
