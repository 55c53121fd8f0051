"""Compiled = interpreted on handmade graphs, and what a program promises: fresh results, no recompilation, threads."""
from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from graphs import check, compare, leaf, normal, reference, request, total
from together import together

from jitgrad import ops
from jitgrad.compiler import build as build_module
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.numba_cpu import kernels
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import bind, scalar_node
from jitgrad.types.dtype import float32, float64

LENGTHS = [0, 1, 2, 5, 1500]


def chain(x: Node) -> Node:
    return total(ops.tanh(1.5 * x + 0.1) * ops.exp(-(x * x)) + ops.log1p(x * x))


def network(rows: int, dtype: type = np.float64) -> tuple[Node, list[Node]]:
    x, y = normal(rows, 4, dtype=dtype, requires_grad=False), normal(rows, 1, seed=1, dtype=dtype, requires_grad=False)
    weights = [normal(4, 6, seed=2, dtype=dtype), normal(6, seed=3, dtype=dtype), normal(6, 1, seed=4, dtype=dtype),
               normal(1, seed=5, dtype=dtype)]
    h = ops.tanh(x @ weights[0] + weights[1])
    error = ops.square(h @ weights[2] + weights[3] - y)
    return total(error) / ops.count(error, axes=(0, 1)), weights


def softmax(x: Node, axis: int) -> Node:
    e = ops.exp(x - ops.amax(x, axes=(axis,)))
    return e / ops.sum(e, axes=(axis,))


def normalised(x: Node) -> Node:
    n = ops.count(x, axes=(1,))
    centred = x - ops.sum(x, axes=(1,)) / n
    return centred * ops.rsqrt(ops.sum(ops.square(centred), axes=(1,)) / n + 1e-5)


# -- values ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_a_truncated_quotient(dtype: type) -> None:
    a, b = leaf(np.array([7, -7, 5, -1], dtype), False), leaf(np.array([2, 2, -3, 4], dtype), False)
    check([ops.trunc_divide(a, b)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", LENGTHS)
def test_a_chain_with_its_gradient_is_one_kernel(n: int, dtype: type) -> None:
    x = normal(n, dtype=dtype)
    program = check([chain(x)], [x])
    assert len(program.steps) == len(program.kernels) == 1
    source = program.kernels[0].source.replace("a0 = f8(0.0)", "").replace("to_f8(b0)", "")      # the total of the blocks
    assert "f8" not in source or dtype is np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_a_network(rows: int, dtype: type) -> None:
    loss, weights = network(rows, dtype)
    check([loss], weights)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0), (1, 4), (4, 1), (2, 3, 5)])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax(shape: tuple[int, ...], axis: int) -> None:
    x, w = normal(*shape), normal(*shape, seed=1)
    y = softmax(x, axis)
    check([total(y * w), y], [x, w])


def test_normalised_rows() -> None:
    x, w, b = normal(5, 7), normal(7, seed=1), normal(7, seed=2)
    check([total(ops.square(normalised(x) * w + b))], [x, w, b])


@pytest.mark.parametrize(("name", "axes"), [
    *[("sum", axes) for axes in [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]],
    *[(name, axes) for name in ("prod", "amax") for axes in [(1,), (0, 2), (0, 1, 2)]]])
def test_reductions_over_any_axes(name: str, axes: tuple[int, ...]) -> None:
    x = normal(3, 4, 5)
    y = ops.REGISTRY[name](ops.sin(x), axes=axes)
    check([total(y * y), y], [x])


def test_reductions_of_one_loop_over_different_axes() -> None:
    x = normal(3, 4, 5)
    y = ops.exp(x)
    check([ops.sum(y, axes=(2,)), ops.sum(y, axes=(0,)), ops.amax(y, axes=(0, 2)), total(y), y])


def test_reduction_over_a_broadcast_operand() -> None:
    x = normal(3)
    y = ops.expand(x, sizes=(4, 3))
    check([total(y), ops.sum(y, axes=(0,)), y], [x])


@pytest.mark.parametrize("array", [
    np.arange(12.0).reshape(3, 4).T, np.arange(24.0).reshape(4, 6)[::2, 1::2], np.arange(12.0).reshape(3, 4)[::-1],
    np.broadcast_to(np.arange(4.0), (3, 4)), np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))])
def test_strided_inputs(array: np.ndarray) -> None:
    x = leaf(array / 10)
    y = normal(*array.shape, seed=1)
    matrix = x if array.ndim == 2 else ops.reshape(x, sizes=(6, 4))
    check([total(ops.exp(x) * y), ops.sum(x * y, axes=(0,)), ops.permute(x, dims=tuple(range(array.ndim))[::-1]),
           matrix @ ops.transposed(matrix)], [x, y])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_infinities_nans_and_signed_zeros_keep_their_bits(dtype: type) -> None:
    limits = np.finfo(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, limits.smallest_subnormal, limits.max, -2.5],
                       dtype)
    a, b = leaf(special[:, None].copy()), leaf(special.copy())
    zero = scalar_node(0.0, float64 if dtype is np.float64 else float32)
    outputs = [a + b, a - b, a * b, a / b, ops.maximum(a, b), ops.neg(-a), a + zero, a * 1, a + 0.0, a - 0.0, a * -1,
               a + -b, -a * -b, a / 4, ops.sqrt(ops.abs(a)), ops.where(ops.lt(a, b), a, b)]
    r = request([total(a), *outputs])
    for got, want in zip(build(r).run(r.order)[1:], reference(r)[1:], strict=True):
        same = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
        assert same.all()


