"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
from collections.abc import Sequence
from jitgrad import return_types
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import dtype
from jitgrad.errors import LinAlgError as LinAlgError

def cholesky(A: Tensor, *, upper: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The lower triangular L with L @ L.T = A of symmetric positive definite matrices (or its transpose, if `upper`)."""
def cholesky_ex(A: Tensor, *, upper: builtins.bool = False, check_errors: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_cholesky_ex:
    """(L, info): linalg.cholesky, with nan for matrices that are not positive definite, and for them the order of the first leading"""
def cond(A: Tensor, p: builtins.int | builtins.float | builtins.str | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The condition number: the norm times that of the inverse; of the singular values by default."""
def cross(input: Tensor, other: Tensor, *, dim: builtins.int = -1, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The vector product along `dim`, of length 3."""
def det(A: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The determinants of square matrices; differentiable where they are 0, too."""
def diagonal(A: Tensor, *, offset: builtins.int = 0, dim1: builtins.int = -2, dim2: builtins.int = -1) -> Tensor:
    """The diagonal of matrices."""
def eigh(A: Tensor, UPLO: builtins.str = 'L', *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_eigh:
    """(eigenvalues, eigenvectors) of symmetric matrices, of which one triangle is read; the eigenvalues rise."""
def eigvalsh(A: Tensor, UPLO: builtins.str = 'L', *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The eigenvalues of symmetric matrices, rising."""
def inv(A: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of square matrices.  Raises linalg.LinAlgError for singular ones, when it is computed."""
def inv_ex(A: Tensor, *, check_errors: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_inv_ex:
    """(inverse, info): linalg.inv, with nan for singular matrices, and what is not zero for them."""
def lstsq(A: Tensor, B: Tensor, rcond: builtins.float | None = None, *, driver: builtins.str | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_lstsq:
    """(solution, residuals, rank, singular_values): the X of least |A @ X - B|, and of these the one of least norm."""
def matrix_norm(A: Tensor, ord: builtins.int | builtins.float | builtins.str = 'fro', dim: builtins.int | Sequence[builtins.int] = (-2, -1), keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] = (-2, -1), keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The norm of matrices: "fro", "nuc", 2 and -2 (of the singular values), 1, -1, inf and -inf (of sums of columns or rows)."""
def matrix_power(A: Tensor, n: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The n-th power of square matrices, of the inverse for negative n."""
def matrix_rank(A: Tensor, tol: Tensor | builtins.float | None = None, hermitian: builtins.bool = False, *, atol: Tensor | builtins.float | None = None, rtol: Tensor | builtins.float | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """How many singular values are above max(atol, rtol * the largest); `hermitian`: of symmetric matrices, read below the diagonal."""
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The product of matrices (the first and the last may be vectors), the longest inner dimension first."""
def norm(A: Tensor, ord: builtins.int | builtins.float | builtins.str | None = None, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The vector norm over one dimension or of all elements, the matrix norm over two (or of a matrix, if `ord` is given)."""
def pinv(A: Tensor, rcond: builtins.float | None = None, hermitian: builtins.bool = False, *, atol: builtins.float | None = None, rtol: builtins.float | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The pseudo-inverse; singular values of at most max(atol, rtol * the largest) count as 0."""
def qr(A: Tensor, mode: builtins.str = 'reduced', *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_qr:
    """(Q, R) with orthonormal columns and an upper triangle; mode "complete" gives a square Q, "r" an empty one."""
def slogdet(A: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_slogdet:
    """(sign, log |det|) of square matrices."""
def solve(A: Tensor, B: Tensor, *, left: builtins.bool = True, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """X with A @ X = B (or X @ A = B, if not `left`), of matrices or vectors.  Raises linalg.LinAlgError for a singular A."""
def solve_ex(A: Tensor, B: Tensor, *, left: builtins.bool = True, check_errors: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_solve_ex:
    """(result, info): linalg.solve, with nan for singular matrices, and what is not zero for them."""
def solve_triangular(A: Tensor, B: Tensor, *, upper: builtins.bool, left: builtins.bool = True, unitriangular: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """X with A @ X = B (or X @ A = B), of A the upper or lower triangle, ones on its diagonal if `unitriangular`."""
def svd(A: Tensor, full_matrices: builtins.bool = True, *, driver: builtins.str | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> return_types.linalg_svd:
    """(U, S, Vh) with A = U @ diag(S) @ Vh; full_matrices: U and Vh are square, what this adds has no derivative."""
def svdvals(A: Tensor, *, driver: builtins.str | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The singular values, falling."""
def tensorinv(A: Tensor, ind: builtins.int = 2, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of tensordot(A, ., ind)."""
def tensorsolve(A: Tensor, B: Tensor, dims: builtins.int | Sequence[builtins.int] | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """X with tensordot(A, X) = B; `dims` of A are moved to the end first."""
def vander(x: Tensor, *, N: builtins.int | None = None) -> Tensor:
    """The powers 0 to N - 1 of the elements of vectors, as a new last dimension."""
def vecdot(x: Tensor, y: Tensor, *, dim: builtins.int = -1, axis: builtins.int = -1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum of the products along `dim`."""
def vector_norm(x: Tensor, ord: builtins.int | builtins.float = 2, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """(sum |x| ** ord) ** (1 / ord) of all elements or over `dim`, and its limits at inf, -inf and 0."""
