"""compile, value_and_grad, grad: results are those of the function, nothing is stale, and what runs is counted."""
from __future__ import annotations

import functools
import gc
import subprocess
import sys
import threading
import time
import types
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from together import together

import jitgrad as torch
from jitgrad import nn, ops
from jitgrad.operators.declaration import declare
from jitgrad.requests import counters

X = torch.tensor([0.5, -1.0, 2.0])
SCALE = 2.0
CONFIG = {"power": 2, "shift": 0.25}
HISTORY: list = []
COUNT = 0


pytestmark = pytest.mark.usefixtures("default_float64")


def captures(f):
    return f._jitgrad_compiled.captures


def replays(f):
    return f._jitgrad_compiled.hits


def replayed(f):
    """Whether the newest capture is replayed."""
    return f._jitgrad_compiled.replays[0].template is not None


def leaf(*values):
    return torch.tensor(list(values), requires_grad=True)


def gradient(f, x, *args):
    x.grad = None
    loss = f(x, *args)
    loss.backward()
    return loss.item(), x.grad.tolist()


def same(f, x, *args):
    """The compiled function gives what the function gives, at the first and later calls."""
    compiled = torch.compile(f)
    want = gradient(f, x, *args)
    for _ in range(3):
        got = gradient(compiled, x, *args)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-12)
    return compiled


# -- results ---------------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "elementwise": lambda x: (x * 1.5 + 0.1).tanh().sum(),
    "views": lambda x: (x[1:] * x[:-1]).sum() + x.reshape(1, -1).T.sum(),
    "detach": lambda x: (x * x.detach()).sum(),
    "constants": lambda x: (x * torch.tensor([1.0, 2.0, 3.0]) + torch.ones(3)).sum(),
    "no_grad": lambda x: (x * x).sum() + _without(x),
    "in_place": lambda x: _filled(x).sum(),
    "loop": lambda x: functools.reduce(lambda a, _: a * 0.5 + a.sin(), range(5), x).sum(),
    "max": lambda x: x.max() + x.max(dim=0)[0],
    "index": lambda x: x[torch.tensor([0, 2, 0])].sum(),
    "gradient": lambda x: (torch.autograd.grad((x ** 3).sum(), x, create_graph=True)[0] ** 2).sum(),
    "global": lambda x: (x * X * SCALE).sum() + CONFIG["shift"] * (x ** CONFIG["power"]).sum(),
}


def _without(x):
    with torch.no_grad():
        return (x * 2).exp().sum()


def _filled(x):
    y = torch.zeros(3)
    y[0] = x[1]
    y[1:] = x[:2] * 2
    y += 1
    return y * y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_results_by_replay(name):
    compiled = same(FUNCTIONS[name], leaf(0.3, -0.7, 1.1))
    assert (captures(compiled), replays(compiled)) == (1, 2), torch.explain(compiled)
    assert replayed(compiled), torch.explain(compiled)


def test_backward_is_one_run_and_shapes_and_values_compile_nothing():
    f = torch.compile(lambda x, a: (x * a).exp().sum())
    gradient(f, leaf(1.0, 2.0), 0.1)
    gradient(f, leaf(1.0, 2.0), 0.1)
    before = counters.stats.compilations, counters.stats.disk_hits, counters.stats.memory_hits
    gradient(f, leaf(3.0, 4.0), 0.1)
    assert counters.stats.memory_hits == before[2] + 1
    gradient(f, leaf(3.0, 4.0), 0.2)
    gradient(f, leaf(3.0, 4.0, 5.0), 0.3)
    assert (counters.stats.compilations, counters.stats.disk_hits) == before[:2]


def test_floats_become_inputs_when_they_change():
    f = torch.compile(lambda x, lr, o: (x * (lr * 2 + 1) - o["b"] / lr).sum())
    for i in range(6):
        lr = 0.1 * (i + 1)
        assert f(leaf(1.0, 2.0), lr, {"b": 0.5}).item() == pytest.approx(3 * (lr * 2 + 1) - 1 / lr)
    assert (captures(f), replays(f)) == (2, 4)
    assert f(leaf(1.0, 2.0), 0.5, {"b": 0.75}).item() == pytest.approx(3.0 * 2 - 3)


def test_a_float_that_is_looked_at_is_guarded():
    f = torch.compile(lambda x, a: (x * a).sum() if a > 1 else (x + a).sum())
    x = leaf(1.0, 2.0)
    assert [f(x, a).item() for a in (0.5, 2.0, 0.25, 4.0, 3.0)] == [4.0, 6.0, 3.5, 12.0, 9.0]


def test_a_branch_on_a_value_is_compared():
    f = torch.compile(lambda x: (x * 2).sum() if x.sum() > 0 else (x * 3).sum())
    for x in (leaf(1.0, 2.0), leaf(-1.0, -2.0), leaf(2.0, 2.0), leaf(-3.0, 1.0)):
        assert gradient(f, x)[1] == ([2.0, 2.0] if x.sum().item() > 0 else [3.0, 3.0])
    assert (captures(f), replays(f)) == (2, 2)


def test_a_float_read_from_a_tensor():
    f = torch.compile(lambda x: (x * x.detach().sum().item()).sum())
    for values in ((1.0, 2.0), (1.0, 2.0), (3.0, 4.0)):
        assert gradient(f, leaf(*values))[1] == [sum(values)] * 2


