"""Backward: where gradients go and what accumulating them may not do."""
from __future__ import annotations

import jitgrad


def test_infinite_gradients_add_without_warning() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    for factor in (float("inf"), -float("inf")):
        (x * factor).sum().backward()
    assert x.grad is not None and x.grad.isnan().all()
    x.grad = None
    for _ in range(2):
        (x * 3e38).sum().backward()
    assert x.grad.isinf().all()


def test_a_leaf_that_stopped_to_require_gradients_gets_none() -> None:
    x, w = jitgrad.ones(3, requires_grad=True), jitgrad.ones(3, requires_grad=True)
    for _ in range(3):      # interpreted or compiled, then by a known graph
        y = (x * w).sum()
        x.requires_grad_(False)
        y.backward()
        assert x.grad is None
        x.requires_grad_()
        hook = w.register_hook(lambda g: 2 * g)
        y = (x * w).sum()
        x.requires_grad_(False)
        y.backward()
        assert x.grad is None
        hook.remove()
        x.requires_grad_()
    assert w.grad is not None and w.grad.tolist() == [9.0, 9.0, 9.0]
