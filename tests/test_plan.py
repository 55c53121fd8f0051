"""Running programs: plans by lengths, workspaces, the bound form."""
import numpy as np
import pytest
from together import together

import jitgrad
from jitgrad import executor, programs
from jitgrad.compiler.runtime import planning


def captured(f, *tensors):
    """The program of f's gradient, and a captured order."""
    root = f(*tensors)._node
    capture = executor.capture([root])
    return programs.program_for(capture, root)[1], capture.order


def leaf(value):
    return jitgrad.tensor(value, dtype=jitgrad.float64, requires_grad=True)


def test_bound_runs_on_arrays():
    program, order = captured(lambda x, y: (3.5 * x * y.exp()).sum(), leaf([1.0, 2.0]), leaf([0.0, 1.0]))
    bound = program.bind(order)
    expected = program.run(order)
    values = [order[p].value for p in bound.positions]
    for a, b in zip(bound.run(list(values)), expected, strict=True):
        assert a.tobytes() == b.tobytes()
    other = [2 * v if isinstance(v, float) else v for v in values]
    np.testing.assert_array_equal(bound.run(other)[0], 2 * expected[0])


def test_results_are_fresh():
    program, order = captured(lambda x: (x * x).sum(), leaf([1.0, 2.0]))
    first, second = program.run(order), program.run(order)
    assert not any(np.shares_memory(a, b) for a in first for b in second)


def test_integer_and_weak_numbers():
    program, order = captured(lambda x: (x * 3).sum(), leaf([1.0, 2.0]))      # an int where a float is computed
    assert program.run(order)[0] == 9.0
    i = jitgrad.tensor([1, 2])
    program, order = captured(lambda x: (x * (i + 5)).sum(), leaf([1.0, 2.0]))
    assert program.run(order)[0] == 20.0


def test_a_result_that_is_not_there_is_none():
    x, y = leaf([1.0, 2.0]), leaf(1.0)
    g = jitgrad.autograd.grad((x * x).sum(), [x, y], allow_unused=True)
    assert g[0].tolist() == [2.0, 4.0] and g[1] is None


def test_a_large_arena_is_taken_from_the_pool(monkeypatch):
    x = leaf(np.linspace(0.0, 1.0, 40).reshape(5, 8).tolist())

    def f(x):
        return (x @ x.T).exp().logsumexp(0).sum()

    program, order = captured(f, x)
    kept = [a.tobytes() for a in program.run(order)]
    monkeypatch.setattr(planning, "KEEP_BYTES", 0)
    program._executable._plans.clear()
    for _ in range(3):
        assert [a.tobytes() for a in program.run(order)] == kept


def test_many_threads_run_one_program():
    program, order = captured(lambda x: (x.exp() @ x).sum(), leaf(np.eye(6).tolist()))
    expected = [a.tobytes() for a in program.run(order)]

    def work(k):
        for _ in range(50):
            assert [a.tobytes() for a in program.run(order)] == expected

    together(work, range(4))


@pytest.mark.parametrize("shape", [(0,), (1,), (7,)])
def test_one_plan_for_each_length(shape):
    x = leaf(np.ones(shape).tolist())
    (x * x.exp()).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(shape, 2 * np.e))
