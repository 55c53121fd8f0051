"""Row-wise work: softmax, layer norm, cross entropy, the maximum of each row, gathered rows, sums over the leading axis."""
from __future__ import annotations

from typing import Any

import numpy as np

from .workloads import Arrays, Workload

SIZES = {"small": {"rows": 32, "columns": 50}, "large": {"rows": 4000, "columns": 250}}


def _matrix(rows: int, columns: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(rows, columns))}, {"w": rng.normal(size=(rows, columns))}


def softmax(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A weighted sum of softmaxes."""
    return xp.sum(xp.softmax(p["x"], 1) * c["w"])


def _softmax_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    return np_.sum(jax.nn.softmax(p["x"], 1) * c["w"])


def _norm_inputs(rows: int, columns: int) -> tuple[Arrays, Arrays]:
    p, c = _matrix(rows, columns)
    return {**p, "scale": np.linspace(0.5, 1.5, columns), "shift": np.linspace(-1, 1, columns)}, c


def layer_norm(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Layer normalization with scale and shift, spelled out."""
    x = p["x"]
    centred = x - xp.mean(x, 1)[:, None]
    y = centred / xp.sqrt(xp.mean(centred * centred, 1)[:, None] + 1e-5)
    return xp.sum((y * p["scale"] + p["shift"]) * c["w"])


def _labelled(rows: int, columns: int) -> tuple[Arrays, Arrays]:
    return _matrix(rows, columns)[0], {"label": np.random.default_rng(1).integers(0, columns, rows)}


def cross_entropy(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The mean cross entropy of integer labels."""
    return xp.nn.functional.cross_entropy(p["x"], c["label"])


def _cross_entropy_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    picked = np_.take_along_axis(jax.nn.log_softmax(p["x"], 1), c["label"][:, None], 1)
    return -np_.mean(picked)


def row_maximum(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The largest element of each row, squared and summed."""
    top = xp.max(p["x"], 1)[0]
    return xp.sum(top * top)


def _row_maximum_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    top = np_.max(p["x"], 1)
    return np_.sum(top * top)


def _indexed(rows: int, columns: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(2)
    return {"x": rng.normal(size=(max(rows // 4, 2), columns))}, {"index": rng.integers(0, max(rows // 4, 2), rows)}


def gathered_rows(xp: Any, p: Arrays, c: Arrays) -> Any:
    """An embedding: rows taken by index; the gradient adds up where indices repeat."""
    taken = p["x"][c["index"]]
    return xp.sum(xp.tanh(taken) * taken)


def column_sums(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Sums over the leading axis."""
    totals = xp.sum(xp.exp(p["x"]) * c["w"], 0)
    return xp.sum(totals * totals)


ROW_WORKLOADS = {
    "softmax": Workload(SIZES, _matrix, softmax, _softmax_jax),
    "layer_norm": Workload(SIZES, _norm_inputs, layer_norm, layer_norm),
    "cross_entropy": Workload(SIZES, _labelled, cross_entropy, _cross_entropy_jax),
    "row_maximum": Workload(SIZES, _matrix, row_maximum, _row_maximum_jax),
    "gathered_rows": Workload(SIZES, _indexed, gathered_rows, gathered_rows),
    "column_sums": Workload(SIZES, _matrix, column_sums, column_sums),
}
