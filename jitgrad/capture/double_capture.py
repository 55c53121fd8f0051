"""Whether a function does the same with what stands in for its arguments.

Input: two captures of one call: of the function as it is called, and, since that has had no effects, once more with stand-ins
for arrays and floats.  Output: whether both recorded the same and returned the same.
Invariant: results come from the first alone.  So a function that tells a stand-in from what it stands for (by its type, in C)
is right all the same, and is guarded by values instead.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.capture.replays.captured_graph import CapturedGraph
from jitgrad.capture.trace import Input
from jitgrad.graph.node import Node
from jitgrad.tensors.tensor import Tensor


def same_call(first: CapturedGraph, given: Sequence[Input], second: CapturedGraph, with_stand_ins: Sequence[Input]) -> bool:
    """Whether two templates compute the same, what is a constant of the first being an input of the second."""
    tensors = [_tensors(first, given), _tensors(second, with_stand_ins)]
    if len(tensors[0]) != len(tensors[1]) or len(first.outputs) != len(second.outputs):
        return False
    known = {a: b for a, b in zip(*tensors, strict=True) if a is not None}
    of_second = {b for b in tensors[1] if b is not None}
    inputs = {second.nodes[leaf] for leaf in second.leaves if leaf is not None}
    pairs = [(first.nodes[a], second.nodes[b]) for a, b in zip(first.outputs, second.outputs, strict=True)]
    seen: set[tuple[Node, Node]] = set()
    while pairs:
        a, b = pair = pairs.pop()
        if pair in seen:
            continue
        seen.add(pair)
        if a in known or b in of_second:
            if known.get(a) is not b:
                return False
        elif not a.inputs:
            if a.type != b.type and (a.type.shape != b.type.shape or a.type.dtype is not b.type.dtype):
                return False
            if not b.inputs and b not in inputs and _bytes(a.value) != _bytes(b.value):
                return False
        elif a.spec.op is not b.spec.op or a.spec.params != b.spec.params or a.spec.sizes != b.spec.sizes or \
                a.requires_grad is not b.requires_grad or len(a.inputs) != len(b.inputs):
            return False
        else:
            pairs += zip(a.inputs, b.inputs, strict=True)
    return True


def _tensors(template: CapturedGraph, given: Sequence[Input]) -> list[Node | None]:
    numbers = [number for number, i in zip(template.leaves, given, strict=True) if i.kind == "tensor"]
    return [None if number is None else template.nodes[number] for number in numbers]


def _bytes(value: Any) -> Any:
    return (value.shape, value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def same_result(a: Any, b: Any) -> bool:
    """Whether two results are the same but for the elements of computed tensors."""
    if a is b:
        return True
    kind = type(a)
    if type(b) is not kind:
        return False
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype is b.dtype and a.requires_grad is b.requires_grad
    if kind is dict:
        return [*a] == [*b] and all([same_result(v, b[k]) for k, v in a.items()])
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all([same_result(v, u) for v, u in zip(a, b, strict=True)])
    if isinstance(a, (np.ndarray, np.generic)):
        return _bytes(np.asarray(a)) == _bytes(np.asarray(b))
    return kind in (bool, int, float, complex, str, bytes) and repr(a) == repr(b)
