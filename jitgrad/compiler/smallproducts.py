"""Products of small matrices in registers of 512 bits, in place of a call of BLAS.

Input: the letter of a dtype ("d", "s") and the bits of the integers.  Output: the LLVM IR of a function that is called as
cblas_?gemm is, for matrices in rows and a factor beta of 0.
Invariant: each element is one sum in the order of its terms, with fused multiply-adds.

BLAS packs both operands before it multiplies, which pays where each packed number is used hundreds of times.  Here the
operands are read where they lie: a tile of 12 rows and two vectors of the result stays in 24 registers, one row of the second
operand and 12 numbers of the first are read for each term.  Only a transposed second operand is packed.

    %b0 = vectors of row l of b;  for r in 0..11: %acc.r = fma(broadcast a[i + r, l], %b0, %acc.r)
"""
from __future__ import annotations

ROWS = (12, 4, 1)           # of tiles: as many as fit of each in turn
PACKED = 8192               # elements of a transposed second operand at most
_LANES = {"d": 8, "s": 16}
_REALS = {"d": "double", "s": "float"}


def quicker(m: int, n: int, k: int, turned_a: bool, turned_b: bool) -> bool:
    """Whether this is quicker than OpenBLAS, as measured with 512-bit registers: where the second operand stays in cache
    (1000 x 64 x 64: 66 instead of 53 Gflop/s; 64 x 64 x 1000, the first transposed: 54 instead of 41; 100 x 8 x 10000: 42
    instead of 14; the peak is 75)."""
    if m < 16 or m * n * k < 1 << 15 or (turned_a and turned_b):
        return False
    if turned_b:
        return m >= 32 and n * k <= PACKED and k <= 256
    if turned_a:
        return n > 8 and n * k <= (1 << 16 if n <= 64 else 1 << 15)
    return n * k <= (1 << 18 if n <= 16 else 1 << 16)


def source(name: str, letter: str, bits: int) -> str:
    """The function's LLVM IR."""
    real, lanes = _REALS[letter], _LANES[letter]
    vector, mask = f"<{lanes} x {real}>", f"<{lanes} x i1>"
    suffix = f"v{lanes}f{64 if letter == 'd' else 32}"
    parts = [f"declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})",
             f"declare {vector} @llvm.masked.load.{suffix}.p0(ptr, i32, {mask}, {vector})",
             f"declare void @llvm.masked.store.{suffix}.p0({vector}, ptr, i32, {mask})"]
    for rows in ROWS:
        parts += [_tile(name, real, lanes, suffix, rows, vectors) for vectors in (1, 2)]
        parts.append(_STRIP.format(name=name, real=real, rows=rows, lanes=lanes, width=2 * lanes))
    parts.append(_main(name, real, bits))
    return "\n".join(parts)


