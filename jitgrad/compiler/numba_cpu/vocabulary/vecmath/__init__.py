"""Vector mathematics: formulas that LLVM vectorises, for float32 and float64, from their own arithmetic alone.

Each formula is straight-line code: fused multiply-add, bit patterns and selections, no branch, no table, no call (but
for sin, cos and tan of huge arguments, see rare_arguments.py).  float32 is computed in float32 throughout.  Largest errors, in units
in the last place (ulp), the same for both formats, as tests/test_vecmath.py bounds them against mpmath:

| function           | ulp   |                                        |
|--------------------|-------|----------------------------------------|
| exp                | 1.1   |                                        |
| exp2               | 1.5   |                                        |
| expm1              | 2.5   |                                        |
| log                | 1     |                                        |
| log2, log10        | 2     |                                        |
| log1p              | 2     |                                        |
| sin, cos           | 1.6   | any finite argument                    |
| tan                | 3     | any finite argument                    |
| asin, atan, atan2  | 2     |                                        |
| acos               | 1.5   |                                        |
| sinh, cosh         | 2     |                                        |
| tanh               | 3     |                                        |
| asinh              | 2     |                                        |
| acosh, atanh       | 3     |                                        |
| sigmoid            | 3     | of results down to the smallest normal |
| softplus0          | 2     | log(1 + exp(x))                        |
| pow                | 1.5   |                                        |
| erf                | 1.5   |                                        |
| erfc               | 4     |                                        |
| rsqrt              | 2     |                                        |

lgamma of a positive x: 5.5 ulp, at its zeros 1 and 2 too.  Near the zeros of digamma, and of lgamma of a negative x, only the
absolute error is small.  Bounds of the error relative to max(1, |value|), in units of the format's eps: lgamma 2 (of a negative
x 4, where max(1, |value|, lgamma(1 - x)) counts), digamma 12.

Infinities, nan, both zeros, subnormal arguments and results, and the overflow thresholds come out as in C99.

Files: exponential, logarithm, trigonometric, inverse, power, error, gamma; format has what they share, lanes the way out
for rare arguments.  Polynomials are minimax (Remez exchange), fitted for these files: each comment states the interval and the
largest error after rounding of the coefficients.
"""
from __future__ import annotations

from jitgrad.compiler.numba_cpu.vocabulary.vecmath.error import erf, erfc
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, softplus0, tanh
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.gamma import digamma, lgamma
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.inverse import acos, asin, atan, atan2
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.logarithm import acosh, asinh, atanh, log, log1p, log2, log10
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.power import pow, rsqrt
from jitgrad.compiler.numba_cpu.vocabulary.vecmath.trigonometric import cos, sin, tan

UNARY = {f.__name__: f for f in (exp, exp2, expm1, log, log2, log10, log1p, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh,
                                 asinh, acosh, atanh, sigmoid, softplus0, erf, erfc, lgamma, digamma,
                                 rsqrt)}
BINARY = {f.__name__: f for f in (atan2, pow)}
