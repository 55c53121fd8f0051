"""jitgrad.compile, value_and_grad, grad, interpret: functions captured once and replayed, or evaluated by NumPy."""
from __future__ import annotations

from jitgrad.capture.derivative import grad, value_and_grad
from jitgrad.capture.functions import compile, interpret

__all__ = ["compile", "grad", "interpret", "value_and_grad"]
