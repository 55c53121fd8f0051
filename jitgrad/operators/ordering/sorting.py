"""Sorting along a dimension, and what is read off a sorted row: topk, kthvalue, median, mode, quantiles."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator, overloaded
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.operands import Scalar, cast, normal_dim
from jitgrad.operators.reduction import dropped
from jitgrad.operators.result_types import result_type
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.array import array_type
from jitgrad.types.dtype import int64

BOTH = ("torch", "method")
SortResult = result_type("sort", "values indices")
TopkResult = result_type("topk", "values indices")
KthResult = result_type("kthvalue", "values indices")
MedianResult = result_type("median", "values indices")
NanmedianResult = result_type("nanmedian", "values indices")
ModeResult = result_type("mode", "values indices")


def _row(x: Node) -> Node:
    return x if x.type.ndim else ops.unsqueeze(x, dims=(0,))


def _part(x: Node, dim: int, start: int, length: int) -> Node:
    """Some positions of a dimension."""
    if (start, length) == (0, x.type.shape[dim]):
        return x
    full = (True,) * dim + ("unit",) + (True,) * (x.type.ndim - dim - 1)
    return ops.slice(x, full=full, sizes=(start, length, 1))


def _sorted(input: Node, dim: int, descending: bool, start: int = 0, length: int | None = None) -> tuple[Node, Node]:
    """Values and positions of the sorted elements from `start` on."""
    d, x = normal_dim(dim, input.type.ndim), _row(input)
    at = ops.argsort(x, dim=d, descending=descending)
    at = _part(at, d, start, x.type.shape[d] if length is None else length)
    values = ops.take_along(x, at, dim=d)
    return (values, at) if input.type.ndim else (ops.squeeze(values, dims=(0,)), ops.squeeze(at, dims=(0,)))


@operator("SortBackward0", name="sort.plain", places=(), saves=(), out=EXACT)
def _sort(input: Node, dim: int = -1, descending: bool = False) -> tuple[Node, Node]:
    """(values, indices) sorted along `dim`."""
    return SortResult(*_sorted(input, dim, descending))


@operator("SortBackward0", name="sort.stable", places=(), saves=(), out=EXACT)
def _sort_stable(input: Node, *, stable: bool | None, dim: int = -1, descending: bool = False) -> tuple[Node, Node]:
    """(values, indices) sorted along `dim`, equal elements in their order."""
    return SortResult(*_sorted(input, dim, descending))


overloaded("sort", (_sort, _sort_stable), "(values, indices) sorted along `dim`; equal elements stay in their order, nan is largest.")


@operator(name="argsort.plain", places=())
def _argsort(input: Node, dim: int = -1, descending: bool = False) -> Node:
    """The positions that sort the elements along `dim`."""
    return _sorted(input, dim, descending)[1]


@operator(name="argsort.stable", places=(), out=EXACT)
def _argsort_stable(input: Node, *, stable: bool, dim: int = -1, descending: bool = False) -> Node:
    """The positions that sort the elements along `dim`, equal elements in their order."""
    return _sorted(input, dim, descending)[1]


overloaded("argsort", (_argsort, _argsort_stable), "The positions that sort the elements along `dim`; equal elements stay in their "
           "order, nan is largest.")


@operator("SortBackward0", saves=(), out=EXACT)
def msort(input: Node) -> Node:
    """The elements sorted along the first dimension."""
    return _sorted(input, 0, False)[0]


@operator("TopkBackward0", saves=(), out=EXACT)
def topk(input: Node, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Node, Node]:
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order."""
    d = normal_dim(dim, input.type.ndim)
    length = input.type.shape[d] if input.type.ndim else 1
    if not 0 <= k <= length:
        raise RuntimeError("selected index k out of range")
    if not input.type.ndim:
        return TopkResult(*[ops.squeeze(n, dims=(0,)) for n in _sorted(_row(input), 0, largest, 0, 1)])
    return TopkResult(*_sorted(input, dim, largest, 0, k))


