"""Philox4x32-10, a counter-based random generator, and what is made of its words, as formulas for any arithmetic.

J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC11).  The key is a seed of 64 bits, the counter
a place of 64 bits: each place of each seed has its own four words of 32 bits, so any element is computed without those before it.

Input: what an arithmetic calls its functions.  Output: the formulas in it.  NumPy (random.py), LLVM values (numba_cpu/vocabulary) and
CUDA (numba_cuda/vocabulary.py) all take theirs from here.
Invariant: integers are int64 that wrap around, words among them not negative; floats are made by exact operations and by +, -, *, /
and sqrt, each rounded once and never contracted, so that all arithmetics that keep to that give the same bits.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.generated import function

WORD = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85              # what the keys grow by: of the golden ratio and of sqrt(3)
_ROUNDS = 10

# sin(pi x) / x by powers of x**2, for |x| <= 1/2; the last terms are below half a unit of the last place.
_SINE = [math.pi]
for _n in range(1, 12):
    _SINE.append(-_SINE[-1] * math.pi * math.pi / (2 * _n * (2 * _n + 1)))
# log(m) / (2 s) by powers of s**2, s = (m - 1) / (m + 1), for sqrt(1/2) <= m < sqrt(2).
_LOGARITHM = [1 / (2 * n + 1) for n in range(11)]


def philox(a: Any, b: Any, c: Any, d: Any, low: Any, high: Any) -> Any:
    """The four words of a counter of four words under a key of two."""
    for _ in range(_ROUNDS):
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = ((q >> 32) & WORD) ^ b ^ low, q & WORD, ((p >> 32) & WORD) ^ d ^ high, p & WORD
        low, high = (low + _WEYL[0]) & WORD, (high + _WEYL[1]) & WORD
    return a, b, c, d


def formulas(jit: Callable[[Callable], Any], sqrt: Callable, f4: Callable, f8: Callable, to_f4: Callable, to_f8: Callable,
             bits_f4: Callable, bits_f8: Callable, of_bits_f4: Callable, of_bits_f8: Callable) -> dict[str, Callable]:
    """The formulas, functions of (counter, seed), by name.

    jit: what a function is passed through that another one calls.  T: a constant, of a Python float; to_T: the float of an integer from
    0 to below 2**24 (f4) or 2**53 (f8); bits_T and of_bits_T: from a float to its bits, and back."""

    rounds = jit(philox)

    @jit
    def words(counter: Any, seed: Any) -> Any:
        return rounds(counter & WORD, (counter >> 32) & WORD, counter & 0, counter & 0, seed & WORD, (seed >> 32) & WORD)

    unit = f4(2.0**-24), f8(2.0**-53)

    @jit
    def unit_f4(word: Any) -> Any:
        return to_f4(word >> 8) * unit[0]

    @jit
    def unit_f8(low: Any, high: Any) -> Any:
        return to_f8((high << 21) | (low >> 11)) * unit[1]

    def polynomial(coefficients: Sequence[float], constant: Callable) -> Any:
        names = {f"c{k}": constant(c) for k, c in enumerate(coefficients)}
        text = " + x * (".join(names) + ")" * (len(names) - 1)
        return jit(function("polynomial", "x", [f"return {text}"], names, __file__))

    def normal(layout: tuple[int, int, int], terms: tuple[int, int], constant: Callable, to_float: Callable, bits: Callable,
               of_bits: Callable) -> Any:
        mantissa, bias, root = layout
        one, two, half, log_2 = constant(1.0), constant(2.0), constant(0.5), constant(math.log(2))
        sine, logarithm = polynomial(_SINE[:terms[0]], constant), polynomial(_LOGARITHM[:terms[1]], constant)

        @jit
        def box_muller(u: Any, v: Any) -> Any:
            """sqrt(-2 log(1 - u)) sin(pi (v - 1/2)): the angle is uniform in half a turn, in which the sine takes all its values."""
            shifted = bits(one - u) + ((bias << mantissa) - root)
            m = of_bits((shifted & ((1 << mantissa) - 1)) + root)
            s = (m - one) / (m + one)
            minus_log = to_float(bias - (shifted >> mantissa)) * log_2 - (s + s) * logarithm(s * s)
            x = v - half
            return sqrt(two * minus_log) * (x * sine(x * x))
        return box_muller

    normal_of_f4 = normal((23, 127, 0x3F3504F3), (6, 5), f4, to_f4, bits_f4, of_bits_f4)
    normal_of_f8 = normal((52, 1023, 0x3FE6A09E667F3BCD), (12, 11), f8, to_f8, bits_f8, of_bits_f8)

    def random_word(counter: Any, seed: Any) -> Any:
        """32 bits."""
        return words(counter, seed)[0]

    def random_bits(counter: Any, seed: Any) -> Any:
        """64 bits, negative where the first is 1."""
        a, b, _, _ = words(counter, seed)
        return (b << 32) | a

    def random_uniform_f4(counter: Any, seed: Any) -> Any:
        """24 bits of a fraction below 1."""
        return unit_f4(words(counter, seed)[0])

    def random_uniform_f8(counter: Any, seed: Any) -> Any:
        """53 bits of a fraction below 1."""
        a, b, _, _ = words(counter, seed)
        return unit_f8(a, b)

    def random_normal_f4(counter: Any, seed: Any) -> Any:
        """Of mean 0 and variance 1."""
        a, b, _, _ = words(counter, seed)
        return normal_of_f4(unit_f4(a), unit_f4(b))

    def random_normal_f8(counter: Any, seed: Any) -> Any:
        """Of mean 0 and variance 1."""
        a, b, c, d = words(counter, seed)
        return normal_of_f8(unit_f8(a, b), unit_f8(c, d))

    made = (random_word, random_bits, random_uniform_f4, random_uniform_f8, random_normal_f4, random_normal_f8)
    return {f.__name__: jit(f) for f in made}
