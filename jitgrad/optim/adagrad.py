"""Adagrad."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from jitgrad.optim.counted import CountedOptimizer, new_count
from jitgrad.optim.optimizer import Group, checked
from jitgrad.optim.rows import Rule, sqrt
from jitgrad.tensors.tensor import Tensor


class AdagradRule(NamedTuple):
    """(gradient, p, sum, step_size, eps, weight_decay) -> (p, sum) (Duchi et al. 2011)."""

    weight_decay: bool
    maximize: bool
    short = False

    def __call__(self, g: Any, *values: Any) -> tuple:
        """See Rule."""
        p, total, step_size, eps, weight_decay = values
        if self.maximize:
            g = -g
        if self.weight_decay:
            g = g + weight_decay * p
        total = total + g * g
        return p - step_size * (g / (sqrt(total) + eps)), total


class Adagrad(CountedOptimizer):
    """Steps by the ratio of the gradient to the root of the sum of its squares, of the size lr / (1 + lr_decay * (t - 1)).

    The sum starts at initial_accumulator_value.  foreach and fused are accepted for PyTorch's sake and change nothing."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        checked("learning rate", lr)
        checked("lr_decay value", lr_decay)
        checked("weight_decay value", weight_decay)
        checked("initial_accumulator_value value", initial_accumulator_value)
        checked("epsilon value", eps)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        for group in self.param_groups:
            count = new_count()
            for p in group["params"]:
                self._begin(group, p, count)

    _kept = ("sum",)
    _options = ("lr", "lr_decay", "eps", "weight_decay", "maximize")

    def _start(self, group: Group, p: Tensor) -> float:
        """See CountedOptimizer."""
        return group["initial_accumulator_value"]

    def share_memory(self) -> None:
        """Nothing: its state belongs to this process."""

    @classmethod
    def _rule(cls, options: tuple[Any, ...]) -> Rule:
        return AdagradRule(bool(options[3]), bool(options[4]))

    @classmethod
    def _numbers(cls, options: tuple[Any, ...], t: float) -> tuple[float, ...]:
        lr, lr_decay, eps, weight_decay, _ = options
        return lr / (1 + (t - 1) * lr_decay), eps, weight_decay
