"""Kernel operations for matrix products: calls of BLAS and of other kernels by address, memory, floating-point flags.

| names                                          | meaning                                                                          |
|------------------------------------------------|----------------------------------------------------------------------------------|
| gemm_T_B(f, ta, tb, m, n, k, s, a, lda,        | f is CBLAS's gemm for matrices in rows: c = s * a @ b; integers of B bits        |
|          b, ldb, c, ldc)                       |                                                                                  |
| gemv_T_B(f, ta, m, n, a, lda, x, step, y)      | f is CBLAS's gemv for a matrix in rows: y = a @ x                                |
| call_kernel(f, lo, hi, args)                   | f is another kernel                                                              |
| stack_words(n)                                 | the address of n words of 8 bytes, n a literal, that live as long as the call    |
| allocate(bytes), release(p)                    | memory of the C library, 0 if there is none                                      |
| clear_subnormal_flag(), subnormal_flag()       | of an x86 CPU: whether an instruction has met a subnormal number since (not 0)   |

Addresses are int64.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import FLOATS, IR, Intrinsic, signature
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I4, I8, declare

_ROWS = 101             # CBLAS's number for matrices in rows
_DENORMAL = 2           # the sticky flag's bit in MXCSR
_VOID: Any = ir.VoidType()
_POINTER: Any = ir.IntType(8).as_pointer()


def _call(builder: Any, function: Any, result: Any, arguments: list[Any]) -> Any:
    type = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(builder.inttoptr(function, type.as_pointer()), arguments)


def _gemm(kind: str, bits: int) -> Intrinsic:
    def build(builder, function, turn_a, turn_b, m, n, k, scale, a, lda, b, ldb, c, ldc):
        def integer(x):
            return builder.trunc(x, I4) if bits == 32 else x

        def order(x):
            return builder.trunc(x, I4)

        def pointer(x):
            return builder.inttoptr(x, _POINTER)
        _call(builder, function, _VOID, [I4(_ROWS), order(turn_a), order(turn_b), integer(m), integer(n), integer(k), scale,
                                         pointer(a), integer(lda), pointer(b), integer(ldb), IR[kind](0.0), pointer(c), integer(ldc)])
    return Intrinsic(13, signature("gemm", ("i8",) * 6 + (kind,) + ("i8",) * 6, None), build)


def _gemv(kind: str, bits: int) -> Intrinsic:
    def build(builder, function, turn, m, n, a, lda, x, step, y):
        def integer(i):
            return builder.trunc(i, I4) if bits == 32 else i

        def pointer(i):
            return builder.inttoptr(i, _POINTER)
        _call(builder, function, _VOID, [I4(_ROWS), builder.trunc(turn, I4), integer(m), integer(n), IR[kind](1.0), pointer(a),
                                         integer(lda), pointer(x), integer(step), IR[kind](0.0), pointer(y), integer(I8(1))])
    return Intrinsic(9, signature("gemv", ("i8",) * 9, None), build)


def _call_kernel() -> Intrinsic:
    def build(builder, function, lo, hi, args):
        _call(builder, function, _VOID, [lo, hi, args])
    return Intrinsic(4, signature("call_kernel", ("i8",) * 4, None), build)


def _stack_words() -> Intrinsic:
    def build(builder, count):
        with builder.goto_entry_block():
            slot = builder.alloca(I8, count)
        return builder.ptrtoint(slot, I8)
    return Intrinsic(1, signature("stack_words", ("i8",), "i8"), build)


def _allocate() -> Intrinsic:
    def build(builder, size):
        return builder.ptrtoint(builder.call(declare(builder.module, "malloc", _POINTER, [I8]), [size]), I8)
    return Intrinsic(1, signature("allocate", ("i8",), "i8"), build)


def _release() -> Intrinsic:
    def build(builder, address):
        builder.call(declare(builder.module, "free", _VOID, [_POINTER]), [builder.inttoptr(address, _POINTER)])
    return Intrinsic(1, signature("release", ("i8",), None), build)


def _register(builder: Any, verb: str, slot: Any) -> None:
    """Store the CPU's control and status register in a slot, or load it from there."""
    function = declare(builder.module, f"llvm.x86.sse.{verb}mxcsr", _VOID, [_POINTER])
    builder.call(function, [builder.bitcast(slot, _POINTER)])


def _flags(builder: Any) -> tuple[Any, Any]:
    """The register's slot and contents."""
    with builder.goto_entry_block():
        slot = builder.alloca(I4)
    _register(builder, "st", slot)
    return slot, builder.load(slot)


def _clear_flag() -> Intrinsic:
    def build(builder):
        slot, flags = _flags(builder)
        builder.store(builder.and_(flags, I4(~_DENORMAL)), slot)
        _register(builder, "ld", slot)
    return Intrinsic(0, signature("clear_subnormal_flag", (), None), build)


def _read_flag() -> Intrinsic:
    def build(builder):
        return builder.zext(builder.and_(_flags(builder)[1], I4(_DENORMAL)), I8)
    return Intrinsic(0, signature("subnormal_flag", (), "i8"), build)


OPERATIONS: dict[str, Intrinsic] = {
    **{f"gemm_{kind}_{bits}": _gemm(kind, bits) for kind in sorted(FLOATS) for bits in (32, 64)},
    **{f"gemv_{kind}_{bits}": _gemv(kind, bits) for kind in sorted(FLOATS) for bits in (32, 64)},
    "call_kernel": _call_kernel(), "stack_words": _stack_words(), "allocate": _allocate(), "release": _release(),
    "clear_subnormal_flag": _clear_flag(), "subnormal_flag": _read_flag()}
