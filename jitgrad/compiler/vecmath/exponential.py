"""Vector mathematics: formulas that LLVM vectorises, for float32 and float64, from their own arithmetic alone.

Each formula is straight-line code: fused multiply-add, bit patterns and selections, no branch, no table, no call.
float32 is computed in float32 throughout.  Largest errors, in units in the last place (ulp), as tests/test_vecmath.py
bounds them against 100-digit arithmetic:

| function  | float32 | float64 |                                         |
|-----------|---------|---------|-----------------------------------------|
| exp       | 1.1     | 1.1     |                                         |
| log       | 1.1     | 1.1     |                                         |
| expm1     | 2       | 2       |                                         |
| log1p     | 2       | 2       |                                         |
| tanh      | 3       | 3       |                                         |
| sigmoid   | 3       | 3       | of results down to the smallest normal  |
| softplus0 | 3       | 3       | log(1 + exp(x))                         |

Infinities, nan, both zeros, subnormal arguments and results, and the overflow thresholds come out as in C99.

Method: arguments are reduced by ln 2 in two pieces (W. J. Cody and W. Waite, Software Manual for the Elementary
Functions, 1980); the polynomials are minimax (Remez exchange), fitted for this file.
"""
from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from jitgrad.compiler.irvalue import Value, fma, intrinsic, select


@dataclass(frozen=True)
class _Format:
    """What a floating-point format contributes to the formulas."""

    mantissa: int                   # explicit bits
    bias: int                       # of the exponent
    smallest: float                 # positive normal number
    ln2_high: float                 # its product with any exponent is exact
    ln2_low: float
    exp: tuple[float, ...]          # (exp(r) - 1 - r) / r**2 for |r| <= ln(2) / 2
    exp_range: tuple[float, float]  # beyond, exp is 0 or infinite after rounding
    expm1_floor: float              # below, expm1 is -1 after rounding
    tanh_end: float                 # above, tanh is 1 after rounding
    # float64: (log((1+s) / (1-s)) - 2*s) / s**3, in s**2; float32: (log(1+f) - f + f**2/2) / f**3
    log: tuple[float, ...]


_F8 = _Format(
    mantissa=52, bias=1023, smallest=2.0**-1022,
    ln2_high=float.fromhex("0x1.62e42feep-1"), ln2_low=float.fromhex("0x1.a39ef35793c76p-33"),
    exp=(0.5, 0.16666666666666685, 0.04166666666666673, 0.008333333333316739, 0.001388888888885855,
         0.00019841269897059985, 2.4801587373538495e-05, 2.7557234235860313e-06, 2.75572335250153e-07,
         2.511224013663601e-08, 2.092689415459037e-09),
    exp_range=(-746.0, 710.0), expm1_floor=-40.0, tanh_end=20.0,
    log=(0.6666666666666735, 0.39999999999412894, 0.285714287428236, 0.2222219852471421, 0.18183567027316042,
         0.15313977017586305, 0.14796727815868932))

_F4 = _Format(
    mantissa=23, bias=127, smallest=2.0**-126,
    ln2_high=float.fromhex("0x1.62e4p-1"), ln2_low=float.fromhex("0x1.7f7d1cf79abcap-20"),
    exp=(0.5000000077898142, 0.16666666860649118, 0.041666269949526935, 0.008333264376232509, 0.0013946073089899046,
         0.0001991837099243242),
    exp_range=(-105.0, 89.0), expm1_floor=-20.0, tanh_end=10.0,
    log=(0.33333310446729514, -0.2499998657542796, 0.20002226228245124, -0.16669251773361893, 0.14218665518471005,
         -0.12384337227957376, 0.11872916396220416, -0.11789848164516262, 0.06915539724428416))


def _format(x: Value) -> _Format:
    return _F4 if x.is_f4 else _F8


def _polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Horner's scheme; the constant term comes first."""
    result = x.const(coefficients[-1])
    for c in coefficients[-2::-1]:
        result = fma(result, x, c)
    return result


def _clamp(x: Value, low: float, high: float) -> Value:
    """nan passes."""
    x = select(x < low, low, x)
    return select(x > high, high, x)


def _reduce(x: Value) -> tuple[Value, Value, Value]:
    """x = n * ln 2 + r with |r| <= ln(2) / 2: n as an integer, r, and r**2 * q(r) = exp(r) - 1 - r."""
    f = _format(x)
    # Adding 1.5 * 2**mantissa leaves the rounded integer in the lowest bits: AVX2 has no conversion to 64 bits.
    magic = 1.5 * 2.0**f.mantissa
    shifted = fma(x, 1 / math.log(2), magic)
    n = shifted - magic
    r = fma(n, -f.ln2_low, fma(n, -f.ln2_high, x))
    return shifted.bits() - _bits(magic, f), r, r * r * _polynomial(r, f.exp)


