"""Reductions: sums, means, products, extrema and their positions, moments, norms, any and all."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node, Op
from jitgrad.graph.recording import bind, scalar_node
from jitgrad.operators.declaration.declare import finish_composite, function, operator, overloaded, saving
from jitgrad.operators.declaration.out import CAST, COMPUTES, EXACT
from jitgrad.operators.elementwise.comparison import maximum, minimum
from jitgrad.operators.operands import Dim, Dims, Scalar, cast, normal_dim, normal_dims, number_node
from jitgrad.operators.provenance import warn_user
from jitgrad.operators.result_types import result_type
from jitgrad.operators.templates.template import no_template
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import ArrayType
from jitgrad.types.dtype import as_dtype, bool_, dtype, float64, get_default_dtype, int64, uint8

_SUM, _SQUEEZE, _DIV = ops.REGISTRY["sum"], ops.REGISTRY["squeeze"], ops.REGISTRY["div"]


MaxResult = result_type("max", "values indices")
MinResult = result_type("min", "values indices")


def dropped(node: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
    """A reduction's result without the dimensions of length 1, unless they are to be kept.  Raises TypeError unless keepdim
    is a bool."""
    if type(keepdim) is not bool and not isinstance(keepdim, np.bool_):
        raise TypeError(f"argument 'keepdim' must be bool, not {type(keepdim).__name__}")
    return node if keepdim or not dims else bind(_SQUEEZE, (node,), (dims,))


def reduced(op: Op, x: Node, dim: Dims, keepdim: bool) -> Node:
    """A reduction of x over `dim` (None: all)."""
    dims = normal_dims(dim, x.type.ndim)
    return dropped(bind(op, (x,), (dims,)), dims, keepdim)


def length(type: ArrayType, dims: tuple[int, ...]) -> int:
    """The number of elements along some dimensions."""
    n = 1
    for d in dims:
        n *= type.shape[d]
    return n


def _whole(a: dict[str, Any]) -> bool:
    return a["dim"] is None


# -- sums, means, products -------------------------------------------------------------------------------------------

@operator(lambda a: "SumBackward0" if _whole(a) else "SumBackward1", saves=(), out=COMPUTES)
def sum(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """The sum over all elements or over `dim`; of integers and bools in int64."""
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    elif input.type.dtype.category < 2:
        input = cast(input, int64)
    return reduced(_SUM, input, dim, keepdim)


def _floating(called: str, input: Node, dtype: dtype | None) -> Node:
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    if input.type.dtype.category < 2:
        whose = "Input" if dtype is None else "Optional"
        raise RuntimeError(f"{called}(): could not infer output dtype. {whose} dtype must be either a floating point or "
                           f"complex dtype. Got: {input.type.dtype.title}")
    return input


@operator(lambda a: "MeanBackward0" if _whole(a) else "MeanBackward1", saves=(), out=COMPUTES)
def mean(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """The mean over all elements or over `dim`, of floating-point tensors."""
    input = _floating("mean", input, dtype)
    count = scalar_node(float(length(input.type, normal_dims(dim, input.type.ndim))), input.type.dtype)
    return bind(_DIV, (reduced(_SUM, input, dim, keepdim), count))


@operator(lambda a: "ProdBackward0" if _whole(a) else "ProdBackward1", saves=("input", "result"), out=COMPUTES)
def prod(input: Node, dim: Dim = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """The product of all elements or along `dim`; of integers and bools in int64."""
    input = cast(input, as_dtype(dtype or (int64 if input.type.dtype.category < 2 else input.type.dtype)))
    return reduced(ops.REGISTRY["prod"], input, None if dim is None else (dim,), keepdim)


# -- extrema ---------------------------------------------------------------------------------------------------------

def _check_not_empty(called: str, type: ArrayType, dim: Dims) -> None:
    """Extrema of nothing are errors, as in PyTorch."""
    if type.size:
        return
    if dim is None or dim == ():
        raise RuntimeError(f"{called}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                           "reduction dim with the 'dim' argument.")
    for d in normal_dims(dim, type.ndim):
        if not type.shape[d]:
            raise IndexError(f"{called}(): Expected reduction dim {d} to have non-zero size.")


def _extremum(called: str) -> None:
    op = ops.REGISTRY[called]

    def fn(input: Node, dim: Dims = (), keepdim: bool = False) -> Node:
        _check_not_empty(called, input.type, dim)
        return reduced(op, input, dim, keepdim)

    fn.__doc__ = f"{op.doc}."
    operator(f"{called.capitalize()}Backward0", name=called, saves=("input", "result"), out=EXACT)(fn)


_extremum("amax")
_extremum("amin")


def _position(op: Op, input: Node, dim: int | None, keepdim: bool) -> Node:
    """argmax or argmin; of all elements the position in row-major order."""
    ndim = input.type.ndim
    if dim is None:
        if not input.type.size:
            raise IndexError(f"{op.name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                             "reduction dim with the 'dim' argument.")
        flat = bind(op, (ops.reshape(input, sizes=(input.type.size,)),), ((0,),))
        return ops.reshape(flat, sizes=(1,) * ndim if keepdim else ())
    if not ndim:
        normal_dim(dim, 0)
        return ops.squeeze(bind(op, (ops.unsqueeze(input, dims=(0,)),), ((0,),)), dims=(0,))
    d = normal_dim(dim, ndim)
    return dropped(bind(op, (input,), ((d,),)), (d,), keepdim)


@operator(out=EXACT)
def argmax(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """The position of the first largest element, of all or along `dim`."""
    return _position(ops.REGISTRY["argmax"], input, dim, keepdim)


@operator(out=EXACT)
def argmin(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """The position of the first smallest element, of all or along `dim`."""
    return _position(ops.REGISTRY["argmin"], input, dim, keepdim)


def _selecting(called: str, amax: Op, shared: Op, argmax: Op, pair: Callable, result: type) -> None:
    """max and min: of all elements; of two tensors; or along a dimension, with positions."""
    title = called.capitalize()

    @operator(f"{title}Backward1", name=f"{called}.all", places=(), saves=("input", "result"), out=CAST)
    def of_all(input: Node) -> Node:
        """Of all elements."""
        _check_not_empty(called, input.type, None)
        dims = tuple(range(input.type.ndim))
        return dropped(bind(shared if input.requires_grad else amax, (input,), (dims,)), dims, False)

    @function(name=f"{called}.dim", places=(), out=EXACT)
    def along(input: Tensor, dim: int, keepdim: bool = False) -> Any:
        """(values, indices) along a dimension."""
        source = input._current()
        d = normal_dim(dim, source.type.ndim)
        x = source if source.type.ndim else ops.unsqueeze(source, dims=(0,))
        if not x.type.shape[d]:
            raise IndexError(f"{called}(): Expected reduction dim {d} to have non-zero size.")
        at = bind(argmax, (x,), ((d,),))
        keep = keepdim if source.type.ndim else False
        values, indices = dropped(ops.take_along(x, at, dim=d), (d,), keep), dropped(at, (d,), keep)
        values = finish_composite(values, f"{title}Backward0", (source,), (indices,))
        if saving:
            saving[0]((values,), {})
        return result(wrap(values), wrap(finish_composite(indices, None, (source,))))

    overloaded(called, (of_all, pair, along), f"{title} of all elements; with `dim`, (values, indices) along it; "
               "with a second tensor, of the two element by element.")
_selecting("max", ops.REGISTRY["amax"], ops.REGISTRY["max_all"], ops.REGISTRY["argmax"], maximum, MaxResult)
_selecting("min", ops.REGISTRY["amin"], ops.REGISTRY["min_all"], ops.REGISTRY["argmin"], minimum, MinResult)


# -- moments ---------------------------------------------------------------------------------------------------------

def _moments(called: str, x: Node, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> tuple[Node, Node]:
    """Variance and mean over `dim`, in float64, as PyTorch computes them: of numbers near 1e5 the differences from the mean have
    few digits in float32, and the squares of 1e30 or 1e-30 are not in its range.  `x.var(False)` means unbiased=False."""
    if x.type.dtype.category < 2:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dims = normal_dims(dim, x.type.ndim)
    n = length(x.type, dims)
    if n <= correction:
        no_template()
        warn_user(f"{called}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                  "(input numel divided by output numel).")
    x = cast(x, float64)
    center = bind(_DIV, (bind(_SUM, (x,), (dims,)), scalar_node(float(n), float64)))
    squares = bind(_SUM, (ops.squared_deviation(x, center),), (dims,))
    variance = bind(_DIV, (squares, number_node(max(n - correction, 0), float64)))
    return dropped(variance, dims, keepdim), dropped(center, dims, keepdim)


def _root(variance: Node) -> Node:
    """The square root, with derivative 0 at 0, as PyTorch's std and norm have it."""
    at_zero = ops.eq(variance, 0)
    return ops.where(at_zero, ops.number(0, variance), ops.sqrt(ops.where(at_zero, ops.number(1, variance), variance)))


