"""Algebra on elementwise applications.

Input: an op, its params and its operands as Refs from one space.  Output: a Ref with the same values in that space, of
an existing value where a rule applies, else None.
Invariant: rules keep every bit, signed zeros and infinities included (the sign and payload of a nan are free): x * 1,
but not x * 0; x + (-0.0), but not x + 0.0.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.compiler.ir.lowering_context import Context
from jitgrad.compiler.ir.values import Dims, Ref
from jitgrad.graph.node import Op
from jitgrad.ops.quiet import quiet
from jitgrad.types.dtype import dtype

Rule = Callable[[Context, tuple, list[Ref], Dims, Any], "Ref | None"]


def _number(ref: Ref) -> Any:
    """The literal that a Ref is, or None."""
    return ref.value.payload if ref.value.kind == "const" else None


def _is(ref: Ref, value: float) -> bool:
    """Whether a Ref is that literal; a zero must have the same sign."""
    have = _number(ref)
    return have is not None and have == value and (have != 0 or math.copysign(1, have) == math.copysign(1, value))


def _under(ref: Ref, role: str) -> Ref | None:
    """The operand of a unary op, seen from the same space, if the Ref is an application of one that has this role."""
    value = ref.value
    if value.kind == "elementwise" and not value.barrier and value.op is not None and value.op.facts.role == role:
        return value.args[0].within(ref.index)
    return None


def _is_zero(ref: Ref, sign: float) -> bool:
    """Whether adding (sign -1) or subtracting (sign 1) the Ref changes nothing."""
    return _is(ref, 0) if ref.value.dtype.category == 1 else _is(ref, math.copysign(0.0, sign))


def _add(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    x, y = refs
    if x.value.dtype.category == 0:
        return None
    if _is_zero(y, -1):
        return x
    if _is_zero(x, -1):
        return y
    if (z := _under(y, "negation")) is not None:
        return b.named("sub", [x, z], space, line)
    if (z := _under(x, "negation")) is not None:
        return b.named("sub", [y, z], space, line)
    return b.padded_sum(x, y, space, line)


def _sub(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    x, y = refs
    if _is_zero(y, 1):
        return x
    if (z := _under(y, "negation")) is not None:
        return b.named("add", [x, z], space, line)
    return None


def _mul(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    x, y = refs
    if x.value.dtype.category == 0:
        return None
    for one, other in ((x, y), (y, x)):
        if _is(one, 1):
            return other
        if _is(one, -1):
            return b.named("neg", [other], space, line)
    if (u := _under(x, "negation")) is not None and (v := _under(y, "negation")) is not None:
        return b.named("mul", [u, v], space, line)
    return None


def _div(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    x, y = refs
    if _is(y, 1):
        return x
    c = _number(y)
    if c is not None and math.isfinite(c) and c != 0 and abs(math.frexp(c)[0]) == 0.5 and 2.0**-60 < abs(c) < 2.0**60:
        return b.named("mul", [x, b.constant(1 / c, y.value.dtype)], space, line)   # a power of two: exact
    return None


def _neg(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    return _under(refs[0], "negation")


def _where(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    chosen = _number(refs[0])
    if chosen is not None:
        return refs[1] if chosen else refs[2]
    return refs[1] if refs[1] == refs[2] else None


def _cast(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    (x,), (to,) = refs, params
    if x.value.dtype is to:
        return x
    inner = _under(x, "conversion")
    if inner is not None and inner.value.dtype is to:
        middle = x.value.dtype
        if (to.category == middle.category and to.itemsize <= middle.itemsize) or to.category == 0:
            return inner
    return None


def _power(b: Context, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    (x,), (n,) = refs, params
    return b.constant((False, 1, 1.0)[x.value.dtype.category], x.value.dtype) if n == 0 else x if n == 1 else None


# By the role of an op.
RULES: dict[str, Rule] = {
    "addition": _add, "subtraction": _sub, "multiplication": _mul, "division": _div, "negation": _neg, "selection": _where,
    "conversion": _cast, "identity": lambda b, params, refs, space, line: refs[0], "power": _power}


def simplify(b: Context, op: Op, params: tuple, refs: list[Ref], space: Dims, line: Any) -> Ref | None:
    """An equal Ref without this application, or None."""
    rule = RULES.get(op.facts.role)
    return None if rule is None else rule(b, params, refs, space, line)


def fold(op: Op, params: tuple, refs: list[Ref], dtype: dtype) -> Any:
    """The number that an op gives on literals, or None if an operand is not a literal."""
    if any([r.value.kind != "const" for r in refs]):
        return None
    arrays = [np.asarray(r.value.payload, r.value.dtype.np) for r in refs]
    result = quiet.run(functools.partial(op.numpy, *arrays, **dict(zip(op.param_names, params, strict=True))))
    return np.asarray(result, dtype.np).item()
