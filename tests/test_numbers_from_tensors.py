"""0-d tensors given for numbers and dimensions: every operator takes them as PyTorch does, and reads each anew."""
from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error, run, torch

import jitgrad
from jitgrad.operators.declaration.declare import OPERATORS

pytestmark = pytest.mark.full

# Each is written with {}: a tensor of the numbers in the list.
NUMBERS = [
    ("T.add(x, y, alpha={})", (.5, 2.)), ("x.clone().add_(y, alpha={})", (.5, 2)), ("T.sub(x, y, alpha={})", (.5, 2.)),
    ("x.clone().sub_(y, alpha={})", (.5, 2.)), ("T.rsub(x, y, alpha={})", (.5, 2.)), ("T.add(i, i, alpha={})", (2, 3)),
    ("T.addcmul(x, y, y, value={})", (.5, 2.)), ("x.clone().addcmul_(x, y, value={})", (.5, 2.)),
    ("T.addcdiv(x, y, y, value={})", (.5, 2.)), ("x.clone().addcdiv_(x, y, value={})", (.5, 2.)),
    ("T.addmm(T.ones(2, 2), x, y.t(), beta={}, alpha=2)", (.5, 2.)), ("T.addmm(T.ones(2, 2), x, y.t(), alpha={})", (.5, 2.)),
    ("F.elu(x, {})", (.5, 2.)), ("F.elu(x.clone(), alpha={}, inplace=True)", (.5, 2.)), ("F.celu(x, alpha={})", (.5, 2.)),
    ("F.leaky_relu(x, {})", (.5, .25)), ("F.softplus(x, {})", (.5, 2.)), ("F.softplus(x, 1, {})", (.5, 2.)),
    ("F.threshold(x, {}, 7.)", (.5, 2.)), ("F.threshold(x, .5, {})", (.5, 2.)), ("F.hardtanh(x, -1., {})", (.5, 2.)),
    ("F.smooth_l1_loss(x, y, beta={})", (.5, 2.)), ("F.huber_loss(x, y, delta={})", (.5, 2.)),
    ("F.cross_entropy(x, c, label_smoothing={})", (.25, .5)), ("F.cross_entropy(x, c, ignore_index={})", (0, 1)),
    ("F.nll_loss(x, c, ignore_index={})", (0, 1)), ("F.one_hot(c, {})", (3, 4)), ("T.nan_to_num(g, nan={})", (.5, 2.)),
    ("T.logit(p, eps={})", (.25, .125)), ("T.isclose(x, y, atol={})", (.5, 4.)), ("T.allclose(x, y, atol={})", (.5, 40.)),
    ("T.lerp(x, y, {})", (.5, .25)), ("T.clamp(x, {})", (.5, 1.)), ("x.clone().clamp_(max={})", (.5, 1.)),
    ("T.masked_fill(x, m, {})", (.5, 2.)), ("x.clone().fill_({})", (.5, 2.)), ("x.norm({})", (1., 3.)),
    ("x.var(0, correction={})", (0, 1)), ("T.std(x, correction={})", (0, 1.5)), ("x.round(decimals={})", (0, 1)),
    ("T.full((2,), {})", (.5, 2)), ("T.full_like(x, {})", (.5, 2.)), ("T.linspace(0, {}, 3)", (1., 2.)),
    ("x.clone().normal_({}, 0)", (.5, 2.)), ("T.arange({})", (3, 4)), ("T.eye({})", (3, 4)), ("T.linspace(0, 1, {})", (3, 4)),
    ("x.repeat({}, 1)", (1, 2)), ("T.tile(x, ({}, 2))", (1, 2)), ("T.roll(x, {})", (1, 2)), ("T.chunk(x, {})", (1, 2)),
    ("x.split({})", (1, 2)), ("x.new_full((2,), {})", (.5, 2.)), ("x.view({}, -1)", (1, 3)), ("T.zeros({}, 2)", (1, 3)),
    ("x.select(0, {})", (0, 1)), ("x.narrow(1, {}, 1)", (0, 1)), ("T.stack([x, y], {})", (0, 1)), ("T.cat([x, y], dim={})", (0, 1)),
    *[(f"x.{name}({{}})", (0, 1)) for name in
      "sum mean prod amax amin logsumexp argmax argmin any all std var softmax log_softmax count_nonzero unsqueeze unbind".split()],
    ("x.max(dim={})", (0, 1)), ("x.sum(dim=({},))", (0, 1)), ("x.flip({})", (0, 1)), ("T.flip(x, ({},))", (0, 1)),
    ("x.gather({}, T.tensor([[1, 0, 1]]))", (0,)), ("x.index_select({}, c)", (0, 1)), ("T.take_along_dim(x, i % 2, {})", (0, 1)),
    ("x.transpose({}, 0)", (0, 1)), ("x.permute({}, 0)", (1,)), ("x.movedim({}, 0)", (0, 1)),
]


