"""An operation of the kernel vocabulary as one of Numba's intrinsics, for a CPU or a GPU.

Input: an `Intrinsic`, and the decorator of the package that compiles.  Output: what a kernel's text calls.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core.errors import TypingError

from jitgrad.compiler.numba_cpu.numba_types import KINDS, TYPES
from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import Intrinsic


def as_intrinsic(name: str, operation: Intrinsic, decorate: Callable[..., Any]) -> Any:
    """decorate: `numba.extending.intrinsic`, or that of numba-cuda."""
    def codegen(context, builder, signature, values):
        result = operation.build(builder, *values)
        return context.get_dummy_value() if result is None else result

    def typed(*arguments):
        plain = [numba.types.unliteral(t) for t in arguments]
        try:
            result = operation.check(tuple([KINDS.get(t, str(t)) for t in plain]))
        except TypeError as error:
            raise TypingError(str(error)) from error
        return (numba.types.void if result is None else TYPES[result])(*plain), codegen

    names = ", ".join([f"a{k}" for k in range(operation.arity)])
    namespace: dict[str, Any] = {"typed": typed}
    exec(f"def {name}(typingctx{', ' if names else ''}{names}):\n    return typed({names})\n", namespace)
    return decorate(namespace[name])
