"""NumPy without warnings, in the calling thread only, whatever is raised inside."""
from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class _Quiet(threading.local):
    """A context in which NumPy makes inf and nan without warning: `run(function, *arguments)`.

    NumPy keeps its error state in a context variable; entering a context that has it set costs a fifth of errstate, and
    is undone by CPython itself: the __exit__ of errstate is a function in Python, before which a signal handler may raise."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self._state: list[Any] = [False, context.run]       # whether it is entered, how (a list is read quicker than a thread-local)

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """function(*arguments), quietly.  May be entered again, by a signal handler or a finalizer that computes."""
        state = self._state
        if state[0]:
            return function(*arguments)
        state[0] = True
        try:
            return state[1](function, *arguments)
        finally:
            state[0] = False


quiet = _Quiet()
