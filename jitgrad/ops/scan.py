"""Running sums, products and extrema along one dimension, what their derivatives need, and orders.

A scan's derivative is a scan from the other end: `linear_scan`, y[i] = x[i] + a[i] * y[i - 1], and its reverse are adjoint.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.ops.analysis import exp
from jitgrad.ops.declare import Scan, library, literal
from jitgrad.ops.elementwise import mul
from jitgrad.ops.samples import FLOATS, NUMBERS, structured
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import dtype, int64

_CASES = ((((3,),), {"dim": 0}), (((2, 3),), {"dim": 1}), (((2, 3),), {"dim": 0}), (((2, 1),), {"dim": 1}), (((0, 2),), {"dim": 0}))


def _cases(operands: int, *more: dict[str, Any]) -> tuple:
    return tuple([(shapes * operands, {**params, **m}) for shapes, params in _CASES for m in more or ({},)])


# -- running sums, and what follows from the element before ------------------------------------------------------------

def _cumsum(x: np.ndarray, *, dim: int, reverse: bool) -> np.ndarray:
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    y = np.cumsum(np.flip(x, dim) if reverse else x, dim, dtype=wide).astype(x.dtype, copy=False)
    return np.flip(y, dim) if reverse else y


def _linear_scan(x: np.ndarray, a: np.ndarray, *, dim: int, reverse: bool) -> np.ndarray:
    y, n = np.moveaxis(np.array(x), dim, 0), x.shape[dim]
    factors = np.moveaxis(a, dim, 0)
    if reverse:
        for i in range(n - 2, -1, -1):
            y[i] += factors[i + 1] * y[i + 1]
    else:
        for i in range(1, n):
            y[i] += factors[i] * y[i - 1]
    return np.moveaxis(y, 0, dim)


def _shifted(x: np.ndarray, *, dim: int, by: int, fill: int) -> np.ndarray:
    result, before = np.full_like(x, fill), (slice(None),) * dim
    if x.shape[dim]:
        result[(*before, slice(1, None) if by > 0 else slice(-1))] = x[(*before, slice(-1) if by > 0 else slice(1, None))]
    return result


def _linear_scan_vjp(g: Node, y: Node, x: Node, a: Node, *, dim: int, reverse: bool) -> tuple[Node, Node]:
    h = linear_scan(g, a, dim=dim, reverse=not reverse)
    return h, shifted(h, dim=dim, by=1, fill=0) * y if reverse else h * shifted(y, dim=dim, by=1, fill=0)


cumsum = library("cumsum(x, *, dim, reverse)", infer=lambda x, *, dim, reverse: x, numpy=_cumsum, dims="donor:0",
                 vjp=lambda g, y, x, *, dim, reverse: (cumsum(g, dim=dim, reverse=not reverse),), grad_name="CumsumBackward0",
                 doc="the sum of the elements up to each along dim (or from each on), in x's dtype",
                 scan=lambda d, *, dim, reverse: Scan(("{x}",), ("{l0} + {r0}",), (d.code,), reverse),
                 sample=structured(*_cases(1, {"reverse": False}, {"reverse": True}), dtypes=NUMBERS))
shifted = library("shifted(x, *, dim, by, fill)", infer=lambda x, *, dim, by, fill: x, numpy=_shifted, dims="donor:0",
                  vjp=lambda g, y, x, *, dim, by, fill: (shifted(g, dim=dim, by=-by, fill=0),),
                  doc="the element before (by = 1) or after (-1) each along dim; `fill` where there is none",
                  sample=structured(*_cases(1, {"by": 1, "fill": 0}, {"by": -1, "fill": 1}), dtypes=NUMBERS))
linear_scan = library("linear_scan(x, a, *, dim, reverse)", infer=lambda x, a, *, dim, reverse: x, numpy=_linear_scan,
                      vjp=_linear_scan_vjp, dims="donor:0",
                      doc="y[i] = x[i] + a[i] * y[i - 1] along dim, or in reverse y[i] = x[i] + a[i + 1] * y[i + 1]",
                      scan=lambda d, *, dim, reverse: Scan(("{a}", "{x}"), ("{l0} * {r0}", "{r1} + {r0} * {l1}"), (d.code,) * 2,
                                                           reverse, ("a",)),
                      sample=structured(*_cases(2, {"reverse": False}, {"reverse": True}), dtypes=FLOATS))
cumprod = library("cumprod(x, *, dim)", infer=lambda x, *, dim: x, dims="donor:0", grad_name="CumprodBackward0",
                  numpy=lambda x, *, dim: np.cumprod(x, dim, dtype=x.dtype),
                  vjp=lambda g, y, x, *, dim: (shifted(y, dim=dim, by=1, fill=1) * linear_scan(g, x, dim=dim, reverse=True),),
                  doc="the product of the elements up to each along dim, in x's dtype; its derivative is right at zeros",
                  scan=lambda d, *, dim: Scan(("{x}",), ("{l0} * {r0}",), (d.code,)),
                  sample=structured(*_cases(1), dtypes=NUMBERS))


def _logcumsumexp_vjp(g: Node, y: Node, x: Node, *, dim: int) -> tuple[Node]:
    ratio = exp(shifted(y, dim=dim, by=1, fill=0) - y)      # at most 1
    return (mul(exp(x - y), linear_scan(g, ratio, dim=dim, reverse=True)),)


# Equal ones may both be infinite.
_LOGADDEXP = ("where({{l0}} == {{r0}}, {{l0}} + log({two}), "
              "maximum({{l0}}, {{r0}}) + log1p(exp(minimum({{l0}}, {{r0}}) - maximum({{l0}}, {{r0}}))))")
logcumsumexp = library("logcumsumexp(x, *, dim)", infer=lambda x, *, dim: x, dims="donor:0", vjp=_logcumsumexp_vjp,
                       numpy=lambda x, *, dim: np.logaddexp.accumulate(x, dim, dtype=x.dtype), grad_name="LogcumsumexpBackward0",
                       doc="the logarithm of the sum of e ** x up to each element along dim, without overflow",
                       scan=lambda d, *, dim: Scan(("{x}",), (_LOGADDEXP.format(two=literal(2.0, d)),), (d.code,)),
                       sample=structured(*_cases(1), dtypes=FLOATS))


# -- orders ------------------------------------------------------------------------------------------------------------

def _argsort(x: np.ndarray, *, dim: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, dim, kind="stable")
    turned = np.argsort(np.flip(x, dim), dim, kind="stable")        # equal elements stay in their order, a nan comes first
    return x.shape[dim] - 1 - np.flip(turned, dim)


def _extreme_position(x: np.ndarray, *, dim: int, largest: bool) -> np.ndarray:
    """The position of the largest element so far, of equal ones and of nans the last."""
    if not x.size:
        return np.zeros(x.shape, np.int64)
    best = (np.maximum if largest else np.minimum).accumulate(x, dim)
    here = (x == best) | (x != x)
    at = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - dim - 1))
    return np.maximum.accumulate(np.where(here, at, 0), dim)


def _positions(x: ArrayType, **params: Any) -> ArrayType:
    return array_type(x.shape, int64, x.device)


def _extreme_scan(d: dtype, *, dim: int, largest: bool) -> Scan:
    last = f"lor({{r0}} {'>=' if largest else '<='} {{l0}}, {{r0}} != {{r0}})"
    return Scan(("{x}", "{i}"), (f"where({last}, {{r0}}, {{l0}})", f"where({last}, {{r1}}, {{l1}})"), (d.code, "i8"))


argsort = library("argsort(x, *, dim, descending)", infer=_positions, numpy=_argsort, vjp=None, dims="donor:0",
                  doc="the positions along dim that sort x, equal elements in their order; a nan is largest",
                  sample=structured(*_cases(1, {"descending": False}, {"descending": True}), dtypes=NUMBERS, order=0))
extreme_position = library("extreme_position(x, *, dim, largest)", infer=_positions, numpy=_extreme_position, vjp=None, dims="donor:0",
                           doc="the position of the largest (or smallest) element up to each along dim, the last of equal ones",
                           scan=_extreme_scan,
                           sample=structured(*_cases(1, {"largest": True}, {"largest": False}), dtypes=NUMBERS, order=0))
