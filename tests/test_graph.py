"""Recording, leaves, order and verification of graphs."""
from __future__ import annotations

import numpy as np
import pytest
from graphs import verify

from jitgrad import ops
from jitgrad.errors import InternalError
from jitgrad.graph import recording
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import bind, const, grad_mode, input_node, scalar_node
from jitgrad.types.array import array_type
from jitgrad.types.dtype import bool_, float32, float64, int64


def leaf(*shape: int, requires_grad: bool = False) -> Node:
    return input_node(np.ones(shape), array_type(shape, float64), requires_grad)


def test_bind_infers_and_runs_nothing() -> None:
    y = bind(ops.mul, (leaf(2, 1), leaf(3)))
    assert y.type.shape == (2, 3) and y.value is None and y.inputs[0].value is not None


def test_depth_counts_pending_nodes_from_the_gradient_leaf() -> None:
    x = leaf(2, requires_grad=True)
    assert (leaf(2) + 1).depth == 0                 # can be computed at once
    assert (x + 1).depth == 1 and ((x + 1) * leaf(2)).depth == 2
    assert ops.eq(x + 1, x).depth == 2


def test_a_computed_node_becomes_an_input() -> None:
    y = ops.exp(leaf(2))
    recording.become_input(y, np.zeros(2))
    assert y.inputs == () and y.depth == 0 and y.sig == leaf(2).sig and topological([y]) == [y]
    verify([y])


def test_signature_depends_on_structure_alone() -> None:
    x = leaf(3)
    assert ops.exp(x).sig == ops.exp(leaf(5)).sig == ops.exp(leaf(0)).sig
    assert ops.exp(x).sig != ops.exp(leaf(1)).sig                   # length 1 is a class of its own
    assert ops.exp(x).sig != ops.sin(x).sig
    assert ops.sum(leaf(2, 3), axes=(0,)).sig != ops.sum(leaf(2, 3), axes=(1,)).sig
    assert ops.reshape(leaf(6), sizes=(2, 3)).sig == ops.reshape(leaf(8), sizes=(4, 2)).sig
    assert scalar_node(1.5, float64).sig == scalar_node(2.5, float64).sig
    assert const(1.5, float64).sig != const(2.5, float64).sig


def test_literals_that_compare_equal_are_different() -> None:
    x = leaf(2)
    assert const(1, float64).sig != const(1, int64).sig != const(True, bool_).sig
    assert const(0.0, float64).sig != const(-0.0, float64).sig
    assert const(1, float32).params == ("f4", "1.0")
    assert (x * 2).inputs[1].params == ("f8", "2.0")


def test_requires_grad_follows_inputs_mode_op_and_dtype() -> None:
    x = leaf(2, requires_grad=True)
    assert ops.exp(x).requires_grad and not ops.exp(leaf(2)).requires_grad
    assert not ops.eq(x, x).requires_grad and not ops.detach(x).requires_grad
    assert not ops.cast(x, dtype=int64).requires_grad and ops.cast(x, dtype=float32).requires_grad
    grad_mode.enabled = False
    try:
        assert not ops.exp(x).requires_grad
    finally:
        grad_mode.enabled = True


def test_numbers_alone_are_refused() -> None:
    with pytest.raises(InternalError, match="numbers only"):
        ops.add(1, 2)


def test_topological_puts_inputs_first_and_each_node_once() -> None:
    x = leaf(2)
    a = ops.exp(x)
    b = a * a
    order = topological([b, a])
    assert order == [x, a, b]
    assert topological([b], lambda n: () if n is a else n.inputs) == [a, b]


def test_topological_does_not_recurse() -> None:
    x = leaf(2)
    for _ in range(20_000):
        x = x + 1
    assert len(topological([x])) == 40_001


def test_verify_finds_disorder_and_wrong_types() -> None:
    x = leaf(2)
    y = ops.exp(x)
    verify([x, y])
    with pytest.raises(InternalError, match="before its input"):
        verify([y, x])
    y.spec = recording.Spec(y.op, (), None, array_type((3,), float64), y.sig)
    with pytest.raises(InternalError, match="should be"):
        verify([x, y])


def test_extra_has_defaults_and_is_made_once() -> None:
    x = leaf(2)
    assert x.extra is None
    extra = x.ensure_extra()
    assert extra.version == 0 and extra.held is None and x.ensure_extra() is extra


def test_inference_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    full = {i: None for i in range(50_001)}
    monkeypatch.setattr(recording, "_specs", full)
    ops.exp(leaf(2))
    assert len(full) == 1
