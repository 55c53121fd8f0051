"""Loops with much between them: a flow whose pressure is relaxed in each step, columns of a grid solved from both ends, a dynamic
program by element.  JAX's versions are scans, over whole arrays where PyTorch's write parts."""
from __future__ import annotations

from typing import Any

import numpy as np

from .stencil_workloads import count, uniform
from .workloads import Arrays, Workload

STEP, WIDTH, VISCOSITY = 0.001, 0.1, 0.1
INSIDE = (slice(1, -1),) * 2


def _flow_inputs(n: int, steps: int, inner: int) -> tuple[Arrays, Arrays]:
    u, v, p = uniform(*[(n, n)] * 3)
    return {"u": 0.1 * u, "v": 0.1 * v, "p": 0.1 * p}, {"steps": np.zeros(steps), "inner": np.zeros(inner)}


def _across(a: Any) -> Any:
    return (a[1:-1, 2:] - a[1:-1, :-2]) / (2 * WIDTH)


def _down(a: Any) -> Any:
    return (a[2:, 1:-1] - a[:-2, 1:-1]) / (2 * WIDTH)


def _divergence(u: Any, v: Any) -> Any:
    return (_across(u) + _down(v)) / STEP - _across(u) ** 2 - 2 * _down(u) * _across(v) - _down(v) ** 2


def _relaxed(p: Any, source: Any) -> Any:
    return 0.25 * (p[1:-1, 2:] + p[1:-1, :-2] + p[2:, 1:-1] + p[:-2, 1:-1] - WIDTH**2 * source)


def _moved(w: Any, u: Any, v: Any, slope: Any) -> Any:
    middle = w[1:-1, 1:-1]
    around = w[1:-1, 2:] + w[1:-1, :-2] + w[2:, 1:-1] + w[:-2, 1:-1] - 4 * middle
    carried = u[1:-1, 1:-1] * (middle - w[1:-1, :-2]) + v[1:-1, 1:-1] * (middle - w[:-2, 1:-1])
    return middle - STEP / WIDTH * carried - STEP * slope + VISCOSITY * STEP / WIDTH**2 * around


