"""The multivariate normal distribution."""
from __future__ import annotations

import functools
import math
from typing import Any

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.distributions.distribution import Distribution, gaussian
from jitgrad.tensors.tensor import Tensor


class MultivariateNormal(Distribution):
    """The normal distribution of this mean and covariance, given as it is, by its inverse, or by its Cholesky factor."""

    arg_constraints = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
                 scale_tril: Tensor | None = None, validate_args: bool | None = None) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"covariance_matrix": covariance_matrix, "scale_tril": scale_tril, "precision_matrix": precision_matrix}
        chosen = [(name, m) for name, m in given.items() if m is not None]
        if len(chosen) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        [(name, matrix)] = chosen
        if matrix.ndim < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch = jitgrad.broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        event = tuple(loc.shape[-1:])
        self.loc = loc.expand((*batch, *event))             # type: ignore[attr-defined]
        self.__dict__[name] = matrix.expand((*batch, *event, *event))      # type: ignore[attr-defined]
        super().__init__(batch, event, validate_args)

    @functools.cached_property
    def _factor(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        given = self.__dict__
        if "scale_tril" in given:
            return given["scale_tril"]
        if "covariance_matrix" in given:
            return jitgrad.linalg.cholesky(given["covariance_matrix"])
        flipped = jitgrad.linalg.cholesky(jitgrad.flip(given["precision_matrix"], (-2, -1)))
        inverse = jitgrad.flip(flipped, (-2, -1)).mT
        unit = jitgrad.eye(self.loc.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        return jitgrad.linalg.solve_triangular(inverse, unit, upper=False)

    def __getattr__(self, name: str) -> Any:
        if name in ("scale_tril", "covariance_matrix", "precision_matrix") and "loc" in self.__dict__:
            factor = self._factor
            if name == "scale_tril":
                return factor
            return factor @ factor.mT if name == "covariance_matrix" else jitgrad.cholesky_inverse(factor)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """See Distribution."""
        new = super().expand(batch_shape)
        new.__dict__.pop("_factor", None)
        return new

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each element."""
        return self._factor.pow(2).sum(-1).expand((*self._batch_shape, *self._event_shape))       # type: ignore[attr-defined]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See Distribution."""
        noise = gaussian(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._factor @ noise.unsqueeze(-1)).squeeze(-1)       # type: ignore[attr-defined]

    def log_prob(self, value: Tensor) -> Tensor:
        """See Distribution."""
        self._check(value)
        distance = squared_distance(self._factor, value - self.loc)
        return -0.5 * (self.loc.shape[-1] * math.log(2 * math.pi) + distance) - half_log_determinant(self._factor)

    def entropy(self) -> Tensor:
        """See Distribution."""
        n = self.loc.shape[-1]
        return (0.5 * n * (1.0 + math.log(2 * math.pi)) + half_log_determinant(self._factor)).expand(self._batch_shape)


def half_log_determinant(factor: Tensor) -> Tensor:
    """Half the logarithm of the determinant of a covariance, from its Cholesky factor."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)          # type: ignore[attr-defined]


def squared_distance(factor: Tensor, x: Tensor) -> Tensor:
    """x @ inverse(covariance) @ x (Mahalanobis)."""
    shape = jitgrad.broadcast_shapes(tuple(factor.shape[:-2]), tuple(x.shape[:-1]))
    columns = x.expand((*shape, x.shape[-1])).unsqueeze(-1)         # type: ignore[attr-defined]
    return jitgrad.linalg.solve_triangular(factor.expand((*shape, *factor.shape[-2:])), columns, upper=False).pow(2).sum((-2, -1))
