"""Stochastic gradient descent."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jitgrad.optim.optimizer import Group, Optimizer, checked, number, replace
from jitgrad.tensor import Tensor, from_array


def sgd_update(p: Any, g: Any, buffer: Any, lr: float, momentum: float, dampening: float, weight_decay: float,
               nesterov: bool) -> tuple[Any, Any]:
    """The new parameter and momentum buffer (None without momentum, and before the first step), from values.

    The buffer starts as the first gradient (Sutskever et al. 2013, as PyTorch has it)."""
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    return p - lr * g, buffer


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

    def _updater(self, group: Group) -> Callable[[Tensor, Tensor], None]:
        lr, maximize, momentum = number(group["lr"]), group["maximize"], number(group["momentum"])
        dampening, weight_decay, nesterov = group["dampening"], number(group["weight_decay"]), group["nesterov"]
        if not momentum:
            def update(p: Tensor, grad: Tensor) -> None:
                g = -grad._array() if maximize else grad._array()
                replace(p, sgd_update(p._array(), g, None, lr, 0, 0, weight_decay, False)[0])
            return update

        def update_with_momentum(p: Tensor, grad: Tensor) -> None:
            g = -grad._array() if maximize else grad._array()
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            value, moved = sgd_update(p._array(), g, None if buffer is None else buffer._array(), lr, momentum,
                                      dampening, weight_decay, nesterov)
            replace(p, value)
            if buffer is None:
                state["momentum_buffer"] = from_array(moved)
            else:
                replace(buffer, moved)
        return update_with_momentum
