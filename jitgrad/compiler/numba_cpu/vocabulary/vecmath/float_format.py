"""What the two floating-point formats contribute to the formulas, and the shared pieces: polynomials, bit patterns."""
from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Generic, TypeVar

from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, fma, intrinsic, select

T = TypeVar("T")


@dataclass(frozen=True)
class Format:
    """A floating-point format: explicit bits of the mantissa, bias of the exponent, smallest positive normal number."""

    mantissa: int
    bias: int
    smallest: float

    def bits(self, number: float) -> int:
        """The bit pattern of a positive number in this format, rounded to it."""
        real, integer = ("<f", "<i") if self is _F4 else ("<d", "<q")
        return struct.unpack(integer, struct.pack(real, number))[0]


_F4 = Format(23, 127, 2.0**-126)
_F8 = Format(52, 1023, 2.0**-1022)


def format_of(x: IRValue) -> Format:
    return _F4 if x.is_f4 else _F8


@dataclass(frozen=True)
class Both(Generic[T]):
    """A constant (or a tuple of them) for each format."""

    f4: T
    f8: T

    def of(self, x: IRValue) -> T:
        return self.f4 if x.is_f4 else self.f8


def polynomial(x: IRValue, coefficients: tuple[float, ...]) -> IRValue:
    """The constant term comes first.

    Even and odd powers by Horner's scheme each: a loop over a long formula waits for its chain of additions, not for the
    number of them, so half the chain is worth one multiplication."""
    if len(coefficients) < 5:
        return _horner(x, coefficients)
    square = x * x
    return fma(x, _horner(square, coefficients[1::2]), _horner(square, coefficients[::2]))


def _horner(x: IRValue, coefficients: tuple[float, ...]) -> IRValue:
    result = x.const(coefficients[-1])
    for c in coefficients[-2::-1]:
        result = fma(result, x, c)
    return result


def clamp(x: IRValue, low: float, high: float) -> IRValue:
    """nan passes."""
    x = select(x < low, low, x)
    return select(x > high, high, x)


def fabs(x: IRValue) -> IRValue:
    return intrinsic("fabs", x)


def sign_bit(x: IRValue) -> IRValue:
    """The sign of a float, alone in the integer of its width."""
    return x.bits() & _sign(x)


def flipped(x: IRValue, sign: IRValue) -> IRValue:
    """x, its sign changed where the integer `sign` has its highest bit set; the other bits of `sign` are zero."""
    return (x.bits() ^ sign).as_float()


def _sign(x: IRValue) -> int:
    return -(1 << 31) if x.is_f4 else -(1 << 63)
