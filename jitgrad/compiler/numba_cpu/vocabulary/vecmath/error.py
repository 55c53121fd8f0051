"""erf and erfc.

erfc(x) for x >= 0 as P(t) * exp(-x**2) / (1 + 2x) with t = (x - k) / (x + k), which maps [0, inf) to [-1, 1) (M. M. Shepherd and
J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x**2) erfc x in 0 <= x < inf, Math. Comp. 36, 1981); x**2 is taken
in two pieces.  erf(x) by a polynomial up to 1 and as 1 - exp(-Q(x - 1)) above; below 1/2
erfc is 1 - erf.
"""
from __future__ import annotations

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.exponential import exp_moderate, exp_of_sum
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, polynomial

# erf(x) / x - 1 in x**2, |x| <= 1 (minimax: 2**-25.9, 2**-54.9).
_ERF = Both(f4=(0.12837916612625122, -0.3761262893676758, 0.11283604800701141, -0.0268546175211668, 0.005189826246351004,
                -0.0008023187983781099, 7.896386523498222e-05),
            f8=(0.12837916709551256, -0.3761263890318355, 0.11283791670945252, -0.026866170643276056, 0.0052239776074224946,
                -0.0008548325989663323, 0.000120552953198177, -1.492474465563391e-05, 1.6447517639512486e-06,
                -1.6209175996683016e-07, 1.3722978065719944e-08, -7.801194572888797e-10))
# -log(erfc(1 + u)), 1 + u from 1 to the end (minimax, of the error times erfc: 2**-26.9, 2**-54.8).
_TAIL = Both(f4=(1.8496055603027344, 2.638967514038086, 0.8431071043014526, 0.041563481092453, -0.010046451352536678,
                 0.0020119654946029186, -0.000289527524728328, 2.1686686523025855e-05),
             f8=(1.8496055099332485, 2.6389675142347255, 0.8431072563621669, 0.04156109796706201, -0.01003382455404715,
                 0.0019778972404031116, -0.00023730019465544183, -2.6341299184849676e-05, 2.7286434909239416e-05,
                 -9.793594714388927e-06, 2.256282601773114e-06, -2.973565670502803e-07, -7.816315152576366e-09,
                 1.383013302941129e-08, -3.1983155070954486e-09, 3.625836826736095e-10, -1.7401484724552575e-11))
_END = Both(f4=4.0, f8=5.93)                 # from here on, erf is 1 after rounding
# (1 + 2x) exp(x**2) erfc(x) in t = (x - k) / (x + k), for x from 0.49 to the end of erfc (minimax: 2**-26.7, 2**-54.4).
_CENTRE = Both(f4=2.0, f8=3.5)              # k: the one whose coefficients round best
_ERFC = Both(f4=(1.2769783735275269, -0.09276387095451355, -0.1660294085741043, 0.16405296325683594, -0.05423964187502861,
                 -0.008049601688981056, 0.00886068120598793, 0.0013129319995641708, -0.0018558234442025423,
                 -0.00043324215221218765, 0.000611224037129432),
             f8=(1.2423492448711544, -0.14000918013762031, -0.010555596332221492, 0.09751909515337058, -0.11508959815999355,
                 0.08798315382069664, -0.048823325832630764, 0.019099331013610915, -0.004215019850985958,
                 -0.0003022685464433385, 0.0005643840284797702, -0.00012150864037337518, -4.2780617086343355e-05,
                 2.4247534169153568e-05, 2.324183893218402e-06, -3.784402804029495e-06, -3.7884706191707e-08,
                 5.590209458173324e-07, -1.3336636993908714e-08, -6.142903062480265e-08, 2.5254014026928687e-09))
_ERFC_END = Both(f4=10.1, f8=27.3)          # from here on, erfc is 0 after rounding


def _small_erf(x: IRValue) -> IRValue:
    return fma(x, polynomial(x * x, _ERF.of(x)), x)


def erf(x: IRValue) -> IRValue:
    a = fabs(x)
    small = _small_erf(a)
    end = _END.of(x)
    tail = exp_moderate(-polynomial(select(a > end, end, a) - 1.0, _TAIL.of(x)))
    return intrinsic("copysign", select(a < 1.0, small, 1.0 - tail), x)


def erfc(x: IRValue) -> IRValue:
    magnitude = fabs(x)
    end, k = _ERFC_END.of(x), _CENTRE.of(x)
    a = select(magnitude > end, end, magnitude)
    t = (a - k) / (a + k)
    square = a * a
    lost = fma(a, a, -square)
    p = polynomial(t, _ERFC.of(x))
    # p / (1 + 2a), and what the rounding of both operations loses.
    denominator = fma(a, 2.0, 1.0)
    inverse = 1.0 / denominator
    quotient = p * inverse
    rest = fma(-quotient, denominator, p) - quotient * (2.0 * a - (denominator - 1.0))
    e = exp_of_sum(-square, -lost)
    y = fma(e, quotient, e * (rest * inverse))
    y = select(x < 0.0, 2.0 - y, y)
    # Near 0 the error of t would count most.
    return select(magnitude < 0.5, 1.0 - _small_erf(x), y)
