"""Primitives of activation functions whose derivatives are not those of what they are composed of.

What is not chosen at an element has a derivative that may be infinite or nan there, and nan is neither side of a comparison:
these derivatives say themselves what they are.  Numbers are float64, and so is what derivatives make of them; they are rounded
once.
"""
from __future__ import annotations

import numpy as np

from jitgrad.dtype import dtype
from jitgrad.graph import Node
from jitgrad.ops.declare import elementwise, literal
from jitgrad.ops.elementwise import cast, gt, logical_and, lt, where
from jitgrad.ops.movement import number
from jitgrad.ops.samples import FLOATS, Case, Sample, custom, draw, uniform


def _number(name: str, dtype: dtype) -> str:
    """A float64 operand in the dtype of the others."""
    return f"{{{name}}}" if dtype.code == "f8" else f"to_{dtype.code}({{{name}}})"


def _numbered(*numbers: float) -> Sample:
    """Numbers, and an operand on either side of 0."""
    scalars = tuple([np.array(n) for n in numbers])
    return custom(lambda rng, dtype: [Case((*scalars, draw(rng, shape, dtype, low, high))) for shape in ((), (3,), (0, 2))
                                      for low, high in ((-3, -0.1), (0.1, 3))], FLOATS, order=1)


# -- elu: positive * x above 0, negative * (exp(inner * x) - 1) elsewhere --------------------------------------------

def _elu_scalar(dtype: dtype) -> str:
    return (f"where({{x}} > {literal(0, dtype)}, {{x}} * {_number('positive', dtype)}, "
            f"expm1({{x}} * {_number('inner', dtype)}) * {_number('negative', dtype)})")


def _elu(negative: np.ndarray, inner: np.ndarray, positive: np.ndarray, x: np.ndarray) -> np.ndarray:
    to = x.dtype
    return np.where(x > 0, x * positive.astype(to), np.expm1(x * inner.astype(to)) * negative.astype(to))


def _elu_vjp(g: Node, y: Node, negative: Node, inner: Node, positive: Node, x: Node) -> tuple[None, None, None, Node]:
    return None, None, None, g * elu_slope(negative * inner, inner, positive, x)


def _elu_slope_scalar(dtype: dtype) -> str:
    return (f"where({{x}} > {literal(0, dtype)}, {_number('positive', dtype)}, "
            f"exp({{x}} * {_number('inner', dtype)}) * {_number('negative', dtype)})")


def _elu_slope(negative: np.ndarray, inner: np.ndarray, positive: np.ndarray, x: np.ndarray) -> np.ndarray:
    to = x.dtype
    return np.where(x > 0, positive.astype(to), np.exp(x * inner.astype(to)) * negative.astype(to))


def _elu_slope_vjp(g: Node, y: Node, negative: Node, inner: Node, positive: Node, x: Node) -> tuple[None, None, None, Node]:
    below = cast(lt(x, 0), dtype=x.type.dtype)
    return None, None, None, g * elu_slope(negative * inner, inner, number(0, positive), x) * below


elu = elementwise("elu(negative, inner, positive, x)", scalar=_elu_scalar, numpy=_elu, vjp=_elu_vjp, grad_name="EluBackward0",
                  out=lambda negative, inner, positive, x: x.dtype, sample=_numbered(1.5, 0.75, 1.25),
                  doc="positive * x where x > 0, negative * (e ** (inner * x) - 1) elsewhere; the numbers are float64")
elu_slope = elementwise("elu_slope(negative, inner, positive, x)", scalar=_elu_slope_scalar, numpy=_elu_slope,
                        vjp=_elu_slope_vjp, grad_name="EluBackwardBackward0",
                        out=lambda negative, inner, positive, x: x.dtype, sample=_numbered(1.5, 0.75, 1.25),
                        doc="positive where x > 0, negative * e ** (inner * x) elsewhere; derivative 0 at 0")


# -- hardswish -------------------------------------------------------------------------------------------------------

def _pieces(dtype: dtype, below: str, between: str, above: str) -> str:
    return f"where({{x}} <= {literal(-3, dtype)}, {below}, where({{x}} >= {literal(3, dtype)}, {above}, {between}))"


def _hardswish_scalar(dtype: dtype) -> str:
    between = f"{{x}} * ({{x}} + {literal(3, dtype)}) / {literal(6, dtype)}"
    return _pieces(dtype, literal(0, dtype), between, "{x}")


def _hardswish_slope_scalar(dtype: dtype) -> str:
    return _pieces(dtype, literal(0, dtype), f"{{x}} / {literal(3, dtype)} + {literal(0.5, dtype)}", literal(1, dtype))


def _hardswish_slope_vjp(g: Node, y: Node, x: Node) -> tuple[Node]:
    return (where(logical_and(gt(x, -3), lt(x, 3)), g / 3, number(0, g)),)


hardswish = elementwise("hardswish(x)", scalar=_hardswish_scalar, exact=True, grad_name="HardswishBackward0",
                        numpy=lambda x: np.where(x <= -3, 0, np.where(x >= 3, x, x * (x + 3) / 6)),
                        vjp=lambda g, y, x: (g * hardswish_slope(x),), doc="0 up to -3, x from 3 on, x * (x + 3) / 6 between",
                        sample=uniform((-2.5, 2.5)))
hardswish_slope = elementwise("hardswish_slope(x)", scalar=_hardswish_slope_scalar, exact=True, vjp=_hardswish_slope_vjp,
                              numpy=lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + x.dtype.type(0.5))),
                              grad_name="HardswishBackwardBackward0", doc="0 up to -3, 1 from 3 on, x / 3 + 1 / 2 between",
                              sample=uniform((-2.5, 2.5)))
