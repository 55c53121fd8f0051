"""Vector mathematics against 100-digit arithmetic: accuracy, special values, and that it is vectorised at all."""
import re

import numpy as np
import pytest

from jitgrad import buffers
from jitgrad.compiler import cache, cpu, objectcode, vecmath
from jitgrad.config import config

mpmath = pytest.importorskip("mpmath")

DTYPES = {"f4": np.float32, "f8": np.float64}
# Bounds in ulp, as the table in vecmath.py states them.
BOUNDS = {"exp": 1.1, "log": 1.1, "expm1": 2, "log1p": 2, "tanh": 3, "sigmoid": 3, "softplus0": 3}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    before, config.cache_dir = config.cache_dir, tmp_path_factory.mktemp("cache")
    yield
    config.cache_dir = before
    cache.reset()


def kernel_of(name, kind):
    return cpu.get_kernel(f"""def kernel(lo, hi, args):
    p = arg_i8(args, 0)
    q = arg_i8(args, 1)
    for i in range(lo, hi):
        store_{kind}(q, i, {name}(load_{kind}(p, i)))
""")


def evaluate(name, x):
    kernel = kernel_of(name, "f4" if x.dtype == np.float32 else "f8")
    out = np.empty_like(x)
    block = np.array([buffers.address(x), buffers.address(out)], np.int64)
    kernel(0, x.size, buffers.address(block))
    return out


def reference(name, x):
    with mpmath.workdps(100):
        v = mpmath.mpf(float(x))
        if name == "sigmoid":
            return 1 / (1 + mpmath.exp(-v))
        if name == "softplus0":
            return mpmath.log1p(mpmath.exp(v))
        return getattr(mpmath, name)(v)


def samples(name, dtype):
    """A few hundred fixed points: near zero, moderate, and up to the edges of the format."""
    rng = np.random.default_rng(7)
    wide = 744.0 if dtype == np.float64 else 103.0
    magnitudes = np.exp(rng.uniform(-wide, 0.95 * wide * (0.95 if dtype == np.float64 else 0.86), 120))
    if name == "log":
        x = np.concatenate([rng.uniform(0.3, 3, 150), magnitudes, 1 + rng.normal(size=60) * 1e-3])
    elif name == "log1p":
        x = np.concatenate([rng.uniform(-0.999, 3, 150), magnitudes, rng.normal(size=60) * 1e-3])
    else:
        x = np.concatenate([rng.uniform(-wide, 0.95 * wide, 100), rng.normal(size=120), rng.normal(size=60) * 1e-3,
                            rng.normal(size=60) * 10, rng.uniform(-0.36, 0.36, 60), rng.normal(size=10) * 1e-30])
    with np.errstate(under="ignore"):
        return x.astype(dtype)


def error_in_ulp(got, exact, dtype):
    info = np.finfo(dtype)
    with mpmath.workdps(100):
        exponent = int(mpmath.floor(mpmath.log(abs(exact), 2))) if exact else info.minexp
        unit = mpmath.ldexp(1, max(exponent, info.minexp) - info.nmant)
        return float(abs(mpmath.mpf(float(got)) - exact) / unit)


def test_every_function_is_covered():
    assert set(BOUNDS) == set(vecmath.FUNCTIONS)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("name", list(BOUNDS))
def test_accuracy(name, kind):
    dtype = DTYPES[kind]
    x = samples(name, dtype)
    got = evaluate(name, x)
    exact = [reference(name, v) for v in x]
    worst = max((error_in_ulp(g, e, dtype), float(v)) for g, e, v in zip(got, exact, x, strict=True)
                if abs(e) <= float(np.finfo(dtype).max))
    assert worst[0] <= BOUNDS[name], f"{worst[0]:.3f} ulp at {worst[1]!r}"


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_special_values(kind):
    dtype = DTYPES[kind]
    info = np.finfo(dtype)
    tiny, least, large = info.tiny, info.smallest_subnormal, info.max
    inf, nan = np.inf, np.nan
    x = np.array([0.0, -0.0, inf, -inf, nan, least, -least, tiny, -tiny, large, -large], dtype)
    ln2 = np.log(dtype(2))
    log = [float(mpmath.log(mpmath.mpf(float(v)))) for v in (least, tiny, large)]
    expected = {
        "exp": [1, 1, inf, 0, nan, 1, 1, 1, 1, inf, 0],
        "expm1": [0.0, -0.0, inf, -1, nan, least, -least, tiny, -tiny, inf, -1],
        "log": [-inf, -inf, inf, nan, nan, log[0], nan, log[1], nan, log[2], nan],
        "log1p": [0.0, -0.0, inf, nan, nan, least, -least, tiny, -tiny, log[2], nan],
        "tanh": [0.0, -0.0, 1, -1, nan, least, -least, tiny, -tiny, 1, -1],
        "sigmoid": [0.5, 0.5, 1, 0, nan, 0.5, 0.5, 0.5, 0.5, 1, 0],
        "softplus0": [ln2, ln2, inf, 0, nan, ln2, ln2, ln2, ln2, large, 0],
    }
    for name, values in expected.items():
        got, want = evaluate(name, x), np.array(values, dtype)
        np.testing.assert_allclose(got, want, rtol=2 * info.eps, atol=0, err_msg=name)
        known = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]), err_msg=name)
    assert evaluate("log", np.array([1.0], dtype))[0] == 0
    assert evaluate("log1p", np.array([-1.0, -1.5], dtype))[0] == -inf
    assert np.isnan(evaluate("log1p", np.array([-1.0, -1.5], dtype))[1])


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_overflow_and_underflow_thresholds(kind):
    """The last argument with a finite result and the next; the last with a result above zero and the next."""
    dtype = DTYPES[kind]
    info = np.finfo(dtype)
    with mpmath.workdps(60):
        top = dtype(float(mpmath.log(mpmath.mpf(float(info.max)))))
        while mpmath.exp(mpmath.mpf(float(top))) > float(info.max):
            top = np.nextafter(top, dtype(0))
        while mpmath.exp(mpmath.mpf(float(np.nextafter(top, dtype(np.inf))))) <= float(info.max):
            top = np.nextafter(top, dtype(np.inf))
        bottom = dtype(float(mpmath.log(mpmath.mpf(float(info.smallest_subnormal)) / 2)))
    step = 4 * np.spacing(abs(bottom))
    x = np.array([top, top + 4 * np.spacing(top), bottom + step, bottom - step], dtype)
    got = evaluate("exp", x)
    assert np.isfinite(got[0]) and got[0] > 0.99 * float(info.max)
    assert got[1] == np.inf
    assert got[2] == info.smallest_subnormal
    assert got[3] == 0


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("name", list(BOUNDS))
def test_vectorised(name, kind):
    kernel = kernel_of(name, kind)
    text = kernel.llvm()
    assert re.search(rf"@llvm\.fma\.v\d+{'f32' if kind == 'f4' else 'f64'}", text)
    assert not re.search(r"call .*@(exp|log|tanh)", text)
    if kind == "f4":
        assert "double" not in text
    if "+fma" in objectcode.host_features() and "+avx2" in objectcode.host_features():
        assert re.search(rf"vfn?m\w+p{'s' if kind == 'f4' else 'd'}\s.*[yz]mm", kernel.assembly())
