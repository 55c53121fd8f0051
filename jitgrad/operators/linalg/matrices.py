"""What operators of linear algebra ask of their operands: matrices, square ones, of floats, with leading dimensions that agree."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jitgrad import ops
from jitgrad.errors import LinAlgError
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.memory.cuda.arrays import hosted
from jitgrad.operators.operands import cast
from jitgrad.operators.templates.template import no_template
from jitgrad.ops.decomposition import on_diagonal
from jitgrad.requests import execute
from jitgrad.types.array import array_type, broadcast_shapes
from jitgrad.types.dtype import dtype, int32

LINALG = ("linalg",)


def check_float(called: str, x: Node) -> None:
    """Raises RuntimeError, as PyTorch does, for integers and bools."""
    if x.type.dtype.category < 2:
        raise RuntimeError(f"{called}: Expected a floating point or complex tensor as input. Got {x.type.dtype.title}")


def check_matrix(called: str, a: Node, name: str = "A") -> None:
    """Raises RuntimeError unless there are two dimensions and the dtype is a floating one."""
    if a.type.ndim < 2:
        raise RuntimeError(f"{called}: The input tensor {name} must have at least 2 dimensions.")
    check_float(called, a)


def check_square(called: str, a: Node, name: str = "A") -> None:
    """Raises RuntimeError unless it is a matrix, or several, as high as wide."""
    check_matrix(called, a, name)
    m, n = a.type.shape[-2:]
    if m != n:
        raise RuntimeError(f"{called}: {name} must be batches of square matrices, but they are {m} by {n} matrices")


def check_same_dtype(called: str, a: Node, b: Node, names: tuple[str, str] = ("A", "B")) -> None:
    """Raises RuntimeError for two dtypes."""
    if a.type.dtype is not b.type.dtype:
        raise RuntimeError(f"{called}: Expected {names[0]} and {names[1]} to have the same dtype, but found {names[0]} of type "
                           f"{a.type.dtype.title} and {names[1]} of type {b.type.dtype.title} instead")


def expanded(x: Node, shape: tuple[int, ...]) -> Node:
    """x broadcast to a shape; itself if it has it."""
    return x if x.type.shape == shape else ops.expand(x, sizes=shape)


def same_batch(*nodes: Node) -> list[Node]:
    """Matrices with their leading dimensions broadcast."""
    batch = broadcast_shapes((), *[n.type.shape[:-2] for n in nodes])
    return [expanded(n, (*batch, *n.type.shape[-2:])) for n in nodes]


def column(x: Node) -> Node:
    """Vectors as matrices of one column."""
    return ops.unsqueeze(x, dims=(x.type.ndim,))


def without_column(x: Node) -> Node:
    """Matrices of one column as vectors."""
    return ops.squeeze(x, dims=(x.type.ndim - 1,))


def tolerance(to: dtype, shape: tuple[int, ...], rtol: float | None, atol: float | None) -> float:
    """PyTorch's relative tolerance for singular values, of matrices of a shape."""
    if rtol is not None:
        return float(rtol)
    return 0.0 if atol else float(np.finfo(to.np).eps) * max(*shape[-2:], 1)


# -- what may fail -----------------------------------------------------------------------------------------------------

def attempted(a: Node, order: Callable[[np.ndarray], int], called: str | None,
              message: Callable[[np.ndarray, str], str]) -> tuple[Node, Node]:
    """Square matrices, with the identity in place of those that have an order (see ops/decomposition.py), and the orders.  Looks at
    the matrices.

    called: of an operator that raises LinAlgError for those, with this message; None of one that goes on."""
    no_template()
    array = execute.on_host(a, "linalg: the check for singular matrices")
    orders = np.zeros(array.shape[:-2], np.int32)
    for at in np.ndindex(orders.shape):
        orders[at] = order(array[at])
    info = input_node(orders, array_type(orders.shape, int32, a.type.device))
    if not orders.any():
        return a, info
    if called is not None:
        raise LinAlgError(message(array, called))
    return ops.where(_regular(info, 2), a, cast(on_diagonal(a), a.type.dtype)), info


def marked(x: Node, info: Node, ndim: int = 2) -> Node:
    """What was computed of attempted matrices, so many dimensions each: nan where one has an order."""
    return ops.where(_regular(info, ndim), x, ops.number(float("nan"), x)) if hosted(info.value).any() else x


def _regular(info: Node, ndim: int) -> Node:
    n = info.type.ndim
    return ops.eq(ops.unsqueeze(info, dims=tuple(range(n, n + ndim))), ops.number(0, info))
