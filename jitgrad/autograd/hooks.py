"""Callbacks on tensors: hooks on gradients, and retain_grad."""
from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from jitgrad.graph.node import Node
from jitgrad.tensors.histories import Hooks
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import Tensor

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()`, or use it as a context manager."""

    def __init__(self, hooks: Hooks) -> None:
        self.id = next(_ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """Take the hook away.  Further calls do nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Watch:
    """The callbacks of one gradient edge (see storage.py) that is no leaf's."""

    __slots__ = ("hooks", "tensor", "__weakref__")

    def __init__(self) -> None:
        self.hooks: Hooks = Hooks()
        self.tensor: weakref.ref[Tensor] | None = None      # the one that asked for retain_grad

    def retains(self) -> bool:
        """Whether a living tensor asked for its gradient to be kept."""
        return self.tensor is not None and self.tensor() is not None

    def follow(self, node: Node) -> None:
        """The tensor that asked for retain_grad has another gradient edge."""
        if self.tensor is not None:
            watch(node).tensor, self.tensor = self.tensor, None

    def is_active(self) -> bool:
        """Whether backward has anything to call here."""
        return bool(self.hooks) or self.retains()


def watch(node: Node) -> Watch:
    """The callbacks of a node, created at the first call."""
    extra = node.ensure_extra()
    if extra.watch is None:
        extra.watch = Watch()
    return extra.watch


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` whenever this tensor's gradient is computed; a tensor it returns takes the gradient's place.

    Raises RuntimeError for a tensor that does not require a gradient."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    return _add(tensor._leaf.hooks if tensor._leaf is not None else watch(gradient_edge(tensor._current())).hooks, hook)


def register_post_accumulate_grad_hook(tensor: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call `hook(tensor)` after each accumulation into this leaf's .grad."""
    if tensor._leaf is None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return _add(tensor._leaf.post_hooks, hook)


def _add(hooks: Hooks, hook: Callable) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def run_hooks(hooks: Hooks, grad: Tensor) -> Tensor:
    """The gradient after all hooks, called in order of registration."""
    for hook in list(hooks.values()):
        result = hook(grad)
        if result is None:
            continue
        if not isinstance(result, Tensor):
            raise TypeError(f"expected Tensor, but hook returned '{type(result).__name__}'")
        if result.shape != grad.shape:
            raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value")
        if result.dtype is not grad.dtype:
            raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has changed the type of value (was {grad.dtype}, "
                               f"got {result.dtype})")
        grad = result
    return grad


def run_post_hooks(hooks: Hooks, tensor: Tensor) -> None:
    """Call all hooks on a leaf whose gradient has been accumulated, in order of registration."""
    for hook in list(hooks.values()):
        hook(tensor)


def retain_grad(tensor: Tensor) -> None:
    """Keep this non-leaf tensor's gradient in `.grad` at backward.  A leaf's is kept anyway."""
    if not tensor.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if not tensor.is_leaf:
        watch(gradient_edge(tensor._current())).tensor = weakref.ref(tensor)

