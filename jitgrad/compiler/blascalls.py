"""Functions of machine code that call BLAS, in the kernels' ABI.

Input: the letter of a dtype ("d", "s"), matrices or a vector ("m", "v"), the bits of the library's integers.  Output: the
LLVM IR of `void name(int64 lo, int64 hi, int64 block)`; blas.py describes the block.
Invariant: the result is that of plain calls, to rounding; its bits depend on the operands alone, not on what was met before.

Subnormal numbers: an x86 CPU takes some 150 cycles for an instruction that meets one, so a product of which 2 in 100
numbers are subnormal takes five times as long (measured; the weights of a mixture are such numbers).  So the sticky flag
that the CPU sets then is looked at after each call.  Once it was set (word MET of the block), operands are looked through
before the call; one that holds subnormal numbers and no large ones is copied times a power of two that makes them normal,
and the factor alpha of the product takes that back.  Both are exact.  Sums of subnormal products are not rounded alike in
both ways, so the call that was the first to meet some is looked at too, and done again.
"""
from __future__ import annotations

from typing import NamedTuple

import llvmlite.binding as llvm

MET = 15


class _Scale(NamedTuple):
    """How numbers of a format are scaled: its integer, bits of the mantissa and of its magnitudes, the exponent of the factor
    that makes its subnormals normal, and the bits of the largest number that may be scaled."""

    real: str
    word: str
    least: int
    magnitude: int
    exponent: int
    large: int


# Twice the exponents of the factor and of the largest number, and a sum of 2**30 terms, are within the format.
_SCALES = {"d": _Scale("double", "i64", (1 << 52) - 1, (1 << 63) - 1, 64, (1023 + 400) << 52),
           "s": _Scale("float", "i32", (1 << 23) - 1, (1 << 31) - 1, 24, (127 + 20) << 23)}

_BATCH = """
define void @{name}(i64 %lo, i64 %hi, i64 %block) {{
entry:
  %words = inttoptr i64 %block to ptr
{loads}
  %function = inttoptr i64 %w0 to ptr
{narrow}
  %order.a = trunc i64 %w1 to i32
  %order.b = trunc i64 %w2 to i32
{prepare}
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %after ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %to.a = mul i64 %i, %w12
  %to.b = mul i64 %i, %w13
  %to.c = mul i64 %i, %w14
  %at.a = add i64 %w6, %to.a
  %at.b = add i64 %w8, %to.b
  %at.c = add i64 %w10, %to.c
  %a = inttoptr i64 %at.a to ptr
  %b = inttoptr i64 %at.b to ptr
  %c = inttoptr i64 %at.c to ptr
{call}
  br label %after
after:
  %next = add i64 %i, 1
  br label %head
done:
{finish}
  ret void
}}
"""

