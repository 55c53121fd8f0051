"""The CPU back end: what the vocabulary means, what is vectorised, what compiles when."""
import os
import re
import subprocess
import sys
import threading
import time

import mpmath
import numba
import numpy as np
import pytest
from together import together

from jitgrad.compiler.numba_cpu import cache, kernels, objectcode
from jitgrad.config import config
from jitgrad.errors import InternalError
from jitgrad.memory import buffers

DTYPES = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "b1": np.bool_}
SPECIAL = np.array([0.0, -0.0, 1, -1, 2.5, -2.5, 3, -3, np.inf, -np.inf, np.nan, 1e-300, -1e-300, 7, 0.1, -0.1])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    cache.reset()
    kernels.forget()
    yield
    cache.reset()


def several(expressions, kinds, results):
    """Source of a kernel that stores expressions over a, b, c, one output array each."""
    count = len(kinds)
    lines = ["def kernel(lo, hi, args):"]
    lines += [f"    p{j} = arg_i8(args, {j})" for j in range(count + len(expressions))]
    lines += ["    for i in range(lo, hi):"]
    lines += [f"        {'abc'[j]} = load_{kind}(p{j}, i)" for j, kind in enumerate(kinds)]
    lines += [f"        store_{result}(p{j + count}, i, {expression})"
              for j, (expression, result) in enumerate(zip(expressions, results, strict=True))]
    return "\n".join(lines) + "\n"


def elementwise(expression, kinds, result):
    return several([expression], kinds, [result])


def block_of(*values):
    block = np.zeros(len(values), np.int64)
    for k, value in enumerate(values):
        if isinstance(value, np.ndarray):
            block[k] = buffers.address(value)
        elif isinstance(value, float):
            block.view(np.float64)[k] = value
        else:
            block[k] = value
    return block


def kind_of(array):
    return "b1" if array.dtype == np.bool_ else array.dtype.kind + str(array.dtype.itemsize)


def check(expected, *arrays):
    """Each key of `expected`, an expression over a, b, c, gives exactly its value; all in one kernel."""
    outs = [np.empty_like(value) for value in expected.values()]
    block = block_of(*arrays, *outs)
    source = several(list(expected), [kind_of(a) for a in arrays], [kind_of(out) for out in outs])
    kernels.get_kernel(source)(0, arrays[0].size, buffers.address(block))
    for (expression, value), out in zip(expected.items(), outs, strict=True):
        assert_same(out, value, expression)


def evaluate(expressions, *arrays):
    """The values of expressions of the first array's type."""
    outs = [np.empty_like(arrays[0]) for _ in expressions]
    block = block_of(*arrays, *outs)
    source = several(expressions, [kind_of(a) for a in arrays], [kind_of(arrays[0])] * len(outs))
    kernels.get_kernel(source)(0, arrays[0].size, buffers.address(block))
    return outs


def assert_same(got, expected, what=""):
    """Equal values, equal signs of zeros, nan at the same places."""
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, err_msg=what)
    if got.dtype.kind == "f":
        known = ~np.isnan(got)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]), err_msg=what)