def _tile(name: str, real: str, lanes: int, suffix: str, rows: int, vectors: int) -> str:
    """`rows` rows and `vectors` vectors of the result; of the last vector, `rest` elements."""
    vector, mask = f"<{lanes} x {real}>", f"<{lanes} x i1>"
    cells = [(r, v) for r in range(rows) for v in range(vectors)]
    iota = ", ".join([f"i64 {i}" for i in range(lanes)])
    out = [f"define internal void @{name}.tile{rows}x{vectors}(ptr %a, i64 %down, i64 %along, ptr %b, i64 %ldb, i64 %k, "
           f'{real} %alpha, ptr %c, i64 %ldc, i64 %rest) noinline nounwind "prefer-vector-width"="512" {{', "entry:",
           f"  %rest.v = insertelement <{lanes} x i64> poison, i64 %rest, i64 0",
           f"  %rest.all = shufflevector <{lanes} x i64> %rest.v, <{lanes} x i64> poison, <{lanes} x i32> zeroinitializer",
           f"  %mask = icmp slt <{lanes} x i64> <{iota}>, %rest.all"]
    for r in range(rows):
        out += [f"  %off.{r} = mul i64 %down, {r}"]
    out += ["  br label %loop", "loop:", "  %l = phi i64 [ 0, %entry ], [ %l.next, %loop ]",
            "  %pa = phi ptr [ %a, %entry ], [ %pa.next, %loop ]", "  %pb = phi ptr [ %b, %entry ], [ %pb.next, %loop ]"]
    out += [f"  %acc.{r}.{v} = phi {vector} [ zeroinitializer, %entry ], [ %new.{r}.{v}, %loop ]" for r, v in cells]
    for v in range(vectors):
        out.append(f"  %pb.{v} = getelementptr {real}, ptr %pb, i64 {v * lanes}")
        if v == vectors - 1:
            out.append(f"  %b.{v} = call {vector} @llvm.masked.load.{suffix}.p0(ptr %pb.{v}, i32 4, {mask} %mask, "
                       f"{vector} zeroinitializer)")
        else:
            out.append(f"  %b.{v} = load {vector}, ptr %pb.{v}, align 4")
    for r in range(rows):
        out += [f"  %pa.{r} = getelementptr {real}, ptr %pa, i64 %off.{r}", f"  %x.{r} = load {real}, ptr %pa.{r}",
                f"  %y.{r} = insertelement {vector} poison, {real} %x.{r}, i64 0",
                f"  %z.{r} = shufflevector {vector} %y.{r}, {vector} poison, <{lanes} x i32> zeroinitializer"]
        out += [f"  %new.{r}.{v} = call {vector} @llvm.fma.{suffix}({vector} %z.{r}, {vector} %b.{v}, {vector} %acc.{r}.{v})"
                for v in range(vectors)]
    out += [f"  %pa.next = getelementptr {real}, ptr %pa, i64 %along", f"  %pb.next = getelementptr {real}, ptr %pb, i64 %ldb",
            "  %l.next = add nuw i64 %l, 1", "  %more = icmp ult i64 %l.next, %k", "  br i1 %more, label %loop, label %done", "done:",
            f"  %alpha.v = insertelement {vector} poison, {real} %alpha, i64 0",
            f"  %alpha.all = shufflevector {vector} %alpha.v, {vector} poison, <{lanes} x i32> zeroinitializer"]
    for r, v in cells:
        out += [f"  %at.{r}.{v} = mul i64 %ldc, {r}", f"  %to.{r}.{v} = add i64 %at.{r}.{v}, {v * lanes}",
                f"  %pc.{r}.{v} = getelementptr {real}, ptr %c, i64 %to.{r}.{v}",
                f"  %all.{r}.{v} = fmul {vector} %new.{r}.{v}, %alpha.all"]
        if v == vectors - 1:
            out.append(f"  call void @llvm.masked.store.{suffix}.p0({vector} %all.{r}.{v}, ptr %pc.{r}.{v}, i32 4, {mask} %mask)")
        else:
            out.append(f"  store {vector} %all.{r}.{v}, ptr %pc.{r}.{v}, align 4")
    return "\n".join([*out, "  ret void", "}"])


# All columns of some rows.
_STRIP = """
define internal void @{name}.strip{rows}(ptr %a, i64 %down, i64 %along, ptr %b, i64 %ldb, i64 %n, i64 %k, {real} %alpha, ptr %c, \
i64 %ldc) noinline nounwind {{
entry:
  br label %head
head:
  %j = phi i64 [ 0, %entry ], [ %j.next, %next ]
  %rest = sub i64 %n, %j
  %some = icmp sgt i64 %rest, 0
  br i1 %some, label %body, label %done
body:
  %to.b = getelementptr {real}, ptr %b, i64 %j
  %to.c = getelementptr {real}, ptr %c, i64 %j
  %wide = icmp sgt i64 %rest, {lanes}
  br i1 %wide, label %two, label %one
two:
  %second = sub i64 %rest, {lanes}
  call void @{name}.tile{rows}x2(ptr %a, i64 %down, i64 %along, ptr %to.b, i64 %ldb, i64 %k, {real} %alpha, ptr %to.c, \
i64 %ldc, i64 %second)
  br label %next
one:
  call void @{name}.tile{rows}x1(ptr %a, i64 %down, i64 %along, ptr %to.b, i64 %ldb, i64 %k, {real} %alpha, ptr %to.c, \
i64 %ldc, i64 %rest)
  br label %next
next:
  %j.next = add i64 %j, {width}
  br label %head
done:
  ret void
}}
"""