# Of a batch on x86: the memory for copies is asked for at the first that is needed.
_PREPARE = """
  %met.p = getelementptr i64, ptr %words, i64 {met}
  %csr.p = alloca i32
  %memory.p = alloca ptr
  store ptr null, ptr %memory.p
  %found.p = alloca i64
  store i64 0, ptr %found.p
  %met.before = load i64, ptr %met.p
  %turned.a = icmp ne i32 %order.a, {plain}
  %turned.b = icmp ne i32 %order.b, {plain}
  %rows.a = select i1 %turned.a, i64 %w5, i64 %w3
  %columns.a = select i1 %turned.a, i64 %w3, i64 %w5
  %rows.b = select i1 %turned.b, i64 %w4, i64 %w5
  %columns.b = select i1 %turned.b, i64 %w5, i64 %w4
  %size.a = mul i64 %rows.a, %columns.a
  %size.b = mul i64 %rows.b, %columns.b
"""
_CAREFUL = """
  %met = load i64, ptr %met.p
  %careful = icmp ne i64 %met, 0
  br i1 %careful, label %look, label %plain
plain:
  call void @llvm.x86.sse.stmxcsr(ptr %csr.p)
  %flags = load i32, ptr %csr.p
  %cleared = and i32 %flags, -3
  store i32 %cleared, ptr %csr.p
  call void @llvm.x86.sse.ldmxcsr(ptr %csr.p)
  call void %function({plain_arguments})
  call void @llvm.x86.sse.stmxcsr(ptr %csr.p)
  %raised = load i32, ptr %csr.p
  %denormal = and i32 %raised, 2
  %seen = zext i32 %denormal to i64
  store i64 %seen, ptr %met.p
  %again = icmp ne i64 %seen, 0
  br i1 %again, label %look, label %after
look:
  %computed = phi i1 [ false, %body ], [ true, %plain ]
  %kind.a = call i64 @{name}.look(ptr %a, i64 %rows.a, i64 %columns.a, i64 %w7)
  %kind.b = call i64 @{name}.look(ptr %b, i64 %rows.b, i64 %columns.b, i64 %w9)
  %kinds = or i64 %kind.a, %kind.b
  %found = load i64, ptr %found.p
  %found.too = or i64 %found, %kinds
  store i64 %found.too, ptr %found.p
  %scaled = icmp eq i64 %kinds, 1
  br i1 %scaled, label %ask, label %unscaled
unscaled:
  br i1 %computed, label %after, label %compute
compute:
  call void %function({plain_arguments})
  br label %after
ask:
  %have = load ptr, ptr %memory.p
  %none = icmp eq ptr %have, null
  br i1 %none, label %new, label %copies
new:
  %count = add i64 %size.a, %size.b
  %bytes = mul i64 %count, {itemsize}
  %fresh = call ptr @malloc(i64 %bytes)
  store ptr %fresh, ptr %memory.p
  %failed = icmp eq ptr %fresh, null
  br i1 %failed, label %unscaled, label %copies
copies:
  %copy.a = load ptr, ptr %memory.p
  %copy.b = getelementptr {real}, ptr %copy.a, i64 %size.a
  %some.a = trunc i64 %kind.a to i1
  %some.b = trunc i64 %kind.b to i1
  br i1 %some.a, label %scale.a, label %scaled.a
scale.a:
  call void @{name}.scale(ptr %a, i64 %rows.a, i64 %columns.a, i64 %w7, ptr %copy.a)
  br label %scaled.a
scaled.a:
  %use.a = select i1 %some.a, ptr %copy.a, ptr %a
  %lead.a = select i1 %some.a, i64 %columns.a, i64 %w7
  %alpha.a = select i1 %some.a, {real} {back}, {real} 1.0
  br i1 %some.b, label %scale.b, label %scaled.b
scale.b:
  call void @{name}.scale(ptr %b, i64 %rows.b, i64 %columns.b, i64 %w9, ptr %copy.b)
  br label %scaled.b
scaled.b:
  %use.b = select i1 %some.b, ptr %copy.b, ptr %b
  %lead.b = select i1 %some.b, i64 %columns.b, i64 %w9
  %alpha.b = select i1 %some.b, {real} {back}, {real} 1.0
  %alpha = fmul {real} %alpha.a, %alpha.b
  %ld.a = trunc i64 %lead.a to i{bits}
  %ld.b = trunc i64 %lead.b to i{bits}
  call void %function({scaled_arguments})
"""
_FINISH = """
  %looked = icmp ne i64 %met.before, 0
  %found.all = load i64, ptr %found.p
  %met.now = load i64, ptr %met.p
  %met.after = select i1 %looked, i64 %found.all, i64 %met.now
  store i64 %met.after, ptr %met.p
  %used = load ptr, ptr %memory.p
  call void @free(ptr %used)
"""
# look: 1 if a matrix holds subnormal numbers, plus 2 if it holds large ones (infinity, nan); scale: a copy in rows.
_HELPERS = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare ptr @malloc(i64)
declare void @free(ptr)

define internal i64 @{name}.look(ptr %matrix, i64 %height, i64 %width, i64 %lead) noinline {{
entry:
  %flat = icmp eq i64 %lead, %width
  %all = mul i64 %height, %width
  %rows = select i1 %flat, i64 1, i64 %height
  %columns = select i1 %flat, i64 %all, i64 %width
  br label %outer
outer:
  %i = phi i64 [ 0, %entry ], [ %i.next, %inner.end ]
  %total = phi {word} [ 0, %entry ], [ %kind.next, %inner.end ]
  %start = mul i64 %i, %lead
  %row = getelementptr {real}, ptr %matrix, i64 %start
  br label %inner
inner:
  %j = phi i64 [ 0, %outer ], [ %j.next, %inner ]
  %kind = phi {word} [ %total, %outer ], [ %kind.next, %inner ]
  %p = getelementptr {word}, ptr %row, i64 %j
  %x = load {word}, ptr %p
  %abs = and {word} %x, {magnitude}
  %less = sub {word} %abs, 1
  %subnormal = icmp ult {word} %less, {least}
  %big = icmp ugt {word} %abs, {large}
  %one = zext i1 %subnormal to {word}
  %two = select i1 %big, {word} 2, {word} 0
  %either = or {word} %one, %two
  %kind.next = or {word} %kind, %either
  %j.next = add nuw i64 %j, 1
  %again = icmp ult i64 %j.next, %columns
  br i1 %again, label %inner, label %inner.end
inner.end:
  %i.next = add nuw i64 %i, 1
  %more = icmp ult i64 %i.next, %rows
  br i1 %more, label %outer, label %done
done:
  %result = {extend}
  ret i64 %result
}}

