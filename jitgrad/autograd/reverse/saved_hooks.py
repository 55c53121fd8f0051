"""Hooks on what is saved for backward: what installs them, and what one saved tensor has become of them.

While none is installed nothing asks for them: the first that is installs a function that operators tell what they have recorded
(operators/declaration/declare.py), and has machine code forward every call to them.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from jitgrad import tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import in_grad_mode, input_node
from jitgrad.operators.declaration.declare import saving
from jitgrad.requests.execute import stored
from jitgrad.tensors.storage import keep
from jitgrad.tensors.tensor import Tensor, wrap

Pair = tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]


class _Installed(threading.local):
    """pairs: pack and unpack, the last installed in force.  disabled: the error for whoever installs more."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.disabled: str | None = None

    def check(self) -> None:
        """Raise RuntimeError where they are disabled."""
        if self.disabled is not None:
            raise RuntimeError(self.disabled)


installed = _Installed()
_lock = threading.Lock()
_count = [0]            # of contexts that are entered, of all threads


def _install(change: int) -> None:
    """A context was entered (1) or left (-1)."""
    from jitgrad.autograd.reverse.operation import keep_saved
    with _lock:
        _count[0] += change
        saving[:] = [keep_saved] if _count[0] else []
        tracing.forward_calls(change)


class saved_tensors_hooks:
    """A context in which what operators save for backward is given to pack_hook, and unpack_hook gives it back at backward."""

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if not callable(self.pack_hook) or not callable(self.unpack_hook):
            raise TypeError(f"saved_tensors_hooks: pack_hook and unpack_hook must be callable, got {self.pack_hook!r} and "
                            f"{self.unpack_hook!r}")
        installed.check()
        tracing.refuse("it installs hooks on saved tensors")
        pair = self.pack_hook, self.unpack_hook
        _install(1)
        installed.pairs.append(pair)        # last: an exception out of a signal handler, before, installs nothing

    def __exit__(self, *exception: object) -> None:
        installed.pairs.pop()
        _install(-1)


class save_on_cpu(saved_tensors_hooks):
    """A context in which saved tensors are kept on the CPU, where all tensors are: nothing is copied."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda tensor: (tensor.device, tensor.cpu()),                  # type: ignore[attr-defined]
                         lambda packed: packed[1].to(packed[0]))


class disable_saved_tensors_hooks:
    """A context in which nobody may install hooks on saved tensors: that raises RuntimeError with this message."""

    def __init__(self, error_message: str) -> None:
        self._message = error_message
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = installed.disabled
        installed.disabled = self._message
        if installed.pairs:
            installed.disabled = self._before
            raise RuntimeError(self._message)

    def __exit__(self, *exception: object) -> None:
        installed.disabled = self._before


class Packed:
    """One saved tensor, as the hook in force has packed it."""

    __slots__ = ("_unpack", "_value", "_type")

    def __init__(self, tensor: Tensor) -> None:
        pack, self._unpack = installed.pairs[-1]
        self._type = tensor._current().type
        before = tensor._version
        self._value = in_grad_mode(False, pack, tensor)
        if tensor._version != before:
            raise RuntimeError("A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                               "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open "
                               "an issue if you need to perform in-place operations on the input to a pack hook.")

    def unpacked(self, history: Node | None) -> Tensor:
        """What unpack_hook gives, with the history of the node that was saved (None: without)."""
        found = self._unpack(self._value)
        if not isinstance(found, Tensor):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}")
        node = found._current()
        if node.type.shape != self._type.shape or node.type.dtype is not self._type.dtype:
            raise RuntimeError(f"a saved tensor unpack_hook returned {node.type!r} for {self._type!r}: it must give back the shape and "
                               "dtype that was packed")
        plain = input_node(stored(node), self._type)
        return wrap(plain if history is None else keep(history, plain))
