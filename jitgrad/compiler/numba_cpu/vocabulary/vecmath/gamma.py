"""lgamma and digamma: absolute error near their zeros, relative error elsewhere.

Below 8 a recurrence leads to an interval with a polynomial (lgamma, 1.5 to 2.5) or up to the asymptotic series (digamma,
10); negative arguments are reflected (M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 6.1.17, 6.1.40, 6.3.5,
6.3.7, 6.3.18).
"""
from __future__ import annotations

import math

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, polynomial
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.logarithm import log
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.trigonometric import sin_of_turn, tan_of_turn

# lgamma(2 + u) / u for |u| <= 1/2 (minimax: 2**-25.3, 2**-56.9).
_LGAMMA = Both(f4=(0.42278432846069336, 0.32246699929237366, -0.0673532709479332, 0.020582029595971107, -0.007366343401372433,
                   0.002875639358535409, -0.0013127722777426243, 0.0005776335601694882),
               f8=(0.42278433509846713, 0.32246703342411326, -0.0673523010531956, 0.020580808427777212, -0.007385551028937953,
                   0.002890510331211711, -0.001192753900921076, 0.0005096695109506451, -0.0002231549786789814,
                   9.945773303087594e-05, -4.4923717167845404e-05, 2.0505140965023235e-05, -9.456337747562334e-06,
                   4.386641819808173e-06, -1.9741893061112544e-06, 9.156246971588612e-07, -5.81249337878743e-07,
                   2.829081930081886e-07))
# x * (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) in 1 / x**2, x >= 8 (minimax: 2**-28.5, 2**-54.5).
_STIRLING = Both(f4=(0.0833333358168602, -0.002777698915451765, 0.0007800557650625706),
                 f8=(0.0833333333333333, -0.0027777777776097847, 0.00079365066678444, -0.0005952029256566773,
                     0.0008373076816838399, -0.0016532216687245623))
# B(2k) / 2k, k = 1 ... 8 (Abramowitz and Stegun 6.3.18).
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _lgamma_of_positive(x: IRValue) -> IRValue:
    large = x >= 8.0
    r, product = x, x.const(1.0)
    for _ in range(6):
        above = r >= 2.5
        r = select(above, r - 1.0, r)
        product = select(above, product * r, product)
    small, smaller = x < 1.5, x < 0.5
    product = select(small, select(smaller, fma(x, x, x), x), product)
    logarithm = log(select(large, x, product))
    u = select(large, 0.0, select(small, select(smaller, x, x - 1.0), r - 2.0))      # exact, so that x near 1 keeps its bits
    near = fma(u, polynomial(u, _LGAMMA.of(x)), select(small, -logarithm, logarithm))
    inverse = 1.0 / x
    rest = fma(inverse, polynomial(inverse * inverse, _STIRLING.of(x)), 0.5 * math.log(2 * math.pi) - 0.5)
    return select(large, fma(x - 0.5, logarithm - 1.0, rest), near)


def lgamma(x: IRValue) -> IRValue:
    """log|Gamma(x)|; infinite at zero, at the negative integers and at both infinities."""
    negative = x < 0.0
    f = fabs(x - intrinsic("rint", x))
    result = _lgamma_of_positive(select(negative, 1.0 - x, x))
    # Below 2**-60 the sine is pi * f, and a subnormal one would round.
    tiny = f < 2.0**-60
    sine = log(select(tiny, f, sin_of_turn(f)))
    result = select(negative, (select(tiny, x.const(0.0), math.log(math.pi)) - sine) - result, result)
    return select(fabs(x).eq(math.inf), math.inf, result)


def digamma(x: IRValue) -> IRValue:
    """The derivative of lgamma; nan at the negative integers, minus infinity at 0, infinity at -0, as in PyTorch."""
    low = x < 0.5
    t = select(low, 1.0 - x, x)
    # From 0.5, ten steps: the sum of 1 / t as long as t is below 10, as one fraction.
    numerator, denominator = x.const(0.0), x.const(1.0)
    for _ in range(10):
        small = t < 10.0
        numerator = select(small, fma(numerator, t, denominator), numerator)
        denominator = select(small, denominator * t, denominator)
        t = select(small, t + 1.0, t)
    inverse = 1.0 / t
    z = inverse * inverse
    result = log(t) - (fma(z, polynomial(z, _DIGAMMA), 0.5 * inverse) + numerator / denominator)
    # digamma(1 - x) - digamma(x) = pi / tan(pi x); the tangent's period is 1, so only the fraction of x matters.
    fraction = x - intrinsic("rint", x)
    reflected = result - math.pi / tan_of_turn(fraction)
    at_integer = select(x.eq(0.0), intrinsic("copysign", x.const(-math.inf), -x), x.const(math.nan))
    return select(low, select(fraction.eq(0.0), at_integer, reflected), result)
