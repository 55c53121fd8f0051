"""Decompositions, determinants and inverses of torch.linalg."""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.linalg.matrices import LINALG, attempted, check_matrix, check_square, marked, tolerance
from jitgrad.operators.result_types import result_type
from jitgrad.ops import transposed
from jitgrad.ops.decomposition import eigh_parts, indefinite, indefinite_order, qr_parts, singular, singular_order, svd_parts
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import array_type

SlogdetResult = result_type("linalg_slogdet", "sign logabsdet")
EighResult = result_type("linalg_eigh", "eigenvalues eigenvectors")
QrResult = result_type("linalg_qr", "Q R")
OldQrResult = result_type("qr", "Q R")
SvdResult = result_type("linalg_svd", "U S Vh")
OldSvdResult = result_type("svd", "U S V")
OldSlogdetResult = result_type("slogdet", "sign logabsdet")
InverseResult = result_type("linalg_inv_ex", "inverse info")
CholeskyResult = result_type("linalg_cholesky_ex", "L info")


# -- inverses and determinants -----------------------------------------------------------------------------------------

def _inv(A: Node) -> Node:
    """The inverse of square matrices.  Raises linalg.LinAlgError for singular ones, when it is computed."""
    check_square("linalg.inv", A)
    return ops.inverse(A)


def _inverse(input: Node) -> Node:
    """The inverse of square matrices; see linalg.inv."""
    return _inv(input)


operator("LinalgInvExBackward0", name="linalg_inv", places=LINALG, saves=("result",), out=EXACT)(_inv)
operator("LinalgInvExBackward0", name="inverse", saves=("result",), out=EXACT)(_inverse)


@operator("LinalgInvExBackward0", places=LINALG, saves=("result",), kind=None, out=EXACT)
def linalg_inv_ex(A: Node, *, check_errors: bool = False) -> tuple[Node, Node]:
    """(inverse, info): linalg.inv, with nan for singular matrices, and what is not zero for them."""
    check_square("linalg.inv", A)
    matrices, info = attempted(A, singular_order, "linalg.inv_ex" if check_errors else None, singular)
    return InverseResult(marked(ops.inverse(matrices), info), info)


def _det(A: Node) -> Node:
    """The determinants of square matrices; differentiable where they are 0, too."""
    check_square("linalg.det", A)
    return ops.det(A)


def _det_of_input(input: Node) -> Node:
    """The determinants of square matrices; see linalg.det."""
    return _det(input)


operator("LinalgDetBackward0", name="linalg_det", places=LINALG, saves=("A", "result"), out=EXACT)(_det)
operator("LinalgDetBackward0", name="det", saves=("input", "result"))(_det_of_input)


def _slogdet(A: Node, kind: Callable) -> tuple[Node, Node]:
    check_square("linalg.slogdet", A)
    return kind(ops.signdet(A), ops.logabsdet(A))


@operator("LinalgSlogdetBackward0", places=LINALG, saves=("A",), out=EXACT)
def linalg_slogdet(A: Node) -> tuple[Node, Node]:
    """(sign, log |det|) of square matrices."""
    return _slogdet(A, SlogdetResult)


@operator("LinalgSlogdetBackward0", saves=("input",), out=EXACT)
def slogdet(input: Node) -> tuple[Node, Node]:
    """(sign, log |det|) of square matrices."""
    return _slogdet(input, OldSlogdetResult)


