"""`x[...]`: reading, and writing through the view or at positions; and the functions that read at positions.

As in PyTorch, integers, slices, None and Ellipsis are applied first, one after the other, and give a view; tensors and
masks then read from that view.
"""
from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any, NamedTuple

import numpy as np

from jitgrad import executor, ops
from jitgrad.arraytype import array_type, broadcast_shapes
from jitgrad.dtype import bool_, int64
from jitgrad.graph import Node, input_node
from jitgrad.operators.declare import (
    Number,
    cast,
    finish,
    finish_composite,
    normal_dim,
    number_node,
    operator,
    register,
    to_node,
    view,
)
from jitgrad.operators.shape import region, selected
from jitgrad.storage import Step
from jitgrad.tensor import Tensor, from_array, wrap

Steps = tuple[Step, ...]
_UNSQUEEZE = ops.REGISTRY["unsqueeze"]


class Key(NamedTuple):
    """An index taken apart: views with their grad_fn names, then positions (tensors of int64 or bool) by dimension."""

    views: list[tuple[str, Steps]]
    positions: list[tuple[int, Tensor]]


# -- taking an index apart -------------------------------------------------------------------------------------------

def _as_tuple(key: Any) -> tuple:
    """The index as a tuple.  A list that holds more than numbers counts as one (PyTorch's rule)."""
    if isinstance(key, tuple):
        return key
    if isinstance(key, list) and len(key) < 32 and any(
            [v is None or v is Ellipsis or isinstance(v, (slice, Tensor, list, tuple, np.ndarray)) for v in key]):
        return tuple(key)
    return (key,)


def _as_position(value: Any) -> Tensor | None:
    """A tensor for what indexes by elements: tensors, arrays and sequences of integers or bools."""
    if isinstance(value, Tensor):
        tensor = value
    elif isinstance(value, (list, tuple, range, np.ndarray)):
        array = np.asarray(value)
        if not array.size:
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        tensor = from_array(array.astype(np.bool_ if array.dtype.kind == "b" else np.int64))
    else:
        return None
    if tensor.dtype.category == 2:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return tensor


def _whole_number(value: Any) -> int | None:
    """The integer that a part of an index stands for, if it is one."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, Tensor):
        if value.ndim or value.dtype.category != 1:
            return None
        return int(value._array())
    if isinstance(value, (np.ndarray, list, tuple)):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def _consumed(part: Any) -> int:
    """How many dimensions a part of an index refers to."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    if isinstance(part, Tensor) and part.dtype is bool_:
        return part.ndim
    if isinstance(part, np.ndarray) and part.dtype == np.bool_:
        return part.ndim
    if isinstance(part, list) and part:
        array = np.asarray(part)
        return array.ndim if array.dtype == np.bool_ else 1
    return 1


def _sliced(part: slice, shape: tuple[int, ...], dim: int) -> Step | None:
    """The step of a slice; None if it takes everything."""
    step = 1 if part.step is None else index(part.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    n = shape[dim]
    start, stop, _ = slice(None if part.start is None else index(part.start),
                           None if part.stop is None else index(part.stop)).indices(n)
    length = max(0, -((start - stop) // step))
    if length == n and step == 1:
        return None
    return region(shape, dim, start, length, step)


def parse(key: Any, shape: tuple[int, ...]) -> Key:
    """Take an index apart, for a tensor of this shape.  Raises IndexError, ValueError or TypeError as PyTorch does."""
    parts = _as_tuple(key)
    named = 0
    for part in parts:
        named += _consumed(part)
    if named > len(shape):
        if not shape and len(parts) == 1 and _whole_number(parts[0]) is not None:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                             "to convert a 0-dim tensor to a number")
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    views: list[tuple[str, Steps]] = []
    positions: list[tuple[int, Tensor]] = []
    dim, skipped, dropped = 0, False, 0      # dimension of the view so far; Ellipsis seen; integers so far
    for part in parts:
        if part is Ellipsis:
            if not skipped:
                dim, skipped = dim + len(shape) + dropped - named, True
                dim -= sum([1 for name, _ in views if name == "UnsqueezeBackward0"]) if False else 0
            continue
        if part is None:
            views.append(("UnsqueezeBackward0", (Step(_UNSQUEEZE, ((dim,),), None),)))
            shape = shape[:dim] + (1,) + shape[dim:]
            dim += 1
            continue
        if isinstance(part, slice):
            step = _sliced(part, shape, dim)
            if step is not None:
                views.append(("SliceBackward0", (step,)))
                shape = shape[:dim] + (step.sizes[1],) + shape[dim + 1:]       # type: ignore[index]
            dim += 1
            continue
    return Key(views, positions)
