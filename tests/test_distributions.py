"""jitgrad.distributions against torch.distributions: densities, moments, divergences, checks; samples against their own moments."""
from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import jitgrad

pytestmark = pytest.mark.full

torch = pytest.importorskip("torch")

VALUES = {"real": [-0.7, 0.3, 2.5], "positive": [0.2, 1.1, 3.0], "unit": [0.1, 0.5, 0.8], "binary": [0.0, 1.0, 1.0],
          "count": [0.0, 2.0, 5.0]}
CASES = {
    "Normal(a, b)": "real", "Laplace(a, b)": "real", "Cauchy(a, b)": "real", "Uniform(a - 3, a + 4 * b)": "unit",
    "Exponential(b)": "positive",
    "Gamma(b, c)": "positive", "Chi2(b)": "positive", "Beta(b, c)": "unit", "StudentT(b + 2, a, c)": "real",
    "Bernoulli(probs=u)": "binary",
    "Bernoulli(logits=a)": "binary", "Geometric(probs=u)": "count", "Poisson(b)": "count", "Binomial(6, probs=u)": "count",
    "LogNormal(a, b)": "positive", "HalfNormal(b)": "positive", "HalfCauchy(b)": "positive", "Gumbel(a, b)": "real",
    "Weibull(b, c)": "positive",
    "Pareto(b / 10, c)": "positive", "Categorical(probs=m)": "class", "Categorical(logits=m)": "class", "Dirichlet(m)": "simplex",
    "Independent(D.Normal(a, b), 1)": "real", "TransformedDistribution(D.Normal(a, b), [D.ExpTransform(), D.AffineTransform(0.05, "
                                              "2.0)])": "positive",
    "TransformedDistribution(D.Normal(a, b), [D.SigmoidTransform()])": "unit",
    "TransformedDistribution(D.Normal(a, b), [D.TanhTransform(), D.AffineTransform(0.5, -0.5)])": "unit",
    "MultivariateNormal(a, s)": "real", "MultivariateNormal(a, scale_tril=L)": "real",
    "MultivariateNormal(a, precision_matrix=s)": "real",
    "MixtureSameFamily(D.Categorical(probs=b), D.Normal(a, c))": "real"}


@pytest.fixture(autouse=True)
def _interpreted():
    with jitgrad.interpret():
        yield


def names(xp: Any) -> dict[str, Any]:
    arrays = {"a": [-0.5, 0.4, 1.5], "b": [0.4, 1.3, 2.2], "c": [1.7, 0.6, 1.2], "u": [0.2, 0.5, 0.7],
              "m": [[0.4, 1.3, 2.2], [1.0, 0.5, 0.3]], "s": [[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]],
              "L": [[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.1, 0.7]]}
    given = {k: xp.tensor(v, dtype=xp.float64, requires_grad=True) for k, v in arrays.items()}
    return {**given, "T": xp, "D": xp.distributions}


def values(xp: Any, kind: str) -> Any:
    if kind == "class":
        return xp.tensor([2, 0])
    if kind == "simplex":
        return xp.tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], dtype=xp.float64)
    return xp.tensor(VALUES[kind], dtype=xp.float64)


