"""torch.cuda: the CUDA device, its memory and its streams.

Without a GPU or without the packages that drive it there is none: what asks says no, what waits for one or empties its memory does
nothing, and what needs one raises AssertionError, which says what to install.
"""
from __future__ import annotations

import os
from typing import Any

from jitgrad import random
from jitgrad.cuda.streams import Event, Stream, StreamContext, current_stream, default_stream, set_stream, stream
from jitgrad.errors import OutOfMemoryError
from jitgrad.memory.cuda import driver
from jitgrad.memory.cuda.pool import pool
from jitgrad.types.device import device as Device
from jitgrad.types.device import placement

__all__ = ["Event", "OutOfMemoryError", "Stream", "StreamContext", "current_device", "current_stream", "default_stream", "device",
           "device_count", "empty_cache", "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state", "init",
           "initial_seed", "ipc_collect", "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all",
           "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_summary",
           "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state", "set_stream", "stream", "synchronize"]


# -- devices ---------------------------------------------------------------------------------------------------------

def is_available() -> bool:
    """Whether tensors can be placed on a CUDA device: a GPU, or Numba's simulator of one (NUMBA_ENABLE_CUDASIM=1)."""
    return driver.missing() is None


def device_count() -> int:
    """1 where there is a device: jitgrad uses the first."""
    return int(is_available())


def is_initialized() -> bool:
    """Whether the device is in use."""
    return driver.is_started()


def init() -> None:
    """Begin to use the device.  Raises AssertionError where there is none."""
    driver.current()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no bfloat16."""
    return False


def _check(where: Any) -> None:
    """Raises AssertionError where there is no device, and RuntimeError or ValueError for another one."""
    driver.current()
    if where is not None and placement(where, "device") == "cpu":
        raise ValueError(f"Expected a cuda device, but got: {Device(where)}")


def current_device() -> int:
    """0, the number of the device."""
    _check(None)
    return 0


def set_device(device: Any) -> None:
    """Accepts the device that there is."""
    if device != -1:
        _check(device)


def get_device_properties(device: Any = None) -> driver.DeviceProperties:
    """Name, compute capability, bytes of memory and number of multiprocessors."""
    _check(device)
    return driver.current().properties()


def get_device_name(device: Any = None) -> str:
    """What the device is called."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, such as (9, 0)."""
    found = get_device_properties(device)
    return found.major, found.minor


def synchronize(device: Any = None) -> None:
    """Wait until the device has done all that it was given.  (What is recorded and not asked for yet is not given to it.)"""
    _check(device)
    driver.current().synchronize()


class device:
    """A context for a device: None and -1 leave everything as it is."""

    def __init__(self, device: Any) -> None:
        if device not in (None, -1):
            _check(device)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *args: Any) -> None:
        return None


# -- memory ----------------------------------------------------------------------------------------------------------

def memory_allocated(device: Any = None) -> int:
    """Bytes of device memory that tensors, and what is computed at present, use."""
    return pool.used


def max_memory_allocated(device: Any = None) -> int:
    """The most there was of `memory_allocated`."""
    return pool.most_used


def memory_reserved(device: Any = None) -> int:
    """Bytes of device memory in use or kept to be used again."""
    return pool.reserved


def max_memory_reserved(device: Any = None) -> int:
    """The most there was of `memory_reserved`."""
    return pool.most_reserved


def reset_peak_memory_stats(device: Any = None) -> None:
    """Have the greatest amounts begin at the present ones."""
    pool.reset_most()


def empty_cache() -> None:
    """Return the memory that is kept to be used again."""
    if driver.is_started():
        pool.empty()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes of the device that jitgrad does not use, and all of its bytes."""
    total = get_device_properties(device).total_memory
    return total - pool.reserved, total


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """Both amounts, now and at most."""
    _check(device)
    rows = (("used by tensors", pool.used, pool.most_used), ("reserved", pool.reserved, pool.most_reserved))
    return "\n".join([f"{name:16}{now:16} bytes now{most:16} bytes at most" for name, now, most in rows])


def ipc_collect() -> None:
    """Nothing: no memory is shared with other processes."""


# -- random numbers: those of the CPU's generator --------------------------------------------------------------------

def manual_seed(seed: int) -> None:
    """Start the stream of random numbers anew, which is the CPU's, too."""
    random.manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Start a stream that cannot be foretold."""
    random.manual_seed(int.from_bytes(os.urandom(8)) >> 1)


seed_all = seed


def initial_seed() -> int:
    """The seed that the stream was started with."""
    _check(None)
    return random.initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """Where the stream is."""
    _check(device)
    return random.get_rng_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Go on from where `get_rng_state` was asked."""
    _check(device)
    random.set_rng_state(new_state)
