"""Operations of the vocabulary that need more than one instruction but no approximation.

Division, remainder, maximum and minimum are NumPy's, with their cases for zeros, signs and nan.
"""
from __future__ import annotations

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary import vecmath
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import IRValue, declare, inlined, intrinsic, on_gpu, select


def maximum(a: IRValue, b: IRValue) -> IRValue:
    """The larger; nan if either is; the second where they are equal, as NumPy has it (which matters for zeros)."""
    larger = a > b
    return select(larger | a.isnan() if a.is_float else larger, a, b)


def minimum(a: IRValue, b: IRValue) -> IRValue:
    """The smaller, with the same rules."""
    smaller = a < b
    return select(smaller | a.isnan() if a.is_float else smaller, a, b)


def fmax(a: IRValue, b: IRValue) -> IRValue:
    """The larger; the other one if one is nan."""
    return select((a > b) | b.isnan(), a, b)


def fmin(a: IRValue, b: IRValue) -> IRValue:
    """The smaller; the other one if one is nan."""
    return select((a < b) | b.isnan(), a, b)


def reduction_maximum(a: IRValue, b: IRValue) -> IRValue:
    """The maximum in the form that LLVM vectorises as a reduction (it orders -0 below 0, so the order is free)."""
    if not a.is_float:
        return select(a > b, a, b)
    if on_gpu(a.builder):       # equal numbers that are not equal bits are both zeros
        return select(a.eq(b), (a.bits() & b.bits()).as_float(), maximum(a, b))
    return intrinsic("maximum", a, b)


def reduction_minimum(a: IRValue, b: IRValue) -> IRValue:
    if not a.is_float:
        return select(a < b, a, b)
    if on_gpu(a.builder):
        return select(a.eq(b), (a.bits() | b.bits()).as_float(), minimum(a, b))
    return intrinsic("minimum", a, b)


def sign(x: IRValue) -> IRValue:
    """-1, 0 or 1; nan stays; both zeros give 0."""
    result = select(x > 0, x.const(1), select(x < 0, x.const(-1), x.const(0)))
    return select(x.isnan(), x, result) if x.is_float else result


def _divisor(a: IRValue, b: IRValue) -> tuple[IRValue, IRValue]:
    """A divisor that never traps, and whether the given one was zero: lowest // -1 is computed as lowest // 1."""
    zero = b.eq(0)
    lowest = -(2 ** (a.type.width - 1))
    return select(zero | (a.eq(lowest) & b.eq(-1)), 1, b), zero


def truncated_remainder(a: IRValue, b: IRValue) -> IRValue:
    """The remainder with the sign of the dividend; 0 for a zero divisor."""
    safe, zero = _divisor(a, b)
    return select(zero, 0, a % safe)


def floordiv(a: IRValue, b: IRValue) -> IRValue:
    """NumPy's floor_divide; an integer divided by zero is 0."""
    if not a.is_float:
        safe, zero = _divisor(a, b)
        quotient, rest = a / safe, a % safe
        crossed = rest.ne(0) & ((rest ^ safe) < 0)
        return select(zero, 0, select(crossed, quotient - 1, quotient))
    rest = a % b
    quotient = (a - rest) / b
    crossed = rest.ne(0) & _signs_differ(rest, b)
    quotient = select(crossed, quotient - 1.0, quotient)
    whole = intrinsic("floor", quotient)
    whole = select((quotient - whole) > 0.5, whole + 1.0, whole)
    whole = select(quotient.eq(0.0), intrinsic("copysign", a.const(0.0), a / b), whole)
    return select(b.eq(0.0), a / b, whole)


def remainder(a: IRValue, b: IRValue) -> IRValue:
    """NumPy's remainder, with the sign of the divisor; an integer's by zero is 0."""
    if not a.is_float:
        safe, zero = _divisor(a, b)
        rest = a % safe
        crossed = rest.ne(0) & ((rest ^ safe) < 0)
        return select(zero, 0, select(crossed, rest + safe, rest))
    rest = a % b
    moved = select(rest.ne(0) & _signs_differ(rest, b), rest + b, rest)
    return select(rest.eq(0.0), intrinsic("copysign", rest, b), moved)


def _signs_differ(a: IRValue, b: IRValue) -> IRValue:
    return (a < 0.0) ^ (b < 0.0)


def power(a: IRValue, b: IRValue) -> IRValue:
    """a ** b.  Integers wrap around; a negative exponent gives 0 unless the base is 1 or -1 (as PyTorch has it)."""
    if a.is_float:
        return inlined(vecmath.pow, a, b)
    builder, module, type = a.builder, a.builder.module, a.type
    symbol = f"jitgrad.power.{type}"
    function = module.globals.get(symbol)
    if function is None:
        function = declare(module, symbol, type, [type, type])
        function.linkage = "internal"
        _integer_power(function)
    return IRValue(builder, builder.call(function, [a.ir, b.ir]))


def _integer_power(function: ir.Function) -> None:
    """The body: square and multiply, a loop over the bits of the exponent."""
    type = function.function_type.return_type
    start, loop, negative, end = [function.append_basic_block(n) for n in ("start", "loop", "negative", "end")]
    base, exponent = function.args
    b = ir.IRBuilder(start)
    b.cbranch(b.icmp_signed("<", exponent, type(0)), negative, loop)
    b.position_at_end(loop)
    result, square, rest = b.phi(type), b.phi(type), b.phi(type)
    odd = b.icmp_signed("!=", b.and_(rest, type(1)), type(0))
    next_result = b.select(odd, b.mul(result, square), result)
    next_square = b.mul(square, square)
    next_rest = b.lshr(rest, type(1))
    for phi, first, later in ((result, type(1), next_result), (square, base, next_square), (rest, exponent, next_rest)):
        phi.add_incoming(first, start)
        phi.add_incoming(later, loop)
    b.cbranch(b.icmp_signed("==", next_rest, type(0)), end, loop)
    b.position_at_end(end)
    b.ret(next_result)
    b.position_at_end(negative)
    parity = b.icmp_signed("==", b.and_(exponent, type(1)), type(0))
    minus_one = b.select(parity, type(1), type(-1))
    one = b.icmp_signed("==", base, type(1))
    b.ret(b.select(one, type(1), b.select(b.icmp_signed("==", base, type(-1)), minus_one, type(0))))
