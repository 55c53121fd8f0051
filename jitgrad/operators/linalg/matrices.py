"""What operators of linear algebra ask of their operands: matrices, square ones, of floats, with leading dimensions that agree."""
from __future__ import annotations

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.types.array import broadcast_shapes
from jitgrad.types.dtype import dtype

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
    import numpy as np
    if rtol is not None:
        return float(rtol)
    return 0.0 if atol else float(np.finfo(to.np).eps) * max(*shape[-2:], 1)
