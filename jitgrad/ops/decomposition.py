"""Linear algebra on stacks of matrices: NumPy calls between kernels, with derivatives written in the same operations.

A decomposition of several parts is one op, of which the parts lie below each other; `part` takes one out (`cat_part` of a cat).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.errors import LinAlgError
from jitgrad.graph.node import Node
from jitgrad.ops.declare import library
from jitgrad.ops.diagonals import triangle
from jitgrad.ops.elementwise import eq, logical_and, where
from jitgrad.ops.linalg import matmul, transposed
from jitgrad.ops.movement import cat_part, number, unsqueeze, zeros_like
from jitgrad.ops.reduction import sum as sum_
from jitgrad.ops.samples import FLOATS, Case, Sample, custom
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import dtype


def _matrices(*more: tuple[int, ...], symmetric: bool = False, **params: bool) -> Sample:
    """Square matrices far from singular, alone, stacked and empty, with a second operand of these last dimensions."""
    def make(rng: np.random.Generator, to: dtype) -> list[Case]:
        cases = []
        for shape in ((3, 3), (2, 2, 2), (1, 1), (0, 2, 2)):
            a = rng.uniform(-1, 1, shape)
            a = a @ np.swapaxes(a, -1, -2) if symmetric else a
            a += np.diag(np.arange(2, shape[-1] + 2.0))
            others = [rng.uniform(-1, 1, (*shape[:-1], *m)) for m in more]
            cases.append(Case((a.astype(to.np), *[o.astype(to.np) for o in others]), params))
        return cases

    return custom(make, FLOATS, order=0 if symmetric else 2)        # one element is not the function's to change


def _completed(function: Callable, *operands: np.ndarray, error: Callable[..., str]) -> Any:
    """function(*operands).  Raises LinAlgError with the text that `error` makes of the operands."""
    try:
        return function(*operands)
    except np.linalg.LinAlgError:
        raise LinAlgError(error(*operands)) from None


def singular_order(matrix: np.ndarray) -> int:
    """How many columns, from the first on, are linearly dependent where a matrix has no inverse; 0 where it has one."""
    try:
        np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return next((k for k in range(1, len(matrix)) if np.linalg.matrix_rank(matrix[:, :k]) < k), len(matrix))
    return 0


def indefinite_order(matrix: np.ndarray) -> int:
    """The order of the first leading minor that is not positive definite, 0 where all are."""
    for k in (len(matrix), *range(1, len(matrix))):
        try:
            np.linalg.cholesky(matrix[:k, :k])
            if k == len(matrix):
                return 0
        except np.linalg.LinAlgError:
            if k < len(matrix):
                return k
    return len(matrix)


def _first_failure(order: Callable[[np.ndarray], int], a: np.ndarray) -> tuple[str, int]:
    """PyTorch's words for which of stacked matrices is the first with such an order, and the order."""
    for i, matrix in enumerate(a.reshape(-1, *a.shape[-2:])):
        if found := order(matrix):
            return f"(Batch element {i}): " if a.ndim > 2 else "", found
    return "", a.shape[-1]


def singular(a: np.ndarray, called: str = "linalg.inv") -> str:
    """What is said of matrices of which one has no inverse."""
    which, order = _first_failure(singular_order, a)
    return (f"{called}: {which}The diagonal element {order} is zero, the inversion could not be completed because the input matrix is "
            "singular.")


def unsolvable(a: np.ndarray, called: str = "torch.linalg.solve") -> str:
    """What is said of equations with such a matrix."""
    return f"{called}: {_first_failure(singular_order, a)[0]}The solver failed because the input matrix is singular."


def indefinite(a: np.ndarray, called: str = "linalg.cholesky") -> str:
    """What is said of matrices of which one has no Cholesky factor."""
    which, order = _first_failure(indefinite_order, a)
    return (f"{called}: {which}The factorization could not be completed because the input is not positive-definite (the leading "
            f"minor of order {order} is not positive-definite).")


def _divergent(called: str) -> Callable[[np.ndarray], str]:
    return lambda a: (f"linalg.{called}: The algorithm failed to converge because the input matrix "
                      f"{'is ill-conditioned' if np.isfinite(a).all() else 'contained non-finite values'}.")


def _same(x: ArrayType, *others: ArrayType) -> ArrayType:
    return x


def _scalars(x: ArrayType) -> ArrayType:
    return array_type(x.shape[:-2], x.dtype, x.device)


def _each(x: Node) -> Node:
    """One number a matrix, to multiply it with."""
    n = x.type.ndim
    return unsqueeze(x, dims=(n, n + 1))


