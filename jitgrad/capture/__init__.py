"""jitgrad.compile, value_and_grad, grad, interpret: functions captured once and replayed, or evaluated by NumPy."""
from __future__ import annotations

from jitgrad.capture.compiled import compile, interpret
from jitgrad.capture.derivative import grad, value_and_grad

__all__ = ["compile", "grad", "interpret", "value_and_grad"]
