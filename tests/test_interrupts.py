"""Exceptions out of a signal handler, at any moment: modes, collector, profile function and the next results are right.

Two ways to choose the moment.  A timer goes off after a random time: it can come in the middle of what is not Python, and in
machine code.  `Sweep` has the signal come before a given one of the points at which CPython looks at signals: calls, starts
of functions, backward jumps; so that all can be gone through.  `INTERRUPTS=2000 pytest tests/test_interrupts.py` interrupts each
way so often, by default a dozen times.
"""
from __future__ import annotations

import _thread
import functools
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from interrupted import WAYS, Way

import jitgrad
from jitgrad import tracing
from jitgrad.requests import schedule_cache

pytestmark = [pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers"),
              # One that comes in a finalizer is lost, as CPython has it.
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
INTERRUPTS = int(os.environ.get("INTERRUPTS", "12"))
SEED = int(os.environ.get("TEST_SEED", "0"))


class Interrupt(BaseException):
    """What the handler raises; like KeyboardInterrupt, nobody may catch it."""


def handler(number: int, frame: FrameType | None) -> None:
    raise Interrupt


class Trip:
    """`-Trip()` has the signal come at the next point at which CPython looks (a call of a function would be one)."""

    __neg__ = functools.partial(_thread.interrupt_main, signal.SIGALRM)


class Sweep:
    """Goes through the points at which CPython looks at signals, and has one come before the n-th."""

    CHECKED = {sys.intern(name) for name in ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD")}

    def __init__(self, n: int) -> None:
        import dis
        self.left = n
        self.trip = Trip()
        self.codes = {dis.opmap[name] for name in self.CHECKED if name in dis.opmap}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event != "opcode" or frame.f_code.co_code[frame.f_lasti] not in self.codes:
            return self
        self.left -= 1
        if self.left == 0:
            _ = -self.trip
        return self

    def run(self, function: Callable[[], Any]) -> Any:
        sys.settrace(self)
        try:
            return function()
        finally:
            sys.settrace(None)


def points(function: Callable[[], Any]) -> int:
    """How many there are in a call."""
    sweep = Sweep(0)
    sweep.run(function)
    return -sweep.left


def state() -> list[Any]:
    return [jitgrad.is_grad_enabled(), jitgrad.is_inference_mode_enabled(), schedule_cache.interpreting.active, gc.isenabled(),
            sys.getprofile(), sys.gettrace(), np.geterr(), tracing.current(), tracing.traces, tracing.count[0],
            jitgrad.get_default_dtype()]


@pytest.fixture
def signals():
    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def check(made: Way, before: list[Any], interrupted: bool, moment: str) -> None:
    try:
        assert state() == before
        made.after(interrupted)
    except Exception as error:
        raise AssertionError(f"not right after an interrupt: TEST_SEED={SEED}, {moment}") from error


def warm(name: str) -> tuple[Way, list[Any]]:
    """A way that has been gone often enough to be at its fastest, and the state around it."""
    made = WAYS[name]()
    before = state()
    for _ in range(30):
        made.go()
        made.after(False)
    return made, before


@pytest.mark.parametrize("name", WAYS)
def test_a_timer(name, signals):
    rng = random.Random(SEED)
    made, before = warm(name)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        made.go()
        seconds.append(time.perf_counter() - start)
        made.after(False)
    longest = 1.3 * sorted(seconds)[2] + 2e-5
    came = 0
    for i in range(20 * INTERRUPTS):
        interrupted = False
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, longest))
            made.go()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt:
            interrupted = True
        came += interrupted
        check(made, before, interrupted, f"time {i}")
        if came == INTERRUPTS:
            break
    assert came > INTERRUPTS // 4


@pytest.mark.parametrize("name", WAYS)
def test_every_point(name, signals):
    rng = random.Random(SEED)
    made, before = warm(name)
    count = points(made.go)
    made.after(False)
    for n in range(1, count + 1) if count <= INTERRUPTS else sorted(rng.sample(range(1, count + 1), INTERRUPTS)):
        interrupted = False
        try:
            Sweep(n).run(made.go)
        except Interrupt:
            interrupted = True
        check(made, before, interrupted, f"point {n} of {count}")
