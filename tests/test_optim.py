"""Optimizers: the same trajectory, state, text and errors as PyTorch's."""
from __future__ import annotations

import copy
import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import optim
from jitgrad.optim import fused

SETTINGS = [
    "SGD(params, lr=0.1)", "SGD(params, lr=0.1, momentum=0.9)", "SGD(params, lr=0.1, momentum=0.9, dampening=0.3)",
    "SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)", "SGD(params, lr=0.1, weight_decay=0.2)",
    "SGD(params, lr=0.1, momentum=0.5, maximize=True)", "SGD(params, lr=xp.tensor(0.1), maximize=True)",
    "Adam(params)", "Adam(params, lr=0.1, betas=(0.5, 0.7), eps=1e-3)", "Adam(params, lr=0.1, weight_decay=0.1)",
    "Adam(params, lr=0.1, amsgrad=True)", "Adam(params, lr=0.1, maximize=True, amsgrad=True, weight_decay=0.1)",
    "AdamW(params, lr=0.1)", "Adam(params, lr=0.1, weight_decay=0.3, decoupled_weight_decay=True)"]


def make(setting: str, xp: Any, params: Any) -> Any:
    return eval(f"xp.optim.{setting}", {"xp": xp, "params": params})


def parameters(xp: Any, dtype: str = "float64") -> list[Any]:
    return [xp.tensor(v, dtype=getattr(xp, dtype), requires_grad=True)
            for v in (0.5, [1.0, -2.0, 3.0], [[0.1, 0.2], [0.3, -0.4]])]


def run(optimizer: Any, params: list[Any], steps: int, first: int = 0) -> None:
    """Steps along gradients that depend on the parameters and the step; the last parameter has none at times."""
    for i in range(first, first + steps):
        optimizer.zero_grad()
        loss = sum(((p - i) ** 2 * (p + 0.5)).sum() for p in (params if i % 3 else params[:-1]))
        loss.backward()
        optimizer.step()


def values(params: list[Any]) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in params])


