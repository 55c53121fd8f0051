"""Continuous distributions of one number, by location and scale or by rate."""
from __future__ import annotations

import math
from typing import Any

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.distribution import Distribution, ExponentialFamily, broadcast_all, gaussian, uniform
from jitgrad.tensors.tensor import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class _LocationScale(Distribution):
    """Parameters loc and scale."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc


class Normal(_LocationScale, ExponentialFamily):
    """The normal distribution of this mean and standard deviation."""

    @property
    def stddev(self) -> Tensor:
        """scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale ** 2."""
        return self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.loc + gaussian(self._extended_shape(sample_shape), self.loc) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - HALF_LOG_TWO_PI

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return 0.5 * (1 + jitgrad.erf((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return self.loc + self.scale * jitgrad.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """See Distribution."""
        return 0.5 + HALF_LOG_TWO_PI + jitgrad.log(self.scale)


class Laplace(_LocationScale):
    """Density exp(-|x - loc| / scale) / (2 * scale)."""

    @property
    def variance(self) -> Tensor:
        """2 * scale ** 2."""
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        """sqrt(2) * scale."""
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        u = 2 * uniform(self._extended_shape(sample_shape), self.loc) - 1
        return self.loc - self.scale * u.sign() * jitgrad.log1p(-u.abs().clamp(max=1 - 1e-7))

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return -jitgrad.log(2 * self.scale) - jitgrad.abs(value - self.loc) / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        x = value - self.loc
        return 0.5 - 0.5 * x.sign() * jitgrad.expm1(-x.abs() / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        x = value - 0.5
        return self.loc - self.scale * x.sign() * jitgrad.log1p(-2 * x.abs())

    def entropy(self) -> Tensor:
        """See Distribution."""
        return 1 + jitgrad.log(2 * self.scale)


class Cauchy(_LocationScale):
    """Density 1 / (pi * scale * (1 + ((x - loc) / scale) ** 2))."""

    @property
    def mean(self) -> Tensor:
        """nan: there is none."""
        return jitgrad.full(self._extended_shape(), math.nan, dtype=self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return jitgrad.full(self._extended_shape(), math.inf, dtype=self.loc.dtype)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.icdf(uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return jitgrad.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return jitgrad.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        """See Distribution."""
        return math.log(4 * math.pi) + self.scale.log()


class Uniform(Distribution):
    """The same density everywhere from low to below high."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    @property
    def arg_constraints(self) -> Any:           # type: ignore[override]
        """low < high."""
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    @property
    def support(self) -> Any:                   # type: ignore[override]
        """From low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """nan: the density is the same everywhere."""
        return math.nan * self.high

    @property
    def variance(self) -> Tensor:
        """(high - low) ** 2 / 12."""
        return (self.high - self.low).pow(2) / 12

    @property
    def stddev(self) -> Tensor:
        """(high - low) / sqrt(12)."""
        return (self.high - self.low) / 12**0.5

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.low + uniform(self._extended_shape(sample_shape), self.low) * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        inside = (self.low <= value) & (self.high > value)
        return jitgrad.log(inside.to(self.low.dtype)) - jitgrad.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """See Distribution."""
        return jitgrad.log(self.high - self.low)


class Exponential(ExponentialFamily):
    """Density rate * exp(-rate * x) where x is not negative."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """0."""
        return jitgrad.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        """1 / rate ** 2."""
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return -jitgrad.log(uniform(self._extended_shape(sample_shape), self.rate)) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return 1 - jitgrad.exp(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return -jitgrad.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        """See Distribution."""
        return 1.0 - jitgrad.log(self.rate)
