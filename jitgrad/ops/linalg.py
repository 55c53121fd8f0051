"""Matrix products.  Operands have two dimensions or more; vectors are given a dimension by the operators above."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.ops.declare import common_device, library
from jitgrad.ops.movement import permute
from jitgrad.ops.samples import NUMBERS, structured
from jitgrad.types.array import ArrayType, array_type, broadcast_shapes


def transposed(x: Node) -> Node:
    """x with its last two dimensions exchanged."""
    n = x.type.ndim
    return permute(x, dims=(*range(n - 2), n - 1, n - 2))


def _matmul_infer(a: ArrayType, b: ArrayType) -> ArrayType:
    if a.ndim < 2 or b.ndim < 2:
        raise InternalError(f"matmul of {a!r} and {b!r}: both need two dimensions")
    if a.dtype is not b.dtype:
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{_C_NAMES[a.dtype.name]} != {_C_NAMES[b.dtype.name]}")
    common_device((a, b))
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if a.shape[-1] != b.shape[-2]:
        n = math.prod(batch)
        if b.ndim == 2:     # one product of the stacked rows, and reported as such
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n * a.shape[-2]}x{a.shape[-1]} and "
                               f"{b.shape[-2]}x{b.shape[-1]})")
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{n}, {a.shape[-1]}] but got: [{n}, {b.shape[-2]}].")
    return array_type((*batch, a.shape[-2], b.shape[-1]), a.dtype, a.device)


_C_NAMES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long", "bool": "bool", "uint8": "unsigned char",
          "int8": "signed char", "int16": "short"}


def _matmul_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    (a, b), (sa, sb) = dims, [n.type.shape for n in node.inputs]
    context.unify(a[-1], b[-2])
    batch = node.type.ndim - 2
    result = []
    for i in range(-batch - 2, -2):
        in_a, in_b = -i <= len(sa) and sa[i] != 1, -i <= len(sb) and sb[i] != 1
        result.append(context.unify(a[i], b[i]) if in_a and in_b else a[i] if in_a else b[i] if in_b else context.ONE)
    return (*result, a[-2], b[-1])


matmul = library("matmul(a, b)", role="matrix_product", infer=_matmul_infer, numpy=np.matmul, dims=_matmul_dims,
                 grad_name="MmBackward0",
                 vjp=lambda g, y, a, b: (matmul(g, transposed(b)), matmul(transposed(a), g)),
                 doc="matrix product over the last two dimensions, the others broadcast",
                 sample=structured((((2, 3), (3, 4)), {}), (((5, 2, 3), (3, 2)), {}), (((2, 1, 2, 3), (4, 3, 2)), {}),
                                   (((1, 3), (3, 1)), {}), (((2, 0), (0, 3)), {}), (((0, 2), (2, 3)), {}),
                                   dtypes=NUMBERS))
