"""Distributions made of gamma-distributed numbers: Gamma, Chi2, Beta, Dirichlet, StudentT."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

import jitgrad
from jitgrad.autograd.function import Function, once_differentiable
from jitgrad.distributions import constraints
from jitgrad.distributions.distribution import Distribution, ExponentialFamily, broadcast_all, drawn, gaussian
from jitgrad.ops.reference import polygamma
from jitgrad.tensors.tensor import Tensor, from_array


class _StandardGamma(Function):
    """Numbers with the density x ** (a - 1) * exp(-x) / gamma(a), as a function of a at a fixed quantile (Figurnov et al. 2018)."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        a = concentration.detach()._array()
        result = drawn(lambda g: np.maximum(g.standard_gamma(np.asarray(a, np.float64)), np.finfo(a.dtype).tiny), concentration)
        ctx.save_for_backward(concentration, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        concentration, sample = ctx.saved_tensors
        slope = quantile_slope(concentration._array().astype(np.float64), sample._array().astype(np.float64))
        return grad * from_array(slope.astype(concentration.dtype.np), device=concentration._node.spec.type.device)


def quantile_slope(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx/da at a fixed value of the distribution function P(a, x): -(dP/da) / (dP/dx), by the series of P that is
    sum of x ** (a + n) * exp(-x) / gamma(a + n + 1) over n, term by term."""
    digamma = polygamma(0, a + 1.0)
    total, term, n = np.zeros_like(x), np.ones_like(x), 0
    log = np.log(x)
    while True:
        part = term * (log - digamma)
        total += part
        if n > 10 and not (np.abs(part) > 1e-17 * np.abs(total) + 1e-300).any() and (x < a + n).all():
            return -(x / a) * total
        n += 1
        term = term * (x / (a + n))
        digamma = digamma + 1.0 / (a + n)


def standard_gamma(concentration: Tensor) -> Tensor:
    """Gamma-distributed numbers of rate 1, differentiable in the concentration."""
    return _StandardGamma.apply(concentration)


class Gamma(ExponentialFamily):
    """Density rate ** concentration * x ** (concentration - 1) * exp(-rate * x) / gamma(concentration)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support: Any = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """concentration / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(concentration - 1) / rate, not below 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """concentration / rate ** 2."""
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return standard_gamma(self.concentration.expand(self._extended_shape(sample_shape))) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        a, b = self.concentration, self.rate
        return jitgrad.xlogy(a, b) + jitgrad.xlogy(a - 1, value) - b * value - jitgrad.lgamma(a)

    def entropy(self) -> Tensor:
        """See Distribution."""
        a = self.concentration
        return a - jitgrad.log(self.rate) + jitgrad.lgamma(a) + (1.0 - a) * jitgrad.digamma(a)


class Chi2(Gamma):
    """The sum of df squares of standard normal numbers."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        return Chi2(self.df.expand(batch_shape), validate_args=False)


class Dirichlet(ExponentialFamily):
    """Vectors on the simplex, with a density of the product of x ** (concentration - 1)."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        """concentration over its sum."""
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        """Where the density is largest: where concentrations are below 1, at the corner of the largest."""
        above = (self.concentration - 1).clamp(min=0.0)
        corner = jitgrad.nn.functional.one_hot(above.argmax(-1), self.concentration.shape[-1]).to(above.dtype)
        return jitgrad.where((self.concentration < 1).all(-1, keepdim=True), corner, above / above.sum(-1, keepdim=True))

    @property
    def variance(self) -> Tensor:
        """Of each element."""
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        g = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return g / g.sum(-1, True)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        a = self.concentration
        return jitgrad.xlogy(a - 1.0, value).sum(-1) + jitgrad.lgamma(a.sum(-1)) - jitgrad.lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        """See Distribution."""
        a, k = self.concentration, self.concentration.shape[-1]
        a0 = a.sum(-1)
        return (jitgrad.lgamma(a).sum(-1) - jitgrad.lgamma(a0) - (k - a0) * jitgrad.digamma(a0)
                - ((a - 1.0) * jitgrad.digamma(a)).sum(-1))


class Beta(ExponentialFamily):
    """Density x ** (concentration1 - 1) * (1 - x) ** (concentration0 - 1), over its integral from 0 to 1."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        a, b = broadcast_all(concentration1, concentration0)
        self._dirichlet = Dirichlet(jitgrad.stack([a, b], -1), validate_args=validate_args)
        super().__init__(a.shape, validate_args=validate_args)

    @property
    def concentration1(self) -> Tensor:
        """The exponent of x, plus 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """The exponent of 1 - x, plus 1."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Tensor:
        """concentration1 over the sum of both."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """Where the density is largest."""
        return self._dirichlet_mode()

    def _dirichlet_mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return jitgrad.where((a < 1) & (b < 1), math.nan, ((a - 1).clamp(min=0) / ((a - 1).clamp(min=0) + (b - 1).clamp(min=0))))

    @property
    def variance(self) -> Tensor:
        """The variance."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        new = Beta(self.concentration1.expand(batch_shape), self.concentration0.expand(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return self._dirichlet.log_prob(jitgrad.stack([value, 1.0 - value], -1))

    def entropy(self) -> Tensor:
        """See Distribution."""
        return self._dirichlet.entropy()


class StudentT(Distribution):
    """A standard normal number over the root of a Chi2 of df over df, times scale plus loc."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """loc; nan up to df 1."""
        return jitgrad.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale ** 2 * df / (df - 2); inf up to df 2, nan up to 1."""
        large = jitgrad.where(self.df > 2, self.scale.pow(2) * self.df / (self.df - 2), math.inf)
        return jitgrad.where(self.df <= 1, math.nan, large)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        shape = self._extended_shape(sample_shape)
        chi2 = 2 * standard_gamma((self.df / 2).expand(shape))
        return self.loc + self.scale * gaussian(shape, self.df) * jitgrad.rsqrt(chi2 / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return -0.5 * (self.df + 1.0) * jitgrad.log1p(((value - self.loc) / self.scale) ** 2 / self.df) - self._normaliser()

    def _normaliser(self) -> Tensor:
        return (self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + jitgrad.lgamma(0.5 * self.df)
                - jitgrad.lgamma(0.5 * (self.df + 1.0)))

    def entropy(self) -> Tensor:
        """See Distribution."""
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        return self._normaliser() + more * (jitgrad.digamma(more) - jitgrad.digamma(half))
