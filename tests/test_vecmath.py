"""Vector mathematics against mpmath: accuracy over the whole domain, special values, and that it is vectorised at all."""
import functools
import re

import drawn
import mpmath
import numpy as np
import pytest

from jitgrad.compiler.numba_cpu import kernels, objectcode
from jitgrad.compiler.numba_cpu.vocabulary import vecmath
from jitgrad.memory import buffers

DTYPES = {"f4": np.float32, "f8": np.float64}
# Bounds in ulp, as the table in vecmath/__init__.py states them.
BOUNDS = {
    "exp": 1.1, "exp2": 1.5, "expm1": 2.5, "log": 1, "log2": 2, "log10": 2, "log1p": 2, "sin": 1.6, "cos": 1.6, "tan": 3, "asin": 2,
    "acos": 1.5, "atan": 2, "atan2": 2, "sinh": 2, "cosh": 2, "tanh": 3, "asinh": 2, "acosh": 3, "atanh": 3, "sigmoid": 3,
    "softplus0": 2, "pow": 1.5, "erf": 1.5, "erfc": 4, "rsqrt": 2}
# Bounds of |error| / max(1, |value|) in units of the dtype's eps, for positive and for negative arguments; for lgamma of a
# negative x the value or its largest term, lgamma(1 - x), whichever is larger.
ABSOLUTE = {"lgamma": (2, 4), "digamma": (12, 12)}
EVERY = [*BOUNDS, *ABSOLUTE]
BINARY = frozenset(vecmath.BINARY)


def source_of(name, kind):
    values = ", ".join(f"load_{kind}({p}, i)" for p in ("p", "r")[:2 if name in BINARY else 1])
    return f"""def kernel(lo, hi, args):
    p = arg_i8(args, 0)
    q = arg_i8(args, 1)
    r = arg_i8(args, 2)
    for i in range(lo, hi):
        store_{kind}(q, i, {name}({values}))
"""


def kernel_of(name, kind):
    return kernels.get_kernel(source_of(name, kind))


def evaluate(name, x, y=None):
    kernel = kernel_of(name, "f4" if x.dtype == np.float32 else "f8")
    y = x if y is None else y
    out = np.empty_like(x)
    block = np.array([buffers.address(x), buffers.address(out), buffers.address(y)], np.int64)
    kernel(0, x.size, buffers.address(block))
    return out


REFERENCES = {
    "exp2": lambda x: mpmath.mpf(2)**x,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": lambda x: mpmath.log(x) / mpmath.log(10),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus0": lambda x: mpmath.log1p(mpmath.exp(x)),
    "pow": lambda x, y: mpmath.exp(y * mpmath.log(x)),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "lgamma": lambda x: mpmath.log(abs(mpmath.gamma(x))) if abs(x) < 300 else mpmath.loggamma(x),
}


def reference(name, *args):
    return REFERENCES.get(name, getattr(mpmath, name, None))(*[mpmath.mpf(float(v)) for v in args])


def spread(rng, low, high, count):
    """Powers of two at random exponents."""
    return 2.0**rng.uniform(low, high, count)


