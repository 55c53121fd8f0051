"""The vocabulary of kernels: every name that a kernel's source may use, bound to what it lowers to.

Each entry is an `Operation`: a rule for types and a formula over `Value`s that builds LLVM IR, the same formula for all
types it takes.  Nothing here promotes: float32 in, float32 out.  The arguments of one operation must have one type.

| names                                | meaning                                                                       |
|--------------------------------------|-------------------------------------------------------------------------------|
| arg_T(args, k)                       | slot k (8 bytes each) of the argument block; f4 and f8 from a float64 pattern |
| load_T(p, i), store_T(p, i, v)       | element i of the array at address p; no address stored in one iteration of    |
|                                      | the innermost loop is touched in another                                      |
| accload_T(p, i), accstore_T(p, i, v) | the same without that promise, for `out[k] += v`                              |
| f4 f8 i4 i8 b1                       | typed literals: f4(0.5)                                                       |
| to_f4 to_f8 to_i4 to_i8 to_b1        | NumPy's astype                                                                |
| radd rmul rmax rmin                  | an accumulation that LLVM may reorder into vector lanes                       |
| interleave(n)                        | the innermost loop around it is to compute n vectors in one iteration         |

T is one of f4 f8 i4 i8 b1 (a boolean is one byte in arrays, an int64 in the block).  Elementwise functions: see the
tables at the end; accuracy: vecmath/__init__.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu import scalarmath as sm
from jitgrad.compiler.numba_cpu import vecmath as vm
from jitgrad.compiler.numba_cpu.irvalue import F4, F8, I1, I4, I8, Value, inlined, intrinsic, select
from jitgrad.compiler.numba_cpu.loops import mark_independent, mark_interleaved, mark_invariant

IR: dict[str, Any] = {"f4": F4, "f8": F8, "i4": I4, "i8": I8, "b1": I1}
_MEMORY = {**IR, "b1": ir.IntType(8)}
_SIZE = {"f4": 4, "f8": 8, "i4": 4, "i8": 8, "b1": 1}
_FLOATS = frozenset(["f4", "f8"])
_INTS = frozenset(["i4", "i8"])
_BOOL = frozenset(["b1"])
_NUMBERS = _FLOATS | _INTS
_ANY = _NUMBERS | _BOOL

Kinds = tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """check(kinds): the kind of the result, None for none; raises TypeError.  build(builder, *values): the LLVM value."""

    arity: int
    check: Callable[[Kinds], str | None]
    build: Callable[..., Any]


def _signature(name: str, given: Kinds, result: str | None) -> Callable[[Kinds], str | None]:
    def check(kinds: Kinds) -> str | None:
        if kinds != given:
            raise TypeError(f"{name}({', '.join(kinds)}): needs ({', '.join(given)})")
        return result
    return check


# -- memory ----------------------------------------------------------------------------------------------------------


def _arg(kind: str) -> Operation:
    def build(builder, args, slot):
        address = builder.gep(builder.inttoptr(args, I8.as_pointer()), [slot])
        stored = F8 if kind in ("f4", "f8") else I8
        load = builder.load(builder.bitcast(address, stored.as_pointer()), align=8)
        mark_invariant(builder.module, load)
        return Value(builder, load).cast(IR[kind]).ir
    return Operation(2, _signature(f"arg_{kind}", ("i8", "i8"), kind), build)


def _pointer(builder: ir.IRBuilder, kind: str, base: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(builder.inttoptr(base, _MEMORY[kind].as_pointer()), [index], inbounds=True)


def _load(kind: str, independent: bool) -> Operation:
    def build(builder, base, index):
        value = builder.load(_pointer(builder, kind, base, index), align=_SIZE[kind])
        if independent:
            mark_independent(builder.function, value)
        return builder.icmp_signed("!=", value, value.type(0)) if kind == "b1" else value
    return Operation(2, _signature(f"load_{kind}", ("i8", "i8"), kind), build)


def _store(kind: str, independent: bool) -> Operation:
    def build(builder, base, index, value):
        if kind == "b1":
            value = builder.zext(value, _MEMORY[kind])
        store = builder.store(value, _pointer(builder, kind, base, index), align=_SIZE[kind])
        if independent:
            mark_independent(builder.function, store)
    return Operation(3, _signature(f"store_{kind}", ("i8", "i8", kind), None), build)


def _literal(kind: str) -> Operation:
    def check(kinds: Kinds) -> str:
        if kinds[0] not in ("f8", "i8", "b1"):      # what Python's numbers are
            raise TypeError(f"{kind}({kinds[0]}): needs a literal")
        return kind
    return Operation(1, check, _lowering(lambda x: x.cast(IR[kind])))


def _interleave() -> Operation:
    def build(builder, count):
        mark_interleaved(builder.block, count.constant)
    return Operation(1, _signature("interleave", ("i8",), None), build)


# -- operations ------------------------------------------------------------------------------------------------------


def _alike(name: str, accepted: frozenset, result: str | None = None) -> Callable[[Kinds], str]:
    def check(kinds: Kinds) -> str:
        first = kinds[0]
        if first not in accepted or any(kind != first for kind in kinds):
            raise TypeError(f"{name}({', '.join(kinds)}): needs arguments of one type out of "
                            f"{', '.join(sorted(accepted))}")
        return result or first
    return check


def _lowering(formula: Callable[..., Value]) -> Callable:
    def build(builder, *values):
        return formula(*[Value(builder, v) for v in values]).ir
    return build


def _unary(name: str, accepted: frozenset, formula: Callable[..., Value], result: str | None = None) -> Operation:
    return Operation(1, _alike(name, accepted, result), _lowering(formula))


def _binary(name: str, accepted: frozenset, formula: Callable[..., Value], result: str | None = None) -> Operation:
    return Operation(2, _alike(name, accepted, result), _lowering(formula))


def _where() -> Operation:
    both = _alike("where", _ANY)

    def check(kinds: Kinds) -> str:
        if kinds[0] != "b1":
            raise TypeError(f"where({', '.join(kinds)}): needs a condition of kind b1")
        return both(kinds[1:])
    return Operation(3, check, _lowering(select))


def _to(kind: str) -> Operation:
    return Operation(1, _alike(f"to_{kind}", _ANY, kind), _lowering(lambda x: x.cast(IR[kind])))


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

OPERATIONS: dict[str, Operation] = {
    **{f"arg_{kind}": _arg(kind) for kind in IR},
    **{f"load_{kind}": _load(kind, True) for kind in IR},
    **{f"store_{kind}": _store(kind, True) for kind in IR},
    **{f"accload_{kind}": _load(kind, False) for kind in IR},
    **{f"accstore_{kind}": _store(kind, False) for kind in IR},
    **{kind: _literal(kind) for kind in IR},
    **{f"to_{kind}": _to(kind) for kind in IR},
    "interleave": _interleave(),
    **{name: _unary(name, _FLOATS, formula) for name, formula in _FLOAT_UNARY.items()},
    **{name: _unary(name, _FLOATS, formula, "b1") for name, formula in _FLOAT_TESTS.items()},
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
