"""jitgrad.compile and jitgrad.interpret: asking for, or doing without, compiled code."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitgrad.executor import interpreting


def compile(model: Callable | None = None, **options: Any) -> Callable:
    """The function itself: everything that is recorded is compiled at its first backward anyway.

    Function, Module or decorator, as torch.compile; `options` of torch.compile are accepted and have no effect here.
    The call records its graph each time."""
    return (lambda f: f) if model is None else model


@contextmanager
def interpret() -> Iterator[None]:
    """Evaluate with NumPy, node by node, all gradients that this thread asks for inside the `with`."""
    before, interpreting.active = interpreting.active, True
    try:
        yield
    finally:
        interpreting.active = before
