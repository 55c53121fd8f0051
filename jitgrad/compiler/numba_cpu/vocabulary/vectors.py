"""Operations on vectors of 512 bits, for loops that LLVM does not vectorise by itself as they should be.

| names                       | meaning                                                          |
|-----------------------------|------------------------------------------------------------------|
| zero_V()                    | all elements 0                                                   |
| all_V(x)                    | all elements x                                                   |
| some_V(n)                   | (a mask as int64) the first n elements                           |
| load_V(p, i, mask)          | elements i, i + 1, ... of an array; 0 where the mask has none    |
| store_V(p, i, v, mask)      | likewise                                                         |
| fma_V(a, b, c), mul_V(a, b) | a * b + c, rounded once; a * b                                   |

V is v8f8 or v16f4.  A mask is the bits of an int64.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import IR, VECTORS, Intrinsic, signature
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I1, I4, I8, declare


def _operations(kind: str, element: str, count: int) -> dict[str, Intrinsic]:
    vector, size = IR[kind], 64 // count
    suffix = f"v{count}f{8 * size}"
    bits, mask_type = ir.IntType(count), ir.VectorType(I1, count)

    def pointer(builder, base, index):
        address = builder.gep(builder.inttoptr(base, IR[element].as_pointer()), [index])
        return builder.bitcast(address, vector.as_pointer())

    def lanes(builder, mask):
        return builder.bitcast(builder.trunc(mask, bits), mask_type)

    def zero(builder):
        return vector(None)

    def every(builder, x):
        one = builder.insert_element(vector(ir.Undefined), x, I4(0))
        return builder.shuffle_vector(one, vector(ir.Undefined), ir.VectorType(I4, count)(None))

    def some(builder, n):
        enough = builder.icmp_signed(">=", n, I8(count))
        return builder.select(enough, I8((1 << count) - 1), builder.sub(builder.shl(I8(1), n), I8(1)))

    def load(builder, base, index, mask):
        p = pointer(builder, base, index)
        function = declare(builder.module, f"llvm.masked.load.{suffix}.p0", vector, [p.type, I4, mask_type, vector])
        return builder.call(function, [p, I4(size), lanes(builder, mask), vector(None)])

    def store(builder, base, index, value, mask):
        p = pointer(builder, base, index)
        function = declare(builder.module, f"llvm.masked.store.{suffix}.p0", ir.VoidType(), [vector, p.type, I4, mask_type])
        builder.call(function, [value, p, I4(size), lanes(builder, mask)])

    def fma(builder, a, b, c):
        return builder.call(declare(builder.module, f"llvm.fma.{suffix}", vector, [vector] * 3), [a, b, c])

    def mul(builder, a, b):
        return builder.fmul(a, b)

    def entry(name: str, given: tuple[str, ...], result: str | None, build: Any) -> tuple[str, Intrinsic]:
        return f"{name}_{kind}", Intrinsic(len(given), signature(f"{name}_{kind}", given, result), build)

    return dict([entry("zero", (), kind, zero), entry("all", (element,), kind, every), entry("some", ("i8",), "i8", some),
                 entry("load", ("i8", "i8", "i8"), kind, load), entry("store", ("i8", "i8", kind, "i8"), None, store),
                 entry("fma", (kind,) * 3, kind, fma), entry("mul", (kind,) * 2, kind, mul)])


OPERATIONS: dict[str, Intrinsic] = {name: operation for kind, (element, count) in VECTORS.items()
                                    for name, operation in _operations(kind, element, count).items()}
