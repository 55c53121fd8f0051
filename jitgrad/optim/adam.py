"""Adam and AdamW."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jitgrad.dtype import float32, float64, get_default_dtype
from jitgrad.optim.optimizer import Group, Optimizer, checked, number, replace
from jitgrad.tensor import Tensor, from_array


def adam_update(p: Any, g: Any, mean: Any, square: Any, largest: Any, step: float, lr: float, beta1: float,
                beta2: float, eps: float, weight_decay: float, decoupled: bool, sqrt: Callable[[Any], Any],
                maximum: Callable[[Any, Any], Any]) -> tuple[Any, Any, Any, Any]:
    """The new parameter, moments and largest second moment (None without amsgrad) at step 1, 2, ..., from values.

    Kingma and Ba 2015, algorithm 1; weight decay decoupled as in Loshchilov and Hutter 2019; `largest` as in Reddi et
    al. 2018."""
    if weight_decay:
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
    mean = mean + (1 - beta1) * (g - mean)
    square = beta2 * square + (1 - beta2) * (g * g)
    if largest is not None:
        largest = maximum(largest, square)
    root = sqrt(square if largest is None else largest) / (1 - beta2**step) ** 0.5 + eps
    return p - lr / (1 - beta1**step) * (mean / root), mean, square, largest


class Adam(Optimizer):
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

    def _new_state(self, p: Tensor, amsgrad: bool) -> dict[str, Tensor]:
        count = float64 if get_default_dtype() is float64 else float32
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if amsgrad else ("exp_avg", "exp_avg_sq")
        return {"step": from_array(np.zeros((), count.np)),
                **{name: from_array(np.zeros(p.shape, p.dtype.np)) for name in names}}

    def _updater(self, group: Group) -> Callable[[Tensor, Tensor], None]:
        lr, (beta1, beta2), eps = number(group["lr"]), map(number, group["betas"]), group["eps"]
        weight_decay, decoupled = number(group["weight_decay"]), group["decoupled_weight_decay"]
        amsgrad, maximize = group["amsgrad"], group["maximize"]

        def update(p: Tensor, grad: Tensor) -> None:
            g = -grad._array() if maximize else grad._array()
            state = self.state[p]
            if not state:
                state.update(self._new_state(p, amsgrad))
            step, mean, square = state["step"], state["exp_avg"], state["exp_avg_sq"]
            largest = state["max_exp_avg_sq"] if amsgrad else None
            count = step._array() + 1
            value, new_mean, new_square, new_largest = adam_update(
                p._array(), g, mean._array(), square._array(), None if largest is None else largest._array(),
                float(count), lr, beta1, beta2, eps, weight_decay, decoupled, np.sqrt, np.maximum)
            replace(step, count)
            replace(p, value)
            replace(mean, new_mean)
            replace(square, new_square)
            if largest is not None:
                replace(largest, new_largest)
        return update


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True)
