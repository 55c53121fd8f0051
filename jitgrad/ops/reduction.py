"""Reductions over static axes, kept as length 1; a reduction over nothing gives the neutral element."""
from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.ops.analysis import raised
from jitgrad.ops.declare import library, literal, movement, reduction
from jitgrad.ops.elementwise import abs, cast, eq, isnan, logical_or, sign, where
from jitgrad.ops.movement import expand_like, number, squeeze, unsqueeze
from jitgrad.ops.samples import ALL, NUMBERS, reducible, structured
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import bool_, dtype, from_numpy_dtype, int64

Axes = tuple[int, ...]


def least(d: dtype) -> float | int | bool:
    """The least number of a dtype, -inf of floats."""
    return (False, int(np.iinfo(d.np).min) if d.category == 1 else 0, -np.inf)[d.category]


def greatest(d: dtype) -> float | int | bool:
    """The greatest number of a dtype, inf of floats."""
    return (True, int(np.iinfo(d.np).max) if d.category == 1 else 0, np.inf)[d.category]


@functools.lru_cache(maxsize=200)
def _ones(n: int, kind: str) -> np.ndarray:
    return np.ones((n, 1), kind)


def _sum(x: np.ndarray, axes: Axes) -> np.ndarray:
    if axes == (x.ndim - 1,) and x.dtype.kind == "f" and 1 < x.shape[-1] <= SHORT_ROW < x.size and x.flags.c_contiguous:
        return np.matmul(x, _ones(x.shape[-1], x.dtype.char))       # NumPy's reduction of many short rows is slow
    if x.dtype.kind != "f" or x.size <= BLOCK:
        return np.add.reduce(x, axes, x.dtype, keepdims=True)
    for axis in reversed(axes):
        x = _sum_along(x, axis)
    return x


