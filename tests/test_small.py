"""Long graphs that do not repeat: one kernel for each operation, of a bounded number of forms."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import drawn
import numpy as np
import pytest
from graphs import compare, normal, reference, request, schedule_of, total
from test_compiler_random import random_graph

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.ir.steps import KernelStep
from jitgrad.compiler.loops.arrange import Graph
from jitgrad.compiler.loops.pieces import Piece, divide
from jitgrad.compiler.program import Program
from jitgrad.config import config
from jitgrad.graph.node import Node
from jitgrad.requests.counters import stats
from jitgrad.requests.schedules import segment
from jitgrad.requests.schedules.schedule import Schedule

UNARY: Sequence[Callable] = [jitgrad.tanh, jitgrad.sin, jitgrad.sigmoid, jitgrad.relu, lambda x: (x * x + 1.0).sqrt(),
                             lambda x: x * 0.7 + 0.1, lambda x: -x, lambda x: (1 + x.abs()).log()]
BINARY: Sequence[Callable] = [lambda x, y: (x + y) * 0.5, lambda x, y: x - y, lambda x, y: jitgrad.tanh(x * y), jitgrad.maximum,
                              lambda x, y: x / (1.5 + y.abs())]


def pieces_of(r: Request) -> list[Piece]:
    index = {n: k for k, n in enumerate(r.order)}
    return divide(Graph(r.order, [tuple([index[m] for m in n.inputs]) for n in r.order]))


def compiled(r: Request) -> Schedule:
    schedule = schedule_of(r)
    schedule.compile(r.order)
    return schedule


def irregular(seed: int, operations: int, leaves: Sequence[jitgrad.Tensor]) -> jitgrad.Tensor:
    """A scalar from random operations on earlier results."""
    rng = np.random.default_rng(seed)
    pool = list(leaves)
    for _ in range(operations):
        x, y = [pool[rng.integers(max(0, len(pool) - 12), len(pool))] for _ in range(2)]
        if x.ndim == 2 and rng.random() < 0.1:
            pool.append([lambda x=x: x.mean(0), lambda x=x: x.sum(1, True).tanh(), lambda x=x: x.mean()][rng.integers(3)]())
        elif rng.random() < 0.5:
            pool.append(UNARY[rng.integers(len(UNARY))](x))
        else:
            pool.append(BINARY[rng.integers(len(BINARY))](x, y))
    result = pool[-1].sum()
    for x in pool[len(leaves)::5]:
        result = result + x.mean()
    return result


def parameters(*shapes: tuple[int, ...], seed: int = 0) -> list[jitgrad.Tensor]:
    rng = np.random.default_rng(seed)
    return [jitgrad.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]


SHAPES = {"vectors": [(5,)] * 4, "numbers": [()] * 4, "mixed": [(3, 5), (5,), (3, 1), ()]}


def gradient(loss: jitgrad.Tensor, leaves: Sequence[jitgrad.Tensor]) -> list[np.ndarray | None]:
    for x in leaves:
        x.grad = None
    loss.backward()
    return [loss.detach().numpy(), *[None if x.grad is None else x.grad.numpy() for x in leaves]]


def agree(got: Sequence[np.ndarray | None], want: Sequence[np.ndarray | None]) -> None:
    for g, w in zip(got, want, strict=True):
        if g is None or w is None:
            assert g is w
        else:
            np.testing.assert_allclose(g, w, rtol=1e-8, atol=1e-10 * max(1.0, float(np.abs(w).max())))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(24))
def test_random_graphs(seed: int) -> None:
    r = replace(request(*random_graph(drawn.seed(seed))), small="a test")
    single = any([n.type.dtype.code == "f4" for n in r.order])
    with np.errstate(all="ignore"):
        want = reference(r)
        program = build(r)
        for _ in range(2):
            compare(program.run(r.order), want, 2e-3 if single else 1e-9)
    assert all([len(s.kernel.stores) + len(s.kernel.reductions) == 1 for s in program.listing().steps if isinstance(s, KernelStep)])


@pytest.mark.parametrize("shapes", SHAPES)
def test_long_graphs_are_compiled_at_once_from_kernels_of_a_few_forms(shapes: str, counters: Callable) -> None:
    leaves = parameters(*SHAPES[shapes])
    loss = irregular(1, 1000, leaves)
    text = jitgrad.explain(loss)
    assert "a kernel for each operation: " in text and "operations that do not repeat, more than JITGRAD_MAX_NODES=1000" in text
    assert " times\n" in text and "interpreted" not in text
    compiled = gradient(loss, leaves)
    again = gradient(irregular(1, 1000, leaves), leaves)
    assert all([g is w or (g is not None and w is not None and (g == w).all()) for g, w in zip(compiled, again, strict=True)])
    assert counters().interpreted == 0 and counters().compilations == 1 and counters().memory_hits == 2
    with jitgrad.interpret():
        agree(compiled, gradient(irregular(1, 1000, leaves), leaves))
    counts = [counters().kernels]
    many = 4000 if shapes == "numbers" else 2000
    for seed in (2, 3):
        gradient(irregular(seed, many, leaves), leaves)
        counts.append(counters().kernels)
    assert counts[0] < 200 and counts[1] < 1.35 * counts[0] and counts[2] < 1.08 * counts[1]
    assert counters().interpreted == 1          # where it was asked for


def test_the_next_graph_of_the_same_operations_compiles_hardly_anything(counters: Callable) -> None:
    leaves = parameters((5,), (5,))
    counts = []
    for seed in (1, 2, 3, 4):
        rng = np.random.default_rng(seed)
        x, y = leaves
        for _ in range(800):
            if rng.random() < 0.5:
                x, y = y, x.sin()
            else:
                x, y = y, x + y * 0.3
        gradient((x + y).sum(), leaves)
        counts.append(counters().kernels)
    # What differs is at the ends, where a gradient is 1 or comes to a leaf.
    assert counts[0] < 20 and counts[-1] <= counts[0] + 5 and counters().interpreted == 0


def test_chains_of_operations_on_any_earlier_ones_are_right() -> None:
    """All operations are alike, but each reads others."""
    rng = np.random.default_rng(0)
    pool = [normal(3, seed=k) for k in range(3)]
    for _ in range(300):
        pool.append(ops.add(pool[-1], pool[int(rng.integers(len(pool)))]))
    r = request([total(pool[-1])], pool[:3])
    compare(compiled(r).run(r.order), reference(r), 1e-12)
    loop = normal(3)
    for _ in range(300):
        loop = ops.add(ops.sin(loop), pool[0])
    assert sum([p.period for p in pieces_of(request([total(loop)]))]) < 10


def test_a_graph_at_the_bound_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves: list[Node] = [normal(3, seed=k) for k in range(2)]
    x, y = leaves
    for k in range(40):
        x, y = y, ops.tanh(x) if k * k * k % 11 < 5 else ops.mul(x, y)
    r = request([total(ops.add(x, y))], leaves)
    monkeypatch.setattr(segment, "LEAST", 1 << 30)
    monkeypatch.setattr(config, "max_nodes", 60)
    fused = compiled(r)
    segment.forget()
    monkeypatch.setattr(config, "max_nodes", 20)
    small = compiled(r)
    assert not fused.small and len(fused.kernels) < 4
    assert small.small and 4 < len(small.kernels) < 20 and sum([k.times for k in small.kernels]) == len(small.steps) > 60
    compare(small.run(r.order), reference(r), 1e-12)
    compare(fused.run(r.order), reference(r), 1e-12)


def test_loops_of_long_different_steps_have_bodies_of_small_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "max_nodes", 60)
    segment.forget()
    rng = np.random.default_rng(0)
    kinds = rng.integers(4, size=100)
    x, w = leaves = [normal(3, seed=k) for k in range(2)]
    for _ in range(10):
        for k in kinds.tolist():
            x = [ops.sin(x), ops.mul(x, w), ops.add(x, w), ops.tanh(x)][k]
    r = request([total(x)], leaves)
    program = compiled(r)
    assert program.rolled and program.small and len(program.kernels) < 60
    compare(program.run(r.order), reference(r), 1e-10)
    segment.forget()


@pytest.mark.parametrize("way", ["compile", "value_and_grad"])
def test_captured(way: str, counters: Callable) -> None:
    leaves = parameters(*SHAPES["vectors"])
    want = gradient(irregular(4, 700, leaves), leaves)
    if way == "compile":
        f = jitgrad.compile(lambda *x: irregular(4, 700, x))
        for _ in range(3):
            agree(gradient(f(*leaves), leaves), want)
    else:
        f = jitgrad.value_and_grad(lambda *x: irregular(4, 700, x), argnums=(0, 1, 2, 3))
        arrays = [x.detach().numpy() for x in leaves]
        for _ in range(3):
            value, grads = f(*arrays)
            zeros = [np.zeros(x.shape) if w is None else w for x, w in zip(arrays, want[1:], strict=True)]
            agree([np.asarray(value), *grads], [want[0], *zeros])
    assert counters().interpreted == 0 and stats.compilations <= 2


def test_the_same_bits_for_any_number_of_threads() -> None:
    """Large enough that loops are cut, sums over whole arrays and over columns among them."""
    results = []
    before = jitgrad.get_num_threads()
    for threads in (1, 2, 3):
        jitgrad.set_num_threads(threads)
        leaves = parameters((300, 2000), (2000,), (300, 1))
        with_small = irregular(5, 12, leaves)
        results.append(_small_gradient(with_small, leaves))
    jitgrad.set_num_threads(before)
    for other in results[1:]:
        assert all([(a == b).all() for a, b in zip(results[0], other, strict=True) if a is not None])


def _small_gradient(loss: jitgrad.Tensor, leaves: Sequence[jitgrad.Tensor]) -> list[np.ndarray | None]:
    nodes = [x._current() for x in leaves]
    r = request([loss._current()], nodes)
    program = build(replace(r, small="a test"))
    got = program.run(r.order)
    compare(got, reference(r), 1e-9)
    return got


def test_temporaries_take_the_places_of_those_that_are_not_needed_any_more() -> None:
    x = normal(1000)
    y = x
    for k in range(50):
        y = ops.neg(y) if k % 3 else ops.add(y, x)
    r = request([total(y)], [x])
    program = build(replace(r, small="a test"))
    assert isinstance(program, Program)
    assert program.bind(r.order).plan.arena_bytes < 6 * 8000
