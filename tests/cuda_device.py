"""A simulated CUDA device for tests, in this process, whose driver notes each call; what tests of it ask."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jitgrad as torch
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


@contextmanager
def copies(into: int = 0, out: int = 0) -> Iterator[None]:
    """So many arrays are copied to the device and to the host, and nothing waits for the device."""
    calls.clear()
    yield
    found = calls.count("copy_in"), calls.count("copy_out"), calls.count("synchronize")
    assert found == (into, out, 0), found


@contextmanager
def raises(kind: type[Exception], words: str) -> Iterator[None]:
    """This error, with these words in it."""
    try:
        yield
    except kind as error:
        assert words in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


def vector(n: int = 4, requires_grad: bool = True) -> torch.Tensor:
    return torch.arange(1.0, n + 1, device="cuda", requires_grad=requires_grad)
