"""Diagonals of two dimensions: read, written, and the triangles beside them."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.ops.declare import check_same, library
from jitgrad.ops.movement import zeros_like
from jitgrad.ops.samples import ALL, structured
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import bool_


def diagonal_shape(shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    """The two dimensions left out, the diagonal's length at the end."""
    rows, columns = shape[dim1] + min(offset, 0), shape[dim2] - max(offset, 0)
    return (*[n for i, n in enumerate(shape) if i not in (dim1, dim2)], max(min(rows, columns), 0))


def _put_infer(base: ArrayType, value: ArrayType, **params: Any) -> ArrayType:
    return check_same("diagonal_put", (base, value)) and base


def _diagonal_put(base: np.ndarray, value: np.ndarray, *, offset: int, dim1: int, dim2: int) -> np.ndarray:
    result = np.array(base)
    n, start = value.shape[-1], (max(-offset, 0), max(offset, 0))
    moved, along = np.moveaxis(result, (dim1, dim2), (0, 1)), np.arange(n)
    moved[along + start[0], along + start[1]] = np.moveaxis(value, -1, 0)
    return result


def _dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    offset, dim1, dim2 = node.params
    x, last = dims[0], node.type.ndim - 1
    rest = [d for i, d in enumerate(x) if i not in (dim1, dim2)]
    if not offset and x[dim1] == x[dim2]:
        return (*rest, x[dim1])
    return (*rest, context.ONE if node.type.shape[-1] == 1 else context.fresh(last))


_AT = ({"offset": 0, "dim1": 0, "dim2": 1}, {"offset": 1, "dim1": 2, "dim2": 0}, {"offset": -1, "dim1": 0, "dim2": 1})
_SHAPES = ((3, 3), (2, 3, 4), (3, 4))
_ROWS = [((s, diagonal_shape(s, *at.values())), at) for s, at in zip(_SHAPES, _AT, strict=True)]

diagonal = library(
    "diagonal(x, *, offset, dim1, dim2)", dims=_dims, grad_name="DiagonalBackward0",
    infer=lambda x, **at: array_type(diagonal_shape(x.shape, **at), x.dtype, x.device),
    numpy=lambda x, *, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2),
    vjp=lambda g, y, x, *, offset, dim1, dim2: (diagonal_put(zeros_like(x), g, offset=offset, dim1=dim1, dim2=dim2),),
    put=lambda base, value, *, offset, dim1, dim2: diagonal_put(base, value, offset=offset, dim1=dim1, dim2=dim2),
    doc="the elements of which the positions in dim2 and dim1 differ by `offset`, as the last dimension",
    sample=structured(*[((shapes[0],), at) for shapes, at in _ROWS], dtypes=ALL))
diagonal_like = library(
    "diagonal_like(x, donor, *, offset, dim1, dim2)", dims="donor:1", shape_only=(1,), infer=lambda x, donor, **at: donor,
    numpy=lambda x, shape, *, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2),
    vjp=lambda g, y, x, donor, *, offset, dim1, dim2: (
        diagonal_put(zeros_like(x), g, offset=offset, dim1=dim1, dim2=dim2), None),
    doc="diagonal, its length taken from the donor", sample=structured(*_ROWS))
diagonal_put = library(
    "diagonal_put(base, value, *, offset, dim1, dim2)", infer=_put_infer, numpy=_diagonal_put, dims="donor:0",
    grad_name="DiagonalScatterBackward0",
    vjp=lambda g, y, base, value, *, offset, dim1, dim2: (
        diagonal_put(g, zeros_like(value), offset=offset, dim1=dim1, dim2=dim2),
        diagonal_like(g, value, offset=offset, dim1=dim1, dim2=dim2)),
    doc="base with its diagonal replaced by value", sample=structured(*_ROWS))
triangle = library(
    "triangle(donor, *, offset, upper)", dims=lambda context, node, dims: dims[0][-2:], shape_only=(0,), vjp=None,
    infer=lambda donor, *, offset, upper: array_type(donor.shape[-2:], bool_, donor.device),
    numpy=lambda shape, *, offset, upper: np.tri(shape[-2], shape[-1], offset - upper, dtype=np.bool_) ^ upper,
    doc="bool, of the donor's last two dimensions: true on and above (or below) the diagonal `offset`",
    sample=structured((((3, 4),), {"offset": 0, "upper": True}), (((2, 4, 3),), {"offset": -1, "upper": False}), order=0))
