"""How CPython's objects lie in memory, as far as machine code reads and makes them.

Invariant: nothing is assumed of a layout that has not been found by looking at an object.  Where something is not found,
`SUPPORTED` is False and nobody makes machine code.
"""
from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

import numpy as np

from jitgrad.memory import buffers

WORD = 8
_read = ctypes.c_size_t.from_address


def _find(holder: Any, value: Any, size: int) -> int | None:
    """Where in an object of `size` bytes the address of `value` is."""
    for offset in range(WORD, size, WORD):
        if _read(id(holder) + offset).value == id(value):
            return offset
    return None


def slot(cls: type, name: str, *args: Any) -> int | None:
    """The offset of a slot in instances of a class (args: of its constructor)."""
    holder, value = cls.__new__(cls, *args), object()
    setattr(holder, name, value)
    return _find(holder, value, cls.__basicsize__)


def _length() -> int | None:
    """Where tuples have their length.  (From CPython 3.14 on a hash lies between that and the elements.)"""
    for offset in range(TYPE or WORD, tuple.__basicsize__, WORD):
        if all([_read(id(t) + offset).value == len(t) for t in (_pair, (*_pair, None), (*_pair, None, None, None))]):
            return offset
    return None


class _Empty:
    __slots__ = ()


_first, _second = object(), object()
_pair = (_first, _second)
_plain = _Empty()
TYPE = _find(_plain, _Empty, object.__basicsize__)                              # of any object, its type
ITEMS = _find(_pair, _first, tuple.__basicsize__ + 2 * WORD)                    # of a tuple
LENGTH = _length()                                                              # of a tuple or list, how many there are
_list = [_first, _second]
LIST_ITEMS = LENGTH + WORD if LENGTH is not None and _read(_read(id(_list) + LENGTH + WORD).value).value == id(_first) else None
_slice = slice(_first, _second, _pair)
SLICE = [_find(_slice, part, slice.__basicsize__) for part in (_first, _second, _pair)]     # start, stop, step
DATA = buffers.DATA_OFFSET                                                      # of an array


def _flags() -> int | None:
    """Where an array has its flags."""
    arrays = [np.empty((2, 3)), np.empty((2, 3)).T, np.empty(3)[::2], np.broadcast_to(np.empty(1), 3)]
    for offset in range(DATA or 0, np.ndarray.__basicsize__, 4):
        if DATA is not None and all([ctypes.c_int.from_address(id(a) + offset).value == a.flags.num for a in arrays]):
            return offset
    return None


def _strides() -> int | None:
    """Where an array has the address of its strides: in NumPy's C interface after the data come the number of dimensions, the
    address of the lengths and that of the strides."""
    array = np.empty((3, 5, 7)).transpose(2, 0, 1)
    if DATA is None or ctypes.c_int.from_address(id(array) + DATA + WORD).value != 3:
        return None
    for offset, expected in ((DATA + 2 * WORD, array.shape), (DATA + 3 * WORD, array.strides)):
        if tuple([_read(_read(id(array) + offset).value + i * WORD).value for i in range(3)]) != expected:
            return None
    return DATA + 3 * WORD


FLAGS = _flags()
STRIDES = _strides()

SUPPORTED = (sys.implementation.name == "cpython" and ctypes.sizeof(ctypes.c_void_p) == WORD
             and getattr(sys, "_is_gil_enabled", lambda: True)() and TYPE is not None and ITEMS is not None
             and DATA is not None and LIST_ITEMS is not None and None not in SLICE
             and _read(id(_pair) + ITEMS + WORD).value == id(_second))


@functools.cache
def api(name: str) -> int:
    """The address of a function of Python's C interface."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address
