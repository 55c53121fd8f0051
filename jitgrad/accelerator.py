"""torch.accelerator: there is none, the CPU does not count as one."""
from __future__ import annotations

from typing import Any

from jitgrad.types.device import device

__all__ = ["current_accelerator", "current_device_index", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """False: tensors are on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None."""
    return None


def _refused(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Cannot access accelerator device when none is available.")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: there is no accelerator."
    return function


current_device_index, synchronize = map(_refused, ("current_device_index", "synchronize"))