def test_positions_are_checked():
    f = torch.compile(lambda x, i: (x[i] ** 2).sum())
    x = leaf(1.0, 2.0, 3.0)
    for i in ([0, 1], [1, 2], [2, 2]):
        assert f(x, torch.tensor(i)).item() == sum([(k + 1.0) ** 2 for k in i])
    assert captures(f) == 1
    with pytest.raises(IndexError):
        f(x, torch.tensor([0, 3]))


def test_outputs_of_all_kinds():
    def f(x, y):
        h = x * y
        return {"h": h, "pair": (h.sum(), [x, None, "name", 3]), "again": h, "constant": torch.zeros(2), "y": y}
    g = torch.compile(f)
    x, y = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    for _ in range(3):
        r = g(x, y)
        assert r["h"].tolist() == [3.0, 8.0] and r["h"] is r["again"] and r["y"] is y
        assert r["pair"][1] == [x, None, "name", 3] and r["pair"][1][0] is x
        assert r["constant"].tolist() == [0.0, 0.0] and not r["constant"].requires_grad
        r["constant"][0] = 7.0
        x.grad = None
        r["pair"][0].backward(retain_graph=True)
        assert x.grad.tolist() == [3.0, 4.0]
        (r["h"] * 2).sum().backward()
        assert x.grad.tolist() == [9.0, 12.0]
    assert (captures(g), replays(g)) == (1, 2)


def test_a_result_behaves_as_if_it_had_been_recorded():
    f = torch.compile(lambda x: (x * x).sum())
    x = leaf(1.0, 2.0)
    f(x)
    loss = f(x)
    assert loss.shape == () and loss.dtype is torch.float64 and loss.requires_grad and not loss.is_leaf
    assert type(loss.grad_fn).__name__ == "SumBackward0"
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    loss = f(x)
    seen = []
    loss.register_hook(lambda g: seen.append(g.item()))
    loss.retain_grad()
    loss.backward()
    assert seen == [1.0] and loss.grad.item() == 1.0
    loss = f(x)
    loss.backward(retain_graph=True)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    loss = f(x)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    assert loss.item() == 5.0 and loss.detach().item() == 5.0
    loss = f(x)
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_looking_before_backward_runs_the_joint_program_once():
    f = torch.compile(lambda x: (x * x).sum())
    x = leaf(1.0, 2.0)
    gradient(f, x)
    gradient(f, x)
    x.grad = None
    loss = f(x)
    before = counters.stats.memory_hits
    assert loss.item() == 5.0
    loss.backward()
    assert counters.stats.memory_hits == before + 1 and x.grad.tolist() == [2.0, 4.0]


def test_hooks_on_leaves_and_accumulation():
    f = torch.compile(lambda x: (x * x).sum())
    x = leaf(1.0, 2.0)
    f(x).backward()
    f(x).backward()
    assert x.grad.tolist() == [4.0, 8.0]
    x.register_hook(lambda g: g * 10)
    x.grad = None
    f(x).backward()
    assert x.grad.tolist() == [20.0, 40.0]


def test_arguments_with_a_history():
    f = torch.compile(lambda y: (y * y).sum())
    for _ in range(3):
        x = leaf(1.0, 2.0)
        f(x * 3).backward()
        assert x.grad.tolist() == [18.0, 36.0]
    assert (captures(f), replays(f)) == (1, 2)


def test_the_same_tensor_twice():
    f = torch.compile(lambda a, b: (a * b).sum())
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for a, b, want in ((x, y, [3.0, 4.0]), (x, x, [2.0, 4.0]), (x, y, [3.0, 4.0]), (x, x, [2.0, 4.0])):
        x.grad = None
        f(a, b).backward()
        assert x.grad.tolist() == want


def test_without_grad_mode():
    f = torch.compile(lambda x: x * X)
    x = leaf(1.0, 2.0, 3.0)
    for _ in range(3):
        with torch.no_grad():
            y = f(x)
        assert not y.requires_grad and y.tolist() == [0.5, -2.0, 6.0]
    assert f(x).requires_grad
    assert captures(f) == 2


