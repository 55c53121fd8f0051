"""Whether a function is being captured (jitgrad.compile), and what operators tell the capture about.

Tracing is recording as usual, with three differences: nothing is computed at once, so that all work on what the function
was given is in the graph; arrays made meanwhile are marked; and whatever a replay could not repeat is noted here.
"""
from __future__ import annotations

import functools
import threading
from array import array
from collections.abc import Callable
from typing import Any, TypeVar


class TraceNotes:
    """Notes of one trace.  reads: nodes whose values Python looked at.  reason: why the trace cannot be replayed, the first found."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.reason: str | None = None

    def positions(self, node: Any, low: int, high: int, also: int | None = None) -> bool:
        """Whether replays check that the elements of a node are in range(low, high), or `also`."""
        return False

    def divisor(self, node: Any) -> bool:
        """Whether replays check that a number is not 0."""
        return False

    def applied(self, function: Any, args: tuple) -> tuple[Any] | None:
        """What applying an autograd.Function gives, alone in a tuple, where that is other than usual; None where not."""
        return None

    def drawn(self, function: Any, args: tuple, kwargs: dict[str, Any], by_element: bool) -> Any:
        """What a function that draws random numbers gives, where that is other than usual; None where not.

        by_element: whether it draws one number for each element of its tensors; otherwise it reads their shapes alone."""
        return None

    def array_read(self, node: Any) -> None:
        """Note that somebody reads the NumPy array that an input stands for, other than by making a tensor of it."""

    def array_layout(self, node: Any) -> None:
        """Note that somebody asks how the NumPy array lies in memory that an input stands for."""

    def refuse(self, reason: str) -> None:
        """Note why a replay would not be the same as a call."""
        if self.reason is None:
            self.reason = reason


class _State(threading.local):
    trace: TraceNotes | None = None


_state = _State()
_T = TypeVar("_T")
traces = 0              # of all threads; read first, since reading a thread-local takes longer
count = array("q", [0])     # the same for machine code
BORN = object()         # `line` of arrays made while any thread traces


def current() -> TraceNotes | None:
    """The trace of this thread, if it is in one."""
    return _state.trace if traces else None


def refuse(reason: str) -> None:
    """Note, if this thread traces, why a replay would not be the same as a call."""
    if traces and _state.trace is not None:
        _state.trace.refuse(reason)


def traced(trace: TraceNotes | None, function: Callable[..., _T], *args: Any) -> _T:
    """function(*args), this thread being traced.

    Set and set back by stores alone, for what recording.in_grad_mode says; a count that a store follows at once needs no lock, since
    threads take turns where signals are looked at, too."""
    global traces
    outer = _state.trace
    _state.trace = trace
    traces += 1
    count[0] = traces
    try:
        return function(*args)
    finally:
        _state.trace = outer
        traces -= 1
        count[0] = traces


def draws(by_element: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function that gives random numbers: see TraceNotes.drawn."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            trace = current()
            found = None if trace is None else trace.drawn(call, args, kwargs, by_element)
            return function(*args, **kwargs) if found is None else found
        return call
    return decorate


def forward_calls(change: int) -> None:
    """Have machine code forward every call to the operators' Python functions, as while a thread traces: 1, and -1 afterwards."""
    global traces
    traces += change
    count[0] = traces
