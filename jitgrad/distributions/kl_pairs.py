"""Divergences between distributions of different families: the integral of p * log(q) in closed form, or infinite."""
from __future__ import annotations

import math
from typing import Any

import jitgrad
from jitgrad.distributions.by_transform import Gumbel, Pareto
from jitgrad.distributions.continuous import Exponential, Laplace, Normal, Uniform
from jitgrad.distributions.discrete import Bernoulli, Binomial, Poisson
from jitgrad.distributions.gamma_family import Beta, Gamma
from jitgrad.distributions.kl import kl_divergence, register_kl
from jitgrad.tensors.tensor import Tensor

__all__ = ["kl_divergence"]     # which knows them all

# q is zero where p is not, whatever their parameters.
OUTSIDE = {Normal: (Beta, Exponential, Gamma, Pareto, Uniform), Laplace: (Beta, Exponential, Gamma, Pareto, Uniform),
           Gumbel: (Beta, Exponential, Gamma, Pareto, Uniform), Exponential: (Beta, Pareto, Uniform), Gamma: (Beta, Pareto, Uniform),
           Beta: (Pareto,), Pareto: (Beta, Uniform), Poisson: (Bernoulli, Binomial)}


def _infinite(p: Any, q: Any) -> Tensor:
    return jitgrad.full(p.batch_shape, math.inf, dtype=p.mean.dtype)


def _to_normal(p: Any, q: Normal) -> Tensor:
    variance = q.scale.pow(2)
    return -p.entropy() + 0.5 * (2 * math.pi * variance).log() + (p.variance + (p.mean - q.loc).pow(2)) / (2 * variance)


for _p, _others in OUTSIDE.items():
    for _q in _others:
        register_kl(_p, _q)(_infinite)
for _p in (Beta, Exponential, Gamma, Laplace):
    register_kl(_p, Normal)(_to_normal)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    distance = p.loc - q.loc
    ratio = distance / p.scale
    apart = math.sqrt(2 / math.pi) * p.scale * jitgrad.exp(-0.5 * ratio.pow(2)) + distance * jitgrad.erf(math.sqrt(0.5) * ratio)
    return -(p.scale / q.scale).log() + apart / q.scale - 0.5 * (1 + math.log(0.5 * math.pi))


@register_kl(Beta, Exponential)
def _beta_exponential(p: Beta, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _beta_gamma(p: Beta, q: Gamma) -> Tensor:
    log_mean = jitgrad.digamma(p.concentration1) - jitgrad.digamma(p.concentration1 + p.concentration0)
    return -p.entropy() + _normaliser(q) - (q.concentration - 1) * log_mean + q.rate * p.mean


@register_kl(Beta, Uniform)
def _beta_uniform(p: Beta, q: Uniform) -> Tensor:
    return jitgrad.where((q.low > 0) | (q.high < 1), math.inf, -p.entropy() + (q.high - q.low).log())


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Uniform, q: Exponential) -> Tensor:
    return jitgrad.where(p.low < 0, math.inf, -p.entropy() - q.rate.log() + q.rate * p.mean)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Uniform, q: Gamma) -> Tensor:
    result = -p.entropy() + _normaliser(q) - (q.concentration - 1) * _log_mean(p.low, p.high) + q.rate * p.mean
    return jitgrad.where(p.low < 0, math.inf, result)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    a, b = q.concentration1, q.concentration0
    result = (jitgrad.lgamma(a) + jitgrad.lgamma(b) - jitgrad.lgamma(a + b) - p.entropy() - (a - 1) * _log_mean(p.low, p.high)
              - (b - 1) * _log_mean(1 - p.high, 1 - p.low))
    return jitgrad.where((p.high > 1) | (p.low < 0), math.inf, result)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


def _normaliser(q: Gamma) -> Tensor:
    """The logarithm of what a Gamma density is divided by."""
    return jitgrad.lgamma(q.concentration) - q.concentration * q.rate.log()


def _log_mean(low: Tensor, high: Tensor) -> Tensor:
    """The mean of log(x) over an interval."""
    return (jitgrad.xlogy(high, high) - jitgrad.xlogy(low, low)) / (high - low) - 1
