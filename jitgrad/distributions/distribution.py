"""Distribution: shapes, checks and what all distributions have in common."""
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import jitgrad
from jitgrad.distributions.constraints import Constraint
from jitgrad.graph.node import Node
from jitgrad.graph.recording import in_grad_mode
from jitgrad.memory.cuda import through_host
from jitgrad.random import default_generator
from jitgrad.random.drawing import NORMAL, UNIFORM, above_0, recorded, smallest_step, tensor
from jitgrad.tensors.tensor import Size, Tensor, from_array
from jitgrad.types.dtype import get_default_dtype


class Distribution:
    """A distribution of values of shape event_shape, one for each index of batch_shape.

    arg_constraints: by name of the parameter; support: where values lie.  Samples have the shape sample_shape + batch_shape +
    event_shape; rsample is differentiable in the parameters (has_rsample), sample is not."""

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support: Any = None

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: tuple[int, ...] = (), event_shape: tuple[int, ...] = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if name not in self.__dict__:
                    continue            # given by another parameter
                value = getattr(self, name)
                if not constraint.check(value).all():
                    raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                                     f"distribution "
                                     f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{_shown(value)}")

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Values at random."""
        return in_grad_mode(False, self.rsample, sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Values at random, as differentiable functions of the parameters."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at values."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to these."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The values up to which the probability is this."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values."""
        raise NotImplementedError

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """The distribution with its parameters expanded to another batch shape."""
        batch_shape = Size(batch_shape)
        new = self.__class__.__new__(self.__class__)
        for name, value in self.__dict__.items():
            new.__dict__[name] = value
        for name in self.arg_constraints:
            if name in self.__dict__:
                extra = self.__dict__[name].ndim - len(self._batch_shape)
                value = self.__dict__[name]
                new.__dict__[name] = value.expand((*batch_shape, *value.shape[value.ndim - extra:]))
        new._batch_shape = batch_shape
        return new

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def _extended_shape(self, sample_shape: Any = ()) -> tuple[int, ...]:
        return (*_sizes(sample_shape), *self._batch_shape, *self._event_shape)

    def _check(self, value: Any) -> None:
        """Raise ValueError for values that do not fit."""
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.ndim - len(self._event_shape)
        if tuple(value.shape[max(start, 0):]) != tuple(self._event_shape):
            raise ValueError(f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}.")
        for i, j in zip(reversed(value.shape), reversed(self._batch_shape + self._event_shape), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs "
                                 f"{self._batch_shape + self._event_shape}.")
        if self.support is not None and not self.support.check(value).all():
            raise ValueError(f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                             f"({self.support!r}) of the distribution {self!r}, but found invalid values:\n{_shown(value)}")

    def __repr__(self) -> str:
        shown = [(k, self.__dict__[k]) for k in self.arg_constraints if k in self.__dict__]
        return (type(self).__name__ + "("
                + ", ".join([f"{k}: {v.item() if v.numel() == 1 else v.shape}" for k, v in shown]) + ")")


class ExponentialFamily(Distribution):
    """A distribution of the exponential family."""


def _shown(value: Tensor) -> Any:
    return value.detach().item() if value.ndim == 0 else value


def _sizes(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of one shape; numbers take the dtype of the first tensor."""
    like = next((v for v in values if isinstance(v, Tensor)), None)
    if any([not isinstance(v, (Tensor, int, float)) for v in values]):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__.")
    dtype = get_default_dtype() if like is None else like.dtype
    where = None if like is None else like.device
    return tuple(jitgrad.broadcast_tensors(*[v if isinstance(v, Tensor) else jitgrad.tensor(v, dtype=dtype, device=where)
                                             for v in values]))


def drawn(sample: Any, like: Tensor) -> Tensor:
    """Numbers from the default generator, sample(stream), in the dtype of a tensor."""
    where = like._node.spec.type.device
    if where != "cpu":
        through_host.note("a sample of a distribution", "NumPy draws it")
    return from_array(np.asarray(default_generator.draw(sample), like.dtype.np), device=where)


def uniform(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform numbers between 0 and 1, neither of which comes."""
    return tensor(UNIFORM, tuple(shape), like.dtype, None, above_0, smallest_step(like.dtype), like=_recorded(shape, like),
                  device=like._node.spec.type.device)


def gaussian(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal numbers."""
    return tensor(NORMAL, tuple(shape), like.dtype, None, like=_recorded(shape, like), device=like._node.spec.type.device)


def _recorded(shape: tuple[int, ...], like: Tensor) -> Node | None:
    return recorded(like._node) if like._node.type.shape == tuple(shape) else None
