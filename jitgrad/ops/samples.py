"""Where operands for tests come from: the domain on which an op is defined and smooth enough to be checked.

A declaration's `sample` is a `Sample`: `sample.cases(rng, dtype)` lists complete applications (operands, params,
sizes), among them 0-d, empty and broadcast operands.  Nothing but tests reads it.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.types.dtype import dtype

Range = tuple[float, float]
BOOL: Range = (0.0, -1.0)       # stands in a list of ranges for an operand of dtype bool


@dataclass(frozen=True)
class Case:
    """One application of an op: operands, params by name, and `sizes` where the op has them."""

    arrays: tuple[np.ndarray, ...]
    params: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] | None = None


class Sample:
    """Cases of an op.

    dtypes: codes of the dtypes that the (not index, not mask) operands may have.
    order: how many derivatives finite differences can confirm on these operands; the rest is not checked.
    """

    def __init__(self, make: Callable[[np.random.Generator, dtype], Sequence[Case]], dtypes: Sequence[str],
                 order: int) -> None:
        self._make = make
        self.dtypes = tuple(dtypes)
        self.order = order

    def cases(self, rng: np.random.Generator, dtype: dtype) -> list[Case]:
        """Fresh cases with operands of `dtype`."""
        return list(self._make(rng, dtype))


FLOATS = ("f4", "f8")
INTEGERS = ("i4", "i8")
NUMBERS = FLOATS + INTEGERS
ALL = NUMBERS + ("b1",)

# Shapes of up to four operands; a case takes as many as the op has.
_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((), (), (), ()),
    ((3,), (3,), (3,), (3,)),
    ((2, 3), (3,), (2, 1), ()),
    ((), (2, 1, 3), (1, 2, 1), (3,)),
    ((0, 3), (1, 3), (0, 1), ()),
)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: dtype, low: float, high: float) -> np.ndarray:
    """Uniform numbers of `dtype` in [low, high]; integers include both ends, bools are fair."""
    if dtype.category == 0 or low > high:
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if dtype.category == 1:
        return np.asarray(rng.integers(int(low), int(high) + 1, shape), dtype.np)
    return np.asarray(rng.uniform(low, high, shape), dtype.np)


def uniform(*ranges: Range, dtypes: Sequence[str] = FLOATS, order: int = 2,
            params: Sequence[dict[str, Any]] = ({},)) -> Sample:
    """One operand a range, in every combination of shapes (and with each of `params`)."""

    def make(rng: np.random.Generator, dtype: dtype) -> list[Case]:
        return [Case(tuple([draw(rng, s, dtype, *r) for r, s in zip(ranges, shapes, strict=False)]), dict(p))
                for p in params for shapes in _SHAPES]

    return Sample(make, dtypes, order)


def reducible(low: float, high: float, dtypes: Sequence[str] = FLOATS, order: int = 2, empty: bool = True) -> Sample:
    """An operand and the axes to reduce: one, several, all; long, of length 1 and, with `empty`, of length 0."""
    cases = [((3,), (0,)), ((2, 3), (0,)), ((2, 3), (1,)), ((2, 3), (0, 1)), ((2, 1, 4), (0, 2)), ((2, 1, 3), (1,)),
             ((0, 3), (1,)), *[((0, 3), (0,))] * empty]

    def make(rng: np.random.Generator, dtype: dtype) -> list[Case]:
        return [Case((draw(rng, shape, dtype, low, high),), {"axes": axes}) for shape, axes in cases]

    return Sample(make, dtypes, order)


def structured(*rows: tuple[Sequence[tuple[int, ...]], dict[str, Any]] |
               tuple[Sequence[tuple[int, ...]], dict[str, Any], tuple[int, ...]],
               dtypes: Sequence[str] = ALL, order: int = 2, low: float = -2, high: float = 2) -> Sample:
    """Rows of (operand shapes, params[, sizes]); all operands of one dtype."""

    def make(rng: np.random.Generator, dtype: dtype) -> list[Case]:
        return [Case(tuple([draw(rng, s, dtype, low, high) for s in row[0]]), dict(row[1]),
                     row[2] if len(row) > 2 else None) for row in rows]

    return Sample(make, dtypes, order)


def custom(make: Callable[[np.random.Generator, dtype], Sequence[Case]], dtypes: Sequence[str] = NUMBERS,
           order: int = 2) -> Sample:
    """Cases built by a function, for operands of several dtypes."""
    return Sample(make, dtypes, order)
