"""More random numbers: multinomial, poisson, binomial, and tensors filled by exponential, geometric, Cauchy and log-normal ones."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.operators.conversion import write_array
from jitgrad.random import Generator, bernoulli, default_generator, drawn_to
from jitgrad.tensors.tensor import Tensor, from_array

__all__ = ["binomial", "multinomial", "poisson"]


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None,
                out: Tensor | None = None) -> Tensor:
    """Positions drawn from each row with probabilities in proportion to its elements, int64.

    Without replacement a position comes once.  Raises RuntimeError in PyTorch's words."""
    weights = np.asarray(input.detach()._array(), np.float64)
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rows, source = np.atleast_2d(weights), generator or default_generator
    if replacement:
        uniform = source.draw(lambda g: g.random((len(rows), num_samples)))
        edges = np.cumsum(rows, 1) / rows.sum(1, keepdims=True)
        edges[:, -1] = 1.0
        drawn = np.stack([np.searchsorted(e, u, "right") for e, u in zip(edges, uniform, strict=True)])
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0, 1)
        drawn = np.minimum(drawn, last[:, None])
    else:       # the order of exponential times at these rates is that of draws without replacement
        times = source.draw(lambda g: g.exponential(size=rows.shape))
        with np.errstate(divide="ignore"):
            drawn = np.argsort(np.where(rows > 0, times / rows, np.inf), 1, kind="stable")[:, :num_samples]
    return drawn_to("multinomial", out, from_array(
        np.ascontiguousarray(drawn.reshape(*weights.shape[:-1], num_samples), np.int64), device=input._node.spec.type.device))


@tracing.draws(by_element=True)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson random numbers of these rates, in the rates' dtype."""
    rates = input.detach()._array()
    if rates.size and not rates.min() >= 0:
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return from_array((generator or default_generator).draw(lambda g: np.asarray(g.poisson(rates))).astype(rates.dtype),
                      device=input._node.spec.type.device)


@tracing.draws(by_element=True)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Binomial random numbers of these counts and probabilities."""
    n, p = count.detach()._array(), prob.detach()._array()
    return from_array((generator or default_generator).draw(lambda g: np.asarray(g.binomial(n.astype(np.int64), p))).astype(n.dtype),
                      device=count._node.spec.type.device)


# -- in place ----------------------------------------------------------------------------------------------------------

def _drawn(self: Tensor, called: str, generator: Generator | None, sample: Any) -> Tensor:
    shape = self._node.type.shape
    return write_array(self, called, np.asarray((generator or default_generator).draw(lambda g: sample(g, shape))))


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponential random numbers of rate lambd."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _drawn(self, "exponential_", generator, lambda g, shape: g.exponential(1 / lambd, shape))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with the number of trials up to the first success, of probability p."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _drawn(self, "geometric_", generator, lambda g, shape: g.geometric(p, shape))


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with Cauchy random numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _drawn(self, "cauchy_", generator, lambda g, shape: median + sigma * g.standard_cauchy(shape))


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of which the logarithms are normal, with this mean and deviation."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _drawn(self, "log_normal_", generator, lambda g, shape: g.lognormal(mean, std, shape))


def _bernoulli(self: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probabilities in this tensor (or all with probability p), else 0."""
    return bernoulli(self if p is None else self.detach() * 0 + p, generator=generator)


_bernoulli.__name__ = _bernoulli.__qualname__ = "bernoulli"
for _method in (_bernoulli, exponential_, geometric_, cauchy_, log_normal_, multinomial):
    setattr(Tensor, _method.__name__, _method)