def samples(name, dtype):
    """Some hundred points: near zero, moderate, and up to the edges of the domain; one array for each argument."""
    rng = drawn.generator(7)
    wide = dtype == np.float64
    low, high = (-1074, 1023.9) if wide else (-149, 127.9)
    end = 708 if wide else 87           # of the argument of exp
    signs = rng.choice([-1.0, 1.0], 60)
    near_one = 1 + signs * spread(rng, -20, -1.5, 60)
    whole = signs * spread(rng, low, high, 60)
    moderate = np.concatenate([rng.normal(size=60), signs * spread(rng, -12, 3, 60)])
    if name in ("log", "log2", "log10", "rsqrt"):
        parts = [abs(whole), near_one, abs(moderate)]
    elif name == "log1p":
        parts = [abs(whole), near_one - 1, abs(moderate), rng.uniform(-1, 0, 40)]
    elif name in ("sin", "cos", "tan"):
        parts = [whole, moderate, rng.uniform(-1e4, 1e4, 60), signs * spread(rng, 12, 45, 60), np.arange(1, 40) * np.pi / 2,
                 signs * spread(rng, 45, high, 60)]
    elif name in ("asin", "acos", "atanh"):
        parts = [signs * spread(rng, low, 0, 60), rng.uniform(-1, 1, 120), signs * (1 - spread(rng, -22, -2, 60))]
    elif name == "acosh":
        parts = [1 + spread(rng, -20, 4, 120), spread(rng, 0, high, 60)]
    elif name in ("atan", "asinh"):
        parts = [whole, moderate, rng.uniform(-4, 4, 60)]
    elif name == "atan2":
        x = np.concatenate([whole, whole, rng.normal(size=120)])
        y = np.concatenate([whole * spread(rng, -3, 3, 60) / 8, whole[::-1], rng.normal(size=120)])
        parts = None
    elif name == "pow":
        x = np.concatenate([abs(whole), near_one, abs(moderate)])
        with np.errstate(divide="ignore"):
            y = rng.uniform(-end, end, x.size) / np.log(x.astype(dtype).astype(float))
        y[::4] = rng.uniform(-4, 4, y[::4].size)
        usable = (x.astype(dtype) != 0) & (abs(y * np.log(np.maximum(x, 5e-324))) < end) & (abs(y) < 1e30)
        x, y = x[usable], y[usable]
        parts = None
    elif name == "lgamma":
        parts = [signs * spread(rng, low, 3, 60), rng.uniform(-20, 12, 120), near_one, near_one + 1, spread(rng, 3, 40, 30)]
    elif name == "digamma":
        parts = [signs * spread(rng, -20, 3, 60), rng.uniform(-6, 12, 120), near_one + 0.46, spread(rng, 3, 100, 30)]
    elif name in ("erf", "erfc"):
        parts = [signs * spread(rng, low, 2, 60), moderate, rng.uniform(-6, 27 if wide else 10, 100), near_one]
    else:
        parts = [signs * spread(rng, low, 3, 60), moderate, rng.uniform(-end, end, 100), rng.uniform(-0.36, 0.36, 60)]
    arrays = [x, y] if parts is None else [np.concatenate(parts)]
    return [a.astype(dtype) for a in arrays]


def error_in_ulp(got, exact, dtype):
    info = np.finfo(dtype)
    exponent = int(mpmath.floor(mpmath.log(abs(exact), 2))) if exact else info.minexp
    unit = mpmath.ldexp(1, max(exponent, info.minexp) - info.nmant)
    return float(abs(mpmath.mpf(float(got)) - exact) / unit)


@functools.cache
def exact_values(name, kind):
    with mpmath.workprec(160):
        return [reference(name, *args) for args in zip(*samples(name, DTYPES[kind]), strict=True)]


def test_every_function_is_covered():
    assert {*BOUNDS, *ABSOLUTE} == {*vecmath.UNARY, *vecmath.BINARY}


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("name", list(BOUNDS))
def test_accuracy(name, kind):
    dtype = DTYPES[kind]
    args = samples(name, dtype)
    got = evaluate(name, *args)
    with mpmath.workprec(160):
        errors = [(error_in_ulp(g, e, dtype), v) for g, e, *v in zip(got, exact_values(name, kind), *args, strict=True)
                  if abs(e) <= float(np.finfo(dtype).max)]
    assert len(errors) > 150
    worst = max(errors, key=lambda e: e[0])
    assert worst[0] <= BOUNDS[name], f"{worst[0]:.3f} ulp at {worst[1]!r}"


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("name", list(ABSOLUTE))
def test_absolute_error_of_gamma_functions(name, kind):
    dtype = DTYPES[kind]
    [x] = samples(name, dtype)
    got = evaluate(name, x)
    with mpmath.workprec(160):
        largest = [max(abs(e), mpmath.loggamma(1 - mpmath.mpf(float(v)))) if name == "lgamma" and v < 0 else e
                   for v, e in zip(x, exact_values(name, kind), strict=True)]
        scaled = np.array([float(abs(mpmath.mpf(float(g)) - e) / max(1, abs(t))) for g, e, t in
                           zip(got, exact_values(name, kind), largest, strict=True)]) / np.finfo(dtype).eps
    for chosen, bound in zip((x > 0, x < 0), ABSOLUTE[name], strict=True):
        assert scaled[chosen].size > 30
        assert scaled[chosen].max() <= bound, x[chosen][scaled[chosen].argmax()]


def special_points(dtype):
    info = np.finfo(dtype)
    return np.array([0.0, -0.0, np.inf, -np.inf, np.nan, info.smallest_subnormal, -info.smallest_subnormal, info.tiny, -info.tiny,
                     info.max, -info.max, 1, -1, 2, -2, 0.5, -0.5], dtype)


