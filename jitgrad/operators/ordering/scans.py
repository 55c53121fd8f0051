"""Running sums, products and extrema: cumsum, cumprod, logcumsumexp, cummax, cummin, diff, trapezoid."""
from __future__ import annotations

from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST, COMPUTES, EXACT
from jitgrad.operators.operands import Scalar, cast, normal_dim
from jitgrad.operators.result_types import result_type
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import as_dtype, bool_, dtype, int64

BOTH = ("torch", "method")
CummaxResult = result_type("cummax", "values indices")
CumminResult = result_type("cummin", "values indices")


def _running(called: str, op: Any, saves: tuple[str, ...], **params: Any) -> None:
    def fn(input: Node, dim: int, *, dtype: dtype | None = None) -> Node:
        to = as_dtype(dtype or (int64 if input.type.dtype.category < 2 else input.type.dtype))
        d = normal_dim(dim, input.type.ndim)
        if to is bool_:
            raise NotImplementedError(f"\"{called}_out_cpu\" not implemented for 'Bool'")
        x = cast(input, to)
        return op(x, dim=d, **params) if x.type.ndim and x.type.size != 1 else ops.copy(x)

    fn.__doc__ = f"{op.doc.partition(' (')[0].partition(',')[0]}; of integers and bools in int64."
    operator(f"{called.capitalize()}Backward0", name=called, saves=saves, inplace=True, out=COMPUTES)(fn)


_running("cumsum", ops.REGISTRY["cumsum"], (), reverse=False)
_running("cumprod", ops.REGISTRY["cumprod"], ("input", "result"))


@operator("LogcumsumexpBackward0", saves=("input", "result"), out=EXACT)
def logcumsumexp(input: Node, dim: int) -> Node:
    """log(cumsum(exp(input))) along `dim`, without overflow."""
    d = normal_dim(dim, input.type.ndim)
    if input.type.dtype.category < 2:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{input.type.dtype.title}'")
    return ops.logcumsumexp(input, dim=d) if input.type.ndim else ops.copy(input)


def _extremum_so_far(called: str, largest: bool, kind: Any) -> None:
    def fn(input: Node, dim: int) -> tuple[Node, Node]:
        d = normal_dim(dim, input.type.ndim)
        if not input.type.ndim:
            return kind(ops.copy(input), ops.copy(ops.number(0, cast(input, int64))))
        at = ops.extreme_position(input, dim=d, largest=largest)
        return kind(ops.take_along(input, at, dim=d), at)

    fn.__doc__ = f"(values, indices) of the {'largest' if largest else 'smallest'} element up to each along `dim`."
    operator(f"{called.capitalize()}Backward0", name=called, saves=("input",), out=EXACT)(fn)


_extremum_so_far("cummax", True, CummaxResult)
_extremum_so_far("cummin", False, CumminResult)


# -- differences and integrals -----------------------------------------------------------------------------------------

@function(places=BOTH, out=CAST, kind=None)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The differences of neighbours along `dim`, n times."""
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError("order must be non-negative but got " + str(n))
    d = normal_dim(dim, input.ndim)
    if n == 0:
        return input.clone()
    if prepend is not None or append is not None:
        input = OPERATORS["cat"].call([t for t in (prepend, input, append) if t is not None], d)
    if n > input.shape[d]:
        n = input.shape[d]
    for _ in range(n):
        length = input.shape[d]
        after, before = input.narrow(d, 1, max(length - 1, 0)), input.narrow(d, 0, max(length - 1, 0))
        input = OPERATORS["logical_xor"].call(after, before) if input.dtype.category == 0 else after - before
    return input


def _steps(y: Tensor, x: Tensor | None, dx: Any, d: int) -> tuple[Tensor, Any]:
    """The means of neighbours along d, and how far they are apart."""
    n = y.shape[d]
    sums = (y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)) / 2.0 if n else y / 2.0
    if x is None:
        return sums, dx
    if x.ndim == 1 and y.ndim > 1:
        x = x.reshape([-1 if i == d else 1 for i in range(y.ndim)])
    return sums, diff(x, 1, d - y.ndim)


def _trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Scalar | None = None, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule, at points x or `dx` (1) apart."""
    d = normal_dim(dim, y.ndim)
    means, apart = _steps(y, x, 1.0 if dx is None else dx, d)
    return (means * apart).sum(d)


for _name in ("trapezoid", "trapz"):
    function(name=_name, kind=None)(_trapezoid)


@function(kind=None)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Scalar | None = None, dim: int = -1) -> Tensor:
    """The running integral of y along `dim` by the trapezoidal rule."""
    d = normal_dim(dim, y.ndim)
    means, apart = _steps(y, x, 1.0 if dx is None else dx, d)
    return (means * apart).cumsum(d)


