"""Series of long loops that run tile by tile: the order keeps what depends on each other, and the bits of the results."""
from __future__ import annotations

import random

import drawn
import numpy as np
import pytest

import jitgrad as jg
from jitgrad.compiler.runtime import skewed_tiling
from jitgrad.compiler.runtime.skewed_tiling import Use, Uses
from jitgrad.requests.schedules import segment

N = 40


def _elements(use, i):
    return use.place, use.first + i * use.step


def _trace(ordered):
    """What was done in order: (call, iteration)."""
    return [(block, i) for _, lo, hi, block in ordered for i in range(lo, hi)]


def _conflicts(calls, touched):
    """Pairs of (call, iteration), the first of which must come first."""
    for b, later in enumerate(touched):
        for a, earlier in enumerate(touched[:b]):
            for x, wrote in [*[(u, False) for u in earlier.reads], *[(u, True) for u in earlier.writes]]:
                for y, writes in [*[(u, False) for u in later.reads], *[(u, True) for u in later.writes]]:
                    if x.place == y.place and (wrote or writes):
                        for j in range(calls[a][2]):
                            for i in range(calls[b][2]):
                                if _elements(x, j) == _elements(y, i):
                                    yield (a, j), (b, i)


@pytest.mark.parametrize("seed", range(40))
def test_any_series_keeps_its_order(seed, monkeypatch):
    monkeypatch.setattr(skewed_tiling, "TILE", 3)
    monkeypatch.setattr(skewed_tiling, "LEAST_BYTES", 0)
    rng = random.Random(drawn.seed(seed))
    calls, touched = [], []
    for k in range(9):
        n = rng.choice([1, N - 1, N, N])

        def use(n=n):
            step = rng.choice([8, 8, 8, 0])
            first = rng.choice([0, 0, 1, 2]) if step and n > 1 else rng.choice([0, 1, N - 1])
            return Use(rng.randrange(5), 8 * first, step, 8, n)

        reads = frozenset([use() for _ in range(rng.randrange(3))])
        writes = frozenset([u for u in [use()] if u.step or n == 1])
        calls.append((0, 0, n, k))
        touched.append(Uses(reads, writes))
    found = skewed_tiling.series(calls, touched)
    at: dict[tuple[int, int], tuple[int, int]] = {}
    done = 0
    for first, end, waves in [*found, (len(calls), len(calls), [])]:
        for call in calls[done:first]:
            at.update({what: (len(at), 0) for what in _trace([call])})
        start = len(at)
        for w, wave in enumerate(waves):
            for p, part in enumerate(wave):
                for rank, what in enumerate(_trace(part.tolist())):
                    at[what] = (start + w, rank + 1000 * p)
        done = end
    assert len(at) == sum([c[2] for c in calls])
    for x, y in _conflicts(calls, touched):
        (wave_x, rank_x), (wave_y, rank_y) = at[x], at[y]
        assert wave_x < wave_y or (wave_x == wave_y and rank_x < rank_y and rank_x // 1000 == rank_y // 1000), (x, y)


def _right_neighbours(x, y):
    return jg.cat([x[:-1] * y[1:], x[-1:]])


def _left_neighbours(x, y):
    return jg.cat([x[:1], x[1:] * y[:-1]])


def _both_neighbours(x, y):
    return jg.cat([y[:1], y[1:-1] + 0.1 * x[1:-1] * (y[:-2] - 2.0 * y[1:-1] + y[2:]), y[-1:]])


@pytest.mark.parametrize("rate", [_left_neighbours, _right_neighbours, _both_neighbours])
@pytest.mark.parametrize("threads", [1, 2])
def test_steps_over_long_vectors(rate, threads, monkeypatch):
    start = np.random.default_rng(0).random(3000)
    monkeypatch.setattr(segment, "LEAST", 1 << 30)      # loops that are not loops

    def gradient():
        jg.clear_cache()
        x = jg.tensor(start, requires_grad=True)
        y = jg.tensor(start[::-1].copy())
        for _ in range(8):
            k = rate(x, y)
            y = y + 0.1 * rate(x, y + 0.05 * k)
        loss = (y * y).sum()
        loss.backward()
        return loss.item(), x.grad.numpy().copy()

    plans = []
    series = skewed_tiling.series

    def counted(calls, touched):
        plans.append(series(calls, touched))
        return plans[-1]

    before = jg.get_num_threads()
    jg.set_num_threads(threads)
    try:
        monkeypatch.setattr(skewed_tiling, "LEAST_BYTES", 1 << 40)
        loss, wanted = gradient()
        monkeypatch.setattr(skewed_tiling, "series", counted)
        monkeypatch.setattr(skewed_tiling, "LEAST_BYTES", 0)
        for tile in (64, 700):
            monkeypatch.setattr(skewed_tiling, "TILE", tile)
            found = gradient()
            assert plans.pop()
            assert found[0] == loss
            np.testing.assert_array_equal(found[1], wanted)
    finally:
        jg.set_num_threads(before)
