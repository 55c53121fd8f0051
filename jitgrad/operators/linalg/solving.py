"""Linear equations: general, triangular, by a Cholesky factor, and in the sense of least squares."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.linalg.matrices import (
    LINALG,
    attempted,
    check_float,
    check_matrix,
    check_same_dtype,
    check_square,
    column,
    marked,
    same_batch,
    tolerance,
    without_column,
)
from jitgrad.operators.operands import Dims
from jitgrad.operators.result_types import result_type
from jitgrad.ops import transposed
from jitgrad.ops.decomposition import lower_triangle, on_diagonal, singular_order, unsolvable
from jitgrad.tensors.tensor import Tensor, from_array

SolveResult = result_type("linalg_solve_ex", "result info")
LstsqResult = result_type("linalg_lstsq", "solution residuals rank singular_values")
TriangularResult = result_type("triangular_solve", "solution cloned_coefficient")


def _is_vector(A: Node, B: Node) -> bool:
    """Whether the right side of equations is taken for vectors."""
    return B.type.ndim == 1 or B.type.shape == A.type.shape[:-1]


def _solve(A: Node, B: Node, left: bool) -> Node:
    check_square("linalg.solve", A)
    check_float("linalg.solve", B)
    check_same_dtype("linalg.solve", A, B)
    a, b = A.type.shape, B.type.shape
    vector = _is_vector(A, B)
    if vector:
        if not left:
            raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case "
                               "linalg.solve is equivalent to B / A.squeeze(-1)")
        B = column(B)
    elif len(b) < 2:
        raise RuntimeError("linalg.solve: The input tensor B must have at least 2 dimensions.")
    if B.type.shape[-2 if left else -1] != a[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({a[-2]}x{a[-1]} and {B.type.shape[-2]}x{B.type.shape[-1]})")
    matrices, right = same_batch(A, B)
    x = _solved(matrices, right, left)
    return without_column(x) if vector else x


def _solved(a: Node, b: Node, left: bool) -> Node:
    return ops.solve(a, b) if left else transposed(ops.solve(transposed(a), transposed(b)))


@operator("LinalgSolveExBackward0", places=LINALG, saves=("A", "result"), out=EXACT)
def linalg_solve(A: Node, B: Node, *, left: bool = True) -> Node:
    """X with A @ X = B (or X @ A = B, if not `left`), of matrices or vectors.  Raises linalg.LinAlgError for a singular A."""
    return _solve(A, B, left)


@operator("LinalgSolveExBackward0", places=LINALG, saves=("A", "result"), kind=None, out=EXACT)
def linalg_solve_ex(A: Node, B: Node, *, left: bool = True, check_errors: bool = False) -> tuple[Node, Node]:
    """(result, info): linalg.solve, with nan for singular matrices, and what is not zero for them."""
    check_square("linalg.solve", A)
    matrices, info = attempted(A, singular_order, "torch.linalg.solve_ex" if check_errors else None, unsolvable)
    return SolveResult(marked(_solve(matrices, B, left), info, 1 if _is_vector(A, B) else 2), info)


# -- triangular --------------------------------------------------------------------------------------------------------

def _triangle_of(a: Node, upper: bool, unit: bool) -> Node:
    a = lower_triangle(a, upper)
    return ops.where(on_diagonal(a), ops.number(1, a), a) if unit else a


@operator("LinalgSolveTriangularBackward0", places=LINALG, saves=("A", "result"), out=EXACT)
def linalg_solve_triangular(A: Node, B: Node, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Node:
    """X with A @ X = B (or X @ A = B), of A the upper or lower triangle, ones on its diagonal if `unitriangular`."""
    check_square("linalg.solve_triangular", A)
    check_matrix("linalg.solve_triangular", B, "B")
    check_same_dtype("linalg.solve_triangular", A, B)
    if B.type.shape[-2 if left else -1] != A.type.shape[-1]:
        raise RuntimeError("linalg.solve_triangular: Incompatible shapes of A and B for the equation "
                           f"{'AX = B' if left else 'XA = B'} ({A.type.shape[-2]}x{A.type.shape[-1]} and "
                           f"{B.type.shape[-2]}x{B.type.shape[-1]})")
    a, b = same_batch(_triangle_of(A, upper, unitriangular), B)
    return _solved(a, b, left)


@operator("TriangularSolveBackward0", saves=("A", "result"), out=EXACT)
def triangular_solve(input: Node, A: Node, upper: bool = True, transpose: bool = False,
                     unitriangular: bool = False) -> tuple[Node, Node]:
    """(X, A) with A @ X = input, of A one triangle."""
    triangle = _triangle_of(A, upper, unitriangular)
    a, b = same_batch(transposed(triangle) if transpose else triangle, input)
    return TriangularResult(ops.solve(a, b), ops.copy(A))


@operator("CholeskySolveBackward0", saves=("input", "input2", "result"), out=CAST)
def cholesky_solve(input: Node, input2: Node, upper: bool = False) -> Node:
    """X with A @ X = input, given A's Cholesky factor input2 = L: A = L @ L.T, or L.T @ L if `upper`."""
    for n, name in ((input, "b"), (input2, "u")):
        if n.type.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {n.type.ndim} dimensions instead")
    factor = ops.attach(input2, lower_triangle(ops.detach(input2), upper))        # the derivative is that of all of L, as in PyTorch
    a, b = same_batch(transposed(factor) if upper else factor, input)
    return ops.solve(transposed(a), ops.solve(a, b))


