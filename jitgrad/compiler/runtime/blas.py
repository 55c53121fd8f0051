"""Matrix products by the BLAS that NumPy has loaded, called by the driver between kernels, without Python.

Input: the views of two operands and of the result.  Output: a function of the kernels' ABI and the words of its block.
Invariant: only what BLAS takes is given to it (one stride of a matrix is 1, nothing is empty or repeated); `np.matmul` does
the rest, and all where NumPy's BLAS is not found or gives wrong answers.  Each product is one call, of BLAS or, where that is
quicker, of small_products.py, so its bits are those of one thread, or the library's.  (blas_calls.py: what is done about
subnormal numbers, of which "met" tells.)

A call of np.matmul costs 1 to 1.5 us besides the work, and ends a stretch of kernels, which costs another.

    kernel(lo, hi, block)       for lo <= i < hi: product of the matrices number i of a batch
    block of a product          function, transposed a, b, m, n, k, a, lda, b, ldb, c, ldc, steps of a, b, c in bytes, met
    block with a vector         function, transposed a, 0, rows, columns, 0, a, lda, x, stride, y, 1, steps in bytes
"""
from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from functools import cache as memoize
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from jitgrad.compiler.codegen import blas_calls, small_products
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.steps import LibraryStep
from jitgrad.compiler.numba_cpu import objectcode
from jitgrad.compiler.numba_cpu.kernels import PROTOTYPE, get_kernel

_PLAIN, _TURNED = blas_calls.PLAIN, 112          # of CBLAS: not transposed, transposed
# Names of routines in the wheels of NumPy, in builds with 64-bit integers, on macOS, and elsewhere; bits of an integer.
_NAMES = (("scipy_cblas_{}64_", 64), ("cblas_{}64_", 64), ("cblas_{}$NEWLAPACK$ILP64", 64), ("cblas_{}", 32))
_LETTERS = {"f8": "d", "f4": "s"}
MOST = 1 << 30                                  # elements in a dimension: a library may have 32-bit integers
A, B, C = 6, 8, 10                              # words of the block that hold addresses
_TURNED_A, _TURNED_B = 1, 2                     # words that tell what is transposed
_LENGTHS = (3, 4, 5, 7, 9, 11)                  # words that hold m, n, k, and the distances of rows of a, b and c


