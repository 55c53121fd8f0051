"""Products by NumPy's BLAS are those of np.matmul, whatever the layout; what BLAS cannot take is left to NumPy."""
from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import jitgrad
from jitgrad.compiler.numba_cpu import kernels
from jitgrad.compiler.runtime import blas

pytestmark = pytest.mark.skipif(blas._routine("f8", False) is None, reason="NumPy's BLAS is not found")

LAYOUTS = {
    "rows": lambda a: a, "transposed": lambda a: np.ascontiguousarray(np.swapaxes(a, -1, -2)).swapaxes(-1, -2),
    "wider": lambda a: np.concatenate([a, a, a], -1)[..., a.shape[-1]:2 * a.shape[-1]],
    "taller": lambda a: np.ascontiguousarray(np.swapaxes(np.concatenate([a, a], -2), -1, -2)).swapaxes(-1, -2)[..., :a.shape[-2], :],
    "sparse": lambda a: np.repeat(a, 2, -1)[..., ::2], "repeated": lambda a: np.broadcast_to(a[..., :1, :], a.shape),
    "reversed": lambda a: a[..., ::-1, :][..., ::-1, :] if a.shape[-2] == 1 else np.ascontiguousarray(a[..., ::-1, :])[..., ::-1, :]}


def product(a, b):
    """a @ b by BLAS, or None."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    call = blas.product(a, b, shape, a.dtype)
    if call is None:
        return None
    out = np.full(shape, np.nan, a.dtype)
    words = np.array(call.words, np.int64)
    first, second = (b, a) if blas.vector_first(shape) else (a, b)
    words[[blas.A, blas.B, blas.C]] = first.ctypes.data, second.ctypes.data, out.ctypes.data
    kernels.PROTOTYPE(call.address)(0, call.matrices, words.ctypes.data)
    return out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_layouts(left, right, dtype):
    rng = np.random.default_rng(0)
    taken = 0
    for m, k, n in itertools.product((1, 2, 5), repeat=3):
        for batches in (((), ()), ((3,), (3,)), ((3,), ()), ((1,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3))):
            a = LAYOUTS[left](rng.normal(size=(*batches[0], m, k)).astype(dtype))
            b = LAYOUTS[right](rng.normal(size=(*batches[1], k, n)).astype(dtype))
            found = product(a, b)
            if found is not None:
                taken += 1
                np.testing.assert_allclose(found, np.matmul(a, b), rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-6)
    assert taken >= (120 if {left, right} <= {"rows", "transposed", "wider", "taller"} else 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(["rows", "transposed", "wider"], repeat=2)))
def test_small_products(left, right, dtype):
    """Those that have a function of their own on some CPUs: all heights of tiles, and vectors that are not full."""
    rng, own = np.random.default_rng(0), blas._own("f8" if dtype is np.float64 else "f4")
    used = 0
    for m, k, n in ((33, 40, 48), (47, 50, 19), (36, 100, 9), (16, 200, 33), (40, 90, 8), (100, 61, 64), (35, 130, 1), (20, 3000, 16)):
        a = LAYOUTS[left](rng.normal(size=(2, m, k)).astype(dtype))
        b = LAYOUTS[right](rng.normal(size=(2, k, n)).astype(dtype))
        used += own is not None and blas.product(a, b, (2, m, n), a.dtype).words[0] == own[0]
        np.testing.assert_allclose(product(a, b), np.matmul(a, b), rtol=1e-4 if dtype is np.float32 else 1e-11, atol=1e-4)
    assert used >= (3 if own and "transposed" not in (left, right) else 0)


def test_what_blas_cannot_take():
    a = np.ones((2, 3))
    for left, right in ((a.astype(int), a.T.astype(int)), (a[:0], a.T), (np.ones((2, 0)), np.ones((0, 3))),
                        (np.broadcast_to(np.ones(3), (2, 3)), a.T)):
        assert blas.product(left, right, np.matmul(left, right).shape, left.dtype) is None
    odd = np.ndarray((2, 3), np.float64, bytearray(100), 0, (28, 8))         # rows that are no whole number of elements apart
    assert blas.product(odd, a.T, (2, 2), a.dtype) is None


def test_special_values_and_old_contents():
    a, b = np.array([[np.inf, 1.0], [np.nan, 0.0]]), np.array([[1.0, 2.0], [3.0, -4.0]])
    np.testing.assert_array_equal(product(a, b), [[np.inf, np.inf], [np.nan, np.nan]])       # `product` writes over nan


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(["rows", "transposed", "wider"], repeat=2)))
@pytest.mark.parametrize("where", ["left", "right", "both", "large"])
def test_subnormal_numbers(left, right, where, dtype):
    """What a product of a batch, or a call, has met changes the way, not the result."""
    rng, tiny = np.random.default_rng(0), np.finfo(dtype).tiny
    a, b = rng.uniform(1, 2, size=(3, 5, 4)), rng.uniform(1, 2, size=(3, 4, 6))
    if where in ("left", "both"):
        a[:, 1] *= tiny / 256
    if where in ("right", "both"):
        b[:, :, 2] *= tiny / 256
    if where == "large":
        a[:, 1] *= tiny / 256
        a[:, 2] *= float(np.finfo(dtype).max) / 100
    a, b = LAYOUTS[left](a.astype(dtype)), LAYOUTS[right](b.astype(dtype))
    plain_a, plain_b = (LAYOUTS[layout](rng.uniform(1, 2, size=x.shape).astype(dtype)) for layout, x in ((left, a), (right, b)))
    call = blas.product(a, b, (3, 5, 6), dtype := np.dtype(dtype))
    words, out = np.array(call.words, np.int64), np.empty((3, 5, 6), dtype)
    for x, y in ((a, b), (a, b), (plain_a, plain_b), (plain_a, plain_b), (a, b)):
        words[[blas.A, blas.B, blas.C]] = x.ctypes.data, y.ctypes.data, out.ctypes.data
        kernels.PROTOTYPE(call.address)(0, 3, words.ctypes.data)
        with np.errstate(over="ignore"):
            expected = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(dtype)
        np.testing.assert_allclose(out, expected, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=tiny / 1e6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(5, 4, 6), (40, 40, 40)])
def test_subnormal_results_do_not_depend_on_what_was_met_before(shape, dtype):
    (m, k, n), rng, tiny = shape, np.random.default_rng(1), np.finfo(dtype).tiny
    a, b = (rng.normal(size=(3, m, k)) * tiny / 256).astype(dtype), rng.normal(size=(3, k, n)).astype(dtype)
    a[0] = 1        # the first matrices have none
    found = []
    for parts in ([(0, 3)], [(0, 1), (1, 2), (2, 3)], [(2, 3), (0, 2)]):
        call = blas.product(a, b, (3, m, n), np.dtype(dtype))
        words, out = np.array(call.words, np.int64), np.empty((3, m, n), dtype)
        words[[blas.A, blas.B, blas.C]] = a.ctypes.data, b.ctypes.data, out.ctypes.data
        for _ in range(3):
            for lo, hi in parts:
                kernels.PROTOTYPE(call.address)(lo, hi, words.ctypes.data)
            found.append(out.tobytes())
    assert len({*found}) == 1


def network():
    x, w, v = (jitgrad.tensor(np.linspace(-1, 1, n).reshape(s), requires_grad=True) for n, s in
               ((12, (4, 3)), (15, (3, 5)), (5, (5, 1))))
    for _ in range(3):
        for t in (x, w, v):
            t.grad = None
        loss = ((x @ w).tanh() @ v).sum()
        loss.backward()
    return loss, [t.grad.tolist() for t in (x, w, v)]


def test_a_network_is_one_call_and_the_same_without_blas(monkeypatch):
    calls = []
    original = blas.product
    monkeypatch.setattr(blas, "product", lambda *args: calls.append(original(*args)) or calls[-1])
    jitgrad.clear_cache()
    direct = network()[1]
    assert calls and None not in calls
    monkeypatch.setattr(blas, "product", lambda *args: None)
    jitgrad.clear_cache()
    for x, y in zip(direct, network()[1], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def test_a_library_that_answers_wrongly_is_not_used(monkeypatch):
    monkeypatch.setattr(blas, "_is_right", lambda routine, kind, vector: False)
    assert blas._routine.__wrapped__("f8", False) is None


def test_nothing_is_loaded_where_numpy_hides_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy._core._multiarray_umath", SimpleNamespace(__file__=None))
    monkeypatch.setattr(sys, "platform", "linux")
    assert blas._routine.__wrapped__("f8", False) is None
