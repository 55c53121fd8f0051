"""Derivatives of any order where a rule is easily wrong: powers, constant slopes, norms at 0, kinks, what has none.

The values are PyTorch's."""
from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
import jitgrad.nn.functional as F
from jitgrad import Tensor

inf, nan = math.inf, math.nan
ways = pytest.mark.parametrize("way", ["interpreted", "compiled"])
kinds = pytest.mark.parametrize("dtype", [jitgrad.float32, jitgrad.float64], ids=["float32", "float64"])


def evaluated(way: str) -> Any:
    return jitgrad.interpret() if way == "interpreted" else contextlib.nullcontext()


def leaf(values: Any, dtype: Any = jitgrad.float64) -> Tensor:
    return jitgrad.tensor(values, dtype=dtype, requires_grad=True)


def derivatives(f: Callable[[Tensor], Tensor], x: Tensor, order: int) -> list[Tensor]:
    """f(x) and its derivatives, element by element."""
    found = [f(x)]
    for _ in range(order):
        found.append(jitgrad.autograd.grad(found[-1].sum(), x, create_graph=True)[0])
    return found


def close(found: Tensor, expected: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=0)


def refused(f: Callable[[], Any], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        f()


# -- powers ----------------------------------------------------------------------------------------------------------

BASES = [0.0, -0.0, inf, -inf, -2.0, nan]
POWERS: list[tuple[float, list[list[float]]]] = [        # exponent: value and derivatives at BASES
    (0, [[1] * 6, [0] * 6]),
    (1, [BASES, [1] * 6, [0] * 6]),
    (2, [[0, 0, inf, inf, 4, nan], [0, -0.0, inf, -inf, -4, nan], [2] * 6, [0] * 6]),
    (3, [[0, -0.0, inf, -inf, -8, nan], [0, 0, inf, inf, 12, nan], [0, -0.0, inf, -inf, -12, nan], [6] * 6, [0] * 6]),
    (4, [[0, 0, inf, inf, 16, nan], [0, -0.0, inf, -inf, -32, nan], [0, 0, inf, inf, 48, nan],
         [0, -0.0, inf, -inf, -48, nan], [24] * 6, [0] * 6, [0] * 6]),
    (0.5, [[0, -0.0, inf, nan, nan, nan], [inf, -inf, 0, nan, nan, nan], [-inf, -inf, -0.0, -0.0, nan, nan]]),
    (1.5, [[0, 0, inf, inf, nan, nan], [0, -0.0, inf, nan, nan, nan], [inf, -inf, 0, nan, nan, nan]]),
    (-1, [[inf, -inf, 0, -0.0, -0.5, nan], [-inf, -inf, -0.0, -0.0, -0.25, nan], [inf, -inf, 0, -0.0, -0.25, nan]]),
    (-2, [[inf, inf, 0, 0, 0.25, nan], [-inf, inf, -0.0, 0, 0.25, nan], [inf, inf, 0, 0, 0.375, nan]]),
    (-0.5, [[inf, -inf, 0, nan, nan, nan], [-inf, -inf, -0.0, -0.0, nan, nan]]),
]


@ways
@kinds
@pytest.mark.parametrize(("exponent", "expected"), POWERS)
def test_powers_with_numbers(exponent: float, expected: list, dtype: Any, way: str) -> None:
    for f in (lambda x: x ** exponent, lambda x: jitgrad.pow(x, float(exponent)), lambda x: (x * 1).pow_(exponent)):
        with evaluated(way):
            for found, values in zip(derivatives(f, leaf(BASES, dtype), len(expected) - 1), expected, strict=True):
                close(found, values)


@ways
def test_a_power_series_has_its_derivatives_at_0(way: str) -> None:
    x = leaf([0.0, 1.0])
    with evaluated(way):
        values = [v.tolist() for v in derivatives(lambda x: sum([x ** k for k in range(4)]), x, 3)]     # type: ignore[arg-type]
    assert values == [[1, 4], [1, 6], [2, 8], [6, 6]]


@ways
@kinds
def test_powers_with_tensors(dtype: Any, way: str) -> None:
    with evaluated(way):
        base, exponent = leaf([0.0, 0.0, 0.0, 2.0, -2.0, inf], dtype), leaf([0.0, 1.0, -1.0, 3.0, 2.0, 0.5], dtype)
        to_base, to_exponent = jitgrad.autograd.grad((base ** exponent).sum(), (base, exponent), create_graph=True)
        close(to_base, [0, 1, -inf, 12, -4, 0])
        close(to_exponent, [0, 0, -inf, 8 * math.log(2), nan, inf])
        second, = jitgrad.autograd.grad(to_base.sum(), base)
        close(second, [nan, 0, inf, 12, 2, 0])      # nan: PyTorch's too
        x = leaf([0.0, 1.0, 2.0], dtype)
        for number, slope in ((2, [math.log(2), 2 * math.log(2), 4 * math.log(2)]), (0, [0, 0, 0]), (1, [0, 0, 0])):
            close(jitgrad.autograd.grad((number ** x).sum(), x)[0], slope)


@ways
def test_numbers_are_rounded_once(way: str) -> None:
    values = np.linspace(0.5, 3, 50, dtype=np.float32)
    x = leaf(values, jitgrad.float32)
    with evaluated(way):
        _, first, second = derivatives(lambda x: x ** (1 / 3), x, 2)
        base, = jitgrad.autograd.grad((1.1 ** x).sum(), x)
    exact = values.astype(np.float64)
    close(first, exact ** (-2 / 3) / 3, 3e-7)
    close(second, -2 / 9 * exact ** (-5 / 3), 3e-7)
    close(base, math.log(1.1) * 1.1 ** exact, 3e-7)


# -- slopes that are constant ----------------------------------------------------------------------------------------

PIECES: dict[str, tuple[Callable[[Any], Any], list[float]]] = {     # first derivatives at [-8, -0.5, 0.25, 8]
    "x ** 1": (lambda x: x ** 1, [1, 1, 1, 1]), "relu": (jitgrad.relu, [0, 0, 1, 1]), "F.relu": (F.relu, [0, 0, 1, 1]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.5), [0.5, 0.5, 1, 1]), "hardtanh": (F.hardtanh, [0, 1, 1, 0]),
    "relu6": (F.relu6, [0, 0, 1, 0]), "threshold": (lambda x: F.threshold(x, 0.1, 2.0), [0, 0, 1, 1]),
    "abs": (jitgrad.abs, [-1, -1, 1, 1]), "relu_": (lambda x: (x * 1).relu_(), [0, 0, 1, 1]),
    "hardtanh_": (lambda x: F.hardtanh(x * 1, inplace=True), [0, 1, 1, 0]), "norm(1)": (lambda x: x.norm(1), [-1, -1, 1, 1]),
    "pow_(1)": (lambda x: (x * 1).pow_(1), [1, 1, 1, 1]), "l1_loss": (lambda x: F.l1_loss(x, x * 0, reduction="sum"), [-1, -1, 1, 1])}


