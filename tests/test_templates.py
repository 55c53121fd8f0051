"""Recipes: what is remembered of a call must not be taken for another call."""
from __future__ import annotations

import pytest

import jitgrad


def test_a_named_number_of_another_type_is_another_call() -> None:
    x = jitgrad.tensor([-1, 2, 3])
    for _ in range(3):
        assert x.clamp(min=0).dtype is jitgrad.int64
    assert x.clamp(min=0.0).dtype is jitgrad.float32
    assert x.clamp(min=0).dtype is jitgrad.int64


def test_a_named_dimension_must_be_an_integer_each_time() -> None:
    for x in (jitgrad.ones(2, 3), jitgrad.ones(2, 3, requires_grad=True)):
        for _ in range(3):
            assert jitgrad.sum(x, dim=1).shape == (2,)
        with pytest.raises(TypeError):
            jitgrad.sum(x, dim=1.0)


def test_calls_without_grad_mode_leave_no_trace_in_those_with_it() -> None:
    x = jitgrad.ones(2, 3, requires_grad=True)
    with jitgrad.no_grad():
        for _ in range(3):
            assert not x.logsumexp(1).requires_grad
    for _ in range(3):
        y = x.logsumexp(1)
        assert y.requires_grad and y.grad_fn is not None
    with jitgrad.no_grad():
        assert not x.logsumexp(1).requires_grad
