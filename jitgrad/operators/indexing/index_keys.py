"""What stands in the brackets of `x[...]`, taken apart: views first, then positions.

As in PyTorch, integers, slices, None and Ellipsis are applied first, one after the other, and give a view; tensors and
masks then read from that view.
"""
from __future__ import annotations

from operator import index
from typing import Any, NamedTuple

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.operands import cast
from jitgrad.operators.provenance import warn_user
from jitgrad.operators.traced_array import TracedArray, array_tensor
from jitgrad.operators.views.shape import region, selected
from jitgrad.ops.indexing import check_positions
from jitgrad.requests import execute
from jitgrad.tensors.steps import Step
from jitgrad.tensors.storage import stamp
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.types.array import array_type, broadcast_shapes
from jitgrad.types.dtype import bool_, int64, uint8

Steps = tuple[Step, ...]
_UNSQUEEZE = ops.REGISTRY["unsqueeze"]


class Key(NamedTuple):
    """An index taken apart: views with their grad_fn names, then positions (tensors of int64 or bool) by dimension."""

    views: list[tuple[str, Steps]]
    positions: list[tuple[int, Tensor]]


def _as_tuple(key: Any) -> tuple:
    """The index as a tuple.  A list that holds more than numbers counts as one (PyTorch's rule).  Of uint8 a tensor is a mask."""
    if isinstance(key, tuple):
        return tuple([_mask(v) for v in key]) if any([isinstance(v, Tensor) and v.dtype is uint8 for v in key]) else key
    if isinstance(key, list) and len(key) < 32 and any(
            [v is None or v is Ellipsis or isinstance(v, (slice, Tensor, list, tuple, np.ndarray)) for v in key]):
        return _as_tuple(tuple(key))
    return (_mask(key),)


def _mask(part: Any) -> Any:
    """A part of an index; of uint8, which selects, as bools."""
    if not isinstance(part, Tensor) or part.dtype is not uint8:
        return part
    warn_user("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.")
    return wrap(cast(part._current(), bool_))


