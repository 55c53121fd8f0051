"""Optimizers, with PyTorch's interface."""
from __future__ import annotations

from jitgrad.missing import lookup as _lookup
from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.optimizer import Optimizer
from jitgrad.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
__getattr__ = _lookup("optim")
