"""Primitives that draw random numbers: element i, in row-major order, is a function of a seed and of offset + i, and of nothing else.

So values depend neither on when, whether and where they are computed, nor on threads; and what draws them fuses like any elementwise
operation.  Seed and offset are run-time numbers, int64.  The formulas are in philox.py; here they are NumPy's.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.graph.node import Op
from jitgrad.ops.declare import Facts, library
from jitgrad.ops.philox import formulas
from jitgrad.ops.samples import Case, custom
from jitgrad.types.array import array_type
from jitgrad.types.dtype import BY_CODE, dtype, int64

BLOCK = 4096                # elements that are computed together, so that what they take stays in the cache


def _to(kind: type) -> Callable[[Any], np.ndarray]:
    return lambda x: x.astype(kind)


def _bits(kind: type) -> Callable[[Any], np.ndarray]:
    return lambda x: x.view(kind)


_FORMULAS = formulas(lambda f: f, np.sqrt, float, float, _to(np.float32), _to(np.float64), _bits(np.int32), _bits(np.int64),
                     _bits(np.float32), _bits(np.float64))
# What the compiler makes of a draw: elementwise, of the place (row-major, from 0), the seed and the offset, all int64.
AT_PLACE: dict[str, Op] = {
    name: Op(name=name, kind="elementwise", arg_names=("place", "seed", "offset"), param_names=(), facts=Facts(cost=cost),
             scalar=f"{name}({{place}} + {{offset}}, {{seed}})", doc="one draw")
    for name, cost in {"random_word": 3.0, "random_bits": 3.0, "random_uniform_f4": 3.0, "random_uniform_f8": 3.5,
                       "random_normal_f4": 4.5, "random_normal_f8": 9.0}.items()}


def fill(name: str, array: np.ndarray, seed: int, offset: int) -> None:
    """Write the draws of a formula, by its name in AT_PLACE, to a flat array."""
    formula, key = _FORMULAS[name], np.array([seed])
    for start in range(0, len(array), BLOCK):
        part = array[start:start + BLOCK]
        part[...] = formula(np.arange(start, start + len(part)) + offset, key)


filling = [fill]            # what does so: above this layer something quicker may take its place, which gives the same bits


def _drawn(name: str, shape: tuple[int, ...], to: dtype, seed: np.ndarray, offset: np.ndarray) -> np.ndarray:
    array = np.empty(math.prod(shape), to.np)
    filling[0](name, array, int(seed), int(offset))
    return array.reshape(shape)


def _integers(name: str, doc: str) -> Op:
    return library(f"{name}(donor, seed, offset)", role="random", shape_only=(0,), vjp=None, dims="donor:0",
                   infer=lambda donor, seed, offset: array_type(donor.shape, int64, donor.device),
                   numpy=lambda shape, seed, offset: _drawn(name, shape, int64, seed, offset), sample=_SAMPLE, doc=doc)


def _floats(name: str, doc: str) -> Op:
    return library(f"{name}(donor, seed, offset, *, dtype)", role="random", shape_only=(0,), vjp=None, dims="donor:0",
                   infer=lambda donor, seed, offset, *, dtype: array_type(donor.shape, BY_CODE[dtype], donor.device),
                   numpy=lambda shape, seed, offset, *, dtype: _drawn(f"{name}_{dtype}", shape, BY_CODE[dtype], seed, offset),
                   sample=_FLOAT_SAMPLE, doc=doc)


def _cases(*params: dict[str, Any]) -> Any:
    def make(rng: np.random.Generator, dtype: dtype) -> list[Case]:
        return [Case((np.zeros(shape), np.asarray(seed), np.asarray(2**33 - 5)), p)
                for p in params for shape, seed in (((3,), 7), ((2, 3), -(2**63)), ((2, 1, 5), 2**62), ((), 0), ((0, 3), 1))]
    return custom(make, dtypes=("f8",), order=0)


_SAMPLE, _FLOAT_SAMPLE = _cases({}), _cases({"dtype": "f4"}, {"dtype": "f8"})
random_word = _integers("random_word", "32 random bits an element, of the donor's shape, int64, not negative")
random_bits = _integers("random_bits", "64 random bits an element, of the donor's shape, int64")
random_uniform = _floats("random_uniform", "uniform random numbers in [0, 1), of the donor's shape: 24 bits (f4) or 53 (f8)")
random_normal = _floats("random_normal", "normal random numbers of mean 0 and variance 1, of the donor's shape")
