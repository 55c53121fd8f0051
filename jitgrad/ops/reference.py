"""Special functions in plain NumPy: the reference for ops that NumPy itself lacks.  Computed in float64."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.ops.quiet import quiet

# Bernoulli numbers B2, B4, ..., B20.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(x), x.dtype)


erf = _each(math.erf)
erfc = _each(math.erfc)


def _zeta_less_1(s: int) -> float:
    """The sum of n ** -s from n = 2 on (Euler and Maclaurin's formula from 64 on)."""
    n = 64.0
    rest = n ** (1 - s) / (s - 1) + n ** -s / 2 + s * n ** (-s - 1) / 12 - s * (s + 1) * (s + 2) * n ** (-s - 3) / 720 + \
        s * (s + 1) * (s + 2) * (s + 3) * (s + 4) * n ** (-s - 5) / 30240
    return math.fsum([m ** -s for m in range(2, 64)] + [rest])


def _polynomial(coefficients: list[float]) -> Callable[[np.ndarray], np.ndarray]:
    """The polynomial of these coefficients, the constant first.  (numpy.polynomial takes 20 ms to import.)"""
    def value(x: np.ndarray) -> np.ndarray:
        result = np.full_like(x, coefficients[-1])
        for c in coefficients[-2::-1]:
            result = c + result * x
        return result

    return value


# lgamma(2 + u) / u, for |u| <= 1/2 (DLMF 5.7.3); Stirling's series in 1 / x ** 2 (DLMF 5.11.1).
_LGAMMA = _polynomial([1 - 0.57721566490153286061, *[(-1) ** k * _zeta_less_1(k) / k for k in range(2, 30)]])
_STIRLING = _polynomial([b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI[:8], 1)])


def _lgamma_of_positive(x: np.ndarray) -> np.ndarray:
    """By Stirling's series from 8 on, else by the recurrence from around 2, where nothing of a small value is lost."""
    small = np.where(x < 8, x, 2.0)
    r, product = small, np.ones_like(small)
    for _ in range(6):
        above = r >= 2.5
        r = np.where(above, r - 1, r)
        product = np.where(above, product * r, product)
    below = np.log(small) + np.where(small < 0.5, np.log1p(small), 0)
    u = np.where(small < 0.5, small, np.where(small < 1.5, small - 1, r - 2))
    near = u * _LGAMMA(u) + np.where(small < 1.5, -below, np.log(product))
    large = np.where(x < 8, 8.0, x)
    series = (large - 0.5) * (np.log(large) - 1) + (_STIRLING(large ** -2.0) / large + (0.5 * math.log(2 * math.pi) - 0.5))
    return np.where(x < 8, near, np.where(np.isnan(x), x, series))


def lgamma(x: np.ndarray) -> np.ndarray:
    """log |gamma(x)|: of negative x by reflection (DLMF 5.5.3); infinite at poles and at both infinities.  Of x's dtype."""
    return quiet.run(_lgamma, x)


def _lgamma(x: np.ndarray) -> np.ndarray:
    z = np.asarray(x, np.float64)
    result = _lgamma_of_positive(np.where(z < 0, 1 - z, z))
    f = np.abs(z - np.rint(z))
    sine = np.where(f < 2.0**-60, np.log(f), np.log(np.sin(math.pi * f) / math.pi))      # of a subnormal it would round
    result = np.where(z < 0, -sine - result, result)
    return np.where(np.isinf(z), np.inf, result).astype(x.dtype)


def _cotangent_derivative(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of cot(pi x), by d cot(pi x)/dx = -pi (1 + cot(pi x)**2).

    Of x only the distance from the nearest integer counts; near one, that is exact."""
    p = [0.0, 1.0]          # coefficients by the power of the cotangent
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-math.pi * a - math.pi * b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    cotangent = 1 / np.tan(math.pi * (x - np.rint(x)))
    result: Any = p.pop()
    for coefficient in reversed(p):      # not p(cotangent), which is nan where that is infinite
        result = result * cotangent + coefficient
    return result


def polygamma(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of digamma; n = 0 is digamma itself.  Of x's dtype.

    Reflection below 1/2 (DLMF 5.15.6), recurrence up to x >= 15 + n, then the asymptotic series (DLMF 5.15.9).  At 0
    digamma is -inf with the sign of x turned; at other poles nan for n = 0, and infinite for n >= 1 as in PyTorch.
    """
    return quiet.run(_polygamma, n, x)


def _polygamma(n: int, x: np.ndarray) -> np.ndarray:
    z = np.asarray(x, np.float64)
    low = z < 0.5
    at = np.where(low, 1 - z, z)
    sign = -1.0 if n % 2 == 0 else 1.0              # of (-1) ** (n + 1)
    result = np.zeros_like(at)
    for _ in range(15 + n):
        step = at < 15 + n
        result = np.where(step, result + sign * math.factorial(n) / at ** (n + 1), result)
        at = np.where(step, at + 1, at)
    series = np.log(at) - 0.5 / at if n == 0 else \
        sign * (math.factorial(n - 1) / at ** n + math.factorial(n) / (2 * at ** (n + 1)))
    for k, b in enumerate(_BERNOULLI, 1):
        series = series + sign * b * (math.factorial(2 * k + n - 1) / math.factorial(2 * k)) / at ** (2 * k + n)
    result = result + series
    result = np.where(low, (-1) ** n * result - math.pi * _cotangent_derivative(n, z), result)
    pole = low & (z == np.floor(z)) & np.isfinite(z)
    if n == 0:
        result = np.where(pole, np.where(z == 0, np.copysign(np.inf, -z), np.nan), result)
    else:
        result = np.where(pole, sign * np.inf, result)
    return result.astype(x.dtype)


# -- the inverse of erf ------------------------------------------------------------------------------------------------

def erfinv(x: np.ndarray) -> np.ndarray:
    """The y with erf(y) = x: Winitzki's approximation (of 2 digits), made exact by Newton's method.  Of x's dtype."""
    return quiet.run(_erfinv, x)


def _erfinv(x: np.ndarray) -> np.ndarray:
    z = np.abs(np.asarray(x, np.float64))
    inside = np.where(z < 1, z, 0.0)
    logarithm = np.log1p(-inside * inside)
    t = 2 / (math.pi * 0.147) + logarithm / 2
    y = np.sqrt(np.sqrt(t * t - logarithm / 0.147) - t)
    for _ in range(4):
        error = np.where(inside < 0.5, erf(y) - inside, (1 - inside) - erfc(y))
        step = error * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - step / (1 + y * step)
    y = np.where(z < 1, y, np.where(z == 1, np.inf, np.nan))
    return np.copysign(y, x).astype(x.dtype)
