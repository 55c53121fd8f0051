"""LLVM values with Python's operators, so that the formulas in vecmath, scalarmath.py and the vocabulary read as formulas.

A `IRValue` is an SSA value in the block that its builder is at.  Python numbers on either side of an operator become
constants of the other side's type; types are never mixed or promoted.  Floating-point operations carry no fast-math
flag.

The same formulas build code for GPUs.  NVVM takes LLVM's text, but not all of it (`on_gpu`).
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


def _arithmetic(floating: str, integer: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """An operator of two values by the builder's instruction for floats or for integers, and its reflection."""
    def apply(a: IRValue, b: IRValue) -> IRValue:
        return IRValue(a.builder, getattr(a.builder, floating if a.is_float else integer)(a.ir, b.ir))

    return lambda self, other: apply(self, self._coerce(other)), lambda self, other: apply(self._coerce(other), self)


def _comparison(operator: str) -> Callable[[Any, Any], Any]:
    def compare(self: IRValue, other: IRValue | float) -> IRValue:
        b, builder = self._coerce(other), self.builder
        # Of floats, only "not equal" is true of nan.
        by = (builder.fcmp_unordered if operator == "!=" else builder.fcmp_ordered) if self.is_float else builder.icmp_signed
        return IRValue(builder, by(operator, self.ir, b.ir))

    return compare


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

    __add__, __radd__ = _arithmetic("fadd", "add")
    __sub__, __rsub__ = _arithmetic("fsub", "sub")
    __mul__, __rmul__ = _arithmetic("fmul", "mul")
    __truediv__, __rtruediv__ = _arithmetic("fdiv", "sdiv")

    def __mod__(self, other: IRValue | float) -> IRValue:
        """C's remainder, with the sign of the dividend."""
        b, other = self.builder, self._coerce(other)
        if self.is_float and on_gpu(b):         # whose `frem` is a - b * trunc(a / b), with the rounding of the quotient
            return _libdevice("fmod", self, other)
        return IRValue(b, (b.frem if self.is_float else b.srem)(self.ir, other.ir))

    def __neg__(self) -> IRValue:
        if not self.is_float:
            return IRValue(self.builder, self.builder.neg(self.ir))
        if on_gpu(self.builder):
            return (self.bits() ^ -(1 << (31 if self.is_f4 else 63))).as_float()
        return IRValue(self.builder, self.builder.fneg(self.ir))

    __and__ = _arithmetic("and_", "and_")[0]
    __or__ = _arithmetic("or_", "or_")[0]
    __xor__ = _arithmetic("xor", "xor")[0]

    def __invert__(self) -> IRValue:
        return self ^ (1 if self.type == I1 else -1)

    def __lshift__(self, bits: IRValue | int) -> IRValue:
        return IRValue(self.builder, self.builder.shl(self.ir, self._coerce(bits).ir))

    def __rshift__(self, bits: int) -> IRValue:
        """A logical shift: zeros come in."""
        return IRValue(self.builder, self.builder.lshr(self.ir, self.const(bits).ir))

    def with_sign_shifted(self, bits: IRValue) -> IRValue:
        """An arithmetic shift to the right: copies of the sign come in."""
        return IRValue(self.builder, self.builder.ashr(self.ir, bits.ir))

    __lt__, __le__, __gt__, __ge__ = _comparison("<"), _comparison("<="), _comparison(">"), _comparison(">=")
    eq, ne = _comparison("=="), _comparison("!=")

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


def on_gpu(builder: Any) -> bool:
    """Whether the code is for NVVM, which knows neither fneg nor some of LLVM's intrinsics."""
    return builder.module.triple.startswith("nvptx")


def _libdevice(name: str, *args: IRValue) -> IRValue:
    """Call a function of CUDA's library, of its arguments' type."""
    builder, type = args[0].builder, args[0].type
    function = declare(builder.module, f"__nv_{name}{'f' if type == F4 else ''}", type, [type] * len(args))
    return IRValue(builder, builder.call(function, [a.ir for a in args]))


def intrinsic(name: str, *args: IRValue) -> IRValue:
    """Call LLVM's intrinsic `llvm.<name>` of one overloaded type."""
    builder = args[0].builder
    if name in ("fabs", "rint") and on_gpu(builder):
        return _libdevice(name, *args)
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


def inlined(formula: Callable[..., IRValue], *args: IRValue, result: Any = None) -> IRValue:
    """Apply a formula through a function of the module's own: built once, always inlined.  result: its type, by default that of the
    arguments."""
    builder = args[0].builder
    type = args[0].type
    symbol = f"jitgrad.{formula.__name__}.{type}"
    function = builder.module.globals.get(symbol)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result or type, [a.type for a in args]), symbol)
        function.linkage = "internal"
        function.attributes.add("alwaysinline")
        body = ir.IRBuilder(function.append_basic_block())
        body.ret(formula(*[IRValue(body, a) for a in function.args]).ir)
    return IRValue(builder, builder.call(function, [a.ir for a in args]))
