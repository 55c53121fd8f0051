"""One call for a stretch of kernels: a function of machine code that fills in addresses and calls kernels in order.

Input: a table of patches and one of calls, both made once for a plan (plan.py), and words, the argument blocks of one
workspace.  Output: a Python callable; `run(*objects)` writes what the objects hold into the words and makes the calls.
Invariant: the code is the same for every program, so it is compiled once for a machine and kept in the disk cache; it
refers to nothing outside itself.

A call through ctypes costs 0.4 us and more with each argument, for every kernel.  The driver is instead a function of
Python's own calling convention (METH_FASTCALL), made into a built-in function by `PyCFunction_NewEx`; the `self` of that
function is the array that holds its header, so such a call costs less than 0.1 us, whatever it runs.  It reads the
machine word that follows the header of each object: where an ndarray keeps its address (buffers.DATA_OFFSET), a float or
np.int64 its number.

Header, in words of 8 bytes:

    0 base of the words   1 address of the patches   2 their number   3 address of the calls   4 their number
    5, 6 addresses of PyEval_SaveThread and PyEval_RestoreThread, 0 to keep the GIL   7 address of None

A patch is (argument * 8, word * 8, offset in bytes): words[word] = word of the argument + offset.
A call is (function, lo, hi, offset in bytes of its block in the words).
"""
from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache as memoize
from typing import Any

import numpy as np

from jitgrad.builtin import FASTCALL, Definition, function
from jitgrad.compiler.numba_cpu import glue
from jitgrad.compiler.numba_cpu.kernels import PROTOTYPE
from jitgrad.memory import buffers
from jitgrad.memory.buffers import address

HEADER = 8                                  # words
_OWED = 1 if sys.version_info < (3, 12) else 0      # None is immortal since 3.12

# What is loaded from the header, in order, behind the base.
_FIELDS = {"patches": "ptr", "npatches": "i64", "calls": "ptr", "ncalls": "i64", "save": "ptr", "restore": "ptr", "none": "ptr"}
_SOURCE = """
define i64 @{name}(i64 %self, i64 %args, i64 %nargs) {{
entry:
  %self.p = inttoptr i64 %self to ptr
  %header.a = getelementptr i8, ptr %self.p, i64 {offset}
  %header = load ptr, ptr %header.a
  %base = load ptr, ptr %header
{header}
  %args.p = inttoptr i64 %args to ptr
  %holds = icmp eq ptr %save, null
  br label %patch.head
patch.head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %patch ]
  %more = icmp slt i64 %i, %npatches
  br i1 %more, label %patch, label %patched
patch:
  %row = mul i64 %i, 3
  %p0 = getelementptr i64, ptr %patches, i64 %row
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %which = load i64, ptr %p0
  %word = load i64, ptr %p1
  %plus = load i64, ptr %p2
  %object.a = getelementptr i8, ptr %args.p, i64 %which
  %object = load ptr, ptr %object.a
  %data.a = getelementptr i8, ptr %object, i64 {offset}
  %data = load i64, ptr %data.a
  %sum = add i64 %data, %plus
  %target = getelementptr i8, ptr %base, i64 %word
  store i64 %sum, ptr %target
  %i.next = add i64 %i, 1
  br label %patch.head
patched:
  br i1 %holds, label %calls.head, label %release
release:
  %state = call i64 %save()
  br label %calls.head
calls.head:
  %kept = phi i64 [ 0, %patched ], [ %state, %release ], [ %kept, %one ]
  %j = phi i64 [ 0, %patched ], [ 0, %release ], [ %j.next, %one ]
  %again = icmp slt i64 %j, %ncalls
  br i1 %again, label %one, label %done
one:
  %four = mul i64 %j, 4
  %c0 = getelementptr i64, ptr %calls, i64 %four
  %c1 = getelementptr i64, ptr %c0, i64 1
  %c2 = getelementptr i64, ptr %c0, i64 2
  %c3 = getelementptr i64, ptr %c0, i64 3
  %kernel = load ptr, ptr %c0
  %lo = load i64, ptr %c1
  %hi = load i64, ptr %c2
  %at = load i64, ptr %c3
  %block.p = getelementptr i8, ptr %base, i64 %at
  %block = ptrtoint ptr %block.p to i64
  call void %kernel(i64 %lo, i64 %hi, i64 %block)
  %j.next = add i64 %j, 1
  br label %calls.head
done:
  br i1 %holds, label %leave, label %take
take:
  call void %restore(i64 %kept)
  br label %leave
leave:
  %count = load i64, ptr %none
  %counted = add i64 %count, {owed}
  store i64 %counted, ptr %none
  %result = ptrtoint ptr %none to i64
  ret i64 %result
}}
"""


