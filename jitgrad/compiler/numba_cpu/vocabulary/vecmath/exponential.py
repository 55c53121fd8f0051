"""exp, exp2, expm1 and what is made of them: the hyperbolic functions and the logistic ones.

Method: x = n * ln 2 + r with |r| <= ln(2) / 2 and ln 2 in two pieces (W. J. Cody and W. Waite, Software Manual for the
Elementary Functions, 1980), a minimax polynomial for exp(r), and 2**n by its bit pattern.  n comes out of the lowest bits of
x / ln 2 + 1.5 * 2**mantissa, since AVX2 has no conversion to 64-bit integers; the bias of the exponent is in that constant.
"""
from __future__ import annotations

import math

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, clamp, fabs, format_of, polynomial
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.logarithm import LN2, log1p_inside

# (exp(r) - 1 - r) / r**2 for |r| <= 0.3466 (minimax; of the error times sqrt(r**2 + 0.002): 2**-25.9, 2**-55.4).
_EXP = Both(f4=(0.5, 0.16666534543037415, 0.04166661575436592, 0.008367846719920635, 0.0013916882453486323),
            f8=(0.5000000000000004, 0.16666666666666732, 0.04166666666658062, 0.008333333333271006, 0.0013888888931085034,
                0.00019841270026817697, 2.480150527271822e-05, 2.755709172514828e-06, 2.7626196533749297e-07,
                2.516549612171752e-08))
# (2**r - 1) / r for |r| <= 1/2 (likewise: 2**-28.9, 2**-56.0).
_EXP2 = Both(f4=(0.6931471824645996, 0.24022650718688965, 0.05550403892993927, 0.009617995470762253, 0.0013339283177629113,
                 0.00015479396097362041, 1.3951793334854301e-05),
             f8=(0.6931471805599453, 0.24022650695910136, 0.05550410866482225, 0.009618129107592141, 0.0013333558146238318,
                 0.00015403530459916833, 1.5252734017607086e-05, 1.3215433773838468e-06, 1.0177978625713638e-07,
                 7.074056789144321e-09, 4.468317933139453e-10))
# (sinh(x) - x) / x**3 in x**2, |x| <= 1 (minimax, of the error times x**2: 2**-25.2, 2**-61.7).
_SINH = Both(f4=(0.166667178273201, 0.008330223150551319, 0.00020376623433548957),
             f8=(0.16666666666666669, 0.008333333333332915, 0.00019841269841589217, 2.7557319108508984e-06,
                 2.505213066868724e-08, 1.6056687929553657e-10, 7.775656228016674e-13))
# Beyond these, exp is 0 or infinite after rounding; its logarithm to base 2 likewise.
_EXP_RANGE = Both(f4=(-105.0, 89.0), f8=(-746.0, 710.0))
_EXP2_RANGE = Both(f4=(-151.0, 128.0), f8=(-1076.0, 1024.0))
_EXPM1_FLOOR = Both(f4=-20.0, f8=-40.0)     # below, expm1 is -1 after rounding
_HALF_EXP_END = Both(f4=89.5, f8=710.5)     # exp(x) / 2 is infinite from here on
_TANH_END = Both(f4=10.0, f8=20.0)          # above, tanh is 1 after rounding


def _power_of_two(shifted: IRValue) -> IRValue:
    """2**n, of a float with n + bias in its lowest bits; n must be that of a normal number."""
    return (shifted.bits() << format_of(shifted).mantissa).as_float()


def _scaled(y: IRValue, x: IRValue, shifted: IRValue, per_unit: float) -> IRValue:
    """(1 + y) * 2**n for n = round(x * per_unit), in two factors, so that extreme results, subnormal ones too, round once.

    `shifted` has n + 2 * bias in its lowest bits."""
    f = format_of(x)
    half = fma(x, per_unit / 2, _magic(x, f.bias))
    other = (shifted.bits() - half.bits()) << f.mantissa
    first = _power_of_two(half)
    return fma(y, first, first) * other.as_float()


def _magic(x: IRValue, offset: int) -> float:
    return 1.5 * 2.0**format_of(x).mantissa + offset


