"""Norms of vectors and matrices, and what follows from them."""
from __future__ import annotations

import math
from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.linalg.decompositions import thin_svd
from jitgrad.operators.linalg.matrices import LINALG, check_float, check_matrix
from jitgrad.operators.operands import Dims, Scalar, cast, normal_dim
from jitgrad.operators.reduction import vector_norm
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import as_dtype, dtype


@operator("LinalgVectorNormBackward0", places=LINALG, saves=("x", "result"), out=EXACT)
def linalg_vector_norm(x: Node, ord: Scalar = 2, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """(sum |x| ** ord) ** (1 / ord) of all elements or over `dim`, and its limits at inf, -inf and 0."""
    check_float("linalg.vector_norm", x)
    return vector_norm(x if dtype is None else cast(x, as_dtype(dtype)), float(ord), dim, keepdim)


@operator("LinalgSvdBackward0", name="linalg_matrix_norm.singular", places=(), saves=("result",))
def _singular_values(A: Node, dims: Any) -> Node:
    first, second = dims
    order = [d for d in range(A.type.ndim) if d not in dims] + [first, second]
    return thin_svd("linalg.matrix_norm", ops.permute(A, dims=tuple(order)))[1]


@function(places=LINALG, out=EXACT)
def linalg_matrix_norm(A: Tensor, ord: Scalar | str = "fro", dim: Dims = (-2, -1), keepdim: bool = False, *,
                       dtype: dtype | None = None) -> Tensor:
    """The norm of matrices: "fro", "nuc", 2 and -2 (of the singular values), 1, -1, inf and -inf (of sums of columns or rows)."""
    check_matrix("linalg.matrix_norm", A._current())
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError("linalg.matrix_norm: dim must be a 2-tuple. Got " + str(dim))
    first, second = [normal_dim(d, A.ndim) for d in dim]
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if dtype is not None:
        A = A.to(dtype)
    if ord == "fro":
        return linalg_vector_norm(A, 2, (first, second), keepdim)
    if ord in ("nuc", 2, -2):
        s = _singular_values(A, (first, second))
        result = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
        return result.unsqueeze(min(first, second)).unsqueeze(max(first, second)) if keepdim else result
    if not isinstance(ord, (int, float)) or abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if abs(ord) == math.inf:
        first, second = second, first
    if second > first and not keepdim:
        second -= 1
    sums = linalg_vector_norm(A, 1, (first,), keepdim)
    return sums.amax(second, keepdim) if ord > 0 else sums.amin(second, keepdim)


@function(places=LINALG, out=EXACT)
def linalg_norm(A: Tensor, ord: Scalar | str | None = None, dim: Dims = None, keepdim: bool = False, *,
                dtype: dtype | None = None) -> Tensor:
    """The vector norm over one dimension or of all elements, the matrix norm over two (or of a matrix, if `ord` is given)."""
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dim) not in (1, 2):
            raise RuntimeError("linalg.norm: If dim is specified, it must be of length 1 or 2. Got " + str(list(dim)))
    elif ord is not None and A.ndim not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got " + f"{A.ndim}D.")
    if ord is not None and (len(dim) if dim is not None else A.ndim) == 2:
        return linalg_matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    return linalg_vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@function(places=LINALG, out=EXACT, kind=None)
def linalg_cond(A: Tensor, p: Scalar | str | None = None) -> Tensor:
    """The condition number: the norm times that of the inverse; of the singular values by default."""
    if p in (None, 2, -2):
        s = OPERATORS["linalg_svdvals"].call(A)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return linalg_matrix_norm(A, p) * linalg_matrix_norm(OPERATORS["linalg_inv"].call(A), p)


@function(places=("torch", "method"))
def dist(input: Tensor, other: Tensor, p: Scalar = 2) -> Tensor:
    """The p-norm of input - other."""
    return OPERATORS["norm"].call(OPERATORS["sub"].call(input, other), p)


@function(places=("torch", "method"), out=EXACT, inplace=True)
def renorm(input: Tensor, p: Scalar, dim: int, maxnorm: Scalar) -> Tensor:
    """Each part along `dim` scaled down to a p-norm of at most maxnorm."""
    d = normal_dim(dim, input.ndim)
    others = tuple([i for i in range(input.ndim) if i != d])
    norm = linalg_vector_norm(input, p, others, True)
    scale = OPERATORS["where"].call(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)
    return input * scale.to(input.dtype)


@function(name="cdist", places=("torch",), kind=None)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm of the difference of each row of x1 and each row of x2."""
    for x, name in ((x1, "X1"), (x2, "X2")):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    return linalg_vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
