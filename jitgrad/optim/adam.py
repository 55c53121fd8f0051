"""Adam and AdamW."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from jitgrad.optim.counted import CountedOptimizer
from jitgrad.optim.optimizer import Group, checked, number
from jitgrad.optim.rows import Rule, maximum, sqrt


class AdamRule(NamedTuple):
    """(gradient, p, mean, square[, largest], step_size, correction, keep1, beta2, keep2, eps, decay) -> new p, moments
    and largest second moment.

    Kingma and Ba 2015, algorithm 1; weight decay decoupled as in Loshchilov and Hutter 2019 (then `decay` is the factor
    that p shrinks by); `largest` as in Reddi et al. 2018.  step_size = lr / (1 - beta1**t) and correction =
    sqrt(1 - beta2**t) at step t."""

    weight_decay: bool
    decoupled: bool
    amsgrad: bool
    maximize: bool
    short = False

    def __call__(self, g: Any, *values: Any) -> tuple:
        """See Rule."""
        p, mean, square, *largest, step_size, correction, keep1, beta2, keep2, eps, decay = values
        if self.maximize:
            g = -g
        if self.weight_decay:
            if self.decoupled:
                p = p * decay
            else:
                g = g + decay * p
        mean = mean + keep1 * (g - mean)
        square = beta2 * square + keep2 * (g * g)
        if self.amsgrad:
            largest = [maximum(largest[0], square)]
        root = sqrt(largest[0] if self.amsgrad else square) / correction + eps
        return p - step_size * (mean / root), mean, square, *largest


class Adam(CountedOptimizer):
    """Steps of the size lr, by the ratio of the gradient's running mean to the root of its running mean square.

    weight_decay adds weight_decay * p to the gradient, or with decoupled_weight_decay shrinks p itself; amsgrad divides
    by the largest mean square so far; maximize goes up.  foreach, capturable and fused are accepted for PyTorch's sake
    and change nothing."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False) -> None:
        checked("learning rate", lr)
        checked("epsilon value", eps)
        for i, beta in enumerate(betas):
            if not 0.0 <= number(beta) < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        checked("weight_decay value", weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})

    _options = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay")

    @classmethod
    def _rule(cls, options: tuple[Any, ...]) -> Rule:
        _, _, _, weight_decay, amsgrad, maximize, decoupled = options
        return AdamRule(bool(weight_decay), bool(decoupled), bool(amsgrad), bool(maximize))

    @classmethod
    def _numbers(cls, options: tuple[Any, ...], t: float) -> tuple[float, ...]:
        lr, (beta1, beta2), eps, weight_decay, _, _, decoupled = options
        return (lr / (1 - beta1**t), (1 - beta2**t) ** 0.5, 1 - beta1, beta2, 1 - beta2, eps,
                1 - lr * weight_decay if decoupled else weight_decay)

    def _names(self, group: Group) -> tuple[str, ...]:
        """See CountedOptimizer."""
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True)
