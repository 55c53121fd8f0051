"""Loops of recorded graphs, compiled as loops."""
from __future__ import annotations

from collections.abc import Callable

import drawn
import numpy as np
import pytest
from graphs import compare, leaf, normal, reference, request, schedule_of, total
from loop_programs import program as random_program
from triangular_programs import PROGRAMS, QUICK, results

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.fusion.splitting import repetition
from jitgrad.compiler.loops import rolled
from jitgrad.compiler.loops.repeats import repeating
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import scalar_node
from jitgrad.requests import schedule_cache
from jitgrad.requests.schedules import segment
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.types.dtype import float64

try:
    import torch
except ImportError:
    torch = None

@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops of few operations are loops, too."""
    monkeypatch.setattr(segment, "LEAST", 12)
    segment.forget()


def long_program(r: Request) -> Schedule:
    """The schedule of a request."""
    schedule = schedule_of(r)
    schedule.compile(r.order)
    return schedule


def seeds(r: Request) -> list[np.ndarray]:
    return [n.value for n in r.cotangents if n is not None]


def expected(r: Request) -> list[np.ndarray | None]:
    """The interpreter's results; of gradients that are given, those of one program, which takes long to compile."""
    return build(r).run(r.order) if any(r.cotangents) else reference(r)


def state(x: Node, w: Node, steps: int) -> list[Node]:
    found = [x]
    for _ in range(steps):
        found.append(ops.add(ops.tanh(ops.mul(found[-1], w)), x))
    return found


@pytest.mark.parametrize(("sequence", "expected"), [
    ([1, 2, 3] * 40, (3, 120)), ([5, 5, 7] + [1, 2] * 30, (1, 0)), ([1] * 50, (1, 50)), (list(range(50)), (1, 0)),
    (([1, 2] * 20 + [3]) * 5, (41, 205)), ([1, 2] * 20 + list(range(9, 30)), (2, 40)), ([1, 2, 3], (1, 0))])
def test_repetition(sequence: list[int], expected: tuple[int, int]) -> None:
    assert repetition(np.array(sequence), 0, 64) == expected


LETTERS, OTHERS = list(range(20)), list(range(30, 70))


@pytest.mark.parametrize(("sequence", "expected"), [
    (LETTERS * 5, [(0, 20, 100)]), (OTHERS + LETTERS * 4 + OTHERS, [(40, 20, 80)]), (LETTERS * 3 + OTHERS, []),
    ([7] * 30, [(0, 1, 30)]),
    ((LETTERS * 4 + OTHERS) * 5, [(0, 120, 600)]), ((LETTERS * 4 + OTHERS) * 3, [(0, 20, 80), (120, 20, 80), (240, 20, 80)]),
    ((LETTERS + LETTERS + OTHERS) * 6 + LETTERS, [(0, 80, 500)]), (OTHERS, []), ([], [])])
def test_stretches_that_repeat(sequence: list[int], expected: list[tuple[int, int, int]]) -> None:
    assert list(repeating(np.array(sequence, np.int64))) == expected


@pytest.mark.usefixtures("short")
def test_the_programs_of_a_loop_do_not_grow_with_its_length() -> None:
    counts = []
    for steps in (40, 80, 200):
        segment.forget()
        r = request([total(state(normal(3), normal(3, seed=1), steps)[-1])])
        r = Request(r.order, r.outputs, r.outputs, [None], [n for n in r.order if n.requires_grad and not n.inputs])
        program = long_program(r)
        compare(program.run(r.order), reference(r), 1e-12)
        counts.append((len(segment._programs), len(program.kernels)))
    assert counts[0] == counts[1] == counts[2] and counts[0][0] <= 7


@pytest.mark.usefixtures("short")
def test_other_lengths_and_values_of_the_same_structure() -> None:
    def make(n: int, seed: int) -> Request:
        x, w = normal(n, seed=seed), normal(n, seed=seed + 1)
        return request([total(state(x, w, 30)[-1])], [x, w])

    program = long_program(make(3, 0))
    for n, seed in ((3, 5), (700, 6), (3, 7)):
        r = make(n, seed)
        compare(program.run(r.order), reference(r), 1e-12)
        bound = program.bind(r.order)
        assert program.bind(r.order).bound is bound.bound
        compare(bound.run([r.order[p].value for p in bound.positions]), reference(r), 1e-12)


def of_states(join: Callable[[list[Node]], Node]) -> Callable[[], Request]:
    def make() -> Request:
        x, w = normal(4), normal(4, seed=1)
        return request([total(join(state(x, w, 30)))], [x, w])
    return make


def interior() -> Request:
    """Gradients of states at, before and after cuts; values of them too; one asked for twice."""
    x, w = normal(4), normal(4, seed=1)
    found = state(x, w, 30)
    loss = total(ops.mul(found[-1], found[7]))
    return request([loss, found[3], found[12], found[3], x], [found[4], found[5], found[6], found[20], x, w, x], loss)