def cavity_flow(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Flow in a box under a moving lid, incompressible: in each step the pressure is relaxed many times."""
    u, v, pressure = p["u"].clone(), p["v"].clone(), p["p"].clone()
    source = xp.zeros_like(u)
    for _ in range(count(c)):
        old_u, old_v = u.clone(), v.clone()
        source[1:-1, 1:-1] = _divergence(old_u, old_v)
        for _ in range(c["inner"].shape[0]):
            old = pressure.clone()
            pressure[1:-1, 1:-1] = _relaxed(old, source[1:-1, 1:-1])
            pressure[:, -1] = pressure[:, -2]
            pressure[0, :] = pressure[1, :]
            pressure[:, 0] = pressure[:, 1]
            pressure[-1, :] = 0
        u[1:-1, 1:-1] = _moved(old_u, old_u, old_v, _across(pressure))
        v[1:-1, 1:-1] = _moved(old_v, old_u, old_v, _down(pressure))
        for w in (u, v):
            w[0, :] = 0
            w[:, 0] = 0
            w[:, -1] = 0
            w[-1, :] = 0
        u[-1, :] = 1
    return xp.sum(u * u) + xp.sum(v * v) + xp.sum(pressure * pressure)


def _cavity_flow_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def relax(_: Any, state: Any) -> Any:
        pressure, source = state
        pressure = pressure.at[INSIDE].set(_relaxed(pressure, source))
        pressure = pressure.at[:, -1].set(pressure[:, -2])
        pressure = pressure.at[0].set(pressure[1])
        return pressure.at[:, 0].set(pressure[:, 1]).at[-1].set(0.0), source

    def still(w: Any) -> Any:
        return w.at[0].set(0.0).at[:, 0].set(0.0).at[:, -1].set(0.0).at[-1].set(0.0)

    def step(_: Any, state: Any) -> Any:
        u, v, pressure = state
        pressure, _ = jax.lax.fori_loop(0, c["inner"].shape[0], relax, (pressure, _divergence(u, v)))
        new_u = still(u.at[INSIDE].set(_moved(u, u, v, _across(pressure))))
        new_v = still(v.at[INSIDE].set(_moved(v, u, v, _down(pressure))))
        return new_u.at[-1].set(1.0), new_v, pressure

    u, v, pressure = jax.lax.fori_loop(0, count(c), step, (p["u"], p["v"], p["p"]))
    return np_.sum(u * u) + np_.sum(v * v) + np_.sum(pressure * pressure)


def _columns(n: int, k: int) -> tuple[Arrays, Arrays]:
    x, w = uniform((n, n, k), (n + 1, n, k))
    return {"x": x, "w": w}, {"zeros": np.zeros((n, n, k))}


def advection(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Implicit transport along the last axis of a grid: a tridiagonal system for each column."""
    x, w, last = p["x"], p["w"], p["x"].shape[2] - 1
    high, right, out = c["zeros"].clone(), c["zeros"].clone(), c["zeros"].clone()
    for k in range(last + 1):
        pivot, known = 2.0, x[:, :, k]
        if k > 0:
            below = -0.1 * (w[1:, :, k] + w[:-1, :, k])
            pivot = pivot - below - below * high[:, :, k - 1].clone()
            known = known - below * right[:, :, k - 1].clone()
        if k < last:
            above = 0.1 * (w[1:, :, k + 1] + w[:-1, :, k + 1])
            pivot = pivot - above
            high[:, :, k] = above / pivot
        right[:, :, k] = known / pivot
    data = right[:, :, last].clone()
    out[:, :, last] = data - x[:, :, last]
    for k in range(last - 1, -1, -1):
        data = right[:, :, k] - high[:, :, k].clone() * data
        out[:, :, k] = data - x[:, :, k]
    return xp.sum(out * out)


def _advection_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    x, w = np_.moveaxis(p["x"], 2, 0), np_.moveaxis(p["w"], 2, 0)
    zero = np_.zeros_like(x[:1])
    flow = 0.1 * (w[1:, 1:] + w[1:, :-1])
    above, below = np_.concatenate([flow, zero]), -np_.concatenate([zero, flow])

    def eliminate(state: Any, row: Any) -> Any:
        (high, right), (above, below, known) = state, row
        pivot = 2.0 - below - below * high - above
        both = above / pivot, (known - below * right) / pivot
        return both, both

    def solve(data: Any, both: Any) -> Any:
        data = both[1] - both[0] * data
        return data, data

    _, both = jax.lax.scan(eliminate, (zero[0], zero[0]), (above, below, x))
    out = jax.lax.scan(solve, zero[0], both, reverse=True)[1] - x
    return np_.sum(out * out)


def _scores(n: int) -> tuple[Arrays, Arrays]:
    return {"x": np.random.default_rng(0).normal(size=(n, n))}, {"zeros": np.zeros((n + 1, n + 1))}


def alignment(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The best alignment of two sequences, gaps at a cost (Needleman and Wunsch, Journal of Molecular Biology 48, 1970)."""
    x, best = p["x"], c["zeros"].clone()
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            best[i + 1, j + 1] = xp.maximum(best[i, j] + x[i, j], xp.maximum(best[i, j + 1] - 0.3, best[i + 1, j] - 0.3))
    return best[-1, -1]


def _alignment_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def cell(left: Any, around: Any) -> Any:
        corner, above, score = around
        new = np_.maximum(corner + score, np_.maximum(above - 0.3, left - 0.3))
        return new, new

    def row(above: Any, scores: Any) -> Any:
        _, new = jax.lax.scan(cell, np_.zeros(()), (above[:-1], above[1:], scores))
        return np_.concatenate([np_.zeros(1), new]), None

    return jax.lax.scan(row, c["zeros"][0], p["x"])[0][-1]


NESTED_WORKLOADS = {
    "cavity_flow": Workload({"tiny": {"n": 6, "steps": 2, "inner": 4}, "small": {"n": 16, "steps": 4, "inner": 5},
                             "medium": {"n": 60, "steps": 40, "inner": 15}}, _flow_inputs, cavity_flow, _cavity_flow_jax),
    "advection": Workload({"tiny": {"n": 3, "k": 6}, "small": {"n": 8, "k": 20}, "medium": {"n": 50, "k": 80}}, _columns, advection,
                          _advection_jax),
    "alignment": Workload({"tiny": {"n": 4}, "small": {"n": 12}, "medium": {"n": 60}}, _scores, alignment, _alignment_jax),
}
