"""Vector mathematics."""
from __future__ import annotations

from jitgrad.compiler.irvalue import Value, intrinsic, libm, select
FUNCTIONS = ("exp", "log", "expm1", "log1p", "tanh", "sigmoid", "softplus0")


def exp(x: Value) -> Value:
    return libm("exp", x)


def log(x: Value) -> Value:
    return libm("log", x)


def expm1(x: Value) -> Value:
    return libm("expm1", x)


def log1p(x: Value) -> Value:
    return libm("log1p", x)


def tanh(x: Value) -> Value:
    return libm("tanh", x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), from exp of a negative number, which cannot overflow."""
    e = exp(-intrinsic("fabs", x))
    return select(x >= 0.0, x.const(1.0), e) / (1.0 + e)


def softplus0(x: Value) -> Value:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    return select(x > 0.0, x, 0.0) + log1p(exp(-intrinsic("fabs", x)))
