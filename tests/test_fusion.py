"""What is computed together: the number of kernels and library calls of common graphs, each compared with the interpreter."""
from __future__ import annotations

import numpy as np
import pytest
from graphs import check, leaf, normal, total
from test_compiler import network

from jitgrad import ops
from jitgrad.compiler.program import LibraryStep, Program


def library_calls(program: Program) -> list[str]:
    return [s.op.name for s in program.steps if isinstance(s, LibraryStep)]


# -- products with vectors -------------------------------------------------------------------------------------------

# (shape of a, shape of b)
THIN = [((5, 4), (4, 1)), ((1, 4), (4, 6)), ((5, 1), (1, 6)), ((1, 4), (4, 1)), ((5, 1), (1, 1)), ((1, 1), (1, 1)),
        ((3, 5, 4), (4, 1)), ((5, 1), (3, 1, 6)), ((2, 1, 5, 4), (3, 4, 1)), ((5, 0), (0, 1)), ((0, 4), (4, 1))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("a", "b"), THIN)
def test_a_product_with_a_vector_is_no_library_call(a: tuple[int, ...], b: tuple[int, ...], dtype: type) -> None:
    x, y = normal(*a, dtype=dtype), normal(*b, seed=1, dtype=dtype)
    assert not library_calls(check([total(ops.exp(ops.matmul(x, y)))], [x, y]))


def test_a_product_with_a_vector_of_transposed_operands() -> None:
    x, y = normal(4, 5), leaf(normal(2, 4, seed=1).value[:1].T)
    z = ops.matmul(ops.permute(x, dims=(1, 0)), y)
    assert not library_calls(check([total(ops.square(z)), ops.permute(z, dims=(1, 0))], [x, y]))


def test_the_last_layer_of_a_network_joins_its_neighbours() -> None:
    loss, weights = network(3)
    assert library_calls(check([loss], weights)) == ["matmul", "matmul"]


# -- extrema and their positions -------------------------------------------------------------------------------------

def with_ties_and_nans(dtype: type) -> np.ndarray:
    x = np.array([[1, 3, 3, 0], [2, 2, 2, 2], [-1, -1, -5, -1]], dtype)
    if x.dtype.kind == "f":
        x = np.concatenate([x, np.array([[0, np.nan, 1, np.nan], [-np.inf, -np.inf, -np.inf, -np.inf],
                                         [-0.0, 0.0, np.inf, np.inf]], dtype)])
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.bool_])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extrema_are_computed_in_kernels(name: str, dtype: type) -> None:
    x, op = leaf(with_ties_and_nans(dtype)), ops.REGISTRY[name]
    turned = ops.permute(x, dims=(1, 0))
    outputs = [op(x, axes=(0,)), op(x, axes=(1,)), op(turned, axes=(0,)), op(ops.slice(
        x, full=(True, False), sizes=(1, 2, 2)), axes=(1,)), op(leaf(np.ones((3, 1))), axes=(1,))]
    assert not library_calls(check(outputs))


@pytest.mark.parametrize("axis", [0, 1])
def test_an_extremum_along_a_dimension_and_its_gradient_need_no_library_call(axis: int) -> None:
    x = normal(5, 7)
    at = ops.argmax(x, axes=(axis,))
    best = ops.take_along(x, at, dim=axis)
    assert not library_calls(check([total(ops.exp(best)), best, at], [x]))
