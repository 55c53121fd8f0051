"""Compiled functions in other processes: by name with pickle and multiprocessing, by value with cloudpickle, joblib and dask."""
from __future__ import annotations

import copy
import functools
import importlib.util
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pickled
import pytest

import jitgrad


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", [*pickled.ARGUMENTS])
@pytest.mark.parametrize("pickler", ["pickle", "cloudpickle"])
def test_a_function_with_a_name_comes_back(pickler, name, when):
    dumps = pytest.importorskip(pickler).dumps
    function = getattr(pickled, name)
    expected = pickled.called(name, function) if when == "after" else None
    text = dumps(function)
    again = pickle.loads(text)
    assert len(text) < 2000 and pickled.called(name, again) == (expected or pickled.called(name, function))
    if name != "net":
        assert again is pickle.loads(text)                  # which is captured once, whatever number of tasks it comes in


def test_what_decorates_a_function_is_found_by_name():
    assert pickle.loads(pickle.dumps(pickled.decorated)) is pickled.decorated
    assert copy.copy(pickled.decorated) is copy.deepcopy(pickled.decorated) is pickled.decorated
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(jitgrad.compile(lambda x: x))


@pytest.mark.parametrize("make", [jitgrad.compile, jitgrad.value_and_grad, jitgrad.grad, jitgrad.jacobian, jitgrad.hessian])
def test_a_closure_comes_back_by_cloudpickle(make):
    cloudpickle = pytest.importorskip("cloudpickle")
    k = 3.0
    function = make(lambda x: (k * jitgrad.as_tensor(x) ** 2).sum())
    x = np.arange(3.0)
    first = cloudpickle.dumps(function)
    expected = str(function(x))
    for text in (first, cloudpickle.dumps(function)):
        assert str(pickle.loads(text)(x)) == expected


def test_a_deep_copy_of_a_compiled_module_has_parameters_of_its_own():
    net = jitgrad.compile(pickled.Net())
    other = copy.deepcopy(net)
    other.w.data.fill_(2)
    x = jitgrad.ones(3)
    assert [float(net(x)), float(other(x)), float(net(x))] == [3, 6, 3]


@pytest.mark.parametrize("way", [
    "spawn", pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")),
    pytest.param("joblib", marks=pytest.mark.full), pytest.param("dask", marks=pytest.mark.full)])
def test_other_processes_take_the_functions_of_a_program(way):
    if way in ("joblib", "dask") and importlib.util.find_spec(way) is None:
        pytest.skip(f"needs {way}")
    found = subprocess.run([sys.executable, str(Path(pickled.__file__)), way], capture_output=True, text=True)
    assert found.stdout == "the same\n", found.stderr


def test_a_compiled_function_is_a_method_of_a_class():
    class Model:
        scale = 3.0

        @jitgrad.compile
        def loss(self, x):
            return (self.scale * x).sum()

    model = Model()
    assert [float(model.loss(jitgrad.ones(n))) for n in (1, 2, 2)] == [3, 6, 6] and float(Model.loss(model, jitgrad.ones(4))) == 12
    assert Model.loss._jitgrad_compiled.hits


def test_a_compiled_function_in_another_is_captured_with_it():
    inner = jitgrad.compile(lambda x: x * x)
    outer = jitgrad.compile(lambda x: inner(x).sum())
    x = jitgrad.ones(3)
    assert [float(outer(x + i)) for i in range(4)] == [3, 12, 27, 48]
    assert outer._jitgrad_compiled.captures == 1 and outer._jitgrad_compiled.hits == 3
    assert jitgrad.value_and_grad(inner)(np.array(3.0)) == (9, 6)


@pytest.mark.parametrize("name", ["float32", "float64", "int32", "int64", "bool"])
def test_dtypes_come_back(name):
    assert pickle.loads(pickle.dumps(getattr(jitgrad, name))) is getattr(jitgrad, name)


def test_results_with_names_come_back():
    result = pickle.loads(pickle.dumps(jitgrad.sort(jitgrad.tensor([2.0, 1.0]))))
    assert type(result) is jitgrad.return_types.sort and result.values.tolist() == [1, 2]


def test_what_compile_makes_is_called_in_c_and_shown_as_its_function():
    @jitgrad.compile
    def scaled(x: jitgrad.Tensor, k: float = 2.0) -> jitgrad.Tensor:
        """A doc."""
        return (x * k).sum()

    assert "__call__" not in vars(type(scaled)) and isinstance(scaled, functools.partial)
    assert [[*inspect.signature(scaled).parameters], scaled.__doc__, repr(scaled)[:12]] == [["x", "k"], "A doc.", "<compile of "]
    assert "scaled(x" in pydoc.plain(pydoc.render_doc(scaled)) and "A doc." in pydoc.render_doc(scaled)
    part = functools.partial(scaled, k=4.0)
    assert part.func is scaled and [float(part(jitgrad.ones(2) * i)) for i in range(3)] == [0, 8, 16]
    assert float(jitgrad.compile(lambda state, called: state * called)(state=jitgrad.ones(1), called=3)) == 3       # its own names


@pytest.mark.parametrize("has_aux", [False, True])
def test_a_gradient_without_the_value(has_aux):
    f = jitgrad.grad(lambda x: ((x * x).sum(), x.sum()) if has_aux else (x * x).sum(), has_aux=has_aux)
    for i in range(4):
        found = f(np.arange(3.0) + i)
        assert (found[0] if has_aux else found).tolist() == [2.0 * i, 2.0 * i + 2, 2.0 * i + 4]
    assert jitgrad.jacobian(lambda x: x * x)(x=np.ones(1)).tolist() == [[2]]
