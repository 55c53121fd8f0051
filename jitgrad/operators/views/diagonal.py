"""Diagonals and triangles: diagonal, diag, diag_embed, trace, triu, tril."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.operands import cast, normal_dim
from jitgrad.operators.views.view import Steps, view_operator
from jitgrad.ops.decomposition import lower_triangle, on_diagonal
from jitgrad.ops.diagonals import diagonal_shape
from jitgrad.tensors.steps import Step
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import dtype, int64

_DIAGONAL = ops.REGISTRY["diagonal"]
BOTH = ("torch", "method")


def _two(ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    first, second = normal_dim(dim1, ndim), normal_dim(dim2, ndim)
    if first == second or ndim < 2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


def _diagonal(input: Tensor, offset: int, dim1: int, dim2: int) -> Steps:
    return (Step(_DIAGONAL, (offset, *_two(input.ndim, dim1, dim2)), None),)


@view_operator("DiagonalBackward0")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Steps:
    """The diagonal of two dimensions, `offset` above the main one, as the last dimension."""
    return _diagonal(input, offset, dim1, dim2)


@view_operator("DiagonalBackward0", name="linalg_diagonal", places=("linalg",))
def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Steps:
    """The diagonal of matrices."""
    return _diagonal(A, offset, dim1, dim2)


@operator("DiagonalScatterBackward0", edges=("input", "src"), saves=())
def diagonal_scatter(input: Node, src: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """input with its diagonal replaced by src."""
    first, second = _two(input.type.ndim, dim1, dim2)
    expected = diagonal_shape(input.type.shape, offset, first, second)
    if src.type.shape != expected:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.type.shape)}, slice size = "
                           f"{list(expected)}")
    return ops.diagonal_put(input, src, offset=offset, dim1=first, dim2=second)


# -- a vector as a diagonal --------------------------------------------------------------------------------------------

def _embedded(x: Node, offset: int) -> Node:
    """Matrices with the last dimension on their diagonal `offset`."""
    n, last = x.type.shape[-1] + abs(offset), x.type.ndim - 1
    if not offset:
        square = ops.expand(ops.unsqueeze(x, dims=(last,)), sizes=(*x.type.shape, n))
        return ops.where(on_diagonal(square), square, ops.number(0, x))
    zeros = ops.expand(ops.number(0, x), sizes=(*x.type.shape[:-1], n, n))
    return ops.diagonal_put(zeros, x, offset=offset, dim1=last, dim2=last + 1)


@operator("DiagEmbedBackward0", name="diag_embed", saves=())
def diag_embed(input: Node, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
    """Matrices, in dim1 and dim2, with the last dimension of input on their diagonal, zeros elsewhere."""
    ndim = input.type.ndim + 1
    first, second = _two(ndim, dim1, dim2)
    if first > second:
        first, second, offset = second, first, -offset
    made = _embedded(input, offset)
    order = list(range(ndim - 2))
    order.insert(first, ndim - 2)
    order.insert(second, ndim - 1)
    return made if order == [*range(ndim)] else ops.permute(made, dims=tuple(order))


@function(places=BOTH, out=EXACT, kind=None)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a vector on its diagonal, or a copy of a matrix's diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return diag_embed(input, diagonal) if input.ndim == 1 else OPERATORS["clone"].call(_of_matrix(input, diagonal))


_of_matrix = diagonal


@function(places=BOTH, kind=None)
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of input on its diagonal."""
    return diag_embed(input.reshape(-1), offset)


@operator("TraceBackward0", saves=())
def trace(input: Node) -> Node:
    """The sum of a matrix's diagonal; of integers in int64."""
    if input.type.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.type.ndim}")
    x = cast(input, int64) if input.type.dtype.category < 2 else input
    return ops.squeeze(ops.sum(ops.diagonal(x, offset=0, dim1=0, dim2=1), axes=(0,)), dims=(0,))


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number to the main diagonal (of a tall matrix again below, one row left out, if `wrap`)."""
    shape = self.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    n, steps = min(shape), range(0, shape[0], shape[1] + 1) if wrap and len(shape) == 2 else (0,)
    for start in steps:
        rows = np.arange(min(n, shape[0] - start))
        at = tuple([from_array(rows + start * (i == 0)) for i in range(len(shape))])
        self[at] = fill_value
    return self


# -- triangles ---------------------------------------------------------------------------------------------------------

def _triangle(called: str, upper: bool) -> None:
    def fn(input: Node, diagonal: int = 0) -> Node:
        if input.type.ndim < 2:
            raise RuntimeError(f"{called}: input tensor must have at least 2 dimensions")
        return lower_triangle(input, upper, diagonal)

    fn.__doc__ = f"The elements on and {'above' if upper else 'below'} a diagonal of matrices, zeros elsewhere."
    operator(f"{called.capitalize()}Backward0", name=called, saves=(), inplace=True, out=EXACT)(fn)


_triangle("triu", True)
_triangle("tril", False)


def _indices(called: str, upper: bool) -> None:
    def fn(row: int, col: int, offset: int = 0, *, dtype: dtype | None = None, layout: Any = None, device: Any = None) -> Tensor:
        below = np.tri(row, col, offset - upper, dtype=np.bool_)
        found = np.stack(np.nonzero(~below if upper else below)).astype(np.int64)
        made = from_array(found)
        return made if dtype is None else made.to(dtype)

    fn.__doc__ = f"The positions, two rows of them, of the {'upper' if upper else 'lower'} triangle of a row by col matrix."
    function(name=called, kind=None)(fn)


_indices("triu_indices", True)
_indices("tril_indices", False)
