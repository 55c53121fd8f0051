"""Learning rates that follow a cosine, or one cycle."""
from __future__ import annotations

import math
from typing import Any

from jitgrad.optim.lr_scheduler.scheduler import LRScheduler
from jitgrad.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to eta_min in T_max steps along half a cosine, and back."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:       # noqa: N803
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See LRScheduler."""
        t, n, least, rates = self.last_epoch, self.T_max, self.eta_min, self._rates()
        if self._is_initial:
            return rates
        if self._step_count == 1 and t > 0:
            return [least + (base - least) * (1 + math.cos(t * math.pi / n)) / 2 for base in self.base_lrs]
        if (t - 1 - n) % (2 * n) == 0:
            return [lr + (base - least) * (1 - math.cos(math.pi / n)) / 2 for base, lr in zip(self.base_lrs, rates, strict=True)]
        ratio = (1 + math.cos(math.pi * t / n)) / (1 + math.cos(math.pi * (t - 1) / n))
        return [ratio * (lr - least) + least for lr in rates]

    def _get_closed_form_lr(self) -> list[float]:
        part = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * part for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate to eta_min along half a cosine in T_0 steps, then anew, each time T_mult times as long."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
                 last_epoch: int = -1) -> None:    # noqa: N803
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min, self.T_cur = T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """See LRScheduler."""
        part = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * part for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to a given one, which may lie between."""
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self.T_cur, self.T_i = epoch, self.T_0
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, and down to that over final_div_factor, in total_steps (Smith and Topin 2017).

    pct_start: the part of the way up; anneal_strategy: "cos" or "linear"; three_phase: down to the start first.  With
    cycle_momentum, the momentum (or the first beta) goes the other way."""

    def __init__(self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos", cycle_momentum: bool = True,
                 base_momentum: Any = 0.85, max_momentum: Any = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
                 three_phase: bool = False, last_epoch: int = -1) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        self.total_steps: int = total_steps if total_steps is not None else epochs * steps_per_epoch        # type: ignore[operator]
        if not isinstance(self.total_steps, int) or self.total_steps <= 0:
            raise ValueError(f"Expected positive integer total_steps, but got {self.total_steps}")
        if not 0 <= pct_start <= 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        up = float(pct_start * self.total_steps) - 1
        ends = ([(up, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
                + [(float(2 * pct_start * self.total_steps) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")] * three_phase
                + [(self.total_steps - 1, "initial_lr" if three_phase else "max_lr", "min_lr",
                    "max_momentum" if three_phase else "base_momentum", "max_momentum")])
        self._phases, self._strategy, self.cycle_momentum = ends, anneal_strategy, cycle_momentum
        groups = optimizer.param_groups
        for i, group in enumerate(groups):
            of = [v[i] if isinstance(v, (list, tuple)) else v for v in (max_lr, max_momentum, base_momentum)]
            if last_epoch == -1:
                group.update(initial_lr=of[0] / div_factor, max_lr=of[0], min_lr=of[0] / div_factor / final_div_factor)
                if cycle_momentum:
                    if "momentum" not in group and "betas" not in group:
                        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
                    self._put_momentum(group, of[1])
                    group.update(max_momentum=of[1], base_momentum=of[2])
        rates = [group["initial_lr"] for group in groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _put_momentum(group: dict[str, Any], momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def get_lr(self) -> list[float]:
        """See LRScheduler."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"Tried to step {t} times. The total number of steps is {self.total_steps}")
        rates = []
        for group in self.optimizer.param_groups:
            start = 0.0
            for i, (end, lr0, lr1, m0, m1) in enumerate(self._phases):
                if t <= end or i == len(self._phases) - 1:
                    part = (t - start) / (end - start)
                    rates.append(self._between(group[lr0], group[lr1], part))
                    if self.cycle_momentum:
                        self._put_momentum(group, self._between(group[m0], group[m1], part))
                    break
                start = end
        return rates

    def _between(self, a: float, b: float, part: float) -> float:
        return (b - a) * part + a if self._strategy == "linear" else b + (a - b) / 2.0 * (math.cos(math.pi * part) + 1)
