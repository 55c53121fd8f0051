"""Making tensors from data, from shapes and from ranges."""
from __future__ import annotations

from jitgrad.operators.creation.data import as_tensor, asarray, from_numpy, tensor
from jitgrad.operators.creation.shapes import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    zeros,
    zeros_like,
)

__all__ = ["arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace",
           "logspace", "ones", "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like"]
