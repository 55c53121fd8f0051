"""Numba compiles every kernel: by its own passes, and the same bits by `numba.cfunc` where these passes are not as expected."""
from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from jitgrad.compiler import numba_cpu
from jitgrad.compiler.codegen import blas_calls, combine, small_products
from jitgrad.compiler.codegen.target_cpu import _FORMULA
from jitgrad.compiler.numba_cpu import cache, kernels, objectcode, pipeline, plain
from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS
from jitgrad.config import config
from jitgrad.errors import InternalError
from jitgrad.memory import buffers
from jitgrad.ops.declare import REGISTRY

N = 2500
KERNELS = {
    "elementwise": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    for i0 in range(lo, hi):
        interleave(4)
        v0 = load_f8(p0, i0)
        v1 = -v0 * f8(0.5) + f8(-0.0)
        v2 = where(v1 > f8(0.25), exp(v1), f8(inf)) - f8(nan)
        v3 = where(v2 != v2, tanh(v1) / v0, v2)
        store_f8(p3, i0, v3)
""",
    "accumulators in blocks": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    a0 = f8(0.0)
    a1 = -f8(inf)
    for k in range(lo, hi, 1024):
        b0 = f8(0.0)
        for i0 in range(k, minimum(k + 1024, hi)):
            interleave(2)
            v0 = load_f8(p0, i0)
            b0 = radd(b0, v0 * v0)
            a1 = rmax(a1, v0)
        a0 = radd(a0, b0)
    store_f8(p3, 0, a0)
    store_f8(p3, 1, a1)
""",
    "a sum of formulas in a row": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    n2 = arg_i8(args, 4)
    for i0 in range(n2):
        o0 = i0 * n2
        a0 = f8(0.0)
        for i1 in range(n2):
            interleave(2)
            a0 = radd(a0, sin(load_f8(p0, o0 + i1)))
        store_f8(p3, i0, a0)
""",
    "a nest with copies for unit steps": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    n2 = arg_i8(args, 4)
    n5 = arg_i8(args, 5)
    for i0 in range(50):
        o0 = i0 * n2
        if n5 == 1 and n2 == 50:
            a0 = f8(1.0)
            for i1 in range(n2):
                v0 = load_f8(p0, o0 + i1)
                a0 = rmin(a0, v0)
            store_f8(p3, i0, a0)
        else:
            a0 = f8(2.0)
            for i1 in range(0, n2):
                v0 = load_f8(p0, o0 + i1 * n5)
                a0 = rmin(a0, v0)
            store_f8(p3, i0, a0)
""",
    "a conditional expression": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    d0 = minimum(lo + 1024, hi) < hi
    q0 = p3 if d0 else p0
    e0 = 7 if d0 else 0
    for z in range(e0):
        store_f8(q0, z, load_f8(p0, z + e0) if d0 else f8(1.0))
""",
    "memory that is accumulated in": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    for z in range(10):
        accstore_f8(p3, z, f8(0.0))
    for i0 in range(lo, hi):
        accstore_f8(p3, 3, accload_f8(p3, 3) + load_f8(p0, i0))
""",
    "integers and booleans": """
    p1 = arg_i8(args, 1)
    p2 = arg_i8(args, 2)
    p3 = arg_i8(args, 3)
    for i0 in range(lo, hi):
        v0 = load_i4(p1, i0)
        v1 = load_b1(p2, i0)
        v2 = to_i4(v0 * i4(2000000000) + v0)
        v3 = to_i4(-v2)
        v4 = lor(v1, v3 >= v0)
        v5 = where(v1 == v4, remainder(v2, i4(7)), iabs(v3))
        v6 = to_f4(v5) * f4(0.1)
        store_f8(p3, i0, to_f8(v6) + to_f8(to_i8(v0) * 3 + i0) + to_f8(v1))
""",
}


def call(lower, source, name, block):
    """Compile one way, and run over N elements."""
    address = objectcode.load(objectcode.emit(lower(source, name)), name)
    kernels.PROTOTYPE(address)(0, N, buffers.address(block))


