"""Primitives of activation functions whose derivatives are not those of what they would be composed of.

What is not chosen at an element has a derivative that may be infinite or nan there, and nan is neither side of a comparison:
these derivatives say themselves what they are.
"""
from __future__ import annotations

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.ops.declare import elementwise, literal
from jitgrad.ops.elementwise import gt, logical_and, lt, where
from jitgrad.ops.movement import number
from jitgrad.ops.samples import uniform
from jitgrad.types.dtype import dtype


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
