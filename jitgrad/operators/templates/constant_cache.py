"""Constants that a loop computes anew each time: the results of operations on arrays that are still the same.

`((x - data) ** 2 * (1 / sigma ** 2)).sum()` computes what depends on no gradient leaf at once, in each iteration.  Arrays
behind nodes never change, so the same operation on the same memory gives the same result, which is kept from the second time on,
for as long as the memory lives.  `t[:, None] ** arange(128)` makes a new view and a new exponent each time: what counts of a view is
the memory that it shows, and of an operand much smaller than the work what it contains.

Invariant: a result is given only for the same bytes as it was computed from: for the very memory, seen in the same way (a weak
reference to the array that owns it, address, strides, shape, dtype), or for equal contents.  It is an array that nobody writes to,
like any behind a node.  Memory is used again only when the array that owns it is gone.  What is kept keeps nothing else alive and is
bounded in number and bytes.
"""
from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.memory.buffers import address

LEAST = 256                 # elements of an operation: below, computing takes no longer than looking up
MOST_BYTES = 1 << 20        # of one result
TOTAL_BYTES = 32 << 20
ENTRIES = 256
PATIENCE = 2 * ENTRIES      # calls that find nothing, before
SELDOM = 8                  # only so many times fewer are looked at
SMALL = 512                 # elements of an operand that is known by its contents, if the work is so many times as large:
TIMES = 8


class _Entry:
    """An operation that has been seen: who owns the memory that it was applied to (None for what is in the key itself), and its
    result from the second time on."""

    __slots__ = ("owners", "result")

    def __init__(self, owners: list[weakref.ref | None]) -> None:
        self.owners = owners
        self.result: np.ndarray | None = None


_entries: dict[tuple, _Entry] = {}
_held = 0                   # bytes of all results


def by_contents(sizes: Sequence[int], work: int) -> int:
    """Which operands of so many elements are known by their contents, as bits; work: the elements of the largest array."""
    return sum([1 << i for i, size in enumerate(sizes) if size <= SMALL and size * TIMES <= work])


def cached(run: Callable[..., np.ndarray], misses: list[int], small: int, what: Any, *operands: np.ndarray | float) -> np.ndarray:
    """run(what, *operands), or the array that it gave before for the same `what` and operands.

    misses: how often in a row there was none, [0] at first: where operands are always others they are looked at only for a while now
    and then.  small: see `by_contents`."""
    count = misses[0] = misses[0] + 1
    if count // PATIENCE % SELDOM:
        return run(what, *operands)
    parts: list[Any] = [what]
    owners: list[np.ndarray | None] = []
    for v in operands:
        is_small, small = small & 1, small >> 1
        if is_small:
            owners.append(None)
            parts.append(v.tobytes())   # type: ignore[union-attr]  (`what` goes with their shapes and dtypes)
        elif type(v) is np.ndarray:
            owner = _owner(v)
            owners.append(owner)
            parts += (id(owner),) if owner is v else (id(owner), address(v), v.strides, v.shape, v.dtype)
        else:
            owners.append(None)
            parts.append(v.hex() if type(v) is float else v)        # (0.0 == -0.0)
    key = tuple(parts)
    entry = _entries.get(key)
    if entry is not None:
        for reference, owner in zip(entry.owners, owners):      # noqa: B905 (of one length)
            if reference is not None and reference() is not owner:
                entry = None        # another array at the address of one that is gone
                break
        else:
            if entry.result is not None:
                misses[0] = 0
                return entry.result
    result = run(what, *operands)
    if entry is None:
        _note(key, owners)
    else:
        _keep(entry, owners, result)
    return result


def forget() -> None:
    """Let go of everything."""
    global _held
    _entries.clear()
    _held = 0


def _note(key: tuple, owners: list[np.ndarray | None]) -> None:
    if len(_entries) >= ENTRIES:
        for seen_once in [k for k, entry in list(_entries.items()) if entry.result is None]:
            _entries.pop(seen_once, None)
        if len(_entries) >= ENTRIES:
            forget()
    gone = functools.partial(_remove, key)
    _entries[key] = _Entry([None if v is None else weakref.ref(v, gone) for v in owners])


def _keep(entry: _Entry, owners: list[np.ndarray | None], result: np.ndarray) -> None:
    global _held
    owner = _owner(result)
    if result.nbytes > MOST_BYTES or any([v is owner for v in owners]):
        return                      # the latter: a view would keep its operand alive
    if _held + result.nbytes > TOTAL_BYTES:
        forget()
        return
    _held += result.nbytes
    entry.result = result


def _owner(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory of an array: of pooled memory the first on it (buffers.py), which NumPy does not look
    behind."""
    base = array.base
    while type(base) is np.ndarray:
        array, base = base, base.base
    return array


def _remove(key: tuple, _: weakref.ref) -> None:
    global _held
    entry = _entries.pop(key, None)
    if entry is not None and entry.result is not None:
        _held -= entry.result.nbytes
