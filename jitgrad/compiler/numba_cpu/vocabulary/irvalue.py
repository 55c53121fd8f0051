"""LLVM values with Python's operators, so that the formulas in vecmath, scalarmath.py and the vocabulary read as formulas.

A `IRValue` is an SSA value in the block that its builder is at.  Python numbers on either side of an operator become
constants of the other side's type; types are never mixed or promoted.  Floating-point operations carry no fast-math
flag.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

# llvmlite has no type annotations: its builders, values and types are Any here.
F4: Any = ir.FloatType()
F8: Any = ir.DoubleType()
I1: Any = ir.IntType(1)
I4: Any = ir.IntType(32)
I8: Any = ir.IntType(64)


class IRValue:
    """A scalar of type F4, F8, I1, I4 or I8 (after vectorisation, a lane)."""

    __slots__ = ("builder", "ir")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.ir = value

    @property
    def type(self) -> Any:
        return self.ir.type

    @property
    def is_float(self) -> bool:
        return not isinstance(self.type, ir.IntType)

    @property
    def is_f4(self) -> bool:
        return self.type == F4

    def const(self, number: float | int | bool) -> IRValue:
        """A constant of this value's type."""
        return IRValue(self.builder, ir.Constant(self.type, float(number) if self.is_float else int(number)))

    def _coerce(self, other: IRValue | float | int) -> IRValue:
        if not isinstance(other, IRValue):
            return self.const(other)
        if other.type != self.type:
            raise TypeError(f"mixed types in a formula: {self.type} and {other.type}")
        return other

    def _binary(self, other: IRValue | float | int, floating: str, integer: str, reverse: bool = False) -> IRValue:
        a, b = self, self._coerce(other)
        if reverse:
            a, b = b, a
        return IRValue(self.builder, getattr(self.builder, floating if self.is_float else integer)(a.ir, b.ir))

    def __add__(self, other: IRValue | float) -> IRValue:
        return self._binary(other, "fadd", "add")

    def __radd__(self, other: float) -> IRValue:
        return self._binary(other, "fadd", "add", reverse=True)

    def __sub__(self, other: IRValue | float) -> IRValue:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: float) -> IRValue:
        return self._binary(other, "fsub", "sub", reverse=True)

    def __mul__(self, other: IRValue | float) -> IRValue:
        return self._binary(other, "fmul", "mul")

    def __rmul__(self, other: float) -> IRValue:
        return self._binary(other, "fmul", "mul", reverse=True)

    def __truediv__(self, other: IRValue | float) -> IRValue:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: float) -> IRValue:
        return self._binary(other, "fdiv", "sdiv", reverse=True)

    def __mod__(self, other: IRValue | float) -> IRValue:
        """C's remainder, with the sign of the dividend."""
        return self._binary(other, "frem", "srem")

    def __neg__(self) -> IRValue:
        return IRValue(self.builder, self.builder.fneg(self.ir) if self.is_float else self.builder.neg(self.ir))

    def __and__(self, other: IRValue | int) -> IRValue:
        return IRValue(self.builder, self.builder.and_(self.ir, self._coerce(other).ir))

    def __or__(self, other: IRValue | int) -> IRValue:
        return IRValue(self.builder, self.builder.or_(self.ir, self._coerce(other).ir))

    def __xor__(self, other: IRValue | int) -> IRValue:
        return IRValue(self.builder, self.builder.xor(self.ir, self._coerce(other).ir))

    def __invert__(self) -> IRValue:
        return self ^ (1 if self.type == I1 else -1)

    def __lshift__(self, bits: int) -> IRValue:
        return IRValue(self.builder, self.builder.shl(self.ir, self.const(bits).ir))

    def __rshift__(self, bits: int) -> IRValue:
        """A logical shift: zeros come in."""
        return IRValue(self.builder, self.builder.lshr(self.ir, self.const(bits).ir))

    def _compare(self, operator: str, other: IRValue | float) -> IRValue:
        b = self._coerce(other)
        if self.is_float:
            # Only "not equal" is true of nan.
            compare = self.builder.fcmp_unordered if operator == "!=" else self.builder.fcmp_ordered
        else:
            compare = self.builder.icmp_signed
        return IRValue(self.builder, compare(operator, self.ir, b.ir))

    def __lt__(self, other: IRValue | float) -> IRValue:
        return self._compare("<", other)

    def __le__(self, other: IRValue | float) -> IRValue:
        return self._compare("<=", other)

    def __gt__(self, other: IRValue | float) -> IRValue:
        return self._compare(">", other)

    def __ge__(self, other: IRValue | float) -> IRValue:
        return self._compare(">=", other)

    def eq(self, other: IRValue | float) -> IRValue:
        return self._compare("==", other)

    def ne(self, other: IRValue | float) -> IRValue:
        return self._compare("!=", other)

    def isnan(self) -> IRValue:
        return IRValue(self.builder, self.builder.fcmp_unordered("uno", self.ir, self.ir))

    # -- reinterpretation and conversion --

    def bits(self) -> IRValue:
        """The bit pattern of a float, as the integer of its width."""
        return IRValue(self.builder, self.builder.bitcast(self.ir, I4 if self.is_f4 else I8))

    def as_float(self) -> IRValue:
        """The float with this bit pattern."""
        return IRValue(self.builder, self.builder.bitcast(self.ir, F4 if self.type == I4 else F8))

    def cast(self, target: Any) -> IRValue:
        """NumPy's astype: truncation towards zero, != 0 for booleans, wrap-around between integers."""
        b, source = self.builder, self.type
        if source == target:
            return self
        if target == I1:
            return self.ne(0)
        if self.is_float:
            if target in (F4, F8):
                return IRValue(b, b.fpext(self.ir, target) if target == F8 else b.fptrunc(self.ir, target))
            # Out of range is the hardware's affair (the lowest integer on x86); the saturating intrinsics differ.
            return IRValue(b, b.fptosi(self.ir, target))
        if source == I1:
            return IRValue(b, b.uitofp(self.ir, target) if target in (F4, F8) else b.zext(self.ir, target))
        if target in (F4, F8):
            return IRValue(b, b.sitofp(self.ir, target))
        return IRValue(b, b.sext(self.ir, target) if target.width > source.width else b.trunc(self.ir, target))


