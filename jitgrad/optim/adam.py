"""Adam and AdamW."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.optim.optimizer import Group, Optimizer, checked, number
from jitgrad.optim.rows import Row, Rule, maximum, sqrt
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import float32, float64, get_default_dtype


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

    def _updates(self, group: Group) -> Sequence[tuple[Rule, list[Row]]]:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        rule = self._setting(group, 1.0)[0]
        rows: list[Row] = []
        counted: dict[int, tuple[float, ...]] = {}      # by identity of the tensor that counts the steps
        count: Tensor | None = None
        self._part(group["params"])
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                if count is None:
                    count = from_array(np.zeros((), (float64 if get_default_dtype() is float64 else float32).np))
                # All at once.  Parameters that start together share the count: see _part.
                state.update({"step": count, **{name: from_array(np.zeros(p.shape, p.dtype.np)) for name in names}})
            step = state["step"]
            numbers = counted.get(id(step))
            if numbers is None:
                after = step._array() + 1
                step._replace(np.asarray(after))
                numbers = counted[id(step)] = self._setting(group, float(after))[1]
            rows.append(Row(p._grad._array(), (p, *[state[name] for name in names]), numbers, state, step))
        return [(rule, rows)]

    def _part(self, params: list[Tensor]) -> None:
        """Give parameters that take this step a count of their own, where they share it with one that does not."""
        waiting = {id(self.state[p]["step"]) for p in params if p._grad is None and "step" in self.state.get(p, ())}
        if not waiting:
            return
        own: dict[int, Tensor] = {}
        for p in params:
            state = self.state.get(p)
            if p._grad is not None and state and id(state["step"]) in waiting:
                step = state["step"]
                state["step"] = own.setdefault(id(step), from_array(step._array()))


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True)