def _main(name: str, real: str, bits: int) -> str:
    integer = f"i{bits}"
    wide = "\n".join([f"  %{x} = {f'sext i32 %{x}.n to i64' if bits == 32 else f'add i64 %{x}.n, 0'}"
                      for x in ("m", "n", "k", "lda", "ldb.given", "ldc")])
    strips = []
    for number, rows in enumerate(ROWS):
        start = "0" if number == 0 else f"%i.{number - 1}"
        before = "packed" if number == 0 else f"head.{number - 1}"
        after = f"head.{number + 1}" if number + 1 < len(ROWS) else "done"
        strips.append(f"""head.{number}:
  %i.{number} = phi i64 [ {start}, %{before} ], [ %end.{number}, %strip.{number} ]
  %end.{number} = add i64 %i.{number}, {rows}
  %fits.{number} = icmp sle i64 %end.{number}, %m
  br i1 %fits.{number}, label %strip.{number}, label %{after}
strip.{number}:
  %to.a.{number} = mul i64 %i.{number}, %down
  %a.{number} = getelementptr {real}, ptr %a, i64 %to.a.{number}
  %to.c.{number} = mul i64 %i.{number}, %ldc
  %c.{number} = getelementptr {real}, ptr %c, i64 %to.c.{number}
  call void @{name}.strip{rows}(ptr %a.{number}, i64 %down, i64 %along, ptr %rows, i64 %ldb, i64 %n, i64 %k, {real} %alpha, \
ptr %c.{number}, i64 %ldc)
  br label %head.{number}""")
    return f"""
define void @{name}(i32 %order, i32 %turn.a, i32 %turn.b, {integer} %m.n, {integer} %n.n, {integer} %k.n, {real} %alpha, ptr %a, \
{integer} %lda.n, ptr %b, {integer} %ldb.given.n, {real} %beta, ptr %c, {integer} %ldc.n) {{
entry:
  %pack = alloca [{PACKED} x {real}], align 64
{wide}
  %turned.a = icmp eq i32 %turn.a, 112
  %turned.b = icmp eq i32 %turn.b, 112
  %down = select i1 %turned.a, i64 1, i64 %lda
  %along = select i1 %turned.a, i64 %lda, i64 1
  br i1 %turned.b, label %columns, label %packed
columns:
  %j = phi i64 [ 0, %entry ], [ %j.next, %column.end ]
  %to.column = mul i64 %j, %ldb.given
  %column = getelementptr {real}, ptr %b, i64 %to.column
  br label %elements
elements:
  %l = phi i64 [ 0, %columns ], [ %l.next, %elements ]
  %p = getelementptr {real}, ptr %column, i64 %l
  %x = load {real}, ptr %p
  %to = mul i64 %l, %n
  %to.j = add i64 %to, %j
  %q = getelementptr {real}, ptr %pack, i64 %to.j
  store {real} %x, ptr %q
  %l.next = add nuw i64 %l, 1
  %more.l = icmp ult i64 %l.next, %k
  br i1 %more.l, label %elements, label %column.end
column.end:
  %j.next = add nuw i64 %j, 1
  %more.j = icmp ult i64 %j.next, %n
  br i1 %more.j, label %columns, label %packed
packed:
  %rows = phi ptr [ %b, %entry ], [ %pack, %column.end ]
  %ldb = phi i64 [ %ldb.given, %entry ], [ %n, %column.end ]
  br label %head.0
{chr(10).join(strips)}
done:
  ret void
}}
"""
