"""Distributions made of others: Independent, TransformedDistribution, mixtures."""
from __future__ import annotations

from typing import Any

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.discrete import Categorical
from jitgrad.distributions.distribution import Distribution
from jitgrad.distributions.transforms import (
    ComposeTransform,
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

    def cdf(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        return (self.component_distribution.cdf(value.unsqueeze(-1)) * self.mixture_distribution.probs).sum(-1)

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
