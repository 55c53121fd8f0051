"""Replays cannot go stale: whatever changes what a captured function reads, and whatever it does, is as in the plain function."""
from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from stale_cases import EFFECTS, READS, RECORDED

import jitgrad

CALLS = 4


def module_of(case: str, setup: str, body: str) -> types.ModuleType:
    """A module with what a case sets up and its function f."""
    module = types.ModuleType(f"stale_{case}")
    sys.modules[module.__name__] = module
    scope = vars(module)
    scope["torch"] = jitgrad
    if "return" not in body:
        body = f"return {body}"
    text = f"{setup}\ndef f(x):\n " + body.replace("\n", "\n ") + "\n"
    exec(compile(text, f"<{case}>", "exec", dont_inherit=True), scope)
    return module


def result(function, x):
    """What a call gives, as something that can be compared; or the type of what it raises."""
    try:
        value = function(x)
    except Exception as error:
        return type(error)
    return np.asarray(value[0] if isinstance(value, tuple) else value.detach().numpy()).tolist()


def ways(function):
    """The plain function, and the same captured in two ways."""
    def scalar(x):
        return function(x).sum()
    return {"compile": (lambda g: g, jitgrad.compile), "value_and_grad": (lambda g: scalar, lambda g: jitgrad.value_and_grad(scalar))}


@pytest.fixture(autouse=True)
def double():
    before = jitgrad.get_default_dtype()
    jitgrad.set_default_dtype(jitgrad.float64)
    yield
    jitgrad.set_default_dtype(before)


@pytest.mark.parametrize("way", ["compile", "value_and_grad"])
@pytest.mark.parametrize("case", READS)
def test_what_a_function_reads_is_read_again(case, way):
    setup, body, change, *undo = READS[case]
    seen = []
    for captured in (False, True):
        module = module_of(case, setup, body)
        x = jitgrad.ones(3) if way == "compile" else np.ones(3)
        given = jitgrad.ones(3)
        f = ways(module.f)[way]
        called = f[captured](module.f)
        found = []
        try:
            for _ in range(CALLS):
                found.append(result(called, x if captured else given))
            if captured and way == "compile":
                assert ("\nreplayed" in jitgrad.explain(called)) is (case not in RECORDED), jitgrad.explain(called)
            exec(change, vars(module))
            for _ in range(CALLS):
                found.append(result(called, x if captured else given))
        finally:
            for text in undo:
                exec(text, vars(module))
            del sys.modules[module.__name__]
        seen.append(found)
    plain, captured = seen
    assert len({str(v) for v in plain}) > 1, "the case changes nothing"
    assert plain == captured, jitgrad.explain(called)


@pytest.mark.parametrize("case", EFFECTS)
def test_effects_happen_at_each_call(case):
    setup, body, effect, *undo = EFFECTS[case]
    seen = []
    for captured in (False, True):
        module = module_of(case, setup, body + "\nreturn x * 2")
        called = jitgrad.compile(module.f) if captured else module.f
        found = []
        try:
            for _ in range(CALLS):
                x = jitgrad.ones(3)
                found.append(result(called, x))
                found.append(eval(effect, vars(module)))
        finally:
            for text in undo:
                exec(text, vars(module))
            del sys.modules[module.__name__]
        seen.append(str(found))
    assert seen[0] == seen[1], jitgrad.explain(called)
