"""The CUDA target: its kernels, simulated, equal the interpreter; what they promise; golden sources.

The simulator (compiler/numba_cuda/simulated.py) is strict: it raises where a kernel leaves its arrays, where threads race, and
where not all of a block wait.  To accept changed golden sources: UPDATE_GOLDEN=1 pytest tests/test_cuda_simulator.py -k golden"""
from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import drawn
import numpy as np
import pytest
from cuda_cases import FAMILIES, chain, check, kinds, softmax, sources, target
from graphs import compare, leaf, normal, reference, request, tolerance, total

from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.compiler.codegen import target_cuda
from jitgrad.compiler.codegen.cuda import scans
from jitgrad.compiler.ir.loop_nest import Access, Load, LoopNest, Pointer, Position, Reduce, Result, Store
from jitgrad.compiler.ir.steps import LibraryStep
from jitgrad.compiler.numba_cuda import shapes, simulated
from jitgrad.compiler.numba_cuda.kernels import get_kernel
from jitgrad.graph.node import Node, Op
from jitgrad.graph.recording import scalar_node
from jitgrad.memory.addresses import simulated as known
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.dtype import BY_CODE, float32, from_numpy_dtype, int64

pytestmark = pytest.mark.usefixtures("cuda_device")
GOLDEN = Path(__file__).parent / "golden"
DTYPES = {"f4": np.float32, "f8": np.float64}


# -- every family, every operation -------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_equals_the_interpreter(name: str, code: str) -> None:
    r = FAMILIES[name](DTYPES[code])
    for threads, blocks in ((8, 4), (32, 3), (1, 1)):
        program = build(r, target(threads, blocks))
        compare(program.run(r.order), reference(r), tolerance(r.order))


def sweep(op: Op, code: str) -> None:
    """An operation on all its samples of a dtype, in one program."""
    cases = op.sample.cases(drawn.generator(7), BY_CODE[code])
    r = request([op(*[leaf(a, False) for a in c.arrays], sizes=c.sizes, **c.params) for c in cases])
    compare(build(r, target()).run(r.order), reference(r), {"f4": 4e-6, "f8": 1e-13}.get(code, 0))


SWEPT = [(op, code) for op in REGISTRY.values() for code in op.sample.dtypes if code in BY_CODE and BY_CODE[code].in_kernels]
SOME = [pair for k, pair in enumerate(SWEPT) if k % 12 == 0]


@pytest.mark.parametrize("op, code", SOME, ids=lambda x: getattr(x, "name", x))
def test_an_operation_equals_the_interpreter(op: Op, code: str) -> None:
    sweep(op, code)


@pytest.mark.full
@pytest.mark.parametrize("op, code", SWEPT, ids=lambda x: getattr(x, "name", x))
def test_every_operation_equals_the_interpreter(op: Op, code: str) -> None:
    sweep(op, code)


UNARY = (ops.exp, ops.tanh, ops.sigmoid, ops.sin, ops.square, ops.neg, ops.abs, ops.relu, ops.softplus)
BINARY = (ops.add, ops.sub, ops.mul, ops.maximum, ops.minimum, ops.hypot)
SHAPES = ((3, 4), (4,), (1, 4), (3, 1), ())


def random_graph(seed: int) -> tuple[Node, list[Node]]:
    """A 0-d root over a few leaves of shapes that broadcast."""
    rng = drawn.generator(seed)
    dtype = (np.float32, np.float64)[seed % 2]
    leaves = [leaf(rng.normal(size=SHAPES[rng.integers(len(SHAPES))]).astype(dtype)) for _ in range(3)]
    nodes = list(leaves)
    for _ in range(rng.integers(3, 12)):
        a, b = [nodes[rng.integers(len(nodes))] for _ in range(2)]
        kind = rng.random()
        if kind < 0.4:
            nodes.append(UNARY[rng.integers(len(UNARY))](a))
        elif kind < 0.8:
            nodes.append(BINARY[rng.integers(len(BINARY))](a, b))
        elif a.type.ndim:
            reduction = (ops.sum, ops.amax)[rng.integers(2)]
            nodes.append(ops.tanh(reduction(a, axes=(int(rng.integers(a.type.ndim)),))))
    root = total(ops.tanh(nodes[-1]))
    for n in leaves:
        root = root + total(ops.sin(n) * n)
    return root, leaves


