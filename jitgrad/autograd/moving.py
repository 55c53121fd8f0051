"""A tensor with a history on its way to another device: a Function, at which backward is cut.

So no program is of two devices: what was recorded before is computed when the tensor moves, and its gradient comes back here.
"""
from __future__ import annotations

from typing import Any

from jitgrad.autograd.function import Function, FunctionCtx
from jitgrad.operators import conversion
from jitgrad.tensors.tensor import Tensor


class ToCopy(Function):
    """The copy on another device; backward, the gradient's copy on the one that it came from."""

    _contexts = type("ToCopyBackward0", (FunctionCtx,), {"_reason": "the tensor moves to another device"})

    @staticmethod
    def forward(ctx: Any, input: Tensor, where: str) -> Tensor:
        ctx.source = input._node.spec.type.device
        return conversion.copied(input, where)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return conversion.moved(gradient, ctx.source), None


conversion.moving.append(ToCopy.apply)