def pairs(values):
    a, b = np.meshgrid(values, values)
    return a.ravel().copy(), b.ravel().copy()


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_float_operations_are_numpys(kind):
    a, b = pairs(SPECIAL.astype(DTYPES[kind]))
    binary = {"floordiv": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod, "maximum": np.maximum,
              "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin, "copysign": np.copysign}
    unary = {"sign": np.sign, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint, "fabs": np.fabs,
             "sqrt": np.sqrt, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}
    with np.errstate(all="ignore"):
        check({**{f"{name}(a, b)": function(a, b) for name, function in binary.items()},
               **{f"{name}(a)": function(a) for name, function in unary.items()},
               "a + b": a + b, "a - b": a - b, "a * b": a * b, "a / b": a / b, "-a": -a, "a != b": a != b,
               "a <= b": a <= b, "where(a < b, a, b)": np.where(a < b, a, b)}, a, b)


@pytest.mark.parametrize("kind", ["i4", "i8"])
def test_integer_operations_are_numpys(kind):
    limits = np.iinfo(DTYPES[kind])
    a, b = pairs(np.array([0, 1, -1, 2, -2, 7, -7, 5, limits.min, limits.max], DTYPES[kind]))
    c = np.abs(b % 9).astype(a.dtype)
    binary = {"floordiv": np.floor_divide, "remainder": np.remainder, "ifmod": np.fmod, "maximum": np.maximum,
              "minimum": np.minimum, "band": np.bitwise_and, "bor": np.bitwise_or, "bxor": np.bitwise_xor}
    unary = {"sign": np.sign, "iabs": np.abs, "bnot": np.invert}
    with np.errstate(all="ignore"):
        check({**{f"{name}(a, b)": function(a, b) for name, function in binary.items()},
               **{f"{name}(a)": function(a) for name, function in unary.items()},
               f"to_{kind}(a + b)": a + b, f"to_{kind}(a * b)": a * b, "pow(a, c)": a**c, "shl(a, c)": a << c,
               "shr(a, c)": a >> c}, a, b, c)
    ones = np.array([1, -1, -1, 2, 0], DTYPES[kind])
    [powers] = evaluate(["pow(a, b)"], ones, np.array([-3, -3, -2, -1, -1], DTYPES[kind]))
    assert powers.tolist() == [1, -1, 1, 0, 0]


def test_boolean_operations():
    a, b = pairs(np.array([True, False]))
    binary = {"land": np.logical_and, "lor": np.logical_or, "lxor": np.logical_xor, "band": np.bitwise_and,
              "bor": np.bitwise_or, "bxor": np.bitwise_xor}
    check({**{f"{name}(a, b)": function(a, b) for name, function in binary.items()}, "lnot(a)": ~a, "bnot(a)": ~a,
           "where(a, b, b1(True))": np.where(a, b, True)}, a, b)


def test_casts_are_astype():
    finite = np.array([0.0, -0.0, 0.5, -0.5, 1.9, -1.9, 123456.7])
    for x in (finite, finite.astype(np.float32), np.array([0, 1, -1, 2**31 - 1, -2**31], np.int32),
              np.array([0, 1, -1, 2**40 + 3, -2**62], np.int64), np.array([True, False])):
        check({f"to_{kind}(a)": x.astype(dtype) for kind, dtype in DTYPES.items()}, x)


def test_arguments_and_literals():
    source = """
def kernel(lo, hi, args):
    p = arg_i8(args, 0)
    store_f8(p, 0, arg_f8(args, 1))
    store_f8(p, 1, to_f8(arg_f4(args, 1)))
    store_f8(p, 2, to_f8(arg_i4(args, 2)))
    store_f8(p, 3, to_f8(arg_b1(args, 2)))
    store_f8(p, 4, to_f8(f4(0.1)))
    store_f8(p, 5, f8(-inf))
    store_f8(p, 6, to_f8(b1(True)))
    store_f8(p, 7, to_f8(hi - lo))
"""
    out = np.zeros(8)
    block = block_of(out, 0.1, -7)
    kernels.get_kernel(source)(3, 10, buffers.address(block))
    assert out.tolist() == [0.1, float(np.float32(0.1)), -7.0, 1.0, float(np.float32(0.1)), -np.inf, 1.0, 7.0]


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_libm_functions(kind):
    x = np.linspace(0.05, 0.95, 50, dtype=DTYPES[kind])
    y = -x[::-1].copy()
    expected = {"sin(a)": np.sin(x), "cos(a)": np.cos(x), "tan(a)": np.tan(x), "asin(a)": np.arcsin(x),
                "acos(a)": np.arccos(x), "atan(a)": np.arctan(x), "sinh(a)": np.sinh(x), "cosh(a)": np.cosh(x),
                "asinh(a)": np.arcsinh(x), "atanh(a)": np.arctanh(x), "exp2(a)": np.exp2(x), "log2(a)": np.log2(x),
                "log10(a)": np.log10(x), f"acosh(a + {kind}(1.0))": np.arccosh(x + 1), "rsqrt(a)": 1 / np.sqrt(x),
                "atan2(a, b)": np.arctan2(x, y), "pow(a, b)": x**y}
    for name, got in zip(expected, evaluate(list(expected), x, y), strict=True):
        np.testing.assert_allclose(got, expected[name], rtol=8 * np.finfo(x.dtype).eps, err_msg=name)


def test_special_functions():
    x = np.array([-3.7, -0.5, 0.1, 0.5, 1.0, 1.4616, 2.5, 9.9, 10.0, 30.0, 1e10])
    tolerances = {"lgamma": 4e-15, "digamma": 1e-14, "erf": 1e-15, "erfc": 4e-15}
    for name, got in zip(tolerances, evaluate([f"{name}(a)" for name in tolerances], x), strict=True):
        function = getattr(mpmath, "loggamma" if name == "lgamma" else name)
        np.testing.assert_allclose(got, [float(mpmath.re(function(v))) for v in x], rtol=tolerances[name],
                                   atol=tolerances[name], err_msg=name)
    check({"digamma(a)": np.array([-np.inf, np.inf, np.nan, np.inf, np.nan, np.nan])},
          np.array([0.0, -0.0, -1.0, np.inf, -np.inf, np.nan]))


REDUCTION = """
def kernel(lo, hi, args):
    p = arg_i8(args, 0)
    q = arg_i8(args, 1)
    acc = f8({start})
    for i in range(lo, hi):
        acc = {name}(acc, load_f8(p, i))
    store_f8(q, 0, acc)
"""


@pytest.mark.parametrize(("name", "start", "function"), [("radd", "0.0", np.sum), ("rmul", "1.0", np.prod),
                                                         ("rmax", "-inf", np.max), ("rmin", "inf", np.min)])
def test_reductions_vectorise(name, start, function):
    x = np.random.default_rng(0).uniform(0.9, 1.1, 1001)
    kernel = kernels.get_kernel(REDUCTION.format(name=name, start=start))
    out = np.empty(1)
    block = block_of(x, out)
    kernel(0, x.size, buffers.address(block))
    np.testing.assert_allclose(out[0], function(x), rtol=1e-13)
    assert re.search(r"<\d+ x double>", kernel.inspect_llvm())
    if name in ("rmax", "rmin"):
        x[500] = np.nan
        kernel(0, x.size, buffers.address(block))
        assert np.isnan(out[0])


def test_plain_sum_keeps_its_order():
    x = np.array([1e16, 1.0, -1e16, 1.0] * 100)
    source = REDUCTION.format(name="radd", start="0.0").replace("radd(acc, load_f8(p, i))", "acc + load_f8(p, i)")
    out = np.empty(1)
    block = block_of(x, out)
    kernels.get_kernel(source)(0, x.size, buffers.address(block))
    assert out[0] == np.cumsum(x)[-1]


def many_pointers(kind, count=4):
    lines = ["def kernel(lo, hi, args):"]
    lines += [f"    p{k} = arg_i8(args, {k})" for k in range(2 * count)]
    lines += ["    for i in range(lo, hi):"]
    lines += [f"        v{k} = load_{kind}(p{k}, i)" for k in range(count)]
    lines += [f"        w = (v0 * v1 + v2) / (v3 + {kind}(1.5))"]
    lines += [f"        store_{kind}(p{k + count}, i, w * v{k})" for k in range(count)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_eight_pointers_vectorise_without_alias_checks(kind):
    kernel = kernels.get_kernel(many_pointers(kind))
    text = kernel.inspect_llvm()
    assert re.search(r"fdiv <\d+ x (float|double)>", text)
    assert "memcheck" not in text
    if "+avx2" in objectcode.host_features():
        assert re.search(r"vdivp[sd]\s.*[yz]mm", kernel.inspect_asm())
    if kind == "f4":
        assert "double" not in text


@pytest.mark.parametrize("shift", [0, 3])
def test_in_place_output(shift):
    """An output may be an input, read at the same index, whatever else is stored first."""
    x = [np.random.default_rng(k).uniform(1, 2, 100 + shift) for k in range(4)]
    out = np.empty(100 + shift)
    v = [a.copy() for a in x]
    w = (v[0] * v[1] + v[2]) / (v[3] + 1.5)
    block = block_of(*x, x[1], x[0], x[3], out)
    kernels.get_kernel(many_pointers("f8"))(0, out.size, buffers.address(block))
    for got, expected in zip((x[1], x[0], x[3], out), v, strict=True):
        np.testing.assert_allclose(got, w * expected, rtol=1e-15)


def test_accumulation_into_one_address():
    source = """
def kernel(lo, hi, args):
    index = arg_i8(args, 0)
    p = arg_i8(args, 1)
    q = arg_i8(args, 2)
    for i in range(lo, hi):
        k = load_i8(index, i)
        accstore_f8(q, k, accload_f8(q, k) + load_f8(p, i))
"""
    rng = np.random.default_rng(0)
    index, x, out = rng.integers(0, 3, 1000), rng.integers(0, 9, 1000).astype(float), np.zeros(3)
    block = block_of(index, x, out)
    kernels.get_kernel(source)(0, x.size, buffers.address(block))
    assert_same(out, np.bincount(index, x, 3))


def test_nested_loops_accumulate_rows():
    source = """
def kernel(lo, hi, args):
    p = arg_i8(args, 0)
    q = arg_i8(args, 1)
    n = arg_i8(args, 2)
    for i in range(lo, hi):
        for j in range(n):
            store_f8(q, j, load_f8(q, j) + load_f8(p, i * n + j))
"""
    x, out = np.arange(77.0).reshape(7, 11), np.zeros(11)
    block = block_of(x, out, 11)
    kernel = kernels.get_kernel(source)
    kernel(0, 7, buffers.address(block))
    assert_same(out, x.sum(0))
    assert re.search(r"fadd <\d+ x double>", kernel.inspect_llvm())


def test_equal_sources_are_one_kernel_and_threads_compile_once():
    source = elementwise("a * f8(17.0)", ["f8"], "f8")
    found = together(kernels.get_kernel, [source] * 4)
    assert kernels.stats.kernels_compiled == 1
    assert all(kernel is found[0] for kernel in found)
    assert found[0].origin == "compiled" and found[0].seconds > 0 and found[0].address
    assert kernels.get_kernel(source.replace("17", "18")).name != found[0].name


def test_second_look_comes_from_disk():
    source = elementwise("exp(a) + f8(0.25)", ["f8"], "f8")
    kernels.get_kernel(source)
    kernels.forget()
    kernel = kernels.get_kernel(source)
    assert kernel.origin == "disk"
    assert (kernels.stats.kernels_compiled, kernels.stats.disk_hits) == (0, 1)
    x, out = np.array([0.0, 1.0]), np.empty(2)
    block = block_of(x, out)
    kernel(0, 2, buffers.address(block))
    np.testing.assert_allclose(out, np.exp(x) + 0.25, rtol=1e-15)


def test_a_process_that_compiles_nothing_imports_no_numba(tmp_path):
    source = elementwise("pow(sin(a), exp(a)) + fmod(a, f8(0.3)) + digamma(a)", ["f8"], "f8")
    program = f"""
import sys
import numpy as np
from jitgrad.memory import buffers
from jitgrad.compiler.numba_cpu import kernels
kernel = kernels.get_kernel({source!r})
x, out = np.array([0.5, 1.5]), np.empty(2)
block = np.array([buffers.address(x), buffers.address(out)], np.int64)
kernel(0, 2, buffers.address(block))
print(kernel.origin, "numba" in sys.modules, kernel.compilation.numba, out.tolist())
"""
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path / "shared")}
    runs = [subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
            for _ in range(2)]
    first, second = [run.stdout.split(" ", 2) for run in runs]
    assert first[:2] == ["compiled", "True"]
    assert second[:2] == ["disk", "False"]
    assert first[2] == second[2] and first[2].startswith(numba.__version__)


