"""Built-in functions of CPython made of machine code: the only place that calls PyCFunction_NewEx."""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

FASTCALL, KEYWORDS = 0x80, 0x2          # METH_FASTCALL and METH_KEYWORDS of CPython's methodobject.h


class Definition(ctypes.Structure):
    """PyMethodDef, which stays until the process ends: CPython looks at it once more when it frees a function, and the last collection
    would free the two in any order.  (There is one for each piece of code or name.)"""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))      # of which the collector does not know


_make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi))


def function(definition: Definition, self: Any, module: str | None = None) -> Callable[..., Any]:
    """The function of a definition, with its `self`.

    Raises MemoryError, also where ctypes runs out of memory on the arguments, of which it makes an ArgumentError."""
    try:
        return _make(ctypes.addressof(definition), self, None if module is None else id(module))
    except ctypes.ArgumentError as error:
        raise MemoryError(str(error)) from None
