"""Streams: queues of a device's work, one of which each thread gives its work to at a time."""
from __future__ import annotations

import itertools
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
    """Of a thread: the queue that it has chosen, and those that it had chosen before it entered contexts."""

    queue: Queue | None = None

    def __init__(self) -> None:
        self.before: list[Queue] = []


DEFAULT = Queue()           # of all threads that have chosen no other
# Queues that streams are made of, in turn, as in PyTorch: a queue keeps memory to use it again, which grows with their number.
_QUEUES = itertools.cycle([Queue() for _ in range(32)])
_current = _Current()


def take() -> Queue:
    """A queue for a new stream."""
    return next(_QUEUES)


def current() -> Queue:
    """What this thread gives its work to."""
    return _current.queue or DEFAULT


def choose(queue: Queue) -> None:
    """Give this thread's work to a queue from now on."""
    _current.queue = queue


def enter(queue: Queue) -> None:
    """Give this thread's work to a queue until `leave`."""
    _current.before.append(current())
    _current.queue = queue


def leave() -> None:
    """Give this thread's work to what it went to before the last `enter`."""
    _current.queue = _current.before.pop()