def test_a_name_that_is_imported_when_it_is_first_named():
    """In a process of its own, where nobody has named it before."""
    program = ("import jitgrad as torch\n"
               "f = torch.compile(lambda x: (x * torch.finfo(torch.float32).eps).sum(), strict=True)\n"
               "for _ in range(3):\n"
               "    x = torch.ones(3, requires_grad=True); f(x).backward()\n"
               "print(x.grad.tolist() == [2**-23] * 3)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_arrays_are_not_kept():
    import gc
    import weakref
    f = torch.compile(lambda x: (x * x).sum())
    f(leaf(1.0)).backward()
    x = leaf(1.0, 2.0)
    f(x).backward()
    loss = f(x)
    loss.backward()
    node = weakref.ref(x._current())
    with torch.no_grad():
        x.mul_(2)
    gc.collect()
    assert node() is None and loss.item() == 5.0


# -- never stale -----------------------------------------------------------------------------------------------------

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.power = 2
        self.factors = [1.0, 2.0]

    def forward(self, x):
        h = self.linear(x) ** self.power * self.factors[1]
        return h.sum() if self.training else h.mean()


class TestNeverStale:
    def check(self, f, change, x=None, changes=True):
        """f, replayed, notices a change."""
        x = leaf(0.3, -0.7, 1.1) if x is None else x
        compiled = torch.compile(f)
        for _ in range(3):
            before = compiled(x).item()
            assert before == pytest.approx(f(x).item())
        assert replayed(compiled) and replays(compiled) == 2, torch.explain(compiled)
        change()
        for _ in range(3):
            after = compiled(x).item()
            assert after == pytest.approx(f(x).item())
        assert (after != before) == changes
        return compiled

    def test_global_number(self, monkeypatch):
        self.check(lambda x: (x * SCALE).sum(), lambda: monkeypatch.setitem(globals(), "SCALE", 3.0))

    def test_signed_zero(self):
        at = [0.0]
        self.check(lambda x: (x.detach().abs().sum() / torch.tensor(at[0])), lambda: at.__setitem__(0, -0.0))

    def test_global_tensor_replaced_and_written(self, monkeypatch):
        monkeypatch.setitem(globals(), "X", torch.tensor([1.0, 2.0, 3.0]))
        f = self.check(lambda x: (x * X * 2).sum(), lambda: X.mul_(3))
        assert captures(f) == 1
        g = self.check(lambda x: (X * 2).exp().sum() * x.sum(), lambda: globals().update(X=torch.tensor([1.0, 1.0, 1.0])))
        assert captures(g) == 1

    def test_global_dict_and_list(self, monkeypatch):
        monkeypatch.setitem(globals(), "CONFIG", {"power": 2, "inner": [1.0, {"a": 2.0}]})
        self.check(lambda x: (x ** CONFIG["power"]).sum(), lambda: CONFIG.update(power=3))
        self.check(lambda x: (x * CONFIG["inner"][1]["a"]).sum(), lambda: CONFIG["inner"][1].update(a=5.0))
        self.check(lambda x: sum([(x * v).sum() for v in CONFIG["inner"][:1]]), lambda: CONFIG["inner"].__setitem__(0, 7.0))

    def test_closure(self):
        scale = 2.0
        inner = {"s": 1.0}

        def change():
            nonlocal scale
            scale = 4.0
        self.check(lambda x: (x * scale).sum(), change)
        self.check(lambda x: (x * inner["s"]).sum(), lambda: inner.update(s=3.0))

    def test_called_function(self):
        def helper(x, k=2.0):
            return x * k
        self.check(lambda x: helper(x).sum(), lambda: setattr(helper, "__defaults__", (5.0,)))
        space = types.SimpleNamespace(f=lambda x: x * 2)
        self.check(lambda x: space.f(x).sum(), lambda: setattr(space, "f", lambda x: x * 3))

        def other(x, k=2.0):
            return x - k
        self.check(lambda x: helper(x).sum(), lambda: setattr(helper, "__code__", other.__code__))

    def test_object_attribute(self):
        class Model:
            rate = 2.0

            def __init__(self):
                self.w = torch.tensor([1.0, 2.0, 3.0])
                self.inner = types.SimpleNamespace(b=1.0)

            @property
            def twice(self):
                return self.rate * 2

            def __call__(self, x):
                return (self.w * x * self.twice + self.inner.b).sum()
        model = Model()
        self.check(lambda x: model(x), lambda: setattr(model.inner, "b", 4.0))
        self.check(lambda x: model(x), lambda: setattr(model, "w", torch.tensor([1.0, 1.0, 1.0])))
        self.check(lambda x: model(x), lambda: setattr(Model, "rate", 7.0))
        self.check(model.__call__, lambda: setattr(model, "rate", 9.0))
        self.check(model, lambda: setattr(Model, "__call__", lambda self, x: x.sum()))

    def test_module(self):
        for change in (lambda m: m.linear.weight.data.mul_(2), lambda m: m.eval(), lambda m: setattr(m, "power", 3),
                       lambda m: m.factors.__setitem__(1, 5.0),
                       lambda m: setattr(m.linear, "weight", nn.Parameter(torch.ones(2, 3))),
                       lambda m: setattr(m, "linear", nn.Linear(3, 2)),
                       lambda m: setattr(m.linear, "bias", None),
                       lambda m: m.linear.register_forward_hook(lambda m, a, r: r * 3)):
            m = Net()
            self.check(lambda x, m=m: m(x), lambda m=m, change=change: change(m))
            m = Net()
            self.check(m, lambda m=m, change=change: change(m))

    def test_requires_grad_of_a_parameter(self):
        m = Net()
        f = torch.compile(m)
        x = torch.ones(3)
        f(x)
        f(x).backward()
        assert m.linear.weight.grad is not None
        for p in m.parameters():
            p.requires_grad_(False)
        assert not f(x).requires_grad

    def test_default_dtype_and_modes(self):
        f = torch.compile(lambda x: x.sum() + torch.ones(2))
        x = leaf(1.0)
        assert f(x).dtype is torch.float64 and f(x).dtype is torch.float64
        torch.set_default_dtype(torch.float32)
        assert f(torch.ones(1)).dtype is torch.float32
        torch.set_default_dtype(torch.float64)
        before = counters.stats.interpreted
        with torch.interpret():
            f(x).sum().backward()
        assert counters.stats.interpreted == before + 1

    def test_module_attribute(self):
        space = types.ModuleType("user_settings")
        space.rate = 2.0
        self.check(lambda x: (x * space.rate).sum(), lambda: setattr(space, "rate", 3.0))

    def test_computed_names(self):
        space = types.SimpleNamespace(a0=1.0, a1=2.0)
        self.check(lambda x: sum([(x * getattr(space, f"a{i}")).sum() for i in range(2)]), lambda: setattr(space, "a1", 7.0))

    def test_arguments_by_value(self):
        f = torch.compile(lambda x, n, mode, flag: (x * n).sum() if mode == "a" and flag else (x + n).sum())
        x = leaf(1.0, 2.0)
        for n, mode, flag in ((2, "a", True), (3, "a", True), (2, "b", True), (2, "a", False), (2, "a", 1), (2.0, "a", True)) * 2:
            want = 3 * n if mode == "a" and flag else 3 + 2 * n
            assert f(x, n, mode, flag).item() == want
        f = torch.compile(lambda d: sum([v.sum() * i for i, v in enumerate(d.values())]))
        assert f({"a": x, "b": x}).item() == 3 and f({"b": x, "a": x * 2}).item() == 6
        assert f({"a": x, "b": x * 5}).item() == 15

    def test_order_of_keys(self):
        f = torch.compile(lambda d: functools.reduce(lambda a, k: a * 2 + d[k].sum(), d, torch.zeros(())))
        x, y = leaf(1.0), leaf(10.0)
        assert [f({"a": x, "b": y}).item(), f({"b": y, "a": x}).item(), f({"a": x, "b": y}).item()] == [12.0, 21.0, 12.0]


# -- not replayed ----------------------------------------------------------------------------------------------------

def _side_effect(x):
    HISTORY.append(1)
    return x.sum()


def _counter(x):
    global COUNT
    COUNT += 1
    return x.sum() * COUNT


def _state(x, state={"n": 0}):          # noqa: B006
    state["n"] += 1
    return x.sum() * state["n"]


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


GENERATOR = np.random.default_rng(0)

RECORDED = {
    "random": (lambda x: (x * torch.poisson(torch.ones(3))).sum(), "random"),
    "random values": (lambda x: (x if torch.rand(()) < 0.5 else -x).sum(), "values of random numbers"),
    "seed": (lambda x: (x * torch.rand(3, generator=torch.manual_seed(3))).sum(), "seeds a random generator"),
    "numpy random": (lambda x: x.sum() * GENERATOR.random(), "GENERATOR"),
    "append": (_side_effect, "HISTORY"),
    "global": (_counter, "COUNT"),
    "defaults": (_state, "defaults"),
    "print": (lambda x: (print(end=""), x.sum())[1], "print"),
    "function": (lambda x: _Square.apply(x).sum(), "Function"),
    "hook": (lambda x: _hooked(x).sum(), "hook"),
    "in place": (lambda x: X.add_(1).sum() * x.sum(), "writes"),
    "time": (lambda x: x.sum() * time.time(), "time"),
}


def _hooked(x):
    y = x * 2
    y.register_hook(lambda g: g * 2)
    return y


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_on_each_call_and_why(name, monkeypatch):
    monkeypatch.setitem(globals(), "X", torch.tensor([1.0, 2.0, 3.0]))
    function, word = RECORDED[name]
    f = torch.compile(function)
    x = leaf(1.0, 2.0, 3.0)
    for _ in range(3):
        f(x).backward()
    text = torch.explain(f)
    assert not replayed(f) and word in text and ("test_capture.py" in text or "changes" in text)
    assert captures(f) == (3 if "changes" in torch.explain(f) else 1)
    with pytest.raises(RuntimeError, match=word):
        torch.compile(function, strict=True)(x)


def test_effects_happen_on_each_call():
    seen = []
    f = torch.compile(lambda x: (seen.append(x.shape), x.sum())[1])
    for _ in range(4):
        f(leaf(1.0))
    assert len(seen) == 4
    state = types.SimpleNamespace(last=None, n=0)

    def g(x):
        state.last = x * 2
        state.n += 1
        return x.sum()
    f = torch.compile(g)
    for i in range(4):
        f(leaf(float(i)))
        assert state.last.tolist() == [2.0 * i] and state.n == i + 1


def test_a_tensor_that_is_replaced():
    state = [torch.zeros(())]

    def f(x):
        state[0] = state[0] + x.sum().detach()
        return x.sum() * state[0]
    g = torch.compile(f)
    assert [g(leaf(1.0, 2.0)).item() for _ in range(4)] == [9.0, 18.0, 27.0, 36.0]


def test_gradients_inside():
    def f(x):
        (g,) = torch.autograd.grad((x ** 3).sum(), x)
        return (g * x).sum()
    same(f, leaf(1.0, 2.0))
    assert replayed(same(f, leaf(1.0, 2.0)))


def test_effects_on_arguments():
    def f(d, out):
        d["y"] = d["x"] * 2
        out.append(d["x"])
        return d["y"].sum()
    g = torch.compile(f)
    out = []
    for i in range(3):
        d = {"x": leaf(float(i))}
        g(d, out)
        assert d["y"].tolist() == [2.0 * i] and len(out) == i + 1
    h = torch.compile(lambda x: x.add_(1).sum())
    x = torch.tensor([1.0, 2.0])
    assert [h(x).item() for _ in range(3)] == [5.0, 7.0, 9.0]


def test_changing_state_does_not_capture_for_ever():
    state = {"n": 0}
    f = torch.compile(lambda x: x.sum() * state["n"])
    x = leaf(1.0)
    for i in range(200):
        state["n"] = i
        assert f(x).item() == i
    assert captures(f) <= 64 and "no longer captured" in torch.explain(f)


def test_a_cache_that_is_filled_once():
    cache = {}

    def f(x):
        if "w" not in cache:
            cache["w"] = torch.ones(2) * 3
        return (x * cache["w"]).sum()
    g = torch.compile(f)
    x = leaf(1.0, 2.0)
    assert [g(x).item() for _ in range(4)] == [9.0] * 4 and replayed(g)
    cache["w"] = torch.ones(2)
    assert g(x).item() == 3.0


def test_numpy_arrays_are_guarded_by_contents():
    table = np.array([1.0, 2.0])
    f = torch.compile(lambda x, a: (x * torch.tensor(a) * torch.tensor(table)).sum())
    x = leaf(1.0, 1.0)
    a = np.array([1.0, 1.0])
    assert [f(x, a).item() for _ in range(3)] == [3.0] * 3 and (captures(f), replays(f)) == (1, 2)
    a[0] = 2.0
    assert f(x, a).item() == 4.0
    table[1] = 5.0
    assert f(x, a).item() == 7.0
    large = torch.compile(lambda x, a: x.sum() * a.shape[0])
    large(x, np.zeros(100_000))
    assert "NumPy array" in torch.explain(large)


# -- interface -------------------------------------------------------------------------------------------------------

def test_decorator_and_options():
    @torch.compile(fullgraph=True, dynamic=False, mode="max-autotune")
    def f(x):
        """Doc."""
        return x.sum()

    @torch.compile
    def g(x):
        return f(x) * 2
    assert f.__name__ == "f" and f.__doc__ == "Doc."
    x = leaf(1.0, 2.0)
    assert [g(x).item() for _ in range(3)] == [6.0] * 3 and replayed(g)
    assert torch.compile(f) is f
    assert torch.compile(abs, disable=True) is abs
    with pytest.raises(TypeError, match="generator"):
        torch.compile(lambda: (yield))
    with pytest.raises(TypeError, match="expected a function"):
        torch.compile(3)


def test_errors_reach_the_caller():
    def f(x, n):
        if n > 2:
            raise KeyError("mine")
        return (x @ torch.ones(n)).sum()
    g = torch.compile(f)
    x = leaf(1.0, 2.0)
    with pytest.raises(KeyError, match="mine"):
        g(x, 3)
    assert g(x, 2).item() == 3.0
    with pytest.raises(RuntimeError):
        g(x, 1)
    with pytest.raises(TypeError):
        g(x)
    assert x._current().depth == 0 and type(x._current().value) is np.ndarray


def test_recursion_and_threads():
    @torch.compile
    def f(x, n):
        return x.sum() if n == 0 else f(x * 2, n - 1)
    x = leaf(1.0, 2.0)
    assert [f(x, 3).item() for _ in range(2)] == [24.0, 24.0]
    g = torch.compile(lambda x: (x * x).sum())

    def work(k):
        for i in range(50):
            y = leaf(float(k), float(i))
            loss = g(y)
            loss.backward()
            assert loss.item() == k * k + i * i and y.grad.tolist() == [2.0 * k, 2.0 * i]
    together(work, range(4))


def test_a_function_may_wait_for_a_thread_that_captures():
    inner = torch.compile(lambda x: x.sum() * 2)

    def f(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(inner(x).item()))
        thread.start()
        thread.join(20)
        return x.sum() * found[0]
    g = torch.compile(f)
    assert [g(leaf(1.0, 2.0)).item() for _ in range(3)] == [18.0] * 3


def test_a_compiled_module_is_a_module():
    m = Net()
    c = torch.compile(m)
    assert isinstance(c, Net) and list(c.state_dict()) == list(m.state_dict())
    optimizer = torch.optim.SGD(c.parameters(), lr=0.1)
    plain = Net()
    plain.load_state_dict(m.state_dict())
    other = torch.optim.SGD(plain.parameters(), lr=0.1)
    x = torch.tensor([1.0, 2.0, 3.0])
    for _ in range(5):
        losses = []
        for model, o in ((c, optimizer), (plain, other)):
            o.zero_grad()
            loss = model(x)
            loss.backward()
            o.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert (captures(c), replays(c)) == (1, 4)
    c.eval()
    assert not m.training


# -- value_and_grad --------------------------------------------------------------------------------------------------

def test_value_and_grad_of_arrays_floats_and_tensors():
    f = torch.value_and_grad(lambda x: (x ** 3).sum())
    a = np.array([1.0, 2.0])
    for _ in range(3):
        v, g = f(a)
        assert type(v) is np.float64 and v == 9.0 and type(g) is np.ndarray and g.tolist() == [3.0, 12.0]
        v, g = f(2.0)
        assert v == 8.0 and type(g) is float and g == 12.0
        v, g = f(torch.tensor([1.0, 2.0]))
        assert isinstance(v, torch.Tensor) and g.tolist() == [3.0, 12.0] and not v.requires_grad
    assert f(np.asfortranarray(np.ones((2, 3))).T[::-1])[1].tolist() == [[3.0] * 2] * 3
    assert f(np.ones(2, np.float32))[1].dtype == np.float32
    g[0] = 0
    with pytest.raises(TypeError):
        f(np.array([1, 2]))
    with pytest.raises(TypeError):
        f(torch.tensor([1, 2]))


def test_value_and_grad_trees_argnums_and_aux():
    def f(p, x, *, scale=1.0):
        y = x @ p["w"] + p["b"][0]
        return (y ** 2).sum() * scale, {"y": y, "name": "n"}
    w, b, x = np.array([1.0, 2.0]), np.array(0.5), np.ones((3, 2))
    for _ in range(3):
        (v, aux), (g, h) = torch.value_and_grad(f, argnums=(0, 1), has_aux=True)({"w": w, "b": [b, np.zeros(2)]}, x, scale=2.0)
        assert v == pytest.approx(73.5) and aux["y"].tolist() == [3.5] * 3 and aux["name"] == "n"
        np.testing.assert_allclose(g["w"], [42.0, 42.0])
        assert g["b"][0] == pytest.approx(42.0) and g["b"][1].tolist() == [0.0, 0.0]
        np.testing.assert_allclose(h, [[14.0, 28.0]] * 3)
    k = torch.grad(f, has_aux=True)
    for _ in range(3):
        gradient, aux = k({"w": torch.tensor(w), "b": (1.0,)}, torch.tensor(x))
        np.testing.assert_allclose(gradient["w"].numpy(), [24.0, 24.0])
        assert gradient["b"][0] == pytest.approx(24.0)


def test_gradients_of_gradients_and_outer_parameters():
    third = torch.grad(torch.grad(torch.grad(lambda x: x ** 4)))
    assert [third(2.0), third(3.0)] == [48.0, 72.0]
    w = leaf(2.0)
    f = torch.value_and_grad(lambda x: (w * x * x).sum())
    for _ in range(2):
        w.grad = None
        v, g = f(torch.tensor([3.0]))
        (v + g.sum()).backward()
        assert w.grad.tolist() == [15.0]


def test_value_and_grad_refuses():
    with pytest.raises(RuntimeError, match="one element"):
        torch.grad(lambda x: x * 2)(np.ones(3))
    with pytest.raises(RuntimeError, match="returned a float"):
        torch.grad(lambda x: 2.0)(np.ones(3))
    with pytest.raises(TypeError, match="argnums"):
        torch.grad(lambda x: x, argnums=1)(1.0)


def test_value_and_grad_keeps_nothing_and_sees_new_values():
    scale = [1.0]
    f = torch.value_and_grad(lambda x: (x * scale[0]).sum())
    a = np.array([1.0, 2.0])
    assert f(a)[0] == 3.0
    a[0] = 5.0
    assert f(a)[0] == 7.0
    scale[0] = 2.0
    assert f(a)[0] == 14.0
    import sys
    before = sys.getrefcount(a)
    f(a)
    assert sys.getrefcount(a) == before


def test_random_functions_are_not_frozen():
    f = torch.value_and_grad(lambda x: (x * torch.rand(())).sum())
    assert len({float(f(1.0)[0]) for _ in range(4)}) == 4


# -- trees -----------------------------------------------------------------------------------------------------------

leaves = st.one_of(st.floats(-2, 2), st.integers(-3, 3), st.booleans(), st.none(), st.sampled_from(["a", "b"]),
                   st.lists(st.floats(-2, 2), min_size=1, max_size=3).map(torch.tensor))
trees = st.recursive(leaves, lambda t: st.one_of(
    st.lists(t, max_size=3), st.tuples(t, t), st.dictionaries(st.sampled_from(["x", "y", 1]), t, max_size=3)), max_leaves=8)


def _total(tree, weight=1.0):
    if isinstance(tree, dict):
        return sum([_total(v, weight * (2 + i)) for i, v in enumerate(tree.values())])
    if isinstance(tree, (list, tuple)):
        return sum([_total(v, weight + i) for i, v in enumerate(tree)])
    if isinstance(tree, torch.Tensor):
        return (tree * weight).sum()
    return len(tree) if isinstance(tree, str) else (tree or 0) * weight


@settings(max_examples=60)
@given(st.lists(trees, min_size=1, max_size=4))
def test_argument_trees(arguments):
    f = torch.compile(lambda x, tree: (x * _total(tree)).sum())
    for tree in arguments * 2:
        x = leaf(1.0, 2.0)
        f(x, tree).backward()
        y = leaf(1.0, 2.0)
        want = (y * _total(tree)).sum()
        if isinstance(want, torch.Tensor):
            want.backward()
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-12, atol=1e-300)