def run(lower, source, name) -> bytes:
    rng = np.random.default_rng(len(source))
    x, i, b, out = rng.normal(size=N), rng.integers(-100, 100, N).astype(np.int32), rng.random(N) < 0.5, np.zeros(N)
    call(lower, source, name, np.array([buffers.address(a) for a in (x, i, b, out)] + [50, 1], np.int64))
    return out.tobytes()


@pytest.mark.parametrize("name", KERNELS)
def test_both_ways_give_the_same_bits(name):
    source, symbol = "def kernel(lo, hi, args):" + KERNELS[name], name.replace(" ", "_")
    assert run(pipeline.lower, source, f"{symbol}_passes") == run(plain.lower, source, f"{symbol}_cfunc")


def golden_kernels() -> list[str]:
    found = []
    for file in sorted((Path(__file__).parent / "golden").glob("*.txt")):
        for part in file.read_text().split("def kernel(lo, hi, args):")[1:]:
            body = part.splitlines()[1:]
            end = next((k for k, line in enumerate(body) if line and not line.startswith("    ")), len(body))
            found.append("def kernel(lo, hi, args):\n" + "\n".join(body[:end]) + "\n")
    return [*dict.fromkeys(found)]


def test_the_text_of_a_kernel_is_what_numba_is_given(monkeypatch):
    """All that emit.py, combine.py and the products have learnt to write."""
    texts = [*golden_kernels(), *[combine.source(REGISTRY[name], "f8") for name in ("sum", "amax")], blas_calls.vector("f8", 64),
             blas_calls.matrices("f4", 32, True), small_products.source("f8")]
    assert len(texts) > 20
    given = []
    monkeypatch.setattr(pipeline._Compiler, "compile_extra", lambda self, function: given.append(function) or "define void")
    for text in texts:
        pipeline.lower(text, "golden")
    assert [function.__code__.co_varnames[:3] for function in given] == [("lo", "hi", "args")] * len(texts)
    monkeypatch.undo()
    for text in texts:
        assert 'define void @"golden"(i64 %".1", i64 %".2", i64 %".3") nounwind' in pipeline.lower(text, "golden")


def test_loops_are_interleaved_as_the_text_says():
    source = "def kernel(lo, hi, args):" + KERNELS["accumulators in blocks"]
    for lower in (pipeline.lower, plain.lower):
        for count in (1, 4):
            text = objectcode.inspect(lower(source.replace("interleave(2)", f"interleave({count})"), "interleaved"))[0]
            body = text[text.index("vector.body"):]
            loads = body[:body.index("br i1")].count("= load <")
            assert loads == count, (lower, count)


def test_formulas_that_decide_on_interleaving_are_those_of_vecmath_and_random_numbers():
    from jitgrad.compiler.numba_cpu.vocabulary import philox, vecmath
    words = {*_FORMULA.pattern.removeprefix(r"\b(?:").removesuffix(r")\(").split("|")}
    assert words == {*vecmath.UNARY, *vecmath.BINARY, *philox.OPERATIONS} <= {*OPERATIONS}


@pytest.mark.parametrize(("line", "message"), [
    ("x = y", "y"), ("x = lo / hi", "i8 and i8 as operands of truediv"), ("x = sin(lo, hi)", "takes 1 arguments"),
    ("x = b1(True) + b1(True)", "b1 and b1 as operands of add"), ("x = where(lo, lo, lo)", "needs a condition"),
    ("x = f8(load_f4(lo, 0))", "needs a literal"), ("x = exp(lo)", "needs arguments of one type"),
    ("x = f8(1.0) + f4(1.0)", "f8 and f4 as operands of add"), ("x = f4(0.1) if lo < hi else f8(0.2)", "of kind f4 where f8"),
    ("x = f4(1.0)\n    x = f8(2.0)\n    for i in range(lo):\n        x = f4(3.0)", "of kind f"), ("x = hi // 2", "not right"),
    ("interleave(hi)", "not right")])
def test_what_is_not_in_the_language_is_refused(line, message):
    with pytest.raises(InternalError, match=message) as caught:
        pipeline.lower(f"def kernel(lo, hi, args):\n    {line}\n", "refused")
    assert line in str(caught.value)            # the whole source


