"""Products of small matrices in registers of 512 bits, in place of a call of BLAS.

Input: the kind of the numbers.  Output: the source of a kernel that computes one product of matrices in rows; its block is
what `blas_calls.matrices` passes: transposed a, b, m, n, k, a, lda, b, ldb, c, ldc, factor.
Invariant: each element is one sum in the order of its terms, with fused multiply-adds.

BLAS packs both operands before it multiplies, which pays where each packed number is used hundreds of times.  Here the
operands are read where they lie: a tile of 12 rows and two vectors of the result stays in 24 registers, one row of the second
operand and 12 numbers of the first are read for each term.  Only a transposed second operand is packed.  Sample, of a tile:

    for l in range(k):
        x0 = load_v8f8(b, l * ldb + j, all)
        x1 = load_v8f8(b, l * ldb + j + 8, mask)
        y = all_v8f8(load_f8(a, at + l * along))
        s0_0 = fma_v8f8(y, x0, s0_0)
        s0_1 = fma_v8f8(y, x1, s0_1)
"""
from __future__ import annotations

from jitgrad.compiler.codegen.blas_calls import PLAIN

ROWS = (12, 4, 1)           # of tiles: as many as fit of each in turn
PACKED = 8192               # elements of a transposed second operand at most
_VECTORS = {"f8": ("v8f8", 8), "f4": ("v16f4", 16)}


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


def source(kind: str) -> str:
    """The kernel's text."""
    vector, lanes = _VECTORS[kind]
    lines = [f"    {name} = accload_i8(args, {k})" for k, name in
             enumerate(("ta", "tb", "m", "n", "k", "a", "lda", "b_given", "ldb_given", "c", "ldc"))]
    lines += [f"    factor = all_{vector}(to_{kind}(accload_f8(args, 11)))",
              f"    packed = stack_words({PACKED * int(kind[1]) // 8})",
              f"    down = lda if ta == {PLAIN} else 1",
              f"    along = 1 if ta == {PLAIN} else lda",
              f"    b = b_given if tb == {PLAIN} else packed",
              f"    ldb = ldb_given if tb == {PLAIN} else n",
              f"    all = some_{vector}({lanes})",
              f"    if tb != {PLAIN}:",
              "        for j in range(n):",
              "            for l in range(k):",
              f"                accstore_{kind}(packed, l * n + j, accload_{kind}(b_given, j * ldb_given + l))",
              "    done = 0"]
    for rows in ROWS:
        lines += [f"    for i in range(done, m - {rows - 1}, {rows}):",
                  "        at = i * down",
                  f"        for j in range(0, n, {2 * lanes}):",
                  f"            if n - j > {lanes}:",
                  *_tile(kind, vector, lanes, rows, 2),
                  "            else:",
                  *_tile(kind, vector, lanes, rows, 1),
                  f"        done = i + {rows}"]
    return "\n".join(["def kernel(lo, hi, args):", *lines]) + "\n"


def _tile(kind: str, vector: str, lanes: int, rows: int, vectors: int) -> list[str]:
    """`rows` rows and `vectors` vectors of the result; the last may have fewer elements."""
    masks = ["all"] * (vectors - 1) + ["mask"]
    at = ["j" if v == 0 else f"j + {v * lanes}" for v in range(vectors)]
    out = [f"mask = some_{vector}(n - j - {(vectors - 1) * lanes})"]
    out += [f"s{r}_{v} = zero_{vector}()" for r in range(rows) for v in range(vectors)]
    out.append("for l in range(k):")
    out += [f"    x{v} = load_{vector}(b, l * ldb + {at[v]}, {masks[v]})" for v in range(vectors)]
    out.append("    p = at + l * along")
    for r in range(rows):
        out.append(f"    y = all_{vector}(accload_{kind}(a, p{f' + {r} * down' if r else ''}))")
        out += [f"    s{r}_{v} = fma_{vector}(y, x{v}, s{r}_{v})" for v in range(vectors)]
    out += [f"store_{vector}(c, (i + {r}) * ldc + {at[v]}, mul_{vector}(s{r}_{v}, factor), {masks[v]})"
            for r in range(rows) for v in range(vectors)]
    return ["                " + line for line in out]