def _reduce(x: IRValue, offset: int, more: IRValue | None = None) -> tuple[IRValue, IRValue]:
    """n + offset in the lowest bits of a float, and exp(r + more) - 1."""
    high, low = LN2.of(x)
    shifted = fma(x, 1 / math.log(2), _magic(x, offset))
    n = shifted - _magic(x, offset)
    r = fma(n, -low, fma(n, -high, x))
    if more is not None:
        r = r + more
    return shifted, fma(r * r, polynomial(r, _EXP.of(x)), r)


def exp(x: IRValue) -> IRValue:
    x = clamp(x, *_EXP_RANGE.of(x))
    shifted, y = _reduce(x, 2 * format_of(x).bias)
    return _scaled(y, x, shifted, 1 / math.log(2))


def exp_moderate(x: IRValue) -> IRValue:
    """exp(x) for |x| <= 80, where one factor does."""
    shifted, y = _reduce(x, format_of(x).bias)
    power = _power_of_two(shifted)
    return fma(y, power, power)


def exp_of_sum(x: IRValue, low: IRValue) -> IRValue:
    """exp(x + low), where `low` is at most a unit in the last place of x."""
    x = clamp(x, *_EXP_RANGE.of(x))
    shifted, y = _reduce(x, 2 * format_of(x).bias, low)
    return _scaled(y, x, shifted, 1 / math.log(2))


def exp2(x: IRValue) -> IRValue:
    x = clamp(x, *_EXP2_RANGE.of(x))
    magic = _magic(x, 2 * format_of(x).bias)
    shifted = x + magic
    r = x - (shifted - magic)
    return _scaled(r * polynomial(r, _EXP2.of(x)), x, shifted, 1.0)


def expm1(x: IRValue) -> IRValue:
    """2 * (2**(n-1) * (exp(r) - 1) + (2**(n-1) - 1/2)): exact for n = 0, and no early overflow."""
    f = format_of(x)
    shifted, y = _reduce(clamp(x, _EXPM1_FLOOR.of(x), _EXP_RANGE.of(x)[1]), f.bias - 1)
    half = _power_of_two(shifted)
    result = 2.0 * fma(half, y, half - 0.5)
    # A tiny argument is its own result: -0 keeps its sign, and a subnormal is not halved.
    return select(fabs(x) < 2.0**-(f.mantissa + 2), x, result)


def tanh(x: IRValue) -> IRValue:
    """expm1(2|x|) / (expm1(2|x|) + 2), with the sign of x."""
    magnitude = fabs(x)
    end = _TANH_END.of(x)
    shifted, y = _reduce(2.0 * select(magnitude > end, end, magnitude), format_of(x).bias)
    power = _power_of_two(shifted)
    t = fma(power, y, power - 1.0)
    return intrinsic("copysign", t / (t + 2.0), x)


def _half_exp(magnitude: IRValue) -> IRValue:
    """exp(x) / 2 for x >= 0, without early overflow."""
    f = format_of(magnitude)
    end = _HALF_EXP_END.of(magnitude)
    shifted, y = _reduce(select(magnitude > end, end, magnitude), f.bias - 2)
    power = _power_of_two(shifted)
    return fma(y, power, power) * 2.0


def cosh(x: IRValue) -> IRValue:
    half = _half_exp(fabs(x))
    return half + 0.25 / half


def sinh(x: IRValue) -> IRValue:
    """From exp above 1, below by its own polynomial."""
    magnitude = fabs(x)
    half = _half_exp(magnitude)
    square = magnitude * magnitude
    small = fma(magnitude * square, polynomial(square, _SINH.of(x)), magnitude)
    return intrinsic("copysign", select(magnitude < 1.0, small, half - 0.25 / half), x)


def sigmoid(x: IRValue) -> IRValue:
    """1 / (1 + exp(-x)), from exp of a negative number, which cannot overflow."""
    e = exp(-fabs(x))
    return select(x >= 0.0, x.const(1.0), e) / (1.0 + e)


def softplus0(x: IRValue) -> IRValue:
    """log(1 + exp(x)) = max(x, 0) + log1p_inside(exp(-|x|))."""
    return select(x > 0.0, x, select(x.isnan(), x, x.const(0.0))) + log1p_inside(exp(-fabs(x)))