@pytest.fixture(autouse=True)
def _interpreted(request: pytest.FixtureRequest):
    if "compiled" in request.keywords:
        yield
        return
    with jitgrad.interpret():       # optimizers take gradients as they come; few tests below are about compiled code
        yield


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_trajectory(setting, dtype, tolerance):
    torch = pytest.importorskip("torch")
    found = []
    for xp in (jitgrad, torch):
        params = parameters(xp, dtype)
        optimizer = make(setting, xp, params)
        run(optimizer, params, 7)
        state = optimizer.state_dict()["state"]
        found.append((values(params), repr(optimizer), {i: list(s) for i, s in state.items()},
                      [v.numpy() for s in state.values() for v in s.values() if v is not None],
                      optimizer.state_dict()["param_groups"], params[0].dtype))
    (ours, text, names, state, groups, dtype_), (theirs, text2, names2, state2, groups2, _) = found
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert (text, repr(groups)) == (text2, repr(groups2))
    assert names == names2
    for a, b in zip(state, state2, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        assert a.dtype == b.dtype
    assert dtype_ is getattr(jitgrad, dtype)


@pytest.mark.parametrize("setting", [s for s in SETTINGS if "xp" not in s])
def test_resuming_from_a_state_dict(setting):
    """Saved and loaded after 3 steps, an optimizer goes on as if nothing had happened."""
    params = parameters(jitgrad)
    optimizer = make(setting, jitgrad, params)
    run(optimizer, params, 3)
    saved = copy.deepcopy(optimizer.state_dict())
    text = repr(saved)
    twins = [p.detach().clone().requires_grad_() for p in params]
    other = make(setting.replace("0.1", "0.7"), jitgrad, twins)
    other.load_state_dict(saved)
    assert repr(other) == repr(optimizer)
    run(optimizer, params, 3, first=3)
    run(other, twins, 3, first=3)
    assert (values(params) == values(twins)).all()
    assert repr(saved) == text


def _p(xp: Any, *shape: int) -> Any:
    return xp.nn.Parameter(xp.ones(*shape))


ERRORS: dict[str, Any] = {
    "empty": lambda xp: xp.optim.SGD([], lr=0.1),
    "tensor": lambda xp: xp.optim.SGD(_p(xp, 2), lr=0.1),
    "number": lambda xp: xp.optim.SGD([3], lr=0.1),
    "non-leaf": lambda xp: xp.optim.SGD([_p(xp, 2) * 2]),
    "lr": lambda xp: xp.optim.SGD([_p(xp, 2)], lr=-1),
    "momentum": lambda xp: xp.optim.SGD([_p(xp, 2)], momentum=-0.5),
    "weight_decay": lambda xp: xp.optim.SGD([_p(xp, 2)], weight_decay=-0.5),
    "nesterov": lambda xp: xp.optim.SGD([_p(xp, 2)], nesterov=True),
    "eps": lambda xp: xp.optim.Adam([_p(xp, 2)], eps=-1),
    "beta 0": lambda xp: xp.optim.Adam([_p(xp, 2)], betas=(1, 0.9)),
    "beta 1": lambda xp: xp.optim.Adam([_p(xp, 2)], betas=(0.1, 1.9)),
    "adam lr": lambda xp: xp.optim.Adam([_p(xp, 2)], lr=-1),
    "adam weight_decay": lambda xp: xp.optim.Adam([_p(xp, 2)], weight_decay=-1),
    "set": lambda xp: xp.optim.SGD([{"params": {_p(xp, 2)}}]),
    "no params": lambda xp: xp.optim.SGD([{"lr": 1}]),
    "group": lambda xp: xp.optim.SGD([_p(xp, 2)]).add_param_group(3),
    "twice": lambda xp: (lambda p: xp.optim.SGD([{"params": [p]}, {"params": p}]))(_p(xp, 2)),
    "some names": lambda xp: xp.optim.SGD([("a", _p(xp, 2)), _p(xp, 1)]),
    "groups differ": lambda xp: xp.optim.SGD([_p(xp, 2)]).load_state_dict({"state": {}, "param_groups": []}),
    "sizes differ": lambda xp: xp.optim.SGD([_p(xp, 2)]).load_state_dict(
        xp.optim.SGD([_p(xp, 2), _p(xp, 1)]).state_dict()),
}


@pytest.mark.parametrize("name", ERRORS)
def test_same_error_as_pytorch(name):
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, TypeError, KeyError)) as theirs:
        ERRORS[name](torch)
    with pytest.raises(theirs.type) as ours:
        ERRORS[name](jitgrad)
    assert str(ours.value) == str(theirs.value)


def test_differentiable_is_refused():
    with pytest.raises(NotImplementedError, match="differentiable=True is not supported"):
        optim.SGD([jitgrad.ones(1, requires_grad=True)], differentiable=True)


def test_duplicates_warn():
    p = jitgrad.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


