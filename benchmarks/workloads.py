"""The workloads, written once in PyTorch's style and once for JAX; float64, seeded inputs."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """`inputs(**size)` gives what is differentiated and what is constant; `optimizer`: one call is a training step."""

    sizes: dict[str, dict[str, int]]
    inputs: Callable[..., tuple[Arrays, Arrays]]
    torch_style: Callable[[Any, Arrays, Arrays], Any]
    jax_style: Callable[[Any, Arrays, Arrays], Any]
    optimizer: tuple[str, float] | None = None


def _vector(n: int) -> tuple[Arrays, Arrays]:
    return {"x": np.random.default_rng(0).normal(size=n)}, {}


def hello(xp: Any, p: Arrays, c: Arrays) -> Any:
    """x squared: the cost of a call."""
    return p["x"] * p["x"]


def chain(xp: Any, p: Arrays, c: Arrays) -> Any:
    """An elementwise expression and its sum."""
    x = p["x"]
    return xp.sum(xp.tanh(x * 1.5 + 0.1) * xp.exp(-x * x) + xp.log1p(x * x))


def lse(xp: Any, p: Arrays, c: Arrays) -> Any:
    """log-sum-exp."""
    top = xp.max(p["x"])
    return top + xp.log(xp.sum(xp.exp(p["x"] - top)))


def _sgd_inputs() -> tuple[Arrays, Arrays]:
    return {"x": np.array(0.0)}, {"a": np.array(1.0), "b": np.array(-2.0), "c": np.array(1.0)}


def quadratic(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A parabola."""
    return c["a"] * p["x"] ** 2 + c["b"] * p["x"] + c["c"]


def _rosenbrock_inputs(n: int) -> tuple[Arrays, Arrays]:
    return {"x": np.linspace(-1, 1, n)}, {}


def rosenbrock(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Rosenbrock's function."""
    x = p["x"]
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _mlp_inputs(batch: int, width: int) -> tuple[Arrays, Arrays]:
    rng = np.random.default_rng(0)
    p = {}
    for i, (rows, columns) in enumerate(((10, width), (width, width), (width, 1))):
        p[f"w{i}"] = rng.normal(size=(rows, columns)) / rows**0.5
        p[f"b{i}"] = rng.normal(size=columns) / 10
    return p, {"x": rng.normal(size=(batch, 10)), "y": rng.normal(size=(batch, 1))}


def mlp(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A network with two hidden layers and its mean squared error."""
    h = xp.tanh(c["x"] @ p["w0"] + p["b0"])
    h = xp.tanh(h @ p["w1"] + p["b1"])
    return xp.mean((h @ p["w2"] + p["b2"] - c["y"]) ** 2)


WORKLOADS = {
    "hello": Workload({"small": {}, "large": {}}, lambda: ({"x": np.array(3.0)}, {}), hello, hello),
    "chain": Workload({"small": {"n": 1000}, "large": {"n": 1_000_000}}, _vector, chain, chain),
    "lse": Workload({"small": {"n": 2500}, "large": {"n": 1_000_000}}, _vector, lse, lse),
    "rosenbrock": Workload({"small": {"n": 100}, "large": {"n": 100_000}}, _rosenbrock_inputs, rosenbrock, rosenbrock),
    "sgd": Workload({"small": {}, "large": {}}, _sgd_inputs, quadratic, quadratic, ("SGD", 0.01)),
    "mlp": Workload({"small": {"batch": 64, "width": 32}, "large": {"batch": 1024, "width": 256}}, _mlp_inputs,
                    mlp, mlp, ("Adam", 1e-3)),
}
