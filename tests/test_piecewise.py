"""Concatenations and replaced slices: applied part by part, stored only where they are read elsewhere."""
import numpy as np
import pytest

import jitgrad
from jitgrad.requests import counters, schedule_cache
from jitgrad.requests.capture import capture as capture_graph


def leaf(*shape, seed=0):
    return jitgrad.tensor(np.random.default_rng(seed).normal(size=shape), dtype=jitgrad.float64, requires_grad=True)


def program(root):
    return schedule_cache.program_for(capture_graph([root._node]), root._node)[1]


def agrees(f, *leaves):
    """Value and gradients, compiled and interpreted."""
    compiled = jitgrad.autograd.grad(f(*leaves), leaves)
    with jitgrad.interpret():
        expected = jitgrad.autograd.grad(f(*leaves), leaves)
    for a, b in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


def stencil(x, y, steps=3):
    for _ in range(steps):
        k = jitgrad.cat([x[:1], x[1:] * y[:-1]])
        y = y + 0.1 * (y + 0.5 * k)
    return y.sum()


@pytest.mark.parametrize("n", [2, 3, 17])
def test_a_stencil_in_steps(n):
    agrees(stencil, leaf(n), leaf(n, seed=1))


def test_lengths_share_one_program():
    before = counters.stats.compilations + counters.stats.disk_hits
    for n in (5, 9, 2 + 1):
        agrees(stencil, leaf(n), leaf(n, seed=1))
    assert counters.stats.compilations + counters.stats.disk_hits <= before + 1


@pytest.mark.parametrize("f", [
    lambda x: (jitgrad.cat([x, x[:2] * 2, x[3:]]) * 3.0).exp().sum(),
    lambda x: (jitgrad.cat([x[1:], x[:-1]]) - jitgrad.cat([x[:-1], x[1:]])).square().sum(),
    lambda x: (x[2:5] * x[1:4]).sum() + (x[:3] + x[-3:]).cos().sum() + x[4] * x[0],
    lambda x: (jitgrad.cat([x[:0], x, x[:0]]) * x).sum(),
    lambda x: jitgrad.cat([x, x]).relu().reshape(2, -1).sum(0).prod(),
    lambda x: sum([(x[k:] * x[:len(x) - k]).sum() for k in range(1, 5)]),
])
def test_slices_and_concatenations(f):
    agrees(f, leaf(6))


def test_two_dimensions():
    def f(x, y):
        z = jitgrad.cat([x, y * 2.0], dim=1)
        return (jitgrad.cat([z[:1], z[1:] * z[:-1]]) * z).sum() + (z[:, 1:] - z[:, :-1]).square().sum()
    agrees(f, leaf(4, 3), leaf(4, 2, seed=2))


def test_writes_into_slices():
    def f(x):
        y = x * 2.0
        y[1:3] = x[:2].exp()
        y[:1] = 3.0
        return (y * x).sum()
    agrees(f, leaf(5))


def test_a_function_of_a_concatenation_is_not_stored():
    x, y = leaf(40), leaf(30, seed=1)
    text = [s for s in program((jitgrad.cat([x * 2.0, y]).exp() * 3.0).sum()).kernels]
    assert not any(len(k.ops) == 1 and k.ops[0][0] == "copy" for k in text)


def test_the_number_of_kernels_does_not_grow_with_the_steps():
    few, more, most = [len(program(stencil(leaf(50), leaf(50, seed=1), steps)).kernels) for steps in (40, 80, 120)]
    assert few == more == most


def test_equal_steps_are_compiled_once():
    few, many = [{k.source for k in program(stencil(leaf(50), leaf(50, seed=1), steps)).kernels} for steps in (60, 120)]
    assert len(many) <= len(few) + 2