NUMPY = {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "asinh": np.arcsinh, "acosh": np.arccosh,
         "atanh": np.arctanh, "pow": np.power, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
         "softplus0": lambda x: np.logaddexp(x, 0), "rsqrt": lambda x: 1 / np.sqrt(x)}


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("name", [n for n in BOUNDS if n not in ("erf", "erfc")])
def test_special_values(name, kind):
    """Infinities, nan, both zeros, subnormal and huge arguments as NumPy has them, signs of zeros too."""
    dtype = DTYPES[kind]
    x = special_points(dtype)
    args = [a.ravel().copy() for a in np.meshgrid(x, x)] if name in BINARY else [x]
    got = evaluate(name, *args)
    function = NUMPY.get(name, getattr(np, name, None))
    with np.errstate(all="ignore"):
        want = function(*args)
    if name in ("sin", "cos", "tan"):
        huge = abs(x) == np.finfo(dtype).max
        want[huge] = [float(reference(name, v)) for v in x[huge]]
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))
    np.testing.assert_array_equal(got == 0, want == 0)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_special_values_of_error_and_gamma_functions(kind):
    dtype = DTYPES[kind]
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).smallest_subnormal, 1, 2, -1, -2, -30], dtype)
    least, inf, nan = x[5], np.inf, np.nan
    for name, values in {
        "erf": [0.0, -0.0, 1, -1, nan, least, 0.8427007929497149, 0.9953222650189527, -0.8427007929497149, -0.9953222650189527, -1],
        "erfc": [1, 1, 0, 2, nan, 1, 0.15729920705028513, 0.004677734981047266, 1.8427007929497148, 1.9953222650189528, 2],
        "lgamma": [inf, inf, inf, inf, nan, -np.log(least), 0, 0, inf, inf, inf],
        "digamma": [-inf, inf, inf, nan, nan, -inf, -0.5772156649015329, 0.42278433509846713, nan, nan, nan],
    }.items():
        got, want = evaluate(name, x), np.array(values, dtype)
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps, atol=0, err_msg=name)
        known = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]), err_msg=name)


def test_exact_results():
    for dtype in DTYPES.values():
        n = np.arange(-100, 100).astype(dtype)
        powers = np.ldexp(dtype(1), n.astype(int)).astype(dtype)
        np.testing.assert_array_equal(evaluate("exp2", n), powers)
        np.testing.assert_array_equal(evaluate("log2", powers), n)
        np.testing.assert_array_equal(evaluate("log", np.ones(3, dtype)), np.zeros(3))
        squares = evaluate("pow", n, np.full_like(n, 2))
        np.testing.assert_array_equal(squares, n * n)
        np.testing.assert_array_equal(evaluate("lgamma", np.array([1, 2], dtype)), [0, 0])


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_huge_argument_among_small_ones(kind):
    """The lanes that take the slow way do not disturb the others, whatever their place in a vector."""
    dtype = DTYPES[kind]
    small = np.linspace(-3, 3, 67).astype(dtype)
    for name in ("sin", "cos", "tan"):
        expected = evaluate(name, small)
        for place in range(0, 67, 5):
            x = small.copy()
            x[place] = 1e30
            got = evaluate(name, x)
            assert got[place] == pytest.approx(float(reference(name, x[place])), rel=float(4 * np.finfo(dtype).eps))
            np.testing.assert_array_equal(np.delete(got, place), np.delete(expected, place))


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
@pytest.mark.parametrize("name", EVERY)
def test_vectorised(name, kind):
    kernel = kernel_of(name, kind)
    text, assembly = kernel.inspect_llvm(), kernel.inspect_asm()
    scalar = "float" if kind == "f4" else "double"
    assert re.search(rf"\nvector\.body.*= .*<\d+ x {scalar}>", text, re.DOTALL)
    # Neither the C library nor, in the loop, a scalar function of ours but the one for rare lanes.
    called = set(re.findall(r"call [^@\n]*@\"?([\w.]+)", text))
    assert all(c.startswith(("llvm.", "jitgrad.lanes.", "_ZN")) for c in called), called      # _ZN: all of a kernel by numba.cfunc
    if kind == "f4":
        assert "double" not in text
    if "+fma" in objectcode.host_features() and "+avx2" in objectcode.host_features():
        assert re.search(rf"v(fn?m|mul|div)\w*p{'s' if kind == 'f4' else 'd'}\s.*[yz]mm", assembly)
