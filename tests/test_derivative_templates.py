"""Templates of recorded derivatives are for graphs like the one that they were made of, and no others."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.autograd.reverse import recorded


def test_two_operands_that_are_one_are_another_graph() -> None:
    """The gradient w / norm(x) is a quotient as x / norm(x) is, whose numerator and denominator depend on one leaf."""
    def derivatives(seed: int) -> tuple[Any, Any]:
        x = jitgrad.tensor(np.random.default_rng(seed).normal(size=(2, 5)), requires_grad=True)
        w = jitgrad.ones(2, 5, dtype=jitgrad.float64, requires_grad=True)
        first, = jitgrad.autograd.grad([x / x.norm(0.0, -1, keepdim=True)], [x], [w], create_graph=True)
        second = jitgrad.autograd.grad([first], [x, w], [jitgrad.ones_like(w)], create_graph=True, allow_unused=True)
        return first.detach().numpy(), second[1].detach().numpy()

    for seed in range(3):
        for found in derivatives(seed):
            np.testing.assert_allclose(found, 0.2)


def test_what_depends_on_other_leaves_is_recognised_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations of leaves that are not asked for are no part of the derivative, but of what it is recognised by."""
    calls = 0
    differentiate = recorded.differentiate

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return differentiate(*args)
    monkeypatch.setattr(recorded, "differentiate", counted)

    def second(a: float, asked: bool) -> list[float]:
        """The second derivative of w0 sin(w1 x), times a, in x; and where w is x, too."""
        x = jitgrad.tensor([0.3 * a, 0.5], dtype=jitgrad.float64, requires_grad=True)
        w = x if asked else jitgrad.tensor([a, 2.0], dtype=jitgrad.float64, requires_grad=True)
        u = w[0] * jitgrad.sin(w[1] * x)
        first, = jitgrad.autograd.grad(u.sum(), x, create_graph=True)
        return jitgrad.autograd.grad(first.sum(), x)[0].tolist()

    for a in (1.0, 2.0, 3.0):
        np.testing.assert_allclose(second(a, False), [-4 * a * np.sin(2 * 0.3 * a), -4 * a * np.sin(2 * 0.5)])
    assert calls == 1

    def f(x: np.ndarray) -> float:
        return (x[0] * np.sin(x[1] * x)).sum()
    e = 1e-3
    for a in (1.0, 2.0, 1.5):       # the Hessian times ones, by finite differences
        x = np.array([0.3 * a, 0.5])
        expected = [(f(x + e * (unit + 1)) - f(x + e * (unit - 1)) - f(x - e * (unit - 1)) + f(x - e * (unit + 1))) / (4 * e * e)
                    for unit in np.eye(2)]
        np.testing.assert_allclose(second(a, True), expected, rtol=1e-4)
