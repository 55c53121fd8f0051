"""Replays cannot go stale: whatever changes what a captured function reads, and whatever it does, is as in the plain function."""
from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from stale_cases import EFFECTS, READS, RECORDED

import jitgrad

pytestmark = pytest.mark.full

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
                if case != "sys_modules":       # which is guarded where it is not too large
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


LIST, OTHER, TABLE = [2.0], [2.0], {"a": 2.0}


@pytest.mark.parametrize("function, calls", [
    (lambda x, a, b: x * (2 if a is b else 3), [([1], [1]), (LIST, LIST), ([1], [1]), (OTHER, LIST)]),
    (lambda x, a, b: x * (2 if a is b else 3), [(LIST, LIST), ([2.0], [2.0]), (LIST, LIST)]),
    (lambda x, a, b: x * (2 if a["k"] is b["k"] else 3), [({"k": [1]}, {"k": [1]}), ({"k": LIST}, {"k": LIST})]),
    (lambda x, a, b: x * (2 if a is b else 3), [({}, {}), (TABLE, TABLE), ({"a": 2.0}, {"a": 2.0})]),
    (lambda x, a, b: x * (2 if a is LIST else 3), [([2.0], 1), (LIST, 1), ([2.0], 1)]),
    (lambda x, a, b: x * (2 if a is LIST else 3), [(LIST, 1), ([2.0], 1), (OTHER, 1)]),
    (lambda x, a, b: x * (2 if a[0] is a[1] else 3), [([[1], [1]], 1), ([LIST, LIST], 1), ([OTHER, LIST], 1)]),
    (lambda x, a, b: (a.append(1), x * len(b), a.pop())[1], [([1], [1]), (OTHER, OTHER), ([2.0], [2.0])]),
])
def test_the_same_container_twice(function, calls):
    f = jitgrad.compile(function)
    for arguments in calls * 2:
        for _ in range(3):
            x = jitgrad.ones(2)
            assert f(x, *arguments).tolist() == function(x, *arguments).tolist()


def test_a_flag_of_a_view_that_was_made_inside_is_its_own():
    def f(x):
        y = x.detach()
        y.requires_grad_()
        return x * 2 if y.requires_grad else x

    g = jitgrad.compile(f)
    for k in (1.0, 2.0):
        x = jitgrad.tensor([k])
        assert g(x).tolist() == [2 * k] and not x.requires_grad
    assert "replayed" in jitgrad.explain(g)
    h = jitgrad.compile(lambda x: x.requires_grad_() * 2)
    x = jitgrad.tensor([1.0])
    assert h(x).requires_grad and "sets requires_grad of a tensor that it did not make" in jitgrad.explain(h)


def test_numbers_are_not_taken_for_tensors_nor_tensors_for_numbers():
    """fill_ makes a 0-dimensional tensor a number: what a program takes is of another kind then."""
    k = jitgrad.tensor(2.0)
    f = jitgrad.compile(lambda x: x * k)
    x = jitgrad.ones(2)
    for value in (2.0, 3.0, 4.0):
        for change in (lambda v: k.fill_(v), lambda v: k.copy_(jitgrad.tensor(v))):
            change(value)
            assert [f(x).tolist() for _ in range(3)] == [[value, value]] * 3


def test_an_instruction_that_is_not_known_is_recorded():
    def f(x):
        try:
            y = x * 2
        except* ValueError:
            y = x
        return y

    g = jitgrad.compile(f)
    assert g(jitgrad.ones(1)).tolist() == g(jitgrad.ones(1)).tolist() == [2.0]
    assert "an instruction that is not understood" in jitgrad.explain(g) and "line" in jitgrad.explain(g)