def test_groups_have_their_own_options():
    a, b, c = (jitgrad.tensor(1.0, requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    optimizer.add_param_group({"params": c, "lr": 2.0, "momentum": 0.5})
    optimizer.param_groups[1]["lr"] = 0.25
    (a + b + c).backward()
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [0.5, 0.75, -1.0]
    assert [g["momentum"] for g in optimizer.param_groups] == [0, 0, 0.5]
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_named_parameters():
    torch = pytest.importorskip("torch")

    def names(xp: Any) -> str:
        net = xp.nn.Linear(2, 1)
        return repr(xp.optim.Adam(net.named_parameters())) + repr(xp.optim.SGD(net.named_parameters()).state_dict())

    assert names(jitgrad) == names(torch)


def test_zero_grad():
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1)
    (x * x).sum().backward()
    kept = x.grad
    optimizer.zero_grad(set_to_none=False)
    assert x.grad is kept and kept.tolist() == [0, 0]
    optimizer.zero_grad()
    assert x.grad is None
    optimizer.step()
    assert x.tolist() == [1, 2]
    ((x * x).sum()).backward(create_graph=True)
    assert x.grad.grad_fn is not None
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.grad_fn is None and x.grad.tolist() == [0, 0]


def test_closure_is_recorded_and_returned():
    x = jitgrad.tensor(3.0, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = x * x
        loss.backward()
        return loss

    with jitgrad.no_grad():
        assert optimizer.step(closure).item() == 9
        assert not jitgrad.is_grad_enabled()
    assert x.item() == 0


def test_step_is_an_in_place_write():
    """Views see it, the version counts it, the parameter stays a leaf, and a graph that saved the old value says so."""
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    view = x.detach()[0]
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    version = x._version
    optim.SGD([x], lr=0.1).step()
    assert view.item() == pytest.approx(0.8) and x.is_leaf and x.requires_grad and x._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_state_tensors_are_written_in_place():
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([x])
    x.grad = jitgrad.ones(2)
    optimizer.step()
    kept = optimizer.state[x]["exp_avg"]
    optimizer.step()
    assert optimizer.state[x]["exp_avg"] is kept and kept.tolist() == pytest.approx([0.19, 0.19])
    assert optimizer.state[x]["step"].item() == 2 and x.grad.tolist() == [1, 1]


def test_momentum_does_not_share_the_gradient():
    x = jitgrad.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1, momentum=0.9)
    x.grad = jitgrad.ones(1)
    optimizer.step()
    x.grad.zero_()
    assert optimizer.state[x]["momentum_buffer"].tolist() == [1]


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_steady_loop_compiles_its_step_to_the_same_bits(setting, dtype, monkeypatch):
    monkeypatch.setattr(fused, "SHORT_WARM_UP", fused.WARM_UP)
    found = []
    for compiled in (True, False):
        params = parameters(jitgrad, dtype)
        optimizer = make(setting, jitgrad, params)
        rng = np.random.default_rng(1)
        for _ in range(9):
            for p in params:
                p.grad = jitgrad.tensor(rng.normal(size=p.shape), dtype=p.dtype)
            if compiled:
                optimizer.step()
            else:
                with jitgrad.interpret():
                    optimizer.step()
        assert len(optimizer._fused._programs) == (1 if compiled else 0)
        found.append([values(params), *[values(list(s.values())) for s in optimizer.state.values()]])
    for a, b in zip(*found, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.compiled
def test_a_compiled_step_keeps_no_gradient_and_takes_other_layouts():
    p = jitgrad.zeros(3, 2, requires_grad=True)
    optimizer = optim.Adam([p])
    for _ in range(6):
        p.grad = jitgrad.ones(3, 2)
        optimizer.step()
    array = p.grad._array()
    kept = weakref.ref(p.grad._node)
    p.grad = None
    assert kept() is None and sys.getrefcount(array) == 2
    p.data = jitgrad.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3)).T
    p.grad = jitgrad.ones(3, 2)
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), np.arange(6.0).reshape(2, 3).T - 1e-3, rtol=1e-5)


def test_parameters_that_started_together_count_their_own_steps():
    p, q = parameters(jitgrad)[:2]
    optimizer = optim.Adam([p, q])
    for with_q in (True, False, True):
        p.grad, q.grad = jitgrad.ones_like(p), jitgrad.ones_like(q) if with_q else None
        optimizer.step()
    assert optimizer.state[p]["step"].item() == 3 and optimizer.state[q]["step"].item() == 2


def test_overlapping_parameters_are_updated_one_after_the_other() -> None:
    """Compiled steps read all parameters first: these must not be compiled."""
    torch = pytest.importorskip("torch")

    def train(library: Any) -> list[float]:
        base = library.arange(6, dtype=library.float64) + 1
        a, b = base[:4].detach().requires_grad_(), base[2:].detach().requires_grad_()
        optimizer = library.optim.Adam([a, b], lr=0.1)
        for _ in range(8):
            optimizer.zero_grad()
            (a ** 2 * b).sum().backward()
            optimizer.step()
        return base.tolist()

    assert train(jitgrad) == pytest.approx(train(torch), rel=1e-12)


def steady_counts(optimizer: Any) -> list[float]:
    return [0.0 if s.newer is None else s.newer.t for s in optimizer._fused.steady.values()]


@pytest.mark.full
@pytest.mark.compiled
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("event", ["nothing", "looks", "view", "write", "replaced", "cleared", "reloaded", "copied", "lr",
                                   "frozen", "data", "layout", "missing", "added", "zeroed", "version"])
