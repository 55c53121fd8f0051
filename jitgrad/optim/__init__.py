"""Optimizers, with PyTorch's interface."""
from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from jitgrad.missing import lookup as _lookup
from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.sgd import SGD

if _TYPE_CHECKING:
    from jitgrad.optim import lr_scheduler as lr_scheduler
    from jitgrad.optim.adagrad import Adagrad
    from jitgrad.optim.lbfgs import LBFGS
    from jitgrad.optim.rmsprop import RMSprop

__all__ = ["SGD", "LBFGS", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]
__getattr__ = _lookup("optim", {name: f"jitgrad.optim.{name.lower()}" for name in ("Adagrad", "LBFGS", "RMSprop", "lr_scheduler")})


def __dir__() -> list[str]:
    return sorted({*__all__, "lr_scheduler"})
