"""Kernel operations for random numbers: the formulas of ops/philox.py over LLVM values.

| names                                                                | meaning                                        |
|----------------------------------------------------------------------|------------------------------------------------|
| random_word random_bits random_uniform_f4 ... (counter, seed)        | see ops/philox.py; two int64                   |
"""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import IR, Intrinsic, formula_of, signature
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import F4, I4, IRValue, inlined, intrinsic
from jitgrad.ops.philox import formulas

_UNIT_STEP, _BITS = 2.0**52, 0x4330000000000000         # of which the last bit of the mantissa is 1


def _to_f4(x: IRValue) -> IRValue:
    return x.cast(I4).cast(F4)


def _to_f8(x: IRValue) -> IRValue:
    """Exact, by bits: few CPUs convert vectors of 64-bit integers."""
    low, high = (x & 0xFFFFFFFF) | _BITS, (x >> 32) | _BITS
    return (high.as_float() - _UNIT_STEP) * 2.0**32 + (low.as_float() - _UNIT_STEP)


def _operation(name: str, formula: Callable[..., IRValue]) -> Intrinsic:
    kind = name.rpartition("_")[2]
    result = kind if kind in ("f4", "f8") else "i8"
    build = formula_of(lambda counter, seed: inlined(formula, counter, seed, result=IR[result]))
    return Intrinsic(2, signature(name, ("i8", "i8"), result), build)


_FORMULAS = formulas(lambda f: f, lambda x: intrinsic("sqrt", x), float, float, _to_f4, _to_f8, IRValue.bits, IRValue.bits,
                     IRValue.as_float, IRValue.as_float)
OPERATIONS: dict[str, Intrinsic] = {name: _operation(name, formula) for name, formula in _FORMULAS.items()}
