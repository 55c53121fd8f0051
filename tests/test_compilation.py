"""What compiles, and how often: counted, never timed."""
from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest
from together import together

import jitgrad


def quadratic_loop(steps=500, lr=0.01, coefficients=(1.0, -2.0, 1.0), look=""):
    """Minimise a x**2 + b x + c by SGD, looking at the loss in some places."""
    a, b, c = (jitgrad.tensor(v) for v in coefficients)
    x = jitgrad.tensor(0.0, requires_grad=True)
    optimizer = jitgrad.optim.SGD(params=[x], lr=lr)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        y = a * jitgrad.pow(x, 2) + b * x + c
        if "before" in look:
            seen.append(str(y))
        y.backward()
        if "after" in look:
            seen.append(y.item())
        optimizer.step()
    return x.item(), seen


def test_a_loop_compiles_once_and_once_more_with_its_optimizer(counters):
    quadratic_loop(8)
    assert counters().compilations == 1
    value, _ = quadratic_loop()
    assert value == pytest.approx(1 - 0.98**500, rel=1e-4)
    info = counters()
    assert (info.compilations, info.interpreted, info.memory_hits) == (2, 0, 507)
    quadratic_loop(lr=0.03)
    assert counters().compilations == 2


def test_other_values_and_rates_compile_nothing(counters):
    quadratic_loop(3)
    kernels = counters().kernels
    quadratic_loop(3, lr=0.5)
    quadratic_loop(3, coefficients=(3.0, 1.5, -7.0))
    info = counters()
    assert (info.compilations, info.kernels) == (1, kernels)


@pytest.mark.parametrize("look", ["before", "after", "before and after"])
def test_looking_at_the_loss_compiles_nothing_more(counters, look):
    _, seen = quadratic_loop(20, look=look)
    assert len(seen) == 20 * len(look.split(" and "))
    assert counters().compilations == 2         # the second: the optimizer's step


def test_other_lengths_compile_nothing(counters):
    w = jitgrad.tensor([[0.5], [1.0], [-1.0]], requires_grad=True)

    def step(n):
        x = jitgrad.arange(3.0 * n).reshape(n, 3)
        loss = ((x @ w).tanh() ** 2).mean()
        loss.backward()
        return loss.item()

    for n in (5, 2, 64, 1000, 7):
        step(n)
    assert counters().compilations == 1


def test_python_floats_are_arguments(counters):
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for scale in (0.1, 2.0, 10.0, 1.0, 0.0, -3.0):
        x.grad = None
        (scale * x + scale).exp().sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), scale * np.exp(scale * np.array([2.0, 3.0])), rtol=1e-5)
    assert counters().compilations == 1


def test_a_length_of_one_is_another_structure(counters):
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for n in (1, 2, 3):
        (x * jitgrad.ones(n, 2)).sum().backward()
    assert counters().compilations + counters().disk_hits == 2


def test_an_intermediate_read_after_backward_is_an_output_from_the_second_time_on(counters):
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for i in range(6):
        h = x * float(i)
        (h * h).sum().backward()
        np.testing.assert_array_equal(h.detach().numpy(), np.float32([i, 2 * i]))
    info = counters()
    assert info.compilations + info.disk_hits == 2      # the program, and the one that returns h as well
    assert info.memory_hits >= 4


def test_higher_order_loops_compile_once(counters):
    for i in range(5):
        x = jitgrad.tensor([1.0, 2.0 + i], requires_grad=True)
        g, = jitgrad.autograd.grad((x**3).sum(), x, create_graph=True)
        h, = jitgrad.autograd.grad(g.sum(), x)
        np.testing.assert_allclose(h.numpy(), [6.0, 12.0 + 6 * i])
    assert counters().compilations == 1


def test_interpreting_compiles_nothing(counters):
    with jitgrad.interpret():
        quadratic_loop(10)
    info = counters()
    assert (info.compilations, info.kernels, info.interpreted) == (0, 0, 10)


