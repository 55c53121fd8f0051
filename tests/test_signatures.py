"""What inspect.signature, help() and dir() show of what is public: everything has a signature and a line that says what it is."""
from __future__ import annotations

import inspect
import pydoc
import types

import pytest

import jitgrad

MODULES = (jitgrad, jitgrad.nn, jitgrad.nn.functional, jitgrad.linalg, jitgrad.special, jitgrad.optim, jitgrad.autograd, jitgrad.func,
           jitgrad.utils, jitgrad.return_types)


def _check(named: object, value: object) -> None:
    assert inspect.getdoc(value), named
    assert not isinstance(value, type) or not issubclass(value, BaseException)
    assert str(inspect.signature(value)).startswith("("), named         # type: ignore[arg-type]
    assert inspect.getdoc(value).splitlines()[0] in pydoc.plain(pydoc.render_doc(value)), named        # type: ignore[union-attr]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_modules_have_is_shown(module):
    for name in dir(module):
        value = getattr(module, name)
        if callable(value) and name not in ("LinAlgError", "OutOfMemoryError"):
            _check((module.__name__, name), value)


def test_what_tensors_have_is_shown():
    x = jitgrad.ones(2, 2, requires_grad=True)
    for name in dir(x):
        value = getattr(jitgrad.Tensor, name)
        if callable(value) and not name.startswith("_"):
            _check(name, value)
            _check(name, getattr(x, name, value))
    assert str(inspect.signature(x.sum)) == "(dim=None, keepdim=False, *, dtype=None, out=None)"
    assert str(inspect.signature(x.add_)) == "(other, *, alpha=1)"
    assert str(inspect.signature(jitgrad.max)) == "(input, *args, **kwargs)"


def test_dir_shows_what_is_public():
    modules = {name for name in dir(jitgrad) if isinstance(getattr(jitgrad, name), types.ModuleType)}
    assert modules == {"accelerator", "autograd", "backends", "cuda", "distributions", "func", "linalg", "nn", "optim", "random",
                       "return_types", "special", "testing", "utils"}
    for module in MODULES:
        assert all([not name.startswith("_") or name == "__version__" for name in dir(module)]), module
        for name in dir(module):
            value = getattr(module, name)
            assert getattr(value, "__module__", None) not in ("typing", "collections.abc"), (module, name)
    x = jitgrad.ones(2, 2, requires_grad=True)
    assert all([hasattr(x, name) for name in dir(x) if name != "imag"])
