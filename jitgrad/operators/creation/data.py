"""Tensors from data: numbers, nested sequences, arrays, other tensors, what other libraries have."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jitgrad.operators.conversion import moved, to_dtype
from jitgrad.operators.creation.results import NO_GRADIENTS, finished
from jitgrad.operators.exchange import from_interface
from jitgrad.operators.traced_array import TracedArray, array_tensor
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.device import DeviceLike, placement
from jitgrad.types.dtype import REAL, as_dtype, dtype, from_numpy_dtype, get_default_dtype, refuse_complex


def is_sequence(value: Any) -> bool:
    """Whether PyTorch takes a value for a sequence: what has a length and items by position, a deque among them."""
    kind = type(value)
    return kind is list or kind is tuple or (hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not isinstance(
        value, (str, bytes, dict, Tensor, np.ndarray, np.generic)))


def _sequence_array(data: Any) -> np.ndarray:
    """Nested sequences of numbers as an array.  Raises as PyTorch does for ragged ones and for what is no number."""
    try:
        if isinstance(data, (list, tuple, range)):
            array = np.array(data)
            if array.dtype.kind in "bif" and (array.size or array.dtype == np.float64):
                return array
    except (ValueError, TypeError, RuntimeError, OverflowError):
        pass                    # gone through element by element below, for the error or the tensors among them
    if isinstance(_first(data), str):
        raise ValueError("too many dimensions 'str'")
    flat: list[Any] = []
    shape = _collect(data, 0, flat)
    array = np.array(flat) if flat else np.zeros(0)
    if array.dtype.kind not in "bif":
        raise ValueError("Overflow when unpacking long long") if array.dtype.kind in "uO" else _not_a_number(flat[0])
    return array.reshape(shape)


def _collect(data: Any, level: int, flat: list[Any]) -> tuple[int, ...]:
    """Append the numbers in `data` to `flat`; the shape of what was appended."""
    if isinstance(data, Tensor):
        flat.extend(data._array().ravel().tolist())
        return tuple(data.shape)
    if isinstance(data, np.ndarray):
        flat.extend(data.ravel().tolist())
        return data.shape
    if not is_sequence(data):
        if not isinstance(data, REAL):
            raise _not_a_number(data)
        flat.append(data)
        return ()
    shapes = [_collect(v, level + 1, flat) for v in data]
    for v, shape in zip(data, shapes, strict=True):
        if shape != shapes[0]:
            if not shapes[0] or not shape:
                raise TypeError(f"tensor(): not a sequence at dim {level + 1} (got {type(v).__name__}): the nested "
                                "sequences must be of equal length and depth")
            raise ValueError(f"expected sequence of length {shapes[0][0]} at dim {level + 1} (got {shape[0]})")
    return (len(data), *(shapes[0] if shapes else ()))


def _first(data: Any) -> Any:
    """The first number in nested sequences, or the first tensor or array."""
    while is_sequence(data) and len(data):
        data = data[0]
    return data


def _not_a_number(value: Any) -> Exception:
    refuse_complex(value)
    if isinstance(value, (str, bytes)):
        return TypeError(f"new(): invalid data type '{type(value).__name__}'")
    return RuntimeError(f"Could not infer dtype of {type(value).__name__}")


def _data_array(data: Any, to: dtype | None) -> np.ndarray:
    """A fresh array of the data, in `to` or the dtype that PyTorch infers."""
    if isinstance(data, Tensor):
        array = data._array()
        return array.astype(array.dtype if to is None else to.np, order="C")
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        if to is None:
            to = from_numpy_dtype(array.dtype)
        elif array.dtype.kind not in "biuf":
            from_numpy_dtype(array.dtype)
        return array.astype(to.np, order="C")
    if isinstance(data, (int, float)):
        array = np.asarray(data)
        if array.dtype.kind not in "bif":
            raise ValueError("Overflow when unpacking long long")
    elif is_sequence(data):
        array = _sequence_array(data)
        first = _first(data)
        if to is None and isinstance(first, (Tensor, np.ndarray, np.generic)) and array.dtype.kind == "f":
            known = first.dtype.np if isinstance(first, Tensor) else first.dtype
            to = from_numpy_dtype(known) if known.kind == "f" else None
    elif hasattr(data, "__array__"):
        return _data_array(np.asarray(data), to)
    else:
        raise _not_a_number(data)
    if to is None:
        to = get_default_dtype() if array.dtype.kind == "f" else from_numpy_dtype(array.dtype)
    if to.category == 1 and to.itemsize < 8 and array.dtype.kind == "i" and array.size:
        limits = np.iinfo(to.np)
        if not limits.min <= array.min() <= array.max() <= limits.max:
            raise RuntimeError(f"value cannot be converted to type {to.name} without overflow")
    return np.asarray(array, to.np)


def from_data(data: Any, to: dtype | None, device: str = "cpu") -> Tensor:
    """A tensor with a copy of the data, in `to` or the dtype that PyTorch infers."""
    if type(data) is TracedArray:
        return moved(array_tensor(data, to), device)
    if type(data) not in _HERE and hasattr(data, "__cuda_array_interface__") and not isinstance(data, Tensor):
        found = from_interface(data)
        return moved(found if to is None else to_dtype(found, to), device).clone()          # type: ignore[attr-defined]
    return finished(_data_array(data, to), device=device)


_HERE = {list, tuple, float, int, bool, np.ndarray}         # what is on the host, of the types that are met


def tensor(data: Any, *, dtype: dtype | None = None, device: DeviceLike = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """A leaf tensor with a copy of the data: a number, nested sequences, an array, or a tensor.

    Floats become the default dtype, ints int64, bools bool; arrays keep their dtype."""
    where = placement(device, "tensor")
    if isinstance(data, Tensor):
        if device is None:
            where = data._node.spec.type.device
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
    result = from_data(data, None if dtype is None else as_dtype(dtype), where)
    if requires_grad:
        if result.dtype.category != 2:
            raise RuntimeError(NO_GRADIENTS)
        result.requires_grad_()
    return result


def as_tensor(data: Any, dtype: dtype | None = None, device: DeviceLike = None) -> Tensor:
    """A tensor with the data: a tensor itself, in `dtype`; of anything else a copy."""
    where = placement(device, "as_tensor")
    if isinstance(data, Tensor):
        result = data if dtype is None else to_dtype(data, dtype)
        return result if device is None else moved(result, where)
    if type(data) not in _HERE and hasattr(data, "__cuda_array_interface__"):
        found = from_interface(data)
        return moved(found if dtype is None else to_dtype(found, dtype), "cuda:0" if device is None else where)
    return from_data(data, None if dtype is None else as_dtype(dtype), where)


def asarray(obj: Any, *, dtype: dtype | None = None, device: DeviceLike = None, copy: bool | None = None,
            requires_grad: bool = False) -> Tensor:
    """as_tensor(), which copies a tensor too if `copy`."""
    result = as_tensor(obj, dtype, device)
    if copy and result is obj:
        result = finished(result._array().copy(), device=result._node.spec.type.device)
    return result.requires_grad_() if requires_grad else result


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor with a copy of an array (PyTorch shares its memory)."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return array_tensor(ndarray)
