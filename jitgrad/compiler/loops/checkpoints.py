"""Which loops keep states at the starts of blocks, instead of what their derivatives read of each iteration.

Input: loops and what is kept of them, the memory that a request takes where everything is kept, and a limit.
Output: how many iterations a block of each loop has.
Invariant: with blocks, iterations compute what they would without, by the same kernels: the bits are the same.

Forward, the state that an iteration hands on to the next is copied at the start of each block; what the derivative reads is kept of
the last block alone.  Backward, each block but the last is computed once more from its state, now keeping that, before its derivative
(Griewank and Walther, Evaluating Derivatives, 2nd edition, section 12.2).  Blocks of n iterations have about sqrt(n) each where memory
is least; there are as few as the limit allows.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jitgrad.compiler.loops.needs import Loop
from jitgrad.compiler.runtime.arena import ALIGN, aligned
from jitgrad.config import config


def kept(one: Loop) -> list[int]:
    """The operations of which a place for each iteration is needed for the derivative alone."""
    return sorted((one.kept | one.before) - one.all)


def state(one: Loop) -> list[int]:
    """The operands that are handed on and not kept of all iterations anyway: what a block begins from."""
    return [j for offset, j in one.carried.items() if offset not in one.all]


def varies(one: Loop) -> bool:
    """Whether what is handed on has other lengths in other iterations: then no copy of it is like another."""
    return any([one.body.operands[j].spec.type != one.later.operands[j].spec.type for j in state(one)])


def memory(one: Loop, blocks: np.ndarray) -> np.ndarray:
    """Bytes for the states at the starts of blocks, the values of one block, and those of the last iteration."""
    longest = -(-one.count // blocks)
    total = np.zeros(len(blocks), np.int64)
    for offset in kept(one):
        size, carried = one.nbytes(offset), offset in one.carried
        total += -(-(longest + carried) * size // ALIGN) * ALIGN + (1 + carried) * aligned(size)
    states = sum([aligned(one.nbytes(one.piece.operands[j].offset)) for j in state(one)])
    return total + np.maximum(blocks - 1, 1) * states       # one for what the loop begins with, which it may not take over


def stored(one: Loop) -> int:
    """Bytes where everything is kept."""
    return sum([aligned(sum(one.each(o))) for o in kept(one)])


def choose(loops: Sequence[Loop], total: int) -> Mapping[int, int]:
    """By the number of a loop, the iterations of a block, where a request that takes so many bytes is to take less."""
    limit, found = config.memory_limit, {}
    assert limit is not None
    for one in sorted(loops, key=stored, reverse=True):
        if total <= limit:
            break
        if one.reverse is None or one.count == 1 or not kept(one) or varies(one):
            continue
        blocks = np.arange(2, one.count + 1)
        takes, all = memory(one, blocks), stored(one)
        enough = np.flatnonzero(takes <= limit - total + all)
        which = int(enough[0]) if len(enough) else int(takes.argmin())
        if takes[which] < all:
            found[one.number] = -(-one.count // int(blocks[which]))
            total += int(takes[which]) - all
    return found


def told(one: Loop, block: int) -> list[str]:
    """What people are told is stored of a loop that has a derivative."""
    lines = []
    parts = [f"{one.body.nodes[o].spec.op.name} {one.nbytes(o):,}" for o in kept(one)]
    if parts and varies(one):
        lines.append("no blocks: what is handed on has other lengths in other iterations")
    if parts and block < one.count:
        lines.append(f"stored for the derivative: the state before each {block} of {one.count} iterations, and of as many at a time, "
                     f"which are computed again, in bytes: {', '.join(parts)} (of all {stored(one):,})")
    elif parts:
        lines.append(f"stored for the derivative of each of {one.count} iterations, in bytes: {', '.join(parts)} (of all "
                     f"{stored(one):,})")
    read = [f"{one.body.nodes[o].spec.op.name} {one.nbytes(o):,}" for o in sorted(one.all)]
    if read:
        lines.append(f"stored of each of {one.count} iterations, since it is read behind them, in bytes: {', '.join(read)}")
    return lines
