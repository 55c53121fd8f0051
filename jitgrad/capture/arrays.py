"""NumPy arrays among the arguments of a captured function: inputs, as long as only tensors are made of them or of their parts.

During the capture a `TracedArray` stands for each.  What Python reads of it in any other way is guarded by the array's
contents.
"""
from __future__ import annotations

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.memory import buffers
from jitgrad.operators.traced_array import TracedArray
from jitgrad.types.dtype import BY_NUMPY


class ArrayArgument:
    """One array: its name in the guard function, where it was given, and its stand-in.  read: the first line that looked at
    its contents; memory: whether something depends on how it lies in memory."""

    def __init__(self, name: str, place: str, array: np.ndarray, node: Node) -> None:
        self.name = name
        self.place = place
        self.array = array
        self.stand_in: TracedArray = TracedArray(array, node, place)
        self.read: str | None = None
        self.memory = False
        self._memory = lies(array)

    def changed(self) -> bool:
        """Whether the array is another than before the call."""
        return lies(self.array) != self._memory or self.stand_in._changed()

    def note(self) -> str:
        """For explain."""
        if self.read is None:
            return f"{self.place}, a NumPy array, is an input"
        return f"{self.place} is read as a NumPy array ({self.read}): guarded by its contents"


def is_supported(array: np.ndarray) -> bool:
    """Whether tensors can be made of an array without a conversion."""
    return array.dtype in BY_NUMPY


def lies(array: np.ndarray) -> tuple:
    """How an array lies in memory, and whether it can be written to."""
    return array.strides, array.flags.num


def kept(array: np.ndarray) -> np.ndarray:
    """A copy that nobody else writes to."""
    if array.nbytes < buffers.LARGE:
        return array.copy()
    copy = buffers.empty(array.shape, array.dtype)
    np.copyto(copy, array)
    return copy
