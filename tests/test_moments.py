"""std and var of numbers that are huge, tiny, or close together far from 0, interpreted and compiled."""
from __future__ import annotations

import numpy as np
import pytest

import jitgrad as T
from jitgrad.config import config

SHAPE = np.array([1.0, 2.0, 4.0])
SLOPE = np.array([-0.43643576, -0.10910894, 0.5455447])      # of std: (x - mean) / (2 * std)


@pytest.fixture(autouse=True, params=[False, True], ids=["compiled", "interpreted"])
def interpret(request, monkeypatch):
    monkeypatch.setattr(config, "interpret", request.param)


def std_and_gradient(values, dtype="float32", **options):
    x = T.tensor(values, dtype=getattr(T, dtype), requires_grad=True)
    y = x.std(0, **options)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("scale", [1e30, 1e-30, 5e37, 1.0, 1e5])
def test_the_scale_does_not_matter(scale):
    value, slope = std_and_gradient(SHAPE * scale)
    np.testing.assert_allclose(value, np.float32(1.5275252316519468 * scale), rtol=2e-7)
    np.testing.assert_allclose(slope, SLOPE, rtol=1e-6)


def test_of_subnormal_numbers():
    value, slope = std_and_gradient(SHAPE * 1e-40)
    np.testing.assert_allclose(value, 1.5275e-40, rtol=1e-4)
    np.testing.assert_allclose(slope, SLOPE, rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["std", "var"])
def test_numbers_near_100000(name, axis):
    array = (1e5 + np.random.default_rng(0).normal(size=(60, 70))).astype(np.float32)
    wide, n = array.astype(np.float64), array.shape[axis]
    x = T.tensor(array, requires_grad=True)
    y = getattr(x, name)(axis)
    y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), getattr(wide, name)(axis, ddof=1), rtol=2e-7)
    slope = 2 / (n - 1) * (wide - wide.mean(axis, keepdims=True))
    if name == "std":
        slope = slope / (2 * wide.std(axis, ddof=1, keepdims=True))
    np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-6, atol=1e-12)
    variance, mean = T.var_mean(x, axis)
    np.testing.assert_allclose(mean.detach().numpy(), wide.mean(axis), rtol=1e-7)
    np.testing.assert_allclose(variance.detach().numpy(), wide.var(axis, ddof=1), rtol=2e-7)
    assert variance.dtype is mean.dtype is T.float32


def test_infinities_and_nan():
    x = T.tensor([1.0, np.inf, 2.0], requires_grad=True)
    x.var().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [-np.inf, np.nan, -np.inf])
    value, slope = std_and_gradient([1.0, np.nan, 2.0])
    assert np.isnan(value) and np.isnan(slope).all()
    value, slope = std_and_gradient([2.0, 2.0, 2.0])
    assert value == 0 and slope.tolist() == [0, 0, 0]


def test_second_derivative():
    """2 / (n - 1) * (1 - 1 / n) on the diagonal, -2 / (n - 1) / n beside it."""
    x = T.tensor([0.5, -1.0, 3.0, 0.25], dtype=T.float64, requires_grad=True)
    g, = T.autograd.grad(x.var(), x, create_graph=True)
    rows = [T.autograd.grad(g[i], x, retain_graph=True)[0].numpy() for i in range(4)]
    np.testing.assert_allclose(rows, 2 / 3 * (np.eye(4) - 0.25), rtol=1e-12, atol=1e-15)