@operator("CholeskyInverseBackward0", saves=("input", "result"), out=CAST)
def cholesky_inverse(input: Node, upper: bool = False) -> Node:
    """The inverse of A, given its Cholesky factor: A = input @ input.T, or input.T @ input if `upper`."""
    check_square("cholesky_inverse", input)
    inverse = ops.inverse(ops.attach(input, lower_triangle(ops.detach(input), upper)))
    return ops.matmul(inverse, transposed(inverse)) if upper else ops.matmul(transposed(inverse), inverse)


# -- least squares -----------------------------------------------------------------------------------------------------

@operator("LinalgLstsqBackward0", name="linalg_lstsq.solution", places=(), saves=("A", "B"), kind=None)
def _least_squares(A: Node, B: Node, rcond: float) -> Node:
    a, b = same_batch(A, B)
    return ops.matmul(ops.pinv(a, atol=0.0, rtol=rcond, symmetric=False), b)


@function(places=LINALG, kind=None, out=EXACT)
def linalg_lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """(solution, residuals, rank, singular_values): the X of least |A @ X - B|, and of these the one of least norm."""
    check_matrix("torch.linalg.lstsq", A._current(), "input")
    check_same_dtype("torch.linalg.lstsq", A._current(), B._current(), ("input", "other"))
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    m, n = A.shape[-2:]
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    if B.shape[-1 if vector else -2] != m:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    b = B.unsqueeze(-1) if vector else B
    x = _least_squares(A, b, tolerance(A.dtype, tuple(A.shape), rcond, None))
    s = np.linalg.svd(A.detach()._array(), compute_uv=False) if A.numel() else np.zeros((*A.shape[:-2], 0))
    rank = (s > tolerance(A.dtype, tuple(A.shape), rcond, None) * s.max(-1, keepdims=True, initial=0)).sum(-1)
    empty = from_array(np.zeros(0, A.dtype.np))
    residuals = x.reshape(-1)[:0]
    if m > n and (rank == n).all() and driver != "gelsy":
        residuals = ((A @ x - b) ** 2).sum(-2)
    return LstsqResult(x.squeeze(-1) if vector else x, residuals,
                       from_array(rank.astype(np.int64)) if driver != "gels" else from_array(np.zeros(0, np.int64)),
                       from_array(s.astype(A.dtype.np)) if driver in ("gelsd", "gelss") else empty)


def _rows(x: Tensor, ind: int, called: str) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]]:
    first, last = tuple(x.shape[:ind]), tuple(x.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
                           f"{math.prod(last)} != {math.prod(first)}")
    return x.reshape(math.prod(first), math.prod(last)), first, last


@function(places=LINALG, kind=None, out=EXACT)
def linalg_tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of tensordot(A, ., ind)."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    matrix, first, last = _rows(A, ind, "tensorinv")
    return OPERATORS["linalg_inv"].call(matrix).reshape(*last, *first)


@function(places=LINALG, kind=None, out=EXACT)
def linalg_tensorsolve(A: Tensor, B: Tensor, dims: Dims = None) -> Tensor:
    """X with tensordot(A, X) = B; `dims` of A are moved to the end first."""
    if dims is not None:
        listed = [dims] if isinstance(dims, int) else list(dims)
        A = OPERATORS["movedim"].call(A, listed, list(range(A.ndim - len(listed), A.ndim)))
    size = math.prod(B.shape)
    rest = tuple(A.shape[B.ndim:])
    if math.prod(rest) != size:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           "prod(self.shape[:other.ndim]), but "
                           f"got {math.prod(rest)} != {size}")
    return linalg_solve(A.reshape(size, size), B.flatten()).reshape(rest)
