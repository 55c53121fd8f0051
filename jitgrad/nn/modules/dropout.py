"""Dropout: elements that are zero at random while a module is trained (Srivastava et al. 2014)."""
from __future__ import annotations

from jitgrad.nn import functional as F
from jitgrad.nn.module import Module
from jitgrad.tensors.tensor import Tensor

__all__ = ["Dropout"]


class Dropout(Module):
    """Each element is zero with probability p, others are divided by 1 - p; in evaluation mode, the input."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with zeros in it."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"
