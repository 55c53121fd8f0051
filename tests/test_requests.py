"""One way for every request: hooks, retain_grad, Functions, looks, higher order and varying structures."""
from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import drawn
import numpy as np
import pytest
from saved import square

import jitgrad
from jitgrad.graph.node import Op
from jitgrad.requests import counters as policy
from jitgrad.requests import execute, gradients, interpret, schedule_cache
from jitgrad.requests.schedules import bound, segment

PATIENCE = 4        # as they are without tests/conftest.py


@pytest.fixture(autouse=True)
def as_users_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """See conftest.compiled."""
    monkeypatch.setattr(policy, "PATIENCE", PATIENCE)
    segment.bodies_known[0] = False


def program(t: ModuleType, seed: int) -> list[float]:
    """Twenty iterations of a random program that mixes it all; the choices of each come from a few."""
    rng = np.random.default_rng(seed)
    Square = square(t)
    plans = [[int(k) for k in rng.integers(0, 13, size=rng.integers(2, 9))] for _ in range(3)]
    seen: list[float] = []
    w = t.tensor(rng.normal(size=3), dtype=t.float64, requires_grad=True)
    for i in range(20):
        size = int(rng.choice([3, 5]))
        x = t.tensor(rng.normal(size=(size, 3)), dtype=t.float64, requires_grad=bool(rng.random() < 0.8))
        y, kept, total = x * w, [], 0.0
        for kind in plans[int(rng.integers(3))]:
            if kind == 0:
                y = t.tanh(y)
            elif kind == 1:
                y.register_hook(lambda g: g * 0.5)
            elif kind == 2:
                y.retain_grad()
                kept.append(y)
            elif kind == 3:
                y = Square.apply(y) * 0.3
            elif kind == 4 and float(y.sum()) > 0.01:        # (differences of rounding decide nothing)
                y = y * 0.9
            elif kind == 5:
                seen.append(float(y.detach().abs().max()))
            elif kind == 6:
                y = y + w.sin()
                y.mul_(0.7)
            elif kind == 7:
                g, = t.autograd.grad((y * y).mean(), w, create_graph=True)
                y = y + 0.1 * g
            elif kind == 8:
                seen += [float(v) for v in t.autograd.grad(y[0].sum(), w, retain_graph=True)[0]]
            elif kind == 9:
                y.register_hook(lambda g, scale=0.1 * i, seen=seen: seen.append(scale + float(g.sum())))
            elif kind == 10:
                with t.no_grad():
                    total += float((y * y).mean())
            elif kind == 11:
                y = y - y.mean(0)
            elif kind == 12:
                y = y.clone()
                y[0] = y[1] * 2.0
        loss = (y * y).mean() + 0.01 * (w * w).sum()
        if i % 3 == 0:
            seen.append(loss.item())
        w.grad = None
        loss.backward()
        seen += [total, *w.grad.tolist()]
        seen += [float(v.grad.sum()) for v in kept]
        if x.requires_grad:
            seen.append(float(x.grad.sum()))
        with t.no_grad():
            w -= 0.01 * w.grad
    return seen


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("number", range(2))
def test_compiled_interpreted_and_patient_agree(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = drawn.seed(number)
    monkeypatch.setattr(policy, "PATIENCE", 1 << 62)
    compiled = program(jitgrad, seed)
    with jitgrad.interpret():
        interpreted = program(jitgrad, seed)
    np.testing.assert_allclose(compiled, interpreted, rtol=1e-8, atol=1e-10)
    monkeypatch.setattr(policy, "PATIENCE", 0)
    np.testing.assert_allclose(program(jitgrad, seed + 1), program(jitgrad, seed + 1), rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("number", range(2))
def test_as_in_pytorch(number: int) -> None:
    torch = pytest.importorskip("torch")
    seed = drawn.seed(number)
    np.testing.assert_allclose(program(jitgrad, seed), program(torch, seed), rtol=1e-8, atol=1e-10)


def shared_constant(t: Any, i: int) -> Any:
    x, c = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([3.0, 4.0])
    d = c if i < 3 else t.tensor([5.0, 6.0])
    return t.autograd.grad((x * c * x + x * d).sum(), x, create_graph=True)[0]


def operand_as_cotangent(t: Any, i: int) -> Any:
    x = t.tensor([1.0, 2.0], requires_grad=True)
    return t.autograd.grad(x * x, x, grad_outputs=x if i < 3 else t.tensor([5.0, 7.0]), create_graph=True)[0]


def equal_cotangents(t: Any, i: int) -> Any:
    x, u = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([1.0, 1.0])
    return t.autograd.grad([x * x, x * x * x], x, grad_outputs=[u, u if i < 3 else u * 5], create_graph=True)[0]


def cotangent_that_requires_grad(t: Any, i: int) -> Any:
    x, u = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([1.0, 1.0], requires_grad=i >= 3)
    g, = t.autograd.grad(x * t.tensor([3.0, 4.0]), x, grad_outputs=u, create_graph=True)
    return t.autograd.grad(g.sum(), u)[0] if i >= 3 else g


def output_for_a_leaf(t: Any, i: int) -> Any:
    x, w = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([3.0, 4.0], requires_grad=True)
    o = w if i < 3 else square(t).apply(x)
    return t.autograd.grad((x * o).sum(), x, create_graph=True)[0]


def one_hooked_for_two(t: Any, i: int) -> Any:
    x = t.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2
    k = x * 2 if i < 4 else h
    for y in {id(y): y for y in (h, k)}.values():
        y.register_hook(lambda g: g.clamp(max=4.0))
    (h * 3 + k * 3).sum().backward()
    return x.grad


def one_application_for_two(t: Any, i: int) -> Any:
    x = t.tensor([1.0, 2.0], requires_grad=True)
    u = square(t).apply(x * 3)
    v = square(t).apply(x * 3) if i < 4 else u
    (u * v).sum().backward()
    return x.grad


def joined(t: Any, i: int) -> Any:
    x = t.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    parts = [x[:, :2], x[:, 2:]] if i < 4 else [x[:, :1], x[:, 1:2], x[:, 2:]]
    (t.cat(parts, 1) * t.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    return x.grad


def hook_that_looks(t: Any, i: int) -> Any:
    x = t.tensor([1.0, 2.0], requires_grad=True)
    h, seen = x * 2, []
    y = (h * h).sum()
    h.register_hook(lambda g: seen.append(y.item()))
    y.backward()
    return x.grad + seen[0]


def gradients_that_come_and_go(t: Any, i: int) -> Any:
    class Product(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any, gives: bool) -> Any:
            ctx.gives = gives
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2 if ctx.gives else None, g * 3, None

    x, y = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([0.5, 0.7], requires_grad=True)
    h, k, seen = x.exp(), y.sin(), []
    u = Product.apply(h, k, i % 3 != 1)
    v = Product.apply(u, h, i % 2 == 0)
    u.register_hook(seen.append)
    (u * v + v).sum().backward()
    return t.stack([x.grad, y.grad, *seen])


@pytest.mark.parametrize("way", ["compiled", "interpreted", "patient"])
@pytest.mark.parametrize("f", [shared_constant, operand_as_cotangent, equal_cotangents, cotangent_that_requires_grad,
                               output_for_a_leaf, gradients_that_come_and_go,
                               one_hooked_for_two, one_application_for_two, joined, hook_that_looks])
def test_what_differs_in_identity_alone(f: Callable, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if way == "patient":
        monkeypatch.setattr(policy, "PATIENCE", 0)
    with jitgrad.interpret() if way == "interpreted" else contextlib.nullcontext():
        for i in range(7):
            np.testing.assert_allclose(f(jitgrad, i).detach().numpy(), f(torch, i).detach().numpy(), rtol=1e-5)


class Doubled(jitgrad.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


def loop(t: ModuleType, steps: int, look: bool) -> float:
    """States whose force is a gradient; each is looked at, or none."""
    w = t.tensor([0.3, -0.2], dtype=t.float64, requires_grad=True)
    x = t.tensor([1.0, 0.5], dtype=t.float64, requires_grad=True)
    y, v = x * 1.0, t.zeros(2, dtype=t.float64)
    for _ in range(steps):
        force, = t.autograd.grad((t.tanh(y * w[0]) + y * y * w[1]).sum(), y, create_graph=True)
        v = v - 0.01 * force
        y = y + 0.01 * v
        if look and float(y[0].detach()) < -100.0:
            break
    y.sum().backward()
    return float(w.grad.sum())


@pytest.mark.parametrize("look", [True, False])
def test_a_step_walks_what_is_new(look: bool, monkeypatch: pytest.MonkeyPatch, counters: Callable) -> None:
    walked = [0]
    kept = Doubled.apply(jitgrad.ones(2, requires_grad=True))       # what else is alive does not count
    capture, between = execute.capture, importlib.import_module("jitgrad.autograd.reverse.recorded").between

    def counting_capture(*args: Any, **kwargs: Any) -> Any:
        found = capture(*args, **kwargs)
        walked[0] += len(found.order)
        return found

    def counting_between(*args: Any) -> Any:
        found = between(*args)
        walked[0] += len(found[0])
        return found

    monkeypatch.setattr(execute, "capture", counting_capture)
    monkeypatch.setattr(gradients, "capture", counting_capture)
    monkeypatch.setattr("jitgrad.autograd.reverse.recorded.between", counting_between)
    results = []
    for steps in (12, 24, 48):
        walked[0] = 0
        got = loop(jitgrad, steps, look)
        results.append((walked[0], counters().compilations + counters().disk_hits))
        with jitgrad.interpret():
            assert got == pytest.approx(loop(jitgrad, steps, look), rel=1e-9)
    assert results[2][0] < 3 * results[1][0] < 9 * results[0][0]
    assert kept.grad_fn is not None
    assert results[2][1] - results[1][1] <= 6           # what is compiled does not grow with the number of steps


def test_hooks_functions_and_looks_compile_once(counters: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PATIENCE", 1 << 62)
    Square = square(jitgrad)
    x = jitgrad.tensor(np.linspace(0.1, 1.0, 6), requires_grad=True)

    def hooked() -> None:
        y = (x * 1.5).tanh()
        y.register_hook(lambda g: g * 2)
        (y * y).sum().backward()

    def retained() -> None:
        y = (x * 1.5).tanh()
        y.retain_grad()
        (y * y).sum().backward()

    def function() -> None:
        (Square.apply(x * 1.5) * x).sum().backward()

    def looked() -> None:
        y = (x * 1.5).tanh()
        if y.sum() > 0:
            y = y * 0.5
        (y * y).sum().backward()

    def rows() -> None:
        y = (x * 1.5).tanh()
        for i in range(6):
            jitgrad.autograd.grad(y[i], x, retain_graph=True)

    def second() -> None:
        g, = jitgrad.autograd.grad((x * 1.5).tanh().sum(), x, create_graph=True)
        (g * g).sum().backward()

    for f in (hooked, retained, function, looked, rows, second):
        for _ in range(4):
            f()
        before = counters()
        for _ in range(6):
            f()
        after = counters()
        assert (after.compilations, after.disk_hits, after.interpreted) == (before.compilations, before.disk_hits, 0)


def tree(rng: np.random.Generator, depth: int, leaves: list[Any]) -> Any:
    if depth == 0:
        return leaves[int(rng.integers(len(leaves)))]
    a = tree(rng, depth - 1, leaves)
    kind = int(rng.integers(5))
    if kind < 3:
        return (jitgrad.cos(a), jitgrad.sigmoid(a) * 0.7, a / (1.0 + a * a))[kind]
    b = tree(rng, depth - 1, leaves)
    return a * 0.5 + b if kind == 3 else a * b


def test_structures_that_do_not_come_again_are_interpreted(counters: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PATIENCE", 3)

    def backward(seed: int) -> np.ndarray:
        x, y = [jitgrad.tensor(np.array([0.3, 0.4 + k]), dtype=jitgrad.float64, requires_grad=True) for k in range(2)]
        (tree(np.random.default_rng(seed), 5, [x, y]) + x * y).sum().backward()
        return x.grad.numpy() + y.grad.numpy()

    first = [backward(seed) for seed in range(7)]
    assert counters().compilations + counters().disk_hits == 3 and counters().interpreted == 4
    again = [backward(seed) for seed in range(7)]              # those that were compiled return; the others are compiled now
    assert counters().interpreted == 4 and counters().compilations + counters().disk_hits == 7
    np.testing.assert_allclose(first, again, rtol=1e-10)


def test_lengths_share_the_programs_of_segments(counters: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PATIENCE", 2)
    w = jitgrad.tensor(np.eye(3) * 0.5, dtype=jitgrad.float64, requires_grad=True)

    def backward(length: int) -> np.ndarray:
        w.grad = None
        h = jitgrad.zeros(3, dtype=jitgrad.float64)
        for k in range(length):
            h = jitgrad.tanh(w @ h + 0.1 * k)
        (h * h).sum().backward()
        return w.grad.numpy()

    for length in range(20, 32):
        got = backward(length)
        with jitgrad.interpret():
            np.testing.assert_allclose(got, backward(length), rtol=1e-9)
    before = counters().compilations + counters().disk_hits
    for length in range(32, 44):
        backward(length)
    assert counters().compilations + counters().disk_hits <= before + 3


def test_what_there_was_eight_times_is_gone() -> None:
    engine = importlib.import_module("jitgrad.autograd.reverse.engine")
    for name in ("_straight", "_Stations", "_interpret", "_evaluate", "_by_stations"):
        assert not hasattr(engine, name)
    for module in ("jitgrad.executor", "jitgrad.walk", "jitgrad.programs", "jitgrad.look_ahead", "jitgrad.compiler.stretches",
                   "jitgrad.operators.recipes", "jitgrad.operators.native.tapes"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(module)


def test_rows_of_a_jacobian_begin_from_the_values_that_are_kept() -> None:
    """Whatever is recognised first: what is known is not computed again."""
    x = jitgrad.tensor([0.1, 0.2, 0.3], requires_grad=True)
    policy.unreturned.clear()                 # those of other tests
    for _ in range(3):
        y = jitgrad.tanh(x * 1.5)
        rows = [jitgrad.autograd.grad(y[i], x, retain_graph=True)[0].tolist() for i in range(3)]
    y = jitgrad.tanh(x * 1.5)
    assert jitgrad.autograd.grad(y[0], x, retain_graph=True)[0].tolist() == rows[0]
    y._current().value = np.zeros(3, np.float32)
    assert jitgrad.autograd.grad(y[1], x, retain_graph=True)[0].tolist() == [0, 1.5, 0]


def test_what_was_learnt_first_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it knows, for which it is tried first."""
    monkeypatch.setattr(gradients, "MAX_PATTERNS", 2)
    x = jitgrad.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], requires_grad=True)
    x.sum()._current().spec.patterns = ()       # those of other tests

    def known(f: Callable, look: bool) -> list[int]:
        for _ in range(3):
            y = f(x * 1.5)
            if look:
                y.tolist()
            root = (y * y).sum()
            root.backward()
        return [len(p.known) for p in root._current().spec.patterns if p.kind == gradients.PLAIN]

    assert known(jitgrad.tanh, True) == [2] and known(jitgrad.tanh, False) == [2, 0]
    assert known(jitgrad.sin, False) == [0, 0]


def test_structures_that_seldom_come_again_are_not_compiled(counters: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PATIENCE", 1)

    def backward(seed: int) -> None:
        x, y = [jitgrad.tensor(np.array([0.3, 0.4 + k]), dtype=jitgrad.float64, requires_grad=True) for k in range(2)]
        (tree(np.random.default_rng(seed), 6, [x, y]) + x * y).sum().backward()

    for seed in range(40):
        backward(seed)
    backward(5)
    assert counters().compilations + counters().disk_hits == 1
    for _ in range(1 + 2 * (40 // schedule_cache.NOVEL)):
        backward(5)
    assert counters().compilations + counters().disk_hits == 2


def test_interpreted_gradients_record_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = jitgrad.tensor([0.3, 0.4], requires_grad=True)

    def backward() -> np.ndarray:
        x.grad = None
        ((x * 2).tanh() * x.exp() / (1 + x * x)).sum().backward()
        return x.grad.numpy()

    with jitgrad.interpret():
        first = backward()
        monkeypatch.setattr(Op, "__call__", None)
        monkeypatch.setattr(interpret, "_pullback", None)
        np.testing.assert_array_equal(backward(), first)


class Sometimes(jitgrad.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, gives: bool) -> Any:
        ctx.gives = gives
        return x * 2 + w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2, (g if ctx.gives else None), None


def test_functions_whose_gradients_vary_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [0]
    line = bound._Linearizer.line

    def counting(self: Any) -> Any:
        made[0] += 1
        return line(self)

    monkeypatch.setattr(bound._Linearizer, "line", counting)
    rng = np.random.default_rng(3)
    policy.unreturned.clear()         # those of other tests
    for _ in range(12):
        x, w = [jitgrad.tensor(v, dtype=jitgrad.float64, requires_grad=True) for v in (0.5, 0.25)]
        gives = [bool(b) for b in rng.random(30) < 0.5]
        y = x * 1.0
        for b in gives:
            y = Sometimes.apply(y.tanh() * 0.1, w * 0.1, b)
        y.backward()
        with jitgrad.interpret():
            u, v = [jitgrad.tensor(value, dtype=jitgrad.float64, requires_grad=True) for value in (0.5, 0.25)]
            y = u * 1.0
            for b in gives:
                y = Sometimes.apply(y.tanh() * 0.1, v * 0.1, b)
            y.backward()
        assert x.grad.item() == pytest.approx(u.grad.item(), rel=1e-9)
        assert w.grad is None or w.grad.item() == pytest.approx(v.grad.item(), rel=1e-9)
    assert made[0] < 60


def test_a_loss_that_is_looked_at_first_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = [0]

    def counting(*args: Any, **kwargs: Any) -> Any:
        captured[0] += 1
        return capture(*args, **kwargs)

    capture = execute.capture
    monkeypatch.setattr(execute, "capture", counting)
    monkeypatch.setattr(gradients, "capture", counting)
    policy.unreturned.clear()
    for behind in (False, True):
        for i in range(16):
            x = jitgrad.tensor([0.5, 0.25], requires_grad=True)
            y = x * 3.0
            for _ in range(6):
                y = (y * 0.7).sin() + 0.3
            loss = (Doubled.apply(y).cos().exp().tanh().sin() if behind else y).sum()
            loss.item()
            loss.backward()
            if i == 10:
                captured[0] = 0
        assert captured[0] <= (5 if behind else 0)      # a Function's values are asked for, too
        assert len(policy.unreturned) == 0


def test_what_is_saved_may_be_an_output_without_gradient() -> None:
    class Mask(jitgrad.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            mask = a > 0
            ctx.save_for_backward(mask)
            ctx.mark_non_differentiable(mask)
            return a * 2, mask

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            mask, = ctx.saved_tensors
            return g * mask

    x = jitgrad.tensor([-1.0, 2.0], requires_grad=True)
    Mask.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_a_gradient_that_is_kept_is_not_written_to() -> None:
    x, w = [jitgrad.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [0.5, -0.5])]
    y = x * w
    y.retain_grad()
    g, = jitgrad.autograd.grad((y * y * y).sum(), w, create_graph=True)
    first = y.grad
    z = y + 0.1 * g
    jitgrad.autograd.grad(z[0], w, retain_graph=True)
    assert first.tolist() == [0.75, 3.0 * 1.0]
    assert y.grad is not first
    (z * z).sum().backward()
    assert w.grad is not None
