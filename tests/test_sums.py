"""Rounding errors of sums: as small as PyTorch's for every layout and axis, interpreted and compiled."""
from __future__ import annotations

import numpy as np
import pytest

import jitgrad as T
from jitgrad.ops.reduction import sum as sum_op

BOUND = {"float32": 1.1e-6, "float64": 2e-13}


def error(got: np.ndarray, value: float, n: int) -> float:
    """The largest relative error of sums of n equal numbers."""
    one = float(got.dtype.type(value))
    return float(abs(got.astype(np.longdouble) / (np.longdouble(one) * n) - 1).max())


def laid_out(shape: tuple[int, ...], value: float, dtype: str, layout: str) -> np.ndarray:
    if layout == "transposed":
        return np.full(shape[::-1], value, dtype).T
    if layout == "strided":
        return np.full((*shape[:-1], 2 * shape[-1]), value, dtype)[..., ::2]
    return np.full(shape, value, dtype)


CASES = [((10**6, 3), (0,)), ((3, 300_000), (1,)), ((1000, 1000), (0,)), ((500_000,), (0,)), ((3, 10**5, 4), (0, 1)),
         ((10**5, 3, 4), (0, 1)), ((300, 300, 4), (0, 1)), ((300, 4, 300), (0, 2)), ((30, 10, 300, 4), (0, 2)),
         ((2000, 40), (0, 1)), ((63, 5), (0,)), ((129, 2, 3), (0, 1))]


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_interpreted(shape: tuple[int, ...], axes: tuple[int, ...], dtype: str, layout: str) -> None:
    for value in (0.1, 0.7, 1.1):
        got = sum_op.numpy(laid_out(shape, value, dtype, layout), axes)
        assert got.dtype == dtype and got.shape == tuple([1 if a in axes else n for a, n in enumerate(shape)])
        assert error(got, value, int(np.prod([shape[a] for a in axes]))) < BOUND[dtype]


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_compiled(shape: tuple[int, ...], axes: tuple[int, ...], dtype: str, layout: str) -> None:
    """The gradient of a broadcast operand is such a sum; the factor along the first dimension keeps loops apart."""
    b = T.ones(tuple([1 if a in axes else n for a, n in enumerate(shape)]), dtype=getattr(T, dtype), requires_grad=True)
    first = T.ones((shape[0], *[1] * (len(shape) - 1)), dtype=b.dtype)
    for value in (0.1, 0.7, 1.1):
        x = T.tensor(np.ascontiguousarray(laid_out(shape, value, dtype, layout)))
        if layout == "transposed":
            x = T.tensor(np.full(shape[::-1], value, dtype)).permute(*range(len(shape) - 1, -1, -1))
        b.grad = None
        (x * first * b).sum().backward()
        assert error(b.grad.numpy(), value, int(np.prod([shape[a] for a in axes]))) < BOUND[dtype]


def test_what_is_gathered() -> None:
    index = T.tensor(np.arange(300_000)[::-1].copy())
    x = T.full((300_000,), 0.1)
    w = T.tensor(1.0, requires_grad=True)
    (x[index] * w).sum().backward()
    assert error(w.grad.numpy(), 0.1, 300_000) < BOUND["float32"]


@pytest.mark.parametrize("interpret", [False, True])
def test_random_numbers(interpret: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from jitgrad.config import config
    monkeypatch.setattr(config, "interpret", interpret)
    array = np.random.default_rng(0).uniform(0, 1, (70_001, 5)).astype(np.float32)
    b = T.ones(5, requires_grad=True)
    (T.tensor(array) * b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), array.sum(0, dtype=np.float64), rtol=3e-7)


def test_infinities_and_nans_are_kept() -> None:
    array = np.ones((200, 3), np.float32)
    array[70, 0], array[150, 1], array[3, 1], array[199, 2] = np.inf, np.inf, -np.inf, np.nan
    b = T.ones(3, requires_grad=True)
    (T.tensor(array) * b).sum().backward()
    np.testing.assert_array_equal(b.grad.numpy(), [np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(T.tensor(array).sum(0).numpy(), [np.inf, np.nan, np.nan])
