"""The kernels that put the partial results of chunks together.

Input: a reduction, and the dtype of its result.  Output: the source of a kernel.
Invariant: chunks are combined in order, whatever ran them.

Sample, for sums:

    def kernel(lo, hi, args):
        p0 = arg_i8(args, 0)
        p1 = arg_i8(args, 1)
        n2 = arg_i8(args, 2)
        n3 = arg_i8(args, 3)
        for i0 in range(lo, hi):
            store_f8(p1, i0, load_f8(p0, i0))
        for k in range(1, n3):
            o0 = k * n2
            for i0 in range(lo, hi):
                store_f8(p1, i0, radd(load_f8(p1, i0), load_f8(p0, o0 + i0)))
"""
from __future__ import annotations

from jitgrad.graph.node import Op

PARTIALS, RESULT, COUNT, CHUNKS = range(4)      # words of the block: two addresses, elements of the result, number of chunks


def source(op: Op, code: str) -> str:
    """The text of the kernel, which runs over the elements of the result."""
    total = op.combine.format(acc=f"load_{code}(p1, i0)", x=f"load_{code}(p0, o0 + i0)")
    return f"""def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    p1 = arg_i8(args, 1)
    n2 = arg_i8(args, 2)
    n3 = arg_i8(args, 3)
    for i0 in range(lo, hi):
        store_{code}(p1, i0, load_{code}(p0, i0))
    for k in range(1, n3):
        o0 = k * n2
        for i0 in range(lo, hi):
            store_{code}(p1, i0, {f"to_i4({total})" if code == "i4" else total})
"""
