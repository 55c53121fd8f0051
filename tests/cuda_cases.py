"""What test_cuda_simulator.py runs in a process of its own, with JITGRAD_TARGET=cuda and Numba's simulator: one function a
test.  Each compares with the interpreter and raises AssertionError."""
from __future__ import annotations

import sys
from collections.abc import Callable

import drawn
import numpy as np
from document_cells import CELLS, EXPECTED
from graphs import check, compare, leaf, normal, reference, request, total
from test_documents import run_cell

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.compiler.ir.steps import LibraryStep
from jitgrad.compiler.numba_cuda import kernels as cuda
from jitgrad.compiler.numba_cuda import vocabulary as cuda_math
from jitgrad.compiler.program import Program
from jitgrad.graph.node import Node
from jitgrad.graph.recording import scalar_node
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.dtype import BY_CODE, float32, int64


def kinds(program: Program) -> set[str]:
    """The kinds of stage among a program's kernels."""
    return {kind for k in program.kernels for kind in ("elementwise", "columns", "rows", "total", "combine")
            if f"def {kind}" in k.source}


def chain(x: Node) -> Node:
    return total(ops.tanh(1.5 * x + 0.1) * ops.exp(-(x * x)) + ops.log1p(x * x))


def softmax(x: Node, axis: int) -> Node:
    e = ops.exp(x - ops.amax(x, axes=(axis,)))
    return e / ops.sum(e, axes=(axis,))


# -- graphs made by hand ---------------------------------------------------------------------------------------------

def chains_and_reductions() -> None:
    for dtype, n in ((np.float32, 40), (np.float64, 40), (np.float32, 0), (np.float64, 1), (np.float64, 2)):
        x = normal(n, dtype=dtype)
        program = check([chain(x)], [x])
        assert kinds(program) == {"total", "combine"} or n == 1
        assert dtype is np.float64 or "f8" not in program.kernels[0].source
    seen = set()
    for shape in ((3, 4), (0, 4), (3, 0), (1, 4), (2, 3, 5)):
        x, w = normal(*shape), normal(*shape, seed=1)
        for axis in (0, 1):
            y = softmax(x, axis)
            seen |= kinds(check([total(y * w), y], [x, w]))
    assert seen == {"elementwise", "columns", "rows", "total", "combine"}
    x = normal(2, 3, 4)
    check([ops.sum(x, axes=(0, 2)), ops.amin(x, axes=(1,)), ops.prod(x, axes=(0, 1)), ops.amax(x, axes=(0, 1, 2))])


def library_steps() -> None:
    x, y = normal(6, 4, requires_grad=False), normal(6, 1, seed=1, requires_grad=False)
    weights = [normal(4, 5, seed=2), normal(5, seed=3), normal(5, 1, seed=4)]
    loss = total(ops.square(ops.tanh(x @ weights[0] + weights[1]) @ weights[2] - y)) / ops.count(y, axes=(0, 1))
    program = check([loss], weights)
    assert any([isinstance(s, LibraryStep) for s in program.listing().steps]) and program.kernels
    a = normal(5, seed=5)
    part = ops.slice(ops.exp(a), full=(False,), sizes=(1, 2, 2))
    check([total(part) * total(a * ops.flip(a, dims=(0,))), ops.cat(a, 2 * a, dim=0)], [a])


def sums_are_compensated() -> None:
    cuda.GRID, cuda.BLOCK = 1, 2
    from jitgrad.compiler.numba_cuda import launches
    launches.GRID = 1
    for shape, axes in (((9000, 2), (0,)), ((2, 9000), (1,)), ((9000,), (0,)), ((2, 4500, 2), (0, 1))):
        for value, want in ((0.1, 9000 * float(np.float32(0.1))), (np.inf, np.inf), (np.nan, np.nan)):
            array = np.full(shape, 0.1, np.float32)
            if not np.isfinite(value):
                array[tuple([7 if n > 7 else slice(None) for n in shape])] = value
            r = request([ops.sum(leaf(array, False) * 1.0, axes=axes)])
            [got] = build(r).run(r.order)
            np.testing.assert_allclose(got, np.full_like(got, want), rtol=3e-7)


def inputs_of_any_layout() -> None:
    base = np.arange(60, dtype=np.float32).reshape(3, 4, 5) / 10
    for view in (base[::-1], base[:, ::-2, 1:], base.transpose(2, 0, 1), base[1, :, 3], base[0:0], base[2:, :, ::-1],
                 np.broadcast_to(base[0, 0], (3, 5))):
        x = leaf(view)
        assert x.value is view or view.flags.c_contiguous or not view.size
        check([total(ops.sin(x) * x), x + 1.0], [x])