def _as_position(value: Any) -> Tensor | None:
    """A tensor for what indexes by elements: tensors, arrays and sequences of integers or bools."""
    if isinstance(value, Tensor):
        tensor = value
    elif type(value) is TracedArray and value.dtype.kind == "i":
        tensor = array_tensor(value, int64)
    elif isinstance(value, (list, tuple, range, np.ndarray)):
        array = np.asarray(value)
        if not array.size and array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        tensor = from_array(array.astype(np.bool_ if array.dtype.kind == "b" else np.int64))
    else:
        return None
    if tensor.dtype.category == 2 or not tensor.dtype.in_kernels:
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
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and (value.ndim or value.dtype.kind not in "iu")):
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
    """The step of a slice; None for one without bounds.

    A bound counts even if it leaves everything: `x[:k]` has the same structure for every k."""
    if part.start is None and part.stop is None and (part.step is None or part.step == 1):
        return None
    step = 1 if part.step is None else index(part.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        raise ValueError("step must be greater than zero")
    n = shape[dim]
    start, stop, _ = slice(None if part.start is None else index(part.start),
                           None if part.stop is None else index(part.stop)).indices(n)
    length = max(0, -((start - stop) // step))
    kind = part.step is None and ("prefix" if part.start is None else "suffix" if part.stop is None else "unit")
    return region(shape, dim, start, length, step, kind)


def parse(key: Any, shape: tuple[int, ...]) -> Key:
    """Take an index apart, for a tensor of this shape.  Raises IndexError, ValueError or TypeError as PyTorch does."""
    parts = _as_tuple(key)
    if sum(map(_consumed, parts)) > len(shape):
        if not shape and len(parts) == 1 and _whole_number(parts[0]) is not None:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
                             "C++ to convert a 0-dim tensor to a number")
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    views: list[tuple[str, Steps]] = []
    positions: list[tuple[int, Tensor]] = []
    dim = gone = 0      # where the next part applies in the view so far; how many dimensions integers have taken away
    for i, part in enumerate(parts):
        if part is Ellipsis:
            dim = len(shape) - sum(map(_consumed, parts[i + 1:]))
        elif part is None:
            views.append(("UnsqueezeBackward0", (Step(_UNSQUEEZE, ((dim,),), None),)))
            shape = shape[:dim] + (1,) + shape[dim:]
            dim += 1
        elif isinstance(part, slice):
            step = _sliced(part, shape, dim)
            if step is not None:
                views.append(("SliceBackward0", (step,)))
                shape = shape[:dim] + (step.sizes[1],) + shape[dim + 1:]       # type: ignore[index]
            elif len(parts) == 1:
                views.append(("SliceBackward0", ()))
            dim += 1
        elif (number := _whole_number(part)) is not None:
            if not -shape[dim] <= number < shape[dim]:
                raise IndexError(f"index {number} is out of bounds for dimension {dim + gone} with size {shape[dim]}")
            views.append(("SelectBackward0", selected(shape, dim, number)))
            shape = shape[:dim] + shape[dim + 1:]
            gone += 1
        elif isinstance(part, (bool, np.bool_)) or (isinstance(part, (Tensor, np.ndarray)) and not part.ndim):
            if not isinstance(part, (bool, np.bool_)):
                _as_position(part)          # which refuses floats
            views.append(("UnsqueezeBackward0", (Step(_UNSQUEEZE, ((dim,),), None),)))
            shape = shape[:dim] + (1,) + shape[dim:]
            positions.append((dim, from_array(np.array([bool(part)]))))
            dim += 1
        else:
            tensor = _as_position(part)
            if tensor is None:
                raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
                                 f"valid indices (got {type(part).__name__})")
            width = _consumed(tensor)
            if tensor.dtype is bool_ and tuple(tensor.shape) != shape[dim:dim + width]:
                at = next(i for i, (n, m) in enumerate(zip(tensor.shape, shape[dim:], strict=False)) if n != m)
                raise IndexError(f"The shape of the mask {list(tensor.shape)} at index {at} does not match the shape "
                                 f"of the indexed tensor {list(shape)} at index {dim + at}")
            positions.append((dim, tensor))
            dim += width
    return Key(views, positions)


def _on_device_of(source: Node, positions: Node) -> Node:
    """Positions of the CPU for a tensor on a device.  Raises RuntimeError in PyTorch's words for others."""
    if positions.type.device != "cpu":
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    return input_node(execute.value(positions), array_type(positions.type.shape, int64, source.type.device))


def read_at(key: Key, source: Node) -> tuple[tuple[int, ...], list[Node]]:
    """The dimensions of `source` that are read at positions, and the positions: int64 nodes of one shape.

    Raises IndexError for positions out of range, if their values are there already; otherwise that waits until they are."""
    axes: list[int] = []
    nodes: list[Node] = []
    for dim, tensor in key.positions:
        node = tensor._current()
        if node.type.dtype is bool_:
            cell = tensor._ensure_storage().cell
            for i, array in enumerate(np.nonzero(execute.on_host(node, "an index of bools"))):
                axes.append(dim + i)
                nodes.append(input_node(array, array_type(array.shape, int64, source.type.device)))
                stamp(nodes[-1], cell)      # a write to the mask is seen by what has read at these positions
        else:
            axes.append(dim)
            if node.type.device != source.type.device:
                nodes.append(_on_device_of(source, cast(node, int64)))
            else:
                nodes.append(cast(node, int64))
            trace = tracing.current()
            length = source.type.shape[dim]
            if node.value is not None and node.type.device == "cpu" and (trace is None or not trace.positions(node, -length, length)):
                check_positions(source.type.shape, (execute.value(node),), (dim,))
    try:
        shape = broadcast_shapes(*[n.type.shape for n in nodes])
    except RuntimeError:
        shapes = ", ".join([str(list(n.type.shape)) for n in nodes])
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         f"{shapes}") from None
    return tuple(axes), [n if n.type.shape == shape else ops.expand(n, sizes=shape) for n in nodes]
