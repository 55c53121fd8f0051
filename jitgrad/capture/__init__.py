"""jitgrad.compile, value_and_grad and grad: functions captured once for each structure of their arguments, then replayed;
and interpret(), which does without compiled code."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitgrad.capture.functions import Compiled, compile, grad, value_and_grad
from jitgrad.executor import interpreting


@contextmanager
def interpret() -> Iterator[None]:
    """Evaluate with NumPy, node by node, all gradients that this thread asks for inside the `with`."""
    before, interpreting.active = interpreting.active, True
    try:
        yield
    finally:
        interpreting.active = before


__all__ = ["Compiled", "compile", "grad", "interpret", "value_and_grad"]
