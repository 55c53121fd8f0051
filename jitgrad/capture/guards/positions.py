"""Integers that a captured function took as positions or classes: replays check that they are in range."""
from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.requests import execute


def value_of(given: Node | np.ndarray) -> np.ndarray:
    """The array of an input."""
    return execute.value(given) if type(given) is Node else given         # type: ignore[return-value]


class Positions:
    """Whether elements of an input are outside of range(low, high); `also` is allowed.  A node that was checked last is
    not checked again, since its value cannot change."""

    def __init__(self, low: int, high: int, also: int | None = None) -> None:
        self._range = low, high
        self._also = also
        self._last: Any = None

    def outside(self, given: Node | np.ndarray) -> bool:
        """Whether some element is neither."""
        if self._last is not None and self._last() is given:
            return False
        array = value_of(given)
        low, high = self._range
        if array.size and not (array.min() >= low and array.max() < high) and (
                self._also is None or bool((((array < low) | (array >= high)) & (array != self._also)).any())):
            return True
        if type(given) is Node:
            self._last = weakref.ref(given)
        return False
