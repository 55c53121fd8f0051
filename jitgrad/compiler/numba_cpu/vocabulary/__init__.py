"""The vocabulary of kernels: every name that a kernel's source may use, bound to what it lowers to.

Each entry is an `Intrinsic` (intrinsic.py): a rule for types and a formula over `IRValue`s that builds LLVM IR, the same for all
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
tables at the end; accuracy: vecmath/__init__.py.  Random numbers: philox.py; what only matrix products use: foreign.py, vectors.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary import foreign, philox, vectors
from jitgrad.compiler.numba_cpu.vocabulary import scalarmath as sm
from jitgrad.compiler.numba_cpu.vocabulary import vecmath as vm
from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import (
    ANY,
    BOOL,
    FLOATS,
    INTS,
    IR,
    NUMBERS,
    SCALARS,
    Intrinsic,
    Kinds,
    alike,
    formula_of,
    signature,
)
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import F8, I8, IRValue, inlined, intrinsic, select
from jitgrad.compiler.numba_cpu.vocabulary.loops import mark_independent, mark_interleaved, mark_invariant

_MEMORY = {**IR, "b1": ir.IntType(8)}
_SIZE = {"f4": 4, "f8": 8, "i4": 4, "i8": 8, "b1": 1}

# -- memory ----------------------------------------------------------------------------------------------------------


def _arg(kind: str) -> Intrinsic:
    def build(builder, args, slot):
        address = builder.gep(builder.inttoptr(args, I8.as_pointer()), [slot])
        stored = F8 if kind in ("f4", "f8") else I8
        load = builder.load(builder.bitcast(address, stored.as_pointer()), align=8)
        mark_invariant(builder.module, load)
        return IRValue(builder, load).cast(IR[kind]).ir
    return Intrinsic(2, signature(f"arg_{kind}", ("i8", "i8"), kind), build)


def _pointer(builder: ir.IRBuilder, kind: str, base: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(builder.inttoptr(base, _MEMORY[kind].as_pointer()), [index], inbounds=True)


def _load(kind: str, independent: bool) -> Intrinsic:
    def build(builder, base, index):
        value = builder.load(_pointer(builder, kind, base, index), align=_SIZE[kind])
        if independent:
            mark_independent(builder.function, value)
        return builder.icmp_signed("!=", value, value.type(0)) if kind == "b1" else value
    return Intrinsic(2, signature(f"load_{kind}", ("i8", "i8"), kind), build)


def _store(kind: str, independent: bool) -> Intrinsic:
    def build(builder, base, index, value):
        if kind == "b1":
            value = builder.zext(value, _MEMORY[kind])
        store = builder.store(value, _pointer(builder, kind, base, index), align=_SIZE[kind])
        if independent:
            mark_independent(builder.function, store)
    return Intrinsic(3, signature(f"store_{kind}", ("i8", "i8", kind), None), build)


def _literal(kind: str) -> Intrinsic:
    def check(kinds: Kinds) -> str:
        if kinds[0] not in ("f8", "i8", "b1"):      # what Python's numbers are
            raise TypeError(f"{kind}({kinds[0]}): needs a literal")
        return kind
    return Intrinsic(1, check, formula_of(lambda x: x.cast(IR[kind])))


def _interleave() -> Intrinsic:
    def build(builder, count):
        mark_interleaved(builder.block, count.constant)
    return Intrinsic(1, signature("interleave", ("i8",), None), build)


# -- operations ------------------------------------------------------------------------------------------------------


def _on(arity: int, name: str, accepted: frozenset, formula: Callable[..., IRValue], result: str | None = None) -> Intrinsic:
    return Intrinsic(arity, alike(name, accepted, result), formula_of(formula))


def _where() -> Intrinsic:
    both = alike("where", ANY)

    def check(kinds: Kinds) -> str:
        if kinds[0] != "b1":
            raise TypeError(f"where({', '.join(kinds)}): needs a condition of kind b1")
        return both(kinds[1:])
    return Intrinsic(3, check, formula_of(select))


def _to(kind: str) -> Intrinsic:
    return Intrinsic(1, alike(f"to_{kind}", ANY, kind), formula_of(lambda x: x.cast(IR[kind])))


def _reassociable(floating: str, integer: str) -> Callable[[IRValue, IRValue], IRValue]:
    def formula(a: IRValue, b: IRValue) -> IRValue:
        if a.is_float:
            return IRValue(a.builder, getattr(a.builder, floating)(a.ir, b.ir, flags=("reassoc",)))
        return IRValue(a.builder, getattr(a.builder, integer)(a.ir, b.ir))
    return formula


def _through(formula: Callable[..., IRValue]) -> Callable[..., IRValue]:
    """Long formulas become one function a module, so that the text that LLVM parses stays short."""
    return lambda *args: inlined(formula, *args)


def _llvm(name: str) -> Callable[..., IRValue]:
    return lambda *args: intrinsic(name, *args)


_FLOAT_UNARY: dict[str, Callable[[IRValue], IRValue]] = {
    **{name: _through(formula) for name, formula in vm.UNARY.items()},
    "sqrt": _llvm("sqrt"),
    "floor": _llvm("floor"),
    "ceil": _llvm("ceil"),
    "trunc": _llvm("trunc"),
    "rint": _llvm("rint"),
    "fabs": _llvm("fabs"),
}

_FLOAT_TESTS: dict[str, Callable[[IRValue], IRValue]] = {
    "isnan": lambda x: x.isnan(),
    "isinf": lambda x: intrinsic("fabs", x).eq(math.inf),
    "isfinite": lambda x: intrinsic("fabs", x) < math.inf,
}

_FLOAT_BINARY: dict[str, Callable[[IRValue, IRValue], IRValue]] = {
    "atan2": _through(vm.atan2),
    "copysign": _llvm("copysign"),
    "fmod": lambda a, b: a % b,
    "fmax": sm.fmax,
    "fmin": sm.fmin,
}

_NUMBER_BINARY: dict[str, Callable[[IRValue, IRValue], IRValue]] = {
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

OPERATIONS: dict[str, Intrinsic] = {
    **{f"arg_{kind}": _arg(kind) for kind in SCALARS},
    **{f"load_{kind}": _load(kind, True) for kind in SCALARS},
    **{f"store_{kind}": _store(kind, True) for kind in SCALARS},
    **{f"accload_{kind}": _load(kind, False) for kind in SCALARS},
    **{f"accstore_{kind}": _store(kind, False) for kind in SCALARS},
    **{kind: _literal(kind) for kind in SCALARS},
    **{f"to_{kind}": _to(kind) for kind in SCALARS},
    "interleave": _interleave(),
    **foreign.OPERATIONS,
    **vectors.OPERATIONS,
    **philox.OPERATIONS,
    **{name: _on(1, name, FLOATS, formula) for name, formula in _FLOAT_UNARY.items()},
    **{name: _on(1, name, FLOATS, formula, "b1") for name, formula in _FLOAT_TESTS.items()},
    **{name: _on(2, name, FLOATS, formula) for name, formula in _FLOAT_BINARY.items()},
    **{name: _on(2, name, NUMBERS, formula) for name, formula in _NUMBER_BINARY.items()},
    "where": _where(),
    "sign": _on(1, "sign", NUMBERS, sm.sign),
    "iabs": _on(1, "iabs", INTS, lambda x: select(x < 0, -x, x)),
    "ifmod": _on(2, "ifmod", INTS, sm.truncated_remainder),
    "land": _on(2, "land", BOOL, lambda a, b: a & b),
    "lor": _on(2, "lor", BOOL, lambda a, b: a | b),
    "lxor": _on(2, "lxor", BOOL, lambda a, b: a ^ b),
    "lnot": _on(1, "lnot", BOOL, lambda a: ~a),
    "band": _on(2, "band", INTS | BOOL, lambda a, b: a & b),
    "bor": _on(2, "bor", INTS | BOOL, lambda a, b: a | b),
    "bxor": _on(2, "bxor", INTS | BOOL, lambda a, b: a ^ b),
    "shl": _on(2, "shl", INTS, lambda a, b: a << b),
    "shr": _on(2, "shr", INTS, lambda a, b: a.with_sign_shifted(b)),
    "bnot": _on(1, "bnot", INTS | BOOL, lambda a: ~a),
}
