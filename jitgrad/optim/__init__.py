"""Optimizers, with PyTorch's interface."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.sgd import SGD

if TYPE_CHECKING:
    from jitgrad.optim import lr_scheduler as lr_scheduler
    from jitgrad.optim.adagrad import Adagrad
    from jitgrad.optim.lbfgs import LBFGS
    from jitgrad.optim.rmsprop import RMSprop


def __getattr__(name: str) -> Any:
    """What few programs need: imported when it is first named."""
    if name not in ("Adagrad", "LBFGS", "RMSprop", "lr_scheduler"):
        raise AttributeError(f"module 'jitgrad.optim' has no attribute {name!r}")
    import importlib
    found = importlib.import_module(f"jitgrad.optim.{name.lower()}")
    if name != "lr_scheduler":
        found = globals()[name] = getattr(found, name)
    return found


__all__ = ["SGD", "LBFGS", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]
