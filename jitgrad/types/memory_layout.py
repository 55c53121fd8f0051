"""torch.layout and torch.memory_format: of each the one that tensors here have."""
from __future__ import annotations


class _Named:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:        # there is one of each name
        return self._name


class layout(_Named):
    """How the elements of a tensor are stored: torch.strided."""


class memory_format(_Named):
    """The order of the dimensions in memory: as PyTorch's tensors have it, results of operations here are contiguous."""


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
