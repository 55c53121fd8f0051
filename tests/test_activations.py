"""Derivatives of activation functions far from 0, at kinks, at infinity and at nan, interpreted and compiled."""
from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as T
from jitgrad.config import config

F = T.nn.functional
inf, nan = math.inf, math.nan
SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

# name -> function, positive slope, factor of the exponential, factor of its argument
ELUS = {"elu": (F.elu, 1.0, 1.0, 1.0), "elu(2)": (lambda x: F.elu(x, 2.0), 1.0, 2.0, 1.0),
        "elu(.3)": (lambda x: F.elu(x, alpha=0.3), 1.0, 0.3, 1.0), "selu": (F.selu, SCALE, SCALE * ALPHA, 1.0),
        "celu": (F.celu, 1.0, 1.0, 1.0), "celu(2)": (lambda x: F.celu(x, 2.0), 1.0, 2.0, 0.5),
        "celu(.3)": (lambda x: F.celu(x, 0.3), 1.0, 0.3, 1 / 0.3)}
POINTS = [-inf, -200.0, -90.0, -40.0, -20.0, -6.0, -1.0, -1e-20, -0.0, 0.0, 1e-20, 0.5, 3.0, 1e30, inf, nan]


def derivatives(function, points, dtype, count: int = 2) -> list[np.ndarray]:
    """The gradient, compiled, and the first derivatives by grad(create_graph=True)."""
    x = T.tensor(points, dtype=getattr(T, dtype), requires_grad=True)
    function(x).sum().backward()
    found = [x.grad.numpy()]
    y = function(x)
    for _ in range(count):
        y, = T.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach().numpy())
    return found


@pytest.fixture(params=[False, True], ids=["compiled", "interpreted"])
def interpret(request, monkeypatch):
    monkeypatch.setattr(config, "interpret", request.param)


@pytest.mark.usefixtures("interpret")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELUS)
def test_elu_selu_celu(name, dtype):
    function, positive, negative, inner = ELUS[name]
    x = np.array(POINTS)
    with np.errstate(all="ignore"):
        value = np.where(x > 0, positive * x, negative * np.expm1(inner * x))
        first = np.where(x > 0, positive, negative * inner * np.exp(inner * x))
        second = np.where(x > 0, 0, np.where(x == 0, 0, negative * inner ** 2 * np.exp(inner * x)))
    rtol, atol = (1e-5, 1e-44) if dtype == "float32" else (1e-13, 0)
    got = derivatives(function, POINTS, dtype)
    np.testing.assert_allclose(function(T.tensor(POINTS, dtype=getattr(T, dtype))).numpy(), value, rtol, atol)
    for have, want in zip(got, (first, first, second), strict=True):
        np.testing.assert_allclose(have, want, rtol, atol)


def test_the_constants_of_selu_are_multiplied_in_float64():
    x = T.tensor([-1e-30], requires_grad=True)
    F.selu(x).sum().backward()
    assert x.grad.numpy()[0] == np.float32(SCALE * ALPHA)


@pytest.mark.usefixtures("interpret")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hardswish(dtype):
    points = [-inf, -1e30, -3.0, -1.5, -0.0, 0.0, 1.5, 3.0, 1e30, inf, nan]
    once, first, second = derivatives(F.hardswish, points, dtype)
    want = [0, 0, 0, 0, 0.5, 0.5, 1, 1, 1, 1, nan]
    np.testing.assert_allclose(once, want, 1e-7)
    np.testing.assert_allclose(first, want, 1e-7)
    np.testing.assert_allclose(second, [0, 0, 0, *[1 / 3] * 4, 0, 0, 0, 0], 1e-7)


@pytest.mark.usefixtures("interpret")
def test_threshold_lets_nan_through():
    x = T.tensor([-1.0, 0.5, nan], requires_grad=True)
    y = F.threshold(x, 0.1, 0.2)
    np.testing.assert_array_equal(y.detach().numpy(), np.array([0.2, 0.5, nan], np.float32))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 1, 1])


def test_in_place():
    for function in (F.elu, F.selu, F.celu, F.hardswish):
        x = T.tensor([-2.0, 0.25, 4.0], requires_grad=True)
        y = function(x * 1.0, inplace=True)
        z = function(x)
        assert y.tolist() == z.tolist()
        (g,), (h,) = T.autograd.grad(y.sum(), x), T.autograd.grad(z.sum(), x)
        assert g.tolist() == h.tolist()
