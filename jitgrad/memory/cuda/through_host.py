"""What is computed by way of the host although its operands are on a device: told once each, in the log and by `jitgrad.explain`."""
from __future__ import annotations

from jitgrad.config import logger

names: dict[str, str] = {}          # operations, and why


def note(name: str, why: str) -> None:
    """An operation goes by way of the host."""
    if name not in names:
        names[name] = why
        logger.warning("%s of tensors on cuda:0 is computed by NumPy, by way of the host: %s", name, why)


def is_noted(name: str) -> bool:
    """Whether an operation has gone that way before."""
    return name in names