def _inner(a: Node, b: Node) -> Node:
    """The sum of the products of two matrices' elements, as a 1 by 1 matrix."""
    n = a.type.ndim
    return sum_(a * b, axes=(n - 2, n - 1))


def lower_triangle(x: Node, upper: bool = False, offset: int = 0) -> Node:
    """x with zeros above the diagonal (below it, if `upper`)."""
    return where(triangle(x, offset=offset, upper=upper), x, number(0, x))


# -- inverses and equations --------------------------------------------------------------------------------------------

def _inverse(a: np.ndarray) -> np.ndarray:
    return _completed(np.linalg.inv, a, error=singular) if a.size else np.array(a)


def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if not a.size or not b.size:
        return np.zeros(b.shape, b.dtype)
    return _completed(np.linalg.solve, a, b, error=lambda a, b: unsolvable(a))


def _solve_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    to_b = solve(transposed(a), g)
    return -matmul(to_b, transposed(y)), to_b


inverse = library("inverse(a)", infer=_same, numpy=_inverse, dims="donor:0", grad_name="LinalgInvExBackward0", sample=_matrices(),
                  vjp=lambda g, y, a: (-matmul(transposed(y), matmul(g, transposed(y))),), doc="the inverses of square matrices")
solve = library("solve(a, b)", infer=lambda a, b: b, numpy=_solve, dims="donor:1", grad_name="LinalgSolveExBackward0",
                vjp=_solve_vjp, sample=_matrices((2,)), doc="x with a @ x = b, a and b of the same leading dimensions")


# -- determinants ------------------------------------------------------------------------------------------------------

