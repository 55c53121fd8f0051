"""What drives a CUDA device: memory, copies, streams, events, launches; and which one drives this process.

Three classes do what `Driver` says: HardwareDriver (hardware.py) a GPU, SimulatedDriver (simulator.py) a simulator, whose device
memory is the host's, and RecordingDriver (recording.py) either of these, noting each call for tests.
Invariant: addresses are integers; a call waits for nothing unless it says so.
"""
from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib import util
from typing import Any, Protocol

import numpy as np

INSTALL = "install jitgrad[cuda] for CUDA 13, or jitgrad[cuda12] for CUDA 12"


@dataclass(frozen=True)
class DeviceProperties:
    """What torch.cuda.get_device_properties tells."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


class Driver(Protocol):
    """One device.  A stream, event, module or function is an object that only the driver looks into."""

    name: str

    def allocate(self, nbytes: int) -> int:
        """The address of new memory; 0 where there is none left."""
        ...

    def free(self, address: int) -> None:
        """Return memory that `allocate` gave; nothing that is under way uses it."""
        ...

    def copy_in(self, address: int, source: np.ndarray, stream: Any) -> None:
        """Host to device; `source` is C-contiguous, and may be written to when this returns."""
        ...

    def copy_out(self, target: np.ndarray, address: int, stream: Any) -> None:
        """Device to host, when all work of the stream is done, which it waits for; `target` is C-contiguous."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        """Device to device."""
        ...

    def stream(self) -> Any:
        """A new stream."""
        ...

    def foreign_stream(self, address: int) -> Any:
        """The stream of another library at an address; 1: the default one, 2: that of each thread."""
        ...

    def strided_copy(self, target: int, source: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype,
                     stream: Any) -> None:
        """Device to device: an array that lies somehow to one in row-major order; strides in bytes."""
        ...

    def synchronize(self, stream: Any = None) -> None:
        """Wait for a stream; for all work of the device where none is given."""
        ...

    def is_done(self, stream: Any) -> bool:
        """Whether a stream has nothing left to do."""
        ...

    def event(self, timing: bool) -> Any:
        """A new event."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """The event happens when what the stream has been given so far is done."""
        ...

    def wait(self, event: Any, stream: Any) -> None:
        """The stream goes on when the event has happened; the host does not wait."""
        ...

    def has_happened(self, event: Any) -> bool:
        """Whether an event has happened."""
        ...

    def await_event(self, event: Any) -> None:
        """Wait until an event has happened."""
        ...

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two events."""
        ...

    def release_event(self, event: Any) -> None:
        """An event is not asked for any more."""
        ...

    def load(self, image: Any) -> Any:
        """A module: of a cubin, or, in the simulator, of functions by name."""
        ...

    def function(self, module: Any, name: str) -> Any:
        """A kernel of a module."""
        ...

    def launch(self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: tuple[Any, ...], stream: Any) -> None:
        """Run a kernel: addresses and 64-bit integers as int, other numbers as NumPy scalars."""
        ...

    def properties(self) -> DeviceProperties:
        """What the device is."""
        ...


def is_simulated() -> bool:
    """Whether the device is to be simulated: by the variable that Numba reads for its own simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0").strip() not in ("", "0")


def missing() -> str | None:
    """Why there is no device, and what to do; None where there is one."""
    if _current or is_simulated():
        return None
    for module in ("numba_cuda", "cuda.bindings", "cuda.core", "cupy"):
        if not _is_installed(module):
            return f"jitgrad has no CUDA here: {module} is not installed. To use a GPU, {INSTALL}"
    from jitgrad.memory.cuda import hardware
    reason = hardware.why_absent()
    return None if reason is None else f"{reason}. To use a GPU, {INSTALL}"


def _is_installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:         # the package that it is part of
        return False


_lock = threading.Lock()
_current: list[Driver] = []
_forked: list[Driver] = []          # of the process that this one was forked from: NVIDIA's driver does not work on here


def _after_fork() -> None:
    if _current and _current[0].name == "cuda":
        _forked[:] = _current
        _current.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def current() -> Driver:
    """What drives the device of this process, made at the first call.  Raises AssertionError where there is none, and RuntimeError in
    a process that was forked from one that used it."""
    if not _current:
        with _lock:
            if not _current:
                _current.append(_made())
    return _current[0]


def _made() -> Driver:
    if _forked:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' "
                           "start method")
    reason = missing()
    if reason is not None:
        raise AssertionError(f"Torch not compiled with CUDA enabled: {reason}")
    if is_simulated():
        from jitgrad.memory.cuda.simulator import SimulatedDriver
        return SimulatedDriver()
    from jitgrad.memory.cuda.hardware import HardwareDriver
    return HardwareDriver()


def is_started() -> bool:
    """Whether a device is in use."""
    return bool(_current)


def use(driver: Driver | None) -> None:
    """Have this object drive the device, for tests; None: what this machine has."""
    _current[:] = [] if driver is None else [driver]
