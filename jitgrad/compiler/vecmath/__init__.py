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

from jitgrad.compiler.vecmath.error import erf, erfc
from jitgrad.compiler.vecmath.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, softplus0, tanh
from jitgrad.compiler.vecmath.gamma import digamma, lgamma
from jitgrad.compiler.vecmath.inverse import acos, asin, atan, atan2
from jitgrad.compiler.vecmath.logarithm import acosh, asinh, atanh, log, log1p, log2, log10
from jitgrad.compiler.vecmath.power import pow
from jitgrad.compiler.vecmath.trigonometric import cos, sin, tan

UNARY = {f.__name__: f for f in (exp, exp2, expm1, log, log2, log10, log1p, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh,
                                 asinh, acosh, atanh, sigmoid, softplus0, erf, erfc, lgamma, digamma)}
BINARY = {f.__name__: f for f in (atan2, pow)}
