"""Operators in place: `x.add_(y)` writes what `x + y` records to x.

The derivative of what is recorded may need the value that is overwritten, of which PyTorch keeps a copy (`Extra.in_place`).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import grad_mode
from jitgrad.operators.declaration.declare import Operator, finish, operand_nodes
from jitgrad.operators.operands import cast, to_node
from jitgrad.requests import execute
from jitgrad.tensors.histories import written_over
from jitgrad.tensors.storage import Detached, insist
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tensors.writing import writes


def _overwrite(tensor: Tensor, op: Operator, args: tuple, kwargs: dict[str, Any]) -> bool | None:
    """An operation in place on what is known; None where its result does not fit, False where somebody has come in between."""
    seen = writes(tensor)
    type_ = tensor._current().spec.type
    node = op.call(tensor, *args, **kwargs)._node
    if (type(node.value) is not np.ndarray and node.depth >= 0) or node.spec.type is not type_:
        return None
    array = execute.value(node)
    if tensor._leaf is not None or (tensor._chain and (type(tensor._chain[-1]) is Detached or (
            tensor._storage.node.requires_grad and not grad_mode.enabled))):
        return tensor._replace(array, seen)
    extra = node.ensure_extra()
    if not tensor._write_private(..., array, seen):
        return None if writes(tensor) == seen else False
    storage = tensor._storage
    if storage.writes == seen + 1:      # it is what was written; otherwise it is to look again
        extra.cell = storage.cell
        extra.version = storage.cell.value
        tensor._node = node
        tensor._seen = storage.writes
    return True


def inplace_method(op: Operator) -> Callable:
    """The method `name_`: the operator's result written to self."""
    called = op.name + "_"
    schema = op.schemas[0].renamed(called)
    several = len(op.schemas) > 1

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs and not several:
            schema.bind((self, *args), kwargs)          # there is no out=
        try:
            if tracing.traces or not (_is_known(self) and all(map(_is_known, (*args, *kwargs.values())))) or not insist(
                    _overwrite, self, op, args, kwargs):
                insist(record, self, args, kwargs)
        except TypeError:
            if not several:
                schema.bind((self, *args), kwargs)      # which raises it in this method's name
            raise
        return self

    def record(self: Tensor, args: tuple, kwargs: dict[str, Any]) -> bool:
        """The general way; False where somebody has come in between."""
        seen = writes(self)
        node = self._current()
        if self._chain and (over := written_over(self)) is not node:
            node, operand = over, wrap(over)
        else:
            operand = self
        result = op.call(operand, *args, **kwargs)._node
        to = node.spec.type.dtype
        if callable(op.inplace) and grad_mode.enabled and to.category == 2:
            result = op.inplace(cast(result, to), (node, *map(to_node, (*args, *kwargs.values()))))
            if result.requires_grad:
                result.ensure_extra().in_place = True
        elif result.requires_grad:
            _keep_overwritten(result, node, (*args, *kwargs.values()))
        return write_result(self, called, result, seen) is not None

    method.operator = op.call           # type: ignore[attr-defined]  (what it computes, for those who learn it)
    method.__name__ = method.__qualname__ = called
    method.__doc__ = f"{op.name}(), written to this tensor."
    return method


def _keep_overwritten(result: Node, overwritten: Node, others: tuple) -> None:
    """Note on what an operator recorded that it writes over its first operand, and keeps a copy of it; no copy where that is
    another operand too."""
    nodes = operand_nodes(tuple(map(to_node, others)))
    if overwritten in nodes:
        result.ensure_extra().in_place = True
        return
    result.ensure_extra().in_place = overwritten
    stack = [n for n in result.inputs if n.requires_grad and n is not overwritten]
    while stack:
        node = stack.pop()
        if node is not overwritten and node not in nodes and node.requires_grad and not (node.extra and node.extra.in_place):
            node.ensure_extra().in_place = overwritten
            stack += node.inputs


def _is_known(operand: Any) -> bool:
    """Whether an operation on this operand is computed at once."""
    if not isinstance(operand, Tensor):
        return type(operand) is float or type(operand) is int
    node = operand._node if operand._storage is None else operand._current()
    return (type(node.value) is np.ndarray or node.depth < 0) and not (node.requires_grad and grad_mode.enabled)


def write_result(self: Tensor, called: str, result: Node, seen: int | None = None) -> Tensor | None:
    """Write an in-place operator's result, checking that it fits the tensor's shape and category of dtype; see writing.write."""
    type = self._node.spec.type
    if result.spec.type is type:
        return self._write(result, None, seen)
    if result.type.shape != type.shape:
        raise RuntimeError(f"output with shape {list(type.shape)} doesn't match the broadcast shape "
                           f"{list(result.type.shape)}")
    if result.type.dtype is not type.dtype:
        if result.type.dtype.category > type.dtype.category:
            raise RuntimeError(f"result type {result.type.dtype.title} can't be cast to the desired output type "
                               f"{type.dtype.title}")
        in_place = result.extra is not None and result.extra.in_place
        result = finish(cast(result, type.dtype))
        if in_place:
            result.ensure_extra().in_place = in_place
    return self._write(result, None, seen)

