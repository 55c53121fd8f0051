"""LRScheduler: what all learning rate schedules have in common."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad import tracing
from jitgrad.optim.optimizer import Optimizer, number
from jitgrad.tensors.tensor import Tensor


class LRScheduler:
    """Sets the rates of all groups at each `step`.  last_epoch: the number of steps so far, -1 to start anew."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)        # type: ignore[attr-defined]
            elif "initial_lr" not in group:
                raise KeyError("param 'initial_lr' is not specified in "
                               f"param_groups[{i}] when resuming scheduler with last_epoch >= 0")
        self.optimizer = optimizer
        self.base_lrs = [number(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name not in ("optimizer", "_is_initial")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state_dict."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that were set last."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The rates of the current step."""
        raise NotImplementedError

    def _rates(self) -> list[float]:
        return [number(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to a given one."""
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", None)
            values = self.get_lr() if closed is None else closed()
        self._set(values)

    def _set(self, values: Sequence[float]) -> None:
        tracing.refuse("sets learning rates")
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)           # type: ignore[attr-defined]
            else:
                group["lr"] = lr
        self._last_lr = self._rates()
