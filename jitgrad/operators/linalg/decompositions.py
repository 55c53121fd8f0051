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
from jitgrad.operators.linalg.matrices import LINALG, check_matrix, check_square, tolerance
from jitgrad.operators.named import result_type
from jitgrad.operators.operands import cast, promoted
from jitgrad.ops import transposed
from jitgrad.ops.decomposition import eigh_parts, qr_parts, svd_parts
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import array_type
from jitgrad.types.dtype import int32, int64

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


def _no_failure(a: Node) -> Node:
    zeros = np.zeros(a.type.shape[:-2], np.int32)
    return input_node(zeros, array_type(zeros.shape, int32))


@operator("LinalgInvExBackward0", places=LINALG, saves=("result",), kind=None)
def linalg_inv_ex(A: Node, *, check_errors: bool = False) -> tuple[Node, Node]:
    """(inverse, info): the inverse as linalg.inv gives it, which raises for singular matrices, and zeros."""
    return InverseResult(_inv(A), _no_failure(A))


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


@operator("LinalgCholeskyExBackward0", places=LINALG, saves=("result",), kind=None)
def linalg_cholesky_ex(A: Node, *, upper: bool = False, check_errors: bool = False) -> tuple[Node, Node]:
    """(L, info): as linalg.cholesky gives it, which raises for matrices that are not positive definite, and zeros."""
    return CholeskyResult(_cholesky("linalg.cholesky_ex", A, upper), _no_failure(A))


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

def _pinv(a: Node, rtol: float | None, atol: float | None) -> Node:
    check_matrix("linalg.pinv", a)
    return ops.pinv(a, atol=float(atol or 0), rtol=tolerance(a.type.dtype, a.type.shape, rtol, atol))


@operator("LinalgPinvBackward0", places=LINALG, saves=("A", "result"), out=EXACT)
def linalg_pinv(A: Node, rcond: float | None = None, hermitian: bool = False, *, atol: float | None = None,
                rtol: float | None = None) -> Node:
    """The pseudo-inverse; singular values of at most max(atol, rtol * the largest) count as 0."""
    if not hermitian:
        return _pinv(A, rcond if rtol is None else rtol, atol)
    w, v = eigh_parts(ops.eigh(A, upper=False), A)
    size = ops.abs(ops.detach(w))
    relative = tolerance(A.type.dtype, A.type.shape, rcond if rtol is None else rtol, atol)
    kept = size
    if w.type.shape[-1]:
        kept = ops.gt(size, ops.maximum(ops.number(float(atol or 0), size), relative * ops.amax(size, axes=(w.type.ndim - 1,))))
    inverse = ops.where(kept, ops.reciprocal(ops.where(kept, w, ops.number(1, w))), ops.number(0, w)) if w.type.shape[-1] else w
    return ops.matmul(v * inverse, transposed(v))


@operator("LinalgPinvBackward0", saves=("input", "result"))
def pinverse(input: Node, rcond: float = 1e-15) -> Node:
    """The pseudo-inverse; singular values of at most rcond * the largest count as 0."""
    return _pinv(input, rcond, None)


@operator(places=LINALG)
def linalg_matrix_rank(A: Node, tol: float | None = None, hermitian: bool = False, *, atol: float | None = None,
                       rtol: float | None = None) -> Node:
    """How many singular values are above max(atol, rtol * the largest)."""
    s = thin_svd("linalg.matrix_rank", A)[1]
    last = s.type.ndim - 1
    if tol is not None:
        atol, rtol = tol, 0.0
    if not s.type.shape[last]:
        return ops.squeeze(ops.sum(cast(s, int64), axes=(last,)), dims=(last,))
    at_least, relative = promoted("linalg.matrix_rank", s, float(atol or 0), tolerance(s.type.dtype, A.type.shape, rtol, atol))[1:]
    kept = ops.gt(s, ops.maximum(at_least, relative * ops.amax(s, axes=(last,))))
    return ops.squeeze(ops.sum(cast(kept, int64), axes=(last,)), dims=(last,))
