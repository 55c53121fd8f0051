"""Operators of one tensor, element by element, and those of three operands."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator, overloaded, unary
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.operands import Scalar, cast, number_node, promoted, result_dtype
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import bool_, check_fits, int64, of_scalar, promote

_R = ops.REGISTRY
EVERYWHERE = ("torch", "method", "functional")

# -- one operand -----------------------------------------------------------------------------------------------------

for _name in ("sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin",
              "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "erfc", "lgamma", "digamma"):
    unary(_R[_name], floating=True)
for _name in ("tanh", "sigmoid"):
    unary(_R[_name], floating=True, places=EVERYWHERE)
for _name, _op in (("arcsin", "asin"), ("arccos", "acos"), ("arctan", "atan"), ("arcsinh", "asinh"),
                   ("arccosh", "acosh"), ("arctanh", "atanh"), ("floor", "floor"), ("ceil", "ceil"),
                   ("trunc", "trunc"), ("fix", "trunc"), ("sign", "sign"), ("sgn", "sign"), ("frac", "frac")):
    unary(_R[_op], name=_name, floating=_name.startswith("arc"), out=CAST if _name.startswith("arc") else EXACT)
for _name in ("neg", "negative"):
    unary(_R["neg"], name=_name, out=EXACT, refuse_bool="Negation, the `-` operator, on a bool tensor is not supported. If you "
          "are trying to invert a mask, use the `~` or `logical_not()` operator instead.")
for _name in ("abs", "absolute"):
    unary(_R["abs"], name=_name, out=EXACT, refuse_bool="\"abs_cpu\" not implemented for 'Bool'", refusal=NotImplementedError)
unary(_R["relu"], places=EVERYWHERE, out=None, refuse_bool="Boolean inputs not supported for relu")
for _name in ("isnan", "isinf", "isfinite"):
    unary(_R[_name], inplace=False, out=None)


@operator("PowBackward0", inplace=True, out=CAST)
def square(input: Node) -> Node:
    """input * input."""
    return ops.power(cast(input, int64) if input.type.dtype is bool_ else input, n=2)


@operator(lambda a: "RoundBackward1" if a.get("decimals") else "RoundBackward0", inplace=True, out=EXACT)
def round(input: Node, *, decimals: int = 0) -> Node:
    """The nearest integer, half to even, or the nearest multiple of 10 ** -decimals.  The derivative is 0."""
    if decimals == 0 or input.type.dtype.category < 2:
        return ops.round(input)
    scale = number_node(10.0 ** abs(decimals), input.type.dtype)
    if decimals > 0:
        return ops.round(input * scale) / scale
    return ops.round(input / scale) * scale


@operator("NanToNumBackward0", inplace=True, out=EXACT, edges=("input",))
def nan_to_num(input: Node, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Node:
    """nan replaced by `nan` (0), the infinities by `posinf` and `neginf` (the largest finite numbers)."""
    to = input.type.dtype
    if to.category < 2:
        return ops.copy(input)
    info = np.finfo(to.np)
    values = (0.0 if nan is None else nan, info.max if posinf is None else posinf,
              info.min if neginf is None else neginf)
    return ops.nan_to_num(input, *[number_node(v, to) for v in values])


@operator("LogitBackward0", inplace=True, out=CAST, saves=("input",))
def logit(input: Node, eps: float | None = None) -> Node:
    """log(x / (1 - x)), of x clamped to [eps, 1 - eps] if eps is given; no gradient passes where it was clamped."""
    x = promoted("logit", input, floating=True)[0]
    if eps is None:
        return ops.logit(x)
    return ops.clamped_logit(x, number_node(eps, x.type.dtype), number_node(1 - eps, x.type.dtype))


# -- three operands --------------------------------------------------------------------------------------------------

def _bounds(called: str, input: Node, low: str, high: str, min: Any, max: Any) -> tuple[Node, Node | None, Node | None]:
    """The operands of a clamp in their common dtype."""
    if min is None and max is None:
        raise RuntimeError(f"torch.{called}: At least one of '{low}' or '{high}' must not be None")
    given = [v for v in (min, max) if v is not None]
    if input.type.dtype is bool_ and result_dtype((input, *given)) is bool_ and (len(given) > 1 or type(given[0]) is not Node):
        raise NotImplementedError(f"{called}(): not implemented for 'Bool'; convert the tensor with .int() first")
    nodes = promoted(called, input, *given, fitting=True)
    return nodes[0], None if min is None else nodes[1], None if max is None else nodes[-1]


def _has_tensor_bound(a: dict[str, Any]) -> bool:
    return type(a.get("min")) is Node or type(a.get("max")) is Node


def _clamp(input: Node, min: Node | Scalar | None = None, max: Node | Scalar | None = None) -> Node:
    """min(max(input, min), max); the gradient passes where min <= input <= max."""
    x, lo, hi = _bounds("clamp", input, "min", "max", min, max)
    if hi is None:
        return ops.clamp_min(x, lo)
    return ops.clamp_max(x, hi) if lo is None else ops.clamp(x, lo, hi)


for _name in ("clamp", "clip"):
    operator(lambda a: "ClampBackward0" if _has_tensor_bound(a) else "ClampBackward1", name=_name, inplace=True, out=EXACT,
             edges=lambda a: ("input", "min", "max") if _has_tensor_bound(a) else ("input",))(_clamp)


@operator(lambda a: "ClampMinBackward1" if _has_tensor_bound(a) else "ClampMinBackward0", inplace=True, out=CAST,
          edges=lambda a: ("input", "min") if _has_tensor_bound(a) else ("input",))
def clamp_min(input: Node, min: Node | Scalar) -> Node:
    """max(input, min); the gradient passes where input >= min."""
    x, lo, _ = _bounds("clamp_min", input, "min", "max", min, None)
    return ops.clamp_min(x, lo)


@operator(lambda a: "ClampMaxBackward1" if _has_tensor_bound(a) else "ClampMaxBackward0", inplace=True, out=CAST,
          edges=lambda a: ("input", "max") if _has_tensor_bound(a) else ("input",))
def clamp_max(input: Node, max: Node | Scalar) -> Node:
    """min(input, max); the gradient passes where input <= max."""
    x, _, hi = _bounds("clamp_max", input, "min", "max", None, max)
    return ops.clamp_max(x, hi)


@function(name="where.positions", places=(), kind=None)
def _positions(condition: Tensor) -> tuple[Tensor, ...]:
    """The positions at which condition is true, a tensor a dimension."""
    return OPERATORS["nonzero"].call(condition, as_tuple=True)


@operator("WhereBackward0", name="where.self", places=(), edges=("input", "other"), out=EXACT)
def _where(condition: Node, input: Node | Scalar, other: Node | Scalar) -> Node:
    """input where condition, other elsewhere."""
    if type(input) is Node or type(other) is Node:
        a, b = promoted("where", input, other, fitting=True)
    else:
        to = promote((), (), (of_scalar(input), of_scalar(other)))
        a, b = number_node(input, to), number_node(other, to)
    return ops.where(condition, a, b)


overloaded("where", (_positions, _where), "input where condition, other elsewhere; of a condition alone the positions at "
           "which it is true, a tuple.", ("torch",))


@operator(lambda a: "LerpBackward1" if type(a.get("weight")) is Node else "LerpBackward0", inplace=True, out=EXACT,
          edges=lambda a: ("input", "end", "weight") if type(a.get("weight")) is Node else ("input", "end"),
          saves=lambda a: () if type(a.get("weight")) is not Node else ("input", "end", "weight") if a["weight"].requires_grad else
          ("weight",))
def lerp(input: Node, end: Node, weight: Node | Scalar) -> Node:
    """input + weight * (end - input), exact at weight 0 and 1."""
    a, b = _alike("lerp", input, end)
    w = _alike("lerp", input, weight)[1] if type(weight) is Node else number_node(weight, a.type.dtype)
    return ops.lerp(a, b, w)


def _alike(called: str, *nodes: Any) -> tuple[Any, ...]:
    for n in nodes:
        if n.type.dtype is not nodes[0].type.dtype:
            raise RuntimeError(f"expected dtype {nodes[0].type.dtype.name} for the operands of {called}() but got "
                               f"dtype {n.type.dtype.name}; convert them with .to()")
    return nodes


@operator("AddcmulBackward0", inplace=True, out=CAST)
def addcmul(input: Node, tensor1: Node, tensor2: Node, *, value: Scalar = 1) -> Node:
    """input + value * tensor1 * tensor2."""
    x, a, b = promoted("addcmul", input, tensor1, tensor2)
    return x + (a * b if value == 1 else number_node(value, x.type.dtype) * a * b)


@operator("AddcdivBackward0", inplace=True, out=CAST,
          saves=lambda a: ("tensor1", "tensor2") if type(a["tensor2"]) is Node and a["tensor2"].requires_grad else ("tensor2",))
def addcdiv(input: Node, tensor1: Node, tensor2: Node, *, value: Scalar = 1) -> Node:
    """input + value * tensor1 / tensor2, in floating point."""
    x, a, b = promoted("addcdiv", input, tensor1, tensor2)
    if a.type.dtype.category < 2:
        raise RuntimeError("Integer division with addcdiv is no longer supported; convert an operand to floating "
                           "point, or use (input + value * torch.div(tensor1, tensor2, rounding_mode='trunc'))")
    return ops.addcdiv(x, a, b, number_node(value, x.type.dtype))


@operator(lambda a: "MaskedFillBackward1" if type(a.get("value")) is Node else "MaskedFillBackward0", inplace=True,
          edges=lambda a: ("input", "value") if type(a.get("value")) is Node else ("input",))
def masked_fill(input: Node, mask: Node, value: Node | Scalar) -> Node:
    """input with `value`, a number or a 0-d tensor, where the bool tensor `mask` is true."""
    if mask.type.dtype is not bool_:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask with dtype {mask.type.dtype!r}")
    if type(value) is Node:
        if value.type.ndim:
            raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{value.type.ndim} dimension(s).")
        value = cast(value, input.type.dtype)
    else:
        check_fits(value, input.type.dtype)
        value = number_node(value, input.type.dtype)
    return ops.where(mask, value, input)
