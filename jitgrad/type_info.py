"""What is known of dtypes: their limits (finfo, iinfo), and the dtypes of results (result_type, promote_types, can_cast)."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.operators.operands import result_dtype
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import as_dtype, dtype, get_default_dtype, of_scalar, promote


class finfo:
    """Limits of a floating dtype (the default one): eps, max, min, tiny, smallest_normal, resolution, bits."""

    def __init__(self, type: Any = None) -> None:
        self._dtype = get_default_dtype() if type is None else as_dtype(type)
        if self._dtype.category != 2:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'")
        info = np.finfo(self._dtype.np)
        self.bits, self.eps, self.max, self.min = info.bits, float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution, self.dtype = 10.0 ** -info.precision, self._dtype.name

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: max, min, bits."""

    def __init__(self, type: Any) -> None:
        to = as_dtype(type)
        if to.category != 1:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{to!r}'"
                            if to.category else "torch.bool is not supported by torch.iinfo")
        info = np.iinfo(to.np)
        self.bits, self.max, self.min, self.dtype = info.bits, int(info.max), int(info.min), to.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of an operation on two tensors or numbers."""
    values = [v._current() if isinstance(v, Tensor) else v for v in (tensor1, tensor2)]
    if not any([isinstance(v, Tensor) for v in (tensor1, tensor2)]):
        return promote((), (), [of_scalar(v) for v in values])
    return result_dtype(tuple(values))


def promote_types(type1: Any, type2: Any) -> dtype:
    """The smallest dtype that both can be cast to, tensors of them having dimensions."""
    return promote([as_dtype(type1), as_dtype(type2)])


def can_cast(from_: Any, to: Any) -> bool:
    """Whether PyTorch's promotion may write a result of one dtype to another: not from floats to integers, nor to bool."""
    return as_dtype(from_).category <= as_dtype(to).category


def typename(obj: Any) -> str:
    """The name of an object's type, of a tensor the legacy one."""
    if isinstance(obj, Tensor):
        return obj._node.spec.type.legacy
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
