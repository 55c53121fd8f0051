"""What happens while a function is traced (jitgrad.compile), as told by those who do it.

Tracing is recording as usual, with three differences: nothing is computed at once, so that all work on what the function
was given is in the graph; arrays made meanwhile are marked; and whatever a replay could not repeat is noted here.
"""
from __future__ import annotations

import threading
from array import array
from typing import Any


class Trace:
    """Notes of one trace.  reads: nodes whose values Python looked at.  written: storages written to.
    reason: why the trace cannot be replayed, the first found."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.written: list[Any] = []
        self.reason: str | None = None

    def positions(self, node: Any, low: int, high: int, also: int | None = None) -> bool:
        """Whether replays check that the elements of a node are in range(low, high), or `also`."""
        return False

    def divisor(self, node: Any) -> bool:
        """Whether replays check that a number is not 0."""
        return False

    def array_read(self, node: Any) -> None:
        """Note that somebody reads the NumPy array that an input stands for, other than by making a tensor of it."""

    def array_layout(self, node: Any) -> None:
        """Note that somebody asks how the NumPy array lies in memory that an input stands for."""

    def refuse(self, reason: str) -> None:
        """Note why a replay would not be the same as a call."""
        if self.reason is None:
            self.reason = reason


class _State(threading.local):
    trace: Trace | None = None


_state = _State()
_lock = threading.Lock()
traces = 0              # of all threads; read first, since reading a thread-local takes longer
count = array("q", [0])     # the same for machine code
BORN = object()         # `line` of arrays made while any thread traces


def current() -> Trace | None:
    """The trace of this thread, if it is in one."""
    return _state.trace if traces else None


def refuse(reason: str) -> None:
    """Note, if this thread traces, why a replay would not be the same as a call."""
    if traces and _state.trace is not None:
        _state.trace.refuse(reason)


class tracing:
    """`with tracing(trace):` trace this thread."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> Trace:
        global traces
        with _lock:
            traces += 1
            count[0] = traces
        self._outer, _state.trace = _state.trace, self._trace
        return self._trace

    def __exit__(self, *exception: object) -> None:
        global traces
        _state.trace = self._outer
        with _lock:
            traces -= 1
            count[0] = traces
