"""Kernels that call BLAS.

Input: the kind of the numbers, matrices or a vector, the bits of the library's integers.  Output: the source of a kernel over
the matrices of a batch; blas.py describes its block.
Invariant: the result is that of plain calls, to rounding; its bits depend on the operands alone, not on what was met before.

Subnormal numbers: an x86 CPU takes some 150 cycles for an instruction that meets one, so a product of which 2 in 100
numbers are subnormal takes five times as long (measured; the weights of a mixture are such numbers).  So the sticky flag
that the CPU sets then is looked at after each call.  Once it was set (word MET of the block), operands are looked through
before the call; one that holds subnormal numbers and no large ones is copied times a power of two that makes them normal,
and the product's factor takes that back.  Both are exact.  Sums of subnormal products are not rounded alike in both ways, so
the call that was the first to meet some is looked at too, and done again.
"""
from __future__ import annotations

from typing import NamedTuple

MET = 15
PLAIN = 111             # CBLAS's number for a matrix that is not transposed
_WORDS = ("f", "ta", "tb", "m", "n", "k", "pa", "lda", "pb", "ldb", "pc", "ldc", "sa", "sb", "sc")


class _Scale(NamedTuple):
    """How numbers of a format are scaled: the integer of its width, its bits without the sign, the largest of them for a subnormal
    number and for one that may be scaled, and the exponent of the factor that makes subnormals normal."""

    integer: str
    magnitude: int
    subnormal: int
    large: int
    exponent: int


# Twice the exponents of the factor and of the largest number, and a sum of 2**30 terms, are within the format.
_SCALES = {"f8": _Scale("i8", (1 << 63) - 1, (1 << 52) - 1, (1023 + 400) << 52, 64),
           "f4": _Scale("i4", (1 << 31) - 1, (1 << 23) - 1, (127 + 20) << 23, 24)}

_HEAD = """def kernel(lo, hi, args):
{words}
    for i in range(lo, hi):
        a = pa + i * sa
        b = pb + i * sb
        c = pc + i * sc
{call}
"""

_CAREFUL = """def kernel(lo, hi, args):
{words}
    before = accload_i8(args, {met})
    met = before
    found = 0
    memory = 0
    rows_a = m if ta == {plain} else k
    columns_a = k if ta == {plain} else m
    rows_b = k if tb == {plain} else n
    columns_b = n if tb == {plain} else k
    for i in range(lo, hi):
        a = pa + i * sa
        b = pb + i * sb
        c = pc + i * sc
        todo = 1
        if met == 0:
            clear_subnormal_flag()
{plain_call}
            met = subnormal_flag()
            todo = 0
        if met != 0:
            kind_a = {zero}
{look_a}
            kind_b = {zero}
{look_b}
            kinds = to_i8(bor(kind_a, kind_b))
            found = bor(found, kinds)
            if kinds == 1 and memory == 0:
                memory = allocate((rows_a * columns_a + rows_b * columns_b) * {size})
            if kinds == 1 and memory != 0:
                copy_a = memory if kind_a == {one} else a
                copy_b = memory + rows_a * columns_a * {size} if kind_b == {one} else b
                lead_a = columns_a if kind_a == {one} else lda
                lead_b = columns_b if kind_b == {one} else ldb
                back_a = {kind}({back}) if kind_a == {one} else {kind}(1.0)
                back_b = {kind}({back}) if kind_b == {one} else {kind}(1.0)
                if kind_a == {one}:
{scale_a}
                if kind_b == {one}:
{scale_b}
{scaled_call}
                todo = 0
            if todo == 1:
{plain_call_again}
    accstore_i8(args, {met}, found if before != 0 else met)
    release(memory)
"""
# 1 if a matrix holds subnormal numbers, plus 2 if it holds large ones (infinity, nan).
_LOOK = """
for r in range(rows_{x} if ld{x} != columns_{x} else 1):
    o = r * ld{x}
    for j in range(columns_{x} if ld{x} != columns_{x} else rows_{x} * columns_{x}):
        v = band(load_{integer}({x}, o + j), {integer}({magnitude}))
        small = where(land(v > {zero}, v <= {integer}({subnormal})), {one}, {zero})
        kind_{x} = bor(kind_{x}, bor(small, where(v > {integer}({large}), {integer}(2), {zero})))
"""
# A copy in rows.
_SCALE = """
for r in range(rows_{x}):
    o = r * ld{x}
    q = r * columns_{x}
    for j in range(columns_{x}):
        store_{kind}(copy_{x}, q + j, load_{kind}({x}, o + j) * {kind}({factor}))
"""


def _indented(text: str, depth: int) -> str:
    return "\n".join(["    " * depth + line for line in text.strip().splitlines()])


def _words(count: int) -> str:
    return "\n".join([f"    {name} = arg_i8(args, {k})" for k, name in enumerate(_WORDS[:count])])


def vector(kind: str, bits: int) -> str:
    """The source for a matrix and a vector; no flag is looked at."""
    return _HEAD.format(words=_words(15), call=f"        gemv_{kind}_{bits}(f, ta, m, n, a, lda, b, ldb, c)")


def matrices(kind: str, bits: int, careful: bool) -> str:
    """The source for two matrices.  careful: whether subnormal numbers are looked for, on an x86 CPU.

    bits: of the integers of BLAS; 0 for products of jitgrad's own (small_products.py), which are kernels themselves."""
    def call(a: str = "a", lda: str = "lda", b: str = "b", ldb: str = "ldb", factor: str = f"{kind}(1.0)") -> str:
        if bits:
            return f"gemm_{kind}_{bits}(f, ta, tb, m, n, k, {factor}, {a}, {lda}, {b}, {ldb}, c, ldc)"
        words = ("ta", "tb", "m", "n", "k", a, lda, b, ldb, "c", "ldc")
        return "\n".join(["own = stack_words(12)", *[f"accstore_i8(own, {at}, {word})" for at, word in enumerate(words)],
                          f"accstore_f8(own, 11, to_f8({factor}))", "call_kernel(f, 0, 1, own)"])

    if not careful:
        return _HEAD.format(words=_words(15), call=_indented(call(), 2))
    scale = _SCALES[kind]
    known = {**scale._asdict(), "kind": kind, "met": MET, "plain": PLAIN, "zero": f"{scale.integer}(0)", "one": f"{scale.integer}(1)",
             "size": int(kind[1]), "back": 2.0**-scale.exponent, "factor": 2.0**scale.exponent}
    return _CAREFUL.format(
        words=_words(15), plain_call=_indented(call(), 3), plain_call_again=_indented(call(), 4),
        scaled_call=_indented(call("copy_a", "lead_a", "copy_b", "lead_b", "back_a * back_b"), 4),
        **{f"look_{x}": _indented(_LOOK.format(x=x, **known), 3) for x in "ab"},
        **{f"scale_{x}": _indented(_SCALE.format(x=x, **known), 5) for x in "ab"}, **known)
