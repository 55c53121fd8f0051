"""NIST's problems: read rightly, differentiated rightly, and fitted to their certified values from both starts."""
from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

import jitgrad
from jitgrad.nist import NAMES, least_squares, load
from jitgrad.nist.expression import FormulaError, compile_formula, functions
from jitgrad.nist.levenberg import predictions
from jitgrad.nist.problems import parse
from jitgrad.requests import schedule_cache

SMALL = """NIST/ITL StRD
Dataset Name:  Small             (Small.dat)
               Certified Values  (lines 14 to  15)
               Data              (lines 19 to  21)
               Lower Level of Difficulty
Model:         Exponential Class
               2 Parameters (b1 and b2)

               log[y] = b1 - b2*x1
                           * exp[-x2]  +  e

          Starting values                  Certified Values
        Start 1     Start 2           Parameter     Standard Deviation
  b1 =     2           2.5         2.0000000000E+00  1.0E-01
  b2 =     1E-3        0.1         5.0000000000E-01  1.0E-02
Residual Sum of Squares:                    0.0000000000E+00

Data:  y   x1  x2
       7.3890560989306495 0.0 1.0
       1.0E0 4.0 0.0
       4.481689070338065  1.0 0.0
"""


@pytest.fixture(autouse=True)
def _interpreted():
    with jitgrad.interpret():       # the demo's test fits all of them compiled
        yield


def test_there_are_thirteen():
    assert len(NAMES) == 13 and load("misra1A").name == "Misra1a"
    with pytest.raises(ValueError, match="unknown problem 'Misra9': there are Bennett5, Chwirut2"):
        load("Misra9")


@pytest.mark.parametrize("name", NAMES)
def test_model_and_data(name):
    """At the certified parameters the residuals have the certified sum of squares, and the Jacobian is right."""
    problem = load(name)
    certified = np.array(problem.certified)
    jacobian = predictions(problem.model)
    predicted, jac = jacobian(certified)
    assert ((predicted - problem.response) ** 2).sum() == pytest.approx(problem.residual, rel=1e-6)
    assert problem.digits(certified) == 11
    assert problem.digits(certified * (1 + 2e-7)) == pytest.approx(6.7, abs=0.1)
    for i, value in enumerate(certified):
        step = np.zeros(len(certified))
        step[i] = 1e-6 * abs(value)
        ends = [jacobian(certified + s)[0] for s in (step, -step)]
        slope = (ends[0] - ends[1]) / (2 * step[i])
        np.testing.assert_allclose(jac[:, i], slope, rtol=1e-5, atol=1e-5 * np.abs(jac[:, i]).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [0, 1])
def test_fit(name, start):
    problem = load(name)
    fit = least_squares(problem.model, problem.response, problem.starts[start])
    assert fit.converged and problem.digits(fit.values) >= 9
    assert fit.residual == pytest.approx(problem.residual, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [0, 1])
def test_fit_with_scipy(name, start):
    problem = load(name)
    jacobian = predictions(problem.model)
    with np.errstate(all="ignore"):
        found = optimize.least_squares(
            lambda b: jacobian(b)[0] - problem.response, problem.starts[start],
            jac=lambda b: jacobian(b)[1], method="lm", x_scale="jac", ftol=1e-15, xtol=1e-15,
            gtol=1e-15, max_nfev=10_000)
    assert problem.digits(found.x) >= 6


@pytest.mark.parametrize("name", ["Misra1a", "Roszman1"])
def test_compiled_model_agrees(name, monkeypatch):
    problem = load(name)
    jacobian, start = predictions(problem.model), np.array(problem.starts[0])
    expected = jacobian(start)
    monkeypatch.setattr(schedule_cache.interpreting, "active", False)
    found = jacobian(start)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_parse_two_predictors_and_a_transformed_response():
    problem = parse(SMALL)
    assert (problem.name, problem.parameters, problem.starts) == ("Small", ("b1", "b2"), ((2.0, 0.001), (2.5, 0.1)))
    assert problem.formula == "b1 - b2*x1 * exp(-x2)"
    np.testing.assert_allclose(problem.response, [2, 0, 1.5])
    fit = least_squares(problem.model, problem.response, problem.starts[1])
    np.testing.assert_allclose(fit.values, [2, 0.5], rtol=1e-12)
    assert fit.residual < 1e-25


@pytest.mark.parametrize(("removed", "message"), [
    ("Dataset Name:", "no 'Dataset Name:'"), ("Data              (lines 19", "does not say which lines"),
    ("Model:", "no model"), ("log[y] =", "no line 'y = "), ("Residual Sum", "no residual"), ("b2*", "parameter b2"),
    ("Lower Level", "no level")])
def test_parse_says_what_is_missing(removed, message):
    with pytest.raises(ValueError, match=message):
        parse(SMALL.replace(removed, ""))


def test_least_squares_refuses_a_start_that_is_not_finite():
    problem = load("Misra1a")
    with pytest.raises(ValueError, match="not finite at the start"):
        least_squares(problem.model, problem.response, (float("nan"), 1.0))


def test_least_squares_stops_at_the_limit():
    problem = load("Bennett5")
    fit = least_squares(problem.model, problem.response, problem.starts[0], limit=5)
    assert not fit.converged and fit.evaluations == 5


def test_least_squares_starts_at_the_solution():
    x = jitgrad.tensor([1.0, 2.0, 3.0], dtype=jitgrad.float64)
    fit = least_squares(lambda a, b: a + b * x, np.array([3.0, 5.0, 7.0]), (1.0, 2.0))
    assert fit.converged and fit.values.tolist() == [1, 2] and fit.residual == 0


def test_least_squares_with_a_parameter_that_does_nothing():
    x = jitgrad.tensor([1.0, 2.0, 3.0], dtype=jitgrad.float64)
    fit = least_squares(lambda a, b: a * x + 0 * b, np.array([2.0, 4.0, 6.5]), (1.0, 7.0))
    assert fit.converged and fit.values == pytest.approx([29.5 / 14, 7.0])


def test_formula():
    f = compile_formula(" 2*pi*x/12 + ln(b1**2) - arctan(-x) ", ("b1", "x"), functions(["ln", "arctan"]))
    value = f(jitgrad.tensor(3.0), jitgrad.tensor(1.5)).item()
    assert value == pytest.approx(2 * np.pi * 1.5 / 12 + np.log(9) + np.arctan(1.5), rel=1e-6)


@pytest.mark.parametrize(("text", "message"), [
    ("x +", "cannot read"), ("x.shape", "Attribute is not allowed"), ("x[0]", "Subscript is not allowed"),
    ("__import__('os')", "is not a function that it can call: there are exp"), ("'a' * x", "'a' is not a number"),
    ("1j * x", "1j is not a number"), ("y + 1", "unknown name y; it can use x"),
    ("(lambda: x)()", "Lambda is not allowed|not a function"), ("[x for x in x]", "ListComp is not allowed"),
    ("exp(x)(x)", "is not a function"), ("f'{x}'", "JoinedStr is not allowed"),
    ("x if x else x", "IfExp is not allowed"),
    ("exp(*x)", "Starred is not allowed"), ("(y := x)", "NamedExpr is not allowed"), ("", "cannot read")])
def test_formula_refuses(text, message):
    with pytest.raises(FormulaError, match=message):
        compile_formula(text, ("x",), functions(["exp"]))
