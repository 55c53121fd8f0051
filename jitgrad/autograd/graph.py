"""The graph as users walk and watch it: edges, and hooks on several gradients."""
from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from jitgrad.autograd.reverse.grad_fn import GradFn, grad_fn
from jitgrad.autograd.reverse.hooks import NodeHooks, RemovableHandle, running
from jitgrad.autograd.reverse.owners import output_number
from jitgrad.autograd.reverse.saved_hooks import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from jitgrad.tensors.tensor import Tensor

Node = NodeHooks


class GradientEdge(NamedTuple):
    """Where a gradient goes: a grad_fn, and which of its outputs.  ownership_token keeps the graph alive, which grad_fn does itself."""

    node: Any
    output_nr: int
    ownership_token: Any = None


Tensors = Tensor | GradientEdge | Sequence[Tensor] | Sequence[GradientEdge]


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor: its grad_fn, or that of a leaf (AccumulateGrad)."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node = tensor._current()
    return GradientEdge(grad_fn(node), output_number(node))


def node_of(target: Tensor | GradientEdge) -> Any:
    """The node of the graph that gradients of a tensor, or of what an edge leads to, begin at or go to."""
    if isinstance(target, Tensor):
        return target._current()
    found = target.node
    if isinstance(found, GradFn):
        return found._node
    ref = found._outputs[target.output_nr]      # of a Function
    node = None if ref is None else ref()
    if node is None:
        raise RuntimeError(f"output {target.output_nr} of {found.name()} is no more: keep the tensor for as long as its edge is used")
    return node


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
    """Call fn(gradients) once all gradients of these tensors that a backward computes are there, None for the others; or
    fn(gradient) of the first ("any") in each backward."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    # Of each backward that is under way how many gradients are to come, and those that are there.
    waiting: weakref.WeakKeyDictionary[Any, tuple[int, list[Tensor | None]]] = weakref.WeakKeyDictionary()

    def hook(i: int) -> Callable[[Tensor], None]:
        def inner(grad: Tensor) -> None:
            task = running.task()
            with lock:
                if mode == "any":
                    first = task not in waiting
                    waiting[task] = (0, [])
                    given: Any = grad
                else:
                    if task not in waiting:
                        waiting[task] = (sum([task.reaches(t._current()) for t in tensors]), [None] * len(tensors))
                    left, given = waiting[task]
                    given[i] = grad
                    first = left == 1
                    waiting[task] = (left - 1, given)
            if first:
                fn(given)
        return inner

    chosen = [t.requires_grad or mode == "all" for t in tensors]
    return Handles([t.register_hook(hook(i)) for i, t in enumerate(tensors) if chosen[i]])          # type: ignore[attr-defined]


__all__ = ["GradientEdge", "Node", "disable_saved_tensors_hooks", "get_gradient_edge", "register_multi_grad_hook", "save_on_cpu",
           "saved_tensors_hooks"]
