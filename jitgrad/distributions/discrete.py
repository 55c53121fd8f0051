"""Discrete distributions: Bernoulli, Categorical, Geometric, Poisson, Binomial."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.distribution import Distribution, ExponentialFamily, broadcast_all, drawn, uniform
from jitgrad.nn import functional as F
from jitgrad.random.drawing import UNIFORM, tensor
from jitgrad.tensors.tensor import Size, Tensor
from jitgrad.types.dtype import float64


def to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The logarithm of probabilities (of their odds), kept from 0 and 1 by the rounding unit."""
    eps = float(np.finfo(probs.dtype.np).eps)
    kept = probs.clamp(min=eps, max=1 - eps)
    return jitgrad.log(kept) - jitgrad.log1p(-kept) if is_binary else jitgrad.log(kept)


def _one_of(probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class _Odds(Distribution):
    """A probability, given as it is or by the logarithm of its odds."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    def __getattr__(self, name: str) -> Any:
        if name == "logits" and "probs" in self.__dict__:
            return to_logits(self.probs, True)
        if name == "probs" and "logits" in self.__dict__:
            return jitgrad.sigmoid(self.logits)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.shape


class Bernoulli(_Odds, ExponentialFamily):
    """1 with probability probs (or with odds of the logarithm logits), else 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    @property
    def mean(self) -> Tensor:
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more probable of 0 and 1; nan of equal ones."""
        return jitgrad.where(self.probs == 0.5, float("nan"), (self.probs >= 0.5).to(self.probs.dtype))

    @property
    def variance(self) -> Tensor:
        """probs * (1 - probs)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        p = self.probs.detach().expand(self._extended_shape(sample_shape))
        return (uniform(p.shape, p) < p).to(p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        """See Distribution."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See Distribution."""
        values = jitgrad.arange(2, dtype=self._param.dtype).view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class Geometric(_Odds):
    """The number of failures before the first success."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        """1 / probs - 1."""
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        """0."""
        return jitgrad.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """(1 / probs - 1) / probs."""
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        p = self.probs.detach().expand(self._extended_shape(sample_shape))
        return (uniform(p.shape, p).log() / (-p).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        value, probs = broadcast_all(value, self.probs)
        return value * (-jitgrad.where((probs == 1) & (value == 0), 0.0, probs)).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        """See Distribution."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Poisson(ExponentialFamily):
    """Counts of this mean."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """rate."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """rate, rounded down."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """rate."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        rate = self.rate.detach().expand(self._extended_shape(sample_shape))
        return drawn(lambda g: g.poisson(rate._array()), rate)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        rate, value = broadcast_all(self.rate, value)
        return jitgrad.xlogy(value, rate) - rate - jitgrad.lgamma(value + 1)


class Categorical(Distribution):
    """One of the numbers from 0 on, by probabilities (which are divided by their sum) or their logarithms, along the last
    dimension."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None) -> None:
        _one_of(probs, logits)
        given = probs if probs is not None else logits
        if given.ndim < 1:              # type: ignore[union-attr]
            raise ValueError(f"`{'probs' if probs is not None else 'logits'}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)           # type: ignore[attr-defined]
        else:
            self.logits = logits - logits.logsumexp(dim=-1, keepdim=True)      # type: ignore[union-attr,operator]
        self._num_events = given.shape[-1]      # type: ignore[union-attr]
        super().__init__(given.shape[:-1], validate_args=validate_args)        # type: ignore[union-attr]

    def __getattr__(self, name: str) -> Any:
        if name == "logits" and "probs" in self.__dict__:
            return to_logits(self.probs)
        if name == "probs" and "logits" in self.__dict__:
            return F.softmax(self.logits, -1)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.shape

    @property
    def support(self) -> Any:           # type: ignore[override]
        """The numbers."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """nan: the numbers have no order."""
        return jitgrad.full(self._extended_shape(), float("nan"), dtype=self._param.dtype)

    @property
    def mode(self) -> Tensor:
        """The most probable."""
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """nan: the numbers have no order."""
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        upper = self.probs.detach().to(float64).cumsum(-1)
        u = tensor(UNIFORM, self._extended_shape(sample_shape), float64, None, device=upper._node.spec.type.device)
        return (upper <= u[..., None] * upper[..., -1:]).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        shape = np.broadcast_shapes(tuple(value.shape), tuple(self._batch_shape))
        index = value.to(jitgrad.int64).expand(shape).unsqueeze(-1)
        return self.logits.expand((*shape, self._num_events)).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        """See Distribution."""
        least = float(np.finfo(self._param.dtype.np).min)
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See Distribution."""
        values = jitgrad.arange(self._num_events).view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class Binomial(Distribution):
    """The number of successes among total_count tries."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval, "logits": constraints.real}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of(probs, logits)
        if probs is not None:
            self.total_count, self.probs = broadcast_all(total_count, probs)
        else:
            self.total_count, self.logits = broadcast_all(total_count, logits)
        super().__init__(self.total_count.shape, validate_args=validate_args)

    __getattr__ = _Odds.__getattr__

    @property
    def support(self) -> Any:           # type: ignore[override]
        """0 to total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """total_count * probs."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable number."""
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        """total_count * probs * (1 - probs)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        shape = self._extended_shape(sample_shape)
        n, p = [v.detach().expand(shape)._array() for v in (self.total_count, self.probs)]
        return drawn(lambda g: g.binomial(n.astype(np.int64), p), self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        n, logits, lgamma = self.total_count, self.logits, functools.partial(jitgrad.lgamma)
        coefficient = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return value * logits + coefficient - n * F.softplus(logits)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See Distribution."""
        most = int(self.total_count.max())
        if not int(self.total_count.min()) == most:
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        values = jitgrad.arange(1 + most, dtype=self.probs.dtype).view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def entropy(self) -> Tensor:
        """See Distribution."""
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(jitgrad.exp(log_prob) * log_prob).sum(0)
