"""The vocabulary of kernels (numba_cpu/vocabulary) for CUDA: every name that a kernel's source may use, as plain Python.

Input: scalars of one type; output: a scalar of that type, or bool.  The same text serves a device, where Numba compiles
it, and the simulator, where it runs on NumPy scalars; only PRIMITIVES is bound differently: to `math`, which Numba
lowers to CUDA's libdevice, or to NumPy's function of the same meaning.

Invariant: nothing widens.  A Python literal beside a float32 would make Numba compute in float64, so constants are made
by `type(x)(...)`; `type(x)(0.5) == 0` asks whether x is an integer and is decided at compile time.  Results agree with
the CPU's vocabulary at inf, nan, both zeros and ties; the last bits of exp, log, ... are libdevice's or NumPy's.
"""
from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config as numba_config
from numba import cuda as numba_cuda
from numba.extending import register_jitable

from jitgrad.ops import philox, reference

# Numba makes the attributes of both at run time: which module `cuda` is depends on the setting.
config: Any = numba_config
cuda: Any = numba_cuda
SIMULATED = bool(config.ENABLE_CUDASIM)

Function = Callable[..., Any]


def _scalar(function: Callable[[np.ndarray], np.ndarray]) -> Function:
    """A function of arrays, for a NumPy scalar."""
    return lambda x: function(np.asarray(x))[()]


# name -> (on a device, in the simulator)
PRIMITIVES: dict[str, tuple[Function, Function]] = {
    "exp": (math.exp, np.exp), "expm1": (math.expm1, np.expm1), "log": (math.log, np.log),
    "log1p": (math.log1p, np.log1p), "log2": (math.log2, np.log2), "log10": (math.log10, np.log10),
    "sin": (math.sin, np.sin), "cos": (math.cos, np.cos), "tan": (math.tan, np.tan), "asin": (math.asin, np.arcsin),
    "acos": (math.acos, np.arccos), "atan": (math.atan, np.arctan), "sinh": (math.sinh, np.sinh),
    "cosh": (math.cosh, np.cosh), "tanh": (math.tanh, np.tanh), "asinh": (math.asinh, np.arcsinh),
    "acosh": (math.acosh, np.arccosh), "atanh": (math.atanh, np.arctanh), "sqrt": (math.sqrt, np.sqrt),
    "floor": (math.floor, np.floor), "ceil": (math.ceil, np.ceil), "fabs": (math.fabs, np.fabs),
    "isnan": (math.isnan, np.isnan), "isinf": (math.isinf, np.isinf), "isfinite": (math.isfinite, np.isfinite),
    "atan2": (math.atan2, np.arctan2), "copysign": (math.copysign, np.copysign), "fmod": (math.fmod, np.fmod),
    "erf": (math.erf, _scalar(reference.erf)), "erfc": (math.erfc, _scalar(reference.erfc)),
    "lgamma": (math.lgamma, _scalar(reference.lgamma)),
    "float_pow": (math.pow, np.power),
}
_bound = {name: pair[SIMULATED] for name, pair in PRIMITIVES.items()}
# Formulas below call these, so Numba must find them as globals.
exp, log, log1p, tan, sqrt, floor, fabs, copysign, fmod, float_pow = [
    _bound[name] for name in "exp log log1p tan sqrt floor fabs copysign fmod float_pow".split()]

f4, f8, i4, i8, b1 = np.float32, np.float64, np.int32, np.int64, np.bool_
pi = math.pi

FORMULAS: dict[str, Function] = {}


def formula(function: Function) -> Function:
    """Enter a function into the vocabulary under its own name."""
    FORMULAS[function.__name__] = function
    return formula_inside(function)


def formula_inside(function: Function) -> Function:
    """A function that formulas call."""
    return function if SIMULATED else register_jitable(function)


# -- selection and comparison ----------------------------------------------------------------------------------------


@formula
def where(condition, a, b):
    return a if condition else b


@formula
def maximum(a, b):
    """The larger; nan if either is; the second where they are equal, as NumPy has it (which matters for zeros)."""
    return a if a > b or a != a else b


@formula
def minimum(a, b):
    """The smaller, with the same rules."""
    return a if a < b or a != a else b


@formula
def fmax(a, b):
    """The larger; the other one if one is nan."""
    return a if a > b or b != b else b


@formula
def fmin(a, b):
    """The smaller; the other one if one is nan."""
    return a if a < b or b != b else b


@formula
def sign(x):
    """-1, 0 or 1; nan stays."""
    if x > 0:
        return type(x)(1)
    if x < 0:
        return type(x)(-1)
    return x if x != x else type(x)(0)


# -- rounding --------------------------------------------------------------------------------------------------------


@formula
def trunc(x):
    return copysign(floor(fabs(x)), x)


@formula
def rint(x):
    """The nearest whole number, the even one of two."""
    down = floor(x)
    over = x - down
    half, one = type(x)(0.5), type(x)(1)
    up = over > half or (over == half and fmod(down, type(x)(2)) != 0)
    return copysign(down + one if up else down, x)


# -- floating functions that `math` or NumPy lack --------------------------------------------------------------------


@formula
def exp2(x):
    return float_pow(type(x)(2), x)


