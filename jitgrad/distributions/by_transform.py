"""Distributions that are transforms of others: LogNormal, HalfNormal, HalfCauchy, Gumbel, Pareto, Weibull."""
from __future__ import annotations

import math
from typing import Any

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.composed import TransformedDistribution
from jitgrad.distributions.continuous import Cauchy, Exponential, Normal, Uniform
from jitgrad.distributions.distribution import broadcast_all, uniform
from jitgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
)
from jitgrad.graph.recording import in_grad_mode
from jitgrad.tensors.tensor import Tensor


class LogNormal(TransformedDistribution):
    """exp of a normal number."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """That of the normal number."""
        return self.base_dist.loc           # type: ignore[attr-defined]

    @property
    def scale(self) -> Tensor:
        """That of the normal number."""
        return self.base_dist.scale         # type: ignore[attr-defined]

    @property
    def mean(self) -> Tensor:
        """exp(loc + scale ** 2 / 2)."""
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Tensor:
        """exp(loc - scale ** 2)."""
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        """The variance."""
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """See Distribution."""
        return self.base_dist.entropy() + self.loc


class _Half(TransformedDistribution):
    """The size of a number whose distribution is symmetric around 0."""

    arg_constraints = {"scale": constraints.positive}
    support: Any = constraints.nonnegative
    base: Any = None

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(type(self).base(0, scale, validate_args=validate_args), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """That of the number."""
        return self.base_dist.scale         # type: ignore[attr-defined]

    @property
    def mode(self) -> Tensor:
        """0."""
        return jitgrad.zeros_like(self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        value = jitgrad.as_tensor(value, dtype=self.scale.dtype)
        return jitgrad.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """See Distribution."""
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The size of a normal number of mean 0."""

    base = Normal

    @property
    def mean(self) -> Tensor:
        """scale * sqrt(2 / pi)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        """scale ** 2 * (1 - 2 / pi)."""
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The size of a Cauchy number around 0."""

    base = Cauchy

    @property
    def mean(self) -> Tensor:
        """inf."""
        return jitgrad.full(self._extended_shape(), math.inf, dtype=self.scale.dtype)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return self.base_dist.variance


class Gumbel(TransformedDistribution):
    """-log(-log(u)) of a uniform number, times scale plus loc."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support: Any = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        base = Uniform(jitgrad.zeros_like(self.loc), jitgrad.ones_like(self.loc), validate_args=False)
        super().__init__(base, [ExpTransform().inv, AffineTransform(0, -jitgrad.ones_like(self.scale)), ExpTransform().inv,
                                AffineTransform(self.loc, -self.scale)], validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.loc - self.scale * (-uniform(self._extended_shape(sample_shape), self.loc).log()).log()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return in_grad_mode(False, self.rsample, sample_shape)

    @property
    def mean(self) -> Tensor:
        """loc + scale times Euler's constant."""
        return self.loc + self.scale * 0.57721566490153286060

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale ** 2 * pi ** 2 / 6."""
        return (math.pi / math.sqrt(6)) ** 2 * self.scale.pow(2)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        y = (self.loc - value) / self.scale
        return (y - y.exp()) - self.scale.log()

    def entropy(self) -> Tensor:
        """See Distribution."""
        return self.scale.log() + (1 + 0.57721566490153286060)


class Pareto(TransformedDistribution):
    """scale times exp of an exponential number of rate alpha."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(Exponential(self.alpha, validate_args=validate_args), [ExpTransform(), AffineTransform(0, self.scale)],
                         validate_args)

    @property
    def mean(self) -> Tensor:
        """alpha * scale / (alpha - 1), inf up to alpha 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        """scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The variance, inf up to alpha 2."""
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    @property
    def support(self) -> Any:           # type: ignore[override]
        """From scale on."""
        return constraints.greater_than_eq(self.scale)

    def entropy(self) -> Tensor:
        """See Distribution."""
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(TransformedDistribution):
    """scale times a power of an exponential number: P(x > t) = exp(-(t / scale) ** concentration)."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support: Any = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(jitgrad.ones_like(self.scale), validate_args=validate_args)
        super().__init__(base, [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)], validate_args)

    @property
    def mean(self) -> Tensor:
        """scale * gamma(1 + 1 / concentration)."""
        return self.scale * jitgrad.exp(jitgrad.lgamma(1 + self.concentration.reciprocal()))

    @property
    def mode(self) -> Tensor:
        """Where the density is largest."""
        r = self.concentration.reciprocal()
        return self.scale * (1 - r).pow(r)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        r = self.concentration.reciprocal()
        return self.scale.pow(2) * (jitgrad.exp(jitgrad.lgamma(1 + 2 * r)) - jitgrad.exp(2 * jitgrad.lgamma(1 + r)))

    def entropy(self) -> Tensor:
        """See Distribution."""
        r = self.concentration.reciprocal()
        return 0.57721566490153286060 * (1 - r) + jitgrad.log(self.scale * r) + 1
