"""no_grad and its kin: context managers and decorators over the thread's recording state."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast, overload

from jitgrad.graph.recording import grad_mode, recording_thread

_F = TypeVar("_F", bound=Callable[..., Any])


class Mode:
    """A state of `grad_mode` as a context manager, re-entrant, and as a decorator of functions and generators.

    For users: an exception out of a signal handler can come at the start of __exit__, as in PyTorch, which leaves the mode as it
    is.  The library itself uses recording.in_grad_mode."""

    _saved: list[tuple[bool, bool]]

    def __new__(cls, *args: Any) -> Any:
        self = object.__new__(cls)
        self._saved = []
        return self

    def _set(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._saved.append((grad_mode.enabled, grad_mode.inference))
        self._set()

    def __exit__(self, *exception: object) -> None:
        grad_mode.enabled, grad_mode.inference = self._saved[-1]
        recording_thread[0] = 0
        self._saved.pop()

    def _clone(self) -> Mode:
        return type(self)()

    def __call__(self, function: _F) -> _F:
        if inspect.isgeneratorfunction(function):
            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                inner = function(*args, **kwargs)
                sent = None
                while True:
                    with self._clone():
                        try:
                            item = inner.send(sent)
                        except StopIteration as stop:
                            return stop.value
                    sent = yield item
            return cast(_F, generator)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._clone():
                return function(*args, **kwargs)
        return cast(_F, wrapper)


class no_grad(Mode):
    """Results need no gradient inside.  `with no_grad():`, `@no_grad()` or `@no_grad`."""

    _enabled = False

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: _F) -> _F: ...
    def __new__(cls, function: Any = None) -> Any:
        self = object.__new__(cls)
        self._saved = []
        return self if function is None else self(function)

    def __enter__(self) -> None:        # loops enter it at each step: without further calls
        self._saved.append((grad_mode.enabled, grad_mode.inference))
        grad_mode.enabled = self._enabled
        recording_thread[0] = 0


class enable_grad(no_grad):
    """Records inside, also within no_grad."""

    _enabled = True


class set_grad_enabled(Mode):
    """Sets recording on or off: at once when called, undone at the end of a `with`."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._before = (grad_mode.enabled, grad_mode.inference)
        self._set()

    def _set(self) -> None:
        grad_mode.enabled = self.mode
        recording_thread[0] = 0

    def __enter__(self) -> None:
        self._saved.append(self._before)
        self._set()

    def _clone(self) -> Mode:
        return set_grad_enabled(self.mode)

    def __call__(self, function: _F) -> _F:
        grad_mode.enabled, grad_mode.inference = self._before      # as a decorator it changes nothing now
        recording_thread[0] = 0
        return super().__call__(function)


class inference_mode(Mode):
    """no_grad under its other name.  What is made inside is an ordinary tensor (PyTorch refuses to record it later)."""

    mode: bool

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: _F) -> _F: ...
    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        self.mode = True if callable(mode) else mode
        return self(mode) if callable(mode) else self

    def _set(self) -> None:
        grad_mode.inference = self.mode
        if self.mode:
            grad_mode.enabled = False
            recording_thread[0] = 0

    def _clone(self) -> Mode:
        return inference_mode(self.mode)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return grad_mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside inference_mode."""
    return grad_mode.inference
