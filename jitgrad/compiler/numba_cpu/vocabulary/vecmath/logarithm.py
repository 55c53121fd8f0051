"""log, log2, log10, log1p, and the inverse hyperbolic functions made of them.

Method: x = 2**k * (1 + f) with 1 + f from sqrt(1/2) to sqrt(2).  float64: log(1 + f) = 2 artanh(s) with s = f / (2 + f), whose
series is corrected by f**2 / 2 so that f itself carries the rounding (the arrangement of Tang, ACM TOMS 16, 1990, and of
its successors); float32: a polynomial in f, which saves the division.
"""
from __future__ import annotations

import math

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, format_of, polynomial

# ln 2 in two pieces: the product of the first with any exponent is exact.
LN2 = Both(f4=(float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cf79abcap-20")),
            f8=(float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")))
# float64: (log((1+s) / (1-s)) - 2*s) / s**3, in s**2; float32: (log(1+f) - f + f**2/2) / f**3 (minimax).
_LOG = Both(f4=(0.33333310446729514, -0.2499998657542796, 0.20002226228245124, -0.16669251773361893, 0.14218665518471005,
                -0.12384337227957376, 0.11872916396220416, -0.11789848164516262, 0.06915539724428416),
            f8=(0.6666666666666735, 0.39999999999412894, 0.285714287428236, 0.2222219852471421, 0.18183567027316042,
                0.15313977017586305, 0.14796727815868932))
# log10(2) in two pieces, likewise.
_LOG10_2 = Both(f4=(0.30103302001953125, -3.024355464731343e-06), f8=(0.3010299956640665, -8.532344317057107e-14))

_LARGE = Both(f4=2.0**14, f8=2.0**28)       # beyond, x**2 + 1 is x**2 after rounding


def _exponent(x: IRValue) -> IRValue:
    """k, in the place of an exponent's bits and without bias, for positive normal x."""
    form = format_of(x)
    offset = form.bits(1.0) - form.bits(math.sqrt(0.5))
    exponents = (1 << (x.bits().type.width - 1)) - (1 << form.mantissa)
    return ((x.bits() + offset) & exponents) - form.bits(1.0)


def _minus_exponent(k: IRValue, x: IRValue) -> IRValue:
    """-k as a float of the type of x.  It is +0 for 0: then (-k) * (-ln 2) + -0 is -0."""
    form = format_of(x)
    scale = 2.0**form.mantissa
    biased = (k + form.bits(1.0)) >> form.mantissa
    return (scale + form.bias) - (biased | form.bits(scale)).as_float()


def _log(f: IRValue, low: IRValue) -> IRValue:
    """log(1 + f) + low, where `low` is small beside it or is part of a sum with something large."""
    square = f * f
    if f.is_f4:
        return f + fma(square, fma(f, polynomial(f, _LOG.of(f)), -0.5), low)
    half = 0.5 * square
    s = f / (2.0 + f)
    z = s * s
    return f - (half - fma(s, fma(z, polynomial(z, _LOG.of(f)), half), low))


def _with_edges(x: IRValue, pole: float, y: IRValue) -> IRValue:
    """y; -inf at the pole, nan below, inf at inf."""
    y = select(x < math.inf, y, x)
    return select(x <= pole, select(x.eq(pole), x.const(-math.inf), math.nan), y)


def split(x: IRValue) -> tuple[IRValue, IRValue]:
    """-k and f, for positive x."""
    form = format_of(x)
    subnormal = x < form.smallest
    lift = form.mantissa + 2
    x = select(subnormal, x * 2.0**lift, x)
    k = _exponent(x)
    minus = _minus_exponent(k, x)
    return select(subnormal, minus + float(lift), minus), (x.bits() - k).as_float() - 1.0


def log(x: IRValue) -> IRValue:
    minus, f = split(x)
    high, low = LN2.of(x)
    return _with_edges(x, 0.0, fma(minus, -high, _log(f, minus * -low)))


def log2(x: IRValue) -> IRValue:
    minus, f = split(x)
    return _with_edges(x, 0.0, fma(_log(f, x.const(0.0)), 1 / math.log(2), -minus))


def log10(x: IRValue) -> IRValue:
    minus, f = split(x)
    high, low = _LOG10_2.of(x)
    return _with_edges(x, 0.0, fma(minus, -high, fma(_log(f, x.const(0.0)), math.log10(math.e), minus * -low)))


def log1p_inside(x: IRValue) -> IRValue:
    """log(1 + x) for finite x > -1.

    The scaled fraction is 2**-k * x + (2**-k - 1), rounded once and exact for k = 0, so that nothing of a small x is lost
    (1 + x serves to find k alone)."""
    form = format_of(x)
    k = _exponent(1.0 + x)
    minus = _minus_exponent(k, x)
    double_power = (form.bits(2.0) - k).as_float()      # 2**(1-k), as 2**-k may be subnormal
    f = (x.bits() - k).as_float() - fma(double_power, -0.5, 1.0)
    high, low = LN2.of(x)
    return fma(minus, -high, _log(f, minus * -low))


def log1p(x: IRValue) -> IRValue:
    return _with_edges(x, -1.0, log1p_inside(x))


def asinh(x: IRValue) -> IRValue:
    """log(|x| + sqrt(x**2 + 1)), with the sign of x."""
    a = fabs(x)
    large = a > _LARGE.of(x)
    inner = select(large, 1.0, a)
    square = inner * inner
    t = inner + square / (1.0 + intrinsic("sqrt", 1.0 + square))
    result = log1p(select(large, a - 1.0, t)) + select(large, x.const(math.log(2)), 0.0)
    return intrinsic("copysign", result, x)


def acosh(x: IRValue) -> IRValue:
    """log(x + sqrt(x**2 - 1)); nan below 1."""
    large = x > _LARGE.of(x)
    t = select(large, 1.0, x) - 1.0
    y = t + intrinsic("sqrt", t * (t + 2.0))
    result = log1p(select(large, x - 1.0, y)) + select(large, x.const(math.log(2)), 0.0)
    return select(x < 1.0, math.nan, result)


def atanh(x: IRValue) -> IRValue:
    """log((1 + x) / (1 - x)) / 2."""
    a = fabs(x)
    return intrinsic("copysign", 0.5 * log1p((a + a) / (1.0 - a)), x)