def test_sums_are_accurate() -> None:
    x = leaf(np.full(3_000_000, 0.1, np.float32))
    r = request([total(x)])
    assert float(build(r).run(r.order)[0]) == pytest.approx(300_000, rel=2e-6)


# -- movement --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n", [2, 5])
def test_views_are_no_copies(n: int) -> None:
    x = normal(n, 6)
    part = ops.slice(x, full=(True, False), sizes=(1, 2, 2))
    y = ops.permute(part, dims=(1, 0)) * ops.flip(ops.permute(part, dims=(1, 0)), dims=(1,))
    program = check([y])
    assert len(program.kernels) == 1
    check([total(y), y], [x])


def test_differences_of_neighbours() -> None:
    x = normal(9)
    after = ops.slice(x, full=(False,), sizes=(1, 8, 1))
    before = ops.slice(x, full=(False,), sizes=(0, 8, 1))
    check([total(ops.square(after - before))], [x])


def test_parameters_taken_apart() -> None:
    p, x = normal(3), normal(20, seed=1, requires_grad=False)
    a, b, c = [ops.reshape(ops.slice(p, full=(False,), sizes=(i, 1, 1)), sizes=()) for i in range(3)]
    program = check([total(ops.square(a * ops.exp(-b * x) + c))], [p])
    assert len(program.steps) <= 5


def test_joining_and_splitting() -> None:
    a, b, c = normal(2, 3), normal(2, 1, seed=1), normal(2, 0, seed=2)
    y = ops.cat(ops.exp(a), b, c, a * 2, dim=1)
    check([total(ops.square(y)), y], [a, b, c])
    z = ops.cat(normal(0, 3), normal(1, 3), dim=0)
    check([z, ops.exp(z)])


def test_writing_into_a_part() -> None:
    x, v = normal(5, 4), normal(2, 4, seed=1)
    y = ops.slice_put(ops.exp(x), v * 2, full=(False, True), sizes=(1, 2, 2))
    y = ops.slice_put(y, ops.slice(y, full=(False, True), sizes=(0, 1, 1)), full=(False, True), sizes=(4, 1, 1))
    check([total(ops.square(y)), y], [x, v])


def test_reshapes_are_aliases() -> None:
    x = normal(4, 6)
    y = ops.reshape(ops.exp(x), sizes=(2, 12))
    z = ops.reshape(y, sizes=(24,))
    check([total(y * y), y, z, ops.reshape(x, sizes=(24,))], [x])


def test_positions() -> None:
    x = normal(5, 3)
    at = leaf(np.array([0, 2, 2, 4]), False)
    y = ops.index(ops.exp(x), at, axes=(0,))
    check([total(ops.square(y)), y], [x])


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (0, 4), (2, 1), (5,)])
def test_the_largest_of_each_row(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    dim = len(shape) - 1
    y = ops.take_along(ops.exp(x), ops.argmax(x, axes=(dim,)), dim=dim)
    program = check([total(ops.square(y)), y], [x])
    assert "put_along_add" not in "".join([str(s) for s in program.steps]) or shape == (2, 1)


def test_several_elements_of_each_row_add_up() -> None:
    x = normal(3, 4)
    y = ops.take_along(x, leaf(np.array([[0, 0], [1, 3]]), False), dim=1)
    check([total(ops.square(y)), y], [x])


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((5, 2, 3), (3, 2)), ((2, 1, 2, 3), (4, 3, 2)), ((1, 3), (3, 1)),
                                    ((0, 3), (3, 2)), ((2, 0), (0, 2))])
