"""The graph as users walk and watch it: edges, and hooks on several gradients."""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from jitgrad.autograd.history import GradFn, grad_fn, output_number
from jitgrad.autograd.hooks import RemovableHandle
from jitgrad.tensors.tensor import Tensor

Node = GradFn


class GradientEdge(NamedTuple):
    """Where a gradient goes: a grad_fn, and which of its outputs."""

    node: Any
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor: its grad_fn, or that of a leaf (AccumulateGrad)."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node = tensor._current()
    return GradientEdge(grad_fn(node), output_number(node))


class Handles:
    """The handles of several hooks as one."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> Handles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: Literal["all", "any"] = "all") -> Handles:
    """Call fn(gradients) once the gradients of all these tensors are there, or fn(gradient) of the first ("any") in each backward.

    With "all" each tensor must get a gradient: which ones a backward will reach is not known before."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    count = len(tensors)
    grads: list[Tensor | None] = [None] * count
    seen = [0]
    lock = threading.Lock()

    def hook(i: int) -> Callable[[Tensor], None]:
        def inner(grad: Tensor) -> None:
            with lock:
                grads[i] = grad
                seen[0] += 1
                if seen[0] < count and mode == "all" or seen[0] > 1 and mode == "any":
                    if seen[0] == count:
                        seen[0] = 0
                    return
                given: Any = list(grads) if mode == "all" else grad
                if seen[0] == count:
                    seen[0] = 0
                grads[:] = [None] * count
            fn(given)
        return inner

    return Handles([t.register_hook(hook(i)) for i, t in enumerate(tensors)])          # type: ignore[attr-defined]