def _cofactors(a: np.ndarray) -> np.ndarray:
    """The transposed adjugate, from the singular values: right where the matrix is singular, too."""
    if not a.size or not np.isfinite(a).all():
        return np.full_like(a, np.nan)
    u, s, vh = np.linalg.svd(a)
    others = np.where(np.eye(s.shape[-1], dtype=np.bool_), 1, s[..., None, :]).prod(-1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return ((u * (others * np.rint(sign)[..., None])[..., None, :]) @ vh).astype(a.dtype, copy=False)


def _cofactors_vjp(g: Node, y: Node, a: Node) -> tuple[Node]:
    t = transposed(inverse(a))
    return (_each(det(a)) * (t * _inner(g, t) - matmul(t, matmul(transposed(g), t))),)


det = library("det(a)", infer=_scalars, numpy=lambda a: np.asarray(np.linalg.det(a), a.dtype), grad_name="LinalgDetBackward0",
              dims=lambda context, node, dims: dims[0][:-2], vjp=lambda g, y, a: (_each(g) * cofactors(a),), sample=_matrices(),
              doc="the determinants of square matrices")
cofactors = library("cofactors(a)", infer=_same, numpy=_cofactors, dims="donor:0", vjp=_cofactors_vjp, sample=_matrices(),
                    doc="the derivatives of the determinant to each element")
logabsdet = library("logabsdet(a)", infer=_scalars, numpy=lambda a: np.asarray(np.linalg.slogdet(a)[1], a.dtype), sample=_matrices(),
                    dims=lambda context, node, dims: dims[0][:-2], grad_name="LinalgSlogdetBackward0",
                    vjp=lambda g, y, a: (_each(g) * transposed(inverse(a)),), doc="log |det(a)|")
signdet = library("signdet(a)", infer=_scalars, numpy=lambda a: np.asarray(np.linalg.slogdet(a)[0], a.dtype),
                  dims=lambda context, node, dims: dims[0][:-2], vjp=lambda g, y, a: (zeros_like(a),), sample=_matrices(),
                  grad_name="LinalgSlogdetBackward0", doc="the sign of det(a)")


# -- decompositions ----------------------------------------------------------------------------------------------------

def _cholesky_vjp(g: Node, y: Node, a: Node) -> tuple[Node]:
    p = matmul(transposed(y), g)
    p = lower_triangle(p) + transposed(lower_triangle(p, offset=-1))
    return (0.5 * solve(transposed(y), transposed(solve(transposed(y), transposed(p)))),)


cholesky = library("cholesky(a)", infer=_same, dims="donor:0", grad_name="LinalgCholeskyExBackward0",
                   numpy=lambda a: _completed(np.linalg.cholesky, a, error=indefinite) if a.size else np.array(a), vjp=_cholesky_vjp,
                   sample=_matrices(symmetric=True),
                   doc="the lower triangular L with L @ L.T = a, of symmetric positive definite matrices, read below the diagonal")


# The parts of those below have rows of one length, n of an m by n matrix with m >= n, and lie below each other.

def _below(context: Any, node: Node, dims: list[tuple]) -> tuple:
    n = node.type.ndim - 2
    return (*dims[0][:-2], context.ONE if node.type.shape[n] == 1 else context.fresh(n), dims[0][-1])


def _stack(signature: str, rows: Callable[[int, int], int], function: Callable[..., tuple[np.ndarray, ...]], vjp: Callable,
           grad_name: str, sample: Sample, doc: str) -> Any:
    def infer(a: ArrayType, **params: bool) -> ArrayType:
        *batch, m, n = a.shape
        return array_type((*batch, rows(m, n), n), a.dtype, a.device)

    def numpy(a: np.ndarray, **params: bool) -> np.ndarray:
        if not a.size:
            *batch, m, n = a.shape
            return np.zeros((*batch, rows(m, n), n), a.dtype)
        return np.concatenate(function(a, **params), -2, dtype=a.dtype)

    return library(signature, infer=infer, numpy=numpy, dims=_below, vjp=vjp, doc=doc, sample=sample, grad_name=grad_name)


def _row(a: Node) -> Node:
    """A donor: one row as long as those of a."""
    return sum_(a, axes=(a.type.ndim - 2,))


def eigh_parts(packed: Node, a: Node) -> tuple[Node, Node]:
    """The eigenvalues, as a row, and the eigenvectors, as columns."""
    dim = a.type.ndim - 2
    return tuple([cat_part(packed, *(_row(a), a)[:i + 1], dim=dim, index=i) for i in range(2)])     # type: ignore[return-value]


def qr_parts(packed: Node, a: Node) -> tuple[Node, Node]:
    """Q and R."""
    dim, donors = a.type.ndim - 2, (a, matmul(transposed(a), a))
    return tuple([cat_part(packed, *donors[:i + 1], dim=dim, index=i) for i in range(2)])           # type: ignore[return-value]


def svd_parts(packed: Node, a: Node) -> tuple[Node, Node, Node]:
    """U, the singular values, as a row, and V."""
    dim, donors = a.type.ndim - 2, (a, _row(a), matmul(transposed(a), a))
    return tuple([cat_part(packed, *donors[:i + 1], dim=dim, index=i) for i in range(3)])           # type: ignore[return-value]


def on_diagonal(x: Node) -> Node:
    """bool, true on the diagonal of the last two dimensions."""
    return logical_and(triangle(x, offset=0, upper=True), triangle(x, offset=0, upper=False))


def _differences(row: Node, square: Node) -> Node:
    """row[j] - row[i], and 1 on the diagonal."""
    return where(on_diagonal(square), number(1, row), row - transposed(row))


def _over(x: Node, differences: Node) -> Node:
    """x / differences, 0 where both are 0: values that are equal matter only to who asks for vectors."""
    return x / where(logical_and(eq(x, 0), eq(differences, 0)), number(1, x), differences)


def _eigh_vjp(g: Node, y: Node, a: Node, *, upper: bool) -> tuple[Node]:
    (w, v), (to_w, to_v) = eigh_parts(y, a), eigh_parts(g, a)
    turned = matmul(transposed(v), to_v)
    inner = where(on_diagonal(a), to_w, _over(0.5 * (turned - transposed(turned)), _differences(w, a)))
    return (matmul(v, matmul(inner, transposed(v))),)


def _qr_vjp(g: Node, y: Node, a: Node) -> tuple[Node]:
    (q, r), (to_q, to_r) = qr_parts(y, a), qr_parts(g, a)
    p = lower_triangle(matmul(to_r, transposed(r)) - matmul(transposed(q), to_q), upper=True)
    p = p + transposed(lower_triangle(p, upper=True, offset=1))
    return (transposed(solve(r, transposed(to_q + matmul(q, p)))),)


def _svd_vjp(g: Node, y: Node, a: Node, *, wide: bool) -> tuple[Node]:
    (u, s, v), (to_u, to_s, to_v) = svd_parts(y, a), svd_parts(g, a)
    differences = _differences(s * s, v)
    turned_u, turned_v = matmul(transposed(u), to_u), matmul(transposed(v), to_v)
    from_u, from_v = [_over(t - transposed(t), differences) for t in (turned_u, turned_v)]
    inner = from_u * s + transposed(s) * from_v
    left = matmul(u, where(on_diagonal(v), to_s, inner))
    if a.type.shape[-2:] != v.type.shape[-2:]:
        left = left + _over(to_u - matmul(u, turned_u), s)
    return (matmul(left, transposed(v)),)


def _eigh(a: np.ndarray, *, upper: bool) -> tuple[np.ndarray, ...]:
    w, v = _completed(lambda a: np.linalg.eigh(a, "U" if upper else "L"), a, error=_divergent("eigh"))
    return w[..., None, :], v


def _thin_svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _completed(lambda a: np.linalg.svd(a, full_matrices=False), a, error=_divergent("svd"))


def _svd(a: np.ndarray, *, wide: bool) -> tuple[np.ndarray, ...]:
    u, s, vh = _thin_svd(np.swapaxes(a, -1, -2) if wide else a)
    v = np.swapaxes(vh, -1, -2)
    return (v, s[..., None, :], u) if wide else (u, s[..., None, :], v)


def _tall(**params: bool) -> Sample:
    return custom(lambda rng, to: [Case((rng.uniform(-1, 1, shape).astype(to.np) + np.eye(*shape[-2:], dtype=to.np),), params)
                                   for shape in ((3, 3), (2, 3, 2), (1, 1), (0, 3, 2))], FLOATS)


eigh = _stack("eigh(a, *, upper)", lambda m, n: n + 1, _eigh, _eigh_vjp, "LinalgEighBackward0", _matrices(symmetric=True, upper=False),
              "the eigenvalues, rising, and below them the eigenvectors of symmetric matrices, read below the diagonal, or above")
qr = _stack("qr(a)", lambda m, n: m + n, np.linalg.qr, _qr_vjp, "LinalgQrBackward0", _tall(),
            "Q with orthonormal columns, and below it the upper triangular R, of a = Q @ R with no more columns than rows")
svd = _stack("svd(a, *, wide)", lambda m, n: m + 1 + n, _svd, _svd_vjp, "LinalgSvdBackward0", _tall(wide=True),
             "U, the singular values and V, below each other, of a = U @ diag(s) @ V.T with no more columns than rows; `wide`: "
             "with the "
             "signs that the transposed matrix has")

complement = library(
    "complement(q)", vjp=None, sample=custom(lambda rng, to: [Case((np.linalg.qr(rng.uniform(-1, 1, (2, 4, 2)))[0].astype(to.np),))],
                                             FLOATS, order=0),
    infer=lambda q: array_type((*q.shape[:-1], q.shape[-2] - q.shape[-1]), q.dtype, q.device),
    numpy=lambda q: np.ascontiguousarray(np.linalg.qr(q, "complete")[0][..., q.shape[-1]:]) if q.size else
    np.broadcast_to(np.eye(q.shape[-2], dtype=q.dtype)[:, q.shape[-1]:], (*q.shape[:-1], q.shape[-2] - q.shape[-1])),
    dims=lambda context, node, dims: (*dims[0][:-1], context.ONE if node.type.shape[-1] == 1 else context.fresh(node.type.ndim - 1)),
    doc="orthonormal columns that with those of q, fewer than there are rows, are a basis; they have no derivative")


# -- the pseudo-inverse ------------------------------------------------------------------------------------------------

def _pinv(a: np.ndarray, *, atol: float, rtol: float, symmetric: bool) -> np.ndarray:
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    if symmetric:
        a = np.tril(a) + np.swapaxes(np.tril(a, -1), -1, -2)
    u, s, vh = _thin_svd(a)
    kept = s > np.maximum(atol, rtol * s.max(-1, keepdims=True))
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0)
    return (np.swapaxes(vh, -1, -2) * inverse[..., None, :]) @ np.swapaxes(u, -1, -2)


def _pinv_vjp(g: Node, y: Node, a: Node, *, atol: float, rtol: float, symmetric: bool) -> tuple[Node]:
    t, r = transposed(y), transposed(g)
    first = matmul(r - matmul(a, matmul(y, r)), matmul(y, t))
    second = matmul(matmul(t, y), r - matmul(matmul(r, y), a))
    return (first + second - matmul(t, matmul(g, t)),)


pinv = library("pinv(a, *, atol, rtol, symmetric)", numpy=_pinv, vjp=_pinv_vjp,
               infer=lambda a, **params: array_type((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype, a.device),
               dims=lambda context, node, dims: (*dims[0][:-2], dims[0][-1], dims[0][-2]), grad_name="LinalgPinvBackward0",
               doc="the pseudo-inverse: singular values of at most max(atol, rtol * largest) count as 0; `symmetric`: read below the "
                   "diagonal",
               sample=custom(lambda rng, to: [Case((rng.uniform(-1, 1, s).astype(to.np),),
                                                   {"atol": 0.0, "rtol": 1e-7, "symmetric": False})
                                              for s in ((3, 3), (2, 4, 2), (2, 3), (0, 3, 2))], FLOATS))