def several_roots() -> Request:
    """Roots in the middle, which later operations read; two with explicit gradients."""
    x, w = normal(4), normal(4, seed=1)
    g, h = normal(4, seed=2, requires_grad=False), normal(4, seed=3, requires_grad=False)
    found = state(x, w, 30)
    roots = [found[30], found[9], found[21], found[2]]
    order = topological([*roots, g, h])
    return Request(order, [found[9]], roots, [g, None, h, None], [x, w])


def strided() -> Request:
    x, w = leaf(np.arange(12.0).reshape(3, 4).T[::2] / 12), leaf(np.linspace(0, 1, 6)[::2])
    return request([total(state(x, w, 30)[-1])], [x, w])


def not_needed() -> Request:
    """What needs no gradient, and what needs one but is not asked for."""
    x, w, v = normal(4), normal(4, seed=1, requires_grad=False), normal(4, seed=2)
    found = state(x, w, 15)[-1]
    for _ in range(15):
        found = ops.mul(ops.sin(found), v)
    unrelated = normal(4, seed=3)
    r = request([total(found), unrelated], [v])
    return Request(r.order, r.outputs, r.roots, r.cotangents, [v, unrelated])


def leaves_as_roots() -> Request:
    """Roots that are leaves, with and without other gradients."""
    x, w, v = normal(4), normal(4, seed=1), normal(4, seed=2)
    found = state(x, w, 30)
    order = topological([*found, v])
    return Request(order, [found[5]], [found[30], w, v], [None, None, None], [x, w, v])


def a_leaf_alone() -> Request:
    x = normal(4)
    r = request([state(x, x, 30)[-1]])
    return Request(r.order, r.outputs, [x], [None], [x])


REQUESTS = {
    "leaves as roots": leaves_as_roots, "a leaf alone": a_leaf_alone,
    "a sum of all states": of_states(lambda found: ops.cat(*found, dim=0)),
    "states far apart": of_states(lambda found: ops.mul(found[2], found[-1])),
    "interior": interior, "several roots": several_roots, "strided": strided, "not needed": not_needed,
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name: str) -> None:
    r = REQUESTS[name]()
    program, want = long_program(r), expected(r)
    for _ in range(2):
        got = program.run(r.order, seeds(r))
        compare(got, want, 1e-12)
    arrays = [a for a in got if a is not None]
    assert not any([np.shares_memory(a, b) for k, a in enumerate(arrays)
                    for b in [*arrays[:k], *[n.value for n in r.order if not n.inputs and n.type.shape]]])


def test_tens_of_thousands_of_operations_compile_a_few_programs(counters: Callable) -> None:
    x = jitgrad.tensor([0.3, 0.4], dtype=jitgrad.float64, requires_grad=True)
    w = jitgrad.tensor(0.5, dtype=jitgrad.float64, requires_grad=True)
    gradients = []
    for _ in range(2):
        x.grad = w.grad = None
        y = x
        for _ in range(11_000):
            y = y + 1e-3 * jitgrad.sin(y * w)
        y.sum().backward()
        gradients.append((x.grad.tolist(), w.grad.item()))
    assert gradients[0] == gradients[1]
    assert counters().compilations <= 8 and counters().interpreted == 0 and len(segment._programs) <= 8
    [entry] = schedule_cache.known.values()
    assert len(entry.program.kernels) < 1000
    epsilon = 1e-6
    with jitgrad.no_grad():
        ends = []
        for shift in (epsilon, -epsilon):
            a, b = np.array([0.3, 0.4]), 0.5 + shift
            for _ in range(11_000):
                a = a + 1e-3 * np.sin(a * b)
            ends.append(a.sum())
    assert gradients[0][1] == pytest.approx((ends[0] - ends[1]) / (2 * epsilon), rel=1e-5)


