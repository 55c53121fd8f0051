"""Special functions in plain NumPy: the reference for ops that NumPy itself lacks.  Computed in float64."""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import Polynomial

from jitgrad.ops.quiet import quiet

# Bernoulli numbers B2, B4, ..., B20.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):     # a pole, or beyond the largest double
        return math.inf


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(x), x.dtype)


erf = _each(math.erf)
erfc = _each(math.erfc)
lgamma = _each(_lgamma)


def _cotangent_derivative(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of cot(pi x), by d cot(pi x)/dx = -pi (1 + cot(pi x)**2)."""
    p = Polynomial([0, 1])
    for _ in range(n):
        p = -math.pi * Polynomial([1, 0, 1]) * p.deriv()
    return p(1 / np.tan(math.pi * (x - np.floor(x))))


def polygamma(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of digamma; n = 0 is digamma itself.  Of x's dtype.

    Reflection for x <= 0 (DLMF 5.15.6), recurrence up to x >= 15 + n, then the asymptotic series (DLMF 5.15.9).  At 0
    digamma is -inf with the sign of x turned; at other poles nan for n = 0, and infinite for n >= 1 as in PyTorch.
    """
    return quiet.run(_polygamma, n, x)


def _polygamma(n: int, x: np.ndarray) -> np.ndarray:
    z = np.asarray(x, np.float64)
    low = z <= 0
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
