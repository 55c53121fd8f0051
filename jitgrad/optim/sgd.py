"""Stochastic gradient descent."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.optim.optimizer import Group, Optimizer, checked
from jitgrad.optim.rows import Row, Rule
from jitgrad.tensors.tensor import from_array


class SGDRule(NamedTuple):
    """The update without momentum: (gradient, p, lr, weight_decay) -> (p,)."""

    weight_decay: bool
    maximize: bool
    short = True

    def __call__(self, g: Any, *values: Any) -> tuple:
        """See Rule."""
        p, lr, weight_decay = values
        if self.maximize:
            g = -g
        if self.weight_decay:
            g = g + weight_decay * p
        return (p - lr * g,)


class MomentumRule(NamedTuple):
    """The update with momentum: (gradient, p, buffer, lr, weight_decay, momentum, keep) -> (p, buffer).

    The buffer starts as the first gradient (Sutskever et al. 2013, as PyTorch has it)."""

    weight_decay: bool
    maximize: bool
    nesterov: bool
    first: bool
    short = False

    def __call__(self, g: Any, *values: Any) -> tuple:
        """See Rule."""
        p, buffer, lr, weight_decay, momentum, keep = values
        if self.maximize:
            g = -g
        if self.weight_decay:
            g = g + weight_decay * p
        buffer = g * 1 if self.first else momentum * buffer + keep * g
        return p - lr * (g + momentum * buffer if self.nesterov else buffer), buffer


class SGD(Optimizer):
    """p -= lr * g, or with momentum b = momentum * b + (1 - dampening) * g, p -= lr * b.

    weight_decay adds weight_decay * p to g; nesterov takes g + momentum * b; maximize goes up.  foreach and fused are
    accepted for PyTorch's sake and change nothing."""

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None) -> None:
        checked("learning rate", lr)
        checked("momentum value", momentum)
        checked("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})

    _options = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")

    @classmethod
    def _rule(cls, options: tuple[Any, ...]) -> Rule:
        _, momentum, _, weight_decay, nesterov, maximize = options
        if not momentum:
            return SGDRule(bool(weight_decay), bool(maximize))
        return MomentumRule(bool(weight_decay), bool(maximize), bool(nesterov), False)

    @classmethod
    def _numbers(cls, options: tuple[Any, ...], t: float) -> tuple[float, ...]:
        lr, momentum, dampening, weight_decay, _, _ = options
        return (lr, weight_decay, momentum, 1 - dampening) if momentum else (lr, weight_decay)

    def _updates(self, group: Group) -> Sequence[tuple[Rule, list[Row]]]:
        rule, numbers = self._setting(group, 1.0)
        if not isinstance(rule, MomentumRule):
            return [(rule, [Row(p._grad._stored(), (p,), numbers) for p in group["params"] if p._grad is not None])]
        rows: tuple[list[Row], list[Row]] = ([], [])
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            first = "momentum_buffer" not in state
            if first:
                state["momentum_buffer"] = from_array(np.zeros(p.shape, p.dtype.np), device=p._node.spec.type.device)
            rows[first].append(Row(p._grad._stored(), (p, state["momentum_buffer"]), numbers, state))
        return [(rule, rows[0]), (rule._replace(first=True), rows[1])]
