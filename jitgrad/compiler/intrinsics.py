"""The vocabulary of kernels for Numba: an intrinsic for each operation of vocabulary.py.

A kernel's source is a Python function that Numba compiles with these names, so that what translate.py makes of it can be
checked against Numba's own typing and lowering.  Nothing else imports this, or Numba.
"""
from __future__ import annotations

import linecache
import math
from collections.abc import Callable
from typing import Any

from numba import cfunc, types
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic

from jitgrad.compiler.vocabulary import OPERATIONS, Operation

KINDS: dict[str, Any] = {"f4": types.float32, "f8": types.float64, "i4": types.int32, "i8": types.int64,
                         "b1": types.boolean}
_CODES = {type: code for code, type in KINDS.items()}


def _intrinsic(name: str, operation: Operation) -> Any:
    def codegen(context, builder, signature, values):
        result = operation.build(builder, *values)
        return context.get_dummy_value() if result is None else result

    def typed(*arguments):
        plain = [types.unliteral(t) for t in arguments]
        try:
            result = operation.check(tuple([_CODES.get(t, str(t)) for t in plain]))
        except TypeError as error:
            raise TypingError(str(error)) from error
        return (types.void if result is None else KINDS[result])(*plain), codegen

    if operation.arity == 1:
        @numba_intrinsic
        def unary(typingctx, a):
            return typed(a)
        return unary
    if operation.arity == 2:
        @numba_intrinsic
        def binary(typingctx, a, b):
            return typed(a, b)
        return binary

    @numba_intrinsic
    def ternary(typingctx, a, b, c):
        return typed(a, b, c)
    return ternary


VOCABULARY: dict[str, Any] = {
    **KINDS, "inf": math.inf, "nan": math.nan,
    **{name: _intrinsic(name, operation) for name, operation in OPERATIONS.items()}}


def define(source: str, name: str) -> Callable[[int, int, int], None]:
    """Execute the source of a kernel over the vocabulary and return its Python function (to be compiled, not
    called)."""
    filename = f"<jitgrad {name}>"
    # Numba shows lines of the source in its errors; this text is in no file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(source, filename, "exec"), namespace)
    return namespace["kernel"]


def reference(source: str, name: str) -> Any:
    """The kernel as Numba compiles it: `reference(...).ctypes(lo, hi, block)`."""
    return cfunc("void(int64, int64, int64)", error_model="numpy")(define(source, name))