@pytest.mark.parametrize("code", CASES)
def test_density_moments_and_gradients(code: str) -> None:
    found: list[list[Any]] = []
    for xp in (jitgrad, torch):
        known = names(xp)
        d = eval(f"D.{code}", known)
        value, shown = values(xp, CASES[code]), repr(d).replace(", logits: torch.Size([3])),", "),")
        results = [d.log_prob(value)]
        for what in ("mean", "variance", "stddev", "mode", "entropy", "cdf"):
            if not any([what in vars(c) for c in type(d).__mro__[:-1]]) and what not in ("stddev", "mean", "variance"):
                continue
            try:
                got = getattr(d, what)
                results.append((what, got(value) if what == "cdf" else got() if inspect.ismethod(got) else got))
            except NotImplementedError:
                pass
        differentiable = [r for r in (results[0], *[r for n, r in results[1:] if n in ("entropy", "variance")]) if r.requires_grad]
        sum(r[xp.isfinite(r)].sum() for r in differentiable).backward()
        grads = {k: v.grad.numpy() for k, v in known.items() if isinstance(v, xp.Tensor) and v.grad is not None}
        found.append([results[0].detach().numpy(), {n: r.detach().numpy() for n, r in results[1:]}, grads, shown, tuple(d.batch_shape),
                      tuple(d.event_shape), d.has_rsample, tuple(d.expand((2, 1, *d.batch_shape)).log_prob(value).shape)])
    (log_prob, moments, grads, *facts), (log_prob2, moments2, grads2, *facts2) = found
    np.testing.assert_allclose(log_prob, log_prob2, rtol=1e-9, atol=1e-11)
    assert facts == facts2 and grads.keys() == grads2.keys()
    for name in moments.keys() & moments2.keys():
        np.testing.assert_allclose(moments[name], moments2[name], rtol=1e-8, atol=1e-10, err_msg=name)
    assert {"mean", "entropy"} & moments2.keys() <= moments.keys()
    for name in grads:
        np.testing.assert_allclose(grads[name], grads2[name], rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("code", CASES)
def test_samples(code: str) -> None:
    jitgrad.manual_seed(1)
    d = eval(f"D.{code}", names(jitgrad))
    drawn = d.sample((20000,))
    assert tuple(drawn.shape) == (20000, *d.batch_shape, *d.event_shape) and not drawn.requires_grad
    assert bool(d.support.check(drawn).all())
    try:
        mean, variance = d.mean.detach().numpy(), d.variance.detach().numpy()
    except NotImplementedError:
        return
    at = np.isfinite(mean) & np.isfinite(variance)
    error = np.abs(drawn.numpy().mean(0) - mean)[at] / np.sqrt(variance[at] / 20000)
    assert (error < 5).all()
    jitgrad.manual_seed(1)
    assert (eval(f"D.{code}", names(jitgrad)).sample((20000,)) == drawn).all()
    assert not d.has_rsample or d.rsample().requires_grad


@pytest.mark.parametrize("pair", ["Normal(a, b)|Normal(b, c)", "Laplace(a, b)|Laplace(b, c)", "Uniform(a, a + b)|Uniform(a - 1, a + 4)",
                                  "Uniform(a, a + b)|Normal(a, c)", "Exponential(b)|Exponential(c)", "Exponential(b)|Gamma(b, c)",
                                  "Gamma(b, c)|Exponential(c)", "Gamma(b, c)|Gamma(c, b)", "Beta(b, c)|Beta(c, b)",
                                  "Dirichlet(b)|Dirichlet(c)",
                                  "Bernoulli(u)|Bernoulli(logits=a)", "Categorical(b)|Categorical(logits=a)",
                                  "Geometric(u)|Geometric(u / 2)",
                                  "Poisson(b)|Poisson(c)", "LogNormal(a, b)|LogNormal(b, c)",
                                  "Independent(D.Normal(a, b), 1)|Independent(D.Normal(b, c), 1)",
                                  "MultivariateNormal(a, s)|MultivariateNormal(b, scale_tril=L)",
                                  "Cauchy(a, b)|Cauchy(b, c)", "Binomial(6, u)|Binomial(6, u / 2)", "Binomial(6, u)|Binomial(5, u)",
                                  *[f"{p}|Normal(a, c)" for p in ("Beta(b, c)", "Exponential(b)", "Gamma(b, c)", "Laplace(a, b)")],
                                  "Normal(a, b)|Laplace(b, c)", "Normal(a, b)|Gamma(b, c)", "Exponential(b)|Uniform(a, a + b)",
                                  "Beta(b, c)|Exponential(c)", "Beta(b, c)|Gamma(c, b)", "Beta(b, c)|Uniform(a - 1, a + 1)",
                                  "Uniform(a, a + b)|Exponential(c)", "Uniform(u, u + b)|Gamma(b, c)", "Uniform(u / 2, u)|Beta(b, c)",
                                  "Bernoulli(u)|Poisson(b)"])
def test_divergences(pair: str) -> None:
    p, q = pair.split("|")
    found = []
    for xp in (jitgrad, torch):
        known = names(xp)
        value = eval(f"D.kl_divergence(D.{p}, D.{q})", known)
        if value.requires_grad:
            value[xp.isfinite(value)].sum().backward()
        found.append([value.detach().numpy(), *[np.nan_to_num(v.grad.numpy()) if v.grad is not None else 0 for v in known.values()
                                                if isinstance(v, xp.Tensor)]])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_no_divergence() -> None:
    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Normal and q type Bernoulli"):
        eval("D.kl_divergence(D.Normal(a, b), D.Bernoulli(u))", names(jitgrad))


@pytest.mark.parametrize("code", [
    "D.Normal(a, -b)", "D.Normal(0.0, -1.0)", "D.Normal(a, b).log_prob(a * float('nan'))", "D.Bernoulli(0.25).log_prob(a[0])",
    "D.Categorical(m).log_prob(T.tensor([5, 0]))", "D.Uniform(1.0, 0.0)", "D.Dirichlet(-b)", "D.Bernoulli(0.5, 0.5)",
    "D.Normal(0.0, 1.0).log_prob(1.0)",
    "D.Exponential(1.0).log_prob(a)", "D.Dirichlet(b).log_prob(a)", "D.Independent(D.Normal(a, b), 3)",
    "D.Normal(a, b).log_prob(m[0, :2])",
    "D.Dirichlet(b[0])", "D.MultivariateNormal(a)", "D.Beta(b, c).log_prob(a)", "D.Beta(b, c).expand((2, 3)).log_prob(a)",
    "D.HalfNormal(b).log_prob(a)", "D.Beta(-b, c)"])
def test_what_is_wrong_is_told(code: str) -> None:
    messages = []
    for xp in (jitgrad, torch):
        with pytest.raises((ValueError, RuntimeError)) as error:
            eval(code, names(xp))
        messages.append((error.type, re.sub(r",\s+(grad_fn|requires_grad)=.*", "", str(error.value))))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("transform", ["ExpTransform()", "SigmoidTransform()", "TanhTransform()", "SoftplusTransform()",
                                       "AffineTransform(1.0, -2.0)",
                                       "AffineTransform(a, b, event_dim=1)",
                                       "ComposeTransform([D.ExpTransform(), D.PowerTransform(2.0)])",
                                       "StickBreakingTransform()", "IndependentTransform(D.ExpTransform(), 1)", "ExpTransform().inv"])
def test_transforms(transform: str) -> None:
    found = []
    for xp in (jitgrad, torch):
        known = names(xp)
        t = eval(f"D.{transform}" if "Independent" not in transform else f"D.transforms.{transform}", known)
        x = known["b"].detach()
        y = t(x)
        found.append([y, t.inv(y), t.log_abs_det_jacobian(x, y)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)


def test_gamma_samples_follow_their_quantile() -> None:
    """The derivative of a sample by its concentration is that at a fixed value of the distribution function."""
    special = pytest.importorskip("scipy.special")
    from jitgrad.distributions.gamma_family import quantile_slope
    a = np.array([0.1, 0.5, 1.0, 2.5, 10.0, 300.0])[:, None]
    q = np.array([0.05, 0.5, 0.95])
    x = special.gammaincinv(a, q)
    h = 1e-5 * a
    expected = (special.gammaincinv(a + h, q) - special.gammaincinv(a - h, q)) / (2 * h)
    np.testing.assert_allclose(quantile_slope(*np.broadcast_arrays(a, x)), expected, rtol=1e-5)
