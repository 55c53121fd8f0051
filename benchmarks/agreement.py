"""Whether the tools compute the same: a row that fails here makes the others' comparisons worthless."""
from __future__ import annotations

from typing import Any

import numpy as np

from .loop_workloads import LOOP_WORKLOADS
from .row_workloads import ROW_WORKLOADS
from .tools import PEERS, prepare
from .workloads import WORKLOADS

LOADS = {name: load for name, load in {**WORKLOADS, **ROW_WORKLOADS, **LOOP_WORKLOADS}.items() if load.optimizer is None}


def results(tool: str, workload: str) -> list[np.ndarray]:
    """The value, and where the tool's call returns it also the gradients, in the workload's order."""
    load = LOADS[workload]
    found = prepare(tool, load, "small")()
    if not isinstance(found, tuple):
        return [np.asarray(found.detach())]
    value, gradients = found
    names = load.inputs(**load.sizes["small"])[0]
    return [np.asarray(value), *[np.asarray(gradients[name] if isinstance(gradients, dict) else gradients) for name in names]]


class Agreement:
    """jitgrad's value and gradients beside those of unchanged code, of its interpreter and of the peers, small sizes."""

    params = (["jitgrad", "interpreted", *PEERS], list(LOADS))
    param_names = ("tool", "workload")

    def track_difference(self, tool: str, workload: str) -> Any:
        """The largest difference, relative to the array's largest element.  Raises ValueError above 1e-9."""
        worst = 0.0
        for a, b in zip(results("value_and_grad", workload), results(tool, workload), strict=False):
            worst = max(worst, float(np.max(np.abs(a - b)) / np.max(np.abs(b))))
        if not worst < 1e-9:
            raise ValueError(f"{tool} and jitgrad.value_and_grad differ by {worst} on {workload}")
        return worst


Agreement.track_difference.unit = "relative"        # type: ignore[attr-defined]
