"""pow with an exponent known at run time, and rsqrt.

pow is exp(y * log|x|), where the logarithm and the product are sums of two floats.

x = 2**k * (1 + f), s = f / (2 + f), log(1 + f) = s * (2 + s**2 * (2/3 + s**2 * Q(s**2))), each step with its rounding error
(the error-free product by fused multiply-add and the sum of T. J. Dekker, A floating-point technique for extending the
available precision, Numer. Math. 18, 1971).  The logarithm's relative error is near 2**-64 (2**-33), which its product of up
to 745 (104) with y needs.
"""
from __future__ import annotations

import math

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.exponential import exp_of_sum
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, polynomial
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.logarithm import LN2, split

Pair = tuple[IRValue, IRValue]

# Q, for z = s**2 up to 0.0295 (minimax, of the error times z**2: 2**-35.8, 2**-64.7).
_SERIES = Both(f4=(0.40000152587890625, 0.2854708731174469, 0.23419757187366486),
               f8=(0.4000000000000227, 0.28571428570091856, 0.22222222521358714, 0.18181784236718415, 0.15386763544359913,
                   0.13256668572006033, 0.13197752412975272))
# 2/3 as a sum.
_TWO_THIRDS = Both(f4=(0.6666666865348816, -1.9868214925130207e-08), f8=(0.6666666666666666, 3.700743415417188e-17))


def _sum(a: IRValue, b: IRValue) -> Pair:
    """a + b and its rounding error, for |a| >= |b| or a = 0."""
    total = a + b
    return total, b - (total - a)


def _product(a: IRValue, b: IRValue) -> Pair:
    """a * b and its rounding error."""
    product = a * b
    return product, fma(a, b, -product)


def _log(x: IRValue) -> Pair:
    """The logarithm of positive x as a sum; its first part is right at 0 and at infinity too."""
    minus, f = split(x)
    denominator, lost = _sum(f.const(2.0), f)
    inverse = 1.0 / denominator
    s = f * inverse
    s_low = (fma(-s, denominator, f) - s * lost) * inverse
    z, z_low = _product(s, s)
    z_low = fma(2.0 * s, s_low, z_low)
    first, first_low = _TWO_THIRDS.of(x)
    p, p_low = _sum(x.const(first), z * polynomial(z, _SERIES.of(x)))
    p_low = p_low + first_low
    m, m_low = _product(z, p)
    m_low = m_low + fma(z, p_low, z_low * p)
    a, a_low = _sum(x.const(2.0), m)
    a_low = a_low + m_low
    high, low = _product(s, a)
    low = low + fma(s, a_low, s_low * a)
    ln2, ln2_low = LN2.of(x)
    total, lost = _sum(minus * -ln2, high)
    total = select(x.eq(0.0), x.const(-math.inf), select(x.eq(math.inf), x, total))
    return total, lost + fma(minus, -ln2_low, low)


def pow(x: IRValue, y: IRValue) -> IRValue:
    """C99's pow.  A nan with an exponent other than 0, or as the exponent of anything but 1, gives nan."""
    magnitude = fabs(x)
    log, log_low = _log(magnitude)
    log, log_low = _sum(log, log_low)
    log_low = select(fabs(log) < math.inf, log_low, 0.0)
    high, low = _product(y, log)
    low = fma(y, log_low, low)
    # Beyond the range of exp only the sign of the product counts; a logarithm of 0 makes it 0, for an infinite y too.
    low = select(fabs(high) < 1000.0, low, 0.0)
    one = magnitude.eq(1.0)
    result = exp_of_sum(select(one, 0.0, high), select(one, 0.0, low))
    whole = intrinsic("rint", y).eq(y)
    half = 0.5 * y
    odd = whole & intrinsic("rint", half).ne(half)
    result = select(odd, intrinsic("copysign", result, x), result)
    undefined = ~whole & (x < 0.0) & (x > -math.inf)
    result = select(undefined | x.isnan() | y.isnan(), math.nan, result)
    return select(y.eq(0.0) | x.eq(1.0), 1.0, result)


def rsqrt(x: IRValue) -> IRValue:
    """1 / sqrt(x): two roundings."""
    return 1.0 / intrinsic("sqrt", x)