@formula
def rsqrt(x):
    return type(x)(1) / sqrt(x)


@formula
def sigmoid(x):
    """1 / (1 + exp(-x)), from exp of a negative number, which cannot overflow."""
    e = exp(-fabs(x))
    one = type(x)(1)
    return (one if x >= 0 else e if x < 0 else x) / (one + e)


@formula
def softplus0(x):
    """log(1 + exp(x))."""
    return (type(x)(0) if x < 0 else x) + log1p(exp(-fabs(x)))


@formula
def digamma(x):
    """The derivative of lgamma: reflection, upward recurrence, asymptotic series (Abramowitz and Stegun 6.3.18)."""
    kind = type(x)
    low = x < kind(0.5)
    t = kind(1) - x if low else x
    total = kind(0)
    while t < kind(10):
        total += kind(1) / t
        t += kind(1)
    z = kind(1) / (t * t)
    s = kind(-3617 / 8160)
    s = s * z + kind(1 / 12)
    s = s * z + kind(-691 / 32760)
    s = s * z + kind(1 / 132)
    s = s * z + kind(-1 / 240)
    s = s * z + kind(1 / 252)
    s = s * z + kind(-1 / 120)
    s = s * z + kind(1 / 12)
    result = log(t) - kind(0.5) / t - s * z - total
    if t > kind(1e30):
        result = log(t)
    if low:
        fraction = x - rint(x)
        if x == 0:
            return copysign(kind(np.inf), -x)
        if fraction == 0:
            return kind(np.nan)
        result -= kind(pi) / tan(fraction * kind(pi))
    return result


# -- division and powers ---------------------------------------------------------------------------------------------


@formula
def ifmod(a, b):
    """The remainder of integers with the sign of the dividend; 0 for a zero divisor."""
    if b == 0 or b == -1:       # lowest % -1 traps
        return type(a)(0)
    rest = a % b
    return type(a)(rest - b if rest != 0 and (a < 0) != (b < 0) else rest)


@formula
def floordiv(a, b):
    """NumPy's floor_divide; an integer divided by zero is 0."""
    if type(a)(0.5) == 0:
        if b == 0:
            return type(a)(0)
        return type(a)(-a if b == -1 else a // b)
    rest = type(a)(fmod(a, b))
    quotient = type(a)((a - rest) / b)
    if b == 0:
        return type(a)(a / b)
    if rest != 0 and (rest < 0) != (b < 0):
        quotient -= type(a)(1)
    if quotient == 0:
        return type(a)(copysign(type(a)(0), a / b))
    whole = type(a)(floor(quotient))
    return type(a)(whole + type(a)(1) if quotient - whole > type(a)(0.5) else whole)


@formula
def remainder(a, b):
    """NumPy's remainder, with the sign of the divisor; an integer's by zero is 0."""
    if type(a)(0.5) == 0:
        return type(a)(0) if b == 0 or b == -1 else type(a)(a % b)
    rest = type(a)(fmod(a, b))
    if rest == 0:
        return type(a)(copysign(rest, b))
    return type(a)(rest + b if (rest < 0) != (b < 0) else rest)


@formula
def integer_power(a, b):
    """Wraps around; a negative exponent gives 0 unless the base is 1 or -1."""
    if b < 0:
        odd = b % i8(2) != 0
        return a if a == 1 or (a == -1 and odd) else i8(1) if a == -1 else i8(0)
    result = i8(1)
    while b > 0:
        if b % i8(2) != 0:
            result = i8(result * a)
        a = i8(a * a)
        b //= i8(2)
    return result


@formula
def pow(a, b):
    if type(a)(0.5) == 0:
        return type(a)(integer_power(i8(a), i8(b)))
    return type(a)(float_pow(a, b))


# -- integers and booleans -------------------------------------------------------------------------------------------


@formula
def iabs(x):
    return type(x)(-x) if x < 0 else x


@formula
def lnot(x):
    return x == b1(False)


# -- random numbers --------------------------------------------------------------------------------------------------


@formula
def bits_f4(x):
    return f4(x).view(i4)


@formula
def bits_f8(x):
    return f8(x).view(i8)


@formula
def of_bits_f4(x):
    return i4(x).view(f4)


@formula
def of_bits_f8(x):
    return i8(x).view(f8)


FORMULAS.update(philox.formulas(formula_inside, sqrt, f4, f8, f4, f8, bits_f4, bits_f8, of_bits_f4, of_bits_f8))

_KINDS = {"f4": f4, "f8": f8, "i4": i4, "i8": i8, "b1": b1}

VOCABULARY: dict[str, Any] = {
    "cuda": cuda, "np": np, "inf": math.inf, "nan": math.nan,
    **_KINDS, **{f"to_{code}": kind for code, kind in _KINDS.items()},
    **_bound, **FORMULAS, "rmax": maximum, "rmin": minimum, "radd": operator.add, "rmul": operator.mul,
    "land": operator.and_, "lor": operator.or_, "lxor": operator.ne,
    "band": operator.and_, "bor": operator.or_, "bxor": operator.xor, "bnot": operator.invert,
    "shl": operator.lshift, "shr": operator.rshift,
}
