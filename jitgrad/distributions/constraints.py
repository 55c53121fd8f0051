"""Where values and parameters lie: what distributions check."""
from __future__ import annotations

from typing import Any

import jitgrad
from jitgrad.tensors.tensor import Tensor


class Constraint:
    """A set of values.  event_dim: how many of the last dimensions are one value."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Which values lie in it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        named = ", ".join([f"{k}={v}" for k, v in self.__dict__.items()])
        return f"{type(self).__name__.lstrip('_')}({named})"


class Real(Constraint):
    """Every number but nan."""

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return value == value           # type: ignore[return-value]


class Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return (value == 0) | (value == 1)          # type: ignore[return-value]


class GreaterThan(Constraint):
    """Above a bound."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return value > self.lower_bound


class GreaterThanEq(GreaterThan):
    """At or above a bound."""

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return value >= self.lower_bound


class LessThan(Constraint):
    """Below a bound."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return value < self.upper_bound


class Interval(Constraint):
    """Between two bounds, which belong to it."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return (self.lower_bound <= value) & (value <= self.upper_bound)


class IntegerInterval(Interval):
    """Whole numbers between two bounds, which belong to it."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return (value % 1 == 0) & super().check(value)


class IntegerGreaterThan(GreaterThanEq):
    """Whole numbers from a bound on."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return (value % 1 == 0) & super().check(value)


class Simplex(Constraint):
    """Vectors of numbers that are not negative and add up to 1."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        return jitgrad.all(value >= 0, dim=-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class LowerCholesky(Constraint):
    """Lower triangular matrices with a positive diagonal."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        lower = (value.tril() == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class PositiveDefinite(Constraint):
    """Symmetric matrices with positive eigenvalues."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        symmetric = jitgrad.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)
        if not symmetric.all():
            return symmetric
        return jitgrad.linalg.cholesky_ex(value).info == 0


class IndependentConstraint(Constraint):
    """A constraint on every element of the last dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        """See Constraint."""
        result = self.base_constraint.check(value)
        n = self.reinterpreted_batch_ndims
        return result.flatten(result.ndim - n).all(-1) if n else result

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


independent = IndependentConstraint
real = Real()
boolean = Boolean()
positive = GreaterThan(0.0)
nonnegative = GreaterThanEq(0.0)
nonnegative_integer = IntegerGreaterThan(0)
unit_interval = Interval(0.0, 1.0)
simplex = Simplex()
lower_cholesky = LowerCholesky()
positive_definite = PositiveDefinite()
real_vector = IndependentConstraint(real, 1)
greater_than, greater_than_eq, less_than, interval, integer_interval = GreaterThan, GreaterThanEq, LessThan, Interval, IntegerInterval
