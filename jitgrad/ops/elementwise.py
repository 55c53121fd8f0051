"""Elementwise primitives: arithmetic, rounding, selection, comparison, logic.  Functions of analysis are in analysis.py.

Values and derivatives at kinks, ties and infinities are PyTorch's; the doc line says which where there is a choice.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.ops.declare import CHEAP, MODERATE, elementwise, literal
from jitgrad.ops.movement import constant_in, number, zeros_like
from jitgrad.ops.samples import ALL, BOOL, INTEGERS, NUMBERS, uniform
from jitgrad.types.array import ArrayType
from jitgrad.types.dtype import FUSED as DTYPES
from jitgrad.types.dtype import bool_, dtype

WIDE = (-3.0, 3.0)
POSITIVE = (0.5, 3.0)


def by_category(floating: str, integer: str, boolean: str | None = None) -> Any:
    """A scalar expression that differs between floating, integer and bool operands."""

    def scalar(dtype: dtype, **params: Any) -> str:
        return (integer if boolean is None else boolean, integer, floating)[dtype.category]

    return scalar


def _truncated_quotient(d: dtype) -> str:
    """Of integers: arithmetic of int32 is int64, and both operands of a division are of one type."""
    return "trunc({a} / {b})" if d.category == 2 else f"floordiv(to_{d.code}({{a}} - ifmod({{a}}, {{b}})), {{b}})"


def _unless_integer(f: Any) -> Any:
    """f for floating operands; the operand itself for integers, which are already whole."""
    return lambda x: f(x) if x.dtype.kind == "f" else x


# -- arithmetic ------------------------------------------------------------------------------------------------------

add = elementwise("add(a, b)", role="addition", cost=CHEAP, scalar=by_category("{a} + {b}", "{a} + {b}", "bor({a}, {b})"),
                  numpy=np.add, exact=True,
                  vjp=lambda g, y, a, b: (g, g), grad_name="AddBackward0", doc="a + b",
                  sample=uniform(WIDE, WIDE, dtypes=ALL))
sub = elementwise("sub(a, b)", role="subtraction", cost=CHEAP, scalar="{a} - {b}", numpy=np.subtract, exact=True,
                  vjp=lambda g, y, a, b: (g, -g),
                  grad_name="SubBackward0", doc="a - b", sample=uniform(WIDE, WIDE, dtypes=NUMBERS))
mul = elementwise("mul(a, b)", role="multiplication", cost=CHEAP, linear=(0, 1),
                  scalar=by_category("{a} * {b}", "{a} * {b}", "band({a}, {b})"), numpy=np.multiply,
                  vjp=lambda g, y, a, b: (g * b, g * a), grad_name="MulBackward0", doc="a * b", exact=True,
                  sample=uniform(WIDE, WIDE, dtypes=ALL))
div = elementwise("div(a, b)", role="division", cost=MODERATE, linear=(0,), scalar="{a} / {b}", numpy=np.divide, exact=True,
                  vjp=lambda g, y, a, b: (g / b, -g * (a / b / b)), grad_name="DivBackward0", doc="a / b, floating",
                  sample=uniform(WIDE, POSITIVE))
neg = elementwise("neg(x)", role="negation", cost=CHEAP, linear=(0,), scalar="-{x}", numpy=np.negative, exact=True,
                  vjp=lambda g, y, x: (-g,),
                  grad_name="NegBackward0", doc="-x", sample=uniform(WIDE, dtypes=NUMBERS))
abs = elementwise("abs(x)", cost=CHEAP, nonnegative=True, scalar=by_category("fabs({x})", "iabs({x})"), numpy=np.abs, exact=True,
                  vjp=lambda g, y, x: (g * sign(x),), grad_name="AbsBackward0", doc="|x|; derivative 0 at 0 and at nan",
                  sample=uniform(WIDE, dtypes=NUMBERS))


def _sign(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind == "b" else np.subtract(x > 0, x < 0, dtype=np.int8).astype(x.dtype)


def _sign_scalar(dtype: dtype) -> str:
    zero, one, minus = literal(0, dtype), literal(1, dtype), literal(-1, dtype)
    return "{x}" if dtype is bool_ else f"where({{x}} > {zero}, {one}, where({{x}} < {zero}, {minus}, {zero}))"


sign = elementwise("sign(x)", cost=CHEAP, scalar=_sign_scalar, numpy=_sign, exact=True, vjp=lambda g, y, x: (zeros_like(g),),
                   grad_name="SignBackward0", doc="-1, 0 or 1; 0 for nan", sample=uniform(WIDE, dtypes=ALL))
nonzero = elementwise("nonzero(x)", numpy=lambda x: (x != 0).astype(x.dtype), exact=True, vjp=lambda g, y, x: (None,),
                      scalar=lambda dtype: f"where({{x}} == {literal(0, dtype)}, {literal(0, dtype)}, {literal(1, dtype)})",
                      grad_name="NonzeroBackward0", sample=uniform(WIDE, order=0),
                      doc="1 where x is not 0, else 0; it requires a gradient and passes none")
square = elementwise("square(x)", cost=CHEAP, nonnegative=True, scalar="{x} * {x}", numpy=lambda x: x * x, exact=True,
                     vjp=lambda g, y, x: (g * (2 * x),), grad_name="PowBackward0", doc="x * x",
                     sample=uniform(WIDE, dtypes=NUMBERS))
squared_deviation = elementwise("squared_deviation(x, mean)", cost=CHEAP, scalar="({x} - {mean}) * ({x} - {mean})", exact=True,
                                numpy=lambda x, mean: np.square(x - mean), vjp=lambda g, y, x, mean: (g * (2 * (x - mean)), None),
                                grad_name="PowBackward0", sample=uniform(WIDE, WIDE, order=1),
                                doc="(x - mean) ** 2, of which the sum over all x depends on their mean with derivative 0")
reciprocal = elementwise("reciprocal(x)", cost=MODERATE, scalar=lambda dtype: f"{literal(1, dtype)} / {{x}}",
                         numpy=lambda x: 1 / x,
                         vjp=lambda g, y, x: (-g * (y * y),), grad_name="ReciprocalBackward0", doc="1 / x", exact=True,
                         sample=uniform(POSITIVE))
sqrt = elementwise("sqrt(x)", cost=MODERATE, scalar="sqrt({x})", numpy=np.sqrt, exact=True, vjp=lambda g, y, x: (g / (2 * y),),
                   grad_name="SqrtBackward0", doc="square root; derivative inf at 0", sample=uniform(POSITIVE))
rsqrt = elementwise("rsqrt(x)", scalar="rsqrt({x})", numpy=lambda x: 1 / np.sqrt(x),
                    vjp=lambda g, y, x: (-0.5 * g * (y * y * y),), grad_name="RsqrtBackward0", doc="1 / sqrt(x)",
                    sample=uniform(POSITIVE))


floor_divide = elementwise("floor_divide(a, b)", scalar="floordiv({a}, {b})", numpy=np.floor_divide, exact=True,
                           vjp=lambda g, y, a, b: (zeros_like(g), zeros_like(g)), grad_name="DivBackward2",
                           doc="floor(a / b)", sample=uniform(WIDE, (1.1, 3), dtypes=NUMBERS))
trunc_divide = elementwise("trunc_divide(a, b)", exact=True, vjp=lambda g, y, a, b: (zeros_like(g), zeros_like(g)),
                           scalar=_truncated_quotient,
                           numpy=lambda a, b: np.trunc(a / b) if a.dtype.kind == "f" else (a - np.fmod(a, b)) // b,
                           grad_name="DivBackward2", doc="trunc(a / b)", sample=uniform(WIDE, (1.1, 3), dtypes=NUMBERS))
remainder = elementwise("remainder(a, b)", scalar="remainder({a}, {b})", numpy=np.remainder, exact=True,
                        vjp=lambda g, y, a, b: (g, -g * floor_divide(a, b)), grad_name="RemainderBackward1",
                        doc="a - b * floor(a / b): the sign of b",
                        sample=uniform((2.1, 2.9), (1, 1.04), dtypes=NUMBERS))
fmod = elementwise("fmod(a, b)", scalar=by_category("fmod({a}, {b})", "ifmod({a}, {b})"), numpy=np.fmod, exact=True,
                   vjp=lambda g, y, a, b: (g, -g * trunc_divide(a, b)), grad_name="FmodBackward1",
                   doc="a - b * trunc(a / b): the sign of a", sample=uniform((2.1, 2.9), (1, 1.04), dtypes=NUMBERS))
copysign = elementwise("copysign(a, b)", cost=CHEAP, scalar="copysign({a}, {b})", numpy=np.copysign, exact=True,
                       vjp=lambda g, y, a, b: (g * where(eq(a, 0), number(0, g), y / a), zeros_like(g)),
                       grad_name="CopysignBackward0", doc="|a| with the sign of b; derivative 0 at a = 0",
                       sample=uniform(WIDE, WIDE))


# -- three operands --------------------------------------------------------------------------------------------------

def _lerp_scalar(dtype: dtype) -> str:
    half, one = literal(0.5, dtype), literal(1, dtype)
    return (f"where(fabs({{weight}}) < {half}, {{a}} + {{weight}} * ({{b}} - {{a}}), "
            f"{{b}} - ({{b}} - {{a}}) * ({one} - {{weight}}))")


lerp = elementwise("lerp(a, b, weight)", scalar=_lerp_scalar, grad_name="LerpBackward1",
                   numpy=lambda a, b, weight: np.where(np.abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - weight)),
                   vjp=lambda g, y, a, b, weight: (g * (1 - weight), g * weight, g * (b - a)),
                   doc="a + weight * (b - a), exact at weight 0 and 1", sample=uniform(WIDE, WIDE, WIDE))
addcdiv = elementwise("addcdiv(x, a, b, value)", scalar="{x} + {value} * ({a} / {b})", grad_name="AddcdivBackward0",
                      numpy=lambda x, a, b, value: x + value * (a / b), doc="x + value * a / b, floating",
                      vjp=lambda g, y, x, a, b, value: (g, g * (value / b), -g * (value * a / (b * b)), g * (a / b)),
                      sample=uniform(WIDE, WIDE, POSITIVE, WIDE))


# -- rounding --------------------------------------------------------------------------------------------------------

def _rounding(name: str, doc: str, function: Any, scalar: str, grad_name: str) -> Any:
    return elementwise(f"{name}(x)", scalar=by_category(scalar, "{x}"), numpy=_unless_integer(function), exact=True,
                       vjp=lambda g, y, x: (zeros_like(g),), grad_name=grad_name, doc=doc,
                       cost=CHEAP, sample=uniform(WIDE, dtypes=NUMBERS))


floor = _rounding("floor", "the largest integer not above x", np.floor, "floor({x})", "FloorBackward0")
ceil = _rounding("ceil", "the smallest integer not below x", np.ceil, "ceil({x})", "CeilBackward0")
trunc = _rounding("trunc", "x without its fraction", np.trunc, "trunc({x})", "TruncBackward0")
round = _rounding("round", "the nearest integer, half to even", np.rint, "rint({x})", "RoundBackward0")
frac = elementwise("frac(x)", cost=CHEAP, scalar="{x} - trunc({x})", numpy=lambda x: x - np.trunc(x), vjp=lambda g, y, x: (g,),
                   exact=True, grad_name="FracBackward0", doc="x - trunc(x)", sample=uniform((0.1, 0.9)))


# -- selection -------------------------------------------------------------------------------------------------------

def _maximum_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    zero, half = number(0, g), where(eq(a, b), g / 2, g)
    return where(lt(a, b), zero, half), where(lt(b, a), zero, half)


def _minimum_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    zero, half = number(0, g), where(eq(a, b), g / 2, g)
    return where(lt(b, a), zero, half), where(lt(a, b), zero, half)


def _choice(g: Node, first: Node) -> tuple[Node, Node]:
    """The gradient to the first operand where `first`, to the second elsewhere."""
    zero = number(0, g)
    return where(first, g, zero), where(first, zero, g)


# NumPy and the kernels give the second operand where the two are equal, PyTorch the first: hence they are exchanged
# here, and x comes last in relu and the clamps.  It shows in the sign of zeros.
maximum = elementwise("maximum(a, b)", cost=CHEAP, scalar=by_category("maximum({b}, {a})", "maximum({b}, {a})", "bor({a}, {b})"),
                      numpy=lambda a, b: np.maximum(b, a), exact=True, vjp=_maximum_vjp, grad_name="MaximumBackward0",
                      doc="the larger, nan if either is; a tie gives half of the gradient to each",
                      sample=uniform(WIDE, WIDE, dtypes=ALL))
minimum = elementwise("minimum(a, b)", cost=CHEAP, scalar=by_category("minimum({b}, {a})", "minimum({b}, {a})", "band({a}, {b})"),
                      numpy=lambda a, b: np.minimum(b, a), exact=True, vjp=_minimum_vjp, grad_name="MinimumBackward0",
                      doc="the smaller, nan if either is; a tie gives half of the gradient to each",
                      sample=uniform(WIDE, WIDE, dtypes=ALL))
fmax = elementwise("fmax(a, b)", cost=CHEAP, scalar="fmax({a}, {b})", numpy=np.fmax, exact=True,
                   vjp=lambda g, y, a, b: _choice(g, logical_or(ge(a, b), isnan(b))), grad_name="FmaxBackward0",
                   doc="the larger, nan if both are; a tie gives the gradient to a", sample=uniform(WIDE, WIDE))
fmin = elementwise("fmin(a, b)", cost=CHEAP, scalar="fmin({a}, {b})", numpy=np.fmin, exact=True,
                   vjp=lambda g, y, a, b: _choice(g, logical_or(le(a, b), isnan(b))), grad_name="FminBackward0",
                   doc="the smaller, nan if both are; a tie gives the gradient to a", sample=uniform(WIDE, WIDE))


def _clamp_vjp(g: Node, y: Node, x: Node, lo: Node, hi: Node) -> tuple[Node, Node, Node]:
    zero = number(0, g)
    return (where(logical_and(ge(x, lo), le(x, hi)), g, zero), where(logical_and(lt(x, lo), lt(lo, hi)), g, zero),
            where(logical_or(gt(x, hi), lt(hi, lo)), g, zero))


clamp = elementwise("clamp(x, lo, hi)", cost=CHEAP, scalar="minimum({hi}, maximum({lo}, {x}))", exact=True, vjp=_clamp_vjp,
                    numpy=lambda x, lo, hi: np.minimum(hi, np.maximum(lo, x)), grad_name="ClampBackward1",
                    doc="min(max(x, lo), hi); the gradient goes to x from lo to hi, both included",
                    sample=uniform(WIDE, (-2, -1), (1, 2), dtypes=NUMBERS))
clamp_min = elementwise("clamp_min(x, lo)", cost=CHEAP, scalar="maximum({lo}, {x})", exact=True,
                        numpy=lambda x, lo: np.maximum(lo, x),
                        vjp=lambda g, y, x, lo: (where(ge(x, lo), g, number(0, g)), where(lt(x, lo), g, number(0, g))),
                        grad_name="ClampMinBackward0", doc="max(x, lo); the gradient goes to x where x >= lo",
                        sample=uniform(WIDE, WIDE, dtypes=NUMBERS))
clamp_max = elementwise("clamp_max(x, hi)", cost=CHEAP, scalar="minimum({hi}, {x})", exact=True,
                        numpy=lambda x, hi: np.minimum(hi, x),
                        vjp=lambda g, y, x, hi: (where(le(x, hi), g, number(0, g)), where(gt(x, hi), g, number(0, g))),
                        grad_name="ClampMaxBackward0", doc="min(x, hi); the gradient goes to x where x <= hi",
                        sample=uniform(WIDE, WIDE, dtypes=NUMBERS))


def _where_out(c: ArrayType, a: ArrayType, b: ArrayType) -> dtype:
    if c.dtype is not bool_:
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{c.dtype.title}")
    if a.dtype is not b.dtype:
        raise InternalError(f"where: operands of {a!r} and {b!r} were not promoted")
    return a.dtype


where = elementwise("where(c, a, b)", role="selection", cost=CHEAP, scalar="where({c}, {a}, {b})", numpy=np.where, exact=True,
                    out=_where_out,
                    vjp=lambda g, y, c, a, b: (None, *_choice(g, c)), grad_name="WhereBackward0",
                    doc="a where c, b elsewhere; what is not chosen gets gradient 0, whatever its value",
                    sample=uniform(BOOL, WIDE, WIDE, dtypes=ALL))
relu = elementwise("relu(x)", cost=CHEAP, scalar=lambda dtype: f"maximum({literal(0, dtype)}, {{x}})", exact=True,
                   numpy=lambda x: np.maximum(x.dtype.type(0), x), grad_name="ReluBackward0",
                   vjp=lambda g, y, x: (constant_in(where(le(y, 0), number(0, g), g), y),), doc="max(x, 0); derivative 0 at 0",
                   sample=uniform(WIDE, dtypes=NUMBERS))


def _leaky_relu_vjp(g: Node, y: Node, x: Node, slope: Node) -> tuple[Node, Node]:
    positive = gt(x, 0)
    return constant_in(where(positive, g, g * slope), x), where(positive, number(0, g), g * x)


leaky_relu = elementwise("leaky_relu(x, slope)", cost=CHEAP, exact=True, vjp=_leaky_relu_vjp, grad_name="LeakyReluBackward0",
                         scalar=lambda dtype: f"where({{x}} > {literal(0, dtype)}, {{x}}, {{x}} * {{slope}})",
                         numpy=lambda x, slope: np.where(x > 0, x, x * slope), doc="x where x > 0, else slope * x",
                         sample=uniform(WIDE, (0.1, 0.5)))


def _nan_to_num_scalar(dtype: dtype) -> str:
    if dtype.category < 2:
        return "{x}"
    inf, low = literal(np.inf, dtype), literal(-np.inf, dtype)
    return f"where(isnan({{x}}), {{nan}}, where({{x}} == {inf}, {{posinf}}, where({{x}} == {low}, {{neginf}}, {{x}})))"


def _nan_to_num(x: np.ndarray, nan: np.ndarray, posinf: np.ndarray, neginf: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), nan, np.where(x == np.inf, posinf, np.where(x == -np.inf, neginf, x)))


nan_to_num = elementwise("nan_to_num(x, nan, posinf, neginf)", scalar=_nan_to_num_scalar, numpy=_nan_to_num, exact=True,
                         vjp=lambda g, y, x, nan, posinf, neginf: (g * cast(isfinite(x), dtype=g.type.dtype), None,
                                                                   None, None),
                         grad_name="NanToNumBackward0", doc="x with nan, inf and -inf replaced by the other operands",
                         sample=uniform(WIDE, WIDE, WIDE, WIDE, dtypes=NUMBERS, order=0))
heaviside = elementwise("heaviside(x, value)", cost=CHEAP, exact=True,
                        scalar=lambda dtype: f"where({{x}} == {literal(0, dtype)}, {{value}}, where({{x}} > "
                                             f"{literal(0, dtype)}, {literal(1, dtype)}, {literal(0, dtype)}))",
                        numpy=lambda x, value: np.where(x == 0, value, x > 0), doc="0 below 0, value at 0, 1 above",
                        vjp=lambda g, y, x, value: (zeros_like(g), zeros_like(g)), grad_name="HeavisideBackward0",
                        sample=uniform(WIDE, WIDE, dtypes=NUMBERS, order=0))


# -- conversion and copies -------------------------------------------------------------------------------------------

def _cast_vjp(g: Node, y: Node, x: Node, *, dtype: dtype) -> tuple[Node | None]:
    return (cast(g, dtype=x.type.dtype) if x.type.dtype.category == 2 else None,)


cast = elementwise("cast(x, *, dtype)", role="conversion", cost=CHEAP, scalar=lambda operand, *, dtype: f"to_{dtype.code}({{x}})",
                   numpy=lambda x, *, dtype: x.astype(dtype.np), out=lambda x, *, dtype: dtype, vjp=_cast_vjp,
                   exact=True, grad_name="ToCopyBackward0", doc="x as another dtype; numbers other than 0 are true",
                   sample=uniform(WIDE, dtypes=ALL, order=2, params=[{"dtype": d} for d in DTYPES]))
copy = elementwise("copy(x)", role="identity", cost=CHEAP, scalar="{x}", numpy=lambda x: x, vjp=lambda g, y, x: (g,), exact=True,
                   grad_name="CloneBackward0", doc="x, as an array of its own", sample=uniform(WIDE, dtypes=ALL))



def _piece_vjp(g: Node, y: Node, x: Node, *, backward: str | None) -> tuple[Node]:
    g = constant_in(g, x)
    return (g if backward is None else undefined(g, name=backward),)


piece = elementwise("piece(x, *, backward)", role="identity", scalar="{x}", numpy=lambda x, *, backward: x, vjp=_piece_vjp,
                    exact=True,
                    grad_name="PieceBackward0", sample=uniform(WIDE, dtypes=NUMBERS, params=[{"backward": None}]),
                    doc="x, for what is made of linear pieces: a derivative that is constant in x, and has itself none if "
                        "`backward` names it")


def _refuse(g: Node, y: Node, x: Node, *, name: str) -> tuple[Node]:
    written = y.extra is not None and y.extra.in_place
    raise RuntimeError(f"derivative for aten::{name}{'_' if written else ''} is not implemented")


undefined = elementwise("undefined(x, *, name)", role="identity", scalar="{x}", numpy=lambda x, *, name: x, vjp=_refuse,
                        exact=True,
                        grad_name="NotImplemented", doc="x, the result of what has no derivative: taking it raises",
                        sample=uniform(WIDE, dtypes=INTEGERS, order=0, params=[{"name": "floor_divide"}]))


# -- comparison and logic --------------------------------------------------------------------------------------------

def _comparison(name: str, symbol: str, function: Any) -> Any:
    return elementwise(f"{name}(a, b)", scalar=f"{{a}} {symbol} {{b}}", numpy=function, out="bool", exact=True,
                       doc=f"a {symbol} b, elementwise", cost=CHEAP, sample=uniform(WIDE, WIDE, dtypes=ALL, order=0))


def _of_bools(name: str, scalar: str, function: Any, doc: str) -> Any:
    names = "(x)" if "{x}" in scalar else "(a, b)"
    return elementwise(name + names, scalar=scalar, numpy=function, out="bool", exact=True, doc=doc,
                       cost=CHEAP, sample=uniform(*[BOOL] * len(names.split(",")), dtypes=("b1",), order=0))


def _test(name: str, function: Any, of_integers: bool, doc: str) -> Any:
    constant = literal(of_integers, bool_)
    return elementwise(f"{name}(x)", scalar=by_category(f"{name}({{x}})", constant), numpy=function, out="bool",
                       doc=doc, exact=True, cost=CHEAP, sample=uniform(WIDE, dtypes=ALL, order=0))


eq = _comparison("eq", "==", np.equal)
ne = _comparison("ne", "!=", np.not_equal)
lt = _comparison("lt", "<", np.less)
le = _comparison("le", "<=", np.less_equal)
gt = _comparison("gt", ">", np.greater)
ge = _comparison("ge", ">=", np.greater_equal)
isnan = _test("isnan", np.isnan, False, "whether x is nan")
isinf = _test("isinf", np.isinf, False, "whether x is inf or -inf")
isfinite = _test("isfinite", np.isfinite, True, "whether x is neither nan nor infinite")
logical_and = _of_bools("logical_and", "land({a}, {b})", np.logical_and, "a and b, of bools")
logical_or = _of_bools("logical_or", "lor({a}, {b})", np.logical_or, "a or b, of bools")
logical_xor = _of_bools("logical_xor", "lxor({a}, {b})", np.logical_xor, "a or b but not both, of bools")
logical_not = _of_bools("logical_not", "lnot({x})", np.logical_not, "not x, of a bool")

_BITS = (*INTEGERS, "b1")
bitwise_and = elementwise("bitwise_and(a, b)", cost=CHEAP, scalar="band({a}, {b})", numpy=np.bitwise_and, exact=True,
                          doc="a & b of integers or bools", sample=uniform(WIDE, WIDE, dtypes=_BITS, order=0))
bitwise_or = elementwise("bitwise_or(a, b)", cost=CHEAP, scalar="bor({a}, {b})", numpy=np.bitwise_or, exact=True,
                         doc="a | b of integers or bools", sample=uniform(WIDE, WIDE, dtypes=_BITS, order=0))
bitwise_xor = elementwise("bitwise_xor(a, b)", cost=CHEAP, scalar="bxor({a}, {b})", numpy=np.bitwise_xor, exact=True,
                          doc="a ^ b of integers or bools", sample=uniform(WIDE, WIDE, dtypes=_BITS, order=0))
bitwise_not = elementwise("bitwise_not(x)", cost=CHEAP, scalar=by_category("", "bnot({x})", "lnot({x})"), numpy=np.bitwise_not,
                          exact=True, doc="~x of integers or bools", sample=uniform(WIDE, dtypes=_BITS, order=0))


def _shift(in_range: str, beyond: str) -> Any:
    """The scalar expression of a shift, which by less than 0 or all bits leaves nothing of the number but its sign."""
    def scalar(dtype: dtype) -> str:
        zero, bits = literal(0, dtype), literal(8 * dtype.itemsize, dtype)
        last = literal(8 * dtype.itemsize - 1, dtype)
        inside = f"land({{b}} >= {zero}, {{b}} < {bits})"
        return f"where({inside}, {in_range}, {beyond.format(a='{a}', zero=zero, last=last)})"

    return scalar


bitwise_left_shift = elementwise("bitwise_left_shift(a, b)", cost=CHEAP, scalar=_shift("shl({a}, {b})", "{zero}"), numpy=np.left_shift,
                                 exact=True, doc="a << b of integers; 0 where b is no position of a bit",
                                 sample=uniform(WIDE, WIDE, dtypes=INTEGERS, order=0))
bitwise_right_shift = elementwise("bitwise_right_shift(a, b)", cost=CHEAP, scalar=_shift("shr({a}, {b})", "shr({a}, {last})"),
                                  numpy=np.right_shift, exact=True, doc="a >> b of integers; the sign where b is no position of a bit",
                                  sample=uniform(WIDE, WIDE, dtypes=INTEGERS, order=0))
