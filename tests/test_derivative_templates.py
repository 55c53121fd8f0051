"""Templates of recorded derivatives are for graphs like the one that they were made of, and no others."""
from __future__ import annotations

from typing import Any

import numpy as np

import jitgrad


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
