"""`from jitgrad import *`: the public names and nothing else, as `from torch import *`."""
from __future__ import annotations

from types import ModuleType
from typing import Any

import oracle
import pytest

import jitgrad
from jitgrad.operators.declaration.declare import OPERATORS

# Public here, and not among what `from torch import *` gives.
OWN = {"broadcast_shapes", "unique",        # which it has and leaves out
       "cache_info", "clear_cache", "explain", "grad", "get_memory_limit", "interpret", "set_default_dtype",
       "set_grad_enabled", "set_memory_limit", "value_and_grad"}


def starred(module: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(f"from {module} import *", names)
    return {name: value for name, value in names.items() if name != "__builtins__"}


def test_they_are_all_that_is_public() -> None:
    names = starred("jitgrad")
    assert len(jitgrad.__all__) == len(names)       # none twice
    public = {name for name, value in vars(jitgrad).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    assert public <= {*names, *jitgrad._LATER} and {*names} - public <= {*jitgrad._LATER}
    assert {name for name, op in OPERATORS.items() if "torch" in op.places} < public
    assert all([getattr(jitgrad, name) is value for name, value in names.items()])


def test_they_are_pytorchs() -> None:
    assert set(starred("jitgrad")) - {*oracle.torch.__all__} == OWN


@pytest.mark.parametrize("module", ["jitgrad", "jitgrad.autograd", "jitgrad.nn", "jitgrad.nn.functional", "jitgrad.optim"])
def test_no_module_is_among_them(module: str) -> None:
    modules = {name for name, value in starred(module).items() if isinstance(value, ModuleType)}
    assert modules == ({"functional", "init"} if module == "jitgrad.nn" else set())
    assert "annotations" not in starred(module)


def test_an_example_of_star_imports() -> None:
    names: dict[str, Any] = {}
    exec("from jitgrad import *\nx = tensor([1., 2.], requires_grad=True)\nrelu(x * 2).sum().backward()", names)
    assert names["x"].grad.tolist() == [2., 2.]
