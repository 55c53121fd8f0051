"""Steps that go over a batch together give what they give one after the other, with any number of threads."""
from __future__ import annotations

import numpy as np
import pytest

import jitgrad
from jitgrad.compiler.runtime import batch_blocking
from jitgrad.compiler.runtime.plan import Lanes
from jitgrad.requests import schedule_cache
from jitgrad.requests.capture import capture as capture_graph


def leaf(rng, *shape):
    return jitgrad.tensor(rng.normal(size=shape), requires_grad=True)


def chain(x, w, v):
    z = jitgrad.matmul((x * 2.0).tanh(), w.transpose(1, 2))
    return (jitgrad.matmul(z.exp(), v) * x[:, :, :1]).sum()


def mixture(x, w, v):
    centred = x[0][None] - v[:, 0][:, None]
    z = jitgrad.matmul(centred, w) + centred
    return (-(z * z).sum(2)).logsumexp(0).sum()


def shared(x, w, v):
    return jitgrad.matmul(x, w[0]).relu().sum() + jitgrad.matmul(x * x, w).sum()


def crossed(x, w, v):
    """What one matrix gives is used with the next."""
    z = jitgrad.matmul(x, w)
    return (jitgrad.matmul(z[1:], w[:-1]) * z[:-1]).sum()


def run(f, monkeypatch, least, threads=1):
    """Gradients and whether there were groups."""
    for name in ("SHARED_BYTES", "LEAST_BYTES"):
        monkeypatch.setattr(batch_blocking, name, least)
    jitgrad.clear_cache()
    before = jitgrad.get_num_threads()
    jitgrad.set_num_threads(threads)
    try:
        rng = np.random.default_rng(0)
        leaves = [leaf(rng, 20, 30, 8), leaf(rng, 20, 8, 8), leaf(rng, 20, 8, 8)]
        root = f(*leaves)
        capture = capture_graph([root._node])
        entry = schedule_cache.program_for(capture, root._node)
        results = [a.tobytes() for a in entry[1].run(capture.order) if a is not None]
        again = [a.tobytes() for a in entry[1].run(capture.order) if a is not None]
        plan = entry[1].bind(capture.order).bound.plan
    finally:
        jitgrad.set_num_threads(before)
    assert results == again
    return results, [s for s in plan.stages if isinstance(s, Lanes)]


@pytest.mark.parametrize("f", [chain, mixture, shared, crossed])
@pytest.mark.parametrize("part", [1, 3000, 1 << 20])
def test_groups_change_nothing(f, part, monkeypatch):
    monkeypatch.setattr(batch_blocking, "PART_BYTES", part)
    one_by_one, groups = run(f, monkeypatch, 1 << 40)
    assert not groups
    together, groups = run(f, monkeypatch, 1)
    assert groups and together == one_by_one
    parallel, groups = run(f, monkeypatch, 1, threads=2)
    assert groups and parallel == one_by_one


def test_local_arrays_take_one_part_a_lane(monkeypatch):
    from jitgrad.compiler.runtime import planning
    monkeypatch.setattr(planning, "LANES", 2)
    monkeypatch.setattr(batch_blocking, "PART_BYTES", 1)
    one_by_one, _ = run(chain, monkeypatch, 1 << 40)
    together, [*groups] = run(chain, monkeypatch, 1)
    assert together == one_by_one and all(len(g.lanes) == 2 for g in groups)


def test_no_blas(monkeypatch):
    from jitgrad.compiler.runtime import blas
    monkeypatch.setattr(blas, "product", lambda *args: None)
    one_by_one, _ = run(chain, monkeypatch, 1 << 40)
    together, groups = run(chain, monkeypatch, 1)
    assert not groups and together == one_by_one
