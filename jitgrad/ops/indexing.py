"""Reading and adding at positions given by int64 arrays.  Positions are checked when the op runs."""
from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.ops.declare import check_same, library
from jitgrad.ops.movement import zeros_like
from jitgrad.ops.samples import ALL, NUMBERS, Case, Sample, custom, draw
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import dtype, int64

Axes = tuple[int, ...]


def check_positions(shape: tuple[int, ...], positions: tuple[np.ndarray, ...], axes: Axes) -> None:
    """Raise PyTorch's IndexError for the first position that is out of its dimension."""
    for index, axis in zip(positions, axes, strict=True):
        n = shape[axis]
        bad = (index < -n) | (index >= n)
        if bad.any():
            raise IndexError(f"index {int(index[bad][0])} is out of bounds for dimension {axis} with size {n}")


def indexed_at(axes: Axes) -> int:
    """Where the dimensions of the positions come in a result: in place of adjacent axes, else in front (NumPy's rule)."""
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    return axes[0] if adjacent else 0


def _indexed(x: tuple, index: tuple, axes: Axes) -> tuple:
    """The result's dimensions, lengths or symbols."""
    rest = tuple([n for i, n in enumerate(x) if i not in axes])
    at = indexed_at(axes)
    return rest[:at] + index + rest[at:]


def _index_infer(x: ArrayType, *positions: ArrayType, axes: Axes) -> ArrayType:
    for p in positions:
        if p.dtype is not int64 or p.shape != positions[0].shape:
            raise InternalError(f"index of {x!r} with {positions}: int64 of one shape expected")
    return array_type(_indexed(x.shape, positions[0].shape, axes), x.dtype, x.device)


def _index_key(ndim: int, positions: tuple[np.ndarray, ...], axes: Axes) -> tuple:
    key: list[Any] = [builtins.slice(None)] * ndim
    for index, axis in zip(positions, axes, strict=True):
        key[axis] = index
    return tuple(key)


def _index(x: np.ndarray, *positions: np.ndarray, axes: Axes) -> np.ndarray:
    try:
        return x[_index_key(x.ndim, positions, axes)]
    except IndexError:
        check_positions(x.shape, positions, axes)
        raise


def _index_put_infer(base: ArrayType, value: ArrayType, *positions: ArrayType, axes: Axes) -> ArrayType:
    check_same("index_put", (base, value))
    if _index_infer(base, *positions, axes=axes).shape != value.shape:
        raise InternalError(f"index_put of {value!r} into {base!r} at {positions} along {axes}")
    return base


def _index_put(base: np.ndarray, value: np.ndarray, *positions: np.ndarray, axes: Axes) -> np.ndarray:
    check_positions(base.shape, positions, axes)
    result = np.array(base)
    result[_index_key(base.ndim, positions, axes)] = value
    return result


def _index_put_add(base: np.ndarray, value: np.ndarray, *positions: np.ndarray, axes: Axes) -> np.ndarray:
    check_positions(base.shape, positions, axes)
    result = np.array(base)
    np.add.at(result, _index_key(base.ndim, positions, axes), value)
    return result


def _index_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    position = list(dims[1])
    for other in dims[2:]:
        position = [context.unify(a, b) for a, b in zip(position, other, strict=True)]
    return _indexed(tuple(dims[0]), tuple(position), node.params[0])


# (shape of x, axes, shape of the positions)
_ROWS: tuple[tuple[tuple[int, ...], Axes, tuple[int, ...]], ...] = (
    ((4,), (0,), (3,)), ((3, 4), (1,), (2, 2)), ((3, 4), (0, 1), (3,)), ((2, 3, 4), (0, 2), (5,)), ((3,), (0,), ()),
    ((3, 2), (0,), (0,)))


def _positions(rng: np.random.Generator, shape: tuple[int, ...], axes: Axes, index: tuple[int, ...],
               unique: bool = False) -> tuple[np.ndarray, ...]:
    if unique:      # distinct along the first axis, so that nothing is written twice
        first = rng.permutation(shape[axes[0]])[:int(np.prod(index))]
        return (first.reshape(index), *_positions(rng, shape, axes[1:], index))
    return tuple([np.asarray(rng.integers(-shape[a], shape[a], index), np.int64) for a in axes])


def _put_sample(dtypes: tuple[str, ...], unique: bool) -> Sample:
    rows = [r for r in _ROWS if not unique or int(np.prod(r[2])) <= r[0][r[1][0]]]

    def make(rng: np.random.Generator, dtype: dtype) -> list[Case]:
        return [Case((draw(rng, shape, dtype, -2, 2), draw(rng, _indexed(shape, index, axes), dtype, -2, 2),
                      *_positions(rng, shape, axes, index, unique)), {"axes": axes}) for shape, axes, index in rows]

    return custom(make, dtypes)


index = library(
    "index(x, positions..., *, axes)", role="gather", infer=_index_infer, numpy=_index, dims=_index_dims,
    grad_name="IndexBackward0",
    vjp=lambda g, y, x, *positions, axes: (index_put_add(zeros_like(x), g, *positions, axes=axes),
                                           *[None] * len(positions)),
    doc="x at positions (int64 arrays of one shape, negative from the end) along axes; dimensions placed as in NumPy",
    sample=custom(lambda rng, dtype: [Case((draw(rng, shape, dtype, -2, 2), *_positions(rng, shape, axes, index)),
                                           {"axes": axes}) for shape, axes, index in _ROWS], ALL))