def test_a_float_that_is_divided_by():
    f = torch.compile(lambda x, a: (x * (1 / a)).sum())
    x = leaf(1.0, 2.0)
    assert [f(x, a).item() for a in (1.0, 2.0, 4.0, 8.0)] == [3.0, 1.5, 0.75, 0.375]
    assert captures(f) == 2
    with pytest.raises(ZeroDivisionError):
        f(x, 0.0)


def test_a_garbage_collection_is_not_the_functions():
    seen = []

    def callback(phase, info):
        seen.append((phase, info, id(seen)))        # what a capture would refuse: it changes what it reads

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    try:
        compiled = same(lambda x: (x * x).sum(), leaf(1.0, 2.0))
        assert gc.isenabled() and seen
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(callback)
    assert replayed(compiled), torch.explain(compiled)


# -- what a replay must tell apart -----------------------------------------------------------------------------------

def agree(f, calls):
    """A compiled function gives what the function gives, or raises the same; its state."""
    compiled = torch.compile(f)
    for args in calls:
        try:
            want = f(*args)
        except Exception as error:
            with pytest.raises(type(error)) as found:
                compiled(*args)
            assert str(found.value) == str(error)
        else:
            got = compiled(*args)
            assert got.dtype is want.dtype and got.shape == want.shape
            np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-14)
    return compiled._jitgrad_compiled