def test_damaged_object_code_is_compiled_again():
    source = elementwise("a + f8(5.0)", ["f8"], "f8")
    kernels.get_kernel(source)
    kernels.forget()
    [file] = cache.path().glob("*.bin")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.warns(cache.CacheWarning, match="damaged"):
        assert kernels.get_kernel(source).origin == "compiled"
    kernels.forget()
    assert kernels.get_kernel(source).origin == "disk"


def test_code_that_another_process_could_not_link_is_refused():
    with pytest.raises(InternalError, match="not_in_libm"):
        objectcode.emit("declare void @not_in_libm()\ndefine void @f() {\n call void @not_in_libm()\n ret void\n}\n")


@pytest.mark.parametrize(("expression", "message"), [
    ("exp(i)", "exp"), ("unknown(a)", "unknown"), ("a + 'x'", "add"), ("maximum(a, f4(1.0))", "one type"),
    ("to_f4(a)", "store_f8")])
def test_errors_name_the_problem(expression, message):
    with pytest.raises(InternalError, match=re.escape(message)):
        kernels.get_kernel(elementwise(expression, ["f8"], "f8"))


def test_kernels_release_the_gil():
    source = """
def kernel(lo, hi, args):
    q = arg_i8(args, 0)
    x = f8(0.5)
    for i in range(lo, hi):
        x = sin(x) + f8(0.1)
    store_f8(q, 0, x)
"""
    kernel = kernels.get_kernel(source)
    out = np.empty(1)
    block = block_of(out)
    thread = threading.Thread(target=kernel, args=(0, 3_000_000, buffers.address(block)))
    start = time.perf_counter()
    thread.start()
    started = time.perf_counter() - start
    thread.join()
    assert started < 0.5 * (time.perf_counter() - start)


def test_wide_vectors_are_used_where_they_do_not_slow_the_cpu_down():
    source = "def kernel(lo, hi, args):\n    p0 = arg_i8(args, 0)\n    for i0 in range(lo, hi):\n" \
             "        v0 = load_f8(p0, i0)\n        store_f8(p0, i0, v0 * v0)\n"
    assert ("<8 x double>" in kernels.get_kernel(source).inspect_llvm()) >= objectcode.wide_vectors()
