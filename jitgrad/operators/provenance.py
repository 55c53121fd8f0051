"""Where a node comes from in the user's program."""
from __future__ import annotations

import warnings
from opcode import opname
from pathlib import Path
from sys import _getframe
from types import CodeType

PACKAGE = str(Path(__file__).resolve().parent.parent)

# The modules of what is called between a user's call and the reading of its arguments.
_BETWEEN = ("jitgrad.operators.declaration.", "jitgrad.operators.native.", "jitgrad.operators.templates.",
            "jitgrad.operators.views.view", "jitgrad.operators.provenance", "jitgrad.tensors.storage", "jitgrad.methods",
            "jitgrad.tracing")

OUTSIDE: set[str] = set()      # files seen that are not the package's
_inside: set[str] = set()       # and that are


def user_line(level: int = 2) -> tuple[CodeType, int] | None:
    """Where the user's program is: the innermost frame outside the package, at least `level` callers up."""
    while True:
        try:
            frame = _getframe(level)        # not f_back, which is None, with an exception set, where memory runs out
        except ValueError:
            return None
        code = frame.f_code
        name = code.co_filename
        if name in OUTSIDE:
            return code, frame.f_lasti
        if name not in _inside:
            if not name.startswith(PACKAGE):
                if len(OUTSIDE) > 10_000:
                    OUTSIDE.clear()
                OUTSIDE.add(name)
                return code, frame.f_lasti
            _inside.add(name)
        level += 1


def called_as_method(given: int) -> bool:
    """Whether an operator that was given so many arguments was called with one less: as a method, whose tensor is not among them."""
    frame = _getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        frame = frame.f_back
    code, at = frame.f_code.co_code, frame.f_lasti
    while opname[code[at]] == "CACHE":          # CPython 3.11 is at the end of a call
        at -= 2
    return opname[code[at]] in ("PRECALL", "CALL", "CALL_KW") and code[at + 1] == given - 1


def warn_user(message: str) -> None:
    """A UserWarning at the user's line, however deep in the package the caller is."""
    level, frame = 2, _getframe(1)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
