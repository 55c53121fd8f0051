"""Loops within loops: what is done once between them writes in place, to arrays that nobody needs as they were."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs import leaf

import jitgrad
from jitgrad import ops
from jitgrad.compiler.loops.iteration import split
from jitgrad.compiler.loops.repeats import repeating


def sweeps(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    """Along columns to and fro, with borders written between the sweeps."""
    u, n = x.clone(), x.shape[1]
    p = jitgrad.zeros_like(u)
    for _ in range(steps):
        p[1:-1, 0] = 0.5
        for j in range(1, n):
            p[1:-1, j] = (u[1:-1, j] - 0.3 * p[1:-1, j - 1].clone()) / 1.7
        u[0, :] = 1.0
        u[-1, :] = u[1, :].clone() * 0.5
        for j in range(n - 2, -1, -1):
            u[1:-1, j] = p[1:-1, j].clone() * u[1:-1, j + 1].clone() + 0.1
    return (u * u).sum() + p.sum()


def kept(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    """As sweeps, but arrays are read behind the writes as they were before: by others, by the derivative, as a result."""
    u, total = x.clone(), x.sum() * 0
    for _ in range(steps):
        before = u.clone()
        u[0, :] = before[1, :] * 2.0
        old = u.clone()
        squares = (old * old).sum()
        u[1, :] = u[0, :].clone() * 0.5
        for j in range(1, u.shape[1]):
            u[:, j] = u[:, j].clone() * 0.6 + 0.2 * u[:, j - 1].clone()
        total = total + squares + (before * u.clone()).sum()
    return total + u.sum()


def relaxed(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    """Many operations between short loops of a stencil."""
    u, q = x.clone(), x * 0.5
    for _ in range(steps):
        before = u.clone()
        b = before[1:-1, 2:] * before[1:-1, :-2] - (before[2:, 1:-1] - before[:-2, 1:-1]) ** 2
        for _ in range(12):
            before = q.clone()
            q[1:-1, 1:-1] = 0.25 * (before[1:-1, 2:] + before[1:-1, :-2] + before[2:, 1:-1] + before[:-2, 1:-1]) - 0.1 * b
            q[:, -1] = q[:, -2].clone()
            q[0, :] = q[1, :].clone()
            q[:, 0] = q[:, 1].clone()
            q[-1, :] = 0.0
        before = u.clone()
        u[1:-1, 1:-1] = before[1:-1, 1:-1] - 0.1 * before[1:-1, 1:-1] * (q[1:-1, 2:] - q[1:-1, :-2])
        u[0, :] = 0.0
        u[:, 0] = 1.0
    return (u * u).sum() + (q * q).sum()


@pytest.mark.parametrize("f", [pytest.param(sweeps, marks=pytest.mark.full), kept, pytest.param(relaxed, marks=pytest.mark.full)])
def test_another_number_of_outer_steps_compiles_nothing(f: Callable, counters: Callable) -> None:
    x = jitgrad.tensor(np.linspace(0.1, 1.0, 5 * 30).reshape(5, 30), requires_grad=True)
    found = []
    for steps in (4, 5, 7):
        x.grad = None
        value = f(x, steps)
        value.backward()
        found.append((counters().compilations + counters().disk_hits, counters().kernels))
    assert found[1] == found[2]
    gradient, x.grad = x.grad.clone(), None
    with jitgrad.interpret():
        again = f(x, steps)
        again.backward()
    np.testing.assert_allclose(value.item(), again.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient.numpy(), x.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("f", [sweeps, pytest.param(kept, marks=pytest.mark.full)])
def test_computed_again_in_blocks(f: Callable) -> None:
    x = jitgrad.tensor(np.linspace(0.1, 1.0, 4 * 60).reshape(4, 60), requires_grad=True)
    f(x, 4).backward()
    gradient, x.grad = x.grad.clone(), None
    jitgrad.set_memory_limit(24_000)
    try:
        f(x, 4).backward()
    finally:
        jitgrad.set_memory_limit(None)
    np.testing.assert_array_equal(gradient.numpy(), x.grad.numpy())


def test_writes_of_what_is_done_once() -> None:
    base, first, second = leaf(np.zeros(5)), leaf(np.zeros(2)), leaf(np.zeros(2))
    middle = ops.slice_put(base, first, full=(False,), sizes=(0, 2, 1))
    last = ops.slice_put(middle, second, full=(False,), sizes=(1, 2, 1))
    steps, updated = split([last], {}, {base})
    assert len(steps) == 2 and updated == {middle: base, last: base}
    steps, updated = split([last], {}, set())               # somebody else reads it: a copy is written to
    assert len(steps) == 3 and updated[last] is updated[middle] is not base
    steps, updated = split([middle, last], {}, {base})      # both are wanted
    assert len(steps) == 3 and updated[middle] is base is not updated[last]
    read = ops.mul(base, last)
    steps, updated = split([read], {}, {base})              # the old value is read with the new one
    assert not updated and len(steps) == 1


def test_what_lies_between_loops_is_no_part_of_a_longer_one() -> None:
    one = [*range(10)] * 40 + [*range(100, 150)]
    found = [*repeating(np.array(one * 6))]
    assert {period for _, period, _ in found} == {10} and len(found) == 6