@memoize
def _native() -> tuple[Definition, int, int]:
    """The definition, and the addresses that give the GIL away and take it back."""
    name = "jitgrad_drive"
    offset, owed = buffers.DATA_OFFSET, _OWED
    header = "\n".join([f"  %h{k} = getelementptr i64, ptr %header, i64 {k}\n  %{field} = load {kind}, ptr %h{k}"
                        for k, (field, kind) in enumerate(_FIELDS.items(), 1)])
    source = _SOURCE.format(name=name, offset=offset, owed=owed, header=header)
    if not owed:        # nothing to count: leave None alone
        source = source.replace("  store i64 %counted, ptr %none\n", "")
    definition = Definition(b"run", glue.address(name, [source], lambda: source), FASTCALL, b"Runs kernels.")
    api = [ctypes.cast(f, ctypes.c_void_p).value for f in
           (ctypes.pythonapi.PyEval_SaveThread, ctypes.pythonapi.PyEval_RestoreThread)]
    assert api[0] and api[1]
    return definition, api[0], api[1]


def prepare() -> None:
    """Compile or load the driver now.  Called while a program is built, which a fork waits for: a child forked while
    another thread is inside LLVM could not enter it again."""
    if buffers.DATA_OFFSET is not None:
        _native()


def bind(words: np.ndarray, patches: np.ndarray, calls: np.ndarray, release: bool) -> Callable[..., None]:
    """The callable.  patches: int64 (n, 3); calls: int64 (m, 4), both C-contiguous; words: int64, flat.

    release: whether to give the GIL away during the calls.  The arrays must not be resized; the callable keeps them.
    May be called by one thread at a time."""
    if buffers.DATA_OFFSET is None:
        return _portable(words, patches, calls)
    definition, save, restore = _native()
    header = np.empty(HEADER, np.int64)
    header[:] = (address(words), address(patches), len(patches), address(calls), len(calls),
                 save if release else 0, restore if release else 0, id(None))
    return function(definition, _Header.keeping(header, definition, words, patches, calls))


class _Header(np.ndarray):
    """The header, as the array that a callable keeps; it keeps the arrays it points to, and the definition."""

    parts: tuple[Any, ...]

    @classmethod
    def keeping(cls, header: np.ndarray, *parts: Any) -> _Header:
        """The same memory as `header`."""
        view = header.view(cls)
        view.parts = parts
        return view


def _portable(words: np.ndarray, patches: np.ndarray, calls: np.ndarray) -> Callable[..., None]:
    """The same in Python, where objects cannot be read by address."""
    base = address(words)
    floats = words.view(np.float64)
    rows = [(argument // 8, word // 8, plus) for argument, word, plus in patches.tolist()]
    runs = [(PROTOTYPE(function), lo, hi, base + block) for function, lo, hi, block in calls.tolist()]

    def run(*objects: Any) -> None:
        for argument, word, plus in rows:
            what = objects[argument]
            if isinstance(what, np.ndarray):
                words[word] = address(what) + plus
            elif isinstance(what, float):
                floats[word] = what
            else:
                words[word] = what
        for kernel, lo, hi, block in runs:
            kernel(lo, hi, block)

    return run
