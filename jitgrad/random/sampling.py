"""Samples of other laws: multinomial, poisson, binomial."""
from __future__ import annotations

import numpy as np

from jitgrad import tracing
from jitgrad.random.creation import drawn_to
from jitgrad.random.drawing import UNIFORM, array, smallest_step
from jitgrad.random.generator import Generator, given_or_default
from jitgrad.requests.execute import on_host
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import float64


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None,
                out: Tensor | None = None) -> Tensor:
    """Positions drawn from each row with probabilities in proportion to its elements, int64.

    Without replacement a position comes once.  Raises RuntimeError in PyTorch's words."""
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > input.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    return drawn_to("multinomial", out, _positions(input.detach(), num_samples, replacement, generator))


@tracing.draws(by_element=True)
def _positions(input: Tensor, num_samples: int, replacement: bool, generator: Generator | None) -> Tensor:
    """multinomial() of rows in any number of dimensions: under vmap those of all elements come together."""
    tracing.refuse("it draws random numbers")
    where = input._node.spec.type.device
    weights = np.asarray(on_host(input._current(), "multinomial"), np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rows = weights.reshape(-1, weights.shape[-1])
    if replacement:
        uniform = array(UNIFORM, (len(rows), num_samples), float64, generator, where)
        edges = np.cumsum(rows, 1) / rows.sum(1, keepdims=True)
        edges[:, -1] = 1.0
        drawn = np.stack([np.searchsorted(e, u, "right") for e, u in zip(edges, uniform, strict=True)])
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0, 1)
        drawn = np.minimum(drawn, last[:, None])
    else:       # the order of exponential times at these rates is that of draws without replacement
        uniform = np.maximum(array(UNIFORM, rows.shape, float64, generator, where), smallest_step(float64))
        with np.errstate(divide="ignore"):
            drawn = np.argsort(np.where(rows > 0, -np.log1p(-uniform) / rows, np.inf), 1, kind="stable")[:, :num_samples]
    return from_array(np.ascontiguousarray(drawn.reshape(*weights.shape[:-1], num_samples), np.int64), device=where)


@tracing.draws(by_element=True)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson random numbers of these rates, in the rates' dtype; by NumPy."""
    tracing.refuse("it draws random numbers")
    where = input._node.spec.type.device
    rates = on_host(input.detach()._current(), "poisson")
    if rates.size and not rates.min() >= 0:
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    made = given_or_default(generator, where).draw(lambda g: np.asarray(g.poisson(rates)))
    return from_array(made.astype(rates.dtype), device=where)


@tracing.draws(by_element=True)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Binomial random numbers of these counts and probabilities; by NumPy."""
    tracing.refuse("it draws random numbers")
    where = count._node.spec.type.device
    n, p = [on_host(v.detach()._current(), "binomial") for v in (count, prob)]
    made = given_or_default(generator, where).draw(lambda g: np.asarray(g.binomial(n.astype(np.int64), p)))
    return from_array(made.astype(n.dtype), device=where)


METHODS = (multinomial,)
