"""Arrays by address: what simulated kernels may touch.

Invariant: an element is found only if it lies, whole and aligned, in an array that was registered and not forgotten.
"""
from __future__ import annotations

import bisect

import numpy as np


class Addresses:
    """Arrays that do not overlap, in the order of their addresses."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._arrays: list[np.ndarray] = []

    def register(self, array: np.ndarray) -> int:
        """Make a C-contiguous array known, and keep it alive; returns its address, 0 of one without elements."""
        if not array.size:
            return 0
        data = array.reshape(-1).view(np.uint8)
        start = data.__array_interface__["data"][0]
        at = bisect.bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._arrays.insert(at, data)
        return start

    def unregister(self, start: int) -> None:
        """Forget the array at this address."""
        if start == 0:
            return
        at = self._starts.index(start)
        del self._starts[at], self._arrays[at]

    def at(self, address: int, dtype: np.dtype) -> np.ndarray:
        """The one element there, as a view.  Raises IndexError where there is none."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at >= 0:
            first = address - self._starts[at]
            if first + dtype.itemsize <= self._arrays[at].size and address % dtype.itemsize == 0:
                return self._arrays[at][first:first + dtype.itemsize].view(dtype)
        raise IndexError(f"there is no {dtype} at {address:#x}")


simulated = Addresses()