@function(places=("torch", "method"))
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinants: nan where they are negative."""
    sign, logabsdet = slogdet(input)
    return OPERATORS["where"].call(sign < 0, math.nan, logabsdet)


# -- Cholesky, QR, eigenvalues, singular values ------------------------------------------------------------------------

def _cholesky(called: str, a: Node, upper: bool) -> Node:
    check_square(called, a)
    if upper:
        return transposed(ops.cholesky(transposed(a)))
    return ops.cholesky(a)


@operator("LinalgCholeskyExBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_cholesky(A: Node, *, upper: bool = False) -> Node:
    """The lower triangular L with L @ L.T = A of symmetric positive definite matrices (or its transpose, if `upper`).

    Raises linalg.LinAlgError for others, when it is computed."""
    return _cholesky("linalg.cholesky", A, upper)


@operator("LinalgCholeskyExBackward0", places=LINALG, saves=("result",), kind=None, out=EXACT)
def linalg_cholesky_ex(A: Node, *, upper: bool = False, check_errors: bool = False) -> tuple[Node, Node]:
    """(L, info): linalg.cholesky, with nan for matrices that are not positive definite, and for them the order of the first leading
    minor that is not."""
    check_square("linalg.cholesky_ex", A)
    matrices, info = attempted(transposed(A) if upper else A, indefinite_order, "linalg.cholesky_ex" if check_errors else None,
                               indefinite)
    L = marked(ops.cholesky(matrices), info)
    return CholeskyResult(transposed(L) if upper else L, info)


@operator("CholeskyBackward0", saves=("result",), out=CAST)
def cholesky(input: Node, upper: bool = False) -> Node:
    """The Cholesky factor of symmetric positive definite matrices: lower triangular, or upper."""
    return _cholesky("cholesky", input, upper)


def _tall_qr(a: Node) -> tuple[Node, Node]:
    return qr_parts(ops.qr(a), a)


def _qr(a: Node, mode: str) -> tuple[Node, Node]:
    check_matrix("linalg.qr", a)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    m, n = a.type.shape[-2:]
    if m < n:
        first = ops.slice(a, full=(*[True] * (a.type.ndim - 1), "prefix"), sizes=(0, m, 1))
        rest = ops.slice(a, full=(*[True] * (a.type.ndim - 1), "suffix"), sizes=(m, n - m, 1))
        q, r = _tall_qr(first)
        r = ops.cat(r, ops.matmul(transposed(q), rest), dim=a.type.ndim - 1)
    else:
        q, r = _tall_qr(a)
        if mode == "complete" and m > n:
            if a.requires_grad:
                raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols")
            rest = ops.expand(ops.number(0, r), sizes=(*a.type.shape[:-2], m - n, n))
            q, r = ops.cat(q, ops.complement(q), dim=a.type.ndim - 1), ops.cat(r, rest, dim=a.type.ndim - 2)
    if mode == "r":
        if a.requires_grad:
            raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                               "linalg.qr(A, mode='reduced') if you are going to require gradients through linalg.qr.")
        q = input_node(np.zeros(0, q.type.dtype.np), array_type((0,), q.type.dtype))
    return q, r


@operator("LinalgQrBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_qr(A: Node, mode: str = "reduced") -> tuple[Node, Node]:
    """(Q, R) with orthonormal columns and an upper triangle; mode "complete" gives a square Q, "r" an empty one."""
    return QrResult(*_qr(A, mode))


@operator("LinalgQrBackward0", saves=("result",), out=EXACT)
def qr(input: Node, some: bool = True) -> tuple[Node, Node]:
    """(Q, R) of input = Q @ R; some: with as many columns of Q as the smaller dimension."""
    return OldQrResult(*_qr(input, "reduced" if some else "complete"))


def _eigh(called: str, a: Node, UPLO: str) -> tuple[Node, Node]:
    check_square(called, a)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    w, v = eigh_parts(ops.eigh(a, upper=UPLO.upper() == "U"), a)
    return ops.squeeze(w, dims=(a.type.ndim - 2,)), v


@operator("LinalgEighBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_eigh(A: Node, UPLO: str = "L") -> tuple[Node, Node]:
    """(eigenvalues, eigenvectors) of symmetric matrices, of which one triangle is read; the eigenvalues rise."""
    return EighResult(*_eigh("linalg.eigh", A, UPLO))


@operator("LinalgEighBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_eigvalsh(A: Node, UPLO: str = "L") -> Node:
    """The eigenvalues of symmetric matrices, rising."""
    return _eigh("linalg.eigvalsh", A, UPLO)[0]


def thin_svd(called: str, a: Node) -> tuple[Node, Node, Node]:
    """U, the singular values and V of a = U @ diag(S) @ V.T, with as many columns as singular values."""
    check_matrix(called, a)
    wide = a.type.shape[-2] < a.type.shape[-1]
    if wide:
        a = transposed(a)
    u, s, v = svd_parts(ops.svd(a, wide=wide), a)
    s = ops.squeeze(s, dims=(a.type.ndim - 2,))
    return (v, s, u) if wide else (u, s, v)


def _full(q: Node) -> Node:
    return ops.cat(q, ops.complement(q), dim=q.type.ndim - 1) if q.type.shape[-2] > q.type.shape[-1] else q


@operator("LinalgSvdBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_svd(A: Node, full_matrices: bool = True, *, driver: str | None = None) -> tuple[Node, Node, Node]:
    """(U, S, Vh) with A = U @ diag(S) @ Vh; full_matrices: U and Vh are square, what this adds has no derivative."""
    u, s, v = thin_svd("linalg.svd", A)
    if full_matrices:
        u, v = _full(u), _full(v)
    return SvdResult(u, s, transposed(v))


@operator("LinalgSvdBackward0", places=LINALG, saves=("result",), out=EXACT)
def linalg_svdvals(A: Node, *, driver: str | None = None) -> Node:
    """The singular values, falling."""
    return thin_svd("linalg.svdvals", A)[1]


@operator("LinalgSvdBackward0", saves=("result",), out=EXACT)
def svd(input: Node, some: bool = True, compute_uv: bool = True) -> tuple[Node, Node, Node]:
    """(U, S, V) with input = U @ diag(S) @ V.T; some: with as many columns as singular values."""
    u, s, v = thin_svd("linalg.svd", input)
    if not some:
        u, v = _full(u), _full(v)
    if not compute_uv:
        u, v = ops.zeros_like(u), ops.zeros_like(v)
    return OldSvdResult(u, s, v)


# -- pseudo-inverses ---------------------------------------------------------------------------------------------------

def _pinv(a: Node, rtol: float | None, atol: float | None, symmetric: bool = False) -> Node:
    check_matrix("linalg.pinv", a)
    return ops.pinv(a, atol=float(atol or 0), rtol=tolerance(a.type.dtype, a.type.shape, rtol, atol), symmetric=symmetric)


@operator("LinalgPinvBackward0", places=LINALG, saves=("A", "result"), out=EXACT)
def linalg_pinv(A: Node, rcond: float | None = None, hermitian: bool = False, *, atol: float | None = None,
                rtol: float | None = None) -> Node:
    """The pseudo-inverse; singular values of at most max(atol, rtol * the largest) count as 0."""
    return _pinv(A, rcond if rtol is None else rtol, atol, hermitian)


@operator("LinalgPinvBackward0", saves=("input", "result"))
def pinverse(input: Node, rcond: float = 1e-15) -> Node:
    """The pseudo-inverse; singular values of at most rcond * the largest count as 0."""
    return _pinv(input, rcond, None)


@function(places=LINALG, out=CAST)
def linalg_matrix_rank(A: Tensor, tol: Tensor | float | None = None, hermitian: bool = False, *, atol: Tensor | float | None = None,
                       rtol: Tensor | float | None = None) -> Tensor:
    """How many singular values are above max(atol, rtol * the largest); `hermitian`: of symmetric matrices, read below the diagonal."""
    check_matrix("torch.linalg.matrix_rank", A._current(), "input")
    where, A = OPERATORS["where"].call, A.detach()
    s = OPERATORS["linalg_eigvalsh"].call(A).abs() if hermitian else OPERATORS["linalg_svdvals"].call(A)
    if tol is not None:
        atol, rtol = tol, 0.0
    if rtol is None:
        shape = tuple(A.shape)
        rtol = (where(atol > 0, 0.0, tolerance(A.dtype, shape, None, None)) if isinstance(atol, Tensor) else
                tolerance(A.dtype, shape, None, atol))
    if not s.shape[-1]:
        return (s != 0).sum(-1)
    limits = [OPERATORS["unsqueeze"].call(v, -1) if isinstance(v, Tensor) else v for v in (0.0 if atol is None else atol, rtol)]
    relative = s.amax(-1, keepdim=True) * limits[1]
    return (s > where(relative > limits[0], relative, limits[0])).sum(-1)
