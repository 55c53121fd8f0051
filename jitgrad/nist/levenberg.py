"""Levenberg-Marquardt with exact Jacobians.

The trust-region form of J. J. More, "The Levenberg-Marquardt algorithm: implementation and theory" (1978): steps are
bounded in the norm that weighs each parameter by the largest norm its column of the Jacobian has had.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jitgrad.capture.jacobians import value_and_jacobian
from jitgrad.tensors.tensor import Tensor

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Fit:
    """Where a fit ended.  residual: sum of squares; iterations: steps taken; evaluations: Jacobians computed."""

    values: np.ndarray
    residual: float
    iterations: int
    evaluations: int
    converged: bool


@functools.lru_cache(maxsize=50)
def predictions(model: Callable[..., Tensor]) -> Callable[[Sequence[float] | np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function of the parameters that gives the model's predictions (count,) and their derivatives (count, parameters)."""
    @functools.wraps(model)
    def predicted(parameters: Tensor) -> Tensor:
        return model(*parameters.unbind(0))         # type: ignore[attr-defined]

    return value_and_jacobian(predicted)


class _Point(NamedTuple):
    """The model at some parameters."""

    x: np.ndarray
    residuals: np.ndarray
    jac: np.ndarray
    norm: float         # of the residuals
    finite: bool


def least_squares(model: Callable[..., Tensor], response: np.ndarray, start: Sequence[float], *, limit: int = 2000,
                  tolerance: float = EPSILON, factor: float = 100.0) -> Fit:
    """The parameters that minimise the sum of squares of model(*parameters) - response, from `start`.

    Ends when neither the step nor the expected reduction can change anything at `tolerance`, or after `limit`
    evaluations.  factor: the first step's bound, in units of the scaled start.
    Raises ValueError where the model or its derivative is not finite at the start."""
    evaluations = 0
    predicted_and_jacobian = predictions(model)

    def at(x: np.ndarray) -> _Point:
        nonlocal evaluations
        evaluations += 1
        predicted, jac = predicted_and_jacobian(x)
        residuals = predicted - response
        norm = float(np.linalg.norm(residuals))
        return _Point(x, residuals, jac, norm, bool(np.isfinite(norm) and np.isfinite(jac).all()))

    with np.errstate(all="ignore"):         # a trial step may overflow: it is refused
        here = at(np.array(start, np.float64))
        if not here.finite:
            raise ValueError(f"least_squares: the model or its derivative is not finite at the start {tuple(start)}")
        scale = _column_norms(here.jac)
        scale[scale == 0] = 1.0
        bound = factor * (float(np.linalg.norm(scale * here.x)) or 1.0)
        iterations, converged = 0, here.norm == 0
        local: _Local | None = None
        while not converged and evaluations < limit:
            local = local or _Local(here, scale)
            damping, step = local.step(bound)
            length = float(np.linalg.norm(step))
            if iterations == 0:
                bound = min(bound, length)
            there = at(here.x + step / scale)
            # Reductions of the sum of squares, relative to it: actual, and as the linear model expects
            actual = 1.0 - (there.norm / here.norm) ** 2 if there.finite and 0.1 * there.norm < here.norm else -1.0
            linear = (local.change(step) / here.norm) ** 2
            damped = damping * (length / here.norm) ** 2
            expected = linear + 2 * damped
            ratio = actual / expected if expected > 0 else 0.0
            if ratio <= 0.25:
                bound = _shrinkage(actual, linear + damped, there, here) * min(bound, 10 * length)
            elif damping == 0 or ratio >= 0.75:
                bound = 2 * length
            if there.finite and ratio >= 1e-4:
                here, local = there, None
                iterations += 1
                scale = np.maximum(scale, _column_norms(here.jac))
            converged = ((abs(actual) <= tolerance and expected <= tolerance and ratio <= 2)
                         or bound <= tolerance * float(np.linalg.norm(scale * here.x)) or here.norm == 0)
        if converged:
            here, more = _refine(here, scale, at)
            iterations += more
    return Fit(here.x, here.norm**2, iterations, evaluations, converged)


def _shrinkage(actual: float, slope: float, there: _Point, here: _Point) -> float:
    """By how much to shrink the bound after a poor step: to the minimum of the parabola through both ends."""
    shrink = 0.5 if actual >= 0 else 0.5 * slope / (slope - 0.5 * actual)
    return 0.1 if not there.finite or 0.1 * there.norm >= here.norm or shrink < 0.1 else shrink


def _refine(here: _Point, scale: np.ndarray, at: Callable[[np.ndarray], _Point]) -> tuple[_Point, int]:
    """Undamped steps as long as they get shorter: sums of squares cannot tell apart parameters whose difference is
    below the root of the rounding error, while steps can.  (One may be longer than the last: the first points elsewhere.)"""
    steps, before = 0, 1e-3 * float(np.linalg.norm(scale * here.x))
    last = before
    while here.norm > 0 and steps < 50:
        _, step = _Local(here, scale).step(np.inf)
        length = float(np.linalg.norm(step))
        if not 0 < length < 0.9 * max(before, last):
            break
        there = at(here.x + step / scale)
        if not there.finite or there.norm > here.norm * (1 + 1e-9):
            break
        here, before, last = there, last, length
        steps += 1
    return here, steps


class _Local:
    """The linear model around a point, in parameters multiplied by `scale`: the Jacobian is u @ diag(s) @ vt there."""

    def __init__(self, here: _Point, scale: np.ndarray) -> None:
        u, self.s, self.vt = np.linalg.svd(here.jac / scale, full_matrices=False)
        self.target = u.T @ here.residuals

    def change(self, step: np.ndarray) -> float:
        """The length of the change of the predictions."""
        return float(np.linalg.norm(self.s * (self.vt @ step)))

    def step(self, bound: float) -> tuple[float, np.ndarray]:
        """The damping and the step of at most about `bound` that reduces the linear model most.

        With damping d the step is -v @ (s * target / (s**2 + d)); d = 0 if that is short enough, otherwise it is found
        by Newton's iteration on 1 / length, which is nearly linear in d, kept inside a bracket, to 10 per cent."""
        s, target = self.s, self.target
        usable = s > EPSILON * s[0] * len(s)
        full = np.where(usable, target / np.where(usable, s, 1.0), 0.0)
        if np.linalg.norm(full) <= 1.1 * bound:
            return 0.0, -(self.vt.T @ full)
        weighted = s * target
        low, high = 0.0, float(np.linalg.norm(weighted)) / bound
        damping = 1e-3 * high
        for _ in range(50):
            shifted = s * s + damping
            length = float(np.linalg.norm(weighted / shifted))
            if abs(length - bound) <= 0.1 * bound:
                break
            low, high = (damping, high) if length > bound else (low, damping)
            slope = -float((weighted * weighted / shifted**3).sum()) / length
            newton = damping - (length - bound) / bound * length / slope
            damping = newton if low < newton < high else max(0.5 * (low + high), 1e-3 * high)
        return damping, -(self.vt.T @ (weighted / (s * s + damping)))


def _column_norms(jac: np.ndarray) -> np.ndarray:
    return np.sqrt((jac * jac).sum(axis=0))