def test_operations_check_their_types_under_cfunc_too():
    with pytest.raises(InternalError, match="needs a literal") as caught:
        plain.lower("def kernel(lo, hi, args):\n    x = f8(load_f4(lo, 0))\n", "refused")
    assert "load_f4(lo, 0)" in str(caught.value)


@pytest.fixture
def unknown_numba(tmp_path, monkeypatch):
    """A Numba whose internals are not those that pipeline.py knows."""
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(pipeline, "_start_range", None)
    pipeline._contexts.cache_clear()
    kernels._pipeline.cache_clear()
    kernels.forget()
    cache.reset()
    yield
    monkeypatch.undo()
    pipeline._contexts.cache_clear()
    kernels._pipeline.cache_clear()
    kernels.forget()
    cache.reset()


def test_another_version_of_numba_compiles_by_cfunc_and_says_so(unknown_numba, caplog):
    source = "def kernel(lo, hi, args):" + KERNELS["accumulators in blocks"]
    with caplog.at_level(logging.WARNING, "jitgrad"):
        found = kernels.get_kernel(source)
        again = kernels.get_kernel(source.replace("1024", "512"))
    assert [r.getMessage() for r in caplog.records if "numba.cfunc" in r.getMessage()] and len(caplog.records) == 1
    assert numba.__version__ in caplog.text
    assert found.compilation.pipeline == again.compilation.pipeline == kernels.PLAIN
    assert "(numba.cfunc)" in str(found.compilation)


def test_internals_that_are_missing_are_not_used(unknown_numba, monkeypatch, caplog, request):
    """The module that uses them cannot even be imported."""
    if request.config.getoption("--cfunc"):
        pytest.skip("the pipeline is not tried")
    monkeypatch.delattr(numba_cpu, "pipeline")
    monkeypatch.delitem(sys.modules, "jitgrad.compiler.numba_cpu.pipeline")
    monkeypatch.delattr(numba.core.callconv, "MinimalCallConv")
    with caplog.at_level(logging.WARNING, "jitgrad"):
        found = kernels.get_kernel("def kernel(lo, hi, args):\n    accstore_i8(arg_i8(args, 0), 0, hi)\n")
    assert found.compilation.pipeline == kernels.PLAIN and "MinimalCallConv" in caplog.text
    out = np.zeros(1, np.int64)
    found(0, 7, buffers.address(np.array([buffers.address(out)], np.int64)))
    assert out.tolist() == [7]


@pytest.mark.parametrize("raised", [MemoryError, TimeoutError, KeyboardInterrupt, RecursionError, RuntimeError])
def test_what_has_nothing_to_do_with_numba_is_raised(raised, monkeypatch, request):
    """A handler's RuntimeError comes once; all that Numba's internals cause comes again."""
    if request.config.getoption("--cfunc"):
        pytest.skip("the pipeline is not tried")
    original, calls = pipeline.probe, []

    def probe():
        calls.append(1)
        if raised is not RuntimeError or len(calls) == 1:
            raise raised
        return original()

    monkeypatch.setattr(pipeline, "probe", probe)
    kernels._pipeline.cache_clear()
    with pytest.raises(raised):
        kernels._pipeline()
    monkeypatch.undo()
    assert kernels._pipeline()[0] in (kernels.OWN, kernels.PLAIN)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this platform")
