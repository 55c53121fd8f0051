"""The driver: what it writes, what it calls, what it keeps alive."""
import gc
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from jitgrad.compiler.numba_cpu import kernels
from jitgrad.compiler.runtime import driver
from jitgrad.memory import buffers
from jitgrad.memory.buffers import address

# out[i] = scale * x[i]; the block holds out, x, scale
SCALE = """def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    p1 = arg_i8(args, 1)
    c2 = arg_f8(args, 2)
    for i0 in range(lo, hi):
        v0 = load_f8(p1, i0)
        store_f8(p0, i0, v0 * c2)
"""


@pytest.fixture(params=["native", "portable"])
def way(request, monkeypatch):
    if request.param == "portable":
        monkeypatch.setattr(buffers, "DATA_OFFSET", None)
    return request.param


def bound(count, repeat=1, release=False):
    """A driver of `repeat` calls with arguments (out, x, scale), each on the block in words 1 to 3."""
    words = np.zeros(4, np.int64)
    patches = np.array([(0, 8, 0), (8, 16, 8), (16, 24, 0)], np.int64)      # x from its element 1
    calls = np.array([(kernels.get_kernel(SCALE).address, 0, count, 8)] * repeat, np.int64)
    return driver.bind(words, patches, calls, release)


@pytest.mark.parametrize("release", [False, True])
def test_patches_then_calls(way, release):
    run = bound(3, release=release)
    for scale in (2.0, 0.5):
        x, out = np.arange(4.0), np.empty(3)
        assert run(out, x, scale) is None
        np.testing.assert_array_equal(out, scale * x[1:])


def test_integers_pass_as_numpy_scalars(way):
    words = np.zeros(2, np.int64)
    run = driver.bind(words, np.array([(0, 8, 5)], np.int64), np.empty((0, 4), np.int64), False)
    run(np.int64(-7))
    assert words.tolist() == [0, -7] if way == "portable" else [0, -2]


def test_calls_go_in_order(way):
    """A chain: each call reads what the one before wrote."""
    x = np.ones(3)
    steps = [np.empty(3) for _ in range(4)]
    chain = [x, *steps]
    words = np.zeros(12, np.int64)
    words.view(np.float64)[2::3] = 3.0
    for k, out in enumerate(steps):
        words[3 * k], words[3 * k + 1] = address(out), address(chain[k])
    function = kernels.get_kernel(SCALE).address
    calls = np.array([(function, 0, 3, 24 * k) for k in range(4)], np.int64)
    driver.bind(words, np.empty((0, 3), np.int64), calls, False)()
    np.testing.assert_array_equal(steps[-1], np.full(3, 81.0))


def test_it_keeps_its_tables(way):
    run = bound(3, repeat=1000)
    gc.collect()
    junk = [np.ones(4000, np.int64) for _ in range(50)]
    x, out = np.arange(4.0), np.empty(3)
    run(out, x, 2.0)
    assert out.tolist() == [2, 4, 6] and len(junk) == 50


def test_none_is_counted():
    run = bound(3)
    x, out = np.arange(4.0), np.empty(3)
    before = sys.getrefcount(None)
    for _ in range(1000):
        run(out, x, 2.0)
    assert abs(sys.getrefcount(None) - before) < 200


def test_the_gil_is_given_away_when_asked():
    x, out = np.zeros(100_001), np.empty(100_000)
    run = bound(100_000, repeat=4000, release=True)
    thread = threading.Thread(target=run, args=(out, x, 1.0))
    start = time.perf_counter()
    thread.start()
    started = time.perf_counter() - start
    thread.join()
    assert started < 0.5 * (time.perf_counter() - start)


@pytest.mark.skipif(buffers.DATA_OFFSET is None, reason="the portable driver is a function")
def test_a_method_stays() -> None:
    """CPython reads it once more when it frees a callable, which may come after all other references to it."""
    driver._native.cache_clear()
    call = bound(0)
    method = weakref.ref(driver._native()[0])
    driver._native.cache_clear()
    del call
    gc.collect()
    assert method() is not None