@ways
@pytest.mark.parametrize("name", PIECES)
def test_a_constant_slope_requires_a_gradient_which_is_zeros(name: str, way: str) -> None:
    f, slope = PIECES[name]
    with evaluated(way):
        x = leaf([-8.0, -0.5, 0.25, 8.0])
        first, = jitgrad.autograd.grad(f(x).sum(), x, create_graph=True)
        assert first.requires_grad and first.tolist() == slope
        assert jitgrad.autograd.grad(first.sum(), x)[0].tolist() == [0, 0, 0, 0]


@ways
def test_a_gradient_penalty_through_relu(way: str) -> None:
    x, w = leaf([[1.0, -2.0], [0.5, 3.0]]), leaf([[1.0, -1.0], [2.0, 0.5]])
    with evaluated(way):
        g, = jitgrad.autograd.grad(F.relu(x @ w).sum(), x, create_graph=True)
        to_x, to_w = jitgrad.autograd.grad((g * g).sum(), (x, w), create_graph=True)
        assert to_x.tolist() == [[0, 0], [0, 0]] and to_w.tolist() == [[0, 0], [5, 5]]
        (g * g).sum().backward()
        assert x.grad is not None and w.grad is not None
        assert x.grad.tolist() == [[0, 0], [0, 0]] and w.grad.tolist() == [[0, 0], [5, 5]]
        # The zeros do not turn what is not finite into nan.
        y = leaf([0.0, 1.0])
        g, = jitgrad.autograd.grad((F.relu(y) * y.sqrt()).sum(), y, create_graph=True)
        assert jitgrad.autograd.grad(g[1], y)[0][1].item() == 0.75


@pytest.mark.parametrize("f", [lambda x: x ** 0, lambda x: x + 1, lambda x: x.clamp(0, 1), lambda x: x.max(), lambda x: x.round(),
                               lambda x: jitgrad.where(x > 0, x, 0.0), lambda x: jitgrad.div(x, x.detach(), rounding_mode="trunc")])
def test_slopes_that_depend_on_nothing(f: Callable[[Tensor], Tensor]) -> None:
    x = leaf([-0.5, 2.0])
    first, = jitgrad.autograd.grad(f(x).sum(), x, create_graph=True)
    assert not first.requires_grad


def test_class_likelihoods_have_a_constant_slope() -> None:
    x = leaf([[0.25, 0.75]])
    first, = jitgrad.autograd.grad(F.nll_loss(x, jitgrad.tensor([1])), x, create_graph=True)
    assert first.tolist() == [[0, -1]] and jitgrad.autograd.grad(first.sum(), x)[0].tolist() == [[0, 0]]


