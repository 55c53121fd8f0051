"""The function of a loop: it calls kernels, again and again, with other arguments.

Input: the block of a loop (tables.py describes it).  Output: LLVM IR of the function, which is called as a kernel is, and the source of
the kernel that clears memory.
Invariant: the code is the same for every loop; what differs are tables.

Before the calls of an iteration i, words of their blocks are written:

    direct:    word = *source + offset + (i & mask) * stride + i * step
    indirect:  word = *(*source + offset + (i & mask) * stride) + plus + i * step

It is short and computes nothing but addresses: to have Numba and all of LLVM's passes make it would take as long as three kernels.
"""
from __future__ import annotations

NAME = "jitgrad_iterate"
DIRECT = ("source", "target", "offset", "stride", "mask", "step")           # words of a row
INDIRECT = (*DIRECT, "plus")
CALL = ("kernel", "lo", "hi", "at")
BLOCK = ("direct", "ndirect", "indirect", "nindirect", "calls", "ncalls", "base")
_POINTERS = {"direct", "indirect", "calls", "source", "target", "kernel"}

_PLACE = """  %{row}.start = load i64, ptr %{row}.source
  %{row}.which = and i64 %i, %{row}.mask
  %{row}.along = mul i64 %{row}.which, %{row}.stride
  %{row}.from = add i64 %{row}.start, %{row}.offset
  %{row}.place = add i64 %{row}.from, %{row}.along
  %{row}.steps = mul i64 %i, %{row}.step
"""


def source() -> str:
    """The text of the function over the iterations."""
    direct = _PLACE.format(row="direct.row") + """  %direct.word = add i64 %direct.row.place, %direct.row.steps
  store i64 %direct.word, ptr %direct.row.target
"""
    indirect = _PLACE.format(row="indirect.row") + """  %indirect.at = inttoptr i64 %indirect.row.place to ptr
  %indirect.found = load i64, ptr %indirect.at
  %indirect.more = add i64 %indirect.found, %indirect.row.plus
  %indirect.word = add i64 %indirect.more, %indirect.row.steps
  store i64 %indirect.word, ptr %indirect.row.target
"""
    calls = """  %block = add i64 %base, %calls.row.at
  call void %calls.row.kernel(i64 %calls.row.lo, i64 %calls.row.hi, i64 %block)
"""
    return f"""
define void @{NAME}(i64 %lo, i64 %hi, i64 %args) {{
entry:
  %args.p = inttoptr i64 %args to ptr
{_words("args.p", "", BLOCK)}  br label %iteration
iteration:
  %i = phi i64 [ %lo, %entry ], [ %i.next, %iteration.end ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %direct.head, label %done
{_rows("direct", DIRECT, direct, "indirect.head", "iteration")}{_rows("indirect", INDIRECT, indirect, "calls.head", "direct.head")}\
{_rows("calls", CALL, calls, "iteration.end", "indirect.head")}iteration.end:
  %i.next = add i64 %i, 1
  br label %iteration
done:
  ret void
}}
"""


def _words(row: str, prefix: str, names: tuple[str, ...]) -> str:
    """Loads of the words of a row, each by its name."""
    return "".join([f"  %{prefix}{name}.p = getelementptr i64, ptr %{row}, i64 {k}\n"
                    f"  %{prefix}{name} = load {'ptr' if name in _POINTERS else 'i64'}, ptr %{prefix}{name}.p\n"
                    for k, name in enumerate(names)])


def _rows(table: str, names: tuple[str, ...], body: str, then: str, before: str) -> str:
    """What is done for each row of a table, between two blocks of the function."""
    return f"""{table}.head:
  %{table}.k = phi i64 [ 0, %{before} ], [ %{table}.next, %{table}.body ]
  %{table}.left = icmp slt i64 %{table}.k, %n{table}
  br i1 %{table}.left, label %{table}.body, label %{then}
{table}.body:
  %{table}.first = mul i64 %{table}.k, {len(names)}
  %{table}.row = getelementptr i64, ptr %{table}, i64 %{table}.first
{_words(f"{table}.row", f"{table}.row.", names)}{body}  %{table}.next = add i64 %{table}.k, 1
  br label %{table}.head
"""


def clearing(kind: str) -> str:
    """The text of a kernel that writes zeros from an address on: elements of a kind of integers."""
    zero = "b1(False)" if kind == "b1" else f"{kind}(0)"
    return f"""def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    for i in range(lo, hi):
        store_{kind}(p0, i, {zero})
"""