@pytest.mark.parametrize("seed", range(8))
def test_a_random_graph_equals_the_interpreter(seed: int) -> None:
    root, leaves = random_graph(seed)
    check([root], leaves)


# -- lengths, layouts, numbers -----------------------------------------------------------------------------------------

def test_lengths_of_all_sizes() -> None:
    for n in (0, 1, 2, 31, 300):
        x = normal(n, dtype=np.float32)
        assert kinds(check([chain(x)], [x])) == ({"rows", "combine"} if n != 1 else {"elementwise"})
    seen = set()
    for shape in ((3, 4), (0, 4), (3, 0), (1, 4), (70, 2), (2, 70), (2, 3, 5)):
        x, w = normal(*shape), normal(*shape, seed=1)
        for axis in (0, 1):
            y = softmax(x, axis)
            seen |= kinds(check([total(y * w), y], [x, w]))
    assert seen == {"elementwise", "columns", "rows", "phases", "combine"}
    x = normal(2, 3, 4)
    check([ops.sum(x, axes=(0, 2)), ops.amin(x, axes=(1,)), ops.prod(x, axes=(0, 1)), ops.amax(x, axes=(0, 1, 2))])


def test_inputs_of_any_layout() -> None:
    base = np.arange(60, dtype=np.float32).reshape(3, 4, 5) / 10
    for view in (base[::-1], base[:, ::-2, 1:], base.transpose(2, 0, 1), base[1, :, 3], base[0:0], base[2:, :, ::-1],
                 np.broadcast_to(base[0, 0], (3, 5))):
        x = leaf(view)
        check([total(ops.sin(x) * x), x + 1.0], [x])


def test_library_steps_between_kernels() -> None:
    x, y = normal(6, 4, requires_grad=False), normal(6, 1, seed=1, requires_grad=False)
    weights = [normal(4, 5, seed=2), normal(5, seed=3), normal(5, 1, seed=4)]
    loss = total(ops.square(ops.tanh(x @ weights[0] + weights[1]) @ weights[2] - y)) / ops.count(y, axes=(0, 1))
    program = check([loss], weights)
    assert any([isinstance(s, LibraryStep) for s in program.listing().steps]) and program.kernels
    a = normal(5, seed=5)
    part = ops.slice(ops.exp(a), full=(False,), sizes=(1, 2, 2))
    check([total(part) * total(a * ops.flip(a, dims=(0,))), ops.cat(a, 2 * a, dim=0)], [a])


def test_kernels_of_one_operation_each() -> None:
    for name in ("softmax", "columns", "embedding"):
        r = dataclasses.replace(FAMILIES[name](np.float32), small="as a test")
        program = build(r, target())
        assert program.small and len(program.steps) > 6
        compare(program.run(r.order), reference(r), tolerance(r.order))


def test_numbers_at_the_edges() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45, 3e38, -2.5], np.float32)
    a, b = leaf(special[:, None].copy(), False), leaf(special.copy(), False)
    zero = scalar_node(0.0, float32)
    outputs = [a + b, a - b, a * b, a / b, ops.maximum(a, b), ops.minimum(a, b), ops.neg(-a), a + zero, ops.sqrt(ops.abs(a)),
               ops.where(ops.lt(a, b), a, b), ops.trunc(a), ops.round(a), ops.floor(a), ops.sign(a)]
    r = request([total(a), *outputs])
    for got, want in zip(build(r, target()).run(r.order)[1:], reference(r)[1:], strict=True):
        same = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
        assert same.all()
    largest = np.iinfo(np.int32)
    i = leaf(np.array([largest.max, largest.min, -7, 0, 7], np.int32))
    j = leaf(np.array([2, -1, 3, 0, -3], np.int32))
    check([i + j, i * i, ops.floor_divide(i, j), ops.remainder(i, j), ops.fmod(i, j), ops.abs(i), -i])
    check([ops.sum(i, axes=(0,)), ops.prod(i, axes=(0,)), ops.amax(i, axes=(0,))])
    k = leaf(np.array([2, -1, 1, 0, -3]))
    check([ops.pow(k, leaf(np.array([62, -3, -2, 0, 3]))), k * scalar_node(3, int64)])


