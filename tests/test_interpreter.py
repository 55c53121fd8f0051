"""The reference evaluation: values, known values, laziness, and purity."""
from __future__ import annotations

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node, Op
from jitgrad.graph.recording import bind, const, input_node, scalar_node
from jitgrad.interpreter import apply, evaluate, leaf_value
from jitgrad.types.array import array_type
from jitgrad.types.dtype import float32, float64, int64


def leaf(value) -> Node:
    array = np.asarray(value, np.float64)
    return input_node(array, array_type(array.shape, float64))


def counted(calls: list) -> Op:
    def numpy(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        return x + 1

    return Op(name="counted", kind="elementwise", arg_names=("x",), param_names=(), shape_only=(), infer=lambda x: x,
              numpy=numpy)


def test_leaves() -> None:
    for value in (leaf_value(scalar_node(1.5, float32)), leaf_value(const(1.5, float32))):
        assert value.dtype == np.float32 and value.shape == () and value == 1.5
    x = leaf([1.0])
    assert leaf_value(x) is x.value


def test_values_have_the_dtype_of_the_node() -> None:
    x = leaf([1.5, -1.5])
    assert evaluate([ops.cast(x, dtype=int64), ops.sum(x, axes=(0,))])[0].dtype == np.int64
    y = evaluate([ops.sum(x, axes=(0,)) * scalar_node(2, float64)])[0]
    assert type(y) is np.ndarray and y.shape == (1,)
    assert type(evaluate([ops.exp(scalar_node(1.0, float64))])[0]) is np.ndarray        # NumPy would give a number


def test_a_shared_node_is_computed_once() -> None:
    calls: list = []
    y = bind(counted(calls), (leaf([1.0]),))
    a, b = evaluate([y * y, y + y])
    assert len(calls) == 1 and a == 4 and b == 4


def test_known_values_end_the_walk() -> None:
    calls: list = []
    below = bind(counted(calls), (leaf([1.0]),))
    y = ops.exp(below)
    assert evaluate([y * 2], {y: np.array([3.0])})[0] == 6
    y.value = np.array([4.0])
    assert evaluate([y * 2])[0] == 8 and not calls


def test_keep_returns_every_intermediate() -> None:
    x = leaf([1.0])
    y = x + 1
    z = y * 3
    memo: dict = {}
    evaluate([z], memo, keep=True)
    assert memo[y] == 2 and memo[z] == 6 and x not in memo
    memo = {}
    evaluate([z], memo)
    assert not memo


def test_nothing_is_stored_on_nodes() -> None:
    y = leaf([1.0]) + 1
    evaluate([y])
    assert y.value is None and y.run is None and y.extra is None


def test_an_operand_of_which_only_the_shape_matters_is_not_computed() -> None:
    calls: list = []
    donor = bind(counted(calls), (leaf([1.0, 2.0]),))
    np.testing.assert_array_equal(evaluate([ops.expand_like(leaf(3.0), donor)])[0], [3, 3])
    assert not calls
    assert apply(ops.count(donor, axes=(0,)), [None]) == 2


def test_an_output_that_is_also_an_intermediate_survives() -> None:
    y = leaf([1.0]) + 1
    first, second, again = evaluate([y, y * 2, y])
    assert first == 2 and second == 4 and again is first


def test_invalid_operations_are_silent() -> None:
    assert np.isnan(evaluate([ops.log(leaf([-1.0])) / 0])[0]).all()


def test_depth_costs_no_stack() -> None:
    y = leaf(0.0)
    for _ in range(5_000):
        y = y + 1
    assert evaluate([y])[0] == 5_000
