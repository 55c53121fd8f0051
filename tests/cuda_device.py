"""A simulated CUDA device for tests, in this process, whose driver notes each call."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitgrad.memory.cuda import driver
from jitgrad.memory.cuda.recording import RecordingDriver
from jitgrad.memory.cuda.simulator import SimulatedDriver

simulator = SimulatedDriver()
calls = RecordingDriver(simulator)


@contextmanager
def in_use() -> Iterator[None]:
    """With this device."""
    driver.use(calls)
    try:
        yield
    finally:
        driver.use(None)
