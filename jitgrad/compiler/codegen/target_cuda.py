"""Source text of a kernel for CUDA: how loops become threads.

Input: a `loop_nest.LoopNest`.  Output: the text of one or more functions over the vocabulary of numba_cuda, to be launched in the
order of the text.
Invariant: deterministic, in text and in results.  Results depend on lengths alone, not on the device.

A nest without rows is a stage (cuda/spread.py) for the stores and the reductions over the same loops, one for each other set of
reduced loops, and one for each store that accumulates (cuda/scatter.py).  One with rows is one stage (cuda/rows.py), and what that
leaves to others.  One that adds at positions which follow from a row's result is left to one thread, which runs the CPU's text.

Parameters: pk: the address of a Pointer slot's element; nk, ck: an Integer, a Number (whose kind is its annotation); hi: the
iterations of loop 0; wk: memory for the partial results of reduction k; sk: for what a stage leaves to another; chunks, lanes,
blocks: how many there are of each.

Sample, the sum of x * c over all elements and its gradient:

    def rows0(p0, c1: "f8", p2, p3, hi, w0):
        tx = thread_x()
        ty = thread_y()
        nx = threads_x()
        by = block_y()
        gy = blocks_y()
        place = ty * nx + tx
        v1 = c1
        a0 = f8(0.0)
        i0 = by * nx + tx
        while i0 < hi:
            v0 = load_f8(p0, i0)
            v2 = v0 * v1
            store_f8(p2, i0, v1)
            a0 = radd(a0, v2)
            i0 = i0 + gy * nx
        keep_f8(0, place, a0)
        wait()
        half = quotient(nx, 2)
        while half > 0:
            if tx < half:
                keep_f8(0, place, radd(kept_f8(0, place), kept_f8(0, place + half)))
            wait()
            half = quotient(half, 2)
        if tx == 0:
            if gy == 1:
                store_f8(p3, 0, kept_f8(0, place))
            else:
                store_f8(w0, by, kept_f8(0, place))

    def rows0_lengths(hi):
        return 1, hi

    def combine1(p3, w0, chunks):
        ...

    def combine1_lengths(chunks):
        return 1, chunks
"""
from __future__ import annotations

import re

from jitgrad.compiler.codegen.cuda.rows import Rows
from jitgrad.compiler.codegen.cuda.scatter import Scatter
from jitgrad.compiler.codegen.cuda.spread import Spread
from jitgrad.compiler.codegen.cuda.stage import Stage
from jitgrad.compiler.codegen.emit import emit as emit_loops
from jitgrad.compiler.codegen.target_cpu import CpuTarget
from jitgrad.compiler.ir.loop_nest import LoopNest


def emit(kernel: LoopNest, atomic: bool = False) -> str:
    """The text, ending in a newline.  atomic: what is added at computed positions may be added in any order."""
    if kernel.rows:
        return Rows(kernel, 0).run(atomic) if Rows.takes(kernel) else alone(kernel)
    masks = list(dict.fromkeys([r.reduced for r in kernel.reductions]))
    stores = [s for s in kernel.stores if not s.accumulate]
    groups = [[j for j, r in enumerate(kernel.reductions) if r.reduced == mask] for mask in reversed(masks)]
    if stores and not groups:
        groups = [[]]
    text: list[str] = []
    for group in groups:        # the stores come with the last, when all that reads has read
        text.append(Spread(kernel, _functions(text), group, stores if group is groups[-1] else []).run())
    for store in [s for s in kernel.stores if s.accumulate]:
        stage = Scatter(kernel, _functions(text), store)
        text.append(stage.atomically() if atomic else stage.run())
    return "\n\n".join(text)


def _functions(text: list[str]) -> int:
    """How many functions there are, without their twins."""
    return len(re.findall(r"(?m)^def (?!\w+_lengths\()", "\n".join(text)))


class _OneThread(CpuTarget):
    """The CPU's text, where parameters are the function's own."""

    header = ""

    def pointer(self, slot: int) -> str:
        return ""

    def integer(self, slot: int) -> str:
        return ""

    def number(self, slot: int, code: str) -> str:
        return f"c{slot}"


def alone(kernel: LoopNest) -> str:
    """The text of a function for one thread."""
    stage = Stage(kernel, 0)
    stage.lines = ["    lo = 0", *[line for line in emit_loops(kernel, _OneThread()).splitlines() if line.strip()]]
    return stage.function("alone", "1", "1")


def check_positions() -> str:
    """The text of what looks at the extreme positions of an index, p0 and p1, of integers i8: it leaves `number` in the flag of
    errors if they are not within least <= position < n.  (Where a position is used, it is clamped.)"""
    return '''def alone0(p0, p1, least, n, number, flag):
    if load_i8(p0, 0) < least or load_i8(p1, 0) >= n:
        accstore_i4(flag, 0, to_i4(number))


def alone0_lengths():
    return 1, 1
'''
