"""Parameter: the tensor that a module counts as its own."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.graph.recording import input_node
from jitgrad.requests import execute
from jitgrad.tensors.storage import Detached, Storage, stamp
from jitgrad.tensors.tensor import Tensor, blank, from_array
from jitgrad.types.dtype import get_default_dtype


class Parameter(Tensor):
    """A leaf tensor that a Module registers when it is assigned as an attribute.

    It shares the storage of `data`.  Raises RuntimeError if requires_grad and the data is not floating-point."""

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = from_array(np.zeros(0, get_default_dtype().np))
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
            self._node = input_node(execute.value(node), node.type)
            self.requires_grad_(requires_grad)
            storage = self._storage = data._storage = Storage(self._node)
            stamp(node, storage.cell)
            data._chain = (Detached(node, storage.writes, storage.cell),)       # type: ignore[assignment]
        return self

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything has happened in __new__; Tensor's constructor takes other arguments."""

    def __repr__(self, **kwargs: Any) -> str:
        return "Parameter containing:\n" + super().__repr__(**kwargs)


Parameter.__module__ = "jitgrad.nn.parameter"
