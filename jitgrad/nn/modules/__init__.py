"""torch.nn.modules: another name of what jitgrad.nn has."""
from __future__ import annotations

from typing import Any

from jitgrad import nn
from jitgrad.nn.module import Module


def __getattr__(name: str) -> Any:
    return getattr(nn, name)


__all__ = ["Module"]
