"""Learning rate schedules, as in torch.optim.lr_scheduler: each step sets the rates of an optimizer's groups.

A schedule changes the rate that it finds, where its formula allows it, so that several work together.
"""
from __future__ import annotations

from jitgrad.optim.lr_scheduler.cycles import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR
from jitgrad.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from jitgrad.optim.lr_scheduler.plateau import ReduceLROnPlateau
from jitgrad.optim.lr_scheduler.scheduler import LRScheduler
from jitgrad.optim.lr_scheduler.sequential import SequentialLR

__all__ = ["ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LRScheduler", "LambdaLR",
           "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR"]
