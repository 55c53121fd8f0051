"""The peak memory of a gradient: a script, run in a process of its own with the names of a tool and of a program, and a length.

A fourth argument is a limit in bytes for jitgrad.set_memory_limit.
Prints the peak over what the process held before its input, in bytes, as Linux counts it: resident pages, and their
high-water mark, which exec starts anew (ru_maxrss inherits the parent's).  tests/test_memory.py runs it too.
"""
from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def status(field: str) -> int:
    """Bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def chain(xp: Any, x: Any) -> Any:
    """An elementwise formula."""
    return xp.sum(xp.tanh(x * 1.5 + 0.1) * xp.exp(-x * x) + xp.log1p(x * x))


def written(xp: Any, x: Any) -> Any:
    """200 steps of an equation that is not linear, in place."""
    u = x.clone()
    for _ in range(200):
        u[1:-1] = u[1:-1] - 0.01 * u[1:-1] * (u[2:] - u[:-2])
    return (u * u).sum()


def joined(xp: Any, x: Any) -> Any:
    """The same with new arrays."""
    u = x
    for _ in range(200):
        u = xp.cat([u[:1], u[1:-1] - 0.01 * u[1:-1] * (u[2:] - u[:-2]), u[-1:]])
    return (u * u).sum()


def rungekutta(xp: Any, x: Any) -> Any:
    """50 steps of RK4."""
    def f(y: Any) -> Any:
        return xp.sin(y) * (1 - y)
    for _ in range(50):
        a = f(x)
        b = f(x + 0.005 * a)
        c = f(x + 0.005 * b)
        x = x + (0.01 / 6) * (a + 2 * b + 2 * c + f(x + 0.01 * c))
    return (x * x).sum()


def rows(xp: Any, x: Any) -> Any:
    """States as rows of one array, written one by one."""
    out, c = xp.zeros(100, *x.shape, dtype=x.dtype), x
    for k in range(100):
        c = c * 0.9 + 0.01 * xp.sin(c)
        out[k] = c
    return (out * out).sum()


def recurrent(xp: Any, x: Any) -> Any:
    """An LSTM cell of 32 units over 50 steps, whose input is multiplied in each."""
    h, v = x[:x.shape[0] // 32 * 32].reshape(-1, 32), xp.linspace(-0.1, 0.1, 32 * 128, dtype=x.dtype).reshape(32, 128)
    given, c = h, h * 0.1
    for _ in range(50):
        z = given @ v + h @ v
        c = xp.sigmoid(z[:, 32:64]) * c + xp.sigmoid(z[:, :32]) * xp.tanh(z[:, 64:96])
        h = xp.sigmoid(z[:, 96:]) * xp.tanh(c)
    return (h * h).sum()


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    f.__name__: f for f in (chain, written, joined, rungekutta, rows, recurrent)}


def gradient(xp: Any, program: str, n: int) -> float:
    """One gradient of length n, and an element of it: what is computed late is computed."""
    x = xp.tensor(np.linspace(-3, 3, n), requires_grad=True)
    PROGRAMS[program](xp, x).backward()
    return float(x.grad[0])


def growth(tool: str, program: str, n: int, *limit: int) -> int:
    """The peak of a gradient of length n.

    Short ones come first: what imports and compilation take, and the machine code that the second backward of a
    program fetches, is not what is measured."""
    xp = importlib.import_module(tool)
    xp.set_num_threads(1)
    if limit:
        xp.set_memory_limit(*limit)
    for _ in range(3):
        gradient(xp, program, 100)
    gc.collect()
    before = status("VmRSS")
    gradient(xp, program, n)
    return status("VmHWM") - before


if __name__ == "__main__":
    print(growth(*sys.argv[1:3], *map(int, sys.argv[3:])))
