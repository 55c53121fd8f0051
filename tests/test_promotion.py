"""Operands of different dtypes in products and losses: the dtype of the result, or PyTorch's error."""
from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from oracle import torch

import jitgrad

DTYPES = ("float32", "float64", "int64", "int32", "bool")
SHAPES: dict[str, tuple[int, ...]] = {"s": (), "v": (3,), "m": (3, 3), "b": (2, 3, 3)}
PRODUCTS = [("outer", "vv"), ("mm", "mm"), ("dot", "vv"), ("mv", "mv"), ("bmm", "bb"),
            *[("matmul", shapes) for shapes in ("mm", "vv", "mv", "vm", "bm", "bv", "vb", "bb")]]
LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def operand(library: Any, dtype: str, shape: str) -> Any:
    return library.tensor(np.ones(SHAPES[shape])).to(getattr(library, dtype))


def outcome(library: Any, name: str, operands: Any, kwargs: dict[str, Any]) -> str:
    """The dtype and the sum of what an operator gives for (dtype, shape) pairs, or the error's type and first words."""
    function = getattr(library.nn.functional, name, None) if "_" in name or name == "linear" else getattr(library, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(*[operand(library, *o) for o in operands], **kwargs)
        except (RuntimeError, ValueError) as error:
            return " ".join([type(error).__name__, *str(error).rstrip(":").replace(":", " ").split()[:5]])
    return f"{str(result.dtype).split('.')[-1]} {result.sum().item():.6g}"


def same(name: str, *operands: Any, **kwargs: Any) -> None:
    found, expected = [outcome(library, name, operands, kwargs) for library in (jitgrad, torch)]
    assert found == expected, (name, operands, kwargs)


@pytest.mark.parametrize(("name", "shapes"), PRODUCTS)
def test_products(name: str, shapes: str) -> None:
    for a, b in itertools.product(DTYPES, DTYPES):
        same(name, (a, shapes[0]), (b, shapes[1]))


def test_a_promoted_product_has_its_gradients() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    jitgrad.outer(jitgrad.arange(3), x).sum().backward()
    y = jitgrad.ones(2, dtype=jitgrad.float64, requires_grad=True)
    jitgrad.outer(x, y).sum().backward()
    assert x.grad is not None and y.grad is not None
    assert x.grad.dtype is jitgrad.float32 and x.grad.tolist() == [5, 5] and y.grad.tolist() == [2, 2]


@pytest.mark.parametrize("shape", ["s", "v", "m"])
def test_addmm(shape: str) -> None:
    for a, b, c in itertools.product(DTYPES, repeat=3):
        same("addmm", (a, shape), (b, "m"), (c, "m"))


@pytest.mark.parametrize("shape", ["v", "m", "b"])
def test_linear(shape: str) -> None:
    for a, b, c in itertools.product(DTYPES[:3], repeat=3):
        same("linear", (a, shape), (b, "m"), (c, "v"))
        same("linear", (a, shape), (b, "m"))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shapes", ["vv", "sv", "vs", "ss", "mv"])
def test_losses_of_differences(name: str, shapes: str) -> None:
    for a, b, reduction in itertools.product(DTYPES[:4], DTYPES[:4], ("none", "mean", "sum")):
        same(name, (a, shapes[0]), (b, shapes[1]), reduction=reduction)


def weighted(library: Any, name: str, dtype: str, reduction: str) -> Any:
    """A weighted loss and its gradients, one after the other."""
    x, w = library.tensor([1.0, 2.0, 4.0], requires_grad=True), library.tensor([1.0, 0.5, 3.0], requires_grad=True)
    loss = getattr(library.nn.functional, name)(x, library.zeros(3), weight=w.to(getattr(library, dtype)), reduction=reduction)
    return library.cat([loss.reshape(-1), *[g.to(loss.dtype) for g in library.autograd.grad(loss.sum(), (x, w))]])


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weighted_losses(name: str) -> None:
    for dtype, reduction in itertools.product(("float32", "float64"), ("none", "mean", "sum")):
        with jitgrad.interpret():
            found = weighted(jitgrad, name, dtype, reduction)
        expected = weighted(torch, name, dtype, reduction)
        assert str(found.dtype) == str(expected.dtype)
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        getattr(jitgrad.nn.functional, name)(jitgrad.ones(3), jitgrad.ones(3), weight=jitgrad.ones(2))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_cross_entropies(name: str) -> None:
    for a, b, c in itertools.product(DTYPES, DTYPES[:4], (None, "float32", "float64", "int64")):
        same(name, (a, "v"), (b, "v"), *[] if c is None else [(c, "v")])
