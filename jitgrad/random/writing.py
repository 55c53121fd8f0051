"""Tensors overwritten with random numbers: uniform_, normal_, exponential_ and their kin, methods of Tensor."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad.operators.creation.results import plain
from jitgrad.operators.declaration.inplace import write_result
from jitgrad.random import drawing
from jitgrad.random.creation import floating
from jitgrad.random.drawing import NORMAL, UNIFORM, Formula, Source, drawn
from jitgrad.random.generator import Generator
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import float64, int64, refuse_complex


def _written(self: Tensor, called: str, source: Source, generator: Generator | None, formula: Formula | None = None,
             *numbers: Any) -> Tensor:
    type = self._node.type
    kind = type.dtype if type.dtype.category == 2 else float64
    write_result(self, called, drawn(source, type.shape, kind, generator, formula, *numbers, to=type.dtype, device=type.device))
    return self


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None,
             **named: Any) -> Tensor:
    """Overwrite with uniform numbers in [from, to)."""
    low, to = plain(named.pop("from", from_)), plain(to)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument '{next(iter(named))}'")
    refuse_complex(low)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    floating("uniform_", self.dtype)
    if (low, to) == (0, 1):
        return _written(self, "uniform_", UNIFORM, generator)
    return _written(self, "uniform_", UNIFORM, generator, drawing.between, float(low), float(to - low))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers."""
    mean, std = plain(mean), plain(std)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    floating("normal_", self.dtype)
    if (mean, std) == (0, 1):
        return _written(self, "normal_", NORMAL, generator)
    return _written(self, "normal_", NORMAL, generator, drawing.between, float(mean), float(std))


def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1 with probability p, else 0."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _written(self, "bernoulli_", UNIFORM, generator, drawing.below, p)


def random_(self: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with integers: random_(to), random_(from, to), or of the whole range that the dtype holds exactly."""
    type = self._node.type
    if to is None:
        bits = {"float32": 24, "float64": 53, "int32": 31, "int64": 62, "bool": 1, "uint8": 8, "int8": 7, "int16": 15}[type.dtype.name]
        low, high = 0, from_ or 2**bits
    else:
        low, high = from_, to
    source, formula = drawing.integers(low, high)
    write_result(self, "random_", drawn(source, type.shape, int64, generator, *formula, to=type.dtype, device=type.device))
    return self


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponential random numbers of rate lambd; none is 0."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _written(self, "exponential_", UNIFORM, generator, drawing.exponential, drawing.smallest_step(self.dtype), float(lambd))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with the number of trials up to the first success, of probability p."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _written(self, "geometric_", UNIFORM, generator, drawing.geometric, math.log1p(-p))


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with Cauchy random numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _written(self, "cauchy_", UNIFORM, generator, drawing.cauchy, math.pi, 0.5, float(median), float(sigma))


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of which the logarithms are normal, with this mean and deviation."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _written(self, "log_normal_", NORMAL, generator, drawing.log_normal, float(mean), float(std))


METHODS: tuple[Callable, ...] = (uniform_, normal_, bernoulli_, random_, exponential_, geometric_, cauchy_, log_normal_)
