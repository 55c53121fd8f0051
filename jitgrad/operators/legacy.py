"""The legacy constructors, torch.Tensor(2, 3) and torch.FloatTensor([1, 2]), and the types of tensors that isinstance knows."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.operators.creation.data import from_data, is_sequence
from jitgrad.operators.creation.results import finished, sizes
from jitgrad.operators.views.view import view
from jitgrad.tensors.tensor import Size, Tensor
from jitgrad.types.device import placement
from jitgrad.types.dtype import bool_, dtype, float32, float64, get_default_dtype, int8, int16, int32, int64, uint8

__all__ = ["BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "IntTensor", "LongTensor", "ShortTensor"]


def legacy_tensor(args: tuple[Any, ...], to: dtype | None = None, *, size: Any = None, data: Any = None, device: Any = None) -> Tensor:
    """Of these sizes, filled with 0; of this data, in `to` (the default dtype); or another tensor on a tensor's storage."""
    where = placement(device, "new")
    args = args or tuple([v for v in (size, data) if v is not None])
    kind = to or get_default_dtype()
    if not args:
        return finished(np.zeros(0, kind.np), device=where)
    first = args[0]
    if len(args) > 1 or size is not None or isinstance(first, (int, Size)):
        return finished(np.zeros(sizes("new", args), kind.np), device=where)
    if isinstance(first, Tensor):
        if to is not None and first.dtype is not to:
            raise TypeError(f"expected a tensor of {to!r} (got one of {first.dtype!r}): convert it with to()")
        return view(first, (), "AliasBackward0")
    if not isinstance(first, (str, bytes, np.ndarray)) and not is_sequence(first):
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
    return from_data(first, kind, where)


class TensorType(type):
    """The type of FloatTensor and its kin: their instances are the tensors of one dtype."""

    dtype: dtype
    is_cuda = False

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, **named: Any) -> Tensor:
        return legacy_tensor(args, cls.dtype, **named)

    def __repr__(cls) -> str:
        return f"<class '{cls.dtype.legacy}'>"


def _tensor_type(to: dtype) -> Any:
    name = to.legacy.removeprefix("torch.")
    doc = f"Tensors of {to!r}; called, the legacy constructor of one, from sizes or from data."
    return TensorType(name, (), {"dtype": to, "__doc__": doc, "__module__": "jitgrad"})


FloatTensor, DoubleTensor, IntTensor, LongTensor, BoolTensor = map(_tensor_type, (float32, float64, int32, int64, bool_))
ByteTensor, CharTensor, ShortTensor = map(_tensor_type, (uint8, int8, int16))


def _init(self: Tensor, *args: Any, **named: Any) -> None:
    if hasattr(self, "_node"):          # made by a subclass's __new__
        return
    made = legacy_tensor(args, **named)
    self._node, self._storage = made._node, made._storage
    vars(self).update(vars(made))


def new(self: Tensor, *args: Any, **named: Any) -> Tensor:
    """The legacy constructor of tensors of this one's dtype."""
    return legacy_tensor(args, self.dtype, **{"device": self.device, **named})


_init.__doc__ = legacy_tensor.__doc__
Tensor.__init__ = _init         # type: ignore[method-assign]
Tensor.new = new                # type: ignore[attr-defined]
