"""Callbacks on tensors: hooks on gradients, and retain_grad."""
from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
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


class _Running(threading.local):
    """task: of the backward that calls hooks now, weakly, who knows which nodes it reaches (engine.py)."""

    task: Callable[[], Any] = staticmethod(lambda: None)


running = _Running()


class NodeHooks:
    """The hooks of a grad_fn: what registers them, and what a backward calls them by."""

    _prehooks: Hooks | None = None
    _posthooks: Hooks | None = None

    def register_prehook(self, fn: Callable) -> RemovableHandle:
        """Call `fn(grad_outputs)` before this node's backward; a tuple that it returns takes their place."""
        if self._prehooks is None:
            self._prehooks = Hooks()
        return add(self._prehooks, fn)

    def register_hook(self, fn: Callable) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after this node's backward; a tuple that it returns takes the place of grad_inputs."""
        if self._posthooks is None:
            self._posthooks = Hooks()
        return add(self._posthooks, fn)

    def _before(self, grad_outputs: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The gradients of the outputs after all prehooks."""
        given = tuple(grad_outputs)
        for hook in list((self._prehooks or {}).values()):
            given = replaced(hook, given, hook(given))
        return given

    def _after(self, grad_inputs: Sequence[Tensor | None], grad_outputs: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """The gradients of the operands after all hooks."""
        found = tuple(grad_inputs)
        for hook in list((self._posthooks or {}).values()):
            found = replaced(hook, found, hook(found, grad_outputs))
        return found


def replaced(hook: Callable, given: tuple[Tensor | None, ...], result: Any) -> tuple[Tensor | None, ...]:
    """The gradients after a hook that has returned `result`, checked."""
    if result is None:
        return given
    if not isinstance(result, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(result).__name__}'")
    if len(result) != len(given):
        raise RuntimeError(f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(result)}, but expected "
                           f"{len(given)})")
    for new, old in zip(result, given, strict=True):
        if new is not None and old is None:
            raise RuntimeError("can't replace a None gradient with a non-None value")
        if new is not None and old is not None:
            check_replaced(hook, new, old)
    return result


def check_replaced(hook: Callable, new: Any, old: Tensor) -> None:
    """Raise for what a hook has returned in place of a gradient, unless it is a tensor as that is."""
    if not isinstance(new, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
    if new.shape != old.shape:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the size of value")
    was, got = old._node.spec.type.legacy, new._node.spec.type.legacy
    if got != was:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was {was} got {got})")


def _name(hook: Callable) -> str:
    return getattr(hook, "__name__", repr(hook))


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
    return add(tensor._leaf.hooks if tensor._leaf is not None else watch(gradient_edge(tensor._current())).hooks, hook)


def register_post_accumulate_grad_hook(tensor: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call `hook(tensor)` after each accumulation into this leaf's .grad."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if tensor._leaf is None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return add(tensor._leaf.post_hooks, hook)


def add(hooks: Hooks, hook: Callable | Before) -> RemovableHandle:
    """Register a hook behind the others."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def run_hooks(hooks: Hooks, grad: Tensor) -> Tensor:
    """The gradient after all hooks, called in order of registration."""
    for hook in list(hooks.values()):
        result = hook(grad)
        if result is None:
            continue
        check_replaced(hook, result, grad)
        grad = result
    return grad


class Before:
    """A prehook of an AccumulateGrad, among the hooks that are called once a leaf has its gradient."""

    def __init__(self, hook: Callable) -> None:
        self.hook = hook


class After(Before):
    """A hook of an AccumulateGrad, which is told the gradient."""


def run_prehooks(hooks: Hooks, grad: Tensor) -> Tensor:
    """The gradient that is accumulated, after the prehooks of AccumulateGrad."""
    for hook in list(hooks.values()):
        if type(hook) is Before:
            found = replaced(hook.hook, (grad,), hook.hook((grad,)))[0]
            grad = grad if found is None else found
    return grad


def run_post_hooks(hooks: Hooks, tensor: Tensor, grad: Tensor) -> None:
    """Call all hooks on a leaf whose gradient has been accumulated, in order of registration, those of AccumulateGrad last."""
    for hook in list(hooks.values()):
        if not isinstance(hook, Before):
            hook(tensor)
    for hook in list(hooks.values()):
        if type(hook) is After:
            hook.hook((), (grad,))


def retain_grad(tensor: Tensor) -> None:
    """Keep this non-leaf tensor's gradient in `.grad` at backward.  A leaf's is kept anyway."""
    if not tensor.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if not tensor.is_leaf:
        watch(gradient_edge(tensor._current())).tensor = weakref.ref(tensor)