class TestTensorsThatAreOne:
    @pytest.mark.parametrize("f", [
        lambda a, b: a * 2 if a is b else a * b,
        lambda a, b: a * len({a: 1, b: 2}) * b,
        lambda a, b: torch.autograd.grad((a * b).sum(), a)[0]])
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_arguments(self, f, order):
        x, y = leaf(1.0, 2.0), leaf(5.0, 6.0)
        pairs = [(x, x), (x, y)]
        agree(f, [pairs[i] for i in order] * 2 + [(y, y)])

    def test_tied_parameters(self):
        m = nn.ModuleList([nn.Linear(2, 2, bias=False) for _ in range(5)])
        f = torch.compile(lambda x: sum([(p * p).sum() for p in m.parameters()]) * x)
        x = torch.tensor(1.0)
        f(x), f(x)
        m[1].weight = m[0].weight
        assert f(x).item() == pytest.approx(sum([(p * p).sum().item() for p in m.parameters()]))


class TestLayouts:
    """Programs are bound to strides, and some functions depend on how a tensor lies in memory."""

    @pytest.mark.parametrize("f", [lambda t: t * 2 + t.T, lambda t: t.view(-1) * 2, lambda t: t * t.stride()[0],
                                   lambda t: t * 2 if t.is_contiguous() else t * 3, lambda t: t * t.storage_offset(),
                                   lambda t: t.reshape(-1) * t.sum()])
    def test_views(self, f):
        wide = torch.arange(18.0).reshape(3, 6)
        views = [wide[:, :3].clone(), wide[:, :3], wide[:, 3:], wide[:, ::2], wide.T[:3], torch.ones(3, 1).expand(3, 3),
                 torch.ones(1, 3).expand(3, 3)]
        for calls in (views * 2, views[::-1], views[3:] + views[:3]):
            agree(f, [(v,) for v in calls])

    def test_gradients(self):
        wide = torch.arange(18.0).reshape(3, 6)
        f = torch.value_and_grad(lambda t: (t * t).sum())
        for v in (wide[:, ::2], torch.ones(3, 1).expand(3, 3), wide.T[:3], wide[:, ::2]) * 2:
            value, gradient = f(v)
            assert value.item() == (v * v).sum().item() and torch.equal(gradient, 2 * v)

    def test_an_address_is_not_guarded(self):
        f = torch.compile(lambda a: a * (a.data_ptr() != 0))
        f(torch.ones(2))
        assert "memory" in torch.explain(f)