def test_a_steady_loop_is_interrupted(setting, event, monkeypatch):
    """Whatever happens in between, a loop takes the steps that it takes when each is looked at anew."""
    monkeypatch.setattr(fused, "SHORT_WARM_UP", fused.WARM_UP)
    found = []
    for plain in (True, False):
        params = parameters(jitgrad)
        optimizer = make(setting, jitgrad, params)
        rng = np.random.default_rng(1)
        seen: list[Any] = []
        held = None
        steady = 0
        for i in range(18):
            for p in params:
                p.grad = jitgrad.tensor(rng.normal(size=p.shape), dtype=p.dtype)
            if plain:
                optimizer._fused.steady.clear()
            steps = steady_counts(optimizer)
            if i in (9, 12, 13):
                state = optimizer.state.get(params[1], {})
                name = next((n for n in state if n != "step"), None)
                if event == "looks":
                    seen += [t.tolist() for s in optimizer.state.values() for t in s.values()]
                elif event == "view" and name:
                    held = held if held is not None else state[name][1:]
                    seen.append(held.tolist())
                elif event == "write" and name:
                    state[name][0] = 0.25
                elif event == "replaced" and name:
                    state[name] = jitgrad.full_like(state[name], 0.5)
                elif event == "cleared":
                    optimizer.state.clear()
                elif event == "reloaded":
                    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                elif event == "copied":
                    optimizer = copy.deepcopy(optimizer)
                    params = [p for g in optimizer.param_groups for p in g["params"]]
                    for p in params:
                        p.grad = jitgrad.ones_like(p)
                elif event == "lr":
                    optimizer.param_groups[0]["lr"] *= 0.5
                elif event == "frozen":
                    params[1].requires_grad_(i != 9)
                elif event == "data":
                    params[2].data = params[2].data * 2
                elif event == "layout":
                    params[2].data = params[2].data.T
                    params[2].grad = params[2].grad.T
                elif event == "missing":
                    params[2].grad = None
                elif event == "added" and i == 9:
                    params.append(jitgrad.ones(2, dtype=jitgrad.float64, requires_grad=True))
                    optimizer.add_param_group({"params": params[-1]})
                    params[-1].grad = jitgrad.ones_like(params[-1])
                elif event == "zeroed":
                    optimizer.zero_grad(set_to_none=False)
                elif event == "version" and name:
                    seen.append(state[name]._version)
            optimizer.step()
            steady += steady_counts(optimizer) == [t + 1 for t in steps] != []
        assert plain or event != "nothing" or steady >= 12, steady
        found.append([seen, [p.tolist() for p in params], [p._version for p in params],
                      [{k: t.tolist() for k, t in optimizer.state.get(p, {}).items()} for p in params]])
    assert found[0] == found[1]


@pytest.mark.compiled
def test_state_outlives_its_optimizer_and_nothing_else_does():
    p = jitgrad.zeros(3, requires_grad=True)
    optimizer = optim.Adam([p])
    for _ in range(9):
        p.grad = jitgrad.ones(3)
        optimizer.step()
    steady = weakref.ref(next(iter(optimizer._fused.steady.values())))
    kept = optimizer.state[p]["exp_avg"]
    del optimizer
    assert kept.tolist() == pytest.approx([1 - 0.9 ** 9] * 3) and steady() is None


@pytest.mark.compiled
def test_an_optimizer_is_in_no_cycle_and_keeps_nothing_of_what_was_loaded_before():
    p = jitgrad.zeros(3, requires_grad=True)
    optimizer = optim.Adam([p])
    kept = []
    gc.disable()
    try:
        for i in range(30):
            p.grad = jitgrad.ones(3)
            optimizer.step()
            if not i % 10:
                kept.append(weakref.ref(optimizer.state[p]["exp_avg"]))
                optimizer.load_state_dict(optimizer.state_dict())
        kept += [weakref.ref(p), weakref.ref(optimizer.state[p]["exp_avg"])]
        assert optimizer._fused.steady and [r() is None for r in kept] == [True] * 3 + [False] * 2
        del p, optimizer
        assert not any([r() for r in kept])
    finally:
        gc.enable()
