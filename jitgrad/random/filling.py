"""Random numbers in arrays, by kernels once so many are drawn that these pay.

Input: a formula's name (ops.random.AT_PLACE), an array, a seed and an offset.
Invariant: kernels and NumPy give the same bits, so nobody can tell which of them has drawn.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.config import config
from jitgrad.graph.node import Spec
from jitgrad.memory.buffers import address
from jitgrad.memory.threads import parallel_for
from jitgrad.ops import random as reference
from jitgrad.requests.schedule_cache import interpreting

CALLS, ELEMENTS = 256, 1 << 19      # that NumPy does in some 30 ms: then kernels are taken from disk, or compiled
CHUNK = 1 << 16                     # elements; fewer are not shared out to threads
COUNT = 2                           # see driver.py: the end of a kernel's iterations
_SOURCE = """def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    n1 = arg_i8(args, 1)
    n2 = arg_i8(args, 2)
    for i0 in range(lo, hi):
        interleave({interleave})
        v0 = {name}(i0 + n2, n1)
        store_{code}(p0, i0, v0)
"""


class Filler:
    """The kernel of one formula.

    words: what it reads, the address of the array, a seed and an offset; calls: how it is called, the number of elements at COUNT;
    `run(array)` does so, with no thread between these stores and the call: see graph.in_grad_mode.  known: of the shapes of small
    tensors that were drawn, what they are and how many elements they have."""

    __slots__ = ("kernel", "words", "calls", "run", "known")

    def __init__(self, name: str, code: str) -> None:
        from jitgrad.compiler.numba_cpu.kernels import get_kernel  # now: they import LLVM
        from jitgrad.compiler.runtime import driver
        self.kernel = get_kernel(_SOURCE.format(name=name, code=code, interleave=4 if "normal" in name else 2))
        self.known: dict[tuple[int, ...], tuple[Spec, int]] = {}
        words: Any = np.zeros(3, np.int64)
        calls: Any = np.array([[self.kernel.address, 0, 0, 0]], np.int64)
        self.words, self.calls = memoryview(words), memoryview(calls.reshape(-1))      # whose items are stored in half the time
        self.run: Callable[[Any], None] = driver.bind(words, np.zeros((1, 3), np.int64), calls, False)

    def fill(self, array: np.ndarray, seed: int, offset: int) -> None:
        """Write the draws to an array."""
        count = array.size
        if count < CHUNK:
            words = self.words
            words[1] = seed
            words[2] = offset
            self.calls[COUNT] = count
            self.run(array)
            return
        block = np.array([address(array), seed, offset], np.int64)
        at = address(block)
        parallel_for(self.kernel.call, [(lo, min(lo + CHUNK, count), at) for lo in range(0, count, CHUNK)])


fillers: dict[str, Filler] = {}     # those there are, by the formula's name
_done = [0, 0]                      # calls and elements so far


def fill(name: str, array: np.ndarray, seed: int, offset: int) -> None:
    """Write the draws of a formula to a C-contiguous array."""
    filler = fillers.get(name)
    if filler is None:
        _done[0] += 1
        _done[1] += array.size
        if config.interpret or interpreting.active or (_done[0] < CALLS and _done[1] < ELEMENTS):
            reference.fill(name, array.reshape(-1), seed, offset)
            return
        code = name.rpartition("_")[2]
        filler = fillers[name] = Filler(name, code if code in ("f4", "f8") else "i8")
    filler.fill(array, seed, offset)


reference.filling[0] = fill