NUMBERS = (2.0, 3.0, -1.5, 0.0, -0.0, float("nan"), 2.0)


@pytest.mark.parametrize("f", [
    lambda t, a: t * float(np.sin(a)), lambda t, a: t * float(np.float64(2) * a), lambda t, a: t * float((np.ones(2) * a)[0]),
    lambda t, a: t * float(np.add(np.arange(3), a)[2]), lambda t, a: t * torch.tensor(np.array([a])),
    lambda t, a: t * torch.tensor(a),
    lambda t, a: t * torch.as_tensor([a, 1.0]), lambda t, a: t * (a * True), lambda t, a: t * (True + a),
    lambda t, a: t * (True / a), lambda t, a: t * (a / False), lambda t, a: t * abs(a * 1j), lambda t, a: t * abs(1j - a),
    lambda t, a: t * a.is_integer(), lambda t, a: t * a.real, lambda t, a: t * len(a.hex()),
    lambda t, a: t if type(a) is float else t * 2, lambda t, a: t * float.__add__(a, 1.0), lambda t, a: t * (a + "x"),
    lambda t, a: t * (a * a - 2 * a), lambda t, a: t * len(f"{a:.3f} {a!r}")])
def test_a_float_behaves_as_one_in_a_capture(f):
    with np.errstate(all="ignore"):
        agree(f, [(leaf(1.0, 2.0), a) for a in NUMBERS])


