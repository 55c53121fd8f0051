"""Settings of the whole program: the default device, and what PyTorch lets choose and there is no choice of here."""
from __future__ import annotations

from typing import Any

from jitgrad.types.device import default, device, known_device, placement
from jitgrad.types.dtype import as_dtype, set_default_dtype


def get_default_device() -> device:
    """Where tensors are made unless they are told."""
    return known_device(default.name)


def set_default_device(device: Any) -> None:
    """Make this thread's tensors on a device unless they are told; None: on the CPU."""
    default.name = "cpu" if device is None else placement(device, "set_default_device")


def set_default_tensor_type(t: Any) -> None:
    """set_default_dtype() by the type of tensors, FloatTensor or DoubleTensor, or its name."""
    set_default_dtype(as_dtype(getattr(t, "dtype", t)))


def are_deterministic_algorithms_enabled() -> bool:
    """True: results have the same bits on each run."""
    return True


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: results have the same bits on each run."""


def get_float32_matmul_precision() -> str:
    """"highest"."""
    return "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Nothing: matrix products are of the operands' dtype."""


def set_flush_denormal(mode: bool) -> bool:
    """False: subnormal numbers are kept."""
    return False


def get_num_interop_threads() -> int:
    """1."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Nothing: one operation at a time."""
