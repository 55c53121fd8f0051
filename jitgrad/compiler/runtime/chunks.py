"""How loop 0 of a kernel is cut in chunks, which threads share.

Input: a kernel, how many iterations loop 0 has, and the time that one takes.  Output: the bounds of the chunks.
Invariant: they depend on lengths alone, not on the number of threads, and so do the bits of what is summed up.
"""
from __future__ import annotations

from jitgrad.compiler.ir.steps import KernelStep

# Estimates (of AVX2): with 512-bit registers the loops take a quarter of it, and to hand work to a thread takes 40 us.
SERIAL_NANOSECONDS = 600_000    # work below this is not cut
CHUNK_NANOSECONDS = 300_000
MAX_CHUNKS = 64
LONGEST_SUM = 1 << 17           # iterations of a chunk that adds up: bounds the rounding error
MAX_MEMORY_PARTIALS = 8         # chunks, where each needs a whole array to accumulate in


def cut(outer: int, nanoseconds: float, step: KernelStep) -> list[tuple[int, int]]:
    """First and last iteration of each chunk of loop 0; nanoseconds: of one iteration."""
    total = outer * nanoseconds
    sums = -(-outer // LONGEST_SUM) if step.combines else 1
    if (total < SERIAL_NANOSECONDS and sums == 1) or outer < 2 or step.kernel.serial:
        return [(0, outer)]
    count = min(MAX_CHUNKS, max(int(total // CHUNK_NANOSECONDS), sums))
    if any([r.reduced[0] and not all(r.reduced) for r in step.kernel.reductions]):
        count = min(count, MAX_MEMORY_PARTIALS)
    size = -(-outer // count)
    if size > 1024:
        size = -(-size // 1024) * 1024
    return [(lo, min(lo + size, outer)) for lo in range(0, outer, size)]
