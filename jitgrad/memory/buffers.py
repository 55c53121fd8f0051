"""Memory for results: NumPy arrays whose addresses are cheap to get, large ones from a pool.

The pages of a fresh large array cost as much to fault in as a kernel takes to fill them, so the memory of a large
array is used again; but never before every array, view, memoryview or DLPack capsule on it is gone.  That is decided
by the lifetime of an owner object, which NumPy keeps alive as the `base` of the array and of all its views; nothing
counts references.
"""
from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LARGE = 256 * 1024              # bytes; below, malloc is as quick as the pool
ALIGNMENT = 64                  # of pooled memory: a cache line, and a vector of AVX-512
MAX_HELD = 1024 * 1024 * 1024   # bytes held for reuse


@dataclass
class PoolCounts:
    """held: bytes that wait for reuse.  hits, misses: large arrays that came from the pool, and from the system."""

    held: int = 0
    hits: int = 0
    misses: int = 0


class _Owner:
    """The owner of a pooled piece of memory, while any array refers to it; then the memory goes back to the pool."""

    __slots__ = ("__array_interface__", "chunk", "pool")

    def __init__(self, pool: _Pool, chunk: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.pool = pool
        self.chunk = chunk
        start = address(chunk)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str,
                                    "data": (start + -start % ALIGNMENT, False)}

    def __del__(self) -> None:
        self.pool.give_back(self.chunk)


class _Pool:
    """Pieces of memory by size, the size used least recently first.

    busy: some thread is in the middle of it; whoever finds that goes without the pool.  It is a store rather than a lock, as in
    threads.parallel_for: a collection may start while this very thread is at it, and an exception that a signal handler
    raises in `__del__` is lost, which would leave a lock locked."""

    def __init__(self) -> None:
        self.busy = False
        self.free: dict[int, list[np.ndarray]] = {}
        self.hits = self.misses = 0

    def held(self) -> int:
        """Bytes that wait for reuse."""
        return sum([size * len(chunks) for size, chunks in list(self.free.items())])

    def take(self, size: int) -> np.ndarray:
        if not self.busy:
            self.busy = True
            try:
                chunks = self.free.get(size)
                if chunks:
                    self.hits += 1
                    if len(chunks) == 1:
                        del self.free[size]
                    return chunks.pop()
            finally:
                self.busy = False
        self.misses += 1
        return np.empty(size, np.uint8)

    def give_back(self, chunk: np.ndarray) -> None:
        # Called from __del__.  Losing a chunk to the system now and then costs nothing.  (At the interpreter's end the
        # module's names are None.)
        size, limit = chunk.size, MAX_HELD
        if limit is None or size > limit or self.busy:
            return
        dropped = []    # freed at the end: what goes with it may come here again
        self.busy = True
        try:
            chunks = self.free.pop(size, [])
            chunks.append(chunk)
            self.free[size] = chunks
            excess = self.held() - limit
            while excess > 0:
                oldest = next(iter(self.free))
                chunks = self.free[oldest]
                if len(chunks) == 1:
                    del self.free[oldest]
                dropped.append(chunks.pop())
                excess -= oldest
        finally:
            self.busy = False

    def clear(self) -> None:
        dropped, self.free = self.free, {}
        del dropped

    def renew(self) -> None:
        """In a forked child: a thread that is not there may have been in the middle of it."""
        self.busy = False


def _data_offset() -> int | None:
    """Where in an ndarray object its address is: the first field after the object header in NumPy's C interface.  None
    where it is not found there."""
    offset = object.__basicsize__
    probe = np.empty(3)
    for array in (probe, probe[1:]):
        if ctypes.c_ssize_t.from_address(id(array) + offset).value != array.__array_interface__["data"][0]:
            return None
    return offset


DATA_OFFSET = _data_offset() if sys.implementation.name == "cpython" else None


def _find_address() -> Callable[[np.ndarray], int]:
    """The quickest way to an array's address.  `a.ctypes.data` takes 1.3 us and `__array_interface__` 1.4; reading it in
    the object takes 0.15."""
    read = ctypes.c_ssize_t.from_address
    offset = DATA_OFFSET or 0

    def quick(array: np.ndarray) -> int:
        return read(id(array) + offset).value

    def portable(array: np.ndarray) -> int:
        return array.__array_interface__["data"][0]

    return quick if offset else portable


_find = _find_address()


def address(array: np.ndarray) -> int:
    """The address of the first element.  The caller keeps the array alive as long as the address is used."""
    return _find(array)


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew)


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """A C-contiguous, writable array of undefined contents; from LARGE bytes on pooled, and aligned to ALIGNMENT."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    # Sizes that differ by an eighth or less share memory.
    step = 1 << max(size.bit_length() - 4, 12)
    chunk = _pool.take((size + step - 1) // step * step + ALIGNMENT)
    return np.asarray(_Owner(_pool, chunk, shape, dtype))


def maker(nbytes: int) -> Callable[..., np.ndarray]:
    """`empty` for arrays that all have so many bytes."""
    return empty if nbytes >= LARGE else np.empty


def empty_cache() -> None:
    """Return all memory that waits for reuse to the system."""
    _pool.clear()


def stats() -> PoolCounts:
    """The pool's counters, as they are now."""
    return PoolCounts(_pool.held(), _pool.hits, _pool.misses)
