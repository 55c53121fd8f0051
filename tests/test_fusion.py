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
