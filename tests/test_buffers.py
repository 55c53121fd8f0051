"""Memory for results: addresses, alignment, and that nothing alive is ever handed out again."""
import gc

import numpy as np
import pytest
from together import together

from jitgrad.memory import buffers

SHAPE = (512, 1024)     # 4 MiB of float64


@pytest.fixture(autouse=True)
def fresh_pool():
    gc.collect()
    buffers.empty_cache()
    yield
    buffers.empty_cache()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (300, 1, 1024), (2, 0, 7)])
def test_array_properties(shape, dtype):
    a = buffers.empty(shape, dtype)
    assert a.shape == shape and a.dtype == dtype
    assert a.flags.c_contiguous and a.flags.writeable
    assert buffers.address(a) == a.__array_interface__["data"][0]
    a[...] = 1
    assert (a == 1).all()


def test_address_of_views():
    a = np.arange(12.0).reshape(3, 4)
    for view in (a[1:], a[:, 2], a.T, a[::-1]):
        assert buffers.address(view) == view.__array_interface__["data"][0]


def test_large_arrays_are_aligned():
    for n in (2**18, 2**18 + 1, 10**6 + 3):
        assert buffers.address(buffers.empty((n,), np.int8)) % buffers.ALIGNMENT == 0


def test_memory_is_used_again():
    address = buffers.address(buffers.empty(SHAPE, np.float64))
    assert buffers.stats().held > 0
    hits = buffers.stats().hits
    a = buffers.empty(SHAPE, np.float64)
    assert buffers.address(a) == address
    assert buffers.stats().hits == hits + 1
    assert buffers.stats().held == 0


def test_another_type_and_a_similar_size_share_memory():
    address = buffers.address(buffers.empty(SHAPE, np.float64))
    assert buffers.address(buffers.empty((2 * SHAPE[0] - 1, SHAPE[1]), np.float32)) == address


def hold_view(a):
    return a[3:, ::2].T


def hold_reshaped_view(a):
    return a.reshape(-1)[100:].view(np.uint8)


def hold_dlpack(a):
    return np.from_dlpack(a)


def hold_iterator(a):
    return iter(a)


@pytest.mark.parametrize("hold", [hold_view, hold_reshaped_view, memoryview, hold_dlpack, hold_iterator, np.asarray])
def test_memory_stays_while_anything_refers_to_it(hold):
    a = buffers.empty(SHAPE, np.float64)
    address = buffers.address(a)
    other = hold(a)
    del a
    gc.collect()
    b = buffers.empty(SHAPE, np.float64)
    assert buffers.address(b) != address
    del other, b
    found = {buffers.address(c) for c in [buffers.empty(SHAPE, np.float64), buffers.empty(SHAPE, np.float64)]}
    assert len(found) == 2 and address in found


def test_what_is_held_is_bounded(monkeypatch):
    monkeypatch.setattr(buffers, "MAX_HELD", 10 * 2**20)
    arrays = [buffers.empty(SHAPE, np.float64) for _ in range(5)]
    del arrays
    assert 0 < buffers.stats().held <= 10 * 2**20
    too_large = buffers.empty((11 * 2**20,), np.int8)
    before = buffers.stats().held
    del too_large
    assert buffers.stats().held == before


def test_empty_cache_returns_everything():
    buffers.empty(SHAPE, np.float64)
    buffers.empty_cache()
    assert buffers.stats().held == 0
    misses = buffers.stats().misses
    buffers.empty(SHAPE, np.float64)
    assert buffers.stats().misses == misses + 1


def test_small_arrays_stay_out_of_the_pool():
    before = buffers.stats()
    buffers.empty((100,), np.float64)
    assert buffers.stats() == before


def test_threads_never_share_memory():
    def work(mark):
        for _ in range(50):
            a = buffers.empty((2**16,), np.float64)
            a.fill(mark)
            b = buffers.empty((2**16,), np.float64)
            b.fill(-mark)
            assert (a == mark).all()

    together(work, [1.0, 2.0, 3.0, 4.0])


def test_collection_while_the_pool_is_busy_does_not_wait():
    """A cycle's memory may come back in the middle of the pool's own work; it is then left to the system."""
    a = buffers.empty(SHAPE, np.float64)
    buffers._pool.busy = True
    del a
    buffers._pool.busy = False
    assert buffers.stats().held == 0