def numbers_and_integers() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45, 3e38, -2.5], np.float32)
    a, b = leaf(special[:, None].copy(), False), leaf(special.copy(), False)
    zero = scalar_node(0.0, float32)
    outputs = [a + b, a - b, a * b, a / b, ops.maximum(a, b), ops.minimum(a, b), ops.neg(-a), a + zero, ops.sqrt(ops.abs(a)),
               ops.where(ops.lt(a, b), a, b), ops.trunc(a), ops.round(a), ops.floor(a), ops.sign(a)]
    r = request([total(a), *outputs])
    for got, want in zip(build(r).run(r.order)[1:], reference(r)[1:], strict=True):
        same = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
        assert same.all()
    largest = np.iinfo(np.int32)
    i = leaf(np.array([largest.max, largest.min, -7, 0, 7], np.int32))
    j = leaf(np.array([2, -1, 3, 0, -3], np.int32))
    check([i + j, i * i, ops.floor_divide(i, j), ops.remainder(i, j), ops.fmod(i, j), ops.abs(i), -i])
    check([ops.sum(i, axes=(0,)), ops.prod(i, axes=(0,)), ops.amax(i, axes=(0,))])
    k = leaf(np.array([2, -1, 1, 0, -3]))
    check([ops.pow(k, leaf(np.array([62, -3, -2, 0, 3]))), k * scalar_node(3, int64)])
    x = leaf(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 0.49999997, -0.2], np.float32))
    y = leaf(np.float32(0.4))
    check([ops.round(x), ops.trunc(x), ops.floor_divide(x, y), ops.remainder(x, -y)])


# -- every op, and random graphs -------------------------------------------------------------------------------------

def every_op() -> None:
    rng = drawn.generator(7)
    for op in REGISTRY.values():
        if op.kind not in ("elementwise", "reduction"):
            continue
        for code in {"f4", "i8", "b1"} & set(op.sample.dtypes):
            cases = op.sample.cases(rng, BY_CODE[code])[:3]
            nodes = [op(*[leaf(a, False) for a in c.arrays], **c.params) for c in cases]
            r = request(nodes)
            compare(build(r).run(r.order), reference(r), 4e-6 if code == "f4" else 0)


def random_numbers() -> None:
    """Integers and uniform numbers have the CPU's bits, normal ones nearly."""
    for shape in ((40,), (3, 1, 5), ()):
        for op in (ops.random_word, ops.random_bits, ops.random_uniform, ops.random_normal):
            given = (normal(*shape), scalar_node(-2**63 + 5, int64), scalar_node(2**33 - 20, int64))
            r = request([op(*given, **params) for params in ([{"dtype": "f4"}, {"dtype": "f8"}] if op.param_names else [{}])])
            program = build(r)
            assert program.kernels and not any([isinstance(s, LibraryStep) for s in program.listing().steps])
            compare(program.run(r.order), reference(r), 1e-6 if op is ops.random_normal else 0)


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


def random_graphs() -> None:
    for seed in range(8):
        root, leaves = random_graph(seed)
        try:
            check([root], leaves)
        except AssertionError as error:
            raise AssertionError(f"graph {seed}: {error}") from error


# -- promises --------------------------------------------------------------------------------------------------------

def runs_give_the_same_bits() -> None:
    x = normal(300, dtype=np.float32)
    r = request([chain(x)], [x])
    program = build(r)
    first = [a.tobytes() for a in program.run(r.order) if a is not None]
    assert all([[a.tobytes() for a in program.run(r.order) if a is not None] == first for _ in range(3)])


def blocks_of_32_threads() -> None:
    cuda.GRID, cuda.BLOCK = 3, 32
    from jitgrad.compiler.numba_cuda import launches
    launches.GRID = 3
    x = normal(5, 70)
    check([total(softmax(x, 1) * x)], [x])


def same_vocabulary_as_the_cpu() -> None:
    from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS, foreign, vectors
    alone = {"interleave", *foreign.OPERATIONS, *vectors.OPERATIONS}          # of the CPU's loops and products
    memory = {f"{verb}_{code}" for code in BY_CODE for verb in ("arg", "load", "store", "accload", "accstore")}
    assert set(OPERATIONS) - memory - alone <= set(cuda_math.VOCABULARY)


def document_cells() -> None:
    for name, source in CELLS.items():
        text = run_cell(source, jitgrad, "jitgrad")
        with jitgrad.interpret():
            assert text == run_cell(source, jitgrad, "jitgrad"), name
        assert text == EXPECTED.get(name, text), name
    info = jitgrad.cache_info()
    assert info.compilations and info.kernels


def kernels_run_in_the_simulator() -> None:
    launched = []
    original = cuda.CudaKernel.__call__

    def counting(self: cuda.CudaKernel, arguments: dict) -> None:
        launched.append(self.name)
        original(self, arguments)

    cuda.CudaKernel.__call__ = counting     # type: ignore[method-assign]
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert cuda_math.SIMULATED and len(launched) == 1 and x.grad.tolist() == [2.0, 4.0]
    assert "def total0(" in str(jitgrad.explain((x * x).sum()))


CASES: dict[str, Callable[[], None]] = {f.__name__: f for f in (
    chains_and_reductions, library_steps, inputs_of_any_layout, numbers_and_integers, every_op, random_numbers, random_graphs,
    runs_give_the_same_bits, blocks_of_32_threads, sums_are_compensated, same_vocabulary_as_the_cpu, document_cells,
    kernels_run_in_the_simulator)}

if __name__ == "__main__":
    for case in sys.argv[1:]:
        CASES[case]()
