"""jitgrad.profile: the kernels that ran, by the user's lines; nothing once it is over."""
from __future__ import annotations

import numpy as np
import pytest

import jitgrad
from jitgrad.compiler.runtime import workspace


def loss(x, w):
    return (x * w).exp().sum()


def test_kernels_with_lines_times_and_bytes():
    n = 1000
    x, w = jitgrad.ones(n), jitgrad.ones(n, requires_grad=True)
    for _ in range(4):
        loss(x, w).backward()
    with jitgrad.profile() as found:
        for _ in range(3):
            loss(x, w).backward()
    kernel = found.kernels[0]
    assert (found.programs, found.runs, found.interpreted) == (1, 3, 0)
    assert kernel.calls == 3 and 0 < kernel.seconds < found.seconds
    assert kernel.elements == 3 * n and 3 * 3 * 4 * n <= kernel.bytes <= 3 * 3 * 4 * n + 100     # x, w, the gradient
    assert "test_profile.py:12" in kernel.lines and {"exp", "mul", "sum"} <= {*kernel.operations}
    table = str(found).splitlines()
    assert len(table) == 2 + len(found.kernels) and "test_profile.py:12" in table[2] and "GB/s" in table[1]


def test_nothing_is_timed_once_it_is_over():
    w = jitgrad.ones(10, requires_grad=True)
    with jitgrad.profile() as found:
        loss(w, w).backward()
    runs, first = found.runs, w.grad.clone()
    assert runs and not workspace.timing
    loss(w, w).backward()
    assert found.runs == runs and jitgrad.equal(w.grad, 2 * first)
    with jitgrad.profile(), pytest.raises(RuntimeError, match="another profile is open"), jitgrad.profile():
        pass
    assert not workspace.timing


@pytest.mark.parametrize("threads", (1, 2))
def test_the_same_bits_and_what_else_runs(threads):
    before = jitgrad.get_num_threads()
    x = jitgrad.tensor(np.random.default_rng(0).standard_normal((300, 400)), requires_grad=True)

    def run():
        x.grad = None
        (x @ x.T).exp().cumsum(0).log().mean().backward()
        return x.grad

    try:
        jitgrad.set_num_threads(threads)
        expected = [run() for _ in range(3)][-1]
        with jitgrad.profile() as found:
            assert jitgrad.equal(run(), expected)
    finally:
        jitgrad.set_num_threads(before)
    names = [row.name for row in found.kernels]
    assert "NumPy: cumsum" in names and "BLAS" in names


def test_captured_functions_and_optimizers_are_in_it():
    w = jitgrad.ones(10, requires_grad=True)
    optimizer = jitgrad.optim.SGD([w], lr=0.1)
    f = jitgrad.compile(lambda w: (w * w).sum())

    def step():
        optimizer.zero_grad()
        f(w).backward()
        optimizer.step()

    for _ in range(20):
        step()
    with jitgrad.profile() as found:
        step()
    assert found.runs and {"mul", "sub"} <= {op for row in found.kernels for op in row.operations}