# -- how often there are captures ------------------------------------------------------------------------------------

class TestCapturesAreBounded:
    def test_arguments_that_are_new_at_each_call(self):
        f = torch.compile(lambda x, g: g(x).sum())
        x = leaf(1.0, 2.0)
        usual = lambda v: v * 2                                                 # noqa: E731
        for _ in range(1000):
            f(x, usual)
        for i in range(300):
            assert f(x, lambda v, i=i: v * i).item() == 3.0 * i
        assert captures(f) <= 130 and "no longer captured" in torch.explain(f)
        assert len(f._jitgrad_compiled.replays) <= 4
        before = replays(f)
        for _ in range(10):
            assert f(x, usual).item() == 6.0            # what was of use is kept
        assert replays(f) == before + 10

    def test_captures_start_again(self):
        f = torch.compile(lambda x, n: (x * n).sum())
        x = leaf(1.0, 2.0)
        for i in range(100):
            f(x, i)
        for _ in range(100):
            f(x, 63)
        before = captures(f)
        assert [f(x, 1000).item() for _ in range(3)] == [3000.0] * 3 and captures(f) == before + 1

    def test_a_recorded_structure_is_not_captured_for_each_value(self):
        f = torch.compile(lambda x, a, b: (print(end=""), (x * a).sum() * b.sum())[1])
        for i in range(5):
            assert f(leaf(1.0, 2.0), float(i), np.full(2, i)).item() == 6.0 * i * i
        assert captures(f) == 1 and "print" in torch.explain(f)


# -- errors, aux -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("f, good, bad", [
    (lambda x, y: nn.functional.cross_entropy(x, y), [0, 2, -100], [[0, 3, 1], [0, -1, 1], [0, 7, -100]]),
    (lambda x, y: nn.functional.cross_entropy(x, y, ignore_index=7), [0, 2, 7], [[0, 3, 1], [0, -100, 1]]),
    (lambda x, y: nn.functional.nll_loss(x, y), [0, 2, 1], [[0, 3, 1], [-1, 0, 0]]),
    (lambda x, y: x[y].sum(), [0, 2, -3], [[0, 3, 1], [-4, 0, 0]]),
    (lambda x, y: x[:, y].sum(), [0, 2, -3], [[0, 3, 1], [-4, 0, 0]]),
    (lambda x, y: torch.index_select(x, 0, y).sum(), [0, 2, 1], [[0, 3, 1], [-1, 0, 0]]),
    (lambda x, y: x.gather(1, y[:, None]).sum(), [0, 2, 1], [[0, 3, 1], [-1, 0, 0]])])