def test_captured_and_explained(short: None, counters: Callable) -> None:
    w = jitgrad.tensor(0.5, requires_grad=True)

    @jitgrad.compile
    def f(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
        for _ in range(steps):
            x = (x * w).cos()
        return x.sum()

    x = jitgrad.tensor([0.3, 0.4], requires_grad=True)
    for _ in range(4):
        x.grad = w.grad = None
        loss = f(x, 60)
        loss.backward()
    text = jitgrad.explain(f(x, 60))
    assert "60 times: kernel" in text
    assert counters().compilations + counters().disk_hits <= 2
    with jitgrad.interpret():
        y = x.detach().requires_grad_()
        v = w.detach().requires_grad_()
        z = y
        for _ in range(60):
            z = (z * v).cos()
        z.sum().backward()
    np.testing.assert_allclose(x.grad, y.grad, rtol=1e-6)
    np.testing.assert_allclose(w.grad, v.grad, rtol=1e-5)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", REQUESTS)
def test_numbers_that_are_fixed_are_no_arguments(name: str) -> None:
    r = REQUESTS[name]()
    scaled = ops.mul(r.outputs[0], scalar_node(3.0, float64))
    r = Request(topological([*r.order, scaled]), [scaled, *r.outputs[1:]], r.roots, r.cotangents, r.wrt)
    for _ in range(20):
        x = ops.mul(r.outputs[0], scalar_node(0.9, float64))
        r = Request(topological([*r.order, x]), [x, *r.outputs[1:]], r.roots, r.cotangents, r.wrt)
    want = expected(r)
    nodes = [*r.order, *[n for n in r.cotangents if n is not None]]
    for program in (long_program(r), *([build(r)] if name == "interior" else [])):     # (long to compile as a whole)
        bound = program.bind(r.order)
        numbers = {p: nodes[p].value for p in bound.positions if type(nodes[p].value) is float}
        assert len(numbers) == 21
        for fixed in (bound.fixing(numbers), bound.fixing(dict(list(numbers.items())[:7])).fixing(numbers)):
            assert not set(fixed.positions) & set(numbers)
            for _ in range(2):
                compare(fixed.run([nodes[p].value for p in fixed.positions]), want, 1e-12)


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever repeats is a loop."""
    monkeypatch.setattr(segment, "LEAST", 24)
    jitgrad.clear_cache()


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize("number", range(3))
def test_random_programs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients are those of the interpreter, and of PyTorch where it is installed."""
    seed = drawn.seed(number)
    made = []
    roll = rolled.roll
    monkeypatch.setattr(rolled, "roll", lambda *request: made.append(roll(*request)) or made[-1])
    results = [[random_program(jitgrad, seed + k) for _ in range(2)] for k in range(2)]
    assert any([p is not None for p in made])
    for k, (first, second) in enumerate(results):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        with jitgrad.interpret():
            want = [random_program(jitgrad, seed + k)]
        if torch is not None:
            want.append(random_program(torch, seed + k))
        for other in want:
            for a, b in zip(first, other, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def halved(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    a = x.clone()
    for _ in range(steps):
        a[1:-1] = a[1:-1] * 0.5
    return a.sum()


def rows(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    out, c = jitgrad.zeros(steps, *x.shape, dtype=x.dtype), x
    for k in range(steps):
        c = c * 0.9
        out[k] = c
    return (out * out).sum()


def diagonal(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    m, total = jitgrad.outer(x[:1].expand(steps), x[:1].expand(steps)), 0.0
    for i in range(steps):
        total = total + jitgrad.tanh(m[i, i])
    return total


def recurrence(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    a = x[:1].expand(steps + 1).clone()
    for i in range(1, steps + 1):
        a[i] += a[i - 1]
        a[i] /= 9.0
    return a.sum()


def pendulum(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    def f(y: jitgrad.Tensor) -> jitgrad.Tensor:
        return jitgrad.stack([y[1], -9.8 * jitgrad.sin(y[0])])
    y = x[:2]
    for _ in range(steps):
        k1 = f(y)
        k2 = f(y + 0.005 * k1)
        k3 = f(y + 0.005 * k2)
        k4 = f(y + 0.01 * k3)
        y = y + (0.01 / 6) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return y.sum()


@pytest.mark.parametrize("f", [halved, rows, diagonal, recurrence, pendulum])
def test_another_number_of_steps_compiles_nothing(f: Callable, counters: Callable) -> None:
    x = jitgrad.tensor(np.linspace(0.1, 1.0, 6), requires_grad=True)
    found = []
    for steps in (30, 200, 90):
        x.grad = None
        f(x, steps).backward()
        found.append((counters().compilations + counters().disk_hits, counters().kernels))
    assert found[0] == found[1] == found[2] and found[0][1] <= 24
    gradient = x.grad.clone()
    x.grad = None
    with jitgrad.interpret():
        f(x, steps).backward()
    np.testing.assert_allclose(gradient.numpy(), x.grad.numpy(), rtol=1e-9)


def test_writes_to_parts_of_a_long_array_are_a_loop() -> None:
    x = jitgrad.tensor(np.linspace(0.1, 1.0, 30_000), requires_grad=True)
    assert "30 times: kernel" in jitgrad.explain(rows(x, 30))


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in PROGRAMS])
def test_loops_over_slices_that_grow_or_shrink(name: str, counters: Callable) -> None:
    f, found = PROGRAMS[name], []
    for n in (12, 30, 19):
        got = results(jitgrad, f, n)
        found.append((counters().compilations + counters().disk_hits, counters().kernels))
    assert found[0] == found[1] == found[2] and found[0][0] == 1
    with jitgrad.interpret():
        want = [results(jitgrad, f, n)]
    if torch is not None:
        want.append(results(torch, f, n))
    for other in want:
        for a, b in zip(got, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_function_of_any_number_of_steps_is_compiled_once(counters: Callable) -> None:
    both = jitgrad.value_and_grad(recurrence)
    x = np.linspace(0.1, 1.0, 6)
    kernels = set()
    for steps in (40, 60, 40, 80):
        value, gradient = both(x, steps)
        kernels.add(counters().kernels)
        y = jitgrad.tensor(x, requires_grad=True)
        with jitgrad.interpret():
            loss = recurrence(y, steps)
            loss.backward()
        assert value == pytest.approx(loss.item())
        np.testing.assert_allclose(gradient, y.grad.numpy(), rtol=1e-9)
    assert len(kernels) == 1