index_put = library(
    "index_put(base, value, positions..., *, axes)", infer=_index_put_infer, numpy=_index_put, dims="donor:0",
    vjp=lambda g, y, base, value, *positions, axes: (index_put(g, zeros_like(value), *positions, axes=axes),
                                                     index(g, *positions, axes=axes), *[None] * len(positions)),
    grad_name="IndexPutBackward0",
    doc="base with the elements that `index` reads replaced; of equal positions one wins",
    sample=_put_sample(ALL, True))

index_put_add = library(
    "index_put_add(base, value, positions..., *, axes)", role="scatter_add", infer=_index_put_infer, numpy=_index_put_add,
    dims="donor:0",
    vjp=lambda g, y, base, value, *positions, axes: (g, index(g, *positions, axes=axes), *[None] * len(positions)),
    grad_name="IndexPutBackward0",
    doc="base with value added to the elements that `index` reads; equal positions add up",
    sample=_put_sample(NUMBERS, False))


# -- along one dimension ---------------------------------------------------------------------------------------------

def _take_infer(x: ArrayType, index: ArrayType, *, dim: int) -> ArrayType:
    if index.dtype is not int64:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if index.ndim != x.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for d, (n, have) in enumerate(zip(index.shape, x.shape, strict=True)):
        if d != dim and n > have:
            raise RuntimeError(f"Size does not match at dimension {d} expected index {list(index.shape)} to be no "
                               f"larger than self {list(x.shape)} apart from dimension {dim}")
    return array_type(index.shape, x.dtype, x.device)


def check_along(n: int, index: np.ndarray, dim: int) -> None:
    """Raise PyTorch's RuntimeError (that of gather) for the first position that is negative or not below n."""
    if index.size and (index.min() < 0 or index.max() >= n):
        bad = (index < 0) | (index >= n)
        raise RuntimeError(f"index {int(index[bad][0])} is out of bounds for dimension {dim} with size {n}")


def _along_key(shape: tuple[int, ...], index: np.ndarray, dim: int) -> tuple[np.ndarray, ...]:
    """NumPy's key."""
    check_along(shape[dim], index, dim)
    ones = (1,) * index.ndim
    return tuple([index if d == dim else np.arange(n).reshape((*ones[:d], n, *ones[d + 1:])) for d, n in enumerate(index.shape)])


def _put_along_infer(base: ArrayType, index: ArrayType, value: ArrayType, *, dim: int) -> ArrayType:
    check_same("put_along_add", (base, value))
    if _take_infer(base, index, dim=dim).shape != value.shape:
        raise InternalError(f"put_along_add of {value!r} into {base!r} at {index!r}")
    return base


def _put_along_add(base: np.ndarray, index: np.ndarray, value: np.ndarray, *, dim: int) -> np.ndarray:
    result = np.array(base)
    np.add.at(result, _along_key(base.shape, index, dim), value)
    return result


def _put_along(base: np.ndarray, index: np.ndarray, value: np.ndarray, *, dim: int) -> np.ndarray:
    result = np.array(base)
    result[_along_key(base.shape, index, dim)] = value
    return result


# (shape of x, dim, shape of the index)
_ALONG: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
    ((4,), 0, (6,)), ((2, 3), 1, (2, 1)), ((3, 4), 0, (2, 3)), ((2, 3), 1, (2, 0)))


def _along(rng: np.random.Generator, shape: tuple[int, ...], dim: int, index: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(0, shape[dim], index), np.int64)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], dim: int, index: tuple[int, ...]) -> np.ndarray:
    order = np.argsort(rng.uniform(size=(*index[:dim], shape[dim], *index[dim + 1:])), dim)
    return np.take(order, np.arange(min(index[dim], shape[dim])), dim)


take_along = library(
    "take_along(x, index, *, dim)", role="gather_along", infer=_take_infer, dims="donor:1", grad_name="GatherBackward0",
    numpy=lambda x, index, *, dim: x[_along_key(x.shape, index, dim)],
    vjp=lambda g, y, x, index, *, dim: (put_along_add(zeros_like(x), index, g, dim=dim), None),
    doc="x at the int64 positions in index along dim; index may be shorter than x elsewhere (PyTorch's gather)",
    sample=custom(lambda rng, dtype: [Case((draw(rng, shape, dtype, -2, 2), _along(rng, shape, dim, index)),
                                           {"dim": dim}) for shape, dim, index in _ALONG], ALL))

put_along_add = library(
    "put_along_add(base, index, value, *, dim)", role="scatter_add_along", infer=_put_along_infer, numpy=_put_along_add,
    dims="donor:0",
    vjp=lambda g, y, base, index, value, *, dim: (g, None, take_along(g, index, dim=dim)),
    grad_name="ScatterAddBackward0",
    doc="base with value added at the int64 positions in index along dim; equal positions add up",
    sample=custom(lambda rng, dtype: [Case((draw(rng, shape, dtype, -2, 2), _along(rng, shape, dim, index),
                                            draw(rng, index, dtype, -2, 2)), {"dim": dim})
                                      for shape, dim, index in _ALONG], NUMBERS))

put_along = library(
    "put_along(base, index, value, *, dim)", infer=_put_along_infer, numpy=_put_along, dims="donor:0",
    vjp=lambda g, y, base, index, value, *, dim: (put_along(g, index, zeros_like(value), dim=dim), None,
                                                  take_along(g, index, dim=dim)),
    grad_name="ScatterBackward0",
    doc="base with the elements at the int64 positions in index along dim replaced by value; of equal positions one wins",
    sample=custom(lambda rng, dtype: [Case((draw(rng, shape, dtype, -2, 2), at, draw(rng, at.shape, dtype, -2, 2)), {"dim": dim})
                                      for shape, dim, index in _ALONG for at in [_distinct(rng, shape, dim, index)]], ALL))
