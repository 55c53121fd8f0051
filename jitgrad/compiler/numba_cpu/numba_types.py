"""Numba's types for the kinds of values in kernels; numbers have Numba's own, the vectors are declared here."""
from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import models, register_model

from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import IR, VECTORS


class _Vector(types.Type):
    """A vector of 512 bits."""


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    """It is LLVM's."""

    def __init__(self, manager: Any, type: _Vector) -> None:
        super().__init__(manager, type, IR[type.name])


TYPES: dict[str, Any] = {"f4": types.float32, "f8": types.float64, "i4": types.int32, "i8": types.int64, "b1": types.boolean,
                         **{kind: _Vector(kind) for kind in VECTORS}}
KINDS: dict[Any, str] = {type: kind for kind, type in TYPES.items()}
