"""sin, cos and tan over the whole range of arguments.

Reduction to |r| <= pi / 4.  Up to a limit x - n * pi / 2 is taken with pi / 2 in three pieces of full precision (W. J. Cody and
W. Waite, Software Manual for the Elementary Functions, 1980): with fused multiply-add the first difference is exact, as
it is a multiple of the last place of the first piece.  Beyond, in the rare lanes that need it (rare_arguments.py), the product of
the mantissa and the 192 bits of 2 / pi that matter is formed in integers (M. H. Payne and R. N. Hanek, Radian reduction
for trigonometric functions, SIGNUM Newsletter 18, 1983).
"""
from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I1, I4, I8, IRValue, declare, fma, intrinsic, on_gpu, select
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.float_format import Both, fabs, flipped, format_of, polynomial, sign_bit
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.rare_arguments import corrected

# pi / 2 in three pieces, each rounded to the format.
_PI_2 = Both(f4=(1.57079637050628662109375, -4.37113882867379e-08, -1.7151245100058819e-15),
             f8=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33))
_LIMIT = Both(f4=2.0**16, f8=2.0**40)
# Minimax on [0, 0.617], in z = r**2: (sin(r) - r) / r**3, of the error times z (2**-68.8 and 2**-28.0), and
# (cos(r) - 1 + z/2) / z**2, of the error times z**2 (2**-64.2 and 2**-33.1).
_SIN = Both(f4=(-0.16666655242443085, 0.008332191035151482, -0.00019518606131896377),
            f8=(-0.16666666666666632, 0.008333333333322474, -0.00019841269829837927, 2.7557313698329268e-06,
                -2.5050758669499337e-08, 1.589680796539572e-10))
_COS = Both(f4=(0.04166664555668831, -0.00138873013202101, 2.4430702978861518e-05),
            f8=(0.0416666666666666, -0.001388888888887446, 2.4801587289656822e-05, -2.755731439519782e-07,
                2.0875728305314123e-09, -1.1359875468052614e-11))


def _reduced(magnitude: IRValue) -> tuple[IRValue, IRValue]:
    """The integer nearest to 2/pi * |x| (its lowest bits count), and r."""
    magic = 1.5 * 2.0**format_of(magnitude).mantissa
    shifted = fma(magnitude, 2 / math.pi, magic)
    n = shifted - magic
    r = magnitude
    for piece in _PI_2.of(magnitude):
        r = fma(n, -piece, r)
    return shifted.bits(), r


def _sin(r: IRValue, z: IRValue) -> IRValue:
    return fma(r * z, polynomial(z, _SIN.of(r)), r)


def _cos(z: IRValue) -> IRValue:
    """1 - z/2 rounds; what it loses is added to the small rest."""
    half = 0.5 * z
    head = 1.0 - half
    return head + fma(z * z, polynomial(z, _COS.of(z)), (1.0 - head) - half)


def _odd(n: IRValue) -> IRValue:
    return (n & 1).ne(0)


def _negative(n: IRValue) -> IRValue:
    """The sign bit of quadrants 2 and 3."""
    width = n.type.width
    return (n & 2) << (width - 2)


def _sin_of(x: IRValue, n: IRValue, r: IRValue) -> IRValue:
    z = r * r
    # The sign of x comes last: r + r**3 * ... would lose that of -0.
    return flipped(select(_odd(n), _cos(z), _sin(r, z)), _negative(n) ^ sign_bit(x))


def _cos_of(n: IRValue, r: IRValue) -> IRValue:
    z = r * r
    return flipped(select(_odd(n), _sin(r, z), _cos(z)), _negative(n + 1))


def _tan_of(x: IRValue, n: IRValue, r: IRValue) -> IRValue:
    z = r * r
    s, c = _sin(r, z), _cos(z)
    odd = _odd(n)
    quotient = select(odd, c, s) / select(odd, -s, c)
    return flipped(quotient, sign_bit(x))


def sin_of_turn(f: IRValue) -> IRValue:
    """sin(pi * f) for 0 <= f <= 1/2."""
    small = f <= 0.25
    r = math.pi * select(small, f, 0.5 - f)
    z = r * r
    return select(small, _sin(r, z), _cos(z))


def tan_of_turn(f: IRValue) -> IRValue:
    """tan(pi * f) for |f| <= 1/2."""
    a = fabs(f)
    small = a <= 0.25
    r = math.pi * select(small, a, 0.5 - a)
    z = r * r
    s, c = _sin(r, z), _cos(z)
    return intrinsic("copysign", select(small, s, c) / select(small, c, s), f)


def sin(x: IRValue) -> IRValue:
    n, r = _reduced(fabs(x))
    return corrected(x, _sin_of(x, n, r), _LIMIT.of(x), sin_huge)


