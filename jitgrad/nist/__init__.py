"""NIST's reference problems of nonlinear regression (StRD), and a Levenberg-Marquardt fit."""
from __future__ import annotations

from jitgrad.nist.levenberg import Fit, least_squares
from jitgrad.nist.problems import NAMES, Problem, load

__all__ = ["NAMES", "Fit", "Problem", "least_squares", "load"]