@operator("VarBackward0", saves=("input",), out=CAST)
def var(input: Node, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: Scalar | None = None) -> Node:
    """The variance: squared distances from the mean, summed and divided by n - correction (1)."""
    return cast(_moments("var", input, dim, unbiased, keepdim, correction)[0], input.type.dtype)


@operator("StdBackward0", saves=("input", "result"), out=CAST)
def std(input: Node, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: Scalar | None = None) -> Node:
    """The square root of the variance; the derivative is 0 where it is 0."""
    return cast(_root(_moments("std", input, dim, unbiased, keepdim, correction)[0]), input.type.dtype)


@operator("VarMeanBackward0", places=("torch",), saves=("input",))
def var_mean(input: Node, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: Scalar | None = None) -> tuple[Node, Node]:
    """(variance, mean)."""
    variance, center = _moments("var_mean", input, dim, unbiased, keepdim, correction)
    return cast(variance, input.type.dtype), cast(center, input.type.dtype)


@operator("StdMeanBackward0", places=("torch",), saves=("input", "result"))
def std_mean(input: Node, dim: Dims | bool = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: Scalar | None = None) -> tuple[Node, Node]:
    """(standard deviation, mean)."""
    variance, center = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return cast(_root(variance), input.type.dtype), cast(center, input.type.dtype)


