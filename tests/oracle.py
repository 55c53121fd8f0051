"""The same expression in jitgrad and in PyTorch: values, shapes, dtypes and errors must agree."""
from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.operators import FUNCTIONAL

torch = pytest.importorskip("torch")

ARRAYS: dict[str, np.ndarray] = {
    "x": np.array([[1.5, -2.25, 0.5], [3.0, -0.75, 2.0]], np.float32),
    "y": np.array([[0.5, 2.0, -1.5], [-3.0, 0.25, 4.0]], np.float32),
    "p": np.array([[0.1, 0.9, 0.5], [0.25, 0.75, 0.3]], np.float32),         # between 0 and 1
    "q": np.array([[0.6, 1.7, 2.5], [3.25, 0.8, 5.0]], np.float64),          # positive
    "d": np.array([[1.5, -2.25, 0.5], [3.0, -0.75, 2.0]], np.float64),
    "u": np.array([[1.0, 2.0, 2.0], [-1.0, 2.0, 0.0]], np.float64),          # with ties
    "v": np.array([0.5, -1.0, 2.0], np.float32),
    "s": np.array(2.5, np.float32),
    "z": np.array(-1.25, np.float64),
    "i": np.array([[3, -4, 5], [2, 7, -1]], np.int64),
    "j": np.array([2, 3, -2], np.int64),
    "k": np.array([[3, -4, 5], [2, 7, -1]], np.int32),
    "m": np.array([[True, False, True], [False, True, True]]),
    "n": np.array([True, False, True]),
    "e": np.zeros((0, 3), np.float32),
    "f": np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, 3e38, -1.0], np.float32),
    "g": np.array([np.nan, 1.0, np.inf, -np.inf, 0.0, np.nan, 2.0, -0.0], np.float32),
    "b": np.arange(24, dtype=np.float64).reshape(2, 3, 4) / 7 - 1,
    "c": np.array([1, 0], np.int64),
}


def namespace(lib: Any, names: str | None = None, requires_grad: str = "") -> dict[str, Any]:
    """The tensors of ARRAYS in one library, `T` the library, `F` its nn.functional."""
    values: dict[str, Any] = {name: lib.tensor(array) for name, array in ARRAYS.items()}
    values["w"] = lib.tensor(ARRAYS["d"]).t()                # not contiguous
    for name in requires_grad:
        values[name] = values[name].clone().requires_grad_()
    functional = SimpleNamespace(**FUNCTIONAL) if lib is jitgrad else lib.nn.functional
    return {**values, "T": lib, "F": functional, "np": np}


def run(lib: Any, code: str, requires_grad: str = "") -> Any:
    """The value of an expression, or of `result` after statements; an exception stands for itself."""
    names = namespace(lib, requires_grad=requires_grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if "result = " in code:
                exec(code, names)
                return names["result"]
            return eval(code, names)
        except Exception as error:      # whatever it is, the other library must raise it too
            return error


def plain(value: Any) -> Any:
    """A result without the library it comes from: (dtype, array) for tensors."""
    if isinstance(value, (jitgrad.Tensor, torch.Tensor)):
        return str(value.dtype), np.array(value.detach().numpy())
    if isinstance(value, np.ndarray):
        return str(value.dtype), value
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, (jitgrad.dtype, torch.dtype)):
        return str(value)
    return value


def agree(ours: Any, theirs: Any, code: str, ulp: float = 16) -> None:
    """Assert that two plain results are the same, floats up to some units in the last place."""
    if isinstance(theirs, BaseException) or isinstance(ours, BaseException):
        raise AssertionError(f"{code}: {ours!r}, PyTorch: {theirs!r}")
    if isinstance(theirs, list):
        assert isinstance(ours, list) and len(ours) == len(theirs), f"{code}: {ours!r}, PyTorch: {theirs!r}"
        for a, b in zip(ours, theirs, strict=True):
            agree(a, b, code, ulp)
    elif isinstance(theirs, tuple):
        assert ours[0] == theirs[0], f"{code}: dtype {ours[0]}, PyTorch: {theirs[0]}"
        assert ours[1].shape == theirs[1].shape, f"{code}: shape {ours[1].shape}, PyTorch: {theirs[1].shape}"
        tolerance = ulp * np.finfo(theirs[1].dtype).eps if theirs[1].dtype.kind == "f" else 0
        np.testing.assert_allclose(ours[1], theirs[1], rtol=tolerance, atol=tolerance / 4, err_msg=code)
    elif isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=code)
    else:
        assert type(ours) is type(theirs) or isinstance(theirs, tuple), f"{code}: {ours!r}, PyTorch: {theirs!r}"
        assert ours == theirs, f"{code}: {ours!r}, PyTorch: {theirs!r}"


def check(code: str, ulp: float = 16) -> None:
    """Assert that an expression has the same value in both libraries."""
    agree(plain(run(jitgrad, code)), plain(run(torch, code)), code, ulp)


def check_error(code: str, same_words: int = 4) -> None:
    """Assert that both libraries raise the same type, with the same first words."""
    ours, theirs = run(jitgrad, code), run(torch, code)
    assert isinstance(theirs, BaseException), f"{code}: PyTorch raises nothing: {theirs!r}"
    assert type(ours) is type(theirs), f"{code}: {ours!r}, PyTorch: {theirs!r}"
    assert str(ours).split()[:same_words] == str(theirs).split()[:same_words], f"{code}: {ours}\nPyTorch: {theirs}"


def history(tensor: Any) -> str:
    """The names of the backward functions below a tensor, three levels deep; `A` stands for a leaf."""

    def name(fn: Any, level: int) -> str:
        if fn is None:
            return "None"
        kind = type(fn).__name__
        if kind == "AccumulateGrad":
            return "A"
        return kind + ("(" + ", ".join([name(f, level + 1) for f, _ in fn.next_functions]) + ")" if level < 3 else "")

    return name(tensor.grad_fn, 0)


def first_floating(value: Any) -> Any:
    """The first differentiable tensor of a result."""
    return value[0] if isinstance(value, (tuple, list)) else value


def gradients(lib: Any, code: str, names: str) -> Any:
    """The gradients of a weighted sum of a result with respect to some of the inputs."""
    scope = namespace(lib, requires_grad=names)
    leaves = [scope[name] for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "result = " in code:
            exec(code, scope)
            result = first_floating(scope["result"])
        else:
            result = first_floating(eval(code, scope))
        weights = np.cos(np.arange(result.numel())).reshape(tuple(result.shape))
        total = (result * lib.tensor(weights).to(result.dtype)).sum()
        return [None if g is None else plain(g) for g in lib.autograd.grad(total, leaves, allow_unused=True)]


def check_gradients(code: str, names: str, ulp: float = 64) -> None:
    """Assert that both libraries find the same gradients.  None counts as zeros: PyTorch gives zeros for what was
    overwritten in place."""
    ours, theirs = gradients(jitgrad, code, names), gradients(torch, code, names)
    for name, a, b in zip(names, ours, theirs, strict=True):
        if a is None and b is not None:
            a = b[0], np.zeros_like(b[1])
        agree(a, b, f"gradient of {code} to {name}", ulp)
