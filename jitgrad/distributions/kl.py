"""Kullback-Leibler divergences, by pair of classes."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jitgrad
from jitgrad.distributions.by_transform import LogNormal
from jitgrad.distributions.composed import Independent, TransformedDistribution
from jitgrad.distributions.continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from jitgrad.distributions.discrete import Bernoulli, Binomial, Categorical, Geometric, Poisson
from jitgrad.distributions.distribution import Distribution
from jitgrad.distributions.gamma_family import Beta, Dirichlet, Gamma
from jitgrad.distributions.multivariate_normal import MultivariateNormal, half_log_determinant, squared_distance
from jitgrad.distributions.transforms import summed
from jitgrad.nn import functional as F
from jitgrad.tensors.tensor import Tensor

_RULES: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """Decorate the function that computes the divergence for distributions of these classes (and of subclasses)."""
    if not (isinstance(type_p, type) and issubclass(type_p, Distribution)):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not (isinstance(type_q, type) and issubclass(type_q, Distribution)):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def decorate(fn: Callable) -> Callable:
        _RULES[type_p, type_q] = fn
        return fn

    return decorate


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The integral of p * log(p / q), one for each of the batch.  Raises NotImplementedError for pairs that have no rule."""
    fits = [(type(p).__mro__.index(a), type(q).__mro__.index(b), fn) for (a, b), fn in _RULES.items()
            if isinstance(p, a) and isinstance(q, b)]
    if not fits:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")
    return min(fits, key=lambda fit: fit[:2])[2](p, q)


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * jitgrad.exp(-distance / p.scale) - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return jitgrad.where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    normaliser = (math.sqrt(2 * math.pi) * q.scale / width).log()
    return normaliser + (width.pow(2) / 12 + ((p.high + p.low - 2 * q.loc) / 2).pow(2)) / 2 / q.scale.pow(2)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio = q.rate / p.rate
    return (-q.concentration * ratio.log() + ratio + jitgrad.lgamma(q.concentration) + q.concentration * 0.57721566490153286060
            - (1 + 0.57721566490153286060))


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    return (q.concentration * (p.rate / q.rate).log() + jitgrad.lgamma(q.concentration) - jitgrad.lgamma(p.concentration)
            + (p.concentration - q.concentration) * jitgrad.digamma(p.concentration) + (q.rate - p.rate) * (p.concentration / p.rate))


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    total = p.concentration.sum(-1)             # type: ignore[attr-defined]
    first = jitgrad.lgamma(total) - jitgrad.lgamma(q.concentration.sum(-1))          # type: ignore[attr-defined]
    second = (jitgrad.lgamma(p.concentration) - jitgrad.lgamma(q.concentration)).sum(-1)
    slope = jitgrad.digamma(p.concentration) - jitgrad.digamma(total).unsqueeze(-1)
    return first - second + ((p.concentration - q.concentration) * slope).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    first = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    first = jitgrad.where(p.probs == 0, 0.0, jitgrad.where(q.probs == 0, math.inf, first))
    second = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    return first + jitgrad.where(p.probs == 1, 0.0, jitgrad.where(q.probs == 1, math.inf, second))


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    one = p.probs * (p.logits - q.logits) + jitgrad.log1p(-p.probs) - jitgrad.log1p(-q.probs)
    return jitgrad.where(p.total_count > q.total_count, math.inf, p.total_count * one)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    parts = p.probs * (p.logits - q.logits)
    parts = jitgrad.where((q.probs == 0).expand_as(parts), math.inf, parts)
    return jitgrad.where((p.probs == 0).expand_as(parts), 0.0, parts).sum(-1)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - jitgrad.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError("KL-divergence between two Multivariate Normals with different event shapes cannot be computed")
    a, b = jitgrad.broadcast_tensors(p._factor, q._factor)
    trace = jitgrad.linalg.solve_triangular(b, a, upper=False).pow(2).sum((-2, -1))
    half = half_log_determinant(b) - half_log_determinant(a)
    return half + 0.5 * (trace + squared_distance(b, q.loc - p.loc) - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return summed(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)