# -- what has no derivative ------------------------------------------------------------------------------------------

NONE = [(lambda x: x // 2, "floor_divide"), (lambda x: 2 // x, "floor_divide"), (lambda x: x // x, "floor_divide"),
        (lambda x: x.floor_divide(x.detach()), "floor_divide"), (lambda x: (x * 1).floor_divide_(2), "floor_divide_"),
        (lambda x: jitgrad.heaviside(x, x), "heaviside"), (lambda x: (x * 1).heaviside_(x.detach()), "heaviside_")]


@ways
@pytest.mark.parametrize(("f", "name"), NONE)
def test_what_has_no_derivative_raises_in_backward(f: Callable[[Tensor], Tensor], name: str, way: str) -> None:
    words = f"^derivative for aten::{name} is not implemented$"
    with evaluated(way):
        for _ in range(3):
            x = leaf([1.0, 2.5])
            y = f(x)
            assert y.requires_grad and type(y.grad_fn).__name__ == "NotImplemented"
            refused((y + x).sum().backward, words)
            refused((y + x).sum().backward, words)
            loss = (f(x) * x).sum()
            loss.item()
            refused(loss.backward, words)
            z = x * 1
            w = f(z)
            assert jitgrad.autograd.grad((w + z).sum(), w)[0].tolist() == [1, 1]        # does not go through it
            (f(x).detach() * x).sum().backward()
            assert x.grad is not None


def test_a_slope_that_has_no_derivative() -> None:
    x = leaf([0.5, 4.0])
    first, = jitgrad.autograd.grad(F.hardsigmoid(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), [1 / 6, 0])
    refused(first.sum().backward, "derivative for aten::hardsigmoid_backward is not implemented")


@ways
@pytest.mark.parametrize("name", ["eq_", "ne_", "lt_", "le_", "gt_", "ge_", "less_", "not_equal_"])
def test_comparisons_in_place_give_zeros(name: str, way: str) -> None:
    x, y = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    with evaluated(way):
        z = x * 1
        getattr(z, name)(y)
        assert type(z.grad_fn).__name__.endswith("Backward1")
        assert [g.tolist() for g in jitgrad.autograd.grad((z + x).sum(), (x, y))] == [[1, 1], [0, 0]]
        z = jitgrad.zeros(2, dtype=jitgrad.float64)
        getattr(z, name)(y)
        assert jitgrad.autograd.grad(z.sum(), y)[0].tolist() == [0, 0]
        with jitgrad.no_grad():
            getattr(x, name)(2.0)


@pytest.mark.parametrize(("draw", "name"), [
    (lambda p, s: jitgrad.bernoulli(p), "BernoulliBackward0"), (lambda p, s: jitgrad.normal(p, 1.0), "NormalBackward1"),
    (lambda p, s: jitgrad.normal(0.0, s), "NormalBackward2"), (lambda p, s: jitgrad.normal(p, s), "NormalBackward3")])
def test_what_is_drawn_has_a_derivative_of_zeros(draw: Any, name: str) -> None:
    p, s = leaf([0.5, 0.25]), leaf([1.0, 2.0])
    drawn = draw(p, s)
    assert drawn.requires_grad and type(drawn.grad_fn).__name__ == name
    (drawn.sum() + (p * 2).sum() + s.sum()).backward()
    assert p.grad.tolist() == [2, 2] and s.grad.tolist() == [1, 1]
    with jitgrad.no_grad():
        assert not draw(p, s).requires_grad


def test_logic_in_place_is_not_seen() -> None:
    x = leaf([0.0, 2.0])
    y = x * 3
    y.logical_not_()
    assert y.tolist() == [1, 0] and type(y.grad_fn).__name__ == "MulBackward0"
    assert jitgrad.autograd.grad(y.sum(), x)[0].tolist() == [3, 3]


# -- norms, losses and others at their corners -----------------------------------------------------------------------

@ways
@pytest.mark.parametrize(("order", "value", "slope"), [
    (0.5, 9, [0, 3, 1.5]), (-1, 0, [0, 0, 0]), (2, math.sqrt(17), [0, 1 / math.sqrt(17), 4 / math.sqrt(17)]), (inf, 4, [0, 0, 1]),
    (-inf, 0, [0, 0, 0]), (3, 65 ** (1 / 3), [0, 65 ** (-2 / 3), 16 * 65 ** (-2 / 3)]), (1, 5, [0, 1, 1]),
    ("fro", math.sqrt(17), None)])
def test_norms(order: Any, value: float, slope: Any, way: str) -> None:
    with evaluated(way):
        for keepdim in (False, True):
            x = leaf([0.0, 1.0, 4.0])
            norm = x.norm(order, 0, keepdim)
            norm.sum().backward()
            close(norm, [value] if keepdim else value, 1e-12)
            assert x.grad is not None and (slope is None or close(x.grad, slope, 1e-12) is None)


@ways
def test_the_norm_that_counts_passes_no_gradient(way: str) -> None:
    x = leaf([0.0, 1.0, nan])
    with evaluated(way):
        norm = x.norm(0)
        norm.backward()
        assert norm.item() == 2 and x.grad is None


@pytest.mark.parametrize(("call", "words"), [
    (lambda x: x.norm(-1), "the -1 norm on an empty tensor"), (lambda x: x.norm(inf), "the inf norm on an empty tensor"),
    (lambda x: x.norm(-inf, 0), "the -inf norm on the dimension 0because"),
    (lambda x: x.norm(-2, (0, 1)), "the -2 norm on the dimension 0because")])
def test_norms_of_nothing(call: Callable[[Tensor], Tensor], words: str) -> None:
    refused(lambda: call(jitgrad.zeros(0, 3)), f"linalg.vector_norm cannot compute {words}")
    assert jitgrad.zeros(0).norm().item() == jitgrad.zeros(0).norm(0.5).item() == 0 and jitgrad.zeros(0, 3).norm(inf, 1).shape == (0,)


CORNERS: dict[str, tuple[Callable[[Any], Any], list[float], list[list[float]]]] = {      # at points: first and second derivatives
    "huber": (lambda x: F.huber_loss(x, jitgrad.zeros_like(x), "sum", 1.0), [-2.0, -1.0, 0.0, 0.5, 1.0, inf],
              [[-1, -1, 0, 0.5, 1, 1], [0, 0, 1, 1, 0, 0]]),
    "smooth_l1": (lambda x: F.smooth_l1_loss(x, jitgrad.zeros_like(x), reduction="sum"), [-2.0, -1.0, 0.0, 0.5, 1.0, inf],
                  [[-1, -1, 0, 0.5, 1, 1], [0, 0, 1, 1, 0, 0]]),
    "elu": (lambda x: F.elu(x, 2.0), [-inf, -1.0, 0.0, 1.0, inf], [[0, 2 / math.e, 2, 1, 1], [0, 2 / math.e, 0, 0, 0]]),
    "celu": (lambda x: F.celu(x, 2.0), [-2.0, 0.0, 1.0], [[1 / math.e, 1, 1], [0.5 / math.e, 0, 0]]),
    "logit": (jitgrad.logit, [-1.0, 0.25, 2.0], [[nan, 16 / 3, nan]]),
    "logit(eps)": (lambda x: jitgrad.logit(x, 0.2), [-1.0, 0.25, 2.0], [[0, 16 / 3, 0]]),
    "copysign": (lambda x: jitgrad.copysign(x, -1.0), [-2.0, 0.0, 2.0], [[1, 0, -1]]),
    "trunc": (lambda x: jitgrad.div(x, x.detach() * 0, rounding_mode="trunc"), [1.0, 2.0], [[0, 0]]),
    "lerp": (lambda x: jitgrad.lerp(x, x.detach() * 0 + inf, 0.25), [1.0, 2.0], [[0.75, 0.75]]),
    "bce": (lambda x: F.binary_cross_entropy(x, x.detach(), reduction="sum"), [0.0, 0.5, 1.0], [[0, 0, 0]])}


@ways
@kinds
@pytest.mark.parametrize("name", CORNERS)
def test_corners(name: str, dtype: Any, way: str) -> None:
    f, at, expected = CORNERS[name]
    with evaluated(way):
        for found, values in zip(derivatives(f, leaf(at, dtype), len(expected))[1:], expected, strict=True):
            close(found, values)


@pytest.mark.parametrize("f", [lambda x: x.log_(), lambda x: x.sin_(), lambda x: x.logit_(), lambda x: F.elu(x, inplace=True),
                               lambda x: x.mul_(3.0), lambda x: x.pow_(2), lambda x: x.copysign_(x.detach() * 1)])
def test_the_second_order_of_what_writes_over_its_operand(f: Callable[[Tensor], Tensor]) -> None:
    x = leaf([0.25, 0.5])
    found = []
    for copy in (lambda x: x.clone(), lambda x: x * 1):
        g, = jitgrad.autograd.grad((f(copy(x)) * x).sum(), x, create_graph=True)
        found.append(jitgrad.autograd.grad(g.sum(), x)[0].tolist())
    with jitgrad.no_grad():
        step = 1e-4
        values = [(f(x.detach() + d) * (x.detach() + d)).numpy() for d in (-step, 0, step)]
    np.testing.assert_allclose(found[0], (values[0] - 2 * values[1] + values[2]) / step ** 2, rtol=1e-4, atol=1e-5)
    assert found[0] == found[1]