def cos(x: IRValue) -> IRValue:
    n, r = _reduced(fabs(x))
    return corrected(x, _cos_of(n, r), _LIMIT.of(x), cos_huge)


def tan(x: IRValue) -> IRValue:
    """sin / cos, or - cos / sin."""
    n, r = _reduced(fabs(x))
    return corrected(x, _tan_of(x, n, r), _LIMIT.of(x), tan_huge)


def sin_huge(x: IRValue) -> IRValue:
    n, r = _reduced_exactly(x)
    return _finite(x, _sin_of(x, n, r))


def cos_huge(x: IRValue) -> IRValue:
    n, r = _reduced_exactly(x)
    return _finite(x, _cos_of(n, r))


def tan_huge(x: IRValue) -> IRValue:
    n, r = _reduced_exactly(x)
    return _finite(x, _tan_of(x, n, r))


def _finite(x: IRValue, y: IRValue) -> IRValue:
    return select(fabs(x).eq(math.inf), math.nan, y)


# -- Payne and Hanek ---------------------------------------------------------------------------------------------------

_I16: Any = ir.IntType(128)
_CONSTANT = 4           # the address space of constants on a GPU
# The first 1216 bits of 2 / pi.
_TWO_OVER_PI = (
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "56033046fc7b6bab")


def _words(b: ir.IRBuilder) -> Any:
    """The bits of 2 / pi after 64 zeros, as a constant array of 64-bit words."""
    name = "jitgrad.two_over_pi"
    module = b.module
    known: Any = module.globals.get(name)
    if known is None:
        digits = "0" * 16 + _TWO_OVER_PI
        words = [int(digits[k:k + 16], 16) for k in range(0, len(digits), 16)]
        known = ir.GlobalVariable(module, ir.ArrayType(I8, len(words)), name, _CONSTANT if on_gpu(b) else 0)
        known.initializer = ir.Constant(known.value_type, words)
        known.global_constant = True
        known.linkage = "internal"
    return known


def _leading_zeros(x: IRValue) -> IRValue:
    """Of 128 bits, as an I8."""
    b = x.builder
    count = declare(b.module, "llvm.ctlz.i64", I8, [I8, I1])
    high, low = [IRValue(b, b.call(count, [half.cast(I8).ir, I1(0)])) for half in (x >> 64, x)]
    return select(high.eq(64), low + 64, high)


def _reduced_exactly(x: IRValue) -> tuple[IRValue, IRValue]:
    """As `_reduced`, for finite |x| >= 2.

    With |x| = m * 2**e and m an integer, multiples of 4 in 2/pi * 2**e contribute nothing to the quadrant, so the window
    starts at the bit of weight 2.  128 bits of the product are kept: 2 of the quadrant, 126 of the fraction, of which at
    most 62 cancel for float64 (J.-M. Muller, Elementary Functions, section on the worst cases for reduction)."""
    form = format_of(x)
    b = x.builder
    bits = fabs(x).bits()
    exponent = (bits >> form.mantissa).cast(I8)
    m = ((bits & ((1 << form.mantissa) - 1)) | (1 << form.mantissa)).cast(I8)
    start = exponent - (form.bias + form.mantissa - 62)
    # inf and nan read the last words; their result is not used.
    start = select(start > 1033, 1033, start)
    word, shift = start >> 6, start & 63
    table = _words(b)
    loaded = [IRValue(b, b.load(b.gep(table, [I8(0), (word + k).ir], inbounds=True))) for k in range(4)]
    window = [IRValue(b, b.zext(intrinsic("fshl", loaded[k], loaded[k + 1], shift).ir, _I16)) for k in range(3)]
    wide = IRValue(b, b.zext(m.ir, _I16))
    product = ((wide * window[0]) << 64) + wide * window[1] + ((wide * window[2]) >> 64)
    n = (product + (1 << 125)) >> 126
    # What is left of the quadrants, as a signed fraction of 2**128; its digits from the first one bit on, in two floats.
    fraction = product << 2
    negative = fraction < 0
    magnitude = select(negative, -fraction, fraction)
    zeros = _leading_zeros(magnitude)
    digits = magnitude << zeros.cast(_I16)
    width = form.mantissa + 1
    leading = digits >> (128 - width)
    trailing = (digits << width) >> (128 - width)
    integer = I4 if x.is_f4 else I8
    scale = ((form.bias - width - zeros.cast(integer)) << form.mantissa).as_float()
    high, low = leading.cast(I8).cast(x.type), trailing.cast(I8).cast(x.type) * 2.0**-width
    first, second, _ = _PI_2.of(x)
    r = fma(high, first, fma(high, second, low * first)) * scale
    return n.cast(integer), select(negative, -r, r)
