"""erf and erfc.

erfc(x) for x >= 0 as P(t) * exp(-x**2) / (1 + 2x) with t = (x - k) / (x + k), which maps [0, inf) to [-1, 1) (M. M. Shepherd and
J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x**2) erfc x in 0 <= x < inf, Math. Comp. 36, 1981); x**2 is taken
in two pieces.  erf(x) by a polynomial up to 1 and as 1 - exp(-Q(x - 1)) above; below 1/2
erfc is 1 - erf.
"""
from __future__ import annotations

from jitgrad.compiler.irvalue import Value, fma, intrinsic, select
from jitgrad.compiler.vecmath.exponential import exp, exp_moderate
from jitgrad.compiler.vecmath.format import Both, fabs, polynomial

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
# (1 + 2x) exp(x**2) erfc(x) in t = (x - k) / (x + k), for x up to the end of erfc (minimax: 2**-24.1, 2**-52.8 after rounding).
_ERFC = Both(f4=(1.2530080080032349, -0.13562114536762238, -0.04756239429116249, 0.1296463906764984, -0.11927104741334915,
                 0.068295918405056, -0.02379719726741314, 0.0025671168696135283, 0.002001217333599925,
                 -0.0007775995181873441, -0.00026795032317750156),
             f8=(1.2375126308378275, -0.14024059858554672, 0.003585415485462417, 0.08227673849011473, -0.10880393014163935,
                 0.09230432116147212, -0.05869339859183656, 0.02836227740079413, -0.00974657953714717, 0.0017556260198812333,
                 0.0002937135665834069, -0.0002901550113760422, 5.164928261406523e-05, 2.238752237523959e-05,
                 -1.144381879462955e-05, -9.80958187915454e-07, 1.7491781730876754e-06, -4.681635353330455e-08,
                 -2.532256852585154e-07, 1.4784791732763136e-08, 3.2800289415289235e-08, -4.243844140232032e-10,
                 -2.252266450652307e-09))
_CENTRE = Both(f4=3.0, f8=3.75)             # k
_ERFC_END = Both(f4=10.1, f8=27.3)          # from here on, erfc is 0 after rounding


def _small_erf(x: Value) -> Value:
    return fma(x, polynomial(x * x, _ERF.of(x)), x)


def erf(x: Value) -> Value:
    a = fabs(x)
    small = _small_erf(a)
    end = _END.of(x)
    tail = exp_moderate(-polynomial(select(a > end, end, a) - 1.0, _TAIL.of(x)))
    return intrinsic("copysign", select(a < 1.0, small, 1.0 - tail), x)


def erfc(x: Value) -> Value:
    magnitude = fabs(x)
    end, k = _ERFC_END.of(x), _CENTRE.of(x)
    a = select(magnitude > end, end, magnitude)
    t = (a - k) / (a + k)
    square = a * a
    lost = fma(a, a, -square)
    y = exp(-square) * (polynomial(t, _ERFC.of(x)) / fma(a, 2.0, 1.0))
    y = fma(-lost, y, y)
    y = select(x < 0.0, 2.0 - y, y)
    # Near 0 the error of t would count most.
    return select(magnitude < 0.5, 1.0 - _small_erf(x), y)