def test_integers_out_of_range_raise_as_in_a_recorded_call(f, good, bad):
    x = torch.tensor([[0.1, 0.2, 0.3], [1.0, 0.5, 0.0], [2.0, 2.0, 2.0]])
    good = torch.tensor(good)
    state = agree(f, [(x, good)] * 3 + [(x, torch.tensor(y)) for y in bad] + [(x, good.clone())])
    assert state.hits >= 3, state.explain()
    g = torch.value_and_grad(f)
    y = good.numpy().copy()
    for _ in range(3):
        g(x.numpy(), y)
    for wrong in bad:
        y[:] = wrong                    # the same array as before
        with pytest.raises((IndexError, RuntimeError)) as want:
            f(x, torch.tensor(wrong))
        with pytest.raises(type(want.value)) as found:
            g(x.numpy(), y)
        assert str(found.value) == str(want.value)


def test_aux_is_what_it_is_without_a_replay():
    def f(x):
        return (x * x).sum(), ({"y": x * 2, "dtype": x.dtype, "shape": x.shape}, [x.detach() * 3, 1, "a"], torch.ones(2))
    g = torch.value_and_grad(f, has_aux=True)
    recorded = torch.value_and_grad(lambda x: (print(end=""), f(x))[1], has_aux=True)
    for argument in (np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]), 2.0):
        for _ in range(3):
            (_, aux), _ = g(argument)
            (_, want), _ = recorded(argument)
            assert repr(aux) == repr(want) and not aux[0]["y"].requires_grad
    assert replayed(g) and not replayed(recorded)


def test_functions_of_numpy_are_no_reason_to_record():
    f = torch.compile(lambda x: x.sum() * float(np.sum(np.arange(3))))
    assert [f(leaf(1.0, 2.0)).item() for _ in range(2)] == [9.0] * 2 and replayed(f), torch.explain(f)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_gradients_of_named_tuples_and_of_arguments_with_nothing_in_them():
    f = torch.value_and_grad(lambda p: (p.a * p.b[0]).sum())
    for _ in range(3):
        value, gradient = f(Pair(np.array([1.0, 2.0]), [3.0, 4]))
        assert value == 9.0 and type(gradient) is Pair
        assert gradient.a.tolist() == [3.0, 3.0] and gradient.b == [3.0, None]
    assert replayed(f), torch.explain(f)
    for nothing in (2, [1, "a"], None, types.SimpleNamespace(a=np.ones(2))):
        with pytest.raises(TypeError, match="nothing to differentiate"):
            torch.grad(lambda p: torch.ones(()))(nothing)


def test_strict_and_explain_of_value_and_grad():
    f = torch.value_and_grad(lambda x: (print(end=""), x.sum())[1])
    f(np.ones(2))
    assert "print" in torch.explain(f)
    for make in (torch.value_and_grad, torch.grad):
        with pytest.raises(RuntimeError, match="print"):
            make(lambda x: (print(end=""), x.sum())[1], strict=True)(np.ones(2))
    assert make(lambda x: (x * x).sum(), strict=True)(2.0) == 4.0


@pytest.mark.parametrize("make", [lambda: iter(range(1, 9)), lambda: iter([1, 2, 3, 4, 5]), lambda: iter({1: 0, 2: 0, 3: 0, 4: 0}),
                                  lambda: (i for i in range(1, 9)), lambda: zip(range(1, 9))])
def test_iterators_have_a_state(make):
    def run(wrap):
        items = make()
        f = wrap(lambda x: x.sum() * torch.tensor(next(items)))
        return [f(leaf(1.0)).tolist() for _ in range(3)]
    assert run(torch.compile) == run(lambda f: f)


def test_an_object_that_changes_in_a_recorded_call_is_not_captured_each_time():
    box = types.SimpleNamespace(n=0)

    def f(x, box):
        box.n += 1
        print(end="")
        return x.sum() * box.n
    g = torch.compile(f)
    assert [g(leaf(1.0), box).item() for _ in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert captures(g) == 1


def test_what_importing_calls_is_not_of_the_function(tmp_path, monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            asked.append(name)

    asked: list[str] = []
    (tmp_path / "imported_in_a_function.py").write_text("import sys\nprint(end='')\nTWO = 2.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])

    def f(x):
        import imported_in_a_function
        return x.sum() * imported_in_a_function.TWO
    g = torch.compile(f)
    assert [g(leaf(1.0)).item() for _ in range(3)] == [2.0] * 3
    assert "imported_in_a_function" in asked and replayed(g)
    del sys.modules["imported_in_a_function"]


def test_machine_code_is_not_loaded_where_a_trace_would_watch(monkeypatch):
    loaded = []
    monkeypatch.setattr(declare, "repeats", [loaded.append])
    monkeypatch.setattr(declare, "operations", [declare.SOON - 2])
    g = torch.compile(lambda x: ((x * 2.0).sin() + 1.0).sum())
    assert g(leaf(1.0)).item() == g(leaf(1.0)).item() and replayed(g) and not loaded
    for _ in range(3):
        declare.finish(declare.bind(ops.REGISTRY["sin"], (leaf(1.0)._current(),)))
    assert loaded == [False]
