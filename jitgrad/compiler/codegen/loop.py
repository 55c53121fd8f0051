"""The kernel of a loop: it calls other kernels, again and again, with other arguments.

Input: the block of a loop (tables.py describes it).  Output: source of kernels.
Invariant: the code is the same for every loop; what differs are tables.

Before the calls of an iteration i, words of their blocks are written:

    direct:    word = *source + offset + (i & mask) * stride + i * step
    indirect:  word = *(*source + offset + (i & mask) * stride) + plus + i * step
"""
from __future__ import annotations

DIRECT = ("source", "target", "offset", "stride", "mask", "step")           # words of a row
INDIRECT = (*DIRECT, "plus")
BLOCK = ("direct", "ndirect", "indirect", "nindirect", "calls", "ncalls", "base")


def source() -> str:
    """The text of the kernel over the iterations."""
    words = "\n".join([f"    {name} = arg_i8(args, {k})" for k, name in enumerate(BLOCK)])
    address = "accload_i8(accload_i8(row, 0), 0) + accload_i8(row, 2) + band(i, accload_i8(row, 4)) * accload_i8(row, 3)"
    return f"""def kernel(lo, hi, args):
{words}
    for i in range(lo, hi):
        for k in range(ndirect):
            row = direct + k * {8 * len(DIRECT)}
            accstore_i8(accload_i8(row, 1), 0, {address} + i * accload_i8(row, 5))
        for k in range(nindirect):
            row = indirect + k * {8 * len(INDIRECT)}
            place = {address}
            accstore_i8(accload_i8(row, 1), 0, accload_i8(place, 0) + accload_i8(row, 6) + i * accload_i8(row, 5))
        for k in range(ncalls):
            row = calls + k * 32
            call_kernel(accload_i8(row, 0), accload_i8(row, 1), accload_i8(row, 2), base + accload_i8(row, 3))
"""


def clearing(kind: str) -> str:
    """The text of a kernel that writes zeros from an address on: elements of a kind of integers."""
    zero = "b1(False)" if kind == "b1" else f"{kind}(0)"
    return f"""def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    for i in range(lo, hi):
        store_{kind}(p0, i, {zero})
"""