class Matrices(Protocol):
    """An operand: its shape, and its strides in bytes (library_calls.py)."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


class Product(NamedTuple):
    """A call: the function, how many matrices, the block (addresses are 0), and an estimate of the time."""

    address: int
    matrices: int
    words: list[int]
    nanoseconds: float


def product(a: Matrices, b: Matrices, shape: tuple[int, ...], dtype: np.dtype) -> Product | None:
    """The call for a @ b into a C-contiguous array of `shape`, or None where BLAS cannot do it so."""
    kind = dtype.kind + str(dtype.itemsize)
    if kind not in _LETTERS or a.dtype != dtype or b.dtype != dtype or 0 in shape or 0 in a.shape:
        return None
    *batch, m, n = shape
    routine = _routine(kind, n == 1 or m == 1)
    if routine is None or max(*a.shape, *b.shape) > MOST:
        return None
    size = dtype.itemsize
    k = a.shape[-1]
    steps = [_steps(v, batch) for v in (a, b)]
    left, right = _matrix(a, size), _matrix(b, size)
    if None in steps or left is None or right is None:
        return None
    count = int(np.prod(batch, dtype=np.int64))
    if n == 1 or m == 1:
        matrix, turn = (left, False) if n == 1 else (right, True)
        vector = b.strides[-2] if n == 1 else a.strides[-1]
        turned, lead = matrix
        rows, columns = (m, k) if n == 1 else (k, n)
        if turned:
            rows, columns = columns, rows
        step = [steps[0], steps[1]] if n == 1 else [steps[1], steps[0]]
        words = [routine.address, _TURNED if turned is not turn else _PLAIN, 0, rows, columns, 0, 0, lead, 0,
                 vector // size if k > 1 else 1, 0, 1, *step, m * n * size]
        if k > 1 and (vector <= 0 or vector % size):
            return None
    else:
        if small_products.quicker(m, n, k, left[0], right[0]):
            routine = _own(kind) or routine
        words = [routine.address, _TURNED if left[0] else _PLAIN, _TURNED if right[0] else _PLAIN, m, n, k, 0,
                 left[1], 0, right[1], 0, n, *steps, m * n * size, 0]
    return Product(routine.kernel, count, words, 0.1 * count * m * n * k)


def lengths(step: LibraryStep, call: Product) -> tuple[list[tuple[int, Expr]], list[Expr]]:
    """What follows other lengths in the block of a call, as words and what they are; and the numbers that must stay."""
    a, b = step.operands
    fixed = [*step.shape[:-2], *[n for o in (a, b) for n in (*o.shape[:-2], *o.strides[:-2])]]
    if call.matrices > 1:
        fixed += step.shape
    if not call.words[_TURNED_B]:               # a matrix and a vector
        return [], [*step.shape, *a.shape, *a.strides, *b.strides]
    leads = [o.strides[-1 if call.words[word] == _TURNED else -2] for o, word in ((a, _TURNED_A), (b, _TURNED_B))]
    return list(zip(_LENGTHS, (*step.shape[-2:], a.shape[-1], *leads, step.shape[-1]), strict=True)), fixed


def prepare(dtype: np.dtype) -> None:
    """Compile or load what calls BLAS for one dtype now, while a program is built, so that no lengths compile it.  (What is quicker
    for small matrices, and takes longer to compile, waits for some.)"""
    kind = dtype.kind + str(dtype.itemsize)
    if kind in _LETTERS:
        _routine(kind, False)
        _routine(kind, True)


def vector_first(shape: tuple[int, ...]) -> bool:
    """Whether the first operand is the vector of the block, and the second the matrix."""
    return shape[-2] == 1 and shape[-1] != 1


def _matrix(view: Matrices, size: int) -> tuple[bool, int] | None:
    """Whether the matrix is the transpose of one in rows, and the distance of these rows; None if it is neither."""
    (m, n), (down, right) = view.shape[-2:], view.strides[-2:]
    for turned, rows, columns, lead, step in ((False, m, n, down, right), (True, n, m, right, down)):
        if (columns == 1 or step == size) and (rows == 1 or (lead % size == 0 and lead >= columns * size)):
            return turned, max(columns, lead // size if rows > 1 else 1)
    return None


def _steps(view: Matrices, batch: list[int]) -> int | None:
    """From one matrix of the batch to the next, in bytes; None if that differs."""
    shape = [1] * (len(batch) + 2 - len(view.shape)) + list(view.shape[:-2])
    strides = [0] * (len(batch) + 2 - len(view.shape)) + list(view.strides[:-2])
    step, reach = None, 1
    for n, own, stride in zip(reversed(batch), reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        stride = 0 if own == 1 else stride
        if step is None:
            step = stride
        elif stride != step * reach:
            return None
        reach *= n
    return step or 0


# -- the library -----------------------------------------------------------------------------------------------------

class _Routine(NamedTuple):
    """One of the library's, and the kernel that calls it."""

    address: int
    kernel: int


@memoize
def _routine(kind: str, vector: bool) -> _Routine | None:
    """The product of two matrices of a kind of numbers, or of one and a vector; None where there is none to be had."""
    for library in _loaded():
        for pattern, bits in _NAMES:
            name = pattern.format(_LETTERS[kind] + ("gemv" if vector else "gemm"))
            try:
                address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
            except AttributeError:
                continue
            found = _Routine(address, get_kernel(blas_calls.vector(kind, bits)).address if vector else _matrices(kind, bits))
            if _is_right(found, kind, vector):
                return found
    return None


def _loaded() -> Iterator[ctypes.CDLL]:
    """The libraries that are loaded already: NumPy's own module, whose symbols lead to its BLAS, or BLAS itself."""
    module = sys.modules.get("numpy._core._multiarray_umath")
    files = [getattr(module, "__file__", None)]
    if sys.platform == "win32":
        files += [str(f) for f in sorted((Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*.dll"))]
    for file in files:
        if file is not None:
            try:
                yield ctypes.CDLL(file)
            except OSError:
                continue


def _is_right(routine: _Routine, kind: str, vector: bool) -> bool:
    """Whether a small product comes out right."""
    dtype = np.dtype(kind)
    a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4)
    expected = a @ (b[:, 0] if vector else b)
    c = np.zeros_like(expected)
    first, second, result = [x.ctypes.data for x in (a, b, c)]
    shape = [2, 3, 0, first, 3, second, 4, result, 1] if vector else [2, 4, 3, first, 3, second, 4, result, 4]
    words = np.array([routine.address, _PLAIN, _PLAIN, *shape, 0, 0, 0, 0], np.int64)
    PROTOTYPE(routine.kernel)(0, 1, words.ctypes.data)
    return np.array_equal(c, expected)


@memoize
def _own(kind: str) -> _Routine | None:
    """The product of small matrices, None where it was not measured.  (On Windows a frame as large as its own needs a function of
    the C runtime.)"""
    if not objectcode.wide_vectors() or sys.platform == "win32":
        return None
    return _Routine(get_kernel(small_products.source(kind)).address, _matrices(kind, 0))


def _matrices(kind: str, bits: int) -> int:
    return get_kernel(blas_calls.matrices(kind, bits, objectcode.is_x86())).address
