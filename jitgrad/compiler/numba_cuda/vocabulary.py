"""The vocabulary of kernels for CUDA: the CPU's (numba_cpu/vocabulary), and what a thread needs to know its share.

The formulas are the same objects, so a GPU computes the same bits; only what NVVM has no word for is built from others
(irvalue.py).  Additional names, all of integers i8:

| names                                | meaning                                                                       |
|--------------------------------------|-------------------------------------------------------------------------------|
| thread_x() thread_y()                | this thread's place in its block                                              |
| threads_x() threads_y()              | the size of a block                                                           |
| block_x() block_y()                  | this block's place in the grid                                                |
| blocks_x() blocks_y()                | the size of the grid                                                          |
| quotient(a, b), rest(a, b)           | of integers that are not negative, b not 0                                    |
| keep_T(k, i, v), kept_T(k, i)        | element i of array number k, a literal, that the threads of a block share     |
| wait()                               | until all threads of the block are here                                       |
| first_load_T, first_store_T          | load_T, store_T of the first of four neighbours, at a multiple of 16 bytes    |
| atomic_add_T(p, i, v)                | element i of the array at p += v, in any order                                |
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS as CPU
from jitgrad.compiler.numba_cpu.vocabulary import foreign, vectors
from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import IR, SCALARS, Intrinsic, signature
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I4, I8, declare
from jitgrad.compiler.numba_cuda.shapes import THREADS

_SHARED = 3             # the address space of what the threads of a block share
_SIZE = {"f4": 4, "f8": 8, "i4": 4, "i8": 8, "b1": 1}
_REGISTERS = {"thread": "tid", "threads": "ntid", "block": "ctaid", "blocks": "nctaid"}


def _register(name: str, axis: str) -> Intrinsic:
    def build(builder):
        function = declare(builder.module, f"llvm.nvvm.read.ptx.sreg.{_REGISTERS[name]}.{axis}", I4, [])
        return builder.zext(builder.call(function, []), I8)
    return Intrinsic(0, signature(f"{name}_{axis}", (), "i8"), build)


def _unsigned(name: str, instruction: str) -> Intrinsic:
    def build(builder, a, b):
        return getattr(builder, instruction)(a, b)
    return Intrinsic(2, signature(name, ("i8", "i8"), "i8"), build)


def _shared(builder: Any, kind: str, number: Any, index: Any) -> Any:
    """The address of an element; a boolean takes a byte."""
    element = ir.IntType(8) if kind == "b1" else IR[kind]
    name = f"jitgrad.shared.{number.constant}.{kind}"
    array: Any = builder.module.globals.get(name)
    if array is None:
        array = ir.GlobalVariable(builder.module, ir.ArrayType(element, THREADS), name, _SHARED)
        array.linkage = "internal"
        array.initializer = ir.Constant(array.value_type, ir.Undefined)
        array.align = 8
    return builder.gep(array, [I8(0), index], inbounds=True)


def _keep(kind: str) -> Intrinsic:
    def build(builder, number, index, value):
        value = builder.zext(value, ir.IntType(8)) if kind == "b1" else value
        builder.store(value, _shared(builder, kind, number, index), align=_SIZE[kind])
    return Intrinsic(3, signature(f"keep_{kind}", ("i8", "i8", kind), None), build)


def _kept(kind: str) -> Intrinsic:
    def build(builder, number, index):
        value = builder.load(_shared(builder, kind, number, index), align=_SIZE[kind])
        return builder.icmp_signed("!=", value, value.type(0)) if kind == "b1" else value
    return Intrinsic(2, signature(f"kept_{kind}", ("i8", "i8"), kind), build)


def _wait() -> Intrinsic:
    def build(builder):
        builder.call(declare(builder.module, "llvm.nvvm.barrier0", ir.VoidType(), []), [])
    return Intrinsic(0, signature("wait", (), None), build)


def _atomic(kind: str) -> Intrinsic:
    def build(builder, base, index, value):
        pointer = builder.gep(builder.inttoptr(base, IR[kind].as_pointer()), [index], inbounds=True)
        if kind[0] == "i":
            builder.atomic_rmw("add", pointer, value, "monotonic")
            return
        suffix = "f32" if kind == "f4" else "f64"
        add = declare(builder.module, f"llvm.nvvm.atomic.load.add.{suffix}.p0{suffix}", IR[kind], [pointer.type, IR[kind]])
        builder.call(add, [pointer, value])
    return Intrinsic(3, signature(f"atomic_add_{kind}", ("i8", "i8", kind), None), build)


def _first(verb: str, kind: str) -> Intrinsic:
    """The alignment (of four booleans, 4) lets LLVM join what is done to neighbours in one instruction."""
    plain = CPU[f"acc{verb}_{kind}"]

    def build(builder, *values):
        value = plain.build(builder, *values)
        touching = [i for i in builder.block.instructions if i.opname == verb][-1]
        touching.align = 4 if kind == "b1" else 16
        return value
    return Intrinsic(plain.arity, plain.check, build)


def _nothing(builder: Any, *values: Any) -> None:
    """What builds no code."""


# Of the CPU's argument block, its matrix products, and the promises about its innermost loops there is nothing here.
_ELSEWHERE = {*foreign.OPERATIONS, *vectors.OPERATIONS, "interleave", *[f"arg_{kind}" for kind in SCALARS]}
OPERATIONS: dict[str, Intrinsic] = {
    **{name: operation for name, operation in CPU.items() if name not in _ELSEWHERE},
    **{f"{verb}_{kind}": CPU[f"acc{verb}_{kind}"] for verb in ("load", "store") for kind in SCALARS},
    **{f"first_{verb}_{kind}": _first(verb, kind) for verb in ("load", "store") for kind in SCALARS},
    **{f"{name}_{axis}": _register(name, axis) for name in _REGISTERS for axis in "xy"},
    "quotient": _unsigned("quotient", "udiv"),
    "rest": _unsigned("rest", "urem"),
    **{f"keep_{kind}": _keep(kind) for kind in SCALARS},
    **{f"kept_{kind}": _kept(kind) for kind in SCALARS},
    "wait": _wait(),
    **{f"atomic_add_{kind}": _atomic(kind) for kind in SCALARS if kind != "b1"},
    "interleave": Intrinsic(1, signature("interleave", ("i8",), None), _nothing),
}