define internal void @{name}.scale(ptr %matrix, i64 %height, i64 %width, i64 %lead, ptr noalias %copy) noinline {{
entry:
  %flat = icmp eq i64 %lead, %width
  %all = mul i64 %height, %width
  %rows = select i1 %flat, i64 1, i64 %height
  %columns = select i1 %flat, i64 %all, i64 %width
  br label %outer
outer:
  %i = phi i64 [ 0, %entry ], [ %i.next, %inner.end ]
  %start = mul i64 %i, %lead
  %row = getelementptr {real}, ptr %matrix, i64 %start
  %start.to = mul i64 %i, %columns
  %to = getelementptr {real}, ptr %copy, i64 %start.to
  br label %inner
inner:
  %j = phi i64 [ 0, %outer ], [ %j.next, %inner ]
  %p = getelementptr {real}, ptr %row, i64 %j
  %x = load {real}, ptr %p
  %y = fmul {real} %x, {factor}
  %q = getelementptr {real}, ptr %to, i64 %j
  store {real} %y, ptr %q
  %j.next = add nuw i64 %j, 1
  %again = icmp ult i64 %j.next, %columns
  br i1 %again, label %inner, label %inner.end
inner.end:
  %i.next = add nuw i64 %i, 1
  %more = icmp ult i64 %i.next, %rows
  br i1 %more, label %outer, label %done
done:
  ret void
}}
"""


def source(name: str, letter: str, kind: str, bits: int, order: int, plain: int) -> str:
    """The function's LLVM IR.  order, plain: CBLAS's numbers for matrices in rows, and for one that is not transposed."""
    scale = _SCALES[letter]
    real = scale.real
    loads = "\n".join([f"  %a{i} = getelementptr i64, ptr %words, i64 {i}\n  %w{i} = load i64, ptr %a{i}" for i in range(15)])
    narrow = "\n".join([f"  %n{i} = {f'trunc i64 %w{i} to i32' if bits == 32 else f'add i64 %w{i}, 0'}" for i in (3, 4, 5, 7, 9, 11)])
    m, n, k, lda, ldb, ldc = [f"i{bits} %n{i}" for i in (3, 4, 5, 7, 9, 11)]

    def product(a: str, lda: str, b: str, ldb: str, alpha: str) -> str:
        return ", ".join([f"i32 {order}", "i32 %order.a", "i32 %order.b", m, n, k, f"{real} {alpha}", f"ptr {a}", lda,
                          f"ptr {b}", ldb, f"{real} 0.0", "ptr %c", ldc])

    if kind == "v":
        arguments = ", ".join([f"i32 {order}", "i32 %order.a", m, n, f"{real} 1.0", "ptr %a", lda, "ptr %b", ldb, f"{real} 0.0",
                               "ptr %c", ldc])
    else:
        arguments = product("%a", lda, "%b", ldb, "1.0")
    if kind == "v" or not llvm.get_process_triple().startswith(("x86", "amd64")):
        return _BATCH.format(name=name, loads=loads, narrow=narrow, prepare="", call=f"  call void %function({arguments})", finish="")
    call = _CAREFUL.format(name=name, real=real, bits=bits, back=repr(2.0**-scale.exponent), itemsize=8 if letter == "d" else 4,
                           plain_arguments=arguments,
                           scaled_arguments=product("%use.a", f"i{bits} %ld.a", "%use.b", f"i{bits} %ld.b", "%alpha"))
    if bits == 64:
        call = call.replace("trunc i64 %lead.a to i64", "add i64 %lead.a, 0").replace("trunc i64 %lead.b to i64", "add i64 %lead.b, 0")
    helpers = _HELPERS.format(name=name, real=real, word=scale.word, least=scale.least, magnitude=scale.magnitude, large=scale.large,
                              factor=repr(2.0**scale.exponent),
                              extend="add i64 %kind.next, 0" if letter == "d" else "zext i32 %kind.next to i64")
    return helpers + _BATCH.format(name=name, loads=loads, narrow=narrow, prepare=_PREPARE.format(met=MET, plain=plain), call=call,
                                   finish=_FINISH)