def test_random_numbers() -> None:
    """Integers and uniform numbers have the CPU's bits, normal ones nearly."""
    for shape in ((40,), (3, 1, 5), ()):
        for op in (ops.random_word, ops.random_bits, ops.random_uniform, ops.random_normal):
            given = (normal(*shape), scalar_node(-2**63 + 5, int64), scalar_node(2**33 - 20, int64))
            r = request([op(*given, **params) for params in ([{"dtype": "f4"}, {"dtype": "f8"}] if op.param_names else [{}])])
            program = build(r, target())
            assert program.kernels and not any([isinstance(s, LibraryStep) for s in program.listing().steps])
            compare(program.run(r.order), reference(r), 1e-6 if op is ops.random_normal else 0)


# -- promises ----------------------------------------------------------------------------------------------------------

def test_a_formula_has_the_bits_of_the_cpu() -> None:
    x = normal(200, dtype=np.float32)
    r = request([ops.exp(x), ops.tanh(x) * ops.sin(x), ops.lgamma(x)])
    for on_cuda, on_cpu in zip(build(r, target()).run(r.order), build(r).run(r.order), strict=True):
        assert on_cuda.tobytes() == on_cpu.tobytes()


@pytest.mark.parametrize("shape, axes", [((1500, 1), (0,)), ((1, 1500), (1,)), ((1500,), (0,)), ((2, 750, 2), (0, 1))])
def test_sums_of_float32_are_compensated(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    array = np.full(shape, 0.1, np.float32)
    r = request([ops.sum(leaf(array, False) * 1.0, axes=axes)])
    [got] = build(r, target(1, 1)).run(r.order)
    np.testing.assert_allclose(got, np.full_like(got, 1500 * float(np.float32(0.1))), rtol=1.2e-7)
    for value in (np.inf, np.nan):
        x = np.zeros((9, 2), np.float32)
        x[4] = value
        check([ops.sum(leaf(x, False) * 1.0, axes=(0,)), ops.sum(leaf(x.T.copy(), False) * 1.0, axes=(1,))])


def test_what_is_added_at_equal_positions_is_added_in_order() -> None:
    x = leaf(np.array([1e8, 1.0, -1e8, 1.0] * 9, np.float32))
    r = request([ops.index_put_add(leaf(np.zeros(2, np.float32), False), x, leaf([0, 1, 0, 0] * 9), axes=(0,))])
    first = build(r, target()).run(r.order)[0]
    assert first.tobytes() == build(r, target(32, 2)).run(r.order)[0].tobytes() == build(r).run(r.order)[0].tobytes()


def test_atomics_on_request() -> None:
    for make in (FAMILIES["embedding"], FAMILIES["scatter"]):
        r = make(np.float32)
        program = build(r, target(atomic=True))
        assert any(["atomic_add_f4" in k.source for k in program.kernels]) and "scatter" not in kinds(program)
        compare(program.run(r.order), reference(r), tolerance(r.order))
        assert not any(["atomic" in k.source for k in build(r, target()).kernels])


def test_positions_with_a_step_four_at_a_time() -> None:
    kernel = LoopNest((0,), [Pointer(0)])
    kernel.body = [Position(3, (2,), 1)]
    kernel.stores = [Store(Access(0, "i8", (1,)), 0, 1)]
    source = target_cuda.emit(kernel)
    assert "first_store_i8" in source
    memory = np.zeros(24, np.int64)
    out = memory[-memory.ctypes.data % 16 // 8:][:21]
    run(source, [out], {"hi": 21})
    assert out.tolist() == [3 + 2 * k for k in range(21)]


def test_positions_that_follow_from_a_row_are_left_to_one_thread() -> None:
    """y[largest of the row] += each of the row."""
    kernel = LoopNest((0, 4), [Pointer(0), Pointer(1)], rows=1)
    kernel.body = [Load(Access(0, "i8", (4, 1)), 2), Result(0, "i8", 1)]
    kernel.reductions = [Reduce(None, 0, "i8", "rmax({acc}, {x})", "i8(-1)", (False, True), 1)]
    kernel.stores = [Store(Access(1, "i8", (0, 0), ((1, 1),)), 0, 2, accumulate=True)]
    source = target_cuda.emit(kernel)
    assert source.startswith("def alone0(")
    x, out = np.array([[0, 1, 2, 1], [1, 0, 1, 0], [2, 2, 0, 2]]), np.zeros(3, np.int64)
    run(source, [x, out], {"hi": 3})
    assert out.tolist() == [0, 2, 10]


def run(source: str, arrays: list[np.ndarray], others: dict[str, int], threads: int = simulated.THREADS) -> None:
    """A kernel on arrays p0, p1 ..."""
    addresses = [known.register(a) for a in arrays]
    try:
        get_kernel(source, threads, 2).run_simulated({f"p{k}": a for k, a in enumerate(addresses)} | others)
    finally:
        for address in addresses:
            known.unregister(address)


SCANS = [(op, code) for op in REGISTRY.values() if op.facts.scan for code in op.sample.dtypes]


def scanned(op: Op, arrays: list[np.ndarray], params: dict, threads: int) -> np.ndarray:
    """What the generated kernel gives."""
    x, dim = arrays[0], params["dim"]
    scan = op.facts.scan(from_numpy_dtype(x.dtype), **params)
    kinds = {name: from_numpy_dtype(a.dtype).code for name, a in zip(op.arg_names, arrays, strict=True)}
    inner = math.prod(x.shape[dim + 1:])
    out = np.zeros(x.shape, BY_CODE[scan.codes[-1]].np)
    lengths = {"n": x.shape[dim], "inner": inner, "lines": x.size // max(1, x.shape[dim])}
    run(scans.source(scan, kinds, last=inner == 1), [*map(np.ascontiguousarray, arrays), out], lengths, threads)
    return out


@pytest.mark.parametrize("op, code", SCANS, ids=lambda x: getattr(x, "name", x))
def test_a_scan_equals_the_reference(op: Op, code: str) -> None:
    cases = [(c.arrays, c.params) for c in op.sample.cases(drawn.generator(7), BY_CODE[code])]
    params = cases[0][1] | {"dim": 1}
    if code[0] == "f":      # long lines, of which a block takes several turns
        cases.append(([drawn.generator(k).normal(size=(3, 21)).astype(BY_CODE[code].np) for k in range(len(op.arg_names))], params))
        edges = np.array([[1.0, np.inf, 2.0], [-np.inf, -np.inf, 0.0], [3.0, np.nan, 5.0]], BY_CODE[code].np)
        cases.append(([edges] * len(op.arg_names), params))
    for arrays, params in cases:
        for threads in (8, 2, 1):
            with np.errstate(all="ignore"):
                want = op.numpy(*arrays, **params)
            np.testing.assert_allclose(scanned(op, list(arrays), params, threads), want, rtol=2e-5 if code == "f4" else 1e-12,
                                       atol=1e-5 if code == "f4" else 1e-12)


def test_a_position_out_of_bounds_sets_the_flag() -> None:
    for low, high, want in ((-5, 4, 0), (-6, 4, 7), (0, 5, 7)):
        flag = np.zeros(1, np.int32)
        address = known.register(flag)
        run(target_cuda.check_positions(), [np.array([low]), np.array([high])], {"least": -5, "n": 5, "number": 7, "flag": address})
        known.unregister(address)
        assert flag[0] == want


def test_the_shape_of_a_launch_is_bounded_and_covers() -> None:
    for kind in ("elementwise", "rows", "columns", "combine", "phases", "added", "scatter", "scan"):
        for outer in (0, 1, 3, 1000, 10**6, 10**10):
            for inner in (0, 1, 10, 1000, 10**6, 10**10):
                made = shapes.shape(kind, outer, inner)
                assert 1 <= made.block[0] * made.block[1] <= shapes.THREADS
                assert all([n & (n - 1) == 0 for n in made.block])          # trees halve
                assert 1 <= made.grid[0] < 2**31 and 1 <= made.grid[1] <= 65535
                if kind == "added":         # partial results of all lanes
                    assert made.grid[0] * made.block[1] * inner <= max(shapes.PARTIAL, made.block[1] * inner)


def test_the_vocabulary_is_that_of_the_cpu() -> None:
    """The same objects, but for what loads and stores say about loops; a formula is declared once."""
    from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS as CPU
    from jitgrad.compiler.numba_cuda.vocabulary import OPERATIONS as CUDA
    other = {name for name, operation in CUDA.items() if name in CPU and operation is not CPU[name]}
    assert other == {"interleave", *[f"{verb}_{code}" for verb in ("load", "store") for code in ("f4", "f8", "i4", "i8", "b1")]}
    assert set(simulated.VOCABULARY) >= set(CUDA) - {"wait"}


# -- the simulator is strict -------------------------------------------------------------------------------------------

def simulate(text: str, arrays: list[np.ndarray], block: tuple[int, int] = (4, 1)) -> None:
    addresses = [known.register(a) for a in arrays]
    try:
        simulated.run(simulated.define(text, "test")["f"], (1, 1), block, tuple(addresses))
    finally:
        for address in addresses:
            known.unregister(address)


def test_the_simulator_is_strict() -> None:
    a = np.zeros(4)
    simulate("def f(p0):\n    store_f8(p0, thread_x(), f8(1.0))\n", [a])
    assert a.tolist() == [1.0] * 4
    for position in ("thread_x() + 1", "0 - 1 - thread_x()"):
        with pytest.raises(IndexError, match="there is no float64"):
            simulate(f"def f(p0):\n    store_f8(p0, {position}, f8(1.0))\n", [a])
    with pytest.raises(RuntimeError, match="writes what another one touches"):
        simulate("def f(p0):\n    store_f8(p0, 0, f8(1.0))\n", [a])
    with pytest.raises(RuntimeError, match="reads what another one writes"):
        simulate("def f(p0):\n    keep_f8(0, thread_x(), f8(1.0))\n    store_f8(p0, thread_x(), kept_f8(0, 0))\n", [a])
    simulate("def f(p0):\n    keep_f8(0, thread_x(), f8(2.0))\n    wait()\n    store_f8(p0, thread_x(), kept_f8(0, 0))\n", [a])
    assert a.tolist() == [2.0] * 4
    with pytest.raises(RuntimeError, match="only 1 of 4 threads"):
        simulate("def f(p0):\n    if thread_x() == 0:\n        wait()\n    store_f8(p0, thread_x(), f8(2.0))\n", [a])
    with pytest.raises(TypeError, match="stores a float32 in an array of float64"):
        simulate("def f(p0):\n    store_f8(p0, thread_x(), f4(2.0))\n", [a])


# -- sources -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["chain", "pointwise", "softmax", "columns", "scatter"])
def test_golden_sources(name: str) -> None:
    text = "\n# ----\n\n".join(sources(FAMILIES[name](np.float32)))
    file = GOLDEN / f"cuda_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text)
    assert text == file.read_text()
