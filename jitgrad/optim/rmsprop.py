"""RMSprop."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from jitgrad.optim.counted import CountedOptimizer
from jitgrad.optim.optimizer import Group, checked
from jitgrad.optim.rows import Rule, sqrt


class RMSpropRule(NamedTuple):
    """(gradient, p, square[, buffer][, mean], lr, alpha, keep, eps, weight_decay, momentum) -> new p and the rest (Hinton 2012;
    centered as in Graves 2013)."""

    weight_decay: bool
    momentum: bool
    centered: bool
    maximize: bool
    short = False

    def __call__(self, g: Any, *values: Any) -> tuple:
        """See Rule."""
        p, square, *kept, lr, alpha, keep, eps, weight_decay, momentum = values
        if self.maximize:
            g = -g
        if self.weight_decay:
            g = g + weight_decay * p
        square = alpha * square + keep * (g * g)
        spread = square
        rest = []
        if self.centered:
            mean = kept[-1] + keep * (g - kept[-1])
            spread = square - mean * mean
            rest = [mean]
        move = g / (sqrt(spread) + eps)
        if self.momentum:
            move = momentum * kept[0] + move
            rest = [move, *rest]
        return p - lr * move, square, *rest


class RMSprop(CountedOptimizer):
    """Steps of the size lr, by the ratio of the gradient to the root of its running mean square.

    centered: to its running standard deviation; momentum, weight_decay and maximize as in SGD.  foreach and capturable are accepted
    for PyTorch's sake and change nothing."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                 momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False) -> None:
        checked("learning rate", lr)
        checked("epsilon value", eps)
        checked("momentum value", momentum)
        checked("weight_decay value", weight_decay)
        checked("alpha value", alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay,
            "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable})

    _options = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")

    @classmethod
    def _rule(cls, options: tuple[Any, ...]) -> Rule:
        _, _, _, weight_decay, momentum, centered, maximize = options
        return RMSpropRule(bool(weight_decay), momentum > 0, bool(centered), bool(maximize))

    @classmethod
    def _numbers(cls, options: tuple[Any, ...], t: float) -> tuple[float, ...]:
        lr, alpha, eps, weight_decay, momentum, _, _ = options
        return lr, alpha, 1 - alpha, eps, weight_decay, momentum

    def _names(self, group: Group) -> tuple[str, ...]:
        """See CountedOptimizer."""
        return ("square_avg", *["momentum_buffer"] * (group["momentum"] > 0), *["grad_avg"] * bool(group["centered"]))