def _bits(number: float, f: _Format) -> int:
    """The bit pattern of a positive number in this format."""
    real, integer = ("<f", "<i") if f is _F4 else ("<d", "<q")
    return struct.unpack(integer, struct.pack(real, number))[0]


def exp(x: Value) -> Value:
    """e**x.  The power of two is applied in two factors, so that extreme results, subnormal ones too, round once."""
    f = _format(x)
    n, r, rest = _reduce(_clamp(x, *f.exp_range))
    half = (n + 2 * (f.bias + 1)) >> 1      # positive, so that a logical shift halves it
    other = (n + 2 * (f.bias + 1)) - half
    factors = [((part - 1) << f.mantissa).as_float() for part in (half, other)]
    return (1.0 + (r + rest)) * factors[0] * factors[1]


def expm1(x: Value) -> Value:
    """e**x - 1, as 2 * (2**(n-1) * (exp(r) - 1) + (2**(n-1) - 1/2)): exact for n = 0, and no early overflow."""
    f = _format(x)
    n, r, rest = _reduce(_clamp(x, f.expm1_floor, f.exp_range[1]))
    half_power = ((n + (f.bias - 1)) << f.mantissa).as_float()
    result = 2.0 * fma(half_power, r + rest, half_power - 0.5)
    # A tiny argument is its own result: -0 keeps its sign, and a subnormal is not halved.
    return select(intrinsic("fabs", x) < 2.0**-(f.mantissa + 2), x, result)


def _split(x: Value) -> tuple[Value, Value]:
    """x = 2**k * (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), for positive normal x: k as a float, and f."""
    form = _format(x)
    bits = x.bits()
    raised = form.bias + 1      # keeps the exponent positive under a logical shift
    biased = bits + ((raised << form.mantissa) - _bits(math.sqrt(0.5), form))
    k = biased >> form.mantissa
    scale = 2.0**form.mantissa
    power = (k | _bits(scale, form)).as_float() - (scale + raised)
    fraction = bits - (k << form.mantissa) + (raised << form.mantissa)
    return power, fraction.as_float() - 1.0


def _log_of_parts(k: Value, f: Value, low: Value) -> Value:
    """k * ln 2 + log(1 + f) + low, where `low` is small."""
    form = _format(f)
    low = fma(k, form.ln2_low, low)
    square = f * f
    if form is _F4:
        series = fma(square, fma(f, _polynomial(f, form.log), -0.5), low)
        return fma(k, form.ln2_high, f + series)
    half = 0.5 * square
    s = f / (2.0 + f)
    z = s * s
    series = fma(s, fma(z, _polynomial(z, form.log), half), low)
    return fma(k, form.ln2_high, f - (half - series))


def log(x: Value) -> Value:
    """The natural logarithm; -inf at both zeros, nan below."""
    f = _format(x)
    subnormal = x < f.smallest
    lift = f.mantissa + 2
    k, fraction = _split(select(subnormal, x * 2.0**lift, x))
    k = select(subnormal, k - float(lift), k)
    result = _log_of_parts(k, fraction, x.const(0.0))
    result = select(x < math.inf, result, x)            # inf and nan
    return select(x > 0.0, result, select(x.eq(0.0), x.const(-math.inf), select(x.isnan(), x, x.const(math.nan))))


def log1p(x: Value) -> Value:
    """log(1 + x); what 1 + x loses in rounding is added as a first-order correction."""
    u = 1.0 + x
    lost = select(x > 1.0, 1.0 - (u - x), x - (u - 1.0))
    k, fraction = _split(u)
    result = _log_of_parts(k, fraction, lost / u)
    result = select(x.ne(0.0) & (x < math.inf), result, x)      # -0, inf and nan
    return select(x > -1.0, result, select(x.eq(-1.0), x.const(-math.inf), select(x.isnan(), x, x.const(math.nan))))


def tanh(x: Value) -> Value:
    """expm1(2|x|) / (expm1(2|x|) + 2), with the sign of x."""
    f = _format(x)
    magnitude = intrinsic("fabs", x)
    t = expm1(2.0 * select(magnitude > f.tanh_end, f.tanh_end, magnitude))
    return intrinsic("copysign", t / (t + 2.0), x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), from exp of a negative number, which cannot overflow."""
    e = exp(-intrinsic("fabs", x))
    return select(x >= 0.0, x.const(1.0), e) / (1.0 + e)


def softplus0(x: Value) -> Value:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    return select(x > 0.0, x, select(x.isnan(), x, x.const(0.0))) + log1p(exp(-intrinsic("fabs", x)))
