"""Distinct values, counts, histograms and places in sorted rows: what has no derivative, computed by NumPy at once."""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from jitgrad.operators.declaration.declare import OPERATORS, function
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.operands import Scalar, normal_dim
from jitgrad.operators.result_types import result_type
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import dtype, int32, int64

BOTH = ("torch", "method")
HistogramResult = result_type("histogram", "hist bin_edges")
AminmaxResult = result_type("aminmax", "min max")


def _made(array: Any, to: dtype = int64) -> Tensor:
    return from_array(np.array(array, to.np, order="C"))


def _several(first: Tensor, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    found = [first, *[_made(inverse)] * return_inverse, *[_made(counts)] * return_counts]
    return found[0] if len(found) == 1 else tuple(found)


@function(places=BOTH, kind=None)
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The distinct elements (or parts along `dim`), rising; with where each element is among them, and how often it comes."""
    array = input.detach()._array()
    axis = None if dim is None else normal_dim(dim, input.ndim)
    values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    return _several(_made(values, input.dtype), inverse.reshape(array.shape if axis is None else -1), counts, return_inverse,
                    return_counts)


@function(places=BOTH, kind=None)
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The elements (or parts along `dim`) that differ from the one before."""
    array = input.detach()._array()
    d = 0 if dim is None else normal_dim(dim, input.ndim)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, d, 0)
    n = len(rows)
    new = np.ones(n, np.bool_)
    if n > 1:
        new[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)
    starts = np.flatnonzero(new)
    inverse, counts = np.cumsum(new) - 1, np.diff(np.append(starts, n))
    kept = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, d)
    return _several(_made(kept, input.dtype), inverse.reshape(array.shape) if dim is None else inverse, counts, return_inverse,
                    return_counts)


@function(places=BOTH, kind=None)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer from 0 on comes, or the sum of the weights where it does."""
    if input.ndim != 1 or input.dtype.category == 2 or (input.numel() and int(input._array().min()) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is None:
        return _made(np.bincount(input._array(), minlength=minlength))
    if tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    counts = np.bincount(input._array(), weights.detach()._array(), minlength)
    return from_array(counts.astype(weights.dtype.np if weights.dtype.name == "float32" else np.float64))


def _range(array: np.ndarray, low: float, high: float, called: str) -> tuple[float, float]:
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{called}: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(f"{called}: max must be larger than min")
    return (low - 1, high + 1) if low == high and called == "torch.histc" else (low - 0.5, high + 0.5) if low == high else (low, high)


@function(places=BOTH, kind=None, out=EXACT)
def histc(input: Tensor, bins: int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor:
    """How many elements are in each of `bins` equal parts of [min, max]; of the elements' own range if these are equal."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    array = input.detach()._array().reshape(-1)
    low, high = _range(array, float(min), float(max), "torch.histc")
    return from_array(np.histogram(array[np.isfinite(array)], bins, (low, high))[0].astype(input.dtype.np))


@function(places=BOTH, kind=None, out=EXACT)
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:
    """(hist, bin_edges): how many elements are between neighbouring edges, which are given, or as many equal parts of a range."""
    array = input.detach()._array().reshape(-1)
    weights = None if weight is None else weight.detach()._array().reshape(-1)
    if isinstance(bins, Tensor):
        edges = bins.detach()._array()
    else:
        least, most = (0.0, 0.0) if range is None else map(float, range)
        low, high = _range(array, least, most, "torch.histogram")
        edges = np.linspace(low, high, int(bins) + 1).astype(input.dtype.np)
    hist, _ = np.histogram(array, edges, weights=weights)
    hist = hist.astype(input.dtype.np)
    if density:
        hist = hist / (hist.sum() * np.diff(edges))
    return HistogramResult(from_array(hist.astype(input.dtype.np)), from_array(np.array(edges, input.dtype.np)))


# -- places in sorted rows ---------------------------------------------------------------------------------------------

def _searched(rows: np.ndarray, values: Any, right: bool, out_int32: bool) -> Tensor:
    side = "right" if right else "left"
    if rows.ndim == 1:
        found = np.searchsorted(rows, values, side)
    else:
        pairs = zip(rows.reshape(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True) if rows.size else ()
        found = np.array([np.searchsorted(r, v, side) for r, v in pairs] or np.zeros(values.shape)).reshape(values.shape)
    return _made(found, int32 if out_int32 else int64).reshape(np.shape(values))


def _side(right: bool, side: str | None) -> bool:
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    return right or side == "right"


@function(kind=None, out=EXACT)
def searchsorted(sorted_sequence: Tensor, input: Tensor | Scalar, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None,
                 sorter: Tensor | None = None) -> Tensor:
    """Where in sorted rows each value belongs: before the elements equal to it, or behind them (right)."""
    rows = sorted_sequence.detach()._array()
    values = input.detach()._array() if isinstance(input, Tensor) else np.asarray(input)
    if sorter is not None:
        rows = np.take_along_axis(rows, sorter._array(), -1)
    if rows.ndim > 1 and rows.shape[:-1] != values.shape[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           "boundaries tensor "
                           f"and input value tensor must match, but we got boundaries tensor {list(rows.shape)} and input value tensor "
                           f"{list(values.shape)}")
    return _searched(rows, values, _side(right, side), out_int32)


@function(kind=None, out=EXACT)
def bucketize(input: Tensor | Scalar, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Between which boundaries each value lies: searchsorted(boundaries, input)."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize() boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    values = input.detach()._array() if isinstance(input, Tensor) else np.asarray(input)
    return _searched(boundaries.detach()._array(), values, right, out_int32)


@function(kind=None, out=EXACT)
def isin(elements: Tensor | Scalar, test_elements: Tensor | Scalar, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among test_elements."""
    a, b = [v.detach()._array() if isinstance(v, Tensor) else np.asarray(v) for v in (elements, test_elements)]
    return from_array(np.asarray(np.isin(a, b, invert=invert)))


# -- combinations, ranges of values ------------------------------------------------------------------------------------

@function(places=BOTH, kind=None, out=EXACT)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(smallest, largest) of all elements or along `dim`."""
    dims: Any = () if dim is None else dim
    return AminmaxResult(OPERATORS["amin"].call(input, dims, keepdim), OPERATORS["amax"].call(input, dims, keepdim))


@function(places=BOTH, kind=None)
def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that are not 0, a row each."""
    return OPERATORS["nonzero"].call(input)


@function(kind=None)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each."""
    if len(tensors) == 1:
        return tensors[0]
    grids = OPERATORS["meshgrid"].call(*tensors, indexing="ij")
    return OPERATORS["stack"].call([g.flatten() for g in grids], 1)


@function(kind=None)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector, a row each."""
    if input.ndim != 1:
        raise RuntimeError("Expect a 1D vector, but got shape " + str(list(input.shape)))
    if not r:
        return from_array(np.zeros(0, input.dtype.np))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    at = np.array([*choose(range(len(input)), r)], np.int64).reshape(-1, r)
    return input[from_array(at)]
