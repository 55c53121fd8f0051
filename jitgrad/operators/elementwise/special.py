"""Operators of analysis beside the usual ones: xlogy, erfinv, sinc, polygamma; and what is a line of others."""
from __future__ import annotations

import math

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, binary, declare, finish, function, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.operands import Scalar, cast, number_node, promoted
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import float64, get_default_dtype

BOTH = ("torch", "method")
EVERYWHERE = ("torch", "method", "special")
_R = ops.REGISTRY

binary(_R["xlogy"], floating=True, places=EVERYWHERE, numbers="one")


def _float(x: Node) -> Node:
    return x if x.type.dtype.category == 2 else cast(x, get_default_dtype())


def _erfinv(input: Node) -> Node:
    """The inverse of erf, element by element."""
    return ops.erfinv(_float(input))


declare("erfinv", _erfinv, lambda result, args, kwargs: finish(result), places=EVERYWHERE, inplace=True, out=CAST)


@operator("Logaddexp2Backward0", out=CAST)
def logaddexp2(input: Node, other: Node) -> Node:
    """log2(2 ** input + 2 ** other), without overflow."""
    a, b = promoted("logaddexp2", input, other, floating=True)
    ln2 = number_node(math.log(2), a.type.dtype)
    return ops.logaddexp(a * ln2, b * ln2) / ln2


@operator("SincBackward0", inplace=True, places=EVERYWHERE, saves=("input",), out=CAST)
def sinc(input: Node) -> Node:
    """sin(pi x) / (pi x), 1 at 0."""
    x = _float(input)
    at_zero = ops.eq(x, 0)
    z = ops.where(at_zero, ops.number(1, x), x) * math.pi
    return ops.where(at_zero, ops.number(1, x), ops.sin(z) / z)


def _scaled(called: str, factor: float, doc: str) -> None:
    def fn(input: Node) -> Node:
        x = _float(input)
        return x * number_node(factor, x.type.dtype)

    fn.__doc__ = doc
    operator(f"{called.capitalize()}Backward0", name=called, inplace=True, saves=(), out=CAST)(fn)


_scaled("deg2rad", math.pi / 180, "Degrees as radians.")
_scaled("rad2deg", 180 / math.pi, "Radians as degrees.")


@function(places=BOTH, inplace=True, out=EXACT)
def float_power(input: Tensor | Scalar, exponent: Tensor | Scalar) -> Tensor:
    """input ** exponent, in float64."""
    base, power = [v.to(float64) if isinstance(v, Tensor) else float(v) for v in (input, exponent)]
    return OPERATORS["pow"].call(base, power)


@function(places=BOTH, inplace=True, out=CAST)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other."""
    return input * OPERATORS["pow"].call(2.0, other)


@operator("PolygammaBackward0", inplace=False, places=(), name="polygamma.of", saves=("input",))
def _polygamma(n: int, input: Node) -> Node:
    x = _float(input)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return ops.polygamma(x, n=n) if n else ops.digamma(x)


@function(places=("torch", "special"), out=CAST)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    return _polygamma(n, input)


@function(places=BOTH, inplace=True, out=CAST)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got {p}")
    parts = [OPERATORS["lgamma"].call(input - 0.5 * i) for i in range(p)]
    return OPERATORS["stack"].call(parts).sum(0) + p * (p - 1) / 4 * math.log(math.pi)


# -- tests of elements -------------------------------------------------------------------------------------------------

@operator(out=EXACT)
def signbit(input: Node) -> Node:
    """Whether the sign bit is set: of -0.0, too."""
    if input.type.dtype.category < 2:
        return ops.lt(input, 0) if input.type.dtype.category else ops.logical_and(input, ops.logical_not(input))
    return ops.lt(ops.copysign(ops.number(1, input), input), 0)


@operator(out=EXACT)
def isposinf(input: Node) -> Node:
    """Whether an element is inf."""
    return ops.logical_and(ops.isinf(input), ops.gt(_float(input), 0))


@operator(out=EXACT)
def isneginf(input: Node) -> Node:
    """Whether an element is -inf."""
    return ops.logical_and(ops.isinf(input), ops.lt(_float(input), 0))


@operator()
def isreal(input: Node) -> Node:
    """true for all elements: there are no complex numbers."""
    return ops.logical_or(ops.isnan(input), ops.logical_not(ops.isnan(input)))


def _itself(called: str, places: tuple[str, ...] = BOTH) -> None:
    def fn(input: Tensor) -> Tensor:
        return input

    fn.__doc__ = "The tensor itself: there are no complex numbers."
    function(name=called, places=places, kind=None)(fn)


for _name in ("real", "conj", "resolve_conj", "resolve_neg"):
    _itself(_name, ("torch",) if _name == "real" else BOTH)


@operator("ConjBackward0", inplace=True, out=EXACT)
def conj_physical(input: Node) -> Node:
    """A copy of the tensor: there are no complex numbers."""
    return ops.copy(input)


@operator("AngleBackward0", out=CAST)
def angle(input: Node) -> Node:
    """0 for positive numbers, pi for negative ones, nan for nan; its derivative is 0."""
    x = _float(input)
    pi = number_node(math.pi, x.type.dtype)
    result = ops.where(ops.isnan(x), x, ops.where(ops.lt(x, 0), pi, ops.number(0, x)))
    return ops.constant_in(ops.detach(result), x) if x.requires_grad else result


# -- torch.special under its names -------------------------------------------------------------------------------------

@function(places=("special",), out=CAST)
def xlog1py(input: Tensor, other: Tensor) -> Tensor:
    """input * log1p(other), 0 where input is 0."""
    at_zero = (input == 0) & ~OPERATORS["isnan"].call(other)
    return OPERATORS["where"].call(at_zero, 0.0, input * OPERATORS["log1p"].call(OPERATORS["where"].call(at_zero, 0.0, other)))


@function(places=("special",), out=CAST)
def entr(input: Tensor) -> Tensor:
    """-input * log(input), 0 at 0, -inf below."""
    value = -OPERATORS["xlogy"].call(input, OPERATORS["clamp"].call(input, min=0))
    return OPERATORS["where"].call(input < 0, -math.inf, value)


@function(places=("special",), out=CAST)
def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal."""
    return 0.5 * OPERATORS["erfc"].call(input * -math.sqrt(0.5))


@function(places=("special",), out=CAST)
def ndtri(input: Tensor) -> Tensor:
    """The quantiles of the standard normal."""
    return math.sqrt(2) * OPERATORS["erfinv"].call(2 * input - 1)


# Names that torch.special has for operators of torch.
SPECIAL = {"digamma": "digamma", "psi": "digamma", "gammaln": "lgamma", "erf": "erf", "erfc": "erfc", "expit": "sigmoid",
           "exp2": "exp2",
           "expm1": "expm1", "log1p": "log1p", "logit": "logit", "round": "round", "logsumexp": "logsumexp", "multigammaln": "mvlgamma",
           "softmax": "softmax", "log_softmax": "log_softmax"}
