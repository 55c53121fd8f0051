"""Programs of loops whose slices grow or shrink with the step: factorisations, solves, recursions, sums of what came before."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Program = Callable[[Any, Any, Any], Any]        # of PyTorch's namespace, a matrix and a vector


def solve(t: Any, a: Any, b: Any) -> Any:
    x = t.zeros(len(b), dtype=b.dtype)
    for i in range(len(b)):
        x[i] = (b[i] - a[i, :i] @ x[:i].clone()) / a[i, i]
    return (x * x).sum()


def solve_from_the_end(t: Any, a: Any, b: Any) -> Any:
    x = t.zeros(len(b), dtype=b.dtype)
    for i in reversed(range(len(b))):
        x[i] = (b[i] - (a[i, i + 1:] * x[i + 1:].clone()).sum()) / a[i, i]
    return (x * x).sum()


def cholesky(t: Any, a: Any, b: Any) -> Any:
    low, n = t.zeros(len(b), len(b), dtype=b.dtype), len(b)
    for j in range(n):
        low[j, j] = t.sqrt(a[j, j] - (low[j, :j].clone() ** 2).sum())
        low[j + 1:, j] = (a[j + 1:, j] - low[j + 1:, :j].clone() @ low[j, :j].clone()) / low[j, j].clone()
    return (low ** 3).sum()


def lu(t: Any, a: Any, b: Any) -> Any:
    a = a.clone()
    for k in range(len(b) - 1):
        a[k + 1:, k] = a[k + 1:, k].clone() / a[k, k].clone()
        a[k + 1:, k + 1:] = a[k + 1:, k + 1:].clone() - t.outer(a[k + 1:, k].clone(), a[k, k + 1:].clone())
    return (a * a).sum()


def durbin(t: Any, a: Any, b: Any) -> Any:
    r = b / len(b)
    y = t.zeros(len(b), dtype=b.dtype)
    y[0] = alpha = -r[0]
    beta = 1.0
    for k in range(1, len(b)):
        beta = (1.0 - alpha * alpha) * beta
        before = t.flip(y[:k], (0,))
        alpha = -(r[k] + t.dot(r[:k], before)) / beta
        y[:k] += alpha * before
        y[k] = alpha
    return (y * y).sum()


def gram_schmidt(t: Any, a: Any, b: Any) -> Any:
    q = t.zeros(len(b), len(b), dtype=b.dtype)
    for k in range(len(b)):
        before = q[:, :k].clone()
        v = a[:, k] - before @ (before.T @ a[:, k])
        q[:, k] = v / t.sqrt((v * v).sum())
    return (q * b).sum()


def products_of_matrices(t: Any, a: Any, b: Any) -> Any:
    total = 0.0
    for k in range(len(b)):
        total = total + (t.tanh(a[k:, :k + 1]) @ a[:k + 1, k:]).mean()
    return total


def returns(t: Any, a: Any, b: Any) -> Any:
    found = []
    for i in range(len(b)):
        found.append((b[i:] * a[0, :len(b) - i]).sum())
    return (t.stack(found) ** 2).sum()


def attention(t: Any, a: Any, b: Any) -> Any:
    rows = []
    for i in range(len(b)):
        rows.append(t.softmax(a[i, :4] @ a[:i + 1, :4].T, -1) @ a[:i + 1, 1:5])
    return (t.stack(rows) ** 2).sum()


def extrema(t: Any, a: Any, b: Any) -> Any:
    found = t.zeros(len(b), dtype=b.dtype)
    for i in range(1, len(b)):
        found[i] = t.amin(b[:i]) + t.amax(b[i:])
    return (found * b).sum()


def pairs(t: Any, a: Any, b: Any) -> Any:
    x, total = b.clone(), 0.0
    for i in range(len(b)):
        for j in range(i):
            total = total + t.tanh(x[i].clone() * b[j])
        x[i] = total * 0.1
    return total + x.sum()


def by_element(t: Any, a: Any, b: Any) -> Any:
    a = a.clone()
    for i in range(len(b)):
        for j in range(i):
            a[i, j] = (a[i, j].clone() - a[i, :j].clone() @ a[j, :j].clone()) / a[j, j].clone()
        a[i, i] = t.sqrt(a[i, i].clone() - a[i, :i].clone() @ a[i, :i].clone())
    return (a * a).sum()


def longer_states(t: Any, a: Any, b: Any) -> Any:
    h = b[:2]
    for k in range(2, len(b)):
        h = t.cat([t.tanh(h), (h * a[k, :k]).sum().reshape(1)])
    return (h * b).sum()


def shorter_states(t: Any, a: Any, b: Any) -> Any:
    h = b
    for k in range(len(b) - 1):
        h = t.sin(h[1:]) + 0.5 * h[:-1] * a[k, k + 1:]
    return h.sum()


PROGRAMS: dict[str, Program] = {f.__name__: f for f in (
    solve, solve_from_the_end, cholesky, lu, durbin, gram_schmidt, products_of_matrices, returns, attention, extrema, pairs,
    by_element, longer_states, shorter_states)}
QUICK = ("solve", "cholesky", "lu", "durbin", "products_of_matrices", "attention", "pairs", "longer_states", "shorter_states")


def results(t: Any, f: Program, n: int) -> list[np.ndarray]:
    """The value and the gradients."""
    rng = np.random.default_rng(n)
    a = t.tensor(rng.uniform(size=(n, n)) * 0.1 + 2 * np.eye(n), dtype=t.float64, requires_grad=True)
    b = t.tensor(rng.uniform(0.5, 1.0, size=n), dtype=t.float64, requires_grad=True)
    value = f(t, a, b)
    value.backward()
    return [value.detach().numpy(), *[np.zeros(1) if x.grad is None else x.grad.numpy() for x in (a, b)]]
