"""Elementwise primitives of analysis: powers of e, logarithms, trigonometric, hyperbolic, error and gamma functions."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.graph.recording import const
from jitgrad.ops import reference
from jitgrad.ops.declare import CHEAP, elementwise, library, literal
from jitgrad.ops.elementwise import POSITIVE, WIDE, cast, clamp_min, eq, ge, gt, le, logical_and, reciprocal, rsqrt, square, where
from jitgrad.ops.movement import number, zeros_like
from jitgrad.ops.samples import FLOATS, NUMBERS, Case, Sample, custom, draw, structured, uniform
from jitgrad.types.dtype import dtype, float64

LN2 = math.log(2)
LN10 = math.log(10)
UNIT = (-0.9, 0.9)
POSITIVE_AXIS = (0.2, 4.0)
_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _unary(name: str, function: Any, vjp: Any, domain: tuple[float, float], doc: str, *, scalar: Any = None,
           grad_name: str | None = None, nonnegative: bool = False) -> Any:
    """An op of one operand that has its own name in the kernel vocabulary and in PyTorch's grad_fn."""
    return elementwise(f"{name}(x)", scalar=scalar or f"{name}({{x}})", numpy=function, vjp=vjp, doc=doc,
                       grad_name=grad_name or f"{name.capitalize()}Backward0", sample=uniform(domain), nonnegative=nonnegative)


# -- exponentials and logarithms -------------------------------------------------------------------------------------

exp = _unary("exp", np.exp, lambda g, y, x: (g * y,), WIDE, "e ** x", nonnegative=True)
exp2 = _unary("exp2", np.exp2, lambda g, y, x: (g * (y * LN2),), WIDE, "2 ** x", nonnegative=True)
expm1 = _unary("expm1", np.expm1, lambda g, y, x: (g * (y + 1),), WIDE, "e ** x - 1, accurate near 0")
log = _unary("log", np.log, lambda g, y, x: (g / x,), POSITIVE, "natural logarithm")
log2 = _unary("log2", np.log2, lambda g, y, x: (g / (x * LN2),), POSITIVE, "logarithm to base 2")
log10 = _unary("log10", np.log10, lambda g, y, x: (g / (x * LN10),), POSITIVE, "logarithm to base 10")
log1p = _unary("log1p", np.log1p, lambda g, y, x: (g / (x + 1),), (-0.5, 3), "log(1 + x), accurate near 0",
               grad_name="Log1PBackward0")


