"""torch.cuda's streams and events.

What is recorded is given to the stream that is current when it is computed: at backward, or when somebody looks.
"""
from __future__ import annotations

from typing import Any

from jitgrad.memory.cuda import driver, streams
from jitgrad.memory.cuda.streams import Queue


class Stream:
    """A queue of the device's work, in order; what is in two streams may run at the same time."""

    def __init__(self, device: Any = None, priority: int = 0, *, queue: Queue | None = None) -> None:
        driver.current()
        self._queue = queue or streams.take()
        self.priority = priority

    @property
    def cuda_stream(self) -> int:
        """The address of the driver's stream."""
        handle = self._queue.handle
        return int(getattr(handle, "handle", id(handle)))

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.cuda_stream

    def synchronize(self) -> None:
        """Wait until all of its work is done."""
        driver.current().synchronize(self._queue.handle)

    def query(self) -> bool:
        """Whether all of its work is done."""
        return driver.current().is_done(self._queue.handle)

    def record_event(self, event: Event | None = None) -> Event:
        """An event that happens when all that it has been given is done."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """What it is given from now on waits for an event."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """What it is given from now on waits for what another stream has been given."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other._queue is self._queue

    def __hash__(self) -> int:
        return hash(self._queue)

    def __enter__(self) -> Stream:
        streams.enter(self._queue)
        return self

    def __exit__(self, *args: Any) -> None:
        streams.leave()

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device=cuda:0 cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A moment in a stream's work."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self._handle = driver.current().event(enable_timing)
        self._timing = enable_timing
        self._recorded = False

    def record(self, stream: Stream | None = None) -> None:
        """It happens when what the stream, by default the current one, has been given is done."""
        driver.current().record(self._handle, _queue(stream).handle)
        self._recorded = True

    def wait(self, stream: Stream | None = None) -> None:
        """What the stream is given from now on waits for it."""
        if self._recorded:
            driver.current().wait(self._handle, _queue(stream).handle)

    def query(self) -> bool:
        """Whether it has happened."""
        return not self._recorded or driver.current().has_happened(self._handle)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        if self._recorded:
            driver.current().await_event(self._handle)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another.  Raises ValueError unless both were recorded, with enable_timing."""
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if not (self._recorded and end_event._recorded):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return driver.current().elapsed(self._handle, end_event._handle)

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and driver.is_started():
            driver.current().release_event(handle)


def _queue(stream: Stream | None) -> Queue:
    return streams.current() if stream is None else stream._queue


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's work goes to."""
    return Stream(queue=streams.current())


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to where no other is chosen."""
    return Stream(queue=streams.DEFAULT)


def set_stream(stream: Stream) -> None:
    """Give this thread's work to a stream from now on."""
    streams.choose(stream._queue)


class StreamContext:
    """`with stream(s):` gives this thread's work to s; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        streams.enter(_queue(self.stream))

    def __exit__(self, *args: Any) -> None:
        streams.leave()


def stream(stream: Stream | None) -> StreamContext:
    """A context in which this thread's work goes to a stream."""
    return StreamContext(stream)
