"""set_memory_limit: loops keep states at the starts of blocks, and compute the blocks again."""
from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import drawn
import numpy as np
import pytest
from loop_programs import program as random_program
from test_memory import PEAK, measured, on_linux

import jitgrad
from jitgrad.compiler.loops import checkpoints, rolled, saving
from jitgrad.compiler.loops.arrange import arranged
from jitgrad.requests.schedules import segment


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    yield
    jitgrad.set_memory_limit(None)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, int]]:
    """The blocks that loops were cut into, by the number of the loop, for each layout that exceeded the limit."""
    found = []
    choose = checkpoints.choose
    monkeypatch.setattr(checkpoints, "choose", lambda *given: found.append(choose(*given)) or found[-1])
    return found


def written(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    u = x.clone()
    for _ in range(steps):
        u[1:-1] = u[1:-1] - 0.1 * u[1:-1] * (u[2:] - u[:-2])
    return (u * u).sum()


def handed_on(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    for k in range(steps):
        x = x + 0.1 * jitgrad.sin(x) * (k / steps)
    return (x * x).sum()


def recurrent(x: jitgrad.Tensor, steps: int) -> jitgrad.Tensor:
    w = jitgrad.full((3, 3), 0.1, dtype=x.dtype)
    table = x[:6].reshape(2, 3)
    h = table
    for k in range(steps):
        h = jitgrad.tanh(table @ w * (k / steps) + h @ w)
    return h.sum()


LOOPS: list[Callable[..., Any]] = [written, handed_on, recurrent]


def value_and_gradient(f: Callable[..., Any], steps: int, n: int = 50) -> tuple[float, list[float]]:
    x = jitgrad.tensor(np.linspace(0.1, 0.9, n), requires_grad=True)
    loss = f(x, steps)
    loss.backward()
    return loss.item(), x.grad.tolist()


@pytest.mark.parametrize("f", LOOPS)
def test_values_and_gradients_are_the_same_bits_and_nothing_is_compiled(f: Callable, counters: Callable, chosen: list) -> None:
    want = {steps: value_and_gradient(f, steps) for steps in (60, 61, 67, 121)}
    kernels = counters().kernels
    jitgrad.set_memory_limit(2_000)
    assert {steps: value_and_gradient(f, steps) for steps in want} == want
    assert counters().kernels == kernels
    assert len(chosen) == 4 and all(chosen)


@pytest.mark.parametrize("number", range(2))
def test_random_programs(number: int, chosen: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "LEAST", 24)
    logging.disable(logging.WARNING)
    try:
        jitgrad.clear_cache()
        for seed in range(drawn.seed(number), drawn.seed(number) + 20):
            jitgrad.set_memory_limit(None)
            want = random_program(jitgrad, seed)
            for limit in (1, 4_000):
                jitgrad.set_memory_limit(limit)
                for _ in range(2):
                    for a, b in zip(random_program(jitgrad, seed), want, strict=True):
                        assert a.tobytes() == b.tobytes()
            if sum(map(bool, chosen)) >= 6:         # of about three programs
                return
    finally:
        logging.disable(logging.NOTSET)
    raise AssertionError("hardly a loop has been cut into blocks")


def test_as_few_blocks_as_the_limit_allows(chosen: list, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = []
    made = rolled.Layout
    monkeypatch.setattr(rolled, "Layout", lambda *given: layouts.append(made(*given)) or layouts[-1])
    value_and_gradient(written, 100, 1000)
    [whole] = layouts
    assert whole.bytes > 100 * 2 * 8 * 998
    blocks = []
    for part in (1, 2, 4):
        jitgrad.set_memory_limit(limit := whole.bytes // part)
        value_and_gradient(written, 100, 1000)
        assert layouts[-1].bytes <= limit
        blocks.append(max(chosen[-1].values()) if chosen else 100)
    assert blocks[0] == 100 and 25 < blocks[1] <= 50 and 10 < blocks[2] <= 25


def test_a_limit_that_is_too_low_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    want = value_and_gradient(written, 90)
    jitgrad.set_memory_limit(1)
    with caplog.at_level(logging.WARNING, "jitgrad"):
        assert value_and_gradient(written, 90) == want
        assert "more than the limit of 1 (jitgrad.set_memory_limit)" in caplog.text
        caplog.clear()
        x = jitgrad.ones(400, 400, requires_grad=True)
        (x.softmax(0) @ x).sum().backward()         # no loop
    assert "more than the limit of 1 (jitgrad.set_memory_limit)" in caplog.text


def test_explain_tells_what_is_stored() -> None:
    x = jitgrad.tensor(np.linspace(0.1, 0.9, 102), requires_grad=True)
    text = jitgrad.explain(written(x, 80))
    assert "stored for the derivative of each of 80 iterations, in bytes: slice 800, sub 800 (of all 128,000)" in text
    jitgrad.set_memory_limit(70_000)
    assert re.search("the state before each [1-9][0-9] of 80 iterations", jitgrad.explain(written(x, 80)))
    rows = []
    for _ in range(80):
        x = x * x
        rows.append(x)
    assert "stored of each of 80 iterations, since it is read behind them" in jitgrad.explain(jitgrad.stack(rows).sum())


def test_under_a_limit_loops_over_long_arrays_are_loops() -> None:
    before = jitgrad.get_num_threads()
    jitgrad.set_num_threads(2)
    try:
        want = value_and_gradient(handed_on, 40, 100_000)
        jitgrad.set_memory_limit(20_000_000)
        x = jitgrad.tensor(np.linspace(0.1, 0.9, 100_000), requires_grad=True)
        assert "iterations, and of as many at a time" in jitgrad.explain(handed_on(x, 40))
        got = value_and_gradient(handed_on, 40, 100_000)
    finally:
        jitgrad.set_num_threads(before)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-14)


def test_the_limit_is_what_was_set() -> None:
    assert jitgrad.get_memory_limit() is None
    jitgrad.set_memory_limit(12)
    assert jitgrad.get_memory_limit() == 12
    for wrong, error in ((1.5, TypeError), (True, TypeError), ("1GB", TypeError), (0, ValueError), (-1, ValueError)):
        with pytest.raises(error, match="set_memory_limit expects"):
            jitgrad.set_memory_limit(wrong)     # type: ignore[arg-type]
    assert jitgrad.get_memory_limit() == 12


def test_captured_functions_keep_to_it(chosen: list) -> None:
    compiled, both = jitgrad.compile(written), jitgrad.value_and_grad(written)
    x = jitgrad.tensor(np.linspace(0.1, 0.9, 50), requires_grad=True)
    found = []
    for limit in (None, 20_000, None):
        jitgrad.set_memory_limit(limit)
        for _ in range(3):
            x.grad = None
            compiled(x, 70).backward()
            found.append(x.grad.tolist())
            found.append(both(x.detach().numpy(), 70)[1].tolist())
    assert all([g == found[0] for g in found])
    assert chosen and all(chosen)


@on_linux
def test_the_peak_keeps_to_the_limit() -> None:
    n, limit = 100_000, 30_000_000
    beside = 4 * 8 * n + 20_000_000     # the input, what it is copied from, the gradient; the recorded graph
    assert measured(PEAK, "jitgrad", "written", n, limit)[0] <= limit + beside < 200 * 8 * n


@on_linux
@pytest.mark.full
@pytest.mark.skipif(find_spec("torch") is None, reason="compares with PyTorch")
@pytest.mark.parametrize("program", ["written", "joined", "rungekutta", "rows", "recurrent"])
def test_the_peak_of_loops_is_at_most_that_of_eager_pytorch(program: str) -> None:
    """Without what compiling takes (3 MB): the second process finds all kernels on disk."""
    _, found = [measured(PEAK, "jitgrad", program, 100_000)[0] for _ in range(2)]
    assert found <= measured(PEAK, "torch", program, 100_000)[0]


def test_the_fewest_values_are_kept() -> None:
    x, y = [jitgrad.ones(3).requires_grad_() for _ in range(2)]
    total = x + y
    double, square = total * 2, total * total
    nodes = [t._current() for t in (total, double, square)]
    carried = {t._current() for t in (x, y)}
    assert saving.to_save(nodes, carried, nodes[1:]) == {nodes[0]}          # one array instead of two
    assert saving.to_save(nodes, carried, [nodes[1]]) == {nodes[0]}         # what is computed first
    assert saving.to_save(nodes, carried, [*carried, *nodes]) == set()      # all follow from what is kept anyway
    dear = jitgrad.exp(total)._current()
    assert saving.to_save([*nodes, dear], carried, [dear]) == {dear}


def test_operands_that_are_quick_to_come_by_come_last() -> None:
    # h = f(x[t] w + h u): leaves 0, 1, 2, then for each step the product of an input, that of the state, and their sum
    children: list[list[int]] = [[], [], []]
    inputs = []
    for _ in range(12):
        inputs.append(len(children))
        children.append([0, 1])
    state = 2
    for k in inputs:
        children.append([state, 1])
        children.append([k, len(children) - 1])
        state = len(children) - 1
    order = arranged(children)
    assert sorted(order) == [*range(len(children))]
    place = {k: i for i, k in enumerate(order)}
    assert all([place[j] < place[k] for k, of in enumerate(children) for j in of])
    sums = [k for k in order if k >= 15 and children[k][0] in inputs]
    assert all([place[b] - place[a] == 3 for a, b in zip(sums[2:], sums[3:], strict=False)])       # each input where it is needed
    assert arranged([[], [0], [1], [2, 1]]) == [0, 1, 2, 3]
