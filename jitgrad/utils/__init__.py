"""What stands beside the library: checkpoint, data, dlpack."""
from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name not in __dir__():
        raise AttributeError(f"module 'jitgrad.utils' has no attribute {name!r}")
    import importlib
    return importlib.import_module(f"jitgrad.utils.{name}")


def __dir__() -> list[str]:
    return ["checkpoint", "data", "dlpack"]
