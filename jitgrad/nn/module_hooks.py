"""Hooks on modules: before and after forward, and on the gradients that come to a module and leave it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.autograd.function import Function
from jitgrad.autograd.reverse.hooks import RemovableHandle
from jitgrad.tensors.histories import Hooks
from jitgrad.tensors.tensor import Tensor

TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class HookedCalls:
    """What calling a module does; Module defines forward."""

    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks
    _backward_hooks: Hooks
    _backward_pre_hooks: Hooks
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fields = self.__dict__
        if not fields["_forward_hooks"] and not fields["_forward_pre_hooks"] and not fields.get("_backward_hooks") and not fields.get(
                "_backward_pre_hooks"):
            return self.forward(*args, **kwargs)
        return _called(self, args, kwargs)

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments.  with_kwargs: hook(module, args, kwargs),
        which returns both."""
        return _add(self, "_forward_pre_hooks", (hook, with_kwargs, False), prepend)

    def register_forward_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """Call hook(module, args, output) after forward; what it returns replaces the output.  with_kwargs: hook(module, args, kwargs,
        output); always_call: also where forward raises (the output is None then)."""
        return _add(self, "_forward_hooks", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) when the gradients of the inputs are there; what it returns replaces those."""
        return _add(self, "_backward_hooks", hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_output) when the gradients of the outputs are there; what it returns replaces them."""
        return _add(self, "_backward_pre_hooks", hook, prepend)


def _add(module: HookedCalls, table: str, entry: Any, prepend: bool) -> RemovableHandle:
    hooks = module.__dict__.get(table)
    if hooks is None:
        hooks = module.__dict__[table] = Hooks()
    handle = RemovableHandle(hooks)
    hooks[handle.id] = entry
    if prepend:
        for key in [k for k in hooks if k != handle.id]:
            hooks[key] = hooks.pop(key)
    return handle


def _called(module: HookedCalls, args: tuple, kwargs: dict[str, Any]) -> Any:
    for hook, with_kwargs, _ in list(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    passing = _Passing(module) if module.__dict__.get("_backward_hooks") or module.__dict__.get("_backward_pre_hooks") else None
    if passing is not None:
        args = passing.enter(args)
    pending = list(module._forward_hooks.values())
    try:
        result = module.forward(*args, **kwargs)
        while pending:
            hook, with_kwargs, _ = pending[0]
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            del pending[0]
            if changed is not None:
                result = changed
    except Exception:
        for hook, with_kwargs, always in pending:
            if always:
                hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        raise
    return result if passing is None else passing.leave(result)


class _Passing:
    """One call of a module with hooks on gradients: identities around it, at which they pass."""

    def __init__(self, module: HookedCalls) -> None:
        self.module = module
        self.grad_output: tuple | None = None
        self.places: list[int] = []
        self.count = 0

    def enter(self, args: tuple) -> tuple:
        """The arguments, behind an identity."""
        self.count = len(args)
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        if not self.places:
            return args
        made = _Identity.apply(self.arrived, *[args[i] for i in self.places])
        new = dict(zip(self.places, made, strict=True))
        return tuple([new.get(i, a) for i, a in enumerate(args)])

    def leave(self, result: Any) -> Any:
        """The result, behind an identity."""
        outputs = result if isinstance(result, tuple) else (result,)
        chosen = [i for i, o in enumerate(outputs) if isinstance(o, Tensor) and o.requires_grad]
        if not chosen:
            return result

        def departed(grads: tuple) -> tuple:
            full: list[Any] = [None] * len(outputs)
            for i, g in zip(chosen, grads, strict=True):
                full[i] = g
            for hook in list(self.module.__dict__.get("_backward_pre_hooks", {}).values()):
                changed = hook(self.module, tuple(full))
                if changed is not None:
                    full = list(changed) if isinstance(changed, tuple) else [changed]
            self.grad_output = tuple(full)
            if not self.places:
                self._call((None,) * self.count)
            return tuple([full[i] for i in chosen])

        made = dict(zip(chosen, _Identity.apply(departed, *[outputs[i] for i in chosen]), strict=True))
        final = tuple([made.get(i, o) for i, o in enumerate(outputs)])
        return final if isinstance(result, tuple) else final[0]

    def arrived(self, grads: tuple) -> tuple:
        """The gradients of the arguments are there."""
        full: list[Any] = [None] * self.count
        for i, g in zip(self.places, grads, strict=True):
            full[i] = g
        found = self._call(tuple(full))
        return tuple([found[i] for i in self.places])

    def _call(self, grad_input: tuple) -> tuple:
        for hook in list(self.module.__dict__.get("_backward_hooks", {}).values()):
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(grad_input):
                    raise RuntimeError(f"Backward hook returned an invalid number of grad_input, got {len(changed)}, but expected "
                                       f"{len(grad_input)}")
                grad_input = changed
        return grad_input


class _Identity(Function):
    """Tensors as they are; the gradients go through a function."""

    @staticmethod
    def forward(ctx: Any, through: Callable[[tuple], tuple], *tensors: Tensor) -> Any:
        ctx.through = through
        return tuple([t.view_as(t) for t in tensors])           # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, *ctx.through(grads)