def _sum_along(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum along one axis.  NumPy adds pairwise only elements that are neighbours in memory: all others by blocks."""
    count = x.shape[axis] // BLOCK
    if count < 2 or x.strides[axis] == x.itemsize:
        return np.add.reduce(x, axis, x.dtype, keepdims=True)
    before, whole = (slice(None),) * axis, count * BLOCK
    blocks = x[(*before, slice(whole))].reshape(*x.shape[:axis], count, BLOCK, *x.shape[axis + 1:])
    sums = _sum_along(np.add.reduce(blocks, axis + 1).astype(np.float64, copy=False), axis)
    rest = np.add.reduce(x[(*before, slice(whole, None))], axis, x.dtype, keepdims=True)
    return np.add(sums, rest, dtype=np.float64).astype(x.dtype, copy=False)


SHORT_ROW = 64
BLOCK = 64


def _amax(x: np.ndarray, axes: Axes) -> np.ndarray:
    return np.maximum.reduce(x, axes, keepdims=True, initial=least(from_numpy_dtype(x.dtype)))


def _amin(x: np.ndarray, axes: Axes) -> np.ndarray:
    return np.minimum.reduce(x, axes, keepdims=True, initial=greatest(from_numpy_dtype(x.dtype)))


def _extremum_vjp(g: Node, y: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    chosen = cast(eq(x, y), dtype=g.type.dtype)
    return (chosen * (g / sum(chosen, axes=axes)),)


def _evenly(g: Node, y: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    chosen = cast(logical_or(eq(x, y), isnan(x)), dtype=g.type.dtype)       # where x has a nan, it is the extremum
    return (chosen * (g / sum(chosen, axes=axes)),)


def _prod_vjp(g: Node, y: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    if not axes:
        return (g,)
    partial = [x]
    for axis in axes[:-1]:
        partial.append(prod(partial[-1], axes=(axis,)))
    for axis, p in zip(reversed(axes), reversed(partial), strict=True):
        g = g * prod_others(p, dim=axis)
    return (g,)


sum = reduction("sum(x, *, axes)", role="sum", combine="radd({acc}, {x})", identity=lambda dtype: literal(0, dtype),
                numpy=_sum,
                vjp=lambda g, y, x, *, axes: (expand_like(g, x),), grad_name="SumBackward1",
                doc="sum over axes, in x's dtype", sample=reducible(-2, 2, NUMBERS))
prod = reduction("prod(x, *, axes)", combine="rmul({acc}, {x})", identity=lambda dtype: literal(1, dtype),
                 numpy=lambda x, axes: np.prod(x, axes, keepdims=True, dtype=x.dtype), vjp=_prod_vjp,
                 grad_name="ProdBackward1", doc="product over axes, in x's dtype", sample=reducible(-2, 2, NUMBERS))
amax = reduction("amax(x, *, axes)", of_bools="any", combine="rmax({acc}, {x})",
                 identity=lambda dtype: literal(least(dtype), dtype),
                 numpy=_amax, vjp=_extremum_vjp, grad_name="AmaxBackward0",
                 doc="the largest, nan if any is; ties share the gradient evenly", sample=reducible(-2, 2, ALL, empty=False))
amin = reduction("amin(x, *, axes)", of_bools="all", combine="rmin({acc}, {x})",
                 identity=lambda dtype: literal(greatest(dtype), dtype), numpy=_amin, vjp=_extremum_vjp,
                 grad_name="AminBackward0", doc="the smallest, nan if any is; ties share the gradient evenly",
                 sample=reducible(-2, 2, ALL, empty=False))
max_all = reduction("max_all(x, *, axes)", combine="rmax({acc}, {x})",
                    identity=lambda dtype: literal(least(dtype), dtype), numpy=_amax, vjp=_evenly,
                    grad_name="MaxBackward1", doc="amax, its gradient shared among the nans if there are any",
                    sample=reducible(-2, 2, empty=False))
min_all = reduction("min_all(x, *, axes)", combine="rmin({acc}, {x})",
                    identity=lambda dtype: literal(greatest(dtype), dtype), numpy=_amin, vjp=_evenly,
                    grad_name="MinBackward1", doc="amin, its gradient shared among the nans if there are any",
                    sample=reducible(-2, 2, empty=False))
any = reduction("any(x, *, axes)", combine="lor({acc}, {x})", identity="b1(False)",
                numpy=lambda x, axes: np.any(x, axes, keepdims=True), doc="whether any is true, of bools",
                sample=reducible(0, 1, ("b1",), 0))
all = reduction("all(x, *, axes)", combine="land({acc}, {x})", identity="b1(True)",
                numpy=lambda x, axes: np.all(x, axes, keepdims=True), doc="whether all are true, of bools",
                sample=reducible(0, 1, ("b1",), 0))


# -- the derivative of prod, right with zeros and to any order -------------------------------------------------------

def _prod_others(x: np.ndarray, *, dim: int) -> np.ndarray:
    before, after = np.ones_like(x), np.ones_like(x)
    head, tail = (slice(None),) * dim + (slice(None, -1),), (slice(None),) * dim + (slice(1, None),)
    before[tail] = np.cumprod(x[head], dim, dtype=x.dtype)
    after[head] = np.flip(np.cumprod(np.flip(x[tail], dim), dim, dtype=x.dtype), dim)
    return before * after


def _prod_others_vjp(g: Node, y: Node, x: Node, *, dim: int) -> tuple[Node]:
    # Row k of `rows` is x with element k replaced by 1, so that y = prod(rows) along the columns.
    on_diagonal = diagonal_mask(x, dim=dim)
    rows = where(on_diagonal, number(1, x), unsqueeze(x, dims=(dim,)))
    to_rows = unsqueeze(g, dims=(dim + 1,)) * prod_others(rows, dim=dim + 1)
    return (squeeze(sum(where(on_diagonal, number(0, g), to_rows), axes=(dim,)), dims=(dim,)),)


def _diagonal_infer(donor: ArrayType, *, dim: int) -> ArrayType:
    n = donor.shape[dim]
    shape = (1,) * dim + (n, n) + (1,) * (donor.ndim - dim - 1)
    return array_type(shape, bool_, donor.device)


def _diagonal(shape: tuple[int, ...], *, dim: int) -> np.ndarray:
    n = shape[dim]
    return np.eye(n, dtype=np.bool_).reshape((1,) * dim + (n, n) + (1,) * (len(shape) - dim - 1))


def _diagonal_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    dim, donor = node.params[0], dims[0]
    return (context.ONE,) * dim + (donor[dim], donor[dim]) + (context.ONE,) * (len(donor) - dim - 1)


prod_others = library("prod_others(x, *, dim)", infer=lambda x, *, dim: x, numpy=_prod_others, vjp=_prod_others_vjp,
                      dims="donor:0", doc="for each element the product of the others along dim",
                      sample=structured((((3,),), {"dim": 0}), (((2, 3),), {"dim": 1}), (((2, 3),), {"dim": 0}),
                                        (((2, 1),), {"dim": 1}), (((0, 2),), {"dim": 0}), dtypes=NUMBERS))
diagonal_mask = library("diagonal_mask(donor, *, dim)", infer=_diagonal_infer, numpy=_diagonal, vjp=None,
                        dims=_diagonal_dims, shape_only=(0,),
                        doc="bool, true on the diagonal of two dimensions as long as the donor's dim",
                        sample=structured((((3,),), {"dim": 0}), (((2, 3, 4),), {"dim": 1}), order=0))


# -- norms -----------------------------------------------------------------------------------------------------------

def _norm_vjp(g: Node, y: Node, value: Node, x: Node, order: Node, *, axes: Axes, kind: str) -> tuple[None, Node, None]:
    zero = number(0, g)
    if kind == "2":
        return None, g * where(eq(y, 0), zero, x / y), None
    size = abs(x)
    if kind == "inf":
        chosen = cast(logical_or(eq(size, y), isnan(x)), dtype=g.type.dtype)
        return None, sign(x) * (g / sum(chosen, axes=axes) * chosen), None
    if kind == "below 1":
        slope = sign(x) * where(eq(x, 0), zero, raised(order - 1, size))
        return None, slope * g * raised(1 - order, y), None
    slope = sign(x) * raised(order - 1, size) if kind == "below 2" else x * raised(order - 2, size)
    return None, slope * where(eq(y, 0), zero, g / raised(order - 1, y)), None


norm_of = movement("norm_of(value, x, order, *, axes, kind)", role="same", shape_only=(1, 2), history=True,
                   infer=lambda value, x, order, *, axes,
                   kind: value, numpy=lambda value, shape, order, *, axes, kind: value, vjp=_norm_vjp, dims="donor:0",
                   grad_name="LinalgVectorNormBackward0",
                   doc="value, which is the norm of x over axes of this order, a number in float64: what is right at 0 follows from "
                       "the order ('2', 'inf' of either sign, 'below 1', 'below 2', 'above 2')",
                   sample=structured((((3, 1), (3, 2), ()), {"axes": (1,), "kind": "2"}), order=0))


# -- counts and positions --------------------------------------------------------------------------------------------

def _count(shape: tuple[int, ...], *, axes: Axes) -> int:
    return math.prod([shape[axis] for axis in axes])


def _position(name: str, extremum: str, function: Any, doc: str) -> Any:
    def infer(x: ArrayType, *, axes: Axes) -> ArrayType:
        (axis,) = axes
        if not x.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
        return array_type(x.shape[:axis] + (1,) + x.shape[axis + 1:], int64, x.device)

    def dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
        ((axis,),) = node.params
        return (*dims[0][:axis], context.ONE, *dims[0][axis + 1:])

    return library(f"{name}(x, *, axes)", infer=infer, vjp=None, dims=dims, doc=doc, role="position", extremum=extremum,
                   numpy=lambda x, *, axes: function(x, axes[0], keepdims=True),
                   sample=structured((((3,),), {"axes": (0,)}), (((2, 3),), {"axes": (1,)}),
                                     (((0, 1),), {"axes": (1,)}), order=0))


argmax = _position("argmax", "amax", np.argmax, "position of the first largest along the one axis in axes; a nan is largest")
argmin = _position("argmin", "amin", np.argmin, "position of the first smallest along the one axis in axes; a nan is smallest")
count = library("count(x, *, axes)", role="extent", infer=lambda x, *, axes: array_type((), x.dtype, x.device), numpy=_count,
                vjp=None,
                dims=lambda context, node, dims: (), shape_only=(0,),
                doc="the number of elements along axes, 0-d, in x's dtype",
                sample=structured((((2, 3),), {"axes": (0, 1)}), (((2, 3),), {"axes": (1,)}), dtypes=NUMBERS, order=0))
