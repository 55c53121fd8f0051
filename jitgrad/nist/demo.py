"""The demo: fits the problems, and measures how fast their gradients are, compiled and interpreted."""
from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

import numpy as np

import jitgrad
from jitgrad.nist.levenberg import least_squares, predictions
from jitgrad.nist.problems import Problem

REQUIRED_DIGITS = 6
SECONDS = 0.25          # for one measurement of a rate
COMPARED = ("Misra1a", "Gauss1", "ENSO")


def run(problems: Sequence[Problem], starts: Sequence[int]) -> int:
    """Fit every problem from each of the starts (1, 2), print the tables, and return the exit status: 1 if some fit has
    reached fewer than 6 certified digits."""
    out, err = sys.stdout, sys.stderr
    begun = time.perf_counter()
    print(f"jitgrad {jitgrad.__version__}: NIST StRD nonlinear regression by Levenberg-Marquardt, exact Jacobians",
          file=out)
    print(f"\n{'problem':10} {'level':8} {'start':>5} {'digits':>6} {'steps':>6} {'Jacobians':>9} {'seconds':>8}"
          "  residual sum of squares", file=out)
    failed, gradients, least = [], 0, float("inf")
    for problem in problems:
        for number in starts:
            t = time.perf_counter()
            fit = least_squares(problem.model, problem.response, problem.starts[number - 1])
            seconds = time.perf_counter() - t
            digits = problem.digits(fit.values)
            print(f"{problem.name:10} {problem.difficulty:8} {number:5} {digits:6.1f} {fit.iterations:6} "
                  f"{fit.evaluations:9} {seconds:8.2f}  {fit.residual:.10E}", file=out, flush=True)
            gradients += fit.evaluations
            least = min(least, digits)
            if digits < REQUIRED_DIGITS:
                failed.append(f"{problem.name} from start {number}")
    seconds = time.perf_counter() - begun
    print(f"\n{len(problems) * len(starts)} fits, {gradients} Jacobians in {seconds:.1f} s, compilation included; at least "
          f"{least:.1f} certified digits (11 are published)", file=out)
    _compare(problems, out)
    info = jitgrad.cache_info()
    print(f"\nprograms compiled: {info.compilations} ({info.kernels} kernels); found on disk: {info.disk_hits}; calls "
          f"of programs in memory: {info.memory_hits}; interpreted: {info.interpreted}", file=out)
    if failed:
        out.flush()
        print(f"jitgrad demo: fewer than {REQUIRED_DIGITS} certified digits: {', '.join(failed)}", file=err)
    return 1 if failed else 0


def _compare(problems: Sequence[Problem], out: TextIO) -> None:
    """Gradients per second of some of the problems."""
    chosen = [p for p in problems if p.name in COMPARED] or list(problems[:1])
    print(f"\n{'gradients per second':22} {'observations':>12} {'parameters':>10} {'compiled':>9} {'interpreted':>11} "
          f"{'ratio':>6}", file=out)
    for problem in chosen:
        compiled = _rate(problem)
        with jitgrad.interpret():
            interpreted = _rate(problem)
        print(f"{problem.name:22} {len(problem.response):12} {len(problem.parameters):10} {compiled:9.0f} "
              f"{interpreted:11.0f} {compiled / interpreted:6.1f}", file=out, flush=True)


def _rate(problem: Problem) -> float:
    """Jacobians a second at the certified parameters."""
    jacobian, certified = predictions(problem.model), np.array(problem.certified)
    jacobian(certified)
    calls, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < SECONDS:
        jacobian(certified)
        calls += 1
    return calls / seconds
