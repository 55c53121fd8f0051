"""The vocabulary of kernels: every name that a kernel's source may use, bound to what it lowers to.

Each entry is a Numba intrinsic that builds LLVM IR from a formula over `Value`s, the same formula for all types it
takes. Nothing here promotes: float32 in, float32 out.  The arguments of one operation must have one type.

| names                                | meaning                                                                       |
|--------------------------------------|-------------------------------------------------------------------------------|
| arg_T(args, k)                       | slot k (8 bytes each) of the argument block; f4 and f8 from a float64 pattern |
| load_T(p, i), store_T(p, i, v)       | element i of the array at address p; no address stored in one iteration of    |
|                                      | the innermost loop is touched in another                                      |
| accload_T(p, i), accstore_T(p, i, v) | the same without that promise, for `out[k] += v`                              |
| f4 f8 i4 i8 b1                       | typed literals: f4(0.5)                                                       |
| to_f4 to_f8 to_i4 to_i8 to_b1        | NumPy's astype                                                                |
| radd rmul rmax rmin                  | an accumulation that LLVM may reorder into vector lanes                       |

T is one of f4 f8 i4 i8 b1 (a boolean is one byte in arrays, an int64 in the block).  Elementwise functions: see the
tables at the end; accuracy: vecmath/__init__.py.
"""
from __future__ import annotations

import linecache
import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic

from jitgrad.compiler import scalarmath as sm
from jitgrad.compiler import vecmath as vm
from jitgrad.compiler.irvalue import F4, F8, I1, I4, I8, Value, inlined, intrinsic, select
from jitgrad.compiler.loops import mark_independent, mark_invariant
from jitgrad.errors import InternalError

KINDS: dict[str, Any] = {"f4": types.float32, "f8": types.float64, "i4": types.int32, "i8": types.int64,
                         "b1": types.boolean}
_IR = {"f4": F4, "f8": F8, "i4": I4, "i8": I8, "b1": I1}
_MEMORY = {**_IR, "b1": ir.IntType(8)}
_SIZE = {"f4": 4, "f8": 8, "i4": 4, "i8": 8, "b1": 1}
_FLOATS = frozenset([types.float32, types.float64])
_INTS = frozenset([types.int32, types.int64])
_BOOL = frozenset([types.boolean])
_NUMBERS = _FLOATS | _INTS
_ANY = _NUMBERS | _BOOL


# -- memory ----------------------------------------------------------------------------------------------------------


def _arg(kind: str) -> Any:
    @numba_intrinsic
    def arg(typingctx, args, slot):
        def codegen(context, builder, signature, values):
            address = builder.gep(builder.inttoptr(values[0], I8.as_pointer()), [values[1]])
            stored = F8 if kind in ("f4", "f8") else I8
            load = builder.load(builder.bitcast(address, stored.as_pointer()), align=8)
            mark_invariant(builder.module, load)
            return Value(builder, load).cast(_IR[kind]).ir
        return KINDS[kind](types.int64, types.int64), codegen
    return arg