@pytest.mark.parametrize("interpreted", [False, True])
@pytest.mark.parametrize(("code", "values"), NUMBERS)
def test_a_number_may_be_a_tensor_and_another_each_time(code: str, values: tuple, interpreted: bool) -> None:
    with jitgrad.interpret() if interpreted else jitgrad.enable_grad():
        for value in values * 3:        # an operator that was learnt is asked again
            check(code.format(f"T.tensor({value})"))


@pytest.mark.parametrize("name", OPERATORS)
def test_parameters_for_numbers_are_annotated_as_such(name: str) -> None:
    """By annotations operators know where a tensor stands for a number."""
    for schema in OPERATORS[name].schemas:
        for p in schema.parameters:
            listed = name == "tensordot" and p.name == "dims"       # a tensor is a list of pairs there
            assert p.number is not None or not isinstance(p.default, (int, float)) or listed, p


@pytest.mark.parametrize("code", ["T.add(x, y, alpha={})", "x.clone().add_(y, alpha={})", "T.addcmul(x, y, y, value={})",
                                  "F.elu(x, {})", "x.norm({})", "T.isclose(x, y, {})"])
@pytest.mark.parametrize("value", ["T.tensor(2., requires_grad=True)", "T.tensor([2., 1.])", "T.tensor(2., requires_grad=True) * 1"])
def test_a_tensor_that_is_no_number_is_refused(code: str, value: str) -> None:
    check_error(code.format(value), same_words=0)
    assert isinstance(run(jitgrad, code.format(value)), TypeError)


@pytest.mark.parametrize("code", ["x.sum({})", "x.softmax({})", "x.argmax({})", "x.round(decimals={})", "T.cat([x, y], {})"])
def test_a_dimension_is_a_tensor_of_integers(code: str) -> None:
    check_error(code.format("T.tensor(0.)"), same_words=0)


def test_a_flag_is_no_tensor() -> None:
    for code in ("x.sum(0, T.tensor(True))", "x.logsumexp(0, keepdim=T.tensor(True))", "x.std(0, unbiased=T.tensor(True))"):
        check_error(code, same_words=0)


@pytest.mark.parametrize("kind", ["loop", "compile"])
def test_gradients_follow_the_number(kind: str) -> None:
    """Recorded by Python, then by machine code; in a captured function the tensor's value is an input or guarded."""
    found = {}
    for lib in (jitgrad, torch):
        def f(x, y, a, dim):
            return (lib.add(x, y, alpha=a) * x + lib.nn.functional.elu(x, alpha=a)).sum(dim).square().sum()     # noqa: B023

        step = jitgrad.compile(f) if lib is jitgrad and kind == "compile" else f
        x = lib.tensor([[1., -2., 3.], [-1., 2., .5]], requires_grad=True)
        y = lib.tensor([[2., 1., .5], [1., 1., -1.]], requires_grad=True)
        found[lib] = []
        for i in range(12):
            x.grad = y.grad = None
            step(x, y, lib.tensor(.5 + i % 3), lib.tensor(i % 2)).backward()
            found[lib].append([x.grad.tolist(), y.grad.tolist()])
    np.testing.assert_allclose(found[jitgrad], found[torch], rtol=1e-5)


def test_an_in_place_number_in_a_graph() -> None:
    for lib in (jitgrad, torch):
        x = lib.tensor([1., 2.], requires_grad=True)
        y = x * 2
        y.addcmul_(x, x, value=lib.tensor(.5)).sub_(x, alpha=lib.tensor(3))
        y.sum().backward()
        assert x.grad.tolist() == [0., 1.]
