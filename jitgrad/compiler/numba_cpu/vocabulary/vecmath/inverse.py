"""asin, acos, atan, atan2.

asin(x) for |x| <= 1/2 by a polynomial, above as pi/2 - 2 asin(sqrt((1 - |x|) / 2)).  atan(y / x) by one division: the ratio
minus 0, pi/4 or pi/2, whichever leaves |t| <= tan(pi/8) (both reductions: J.-M. Muller, Elementary Functions, chapter
on range reduction).  The constants are in two pieces, and the small one joins the small term.
"""
from __future__ import annotations

import math

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, flipped, polynomial, sign_bit

_PI_2 = Both(f4=(1.57079637050628662109375, -4.37113882867379e-08), f8=(1.5707963267948966, 6.123233995736766e-17))
# (asin(t) - t) / t**3 in t**2, t <= 1/2 (minimax, of the error times t**2: 2**-27.6, 2**-55.9).
_ASIN = Both(f4=(0.16666753590106964, 0.07495252043008804, 0.04547606036067009, 0.024151917546987534, 0.04221227392554283),
             f8=(0.16666666666665383, 0.075000000003429, 0.04464285682363418, 0.030381959323512096, 0.022371753741201986,
                 0.017359767399941575, 0.013884638636645153, 0.012172995648829761, 0.006512154679941479,
                 0.01957016647499032, -0.016287958155708968, 0.03195462320086636))
# (atan(t) - t) / t**3 in t**2, t <= tan(pi/8) (likewise: 2**-30.5, 2**-59.3).
_ATAN = Both(f4=(-0.33333316445350647, 0.1999853104352951, -0.1424446403980255, 0.10599725693464279, -0.06091396138072014),
             f8=(-0.333333333333332, 0.1999999999995377, -0.1428571428021247, 0.11111110784166064, -0.0909089777574509,
                 0.07692060496045626, -0.06663106794375012, 0.05847905937833571, -0.05039364402426371,
                 0.03806568908634745, -0.017908021025547713))
# Beyond the first the sum of two numbers might be infinite; by the second pairs below 1 are scaled up.
_ATAN2_LARGE = Both(f4=2.0**126, f8=2.0**1022)
_ATAN2_LIFT = Both(f4=2.0**40, f8=2.0**120)


def _asin_parts(x: IRValue) -> tuple[IRValue, IRValue, IRValue]:
    """Whether |x| <= 1/2, t and asin(t) - t, for t = |x| or sqrt((1 - |x|) / 2)."""
    a = fabs(x)
    small = a <= 0.5
    half = 0.5 - 0.5 * a
    z = select(small, a * a, half)
    t = select(small, a, intrinsic("sqrt", half))
    return small, t, t * z * polynomial(z, _ASIN.of(x))


def asin(x: IRValue) -> IRValue:
    small, t, rest = _asin_parts(x)
    high, low = _PI_2.of(x)
    return flipped(select(small, t + rest, high - (2.0 * t + (2.0 * rest - low))), sign_bit(x))


def acos(x: IRValue) -> IRValue:
    """pi/2 - asin(x) for |x| <= 1/2; above, 2 asin(t), or pi minus that for a negative x."""
    small, t, rest = _asin_parts(x)
    high, low = _PI_2.of(x)
    sign = sign_bit(x)
    near = high - (flipped(t, sign) + (flipped(rest, sign) - low))
    far = 2.0 * (t + rest)
    return select(small, near, select(x < 0.0, 2.0 * high - (far - 2.0 * low), far))


def _atan_of_ratio(y: IRValue, x: IRValue) -> IRValue:
    """atan(y / x) for y, x >= 0, not both 0 or infinite."""
    flat = y <= x * 0.41421356237309503
    steep = x < y * 0.41421356237309503
    t = select(flat, y, select(steep, -x, y - x)) / select(flat, x, select(steep, y, x + y))
    high, low = _PI_2.of(x)
    base = select(flat, x.const(0.0), select(steep, x.const(high), 0.5 * high))
    rest = select(flat, x.const(0.0), select(steep, x.const(low), 0.5 * low))
    z = t * t
    return base + (fma(t * z, polynomial(z, _ATAN.of(x)), rest) + t)


def atan(x: IRValue) -> IRValue:
    a = fabs(x)
    result = _atan_of_ratio(a, x.const(1.0))
    return flipped(result, sign_bit(x))


def atan2(y: IRValue, x: IRValue) -> IRValue:
    """The angle of the point (x, y), with C99's values at zeros and infinities.

    A large pair is scaled down, so that x + y stays finite, and a small one up, so that t is not rounded twice."""
    b, a = fabs(y), fabs(x)
    high, low = _PI_2.of(x)
    greater = select(b > a, b, a)
    scale = select(greater > _ATAN2_LARGE.of(x), x.const(0.25), select(greater < 1.0, x.const(_ATAN2_LIFT.of(x)), 1.0))
    both_infinite = b.eq(math.inf) & a.eq(math.inf)
    both_zero = greater.eq(0.0)
    b = select(both_infinite, 1.0, b * scale)
    a = select(both_infinite | both_zero, 1.0, a * scale)
    angle = _atan_of_ratio(b, a)
    left = sign_bit(x).ne(0)
    angle = select(left, 2.0 * high - (angle - 2.0 * low), angle)
    # A nan keeps itself: comparisons with it chose finite operands.
    angle = select(x.isnan(), x, select(y.isnan(), y, angle))
    return flipped(angle, sign_bit(y))

