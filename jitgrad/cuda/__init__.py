"""torch.cuda as programs ask for it before they choose a device: there is none here, and nothing to wait for.

jitgrad's tensors are on the CPU.  What asks whether a device is there says no, what waits for one or empties its memory does nothing,
and what needs one raises PyTorch's error for an installation without CUDA.
"""
from __future__ import annotations

from typing import Any

__all__ = ["current_device", "current_stream", "device_count", "empty_cache", "get_device_capability", "get_device_name",
           "get_device_properties", "get_rng_state", "init", "initial_seed", "ipc_collect", "is_available", "is_bf16_supported",
           "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "memory_allocated",
           "memory_reserved", "memory_summary", "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state",
           "synchronize"]


def is_available() -> bool:
    """False: tensors are on the CPU."""
    return False


def is_initialized() -> bool:
    """False: there is nothing to initialize."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no bfloat16."""
    return False


def device_count() -> int:
    """0."""
    return 0


def _nothing(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> None:
        return None

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Nothing: there is no device."
    return function


def _zero(name: str) -> Any:
    def function(device: Any = None) -> int:
        return 0

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "0 bytes: there is no device."
    return function


def _refused(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("Torch not compiled with CUDA enabled: jitgrad's tensors are on the CPU")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: there is no device."
    return function


manual_seed, manual_seed_all, seed, seed_all = map(_nothing, ("manual_seed", "manual_seed_all", "seed", "seed_all"))
empty_cache, ipc_collect, reset_peak_memory_stats = map(_nothing, ("empty_cache", "ipc_collect", "reset_peak_memory_stats"))
max_memory_allocated, max_memory_reserved = map(_zero, ("max_memory_allocated", "max_memory_reserved"))
memory_allocated, memory_reserved = map(_zero, ("memory_allocated", "memory_reserved"))
current_device, current_stream, get_device_capability = map(_refused, ("current_device", "current_stream", "get_device_capability"))
get_device_name, get_device_properties, get_rng_state = map(_refused, ("get_device_name", "get_device_properties", "get_rng_state"))
init, initial_seed, memory_summary, set_device = map(_refused, ("init", "initial_seed", "memory_summary", "set_device"))
set_rng_state, synchronize = map(_refused, ("set_rng_state", "synchronize"))


class device:
    """A context for a device: None and -1 leave everything as it is."""

    def __init__(self, device: Any) -> None:
        if device not in (None, -1):
            raise AssertionError("Torch not compiled with CUDA enabled: jitgrad's tensors are on the CPU")

    def __enter__(self) -> None:
        return None

    def __exit__(self, *args: Any) -> None:
        return None
