"""Constants that a loop computes anew each time: the results of operations on arrays that are still the same.

`((x - data) ** 2 * (1 / sigma ** 2)).sum()` computes what depends on no gradient leaf at once, in each iteration.  Arrays
behind nodes never change, so the same operation on the same arrays gives the same result, which is kept from the second
time on, for as long as the arrays live.

Invariant: a result is given only for the very objects that it was computed from (weak references tell), and is an array
that nobody writes to, like any behind a node.  What is kept keeps nothing else alive and is bounded in number and bytes.
"""
from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

LEAST = 256                 # elements of an operation: below, computing takes no longer than looking up
MOST_BYTES = 1 << 20        # of one result
TOTAL_BYTES = 32 << 20
ENTRIES = 256


class _Entry:
    """An operation that has been seen: what it was applied to (None for a number, which is in the key), and its result
    from the second time on."""

    __slots__ = ("operands", "result")

    def __init__(self, operands: list[weakref.ref | None]) -> None:
        self.operands = operands
        self.result: np.ndarray | None = None


_entries: dict[tuple, _Entry] = {}
_held = 0                   # bytes of all results


def memoized(compute: Callable[..., np.ndarray], what: Any, *operands: np.ndarray | float) -> np.ndarray:
    """compute(what, *operands), or the array that it gave before for the same `what` and operands."""
    key = (what, *[v.hex() if type(v) is float else id(v) for v in operands])       # hex: 0.0 == -0.0
    entry = _entries.get(key)
    if entry is not None:
        for reference, v in zip(entry.operands, operands):      # noqa: B905 (of one length)
            if reference is not None and reference() is not v:
                entry = None        # another array at the address of one that is gone
                break
        else:
            if entry.result is not None:
                return entry.result
    result = compute(what, *operands)
    if entry is None:
        _note(key, operands)
    else:
        _keep(entry, operands, result)
    return result


def forget() -> None:
    """Let go of everything."""
    global _held
    _entries.clear()
    _held = 0


def _note(key: tuple, operands: tuple[np.ndarray | float, ...]) -> None:
    if len(_entries) >= ENTRIES:
        forget()
    gone = functools.partial(_remove, key)
    _entries[key] = _Entry([weakref.ref(v, gone) if isinstance(v, np.ndarray) else None for v in operands])


def _keep(entry: _Entry, operands: tuple[np.ndarray | float, ...], result: np.ndarray) -> None:
    global _held
    memory = _memory(result)
    if result.nbytes > MOST_BYTES or any([_memory(v) is memory for v in operands if isinstance(v, np.ndarray)]):
        return                      # the latter: a view would keep its operand alive
    if _held + result.nbytes > TOTAL_BYTES:
        forget()
        return
    _held += result.nbytes
    entry.result = result


def _memory(array: Any) -> Any:
    """What owns the memory of an array."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def _remove(key: tuple, _: weakref.ref) -> None:
    global _held
    entry = _entries.pop(key, None)
    if entry is not None and entry.result is not None:
        _held -= entry.result.nbytes