@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.18, 0.26, 0.4])
def test_an_interrupt_while_numba_is_imported_leaves_it_whole(seconds, tmp_path):
    script = f"""
import signal
import jitgrad
def handler(*_): raise RuntimeError("the time is up")
signal.signal(signal.SIGALRM, handler)
def gradient():
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    return x.grad.tolist()
try:
    signal.setitimer(signal.ITIMER_REAL, {seconds})
    gradient()
    signal.setitimer(signal.ITIMER_REAL, 0)
except RuntimeError as error:
    assert str(error) == "the time is up"
assert [gradient() for _ in range(3)] == [[2, 4]] * 3
from jitgrad.compiler.numba_cpu import kernels
assert kernels._pipeline()[0] == kernels.OWN
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          env={**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path / "cache")})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("left", [
    b"", b"kernel", b"kernel [1]\n", b'kernel ["1", "x", 0.1]\n', b"kernel [1]\nx", b"kernel {\nx", b"\x7fELF..."])
def test_an_entry_that_is_no_kernel_is_compiled_again(left, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    cache.reset()
    kernels.forget()
    source = "def kernel(lo, hi, args):" + KERNELS["elementwise"]
    key = cache.key(source, kernels.fingerprint())
    cache.save(key, left, source)
    assert kernels.compilations() == []
    assert kernels.get_kernel(source).origin == "compiled"
    assert len(kernels.compilations()) == 1


def test_a_pipeline_that_computes_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(pipeline, "_PROBE", pipeline._PROBE.replace("f8(2.0)", "f8(3.0)"))
    with pytest.raises(InternalError, match="a kernel computed"):
        pipeline.probe()


def test_what_a_kernel_was_compiled_by_is_kept_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    cache.reset()
    kernels.forget()
    source = "def kernel(lo, hi, args):" + KERNELS["elementwise"]
    compiled = kernels.get_kernel(source)
    kernels.forget()
    found = kernels.get_kernel(source)
    assert (compiled.origin, found.origin) == ("compiled", "disk")
    assert found.compilation == compiled.compilation and found.compilation.numba == numba.__version__
    assert 0 < found.compilation.seconds <= compiled.seconds
    assert [*map(str, kernels.compilations())] == [str(found.compilation)]
    assert "define" in found.inspect_llvm() and found.name in found.inspect_asm()


def test_a_call_by_address():
    """What products use beside the vocabulary: another kernel, words on the stack, memory."""
    inner = kernels.get_kernel("def kernel(lo, hi, args):\n    accstore_i8(arg_i8(args, 0), 0, lo + hi + arg_i8(args, 1))\n")
    outer = kernels.get_kernel("""def kernel(lo, hi, args):
    block = stack_words(2)
    memory = allocate(8)
    accstore_i8(block, 0, memory)
    accstore_i8(block, 1, 7)
    call_kernel(arg_i8(args, 0), 1, 2, block)
    accstore_i8(arg_i8(args, 1), 0, accload_i8(memory, 0))
    release(memory)
""")
    out = np.zeros(1, np.int64)
    block = np.array([inner.address, buffers.address(out)], np.int64)
    outer(0, 1, buffers.address(block))
    assert out.tolist() == [10]


@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_products_of_small_matrices_anywhere(kind):
    """LLVM makes vectors of 512 bits from narrower ones where the CPU has none; heights of all tiles, vectors that are not full."""
    function = kernels.get_kernel(small_products.source(kind))
    caller = kernels.get_kernel(blas_calls.matrices(kind, 0, False))
    rng, dtype = np.random.default_rng(0), np.dtype(kind)
    for m, k, n, turned in ((17, 5, 19, "a"), (30, 7, 33, "b"), (13, 4, 16, ""), (12, 3, 1, "")):
        a, b, out = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype), np.empty((m, n), dtype)
        left, right = np.ascontiguousarray(a.T) if turned == "a" else a, np.ascontiguousarray(b.T) if turned == "b" else b
        words = np.array([function.address, 112 if turned == "a" else 111, 112 if turned == "b" else 111, m, n, k, left.ctypes.data,
                          left.shape[1], right.ctypes.data, right.shape[1], out.ctypes.data, n, 0, 0, 0, 0], np.int64)
        caller(0, 1, words.ctypes.data)
        np.testing.assert_allclose(out, a.astype(float) @ b.astype(float), rtol=1e-5 if kind == "f4" else 1e-13, atol=1e-5)


def test_kernels_are_functions_of_c():
    assert kernels.PROTOTYPE is type(kernels.get_kernel("def kernel(lo, hi, args):\n    x = lo\n").call)
    assert kernels.PROTOTYPE._argtypes_ == (ctypes.c_int64,) * 3
