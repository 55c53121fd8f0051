"""A learning rate that is reduced when a metric stops improving."""
from __future__ import annotations

import math
from typing import Any

from jitgrad import tracing
from jitgrad.optim.lr_scheduler.scheduler import LRScheduler
from jitgrad.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a metric, given to `step`, has not improved for more than `patience` steps.

    mode: "min" or "max" is better; threshold: by how much, "rel"atively or "abs"olutely; after a reduction it waits `cooldown`
    steps; min_lr: for all groups, or for each; changes below eps are not made."""

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0, eps: float = 1e-8) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)) and len(min_lr) != groups:
            raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * groups
        self.optimizer, self.mode, self.factor, self.patience, self.threshold = optimizer, mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.eps, self.last_epoch = threshold_mode, cooldown, eps, 0
        self._last_lr = self._rates()
        self._reset()

    def _reset(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether it waits after a reduction."""
        return self.cooldown_counter > 0

    def is_better(self, a: float, best: float) -> bool:
        """Whether a is better than the best so far, by the threshold."""
        sign = 1.0 if self.mode == "max" else -1.0
        return sign * a > sign * (best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel"
                                  else best + sign * self.threshold)

    def step(self, metrics: Any, epoch: int | None = None) -> None:            # type: ignore[override]
        """Go on by one step, at which the metric is this."""
        tracing.refuse("sets learning rates")
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            rates = self._rates()
            new = [max(lr * self.factor, least) for lr, least in zip(rates, self.min_lrs, strict=True)]
            self._set([n if lr - n > self.eps else lr for lr, n in zip(rates, new, strict=True)])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()
