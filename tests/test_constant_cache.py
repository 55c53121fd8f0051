"""Constants computed again: the same results, whatever happens to operands and results, and nothing kept alive."""
from __future__ import annotations

import gc

import numpy as np
import pytest
from test_native import native_code, pytestmark  # noqa: F401  (machine code evaluates what is known, and keeps it)

import jitgrad
from jitgrad.operators.templates import constant_cache


@pytest.fixture(autouse=True)
def _empty():
    constant_cache.forget()
    yield
    constant_cache.forget()


def data(n=300):
    return jitgrad.tensor(np.linspace(-1, 1, 8 * n).reshape(n, 8))


def constant(p):
    return jitgrad.sum(p * p, dim=1)


def test_results_are_kept_and_given():
    p = data()
    found = [constant(p) for _ in range(8)]         # the first calls for new types are made in other ways
    assert found[-1]._array() is found[-2]._array() is not found[0]._array()
    for t in found:
        np.testing.assert_array_equal(t.numpy(), constant(data()).numpy())


def test_writes_are_seen_and_results_are_their_owners():
    p = data()
    want = constant(data()).numpy()
    for _ in range(4):
        result = constant(p)
        result += 1
        result[0] = 5.0
        np.testing.assert_array_equal(constant(p).numpy(), want)
    for write in (lambda: p.mul_(2), lambda: p.__setitem__(0, 3.0), lambda: p.data.fill_(2), lambda: p[1:].add_(1)):
        for _ in range(3):
            constant(p)
        write()
        for _ in range(3):
            np.testing.assert_allclose(constant(p).numpy(), (p.numpy() ** 2).sum(1), rtol=1e-6)


def test_numbers_count_and_zeros_have_signs():
    p = data() + 2
    for _ in range(4):
        assert np.signbit((p * 0.0).numpy()).sum() == 0 and np.signbit((p * -0.0).numpy()).all()
        assert (p * 2.0).sum().item() != (p * 3.0).sum().item()


def test_views_of_the_same_memory_and_small_operands_of_the_same_contents():
    """Each step makes a new view and new exponents, of the same values."""
    t = jitgrad.tensor(np.linspace(0.5, 1, 256))
    want = np.linspace(0.5, 1, 256)[:, None] ** np.arange(32.)

    def powers(k=32):
        return t[:, None] ** jitgrad.arange(k, dtype=jitgrad.float64)

    found = [powers() for _ in range(6)]
    assert found[-1]._array() is found[-2]._array()
    np.testing.assert_allclose(found[-1].numpy(), want, rtol=1e-14)
    assert powers(31).shape == (256, 31)
    half = [(t[::2] * 3.0)._array() for _ in range(4)], [(t[1::2] * 3.0)._array() for _ in range(4)]
    assert not np.array_equal(half[0][-1], half[1][-1])
    for k in range(4):          # written to: another memory, and other contents
        t[0] = float(k)
        assert powers()._array()[0, 2] == k ** 2
        e = jitgrad.arange(32, dtype=jitgrad.float64)
        for j in range(3):
            e[1] = float(j)
            for _ in range(3):
                assert (t[:, None] ** e)._array()[1, 1] == t[1].item() ** j
    signed = jitgrad.ones(256, 8)
    for zero in (0.0, -0.0) * 3:
        row = jitgrad.tensor([zero] * 8)
        assert np.signbit((signed * row)._array()).all() == np.signbit(zero)


def test_memory_of_the_pool_is_another_when_its_owner_is_gone():
    """Large arrays get the memory of those before them."""
    for k in range(12):
        big = jitgrad.ones(300, 300, dtype=jitgrad.float64) * float(k)
        for _ in range(3):
            assert (big[:, :64] * 2.0)._array()[0, 0] == 2 * k
        del big


def test_nothing_outlives_its_operands():
    p = data()
    for _ in range(4):
        view = p.T.reshape(4, -1)
        constant(p)
        view.exp()
    assert constant_cache._held > 0
    del p, view
    gc.collect()
    assert not constant_cache._entries and constant_cache._held == 0


def test_bounds(monkeypatch):
    monkeypatch.setattr(constant_cache, "ENTRIES", 10)
    kept = [data() for _ in range(30)]
    for p in kept:
        constant(p)
    assert len(constant_cache._entries) <= 10
    monkeypatch.setattr(constant_cache, "TOTAL_BYTES", 20_000)
    for p in kept * 3:
        constant(p), constant(p)
    assert constant_cache._held <= 20_000
    large = jitgrad.ones(1 << 19)
    for _ in range(3):
        large * 2.0
    assert constant_cache._held <= 20_000
    jitgrad.clear_cache()
    assert not constant_cache._entries