def test_a_hook_cuts_and_what_lies_around_it_is_compiled_once(counters):
    def backward(factor, *hooks):
        x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
        y = (x * factor).exp()
        for hook in hooks:
            y.register_hook(hook)
        (y * y).sum().backward()
        return x.grad.numpy(), 2 * factor * np.exp(2 * factor * np.float32([1.0, 2.0]))

    seen = []
    for i in range(4):
        got, expected = backward(0.1 * i, lambda g: g * 2, lambda g: seen.append(g.tolist()))
        np.testing.assert_allclose(got, 2 * expected, rtol=1e-5)
        if i == 0:
            first = counters()
    assert counters().interpreted == 0 and len(seen) == 4
    assert first.compilations + first.disk_hits == 3        # what is below the hook forward; above it; below it backward
    assert counters()[:1] == first[:1] and counters().disk_hits == first.disk_hits
    for _ in range(3):              # another hook there changes nothing; none is another structure
        np.testing.assert_allclose(*backward(0.2, lambda g: g), rtol=1e-5)
    assert counters()[:1] == first[:1] and counters().disk_hits == first.disk_hits
    np.testing.assert_allclose(*backward(0.2), rtol=1e-5)
    assert counters().compilations + counters().disk_hits == 4


def test_what_lies_around_a_function_is_compiled(counters):
    class Double(jitgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    Double.apply(x.sin()).exp().sum().backward()
    assert counters().interpreted == 0 and counters().compilations == 2
    v = np.float64([1.0, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), np.exp(2 * np.sin(v)) * 2 * np.cos(v), rtol=1e-5)


PROGRAM = """
import jitgrad
x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
for i in range(3):
    x.grad = None
    (x.exp() * 2.0).sum().backward()
info = jitgrad.cache_info()
print(x.grad.tolist(), info.compilations, info.kernels, info.disk_hits, info.memory_hits)
"""


def run_python(source, cache_dir, **environment):
    return subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "JITGRAD_CACHE_DIR": str(cache_dir), **environment})


def test_a_second_process_compiles_nothing_and_imports_no_numba(tmp_path):
    source = PROGRAM + "\nimport sys\nprint('numba' in sys.modules)"
    first = run_python(source, tmp_path / "c")
    second = run_python(source, tmp_path / "c")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    (gradient, counts), (again, later) = [done.stdout.split("] ") for done in (first, second)]
    assert counts.split()[0] == "1" and counts.split()[-1] == "True"
    assert later.split() == ["0", "0", "1", "2", "False"]
    assert gradient == again


def test_import_is_light():
    done = run_python("import jitgrad, sys; print('numba' in sys.modules, 'llvmlite' in sys.modules)", "unused")
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_an_unknown_variable_is_refused(tmp_path):
    done = run_python("import jitgrad", tmp_path, JITGRAD_THREAD="2")
    assert done.returncode != 0
    assert "unknown environment variable JITGRAD_THREAD" in done.stderr and "JITGRAD_THREADS" in done.stderr
    done = run_python("import jitgrad", tmp_path, JITGRAD_THREADS="many")
    assert "JITGRAD_THREADS='many': must be a positive integer" in done.stderr


