"""Running programs: plans by lengths, workspaces, the bound form."""
import gc

import numpy as np
import pytest
from together import together

import jitgrad
from jitgrad.compiler.runtime import plan as plan_module
from jitgrad.compiler.runtime import planning, plans
from jitgrad.requests import schedule_cache
from jitgrad.requests.capture import capture as capture_graph


def captured(f, *tensors):
    """The program of f's gradient, and a captured order."""
    root = f(*tensors)._node
    capture = capture_graph([root])
    return schedule_cache.program_for(capture, root)[1], capture.order


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
    program.whole(order)._executable._plans.clear()
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


# -- starts and steps of slices, strides -----------------------------------------------------------------------------

def rows(k, x):
    return (x[k] * 2.0).exp().sum()


def parts(k, x):
    return (x[k:k + 5, 1:] * x[2 * k:2 * k + 5, :-1].tanh()).sum()


def products(k, x):
    return (x[k:k + 4] @ x[k + 1]).tanh().sum()


def written(k, x):
    y = x * 1.5
    y[k] = x[0].sin()
    y[:, k % 3 + 1] = 2.0 * x[:, 0]
    return (y * y).sum()


def steps(k, x):
    return (x[1:1 + 3 * (k % 7 + 1):k % 7 + 1][:3] ** 2).sum()


def strided(k, x):
    c = jitgrad.from_numpy(np.lib.stride_tricks.as_strided(np.linspace(0.0, 1.0, 5000), (40, 6), (8 * (k + 2), 16)))
    return (c * x[:, :6]).sum()


INDEXED = [rows, parts, products, written, steps, strided]


def graph(f, k, seed=0):
    x = leaf(np.random.default_rng(seed).normal(size=(40, 8)).tolist())
    root = f(k, x)._node
    return capture_graph([root]), root


def interpreted(f, k):
    x = leaf(np.random.default_rng(0).normal(size=(40, 8)).tolist())
    with jitgrad.interpret():
        value = f(k, x)
        value.backward()
    return value.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("few", [0, 100])
@pytest.mark.parametrize("keep", [0, 4 << 20])
@pytest.mark.parametrize("f", INDEXED)
def test_a_loop_over_indices_makes_one_plan(f, keep, few, monkeypatch):
    monkeypatch.setattr(planning, "KEEP_BYTES", keep)
    monkeypatch.setattr(plan_module, "FEW", few)
    jitgrad.clear_cache()
    made = []
    monkeypatch.setattr(plans, "Planner", lambda *args: made.append(0) or planning.Planner(*args))
    for k in range(18):
        capture, root = graph(f, k)
        program = schedule_cache.program_for(capture, root)[1]
        for got, want in zip(program.run(capture.order), interpreted(f, k), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    assert len(made) == 1


@pytest.mark.parametrize("f", INDEXED)
def test_bound_runs_keep_their_indices(f):
    """Each has its own, though they share workspaces."""
    captures = [graph(f, k)[0] for k in (3, 11)]
    program = schedule_cache.program_for(*graph(f, 3))[1]
    expected = [program.run(c.order)[1].tobytes() for c in captures]
    bound = [program.bind(c.order) for c in captures]
    for _ in range(2):
        for b, c, want in zip(bound, captures, expected, strict=True):
            assert b.run([c.order[p].value for p in b.positions])[1].tobytes() == want
            numbers = {p: c.order[p].value for p in b.positions if isinstance(c.order[p].value, float)}
            fixed = b.fixing(numbers)
            assert fixed.run([c.order[p].value for p in fixed.positions])[1].tobytes() == want


def test_what_a_library_reads_has_a_plan_for_each_index():
    def f(k, x):
        return (jitgrad.prod(x[k:k + 3], 0) * 2.0).sum()

    for k in (0, 5, 0, 9):
        capture, root = graph(f, k)
        program = schedule_cache.program_for(capture, root)[1]
        for got, want in zip(program.run(capture.order), interpreted(f, k), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_the_oldest_plan_makes_room(monkeypatch):
    monkeypatch.setattr(plans, "MAX_PLANS", 4)
    program, _ = captured(lambda x: (x * x).sum(), leaf([1.0, 2.0]))
    orders = [captured(lambda x: (x * x).sum(), leaf(np.ones(n).tolist()))[1] for n in range(2, 9)]
    bound = [program.bind(order) for order in orders]
    assert len(program.whole(orders[0])._executable._plans) == 4
    assert all(program.bind(order).bound is b.bound for order, b in zip(orders[3:], bound[3:], strict=True))


# -- what is kept ----------------------------------------------------------------------------------------------------

def scalar_steps(n):
    x = leaf(0.3)
    y = x
    for _ in range(n):
        y = y + 0.01 * y.sin() * x
    return y


def chain(n):
    x = leaf(np.linspace(0.0, 1.0, 50).tolist())
    y = x
    for k in range(n):
        y = (y * 1.01 + x * 0.5).tanh() if k % 3 else y.exp() / (1.0 + x.sum())
    return y.sum()


@pytest.mark.parametrize(("f", "n"), [(scalar_steps, 300), (chain, 250)])
def test_few_objects_are_kept_of_a_program(f, n):
    """Those that the garbage collector walks, whatever the length of the program."""
    def objects(n):
        root = f(n)
        capture = capture_graph([root._node])
        schedule_cache.program_for(capture, root._node)[1].run(capture.order)      # kernels, which are shared
        for key in [*schedule_cache.known]:
            del schedule_cache.known[key]
        gc.collect()
        before = len(gc.get_objects())
        schedule_cache.program_for(capture, root._node)[1].run(capture.order)
        gc.collect()
        return len(gc.get_objects()) - before

    objects(10)
    few, many = objects(10), objects(n)
    assert few < 90 and many < 90, (few, many)
