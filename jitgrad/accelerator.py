"""torch.accelerator: the CUDA device where there is one; the CPU does not count as one."""
from __future__ import annotations

from jitgrad import cuda
from jitgrad.types.device import device

__all__ = ["current_accelerator", "current_device_index", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Whether there is a CUDA device."""
    return cuda.is_available()


def device_count() -> int:
    """How many devices there are, 0 or 1."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of device that there is, or None."""
    return device("cuda") if is_available() else None


def _check() -> None:
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")


def current_device_index() -> int:
    """The number of the device.  Raises RuntimeError where there is none."""
    _check()
    return cuda.current_device()


def synchronize(device: object = None) -> None:
    """Wait until the device has done all that it was given.  Raises RuntimeError where there is none."""
    _check()
    cuda.synchronize()
