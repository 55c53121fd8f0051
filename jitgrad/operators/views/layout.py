"""Strides and offsets as PyTorch reports them.

A tensor without a view chain is row-major; a view's layout follows from its chain of movement steps, without arrays.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.errors import InternalError
from jitgrad.ops.diagonals import diagonal_shape
from jitgrad.tensors.steps import Step
from jitgrad.tensors.tensor import Tensor

Ints = tuple[int, ...]
Layout = tuple[Ints, Ints, int]     # shape, strides and offset, in elements


def row_major(shape: Ints) -> Ints:
    """The strides of a contiguous tensor."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def viewed(shape: Ints, strides: Ints, to: Ints) -> Ints | None:
    """The strides of a view in another shape of as many elements; None if there is none without a copy.

    Neighbouring dimensions that lie evenly in memory are merged into runs, which the new lengths must divide."""
    if shape == to:
        return strides
    if 0 in shape:
        return row_major(to)
    runs: list[list[int]] = []
    for n, stride in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * stride:
            runs[-1] = [runs[-1][0] * n, stride]
        else:
            runs.append([n, stride])
    result: list[int] = []
    length, stride = runs.pop() if runs else (1, 1)
    taken = 1
    for n in reversed(to):
        if n != 1 and taken == length and runs:
            (length, stride), taken = runs.pop(), 1
        if length % (taken * n):
            return None
        result.append(stride * taken)
        taken *= n
    return tuple(reversed(result)) if taken == length and not runs else None


def _permute(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    return tuple([shape[d] for d in step.params[0]]), tuple([strides[d] for d in step.params[0]]), offset


def _squeeze(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    kept = [i for i in range(len(shape)) if i not in step.params[0]]
    return tuple([shape[i] for i in kept]), tuple([strides[i] for i in kept]), offset


def _unsqueeze(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    for d in step.params[0]:
        between = shape[d] * strides[d] if d < len(shape) else 1
        shape, strides = shape[:d] + (1,) + shape[d:], strides[:d] + (between,) + strides[d:]
    return shape, strides, offset


def _expand(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    lead = len(step.sizes or ()) - len(shape)
    return tuple(step.sizes or ()), (0,) * lead + tuple(
        [s if n == m else 0 for n, m, s in zip(shape, (step.sizes or ())[lead:], strides, strict=True)]), offset


def _reshape(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    to = tuple(step.sizes or ())
    found = viewed(shape, strides, to)
    if found is None:
        raise InternalError(f"a view of {shape} with strides {strides} was reshaped to {to}")
    return to, found, offset


def _slice(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    regions = iter(step.sizes or ())
    lengths, steps = [], []
    for n, stride, whole in zip(shape, strides, step.params[0], strict=True):
        if whole is not True:
            start, n, by = next(regions), next(regions), next(regions)
            offset, stride = offset + start * stride, stride * by
        lengths.append(n)
        steps.append(stride)
    return tuple(lengths), tuple(steps), offset


def _diagonal(layout: Layout, step: Step) -> Layout:
    shape, strides, offset = layout
    by, dim1, dim2 = step.params
    rest = tuple([s for i, s in enumerate(strides) if i not in (dim1, dim2)])
    start = max(-by, 0) * strides[dim1] + max(by, 0) * strides[dim2]
    return diagonal_shape(shape, *step.params), (*rest, strides[dim1] + strides[dim2]), offset + start


_RULES: dict[str, Callable[[Layout, Step], Layout]] = {
    "permute": _permute, "squeeze": _squeeze, "unsqueeze": _unsqueeze, "expand": _expand, "reshape": _reshape,
    "slice": _slice, "diagonal": _diagonal, "detach": lambda layout, step: layout}


def layout(tensor: Tensor) -> tuple[Ints, int]:
    """(strides, offset) of a tensor in its storage, in elements."""
    if not tensor._chain:
        return row_major(tensor._node.type.shape), 0
    base: Any = tensor._storage
    shape = base.node.type.shape
    found: Layout = (shape, row_major(shape), 0)
    for step in tensor._chain:
        found = _RULES[step.op.name](found, step)
    return found[1], found[2]


def is_contiguous(tensor: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order without gaps, as PyTorch would have placed them."""
    if not tensor._chain:
        return True
    shape = tensor._node.type.shape
    strides = layout(tensor)[0]
    return 0 in shape or all([n == 1 or a == b for n, a, b in zip(shape, strides, row_major(shape), strict=True)])
