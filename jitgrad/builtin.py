"""Built-in functions of CPython made of machine code: the only place that calls PyCFunction_NewEx."""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

FASTCALL, KEYWORDS = 0x80, 0x2          # METH_FASTCALL and METH_KEYWORDS of CPython's methodobject.h


class Definition(ctypes.Structure):
    """PyMethodDef.  The functions made of one refer to it: whoever is their `self` keeps it, since CPython looks at it once more
    when it frees a function (at the interpreter's end the module's reference goes first)."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


_make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi))


def function(definition: Definition, self: Any, module: str | None = None) -> Callable[..., Any]:
    """The function of a definition, with its `self`.

    Raises MemoryError, also where ctypes runs out of memory on the arguments, of which it makes an ArgumentError."""
    try:
        return _make(ctypes.addressof(definition), self, None if module is None else id(module))
    except ctypes.ArgumentError as error:
        raise MemoryError(str(error)) from None
