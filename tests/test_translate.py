"""The translation of kernels against Numba's of the same text: same types, same bits."""
from pathlib import Path

import numpy as np
import pytest

from jitgrad import buffers
from jitgrad.compiler import objectcode
from jitgrad.compiler.intrinsics import reference
from jitgrad.compiler.translate import lower
from jitgrad.errors import InternalError

N = 2500
KERNELS = {
    "elementwise": """
    p0 = arg_i8(args, 0)
    p3 = arg_i8(args, 3)
    for i0 in range(lo, hi):
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
            v0 = load_f8(p0, i0)
            b0 = radd(b0, v0 * v0)
            a1 = rmax(a1, v0)
        a0 = radd(a0, b0)
    store_f8(p3, 0, a0)
    store_f8(p3, 1, a1)
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
    for i0 in range(lo, hi // 1):
        accstore_f8(p3, 3, accload_f8(p3, 3) + load_f8(p0, i0))
""".replace(" // 1", ""),
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


def run(function, name) -> bytes:
    rng = np.random.default_rng(len(name))
    x = rng.normal(size=N)
    i = rng.integers(-100, 100, N).astype(np.int32)
    b = rng.random(N) < 0.5
    out = np.zeros(N)
    block = np.array([buffers.address(a) for a in (x, i, b, out)] + [50, 1], np.int64)
    function(0, N, buffers.address(block))
    return out.tobytes()


@pytest.mark.parametrize("name", KERNELS)
def test_same_bits_as_numba(name):
    source = "def kernel(lo, hi, args):" + KERNELS[name]
    symbol = "translated_" + name.replace(" ", "_")
    import ctypes
    address = objectcode.load(objectcode.emit(lower(source, symbol)), symbol)
    ours = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(address)
    compiled = reference(source, symbol + "_reference")
    assert run(ours, name) == run(compiled.ctypes, name)


def test_every_golden_kernel_translates():
    """With the types that the stores demand; all that emit.py has learnt to write is in the golden files."""
    count = 0
    for file in sorted((Path(__file__).parent / "golden").glob("*")):
        for part in file.read_text().split("def kernel(lo, hi, args):")[1:]:
            lines = [line for line in part.splitlines()[1:]]
            end = next((k for k, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
            text = "def kernel(lo, hi, args):\n" + "\n".join(lines[:end]) + "\n"
            assert "define void" in lower(text, "golden")
            count += 1
    assert count > 5


@pytest.mark.parametrize(("line", "message"), [
    ("x = y", "y has no value"), ("x = lo / hi", "quotient"), ("x = sin(lo, hi)", "takes 1 arguments"),
    ("x = [lo]", "an expression"), ("while lo: pass", "a statement"), ("x = b1(True) + b1(True)", "boolean"),
    ("x = where(lo, lo, lo)", "condition"), ("x = f8(lo)", "not a literal"),
    ("for i in (1, 2): x = i", "a loop over")])
def test_what_is_not_in_the_language_is_refused(line, message):
    with pytest.raises(InternalError, match=message):
        lower(f"def kernel(lo, hi, args):\n    {line}\n", "refused")
