"""A line search for the strong Wolfe conditions, by cubic interpolation (Nocedal and Wright 2006, algorithms 3.5 and 3.6)."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DECREASE, CURVATURE = 1e-4, 0.9     # constants of the two conditions


class Point(NamedTuple):
    """A step on the line: its length, and there the value, the gradient and the slope."""

    t: float
    f: float
    g: np.ndarray
    slope: float


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through both points, with their slopes, is least, kept between low and high; the middle if it has no minimum."""
    s = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = s * s - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    left, right = (a, b) if a.t <= b.t else (b, a)
    at = right.t - (right.t - left.t) * ((right.slope + root - s) / (right.slope - left.slope + 2 * root))
    return min(max(at, low), high)


def strong_wolfe(at: Callable[[float], Point], start: Point, t: float, reach: float, tolerance: float,
                 most: int) -> tuple[Point, int]:
    """A step that decreases the value enough and the slope's size, and how often the function was evaluated.

    start: the step of length 0; t: the first to be tried; reach: the largest element of the direction.  Ends, too, where a bracket
    moves nothing by more than the tolerance, and after `most` evaluations beyond the first, with the better end of the bracket."""
    here, before, tries = at(t), start, 0
    while tries < most:         # a bracket, or a step that will do
        if here.f > start.f + DECREASE * here.t * start.slope or (tries > 1 and here.f >= before.f):
            bracket = [before, here]
            break
        if abs(here.slope) <= -CURVATURE * start.slope:
            return here, tries + 1
        if here.slope >= 0:
            bracket = [before, here]
            break
        step = cubic_minimum(before, here, here.t + 0.01 * (here.t - before.t), here.t * 10)
        before, here = here, at(step)
        tries += 1
    else:
        bracket = [start, here]
    evaluations = tries + 1
    poor = False                # whether the last step came close to an end of the bracket
    low = 0 if bracket[0].f <= bracket[1].f else 1
    while tries < most and abs(bracket[1].t - bracket[0].t) * reach >= tolerance:
        first, last = sorted((bracket[0].t, bracket[1].t))
        t = cubic_minimum(bracket[0], bracket[1], first, last)
        margin = 0.1 * (last - first)
        if min(last - t, t - first) < margin:
            if poor or t >= last or t <= first:
                t = last - margin if abs(t - last) < abs(t - first) else first + margin
                poor = False
            else:
                poor = True
        else:
            poor = False
        here = at(t)
        tries += 1
        evaluations += 1
        if here.f > start.f + DECREASE * t * start.slope or here.f >= bracket[low].f:
            bracket[1 - low] = here
            low = 0 if bracket[0].f <= bracket[1].f else 1
            continue
        done = abs(here.slope) <= -CURVATURE * start.slope
        if not done and here.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = here
        if done:
            break
    return bracket[low], evaluations
