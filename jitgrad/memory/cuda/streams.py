"""Streams: queues of a device's work, one of which each thread gives its work to at a time."""
from __future__ import annotations

import threading
from typing import Any

from jitgrad.memory.cuda import driver


class Queue:
    """A stream of the driver's, made when it is first used.  Two queues are the same if they are one object."""

    __slots__ = ("_handle", "_lock")

    def __init__(self) -> None:
        self._handle: Any = None
        self._lock = threading.Lock()

    @property
    def handle(self) -> Any:
        """The driver's stream."""
        if self._handle is None:
            with self._lock:
                if self._handle is None:
                    self._handle = driver.current().stream()
        return self._handle


class _Current(threading.local):
    queue: Queue | None = None


DEFAULT = Queue()           # of all threads that have chosen no other
_current = _Current()


def current() -> Queue:
    """What this thread gives its work to."""
    return _current.queue or DEFAULT


def choose(queue: Queue) -> Queue:
    """Give this thread's work to a queue from now on; what it went to before."""
    before = current()
    _current.queue = queue
    return before
