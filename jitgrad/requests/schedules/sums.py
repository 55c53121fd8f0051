"""Sums of gradients that meet at a stop, and gradients that are an implicit 1: on the CPU by NumPy, on a device by programs.

Input: the type of a gradient.  Output: functions from arrays to an array.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import const, in_grad_mode, input_spec
from jitgrad.ops.quiet import quiet
from jitgrad.requests.schedules.segment import Segment, find_program, incoming
from jitgrad.requests.schedules.stops import ONE, explicit
from jitgrad.types.array import ArrayType


def _runs(order: list[Node], first: int) -> Callable[[list[Any]], list[Any]]:
    """What computes the last node of an order, of which those before `first` are read."""
    index = {n: k for k, n in enumerate(order)}
    children = [tuple([index[m] for m in n.inputs]) for n in order]
    last = len(order) - 1
    segment = Segment(list(range(first)), list(range(first, len(order))), [last])
    return find_program(order, children, (), segment, [last], [], []).bind(order).run


def sum_on_device(type: ArrayType) -> Callable[[list[Any]], list[Any]]:
    """What adds two arrays of a type, on its device."""
    operands = [incoming(Node(input_spec(type), (), False, 0)) for _ in range(2)]
    return _runs([*operands, in_grad_mode(False, ops.add, *operands)], 2)


def ones_on_device(type: ArrayType) -> Callable[[list[Any]], list[Any]]:
    """What makes an array of ones of a type, on its device, of no arguments."""
    one = const(1, type.dtype, type.device)
    return _runs([one, in_grad_mode(False, lambda: ops.expand(one, sizes=type.shape))], 1)


def summed(node: Node, a: Any, b: Any) -> Any:
    """The sum of two gradients of a node."""
    type = node.spec.type
    if type.device != "cpu":
        return sum_on_device(type)([ones_on_device(type)([])[0] if g is ONE else g for g in (a, b)])[0]
    return np.asarray(quiet.run(np.add, explicit(node, a), explicit(node, b)))
