"""Parameter and Buffer: the tensors that a module counts as its own."""
from __future__ import annotations

from typing import Any

from jitgrad.operators.creation import empty
from jitgrad.tensors.parameter import Parameter
from jitgrad.tensors.tensor import Tensor

__all__ = ["Buffer", "Parameter", "clear_grad"]


class _BufferType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_BufferType):
    """Called: a tensor that a Module registers as a buffer when it is assigned as an attribute; a persistent one is part of the
    state_dict."""

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Tensor:      # type: ignore[misc]
        made = (empty(0) if data is None else data).detach()
        made._is_buffer, made.persistent = True, persistent            # type: ignore[attr-defined]
        return made


def clear_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Remove a gradient, or set it to zero in place, cut off from its history."""
    grad = parameter._grad
    if grad is None:
        return
    if set_to_none:
        parameter._grad = None
    else:
        if grad.grad_fn is not None:            # type: ignore[attr-defined]
            grad = parameter._grad = grad.detach()
        else:
            grad.requires_grad_(False)
        grad.zero_()                            # type: ignore[attr-defined]