def select(condition: IRValue, a: IRValue | float, b: IRValue | float) -> IRValue:
    """`a` where the condition holds, else `b`; both are computed."""
    if isinstance(a, IRValue):
        b = a._coerce(b)
    elif isinstance(b, IRValue):
        a = b.const(a)
    else:
        raise TypeError("select needs a IRValue on at least one side")
    return IRValue(condition.builder, condition.builder.select(condition.ir, a.ir, b.ir))


def intrinsic(name: str, *args: IRValue) -> IRValue:
    """Call LLVM's intrinsic `llvm.<name>` of one overloaded type."""
    builder = args[0].builder
    type = args[0].type
    suffix = {F4: "f32", F8: "f64", I4: "i32", I8: "i64"}[type]
    function = declare(builder.module, f"llvm.{name}.{suffix}", type, [type] * len(args))
    return IRValue(builder, builder.call(function, [a.ir for a in args]))


def fma(a: IRValue, b: IRValue | float, c: IRValue | float) -> IRValue:
    """a * b + c, rounded once."""
    return intrinsic("fma", a, a._coerce(b), a._coerce(c))


def declare(module: ir.Module, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    """The module's declaration of an external function, made once."""
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, ir.FunctionType(result, arguments), name)


def inlined(formula: Callable[..., IRValue], *args: IRValue) -> IRValue:
    """Apply a formula, of its arguments' type, through a function of the module's own: built once, always inlined."""
    builder = args[0].builder
    type = args[0].type
    symbol = f"jitgrad.{formula.__name__}.{type}"
    function = builder.module.globals.get(symbol)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(type, [a.type for a in args]), symbol)
        function.linkage = "internal"
        function.attributes.add("alwaysinline")
        body = ir.IRBuilder(function.append_basic_block())
        body.ret(formula(*[IRValue(body, a) for a in function.args]).ir)
    return IRValue(builder, builder.call(function, [a.ir for a in args]))