def _int_pow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integer power; a negative exponent gives the truncated reciprocal, 0 where |a| != 1."""
    inverse = np.where(np.abs(a) == 1, np.where(b % 2 == 0, 1, a), 0)
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0)))


def _pow_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    zero = number(0, g)
    to_base = where(eq(b, 0), zero, g * (b * pow(a, b - 1)))
    to_exponent = g * where(logical_and(eq(a, 0), ge(b, 0)), zero, y * log(a))
    return to_base, to_exponent


def _pow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f":
        return _int_pow(a, b)
    y, half = np.power(a, b), b == 0.5
    # NumPy may take the square root, which differs at -inf and -0.
    return np.where(half, np.where(a == -np.inf, np.inf, np.abs(y)), y) if half.any() else y


pow = elementwise("pow(a, b)", scalar="pow({a}, {b})", vjp=_pow_vjp, grad_name="PowBackward1", numpy=_pow,
                  doc="a ** b; derivative to a is 0 where b = 0, to b is 0 where a = 0 and b >= 0",
                  sample=uniform(POSITIVE, WIDE, dtypes=NUMBERS))


# Powers with a number, which differ from the above in what PyTorch takes for roots: at -0 and -inf.

_STATIC: dict[float, tuple[str, Any]] = {
    0: ("", np.ones_like), 1: ("{x}", lambda x: x), 2: ("{x} * {x}", lambda x: x * x),
    3: ("{x} * {x} * {x}", lambda x: x * x * x),
    0.5: ("sqrt({x})", np.sqrt), -0.5: ("rsqrt({x})", lambda x: 1 / np.sqrt(x))}


def _power_vjp(g: Node, y: Node, x: Node, *, n: float) -> tuple[Node]:
    if n == 0:
        return (zeros_like(g),)
    if n == -0.5:
        return (g * monomial(const(n, float64), const(n - 1, float64), x),)
    return (g * (n * power(x, n=n - 1)),)


power = elementwise("power(x, *, n)", role="power", cost=CHEAP, scalar=lambda dtype, *, n: _STATIC[n][0] or literal(1, dtype),
                    exact=True, vjp=_power_vjp,
                    numpy=lambda x, *, n: _STATIC[n][1](x), grad_name="PowBackward0",
                    doc="x ** n, n part of the formula: 0 to 3, of any dtype, 0.5 or -0.5",
                    sample=uniform(POSITIVE, dtypes=NUMBERS, params=[{"n": n} for n in range(4)]))


# Other numbers are float64, and so is what derivatives make of them, which is rounded once.

def _monomial_vjp(g: Node, y: Node, coefficient: Node, exponent: Node, x: Node) -> tuple[None, None, Node]:
    return None, None, g * monomial(coefficient * exponent, exponent - 1, x)


def raised(exponent: Node, x: Node) -> Node:
    """x ** exponent, a number in float64."""
    return monomial(const(1, float64), exponent, x)


def _exponential_vjp(g: Node, y: Node, base: Node, x: Node) -> tuple[None, Node]:
    slope = y * cast(log(base), dtype=x.type.dtype)
    return None, g * where(logical_and(eq(base, 0), ge(x, 0)), number(0, g), slope)


def _rounded(name: str, dtype: dtype) -> str:
    return f"{{{name}}}" if dtype.code == "f8" else f"to_{dtype.code}({{{name}}})"


def _monomial_scalar(dtype: dtype) -> str:
    coefficient, exponent = _rounded("coefficient", dtype), _rounded("exponent", dtype)
    zero, one, nan = [literal(v, dtype) for v in (0, 1, math.nan)]
    root = f"fabs({exponent}) == {literal(0.5, dtype)}"
    sign = f"where({{x}} < {zero}, {nan}, where({{x}} == {zero}, copysign({one}, {{x}}), {one}))"
    return (f"where({coefficient} == {zero}, {zero}, {coefficient} * (pow({{x}}, {exponent}) * where({root}, {sign}, {one})))")


def _monomial(coefficient: np.ndarray, exponent: np.ndarray, x: np.ndarray) -> np.ndarray:
    if coefficient == 0:
        return np.zeros_like(x)
    roots = {0.5: np.sqrt, -0.5: lambda x: 1 / np.sqrt(x)}
    root = roots.get(exponent.item())
    return coefficient.astype(x.dtype) * (_pow(x, exponent.astype(x.dtype)) if root is None else root(x))


def _numbered(low: float, high: float, *numbers: tuple[float, ...]) -> Sample:
    return custom(lambda rng, dtype: [Case((*map(np.array, given), draw(rng, shape, dtype, low, high)))
                                      for given in numbers for shape in ((), (3,), (0, 2))], FLOATS, order=1)


monomial = elementwise("monomial(coefficient, exponent, x)", out=lambda coefficient, exponent, x: x.dtype, vjp=_monomial_vjp,
                       grad_name="PowBackward0", scalar=_monomial_scalar, numpy=_monomial,
                       doc="coefficient * x ** exponent, numbers in float64; 0 everywhere where the coefficient is 0",
                       sample=_numbered(0.5, 3, (0.0, 1.0), (1.0, 0.0), (2.0, -1.5), (1.0, 4.0), (1.0, 0.5), (-1.0, -0.5)))
exponential = elementwise("exponential(base, x)", out=lambda base, x: x.dtype, vjp=_exponential_vjp, grad_name="PowBackward2",
                          scalar=lambda dtype: f"pow({_rounded('base', dtype)}, {{x}})",
                          numpy=lambda base, x: np.power(base.astype(x.dtype), x),
                          doc="base ** x, the base a number in float64", sample=_numbered(-3, 3, (0.5,), (1.0,), (3.0,)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softplus_scalar(dtype: dtype) -> str:
    return f"maximum({{x}}, {literal(0, dtype)}) + log1p(exp(-fabs({{x}})))"


def _logaddexp_scalar(dtype: dtype) -> str:
    return (f"where({{a}} == {{b}}, {{a}} + {literal(LN2, dtype)}, "
            "maximum({a}, {b}) + log1p(exp(-fabs({a} - {b}))))")


def _logit_slope(g: Node, x: Node, low: Any, high: Any, outside: float) -> Node:
    return where(logical_and(ge(x, low), le(x, high)), g / (x * (1 - x)), number(outside, g))


logit = _unary("logit", lambda x: np.log(x) - np.log1p(-x), lambda g, y, x: (_logit_slope(g, x, 0, 1, math.nan),), (0.1, 0.9),
               "log(x / (1 - x)); derivative nan outside of [0, 1]", scalar="log({x}) - log1p(-{x})")
clamped_logit = elementwise("clamped_logit(x, low, high)", grad_name="LogitBackward0",
                            scalar="log(minimum({high}, maximum({low}, {x}))) - log1p(-minimum({high}, maximum({low}, {x})))",
                            numpy=lambda x, low, high: logit.numpy(np.minimum(high, np.maximum(low, x))),
                            vjp=lambda g, y, x, low, high: (_logit_slope(g, x, low, high, 0), None, None),
                            doc="logit of x clamped to [low, high]; derivative 0 outside",
                            sample=uniform((0.3, 0.7), (0.1, 0.2), (0.8, 0.9), order=1))
sigmoid = _unary("sigmoid", _sigmoid, lambda g, y, x: (g * ((1 - y) * y),), WIDE, "1 / (1 + e ** -x)",
                 nonnegative=True)
softplus = _unary("softplus", lambda x: np.logaddexp(x.dtype.type(0), x), lambda g, y, x: (g * sigmoid(x),), WIDE,
                  "log(1 + e ** x), without overflow", scalar=_softplus_scalar)
logaddexp = elementwise("logaddexp(a, b)", scalar=_logaddexp_scalar, numpy=np.logaddexp, grad_name="LogaddexpBackward0",
                        vjp=lambda g, y, a, b: (g / (1 + exp(b - a)), g / (1 + exp(a - b))),
                        doc="log(e ** a + e ** b), without overflow", sample=uniform(WIDE, WIDE))


# -- exponential linear units ----------------------------------------------------------------------------------------

def _elu_scalar(dtype: dtype) -> str:
    zero = literal(0, dtype)
    return f"where({{x}} > {zero}, {{scale}} * {{x}}, {{factor}} * expm1({{rate}} * minimum({zero}, {{x}})))"


def _elu(x: np.ndarray, scale: np.ndarray, factor: np.ndarray, rate: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, scale * x, factor * np.expm1(rate * np.minimum(x.dtype.type(0), x)))


def _elu_vjp(g: Node, y: Node, x: Node, scale: Node, factor: Node, rate: Node, slope: Node) -> tuple[Node | None, ...]:
    below = where(ge(x, 0), number(0, x), x)        # so that the second derivative at 0 is 0, and at nan nan
    return where(gt(x, 0), g * scale, g * (slope * exp(rate * below))), None, None, None, None


elu = elementwise("elu(x, scale, factor, rate, slope)", scalar=_elu_scalar, numpy=_elu, vjp=_elu_vjp, grad_name="EluBackward0",
                  doc="scale * x where x > 0, factor * (e ** (rate * x) - 1) elsewhere, of which `slope` = factor * rate is the "
                      "derivative at 0",
                  sample=custom(lambda rng, dtype: [
                      Case((draw(rng, shape, dtype, -3, 3), *[np.array(v, dtype.np) for v in (1.5, 2, 0.5, 1)]))
                      for shape in ((), (7,), (0, 2))], FLOATS, order=1))


# -- cross-entropy of a probability ----------------------------------------------------------------------------------

_LEAST = float(np.float32(1e-12))        # PyTorch's constant is a float


def _cross_entropy_scalar(dtype: dtype) -> str:
    one, low = literal(1, dtype), literal(-100, dtype)
    return f"({{t}} - {one}) * maximum({low}, log1p(-{{p}})) - {{t}} * maximum({low}, log({{p}}))"


def _cross_entropy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    low = p.dtype.type(-100)
    return (t - 1) * np.maximum(low, np.log1p(-p)) - t * np.maximum(low, np.log(p))


binary_cross_entropy = elementwise("binary_cross_entropy(p, t)", scalar=_cross_entropy_scalar, numpy=_cross_entropy,
                            vjp=lambda g, y, p, t: (g * (p - t) / clamp_min((1 - p) * p, number(_LEAST, g)),
                                                    g * (log1p(-p) - log(p))),
                            grad_name="BinaryCrossEntropyBackward0", sample=uniform((0.2, 0.8), (0.1, 0.9)),
                            doc="-(t log(p) + (1 - t) log(1 - p)), the logarithms at least -100; the derivative to p as if p (1 - p) "
                                "were at least 1e-12")


# -- trigonometric and hyperbolic ------------------------------------------------------------------------------------

sin = _unary("sin", np.sin, lambda g, y, x: (g * cos(x),), WIDE, "sine, of radians")
cos = _unary("cos", np.cos, lambda g, y, x: (-g * sin(x),), WIDE, "cosine, of radians")
tan = _unary("tan", np.tan, lambda g, y, x: (g * (1 + y * y),), (-1, 1), "tangent, of radians")
asin = _unary("asin", np.arcsin, lambda g, y, x: (g * rsqrt(1 - x * x),), UNIT, "inverse sine; derivative inf at -1, 1")
acos = _unary("acos", np.arccos, lambda g, y, x: (-g * rsqrt(1 - x * x),), UNIT,
              "inverse cosine; derivative -inf at -1, 1")
atan = _unary("atan", np.arctan, lambda g, y, x: (g / (x * x + 1),), WIDE, "inverse tangent")
sinh = _unary("sinh", np.sinh, lambda g, y, x: (g * cosh(x),), WIDE, "hyperbolic sine")
cosh = _unary("cosh", np.cosh, lambda g, y, x: (g * sinh(x),), WIDE, "hyperbolic cosine")
tanh = _unary("tanh", np.tanh, lambda g, y, x: (g * (1 - y * y),), WIDE, "hyperbolic tangent")
asinh = _unary("asinh", np.arcsinh, lambda g, y, x: (g * rsqrt(x * x + 1),), WIDE, "inverse hyperbolic sine")
acosh = _unary("acosh", np.arccosh, lambda g, y, x: (g * rsqrt(x * x - 1),), (1.2, 4),
               "inverse hyperbolic cosine; derivative inf at 1")
atanh = _unary("atanh", np.arctanh, lambda g, y, x: (g / (1 - x * x),), UNIT,
               "inverse hyperbolic tangent; derivative inf at -1, 1")


def _atan2_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    norm = a * a + b * b
    scale = where(eq(norm, 0), number(0, g), reciprocal(norm))
    return g * (b * scale), g * (-a * scale)


def _hypot_scalar(dtype: dtype) -> str:
    zero, one, inf = literal(0, dtype), literal(1, dtype), literal(math.inf, dtype)
    big, small = "maximum(fabs({a}), fabs({b}))", "minimum(fabs({a}), fabs({b}))"
    ratio = f"({small} / {big})"
    return (f"where(lor(isinf({{a}}), isinf({{b}})), {inf}, "
            f"where({big} == {zero}, {zero}, {big} * sqrt({one} + {ratio} * {ratio})))")


atan2 = elementwise("atan2(a, b)", scalar="atan2({a}, {b})", numpy=np.arctan2, vjp=_atan2_vjp,
                    grad_name="Atan2Backward0", doc="the angle of the point (b, a); derivative 0 at the origin",
                    sample=uniform(WIDE, POSITIVE))
hypot = elementwise("hypot(a, b)", scalar=_hypot_scalar, numpy=np.hypot,
                    vjp=lambda g, y, a, b: (g * (a / y), g * (b / y)), grad_name="HypotBackward0",
                    doc="sqrt(a * a + b * b), without overflow; derivative nan at the origin",
                    sample=uniform(POSITIVE, WIDE))


# -- error and gamma functions ---------------------------------------------------------------------------------------

erf = _unary("erf", reference.erf, lambda g, y, x: (g * (_TWO_OVER_ROOT_PI * exp(-square(x))),), WIDE, "error function")
erfc = _unary("erfc", reference.erfc, lambda g, y, x: (g * (-_TWO_OVER_ROOT_PI * exp(-square(x))),), WIDE,
              "1 - erf(x), accurate for large x")
lgamma = _unary("lgamma", reference.lgamma, lambda g, y, x: (g * digamma(x),), POSITIVE_AXIS, "log |gamma(x)|")
digamma = _unary("digamma", lambda x: reference.polygamma(0, x), lambda g, y, x: (g * polygamma(x, n=1),),
                 POSITIVE_AXIS, "derivative of lgamma; -inf at 0, nan at the other poles")
polygamma = library("polygamma(x, *, n)", infer=lambda x, *, n: x, numpy=lambda x, *, n: reference.polygamma(n, x),
                    vjp=lambda g, y, x, *, n: (g * polygamma(x, n=n + 1),), dims="donor:0",
                    grad_name="PolygammaBackward0", doc="the n-th derivative of digamma, n >= 1",
                    sample=structured((((3,),), {"n": 1}), (((2, 3),), {"n": 2}), (((),), {"n": 3}),
                                      (((0,),), {"n": 1}), dtypes=FLOATS, low=0.5, high=4))
erfinv = library("erfinv(x)", infer=lambda x: x, numpy=reference.erfinv, dims="donor:0", grad_name="ErfinvBackward0",
                 vjp=lambda g, y, x: (g * (1 / _TWO_OVER_ROOT_PI * exp(square(y))),), doc="the inverse of erf",
                 sample=structured((((3,),), {}), (((2, 3),), {}), (((),), {}), (((0,),), {}), dtypes=FLOATS, low=-0.9, high=0.9))


def _xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(x == 0, np.where(np.isnan(y), y, x.dtype.type(0)), x * np.log(y))


xlogy = elementwise("xlogy(x, y)", numpy=_xlogy, grad_name="XlogyBackward0",
                    scalar=lambda dtype: f"where({{x}} == {literal(0, dtype)}, where(isnan({{y}}), {{y}}, {literal(0, dtype)}), "
                    "{x} * log({y}))",
                    vjp=lambda g, y, a, b: (where(logical_and(eq(a, 0), le(b, 0)), number(0, g), xlogy(g, b)), g * a / b),
                    doc="x * log(y), 0 where x is 0 (unless y is nan)", sample=uniform(POSITIVE_AXIS, POSITIVE_AXIS))
