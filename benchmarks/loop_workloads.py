"""Python loops of equal steps: an ordinary differential equation by RK4, and an LSTM.  JAX's versions use lax.scan."""
from __future__ import annotations

from typing import Any

import numpy as np

from .workloads import Arrays, Workload


def _ode_inputs(n: int, steps: int) -> tuple[Arrays, Arrays]:
    return {"x": np.random.default_rng(0).random(n)}, {"y": np.zeros(n), "times": np.zeros(steps)}


def _rk4(f: Any, y: Any, h: float) -> Any:
    k1 = f(y)
    k2 = f(y + (h / 2) * k1)
    k3 = f(y + (h / 2) * k2)
    k4 = f(y + h * k3)
    return y + (h / 6) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def ode(xp: Any, p: Arrays, c: Arrays) -> Any:
    """y0' = x0, yi' = xi y(i-1) to time 2, summed."""
    x, y, steps = p["x"], c["y"], c["times"].shape[0]
    for _ in range(steps):
        y = _rk4(lambda y: xp.cat([x[:1], x[1:] * y[:-1]]), y, 2.0 / steps)
    return xp.sum(y)


def _ode_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    x, steps = p["x"], c["times"].shape[0]

    def step(y: Any, _: Any) -> Any:
        return _rk4(lambda y: np_.concatenate([x[:1], x[1:] * y[:-1]]), y, 2.0 / steps), None

    return np_.sum(jax.lax.scan(step, c["y"], c["times"])[0])


def _lstm_inputs(steps: int, width: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(0)
    p = {"w": rng.normal(size=(width, 4 * width)) / width**0.5, "u": rng.normal(size=(width, 4 * width)) / width**0.5,
         "b": np.zeros(4 * width)}
    return p, {"x": rng.normal(size=(steps, width)), "zero": np.zeros(width)}


def _cell(tanh: Any, sigmoid: Any, p: Arrays, x: Any, h: Any, s: Any) -> tuple[Any, Any]:
    """Hochreiter and Schmidhuber's cell with forget gate (Gers et al. 2000): the new output and state."""
    n = h.shape[0]
    gates = x @ p["w"] + h @ p["u"] + p["b"]
    s = sigmoid(gates[n:2 * n]) * s + sigmoid(gates[:n]) * tanh(gates[2 * n:3 * n])
    return sigmoid(gates[3 * n:]) * tanh(s), s


def lstm(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The squared last output of an LSTM over tiny vectors."""
    h = s = c["zero"]
    for i in range(c["x"].shape[0]):
        h, s = _cell(xp.tanh, xp.sigmoid, p, c["x"][i], h, s)
    return xp.sum(h * h)


def _lstm_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def step(state: Any, x: Any) -> Any:
        return _cell(np_.tanh, jax.nn.sigmoid, p, x, *state), None

    (h, _), _ = jax.lax.scan(step, (c["zero"], c["zero"]), c["x"])
    return np_.sum(h * h)


def _pendulum_inputs(steps: int) -> tuple[Arrays, Arrays]:
    return {"state": np.array([0.3, 0.1]), "k": np.array(2.0)}, {"times": np.zeros(steps)}


def pendulum(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A pendulum by the symplectic Euler method: eight operations a step, on scalars."""
    angle, speed = p["state"][0], p["state"][1]
    for _ in range(c["times"].shape[0]):
        speed = speed - 0.01 * p["k"] * xp.sin(angle)
        angle = angle + 0.01 * speed
    return angle * angle + speed


def _pendulum_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def step(state: Any, _: Any) -> Any:
        angle, speed = state
        speed = speed - 0.01 * p["k"] * np_.sin(angle)
        return (angle + 0.01 * speed, speed), None

    (angle, speed), _ = jax.lax.scan(step, (p["state"][0], p["state"][1]), c["times"])
    return angle * angle + speed


LOOP_WORKLOADS = {
    "ode": Workload({"small": {"n": 1000, "steps": 10}, "large": {"n": 10_000, "steps": 100}}, _ode_inputs, ode, _ode_jax),
    "lstm": Workload({"small": {"steps": 16, "width": 4}, "large": {"steps": 128, "width": 4}}, _lstm_inputs, lstm, _lstm_jax),
}

# Graphs that are cut in stretches to be compiled: 16,000 and 100,000 operations.
LONG_WORKLOADS = {
    "pendulum": Workload({"small": {"steps": 2000}, "large": {"steps": 12_500}}, _pendulum_inputs, pendulum, _pendulum_jax),
}
