"""Recurrences: factorisations and solves over growing slices, filters by sample, time steps of a few numbers, and the smallest
programs that show what a loop costs.  JAX's versions are loops of jax.lax over whole arrays, masked where slices grow."""
from __future__ import annotations

from typing import Any

import numpy as np

from .nested_workloads import NESTED_WORKLOADS
from .stencil_workloads import STENCIL_WORKLOADS, count, uniform
from .workloads import Arrays, Workload


def _definite(n: int) -> tuple[Arrays, Arrays]:
    return {"x": uniform((n, n))[0] * 0.1 + n * np.eye(n)}, {}


def cholesky(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Cholesky's factorisation in place, by element, of the lower triangle."""
    a, n = p["x"].clone(), p["x"].shape[0]
    for i in range(n):
        for j in range(i):
            a[i, j] -= a[i, :j].clone() @ a[j, :j].clone()
            a[i, j] /= a[j, j].clone()
        a[i, i] -= a[i, :i].clone() @ a[i, :i].clone()
        a[i, i] = xp.sqrt(a[i, i].clone())
    return xp.sum(a * a)


def _cholesky_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    """By columns; a column is solved for by one product with all before it."""
    import jax
    a, n = p["x"], p["x"].shape[0]

    def column(j: Any, low: Any) -> Any:
        rest = a[:, j] - low @ low[j]
        return low.at[:, j].set(np_.where(np_.arange(n) >= j, rest / np_.sqrt(rest[j]), 0.0))

    low = jax.lax.fori_loop(0, n, column, np_.zeros_like(a))
    both = low + np_.triu(a, 1)
    return np_.sum(both * both)


def _triangle(n: int) -> tuple[Arrays, Arrays]:
    low, b = uniform((n, n), (n,))
    return {"low": low / n + np.eye(n), "b": b}, {"zeros": np.zeros(n)}


def triangular_solve(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Forward substitution."""
    low, b, x = p["low"], p["b"], c["zeros"].clone()
    for i in range(x.shape[0]):
        x[i] = (b[i] - low[i, :i] @ x[:i].clone()) / low[i, i]
    return xp.sum(x * x)


def _triangular_solve_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    low, b = p["low"], p["b"]
    x = jax.lax.fori_loop(0, b.shape[0], lambda i, x: x.at[i].set((b[i] - low[i] @ x) / low[i, i]), c["zeros"])
    return np_.sum(x * x)


def _correlations(n: int) -> tuple[Arrays, Arrays]:
    return {"r": (uniform((n,))[0] - 1.0) / n}, {"zeros": np.zeros(n)}


def durbin(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The Yule-Walker equations by Durbin's recursion (Golub and Van Loan, section 4.7)."""
    r, y = p["r"], c["zeros"].clone()
    y[0] = -r[0]
    alpha, beta = -r[0], 1.0
    for k in range(1, y.shape[0]):
        beta = (1.0 - alpha * alpha) * beta
        before = xp.flip(y[:k], (0,))
        alpha = -(r[k] + r[:k] @ before) / beta
        y[:k] += alpha * before
        y[k] = alpha
    return xp.sum(y * y)


def _durbin_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    r, n = p["r"], p["r"].shape[0]

    def step(state: Any, k: Any) -> Any:
        y, alpha, beta = state
        beta = (1.0 - alpha * alpha) * beta
        before = jax.lax.dynamic_slice(np_.concatenate([y[::-1], c["zeros"]]), (n - k,), (n,))
        alpha = -(r[k] + r @ before) / beta
        return ((y + alpha * before).at[k].set(alpha), alpha, beta), None

    (y, _, _), _ = jax.lax.scan(step, (c["zeros"].at[0].set(-r[0]), -r[0], np_.ones(())), np_.arange(1, n))
    return np_.sum(y * y)


def _rank_k(n: int, k: int) -> tuple[Arrays, Arrays]:
    return dict(zip("ca", uniform((n, n), (n, k)), strict=True)), {}


def syrk(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A symmetric update of rank k, of the lower triangle, row by row and rank by rank."""
    a, out = p["a"], p["c"].clone()
    for i in range(a.shape[0]):
        out[i, :i + 1] *= 0.9
        for k in range(a.shape[1]):
            out[i, :i + 1] += 1.1 * a[i, k] * a[:i + 1, k]
    return xp.sum(out * out)


def _syrk_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    """The sum over ranks is a product of a matrix and a row."""
    import jax
    a = p["a"]
    at = np_.arange(a.shape[0])

    def row(_: Any, rows: Any) -> Any:
        i, old, of_a = rows
        return None, np_.where(at <= i, 0.9 * old + 1.1 * (a @ of_a), old)

    _, out = jax.lax.scan(row, None, (at, p["c"], a))
    return np_.sum(out * out)


def _vector(n: int) -> tuple[Arrays, Arrays]:
    return {"x": uniform((n,))[0]}, {}


def recurrence(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Each element from the one before it, written twice."""
    a = p["x"].clone()
    for i in range(1, a.shape[0]):
        a[i] += a[i - 1]
        a[i] /= 9.0
    return xp.sum(a * a)


def _recurrence_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def step(before: Any, x: Any) -> Any:
        before = (x + before) / 9.0
        return before, before

    x = p["x"]
    _, a = jax.lax.scan(step, x[0], x[1:])
    return np_.sum(a * a) + x[0] * x[0]


def _samples(n: int) -> tuple[Arrays, Arrays]:
    return {"b": np.array([0.2, 0.3, 0.1]), "a": np.array([-0.5, 0.25])}, {"x": uniform((n,))[0], "zeros": np.zeros(n)}


def iir(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A filter of second order with infinite response, transposed direct form II, by sample."""
    (b0, b1, b2), (a1, a2), x, out = p["b"], p["a"], c["x"], c["zeros"].clone()
    first = second = 0.0
    for k in range(out.shape[0]):
        y = b0 * x[k] + first
        first = b1 * x[k] - a1 * y + second
        second = b2 * x[k] - a2 * y
        out[k] = y
    return xp.sum(out * out)


def _iir_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    (b0, b1, b2), (a1, a2) = p["b"], p["a"]

    def step(state: Any, x: Any) -> Any:
        y = b0 * x + state[0]
        return (b1 * x - a1 * y + state[1], b2 * x - a2 * y), y

    _, out = jax.lax.scan(step, (np_.zeros(()), np_.zeros(())), c["x"])
    return np_.sum(out * out)


def _swing(steps: int) -> tuple[Arrays, Arrays]:
    return {"x": np.array([0.3, 0.1]), "g": np.array(9.8)}, {"steps": np.zeros(steps)}


def _rk4_step(f: Any, y: Any) -> Any:
    k1 = f(y)
    k2 = f(y + 0.005 * k1)
    k3 = f(y + 0.005 * k2)
    k4 = f(y + 0.01 * k3)
    return y + (0.01 / 6) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def rk4(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A pendulum by the classical method of Runge and Kutta."""
    y = p["x"]
    for _ in range(count(c)):
        y = _rk4_step(lambda y: xp.stack([y[1], -p["g"] * xp.sin(y[0])]), y)
    return xp.sum(y * y)


def _rk4_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    f = lambda y: np_.stack([y[1], -p["g"] * np_.sin(y[0])])        # noqa: E731
    y = jax.lax.fori_loop(0, count(c), lambda _, y: _rk4_step(f, y), p["x"])
    return np_.sum(y * y)


def _observations(n: int) -> tuple[Arrays, Arrays]:
    walk = np.cumsum(np.random.default_rng(0).normal(size=n))
    c = {"y": walk, "f": np.array([[1.0, 0.1], [0.0, 0.95]]), "mean": np.zeros(2), "cov": np.eye(2)}
    return {"q": np.array([0.1, 0.2]), "r": np.array(0.5)}, c


def _kalman_step(log: Any, f: Any, noise: Any, r: Any, y: Any, mean: Any, cov: Any) -> tuple[Any, Any, Any]:
    """Kalman's prediction and update of position and speed, the position observed; also the observation's log-likelihood, but
    for the constant."""
    mean = f @ mean
    cov = f @ cov @ f.T + noise
    spread, error = cov[0, 0] + r, y - mean[0]
    gain = cov[:, 0] / spread
    mean = mean + gain * error
    cov = cov - gain[:, None] * cov[0]
    return mean, cov, -0.5 * (log(spread) + error * error / spread)


def kalman(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The negative log-likelihood of a series by Kalman's filter."""
    mean, cov, total = c["mean"], c["cov"], 0.0
    noise = c["cov"] * p["q"]
    for k in range(c["y"].shape[0]):
        mean, cov, one = _kalman_step(xp.log, c["f"], noise, p["r"], c["y"][k], mean, cov)
        total = total - one
    return total


def _kalman_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    noise = c["cov"] * p["q"]

    def step(state: Any, y: Any) -> Any:
        mean, cov, one = _kalman_step(np_.log, c["f"], noise, p["r"], y, *state)
        return (mean, cov), one

    return -np_.sum(jax.lax.scan(step, (c["mean"], c["cov"]), c["y"])[1])


def _scaled(n: int, steps: int) -> tuple[Arrays, Arrays]:
    return {"x": uniform((n,))[0]}, {"steps": np.zeros(steps), "zeros": np.zeros((steps, n))}


def shrink(xp: Any, p: Arrays, c: Arrays) -> Any:
    """The interior of a vector, scaled in place again and again."""
    a = p["x"].clone()
    for _ in range(count(c)):
        a[1:-1] = a[1:-1] * 0.5
    return xp.sum(a * a)


def _shrink_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    a = jax.lax.fori_loop(0, count(c), lambda _, a: a.at[1:-1].multiply(0.5), p["x"])
    return np_.sum(a * a)


def states(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Each state of a process, written to its row of a table."""
    state, out = p["x"], c["zeros"].clone()
    for k in range(count(c)):
        state = state * 0.9
        out[k] = state
    return xp.sum(out * out)


def _states_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    _, out = jax.lax.scan(lambda state, _: (state * 0.9,) * 2, p["x"], length=count(c))
    return np_.sum(out * out)


def diagonal(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A sum over a diagonal, read element by element."""
    total = 0.0
    for i in range(count(c)):
        total = total + xp.tanh(p["x"][i, i])
    return total


def _diagonal_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    return jax.lax.fori_loop(0, count(c), lambda i, total: total + np_.tanh(p["x"][i, i]), np_.zeros(()))


def _table(n: int, steps: int) -> tuple[Arrays, Arrays]:
    return {"x": uniform((n, n))[0]}, {"steps": np.zeros(steps)}


RECURRENCE_WORKLOADS = {
    "cholesky": Workload({"tiny": {"n": 5}, "small": {"n": 12}, "medium": {"n": 40}}, _definite, cholesky, _cholesky_jax),
    "triangular_solve": Workload({"tiny": {"n": 6}, "small": {"n": 60}, "medium": {"n": 400}}, _triangle, triangular_solve,
                                 _triangular_solve_jax),
    "durbin": Workload({"tiny": {"n": 6}, "small": {"n": 60}, "medium": {"n": 1000}}, _correlations, durbin, _durbin_jax),
    "syrk": Workload({"tiny": {"n": 5, "k": 3}, "small": {"n": 15, "k": 8}, "medium": {"n": 60, "k": 40}}, _rank_k, syrk, _syrk_jax),
    "iir": Workload({"tiny": {"n": 8}, "small": {"n": 100}, "medium": {"n": 3000}}, _samples, iir, _iir_jax),
    "kalman": Workload({"tiny": {"n": 6}, "small": {"n": 50}, "medium": {"n": 1000}}, _observations, kalman, _kalman_jax),
}


def _sizes(tiny: dict[str, int], small: dict[str, int], medium: dict[str, int], of_steps: Any) -> dict[str, dict[str, int]]:
    return {"tiny": tiny, "small": small, "medium": medium, **{str(steps): of_steps(steps) for steps in STEPS}}


# The smallest programs, each one cost of a loop: writing a slice over itself, rows of a result, reads by element, a recurrence
# of numbers, many operations a step.  Also of 50 steps, 200 and 1,000, which should compile the same.
STEPS = (50, 200, 1000)
MINIMAL_WORKLOADS = {
    "shrink": Workload(_sizes({"n": 8, "steps": 5}, {"n": 100, "steps": 200}, {"n": 1000, "steps": 4000},
                              lambda steps: {"n": 100, "steps": steps}), _scaled, shrink, _shrink_jax),
    "states": Workload(_sizes({"n": 4, "steps": 6}, {"n": 100, "steps": 200}, {"n": 100, "steps": 1000},
                              lambda steps: {"n": 100, "steps": steps}), _scaled, states, _states_jax),
    "diagonal": Workload(_sizes({"n": 8, "steps": 8}, {"n": 400, "steps": 200}, {"n": 500, "steps": 500},
                                lambda steps: {"n": 1000, "steps": steps}), _table, diagonal, _diagonal_jax),
    "recurrence": Workload(_sizes({"n": 8}, {"n": 200}, {"n": 2000}, lambda steps: {"n": steps + 1}), _vector, recurrence,
                           _recurrence_jax),
    "rk4": Workload(_sizes({"steps": 4}, {"steps": 50}, {"steps": 600}, lambda steps: {"steps": steps}), _swing, rk4, _rk4_jax),
}

KERNEL_WORKLOADS = {**STENCIL_WORKLOADS, **NESTED_WORKLOADS, **RECURRENCE_WORKLOADS, **MINIMAL_WORKLOADS}