def _picked(input: Node, dim: int, keepdim: bool, position: int, kind: Any) -> Any:
    """The element at a position of each sorted row."""
    d = normal_dim(dim, input.type.ndim)
    values, at = _sorted(_row(input), d, False, position, 1)
    if not input.type.ndim:
        return kind(*[ops.squeeze(n, dims=(0,)) for n in (values, at)])
    return kind(dropped(values, (d,), keepdim), dropped(at, (d,), keepdim))


@operator("KthvalueBackward0", saves=(), out=EXACT)
def kthvalue(input: Node, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Node, Node]:
    """(values, indices) of the k-th smallest element along `dim`, k counted from 1."""
    d = normal_dim(dim, input.type.ndim)
    if not 1 <= k <= (input.type.shape[d] if input.type.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    return _picked(input, dim, keepdim, k - 1, KthResult)


# -- medians and modes -------------------------------------------------------------------------------------------------

def _at(input: Node, d: int, position: np.ndarray, keepdim: bool, kind: Any) -> Any:
    """The element at a known position of each row."""
    x = _row(input)
    shape = (*x.type.shape[:d], 1, *x.type.shape[d + 1:])
    at = input_node(np.ascontiguousarray(position.reshape(shape), np.int64), array_type(shape, int64))
    values, at = ops.take_along(x, at, dim=d), ops.copy(at)
    if not input.type.ndim:
        return kind(*[ops.squeeze(n, dims=(0,)) for n in (values, at)])
    return kind(dropped(values, (d,), keepdim), dropped(at, (d,), keepdim))


def _median_position(array: np.ndarray, d: int, skip_nan: bool) -> np.ndarray:
    order = np.argsort(array, d, kind="stable")
    n = array.shape[d]
    missing = np.isnan(array).sum(d, keepdims=True) if array.dtype.kind == "f" else np.zeros((1,) * array.ndim, np.int64)
    middle = np.maximum(n - missing - 1, 0) // 2 if skip_nan else np.where(missing > 0, n - missing, (n - 1) // 2)
    shape = list(array.shape)
    shape[d] = 1
    return np.take_along_axis(order, np.broadcast_to(middle, shape), d)


def _declare_median(called: str, skip_nan: bool, kind: Any) -> None:
    title = called.capitalize()

    def along(input: Node, dim: int, keepdim: bool = False) -> tuple[Node, Node]:
        d, array = normal_dim(dim, input.type.ndim), execute.value(_row(input))
        if not array.shape[d]:
            raise IndexError(f"{called}(): Expected reduction dim {d} to have non-zero size.")
        return _at(input, d, _median_position(array, d, skip_nan), keepdim, kind)

    def of_all(input: Node) -> Node:
        flat = ops.reshape(input, sizes=(input.type.size,))
        if not input.type.size:
            to = input.type.dtype
            return cast(ops.number(math.nan if to.category == 2 else int(np.iinfo(to.np).min), flat), to)
        return ops.squeeze(_at(flat, 0, _median_position(execute.value(flat), 0, skip_nan), True, kind)[0], dims=(0,))

    doc = f"The lower of the two elements in the middle{', nans left out' if skip_nan else ''}"
    along.__doc__, of_all.__doc__ = f"{doc}: (values, indices) along `dim`.", f"{doc}, of all elements."
    forms = (operator(f"{title}Backward0", name=f"{called}.all", places=(), saves=("input", "result"), kind=None)(of_all),
             operator(f"{title}Backward1", name=f"{called}.dim", places=(), saves=(), out=EXACT, kind=None)(along))
    overloaded(called, forms, f"{doc}, of all elements, or (values, indices) along `dim`.", kind=None)


_declare_median("median", False, MedianResult)
_declare_median("nanmedian", True, NanmedianResult)


def _mode_position(row: np.ndarray) -> int:
    values, counts = np.unique(row, return_counts=True)
    return int(np.flatnonzero(row == values[np.argmax(counts)])[-1])


@operator("ModeBackward0", saves=(), out=EXACT, kind=None)
def mode(input: Node, dim: int = -1, keepdim: bool = False) -> tuple[Node, Node]:
    """(values, indices) of the most frequent element along `dim`, the smallest of several."""
    d, array = normal_dim(dim, input.type.ndim), execute.value(_row(input))
    if not array.shape[d]:
        raise IndexError(f"mode(): Expected reduction dim {d} to have non-zero size.")
    positions = np.apply_along_axis(_mode_position, d, array) if array.size else np.zeros(array.shape[:d] + array.shape[d + 1:])
    return _at(input, d, positions, keepdim, ModeResult)


# -- quantiles ---------------------------------------------------------------------------------------------------------

def _quantile(called: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool) -> Tensor:
    if input.dtype.category < 2:
        raise RuntimeError(f"{called}() input tensor must be either float or double dtype")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(f"{called}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    levels = q.detach()._array() if isinstance(q, Tensor) else np.asarray(q, input.dtype.np)
    if isinstance(q, Tensor) and q.dtype is not input.dtype:
        raise RuntimeError(f"{called}() q tensor must be same dtype as the input tensor")
    if levels.ndim > 1:
        raise RuntimeError(f"{called}() q must be a scalar or 1D tensor")
    if levels.size and not (levels.min() >= 0 and levels.max() <= 1):
        raise RuntimeError(f"{called}() q " + ("values must be in the range [0, 1]" if isinstance(q, Tensor) else
                                               f"must be in the range [0, 1] but got {q}"))
    if not input.numel():
        raise RuntimeError(f"{called}() input tensor must be non-empty")
    ndim = input.ndim
    x = input.reshape(-1) if dim is None else input if ndim else input.unsqueeze(0)
    d = 0 if dim is None else normal_dim(dim, ndim)
    values = OPERATORS["movedim"].call(OPERATORS["sort"].call(x, d)[0], d, -1)
    array = values.detach()._array()
    missing = np.isnan(array).sum(-1, keepdims=True)
    last = array.shape[-1] - 1
    count = np.maximum(last - missing, 0) if skip_nan else np.asarray(last)
    rank = levels.reshape(-1).astype(array.dtype) * count.astype(array.dtype)
    if not skip_nan:
        rank = np.where(missing > 0, array.dtype.type(last), rank)
    if interpolation in ("lower", "higher", "nearest"):
        rank = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[interpolation](rank)
    below = np.floor(rank).astype(np.int64)
    above = np.ceil(rank).astype(np.int64)
    shape = (*array.shape[:-1], levels.size)
    lower, upper = [values.gather(-1, _tensor(np.broadcast_to(at, shape))) for at in (below, above)]
    weight = _tensor(np.broadcast_to(0.5 if interpolation == "midpoint" else rank - below, shape).astype(array.dtype))
    if interpolation == "linear" and isinstance(q, Tensor) and q.requires_grad:
        moved = q.reshape(-1) * _tensor(np.broadcast_to(np.where(missing > 0, 0, count) if not skip_nan else count, shape)
                                        .astype(array.dtype))
        weight = weight + (moved - moved.detach())
    result = OPERATORS["lerp"].call(lower, upper, weight)
    result = OPERATORS["movedim"].call(result, -1, 0)
    if keepdim:
        result = result.reshape(levels.size, *[1] * ndim) if dim is None else result.unsqueeze(d + 1) if ndim else result
    elif dim is not None and not ndim:
        result = result.reshape(levels.size)
    return result if levels.ndim else result.squeeze(0)


def _tensor(array: np.ndarray) -> Tensor:

    return from_array(np.array(array, order="C"))


def _declare_quantile(called: str, skip_nan: bool) -> None:
    def fn(input: Tensor, q: Tensor | Scalar, dim: int | None = None, keepdim: bool = False, *,
           interpolation: str = "linear") -> Tensor:
        return _quantile(called, input, q, dim, keepdim, interpolation, skip_nan)

    fn.__doc__ = f"The quantiles at the levels q (in [0, 1]) of all elements or along `dim`{', nans left out' if skip_nan else ''}."
    function(name=called, places=BOTH, kind=None, out=EXACT)(fn)


_declare_quantile("quantile", False)
_declare_quantile("nanquantile", True)
