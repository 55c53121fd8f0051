"""Memory of the device, of which what is given back is used again.

Invariant: a piece is used again only when all work that used it is done, or comes before in the same queue.

Asking the driver for memory waits for the device.  So pieces are kept by size; a piece that was asked for while a queue was current
is used again by that queue without waiting, because its work is done in order.  Where others have used it too, an event of each is
waited for, by the device and not by the host.
"""
from __future__ import annotations

import threading
from collections import deque
from typing import Any

from jitgrad.errors import OutOfMemoryError
from jitgrad.memory.cuda import driver, streams
from jitgrad.memory.cuda.streams import Queue

LEAST = 512         # bytes: of what the driver gives, and alignment


class Allocation:
    """Memory that somebody uses; it goes back when nobody refers to it.  others: queues that use it beside its own."""

    __slots__ = ("address", "nbytes", "queue", "others", "_pool")

    def __init__(self, pool: Pool, address: int, nbytes: int, queue: Queue) -> None:
        self._pool = pool
        self.address = address
        self.nbytes = nbytes
        self.queue = queue
        self.others: set[Queue] = set()

    def used_by(self, queue: Queue) -> None:
        """Work of a queue uses it."""
        if queue is not self.queue:
            self.others.add(queue)

    def __del__(self) -> None:
        # What runs here may run anywhere, also within the pool: a deque takes it in one step.
        self._pool.returned.append((self.address, self.nbytes, self.queue, tuple(self.others)))


class Pool:
    """Pieces by queue and size.  used, reserved: bytes, and the most there were."""

    def __init__(self) -> None:
        self.returned: deque[tuple[int, int, Queue, tuple[Queue, ...]]] = deque()
        self._lock = threading.RLock()
        self._free: dict[tuple[Queue, int], list[tuple[int, list[Any]]]] = {}
        self._used = self._reserved = 0
        self.most_used = self.most_reserved = 0

    @property
    def used(self) -> int:
        """Bytes that somebody uses."""
        self.collect()
        return self._used

    @property
    def reserved(self) -> int:
        """Bytes that the driver has given."""
        return self._reserved

    def take(self, nbytes: int) -> Allocation:
        """Memory of so many bytes, at least, for the current queue.  Raises OutOfMemoryError."""
        queue = streams.current()
        size = _rounded(nbytes)
        with self._lock:
            self.collect()
            pieces = self._free.get((queue, size))
            if pieces:
                address, events = pieces.pop()
                for event in events:
                    driver.current().wait(event, queue.handle)
                    driver.current().release_event(event)
            else:
                address = driver.current().allocate(size)
                if not address:
                    self.empty()
                    address = driver.current().allocate(size)
                if not address:
                    raise OutOfMemoryError(self._message(nbytes))
                self._reserved += size
                self.most_reserved = max(self.most_reserved, self._reserved)
            self._used += size
            self.most_used = max(self.most_used, self._used)
            return Allocation(self, address, size, queue)

    def collect(self) -> None:
        """Take in what was given back."""
        with self._lock:
            while self.returned:
                address, size, queue, others = self.returned.popleft()
                events = [_event_of(other) for other in others]
                self._free.setdefault((queue, size), []).append((address, events))
                self._used -= size

    def empty(self) -> None:
        """Return to the driver all that nobody uses, when the device has nothing left to do."""
        with self._lock:
            self.collect()
            if self._free:
                driver.current().synchronize()
            for (_, size), pieces in self._free.items():
                for address, events in pieces:
                    for event in events:
                        driver.current().release_event(event)
                    driver.current().free(address)
                    self._reserved -= size
            self._free.clear()

    def reset_most(self) -> None:
        """Begin anew to look for the most that is used."""
        self.most_used, self.most_reserved = self.used, self._reserved

    def _message(self, nbytes: int) -> str:
        total = driver.current().properties().total_memory
        return (f"CUDA out of memory. Tried to allocate {_text(nbytes)}. GPU 0 has a total capacity of {_text(total)}, of which "
                f"jitgrad's tensors use {_text(self._used)}.")


def _event_of(queue: Queue) -> Any:
    event = driver.current().event(False)
    driver.current().record(event, queue.handle)
    return event


def _rounded(nbytes: int) -> int:
    """Sizes that differ by an eighth or less share memory."""
    step = max(1 << max(nbytes.bit_length() - 4, 0), LEAST)
    return max((nbytes + step - 1) // step, 1) * step


def _text(nbytes: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes} bytes"


pool = Pool()
