"""Whether the tools compute the same: a row that fails here makes the others' comparisons worthless."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .kernel_workloads import KERNEL_WORKLOADS
from .loop_workloads import LOOP_WORKLOADS
from .row_workloads import ROW_WORKLOADS
from .tools import PEERS, prepare
from .workloads import WORKLOADS, Workload

LOADS = {name: load for name, load in {**WORKLOADS, **ROW_WORKLOADS, **LOOP_WORKLOADS}.items() if load.optimizer is None}


def results(tool: str, load: Workload, size: str = "small") -> list[np.ndarray]:
    """The value and the gradients, in the workload's order."""
    parameters: dict[str, Any] = {}

    def noted(xp: Any, p: Any, c: Any) -> Any:
        parameters.update(p)
        return load.torch_style(xp, p, c)

    found = prepare(tool, replace(load, torch_style=noted), size)()
    if not isinstance(found, tuple):
        return [np.asarray(found.detach()), *[np.asarray(parameter.grad) for parameter in parameters.values()]]
    value, gradients = found
    names = load.inputs(**load.sizes[size])[0]
    return [np.asarray(value), *[np.asarray(gradients[name] if isinstance(gradients, dict) else gradients) for name in names]]


def difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference, relative to the array's largest element."""
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(found, expected, strict=True))


class Agreement:
    """jitgrad's value and gradients beside those of unchanged code, of its interpreter and of the peers, small sizes."""

    params = (["jitgrad", "interpreted", *PEERS], list(LOADS))
    param_names = ("tool", "workload")

    def track_difference(self, tool: str, workload: str) -> Any:
        """The largest difference, relative to the array's largest element.  Raises ValueError above 1e-9."""
        worst = difference(results("value_and_grad", LOADS[workload]), results(tool, LOADS[workload]))
        if not worst < 1e-9:
            raise ValueError(f"{tool} and jitgrad.value_and_grad differ by {worst} on {workload}")
        return worst


Agreement.track_difference.unit = "relative"        # type: ignore[attr-defined]


def slopes(tool: str, load: Workload, size: str) -> tuple[float, float]:
    """The derivative in a random direction, by the gradients and by central differences of the values."""
    rng = np.random.default_rng(1)
    directions = {name: rng.normal(size=x.shape) for name, x in load.inputs(**load.sizes[size])[0].items()}

    def moved(step: float) -> list[np.ndarray]:
        def inputs(**of_size: int) -> Any:
            p, c = load.inputs(**of_size)
            return {name: x + step * directions[name] for name, x in p.items()}, c

        return results(tool, replace(load, inputs=inputs), size)

    by_gradients = sum(float(np.sum(g * d)) for g, d in zip(moved(0.0)[1:], directions.values(), strict=True))
    return by_gradients, (float(moved(1e-5)[0]) - float(moved(-1e-5)[0])) / 2e-5


class KernelAgreement:
    """The same of kernels so small that little but their structure is left, all beside the interpreter."""

    params = (["value_and_grad", *PEERS], list(KERNEL_WORKLOADS))
    param_names = ("tool", "workload")

    def track_difference(self, tool: str, workload: str) -> Any:
        """As above."""
        load = KERNEL_WORKLOADS[workload]
        worst = difference(results(tool, load, "tiny"), results("interpreted", load, "tiny"))
        if not worst < 1e-9:
            raise ValueError(f"{tool} and jitgrad's interpreter differ by {worst} on {workload}")
        return worst


class KernelSlopes:
    """The interpreter's gradients of kernels beside difference quotients."""

    params = (list(KERNEL_WORKLOADS),)
    param_names = ("workload",)

    def track_difference(self, workload: str) -> Any:
        """Relative.  Raises ValueError above 1e-6."""
        found, expected = slopes("interpreted", KERNEL_WORKLOADS[workload], "tiny")
        if not abs(found - expected) < 1e-6 * abs(expected):
            raise ValueError(f"the slope of {workload} is {found} by its gradients, {expected} by differences")
        return abs(found - expected) / abs(expected)


KernelSlopes.track_difference.unit = "relative"         # type: ignore[attr-defined]
KernelAgreement.track_difference.unit = "relative"      # type: ignore[attr-defined]