def _pointer(builder: ir.IRBuilder, kind: str, base: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(builder.inttoptr(base, _MEMORY[kind].as_pointer()), [index], inbounds=True)


def _load(kind: str, independent: bool) -> Any:
    @numba_intrinsic
    def load(typingctx, base, index):
        def codegen(context, builder, signature, values):
            value = builder.load(_pointer(builder, kind, *values), align=_SIZE[kind])
            if independent:
                mark_independent(builder.module, value)
            return builder.icmp_signed("!=", value, value.type(0)) if kind == "b1" else value
        return KINDS[kind](types.int64, types.int64), codegen
    return load


def _store(kind: str, independent: bool) -> Any:
    @numba_intrinsic
    def store(typingctx, base, index, value):
        if types.unliteral(value) != KINDS[kind]:
            raise TypingError(f"store_{kind} was given a value of type {value}")

        def codegen(context, builder, signature, values):
            base, index, value = values
            if kind == "b1":
                value = builder.zext(value, _MEMORY[kind])
            store = builder.store(value, _pointer(builder, kind, base, index), align=_SIZE[kind])
            if independent:
                mark_independent(builder.module, store)
            return context.get_dummy_value()
        return types.void(types.int64, types.int64, KINDS[kind]), codegen
    return store


# -- operations ------------------------------------------------------------------------------------------------------


def _check(name: str, accepted: frozenset, *given: Any) -> Any:
    """The one type of an operation's arguments.  Raises TypingError."""
    first = types.unliteral(given[0])
    if first not in accepted or any(types.unliteral(t) != first for t in given):
        raise TypingError(f"{name}({', '.join(str(t) for t in given)}): needs arguments of one type out of "
                          f"{', '.join(sorted(str(t) for t in accepted))}")
    return first


def _lowering(formula: Callable[..., Value]) -> Callable:
    def codegen(context, builder, signature, values):
        return formula(*[Value(builder, v) for v in values]).ir
    return codegen


def _unary(name: str, accepted: frozenset, formula: Callable[..., Value], result: Any = None) -> Any:
    codegen = _lowering(formula)

    @numba_intrinsic
    def operation(typingctx, x):
        t = _check(name, accepted, x)
        return (result or t)(t), codegen
    return operation


def _binary(name: str, accepted: frozenset, formula: Callable[..., Value], result: Any = None) -> Any:
    codegen = _lowering(formula)

    @numba_intrinsic
    def operation(typingctx, a, b):
        t = _check(name, accepted, a, b)
        return (result or t)(t, t), codegen
    return operation


def _where() -> Any:
    codegen = _lowering(select)

    @numba_intrinsic
    def operation(typingctx, condition, a, b):
        c = _check("where", _BOOL, condition)
        t = _check("where", _ANY, a, b)
        return t(c, t, t), codegen
    return operation


def _to(kind: str) -> Any:
    codegen = _lowering(lambda x: x.cast(_IR[kind]))

    @numba_intrinsic
    def operation(typingctx, x):
        t = types.unliteral(x)
        if t not in _ANY:
            raise TypingError(f"to_{kind}({x}): cannot convert")
        return KINDS[kind](t), codegen
    return operation


def _reassociable(floating: str, integer: str) -> Callable[[Value, Value], Value]:
    def formula(a: Value, b: Value) -> Value:
        if a.is_float:
            return Value(a.builder, getattr(a.builder, floating)(a.ir, b.ir, flags=("reassoc",)))
        return Value(a.builder, getattr(a.builder, integer)(a.ir, b.ir))
    return formula


def _through(formula: Callable[..., Value]) -> Callable[..., Value]:
    """Long formulas become one function a module, so that the text that LLVM parses stays short."""
    return lambda *args: inlined(formula, *args)


def _llvm(name: str) -> Callable[..., Value]:
    return lambda *args: intrinsic(name, *args)


_FLOAT_UNARY: dict[str, Callable[[Value], Value]] = {
    **{name: _through(formula) for name, formula in vm.UNARY.items()},
    "sqrt": _llvm("sqrt"),
    "floor": _llvm("floor"),
    "ceil": _llvm("ceil"),
    "trunc": _llvm("trunc"),
    "rint": _llvm("rint"),
    "fabs": _llvm("fabs"),
}

_FLOAT_TESTS: dict[str, Callable[[Value], Value]] = {
    "isnan": lambda x: x.isnan(),
    "isinf": lambda x: intrinsic("fabs", x).eq(math.inf),
    "isfinite": lambda x: intrinsic("fabs", x) < math.inf,
}

_FLOAT_BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "atan2": _through(vm.atan2),
    "copysign": _llvm("copysign"),
    "fmod": lambda a, b: a % b,
    "fmax": sm.fmax,
    "fmin": sm.fmin,
}

_NUMBER_BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "pow": sm.power,
    "maximum": sm.maximum,
    "minimum": sm.minimum,
    "rmax": sm.reduction_maximum,
    "rmin": sm.reduction_minimum,
    "floordiv": _through(sm.floordiv),
    "remainder": _through(sm.remainder),
    "radd": _reassociable("fadd", "add"),
    "rmul": _reassociable("fmul", "mul"),
}

VOCABULARY: dict[str, Any] = {
    **KINDS,
    "inf": math.inf,
    "nan": math.nan,
    **{f"arg_{kind}": _arg(kind) for kind in KINDS},
    **{f"load_{kind}": _load(kind, True) for kind in KINDS},
    **{f"store_{kind}": _store(kind, True) for kind in KINDS},
    **{f"accload_{kind}": _load(kind, False) for kind in KINDS},
    **{f"accstore_{kind}": _store(kind, False) for kind in KINDS},
    **{f"to_{kind}": _to(kind) for kind in KINDS},
    **{name: _unary(name, _FLOATS, formula) for name, formula in _FLOAT_UNARY.items()},
    **{name: _unary(name, _FLOATS, formula, types.boolean) for name, formula in _FLOAT_TESTS.items()},
    **{name: _binary(name, _FLOATS, formula) for name, formula in _FLOAT_BINARY.items()},
    **{name: _binary(name, _NUMBERS, formula) for name, formula in _NUMBER_BINARY.items()},
    "where": _where(),
    "sign": _unary("sign", _NUMBERS, sm.sign),
    "iabs": _unary("iabs", _INTS, lambda x: select(x < 0, -x, x)),
    "ifmod": _binary("ifmod", _INTS, sm.truncated_remainder),
    "land": _binary("land", _BOOL, lambda a, b: a & b),
    "lor": _binary("lor", _BOOL, lambda a, b: a | b),
    "lxor": _binary("lxor", _BOOL, lambda a, b: a ^ b),
    "lnot": _unary("lnot", _BOOL, lambda a: ~a),
    "band": _binary("band", _INTS | _BOOL, lambda a, b: a & b),
    "bor": _binary("bor", _INTS | _BOOL, lambda a, b: a | b),
    "bxor": _binary("bxor", _INTS | _BOOL, lambda a, b: a ^ b),
    "bnot": _unary("bnot", _INTS | _BOOL, lambda a: ~a),
}


def define(source: str, name: str) -> Callable[[int, int, int], None]:
    """Execute the source of a kernel over the vocabulary and return its Python function (to be compiled, not
    called)."""
    filename = f"<jitgrad {name}>"
    # Numba shows lines of the source in its errors; this text is in no file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(source, filename, "exec"), namespace)
    return namespace["kernel"]


def refusal(error: Exception, source: str) -> InternalError:
    """What is raised for a kernel that Numba cannot compile."""
    return InternalError(f"Numba refused a generated kernel: {error}\n--- source ---\n{source}")
