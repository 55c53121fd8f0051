"""Parameter: the tensor that a module counts as its own."""
from __future__ import annotations

from typing import Any

from jitgrad.graph.recording import input_node
from jitgrad.operators.creation import empty
from jitgrad.requests import execute
from jitgrad.tensors.storage import Detached, Storage, stamp
from jitgrad.tensors.tensor import Tensor, alike, blank


class Parameter(Tensor):
    """A leaf tensor that a Module registers when it is assigned as an attribute.

    It shares the storage of `data`.  Raises RuntimeError if requires_grad and the data is not floating-point."""

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter(): data must be a tensor, got {type(data).__name__}: convert it with tensor()")
        if requires_grad and not data.dtype.is_floating_point:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        self = blank(cls)
        if data._storage is not None or data.requires_grad:
            shared = data.detach()
            self._node, self._storage = shared._node, shared._storage
            self.__dict__.update(shared.__dict__)
            self.requires_grad_(requires_grad)
        else:
            # The parameter becomes the owner and `data` the view: writes, each step of an optimizer, then go to the
            # base directly.
            node = data._current()
            self._node = input_node(execute.stored(node), node.type)
            self.requires_grad_(requires_grad)
            storage = self._storage = data._storage = Storage(self._node)
            stamp(node, storage.cell)
            data._chain = (Detached(node, storage.writes, storage.cell),)       # type: ignore[assignment]
        return self

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything has happened in __new__; Tensor's constructor takes other arguments."""

    def __repr__(self, **kwargs: Any) -> str:
        return "Parameter containing:\n" + super().__repr__(**kwargs)


alike.append(Parameter)


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