def test_products(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = normal(*shapes[0]), normal(*shapes[1], seed=1)
    y = ops.exp(a) @ ops.sin(b)
    check([total(ops.square(y)), y], [a, b])
    check([total(a @ b)], [a, b])


def test_a_linear_layer_takes_transposed_views() -> None:
    x, w, b = normal(7, 3, requires_grad=False), normal(4, 3, seed=1), normal(4, seed=2)
    program = check([total(ops.square(x @ ops.transposed(w) + b))], [w, b])
    assert [str(s) for s in program.steps].count("library call: matmul") == 2
    assert len(program.kernels) == 1


# -- requests --------------------------------------------------------------------------------------------------------

def test_gradients_of_interior_nodes_and_of_what_is_not_reached() -> None:
    x, unused = normal(4), normal(4, seed=1)
    y = ops.exp(x)
    z = y * y
    detached = ops.detach(unused) * x
    check([total(z + detached), unused], [x, y, unused])


def test_explicit_cotangents_and_several_roots() -> None:
    x, g = normal(4), normal(4, seed=1, requires_grad=False)
    y, z = ops.exp(x), total(ops.sin(x))
    r = Request(topological([y, z, g]), [], [y, z, y], [g, None, None], [x])
    (grad,) = build(r).run(r.order)
    np.testing.assert_allclose(grad, np.exp(x.value) * (g.value + 1) + np.cos(x.value))


def test_results_are_fresh_and_inputs_untouched() -> None:
    x = normal(4)
    before = x.value.copy()
    r = request([total(x), x, ops.reshape(x, sizes=(2, 2)), x], [x, x])
    program = build(r)
    first, second = program.run(r.order), program.run(r.order)
    compare(first, reference(r), 1e-12)
    for a in [*first, *second]:
        assert not np.shares_memory(a, x.value)
        a[...] = 7
    np.testing.assert_array_equal(x.value, before)


def test_gradient_mode_is_restored_and_nothing_is_kept() -> None:
    x = normal(3)
    r = request([chain(x)], [x])
    program = build(r)
    program.run(r.order)
    y = bind(ops.REGISTRY["exp"], (x,))
    assert y.requires_grad
    nodes = [weakref.ref(n) for n in [*r.order, x]]
    arrays = [weakref.ref(x.value)]
    del x, y, r
    gc.collect()
    assert not [n for n in [*nodes, *arrays] if n() is not None]
    assert program.kernels


def test_a_length_that_nothing_tells_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(4)
    y = ops.exp(x)
    monkeypatch.setattr(build_module, "backward_graph",
                        lambda *a: {x: bind(ops.REGISTRY["reshape"], (x,), (), (2, 2))})
    with pytest.raises(InternalError, match="length"):
        build(Request(topological([y]), [y], [y], [None], [x]))


# -- one program for all lengths and values ----------------------------------------------------------------------------

def test_other_lengths_and_numbers_compile_nothing() -> None:
    def graph(rows: int, columns: int, factor: float, start: int) -> Request:
        x, w = normal(rows, columns), normal(columns, seed=1)
        part = ops.slice(x * w, full=(False, True), sizes=(start, rows - start, 1))
        y = total(ops.exp(part) * scalar_node(factor, float64))
        return request([y], [x, w])

    r = graph(4, 3, 0.5, 1)
    program = build(r)
    compiled = kernels.stats.kernels_compiled
    for other in [r, graph(40, 30, 2.5, 7), graph(2, 2, -1.0, 0), graph(0, 3, 1.0, 0), graph(300, 1000, 1.0, 100)]:
        compare(program.run(other.order), reference(other), 1e-11)
    assert kernels.stats.kernels_compiled == compiled


def test_equal_kernels_are_compiled_once() -> None:
    x, w = normal(3, 3), normal(3, seed=1)
    h = x
    for _ in range(6):
        h = ops.tanh(h @ x + w)
    program = check([h])
    assert len(program.kernels) == 6 and len({k.source for k in program.kernels}) == 1


def test_large_graphs_are_cut_in_kernels() -> None:
    x = normal(10)
    y = x
    for _ in range(150):
        y = ops.sin(y) * x + 0.5
    program = check([total(y)], [x])
    assert max([k.source.count("\n") for k in program.kernels]) < 250
    assert len({k.source for k in program.kernels}) < len(program.kernels)


@pytest.mark.parametrize("shape", [(400_000,), (2_000, 300), (300, 2_000), (2, 300_000)])
def test_large_work_in_chunks_gives_the_same_bits_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    from jitgrad.memory import threads
    x = normal(*shape)
    y = ops.tanh(x) * ops.exp(x)
    last = len(shape) - 1
    outputs = [total(y), ops.sum(y, axes=(0,)), ops.amax(y, axes=(last,)), y]
    r = request(outputs, [x])
    program = build(r)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        one = program.run(r.order)
        threads.set_num_threads(3)
        three = program.run(r.order)
    finally:
        threads.set_num_threads(before)
    compare(one, reference(r), 1e-10)
    for a, b in zip(one, three, strict=True):
        assert a.tobytes() == b.tobytes()


def test_two_threads_run_one_program() -> None:
    requests = []
    for seed in range(4):
        x = normal(500, seed=seed)
        y = total(ops.square(softmax(ops.reshape(x, sizes=(5, 100)), 1)))
        requests.append(request([y], [x]))
    program = build(requests[0])
    expected = [reference(r) for r in requests]

    def work(k: int) -> None:
        for _ in range(200):
            compare(program.run(requests[k].order), expected[k], 1e-11)

    together(work, range(4))


def test_sources_do_not_depend_on_the_hash_seed() -> None:
    script = ("import sys; sys.path.insert(0, sys.argv[1]); import test_compiler as t\n"
              "loss, weights = t.network(5)\n"
              "p = t.build(t.request([loss], weights))\n"
              "print(*[str(s) for s in p.steps], *[k.source for k in p.kernels], sep='\\n')")
    texts = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed,
               "PYTHONPATH": os.pathsep.join([p for p in sys.path if p])}
        done = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent)], env=env, capture_output=True,
                              text=True, check=True)
        texts.add(done.stdout)
    assert len(texts) == 1 and "def kernel" in texts.pop()
