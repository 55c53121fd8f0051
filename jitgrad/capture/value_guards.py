"""What Python saw of tensors while a function was captured, compared with what it would see at a replay."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.capture.replays.captured_graph import CapturedGraph, Given, run
from jitgrad.graph.node import Node
from jitgrad.requests import execute


class Looks:
    """What Python saw of computed values during a capture.  `differ(inputs)`: whether it would see another."""

    def __init__(self, template: CapturedGraph, values: list[np.ndarray]) -> None:
        self.template = template
        self._seen = values
        self._values: list[bytes] | None = None

    def differ(self, inputs: Sequence[Given]) -> bool:
        """Computes the values by a program of their own."""
        template = self.template
        for leaf, given in zip(template.leaves, inputs, strict=True):
            if leaf is not None and type(given) is Node:
                execute.value(given)
        plan = template.values(inputs)
        if plan is None:
            real = template.instantiate(inputs)
            now: list[Any] = [execute.value(real[i]) for i in template.outputs]
        else:
            results = run(plan, inputs)
            now = [results[k] for k in plan.places]
        content = [a.tobytes() for a in now]
        if self._values is None:
            # At the end of the capture: the interpreter, which Python looked at, may round otherwise than the program.
            self._values = content
            return not all([np.allclose(a, b, rtol=1e-4, equal_nan=True) if b.dtype.kind == "f" else np.array_equal(a, b)
                            for a, b in zip(now, self._seen, strict=True)])
        return content != self._values
