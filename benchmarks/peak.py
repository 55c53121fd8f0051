"""The peak memory of chain's gradient: a script, run in a process of its own with the name of a tool and a length.

Prints the peak over what the process held before its input, in bytes, as Linux counts it: resident pages, and their
high-water mark, which exec starts anew (ru_maxrss inherits the parent's).  tests/test_memory.py runs it too.
"""
from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import numpy as np


def status(field: str) -> int:
    """Bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def gradient(xp: Any, n: int) -> float:
    """One gradient of length n, and an element of it: what is computed late is computed."""
    x = xp.tensor(np.linspace(-3, 3, n), requires_grad=True)
    xp.sum(xp.tanh(x * 1.5 + 0.1) * xp.exp(-x * x) + xp.log1p(x * x)).backward()
    return float(x.grad[0])


def growth(tool: str, n: int) -> int:
    """The peak of a gradient of length n.

    Short ones come first: what imports and compilation take, and the machine code that the second backward of a
    program fetches, is not what is measured."""
    xp = importlib.import_module(tool)
    xp.set_num_threads(1)
    for _ in range(3):
        gradient(xp, 100)
    gc.collect()
    before = status("VmRSS")
    gradient(xp, n)
    return status("VmHWM") - before


if __name__ == "__main__":
    print(growth(sys.argv[1], int(sys.argv[2])))