# -- logsumexp, norms ------------------------------------------------------------------------------------------------

def largest(x: Node, dims: tuple[int, ...]) -> Node:
    """The largest element along dims, kept; no gradient passes it."""
    return ops.detach(ops.amax(x, axes=dims))


@operator("LogsumexpBackward0", saves=("input", "result"), out=CAST)
def logsumexp(input: Node, dim: Dims, keepdim: bool = False) -> Node:
    """log(sum(exp(input))) over `dim`, without overflow."""
    if input.type.dtype.category < 2:
        input = cast(input, get_default_dtype())
    dims = normal_dims(dim, input.type.ndim)
    top = largest(input, dims)
    top = ops.where(ops.isfinite(top), top, ops.number(0, top))       # inf - inf would be nan
    return dropped(ops.log(ops.sum(ops.exp(input - top), axes=dims)) + top, dims, keepdim)


def vector_norm(x: Node, order: float, dim: Dims, keepdim: bool) -> Node:
    """(sum |x| ** order) ** (1 / order) over `dim`, and its limits."""
    dims, order = normal_dims(dim, x.type.ndim), float(order)
    if (order < 0 or order == np.inf) and not x.type.size:
        _refuse_empty(order, x.type, dim)
    if order in (0, 1):
        return dropped(ops.sum(ops.abs(x) if order else ops.nonzero(x), axes=dims), dims, keepdim)
    size = ops.abs(ops.detach(x))
    if order == 2:
        value, kind = ops.sqrt(ops.sum(ops.square(size), axes=dims)), "2"
    elif order in (np.inf, -np.inf):
        value, kind = (ops.amax if order > 0 else ops.amin)(size, axes=dims), "inf"
    else:
        powers = ops.sum(ops.analysis.raised(scalar_node(order, float64), size), axes=dims)
        value = ops.analysis.raised(scalar_node(1 / order, float64), powers)
        kind = "below 1" if order < 1 else "below 2" if order < 2 else "above 2"
    return dropped(ops.norm_of(value, x, scalar_node(order, float64), axes=dims, kind=kind), dims, keepdim)


def _refuse_empty(order: float, type: ArrayType, dim: Dims) -> None:
    """Raise for a norm of nothing, of an order that has no neutral element."""
    called = f"linalg.vector_norm cannot compute the {order:g} norm on "
    if dim is None or dim == ():
        raise RuntimeError(called + "an empty tensor because the operation does not have an identity")
    for d in normal_dims(dim, type.ndim):
        if not type.shape[d]:
            raise RuntimeError(f"{called}the dimension {d}because this dimension is empty and the operation does not have an identity")


@operator("LinalgVectorNormBackward0", saves=("input", "result"), out=EXACT)
def norm(input: Node, p: Scalar | str | None = "fro", dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """The p-norm of the elements, of all or over `dim`; "fro" is 2."""
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm(): p must be a number or 'fro', got {p!r}")
    return vector_norm(_floating("linalg.vector_norm", input, dtype), 2 if p is None or p == "fro" else p, dim, keepdim)


# -- any, all, counts ------------------------------------------------------------------------------------------------

def _of_truth(called: str) -> None:
    op = ops.REGISTRY[called]

    def fn(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
        found = reduced(op, cast(input, bool_), dim, keepdim)
        return cast(found, uint8) if input.type.dtype is uint8 else found

    fn.__doc__ = f"{op.doc}; numbers other than 0 count as true.  Of uint8 the result is uint8."
    operator(name=called, out=EXACT)(fn)


_of_truth("any")
_of_truth("all")


@operator()
def count_nonzero(input: Node, dim: Dims = None) -> Node:
    """The number of elements that are not 0, of all or over `dim`."""
    return reduced(_SUM, cast(cast(input, bool_), int64), dim, False)