def test_two_threads_at_once(counters):
    def work(k):
        x = jitgrad.tensor(np.arange(4.0) + k, requires_grad=True)
        for i in range(50):
            x.grad = None
            (x * float(i)).sin().sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), i * np.cos(i * (np.arange(4.0) + k)), rtol=1e-9, atol=1e-9)

    together(work, range(4))
    assert counters().compilations == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_after_a_fork():
    source = """
import os, warnings, jitgrad
warnings.simplefilter("ignore", DeprecationWarning)
jitgrad.set_num_threads(2)
def gradient():
    x = jitgrad.ones(2_000_000, requires_grad=True)
    (x.exp() * x).sum().backward()
    return x.grad[0].item()
before = gradient()
pid = os.fork()
if pid == 0:
    os._exit(0 if gradient() == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), gradient() == before)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0", "True"], done.stderr


def test_explain_names_kernels_and_lines(counters):
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    loss = (x.exp() * 2.0).sum()
    text = jitgrad.explain(loss)
    assert "1 kernels" in text and "compiled now" in text and "def kernel" in text
    assert f"test_compilation.py:{test_explain_names_kernels_and_lines.__code__.co_firstlineno + 2}: exp mul" in text
    loss.backward()
    assert counters().compilations == 1 and counters().memory_hits == 1
    y = x * 2
    y.register_hook(lambda g: None)
    assert "a hook on this tensor" in jitgrad.explain(y.sum())
    with jitgrad.interpret():
        assert "interpret()" in jitgrad.explain(x.sum())
    with pytest.raises(RuntimeError, match="does not require grad"):
        jitgrad.explain(jitgrad.ones(2))


def test_long_chains(counters):
    x = jitgrad.tensor(1.0, dtype=jitgrad.float64, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 0.9999
    y.backward()
    assert x.grad.item() == pytest.approx(0.9999**100_000, rel=1e-9)


def test_recording_a_long_chain_computes_nothing(counters, monkeypatch):
    from jitgrad import interpreter
    monkeypatch.setattr(interpreter, "evaluate", None)
    x = jitgrad.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = (y * 0.5)[None].sum()
    assert y.requires_grad


def test_a_state_without_gradient_stays_bounded():
    state = jitgrad.zeros(3)
    with jitgrad.no_grad():
        for _ in range(20_000):
            state = state * 0.5 + 1.0
    assert state.tolist() == [2.0, 2.0, 2.0]


def test_a_total_never_looked_at_stays_bounded():
    x = jitgrad.tensor(1.0, requires_grad=True)
    total = jitgrad.tensor(0.0)
    for _ in range(10_000):
        total += (x * 2.0).detach()
    assert total.item() == 20_000.0


def test_threads_accumulate_into_one_leaf(counters):
    x = jitgrad.zeros(10, requires_grad=True)

    def work(k):
        for _ in range(100):
            (x * 1.0).exp().sum().backward()

    together(work, range(3))
    assert x.grad.tolist() == [300.0] * 10


@pytest.mark.parametrize("kind", ["plain", "hook", "function", "create_graph"])
def test_backward_leaves_no_cycles(kind):
    class Double(jitgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    def step():
        x = jitgrad.ones(3, requires_grad=True)
        y = Double.apply(x) if kind == "function" else x * 2
        if kind == "hook":
            y.register_hook(lambda g: g)
        if kind == "create_graph":
            g, = jitgrad.autograd.grad((y * y).sum(), x, create_graph=True)
            g.sum().backward()
        else:
            (y * y).sum().backward()

    for _ in range(4):          # until everything has been learnt
        step()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            step()
        assert gc.collect() < 10        # fewer than one object a step
    finally:
        gc.enable()


@pytest.mark.parametrize("steps", [3, 150])
def test_a_known_graph_with_other_strides(counters, steps):
    """Of one shape and dtype: programs are bound to strides."""
    rng = np.random.default_rng(0)
    layouts = [rng.random((3, 4)), rng.random((4, 3)).T, rng.random((6, 4))[::2], rng.random((3, 8))[:, ::2], rng.random((3, 4))[::-1]]
    w = jitgrad.tensor(rng.random((3, 4)), requires_grad=True)
    for _ in range(3):
        for array in [a for a in layouts for _ in range(4)]:
            w.grad = None
            x = y = jitgrad.from_numpy(array) if (np.array(array.strides) >= 0).all() else jitgrad.tensor(array)
            for _ in range(steps):
                y = y * 1.0 + w
            y.sum().backward()
            (x * w).sum().backward()
            np.testing.assert_allclose(w.grad, steps + array)
