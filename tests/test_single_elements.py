"""Arrays some or all of whose dimensions have length 1: a kernel may have no loop, or none along what a row runs along."""
from __future__ import annotations

from collections.abc import Callable

import drawn
import numpy as np
import pytest

import jitgrad as T
from jitgrad.config import config
from jitgrad.operators import FUNCTIONAL

Tensor = T.Tensor
F = type("functional", (), {name: staticmethod(f) for name, f in FUNCTIONAL.items()})


def added(x: Tensor) -> Tensor:
    y = x * 1
    y[T.tensor([0])] += 1
    return y


def written(x: Tensor) -> Tensor:
    y = x * 1
    y[T.tensor([-1])] = x[:1] * 3
    return y


ONE: dict[str, tuple[Callable[[Tensor], Tensor], list, float]] = {
    "mask": (lambda x: x[x > 0], [2.0], 1),
    "masked_select": (lambda x: T.masked_select(x, x > 0), [2.0], 1),
    "max": (lambda x: x.max(0)[0], [2.0], 1),
    "min": (lambda x: x.min(0)[0], [2.0], 1),
    "index": (lambda x: x[T.tensor([0])], [2.0], 1),
    "repeated": (lambda x: x[T.tensor([0, 0, -1])], [2.0], 3),
    "index_select": (lambda x: T.index_select(x, 0, T.tensor([0])), [2.0], 1),
    "gather": (lambda x: T.gather(x, 0, T.tensor([0])), [2.0], 1),
    "take_along_dim": (lambda x: T.take_along_dim(x, T.tensor([0]), 0), [2.0], 1),
    "add to an index": (added, [2.0], 1),
    "write to an index": (written, [2.0], 3),
    "cross_entropy": (lambda x: F.cross_entropy(x, T.tensor([0])), [[2.0]], 0),
    "nll_loss": (lambda x: F.nll_loss(x, T.tensor([0])), [[2.0]], -1),
    "log_softmax": (lambda x: T.log_softmax(x, -1), [[2.0]], 0),
}


@pytest.mark.parametrize("name", ONE)
def test_the_gradient_of_one_element(name: str) -> None:
    function, value, want = ONE[name]
    x = T.tensor(value, requires_grad=True)
    for _ in range(2):
        x.grad = None
        function(x).sum().backward()
        assert x.grad.numpy().ravel().tolist() == [want]


def test_what_has_one_element_a_row_fills_the_rows_of_another_array() -> None:
    z = T.ones((5, 4), requires_grad=True)
    s = (z * 2)[:2]
    (s.sum() + T.log_softmax(s.sum(1, keepdim=True), -1).sum()).backward()
    assert z.grad.numpy().tolist() == [[2.0] * 4] * 2 + [[0.0] * 4] * 3


def test_what_has_one_element_a_row_is_added_as_often_as_the_row_is_long() -> None:
    x = T.tensor([[1.5], [0.25]], requires_grad=True)
    y = x.index_select(1, T.tensor([0, 0]))
    (T.log_softmax(y, 1).sum() + (y * 0.75).sum() + (y.sum(1, keepdim=True) * y.amax(1, keepdim=True)).sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1.5 + 6.0], [1.5 + 1.0]], rtol=1e-6)


# -- random programs over shapes with ones ---------------------------------------------------------------------------

def _position(rng: np.random.Generator, n: int, shape: tuple[int, ...] | None = None) -> Tensor:
    return T.tensor(rng.integers(0, n, int(rng.integers(1, 3)) if shape is None else shape))


def _gather(rng: np.random.Generator, x: Tensor, d: int) -> Tensor:
    shape = list(x.shape)
    shape[d] = int(rng.integers(1, 3))
    return T.gather(x, d, _position(rng, x.shape[d], tuple(shape)))


def _write(rng: np.random.Generator, x: Tensor, d: int) -> Tensor:
    y, where = x * 1, (slice(None),) * d + (_position(rng, x.shape[d]),)
    if rng.random() < .5:
        y[where] += 1.5
    else:
        y[where] *= x.sum()
    return y


OPERATIONS: list[Callable[[np.random.Generator, Tensor, int], Tensor]] = [
    lambda rng, x, d: x.index_select(d, _position(rng, x.shape[d])),
    _gather, _write,
    lambda rng, x, d: x[x > 0.2] if rng.random() < .3 else x.masked_fill(x > 0.1, 0.5),
    lambda rng, x, d: x.max(d, keepdim=True)[0],
    lambda rng, x, d: x.min(d)[0],
    lambda rng, x, d: x.sum(d, keepdim=True),
    lambda rng, x, d: x * x.sum(d, keepdim=True),
    lambda rng, x, d: x - x.logsumexp(d, keepdim=True),
    lambda rng, x, d: T.log_softmax(x, d),
    lambda rng, x, d: T.softmax(x, d),
    lambda rng, x, d: x.var(d, unbiased=False, keepdim=True) + x,
    lambda rng, x, d: T.cat([x, x * 2], d),
    lambda rng, x, d: x.narrow(d, int(rng.integers(x.shape[d])), 1),
    lambda rng, x, d: x.unsqueeze(d),
    lambda rng, x, d: x.squeeze(d),
    lambda rng, x, d: x.transpose(0, d) * 1.5,
    lambda rng, x, d: T.tanh(x),
]


def run(seed: int, interpret: bool) -> list[np.ndarray]:
    """Values of the root, and gradients, of a program drawn anew."""
    rng = drawn.generator(seed)
    shapes = [tuple(rng.choice([1, 1, 1, 2, 3], int(rng.integers(1, 4))).tolist()) for _ in range(2)]
    leaves = [T.tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
    pool = list(leaves)
    before, config.interpret = config.interpret, interpret
    try:
        for _ in range(int(rng.integers(2, 8))):
            x = pool[int(rng.integers(max(0, len(pool) - 3), len(pool)))]
            if x.dim() and x.numel():
                pool.append(OPERATIONS[int(rng.integers(len(OPERATIONS)))](rng, x, int(rng.integers(x.dim()))))
        loss = sum([(p * 0.75).sum() for p in pool[2:]], pool[0].sum() + pool[1].sum())
        loss.backward()
        return [loss.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]]
    finally:
        config.interpret = before


@pytest.mark.parametrize("seed", [*range(40), 1193, 1656, 1804])
def test_random_programs_over_shapes_with_ones(seed: int) -> None:
    for got, want in zip(run(seed, False), run(seed, True), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
