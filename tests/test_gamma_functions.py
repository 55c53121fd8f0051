"""lgamma, digamma and polygamma against mpmath where they are hard: at 0, at 1 and 2, at the poles; compiled and by NumPy."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_vecmath import ABSOLUTE, error_in_ulp, evaluate

from jitgrad.ops import reference

mpmath = pytest.importorskip("mpmath")

DTYPES = {"float32": np.float32, "float64": np.float64}


def near(dtype: type) -> dict[str, np.ndarray]:
    """Points by place; those of a place are at all distances from it."""
    rng, wide, eps = np.random.default_rng(1), dtype is np.float64, np.finfo(dtype).eps
    distance = 2.0 ** rng.uniform(np.log2(eps), -1, 40) * rng.choice([-1, 1], 40)
    tiny = 2.0 ** rng.uniform(-1074 if wide else -149, -1, 60)
    last = np.arange(-8, 9) * eps
    places = {"above 0": tiny, "below 0": -tiny, "decades below 0": -10.0 ** -np.arange(1, 38), "wide": rng.uniform(-30, 30, 60),
              "up to 3": rng.uniform(0, 3, 100)}
    places |= {f"{n}": np.concatenate([n + distance * max(1, abs(n)), n + last * abs(n)]) for n in (1, 2, -1, -2, -3, -7, -20)}
    return {name: np.unique(x.astype(dtype)) for name, x in places.items()}


def exact(name: str, x: float) -> object:
    v = mpmath.mpf(x)
    return mpmath.log(abs(mpmath.gamma(v))) if name == "lgamma" else mpmath.digamma(v)


def by_numpy(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return reference.lgamma if name == "lgamma" else lambda x: reference.polygamma(0, x)


@pytest.mark.parametrize("how", ["compiled", "NumPy"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_near_zero_one_two_and_the_poles(name: str, dtype: str, how: str) -> None:
    kind = DTYPES[dtype]
    info, by = np.finfo(kind), by_numpy(name)
    for place, x in near(kind).items():
        x = x[(x != np.floor(x)) | (x > 0)]
        got = evaluate(name, x) if how == "compiled" else by(x)
        assert got.dtype == kind
        with mpmath.workprec(200):
            for v, g in zip(x, got, strict=True):
                want = exact(name, float(v))
                if abs(want) > float(info.max):
                    assert np.isinf(g) and (g > 0) == (want > 0), (place, v, g)
                    continue
                scale = max(1, abs(want))
                if name == "lgamma" and v < 0:
                    scale = max(scale, mpmath.loggamma(1 - mpmath.mpf(float(v))))
                bound = ABSOLUTE[name][int(v < 0)]
                assert abs(mpmath.mpf(float(g)) - want) <= bound * scale * float(info.eps), (place, v, g)
                if name == "lgamma" and v > 0:      # its zeros at 1 and 2 keep all digits
                    assert error_in_ulp(g, want, kind) <= 5.5, (place, v, g)


def test_what_the_digits_are() -> None:
    assert reference.lgamma(np.array([1 + 1e-10]))[0] == pytest.approx(-5.772157125783244e-11, rel=1e-15, abs=0)
    assert reference.lgamma(np.array([2 - 1e-10]))[0] == pytest.approx(-4.2278437004755317e-11, rel=1e-15, abs=0)
    assert reference.polygamma(0, np.array([-1e-5]))[0] == pytest.approx(99999.422767885629, rel=1e-15)
    assert reference.polygamma(0, np.array([-1e-310, 1e-310])).tolist() == [np.inf, -np.inf]
    assert reference.polygamma(0, np.array([-1e-30], np.float32))[0] == np.float32(1e30)


def test_polygamma() -> None:
    x = np.array([-20.3, -1.5, -1.0001, -0.5, -1e-5, 1e-5, 0.3, 1.0, 1.4616, 2.0, 10.0])
    for n in (1, 2, 3, 4):
        want = [float(mpmath.polygamma(n, mpmath.mpf(float(v)))) for v in x]
        np.testing.assert_allclose(reference.polygamma(n, x), want, rtol=2e-12, atol=1e-12)
    assert reference.polygamma(1, np.array([-1e-310, 1e-310])).tolist() == [np.inf, np.inf]
