"""Optimizers that count the steps of each parameter, and keep tensors of its shape for it."""
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from jitgrad.optim.optimizer import Group, Optimizer
from jitgrad.optim.rows import Row, Rule
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import float32, float64, get_default_dtype


class CountedOptimizer(Optimizer):
    """Says what is kept for a parameter (`_kept`); its rule is that of Optimizer, of the parameter and what is kept, in order."""

    _kept: ClassVar[tuple[str, ...]] = ()

    def _names(self, group: Group) -> tuple[str, ...]:
        """What is kept for the parameters of a group."""
        return self._kept

    def _start(self, group: Group, p: Tensor) -> float:
        """What it starts with."""
        return 0.0

    def _begin(self, group: Group, p: Tensor, count: Tensor) -> None:
        """Give a parameter its state, all at once."""
        start = self._start(group, p)
        on = p._node.spec.type.device
        self.state[p].update({"step": count, **{name: from_array(np.full(p.shape, start, p.dtype.np), device=on)
                                                for name in self._names(group)}})

    def _updates(self, group: Group) -> Sequence[tuple[Rule, list[Row]]]:
        names, rule = self._names(group), self._setting(group, 1.0)[0]
        rows: list[Row] = []
        counted: dict[int, tuple[float, ...]] = {}      # by identity of the tensor that counts the steps
        count: Tensor | None = None
        self._part(group["params"])
        for p in group["params"]:
            if p._grad is None:
                continue
            state = self.state[p]
            if not state:
                count = new_count() if count is None else count         # Parameters that start together share it: see _part.
                self._begin(group, p, count)
            step = state["step"]
            numbers = counted.get(id(step))
            if numbers is None:
                after = step._array() + 1
                step._replace(np.asarray(after))
                numbers = counted[id(step)] = self._setting(group, float(after))[1]
            rows.append(Row(p._grad._stored(), (p, *[state[name] for name in names]), numbers, state, step))
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


def new_count() -> Tensor:
    """A count of steps, at 0."""
    return from_array(np.zeros((), (float64 if get_default_dtype() is float64 else float32).np))
