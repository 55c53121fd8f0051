"""torch.autograd.Variable, which PyTorch keeps for programs older than 0.4: every tensor is one."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jitgrad.tensors.tensor import Tensor, from_array


class VariableMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=VariableMeta):
    """Called: the data of a tensor, without its history, as a leaf that may require gradients."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Tensor:        # type: ignore[misc]
        if volatile is not None:
            warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", UserWarning, stacklevel=2)
        if data is None:
            return from_array(np.zeros(0, np.float32))
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
