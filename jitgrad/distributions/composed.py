"""Distributions made of others: Independent, TransformedDistribution, and those by a transform (LogNormal, HalfNormal ...)."""
from __future__ import annotations

import math
from typing import Any

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.continuous import Cauchy, Normal, Uniform
from jitgrad.distributions.discrete import Categorical
from jitgrad.distributions.distribution import Distribution, broadcast_all, uniform
from jitgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    Transform,
    summed,
)
from jitgrad.graph.recording import in_grad_mode
from jitgrad.tensors.tensor import Tensor


class Independent(Distribution):
    """A distribution of which the last batch dimensions are part of the value: log_prob is summed over them."""

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None) -> None:
        n = len(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > n:
            raise ValueError("Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                             f"{reinterpreted_batch_ndims} vs {n}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        shape = base_distribution.batch_shape + base_distribution.event_shape
        batch = n - reinterpreted_batch_ndims
        super().__init__(shape[:batch], shape[batch:], validate_args)

    @property
    def has_rsample(self) -> bool:          # type: ignore[override]
        """As the base."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:               # type: ignore[override]
        """That of the base, element by element."""
        n = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_dist.support, n) if n else self.base_dist.support

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """The mode."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.base_dist.variance

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        kept = self._event_shape[:self.reinterpreted_batch_ndims]
        return Independent(self.base_dist.expand((*batch_shape, *kept)), self.reinterpreted_batch_ndims, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return summed(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """See Distribution."""
        return summed(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """The distribution of transforms of a value of a base distribution."""

    def __init__(self, base_distribution: Distribution, transforms: Transform | list[Transform],
                 validate_args: bool | None = None) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        whole = ComposeTransform(self.transforms)
        base_shape = base_distribution.batch_shape + base_distribution.event_shape
        if len(base_shape) < whole.event_dim:
            raise ValueError(f"base_distribution needs to have shape with size at least {whole.event_dim}, but got {base_shape}.")
        extra = whole.event_dim - len(base_distribution.event_shape)
        self.base_dist = Independent(base_distribution, extra) if extra > 0 else base_distribution
        shape = tuple(whole.forward_shape(tuple(base_shape)))
        event = max(len(self.base_dist.event_shape), whole.codomain.event_dim if self.transforms else 0)
        super().__init__(shape[:len(shape) - event], shape[len(shape) - event:], validate_args)

    @property
    def has_rsample(self) -> bool:          # type: ignore[override]
        """As the base."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:               # type: ignore[override]
        """Where the last transform ends."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        extra = len(self._event_shape) - support.event_dim
        return constraints.independent(support, extra) if extra > 0 else support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        if type(self) is not TransformedDistribution:
            return type(self)(**{name: getattr(self, name).expand(batch_shape) for name in self.arg_constraints},
                              validate_args=False)    # type: ignore
        shape = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self._event_shape))
        base = self.base_dist.expand(shape[:len(shape) - len(self.base_dist.event_shape)])
        return TransformedDistribution(base, self.transforms, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return in_grad_mode(False, lambda: ComposeTransform(self.transforms)(self.base_dist.sample(sample_shape)))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        return ComposeTransform(self.transforms)(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        total: Any = 0.0
        event = len(self._event_shape)
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event += transform.domain.event_dim - transform.codomain.event_dim
            total = total - summed(transform.log_abs_det_jacobian(x, y), event - transform.domain.event_dim)
            y = x
        return total + summed(self.base_dist.log_prob(y), event - len(self.base_dist.event_shape))

    def _monotonised(self, value: Tensor) -> Tensor:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return value
        return sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._monotonised(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        return ComposeTransform(self.transforms)(self.base_dist.icdf(self._monotonised(value)))


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
        super().__init__(type(self).base(0, scale, validate_args=False), AbsTransform(), validate_args=False)
        if self._validate_args if validate_args is None else validate_args:
            type(self).base(0, scale, validate_args=True)

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
        from jitgrad.distributions.continuous import Exponential
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
        from jitgrad.distributions.continuous import Exponential
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(jitgrad.ones_like(self.scale), validate_args=validate_args)
        super().__init__(base, [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)], validate_args)

    @property
    def mean(self) -> Tensor:
        """scale * gamma(1 + 1 / concentration)."""
        return self.scale * jitgrad.exp(jitgrad.lgamma(1 + self.concentration.reciprocal()))

    @property
    def variance(self) -> Tensor:
        """The variance."""
        r = self.concentration.reciprocal()
        return self.scale.pow(2) * (jitgrad.exp(jitgrad.lgamma(1 + 2 * r)) - jitgrad.exp(2 * jitgrad.lgamma(1 + r)))

    def entropy(self) -> Tensor:
        """See Distribution."""
        r = self.concentration.reciprocal()
        return 0.57721566490153286060 * (1 - r) + jitgrad.log(self.scale * r) + 1


class MixtureSameFamily(Distribution):
    """A mixture: a Categorical, and component distributions along their last batch dimension."""

    def __init__(self, mixture_distribution: Categorical, component_distribution: Distribution,
                 validate_args: bool | None = None) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution need to be an instance of torch.distributions.Distribution")
        self.mixture_distribution, self.component_distribution = mixture_distribution, component_distribution
        k = component_distribution.batch_shape[-1]
        if mixture_distribution._num_events != k:
            raise ValueError(f"`mixture_distribution component` ({mixture_distribution._num_events}) does not equal "
                             f"`component_distribution.batch_shape[-1]` ({k})")
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(component_distribution.batch_shape[:-1], component_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        shape = (*batch_shape, self.mixture_distribution._num_events)
        mixture: Any = self.mixture_distribution.expand(batch_shape)
        return MixtureSameFamily(mixture, self.component_distribution.expand(shape), validate_args=False)

    @property
    def support(self) -> Any:           # type: ignore[override]
        """That of the components."""
        return self.component_distribution.support

    def _weights(self) -> Tensor:
        probs = self.mixture_distribution.probs
        return probs.reshape((*probs.shape, *[1] * self._event_ndims))

    @property
    def mean(self) -> Tensor:
        """The weighted mean."""
        return (self._weights() * self.component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        """Within and between components."""
        weights, at = self._weights(), -1 - self._event_ndims
        within = (weights * self.component_distribution.variance).sum(at)
        spread = self.component_distribution.mean - self.mean.unsqueeze(at)       # type: ignore[attr-defined]
        return within + (weights * spread.pow(2)).sum(at)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        value = value.unsqueeze(-1 - self._event_ndims)         # type: ignore[attr-defined]
        parts = self.component_distribution.log_prob(value)
        return jitgrad.logsumexp(parts + jitgrad.log_softmax(self.mixture_distribution.logits, -1), -1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        chosen = self.mixture_distribution.sample(sample_shape)
        drawn = self.component_distribution.sample(sample_shape)
        at = drawn.ndim - 1 - self._event_ndims
        index = chosen.reshape((*chosen.shape, *[1] * (1 + self._event_ndims)))       # type: ignore[attr-defined]
        index = index.expand((*chosen.shape, 1, *drawn.shape[at + 1:]))
        return drawn.gather(at, index).squeeze(at)              # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
