"""Operations without gradient mode that repeat: recorded, and computed when somebody asks for them."""
from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_native import native_code  # noqa: F401  (a fixture: operators of which many calls were learnt learn few)

import jitgrad
from jitgrad.autograd.reverse import engine
from jitgrad.graph.node import Node
from jitgrad.operators.native import layout
from jitgrad.requests import execute
from jitgrad.requests import gradients as requested

OFTEN = 24      # iterations, after which operators have been met often

pytestmark = pytest.mark.skipif(not engine.machine_code().functions, reason="machine code postpones; there is none here")


def looked_at(t: Any, state: dict[str, Any]) -> Any:
    state["x"] = state["x"] + 0.01 * state["v"]
    state["v"] = state["v"] - 0.01 * t.sin(state["x"])
    return state["x"].sum().item(), (state["w"] @ state["v"]).max().item()


def mean_that_runs(t: Any, state: dict[str, Any]) -> Any:
    state["m"] = state["m"] * 0.9 + 0.1 * t.tanh(state["x"])
    return None


def by_hand(t: Any, state: dict[str, Any]) -> Any:
    state["w"] -= 0.01 * t.tanh(state["w"]) * 0.5
    state["p"].mul_(0.99).add_(t.exp(-state["x"] * state["x"]) * 0.01)
    return state["p"].detach().numpy().copy()


def written_by_index(t: Any, state: dict[str, Any]) -> Any:
    y = state["m"] * 2 + 1
    y[0] = 0.5
    state["x"] = state["x"] * 0.9
    state["x"][1:] += y[1:] * 0.01
    state["m"] = y * 0.3
    return state["x"].numpy().copy()


def branch(t: Any, state: dict[str, Any]) -> Any:
    total = (state["x"] * state["x"]).sum()
    state["m"] = state["m"] / (1 + total) if total > 1 else state["m"] * 1.01
    return bool(total > 1), t.where(state["v"] > 0, state["v"] * 0.9, state["v"] * 1.1).tolist()


def copied(t: Any, state: dict[str, Any]) -> Any:
    a, b = copy.deepcopy(state["x"] * 1.5 + 0.1), pickle.loads(pickle.dumps(state["m"] * 2))
    return (a + b).numpy().copy(), (state["x"] * 3).clone().view(-1, 1).T[0].tolist()


def overwritten(t: Any, state: dict[str, Any]) -> Any:
    y, view = state["p"] * 2, (state["x"] * 1.5)[1:]
    state["p"].add_(1.0)
    state["x"].mul_(0.5)
    return y.tolist(), view.tolist()


def becomes_a_leaf(t: Any, state: dict[str, Any]) -> Any:
    q = (state["x"] * 1.1 + state["m"]).requires_grad_()
    with t.enable_grad():
        (t.tanh(q) * q).sum().backward()
    return q.grad.tolist()


def feeds_a_graph(t: Any, state: dict[str, Any]) -> Any:
    target = t.sigmoid(state["x"]) * 1.5
    with t.enable_grad():
        loss = ((state["p"] * target).sum() - 1) ** 2
        loss.backward()
    state["p"].grad = state["p"].grad * 0.5 + 0.1 * target
    state["optimizer"].step()
    grad = state["p"].grad.tolist()
    state["optimizer"].zero_grad()
    return loss.item(), grad


def of_what_is_recorded(t: Any, state: dict[str, Any]) -> Any:
    with t.enable_grad():
        h = t.tanh(state["p"] * 2)
    s = h * 2 + state["x"]
    with t.enable_grad():
        (h * s).sum().backward()
    grad, state["p"].grad = state["p"].grad.tolist(), None
    return grad, (s * s).sum().item()


WAYS = [looked_at, mean_that_runs, by_hand, written_by_index, branch, copied, overwritten, becomes_a_leaf, feeds_a_graph,
        of_what_is_recorded]


def begin(t: Any, rng: np.random.Generator, n: int) -> dict[str, Any]:
    made = {name: t.tensor(rng.normal(size=(n, n) if name == "w" else n), dtype=t.float64) for name in ("w", "p", "x", "v", "m")}
    for name in ("w", "p"):
        made[name].requires_grad_()
    return {**made, "optimizer": t.optim.SGD([made["p"]], lr=0.01, momentum=0.9)}


def run(t: Any, ways: list[Callable], seed: int, n: int) -> Iterator[Any]:
    state = begin(t, np.random.default_rng(seed), n)
    for _ in range(OFTEN):
        for way in ways:
            with t.no_grad():
                yield way(t, state)
    for name in ("w", "p", "x", "v", "m"):
        yield state[name].detach().numpy()


def agree(a: Any, b: Any) -> None:
    if isinstance(a, tuple):
        for x, y in zip(a, b, strict=True):
            agree(x, y)
    elif a is not None:
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("n", [3, 300])
@pytest.mark.parametrize("seed", range(8))
def test_as_if_each_were_computed_at_once(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    ways = [WAYS[seed % len(WAYS)], *rng.choice(np.array(WAYS), 4)]
    with jitgrad.interpret():
        expected = list(run(jitgrad, ways, seed, n))
    agree(tuple(run(jitgrad, ways, seed, n)), tuple(expected))


@pytest.mark.parametrize("way", WAYS)
def test_as_pytorch(way: Callable) -> None:
    torch = pytest.importorskip("torch")
    agree(tuple(run(jitgrad, [way, looked_at], 1, 4)), tuple(run(torch, [way, looked_at], 1, 4)))


def chain(n: int, state: Any, step: Callable[[Any], Any]) -> Any:
    with jitgrad.no_grad():
        for _ in range(n):
            state = step(state)
    return state


def test_a_chain_that_nobody_looks_at_is_bounded() -> None:
    h = jitgrad.ones(3)
    state = chain(5000, jitgrad.zeros(3), lambda m: 0.9 * m + 0.1 * h)
    assert state._node.depth < 0                    # it is postponed
    assert -state._node.depth <= layout.LONGEST_POSTPONED + 4
    assert sum([type(o) is Node for o in gc.get_objects()]) < 4000
    assert state.tolist() == pytest.approx([1.0] * 3)
    assert state._node.depth == 0
    assert not state._node.inputs


def test_what_is_held_is_bounded() -> None:
    seen = []

    def step(total: Any) -> Any:
        batch = jitgrad.ones(100_000, dtype=jitgrad.float64)
        seen.append(weakref.ref(batch._node))
        return total + (batch * 2).sum()

    total = chain(200, jitgrad.zeros((), dtype=jitgrad.float64), step)
    most = layout.MOST_HELD * layout.HELD / 800_000
    assert sum([ref() is not None for ref in seen]) < 2 * most
    assert total.item() == 200 * 200_000


def test_a_look_walks_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = [0]

    def counting(*args: Any, **kwargs: Any) -> Any:
        found = capture(*args, **kwargs)
        walked[0] = max(walked[0], len(found.order))
        return found

    capture = execute.capture
    monkeypatch.setattr(execute, "capture", counting)
    monkeypatch.setattr(execute, "recognise", lambda *args: ())         # captures each
    x, v = jitgrad.ones(3), jitgrad.zeros(3)
    with jitgrad.no_grad():
        for _ in range(200):
            v = v - 0.01 * jitgrad.sin(x) * jitgrad.cos(v)
            x = x + 0.01 * v                # v is not looked at, but somebody has it
            if x.sum() < -100:
                break
    assert 0 < walked[0] < 24


def test_compiles_once(counters: Callable) -> None:
    state = begin(jitgrad, np.random.default_rng(0), 5)
    made = []
    for _ in range(3):
        for _ in range(40):
            with jitgrad.no_grad():
                y = jitgrad.tanh(state["x"] * 1.5 + 0.1) * jitgrad.exp(-state["x"] * state["x"])
                (y + jitgrad.log1p(state["x"] * state["x"])).sum().item()
                state["x"].mul_(1.0001)
        made.append(counters().compilations + counters().disk_hits)
    assert made[0] == made[1] == made[2] == 1


def test_recorded_graphs_refer_to_nothing_postponed() -> None:
    p = jitgrad.ones(3, requires_grad=True)
    for _ in range(OFTEN):
        with jitgrad.no_grad():
            t = jitgrad.ones(3) * 2
    assert t._node.depth < 0
    loss = (p * t).sum()
    assert t._node.depth == 0
    with jitgrad.no_grad():
        t = jitgrad.ones(3) * 2
    assert t._node.depth < 0
    assert jitgrad.stack([t, t])._node.depth == t._node.depth == 0      # in gradient mode it is computed at once
    loss.backward()


def test_a_compiled_function_takes_what_is_postponed() -> None:
    f = jitgrad.compile(lambda x: (x * x).sum())
    for i in range(OFTEN):
        with jitgrad.no_grad():
            x = jitgrad.full((3,), float(i)) * 2
            assert f(x).item() == 12.0 * i * i
            assert f(x * 1.0).item() == 12.0 * i * i


def test_few_operations_are_compiled_when_they_keep_coming(counters: Callable) -> None:
    made = []
    for turns in (40, 200, 400):
        w = jitgrad.ones(5, requires_grad=True)
        for _ in range(turns):
            ((w - 3) ** 2).sum().backward()
            with jitgrad.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
        made.append(counters().compilations + counters().disk_hits)
    assert made[0] == 1                     # of the gradient
    assert made[1] == made[2] == 2          # and of what is written
    assert w.tolist() == pytest.approx([3.0] * 5)


def test_operators_that_look_find_values() -> None:
    with jitgrad.no_grad():
        for i in range(OFTEN + 2):
            p = jitgrad.tensor([0.2, 0.5]) * (3.0 if i == OFTEN + 1 else 1.0)
            at = jitgrad.tensor([0, 3]) + (9 if i == OFTEN + 1 else 0)
            if i <= OFTEN:
                jitgrad.nn.functional.binary_cross_entropy(p, jitgrad.tensor([0.0, 1.0]))
                jitgrad.gather(jitgrad.ones(4), 0, at)
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            jitgrad.nn.functional.binary_cross_entropy(p, jitgrad.tensor([0.0, 1.0]))
        with pytest.raises(RuntimeError, match="index 9 is out of bounds for dimension 0 with size 4"):
            jitgrad.gather(jitgrad.ones(4), 0, at)


def test_an_operation_of_a_known_value_and_one_of_an_array_are_not_the_same() -> None:
    n = 5000
    for i in range(OFTEN):
        a, b = jitgrad.ones(n) * float(i), jitgrad.ones(n)
        with jitgrad.no_grad():
            z = (a * b).sin()
        z.tolist()
    w = jitgrad.ones(n, requires_grad=True)
    h = w * b
    h.tolist()
    with jitgrad.no_grad():
        assert h.sin()[0].item() == pytest.approx(np.sin(1.0))


class Finalizer:
    """Asks for a value when it is collected."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.cycle = self

    def __del__(self) -> None:
        self.tensor.tolist()


def test_a_value_that_comes_while_it_is_computed() -> None:
    before = gc.get_threshold()
    gc.set_threshold(3)
    try:
        with jitgrad.no_grad():
            for i in range(300):
                x = jitgrad.tensor([float(i), 1.0])
                w = ((x * 2 + 1) * x - x).exp()
                Finalizer(w)
                w.tolist()
    finally:
        gc.set_threshold(*before)


def test_results_do_not_keep_what_is_larger() -> None:
    seen = []

    def step(losses: list[Any]) -> list[Any]:
        batch = jitgrad.ones(10_000, dtype=jitgrad.float64) * 2.0
        seen.append(weakref.ref(batch._node))
        return [*losses, (batch * batch).sum()]

    losses = chain(60, [], step)
    assert sum([ref() is not None for ref in seen]) <= OFTEN + 1
    assert {loss.item() for loss in losses} == {40_000.0}


def test_a_value_that_a_finalizer_asks_for_while_it_is_computed() -> None:
    class Asks:
        def __init__(self, tensor: jitgrad.Tensor) -> None:
            self.me, self.tensor = self, tensor

        def __del__(self) -> None:
            float(self.tensor.sum())

    x = jitgrad.ones(3)
    thresholds = gc.get_threshold()
    try:
        with jitgrad.no_grad():
            for i in range(40):
                (x * 2 + i) * 3
            for i in range(120):
                a = (x * 2 + i) * 3
                Asks(a)
                gc.set_threshold(1 + i)
                assert a.tolist() == [3.0 * (2 + i)] * 3
                gc.set_threshold(*thresholds)
    finally:
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize("mode", [jitgrad.no_grad, jitgrad.enable_grad])
def test_a_look_by_machine_code_leaves_what_the_reference_leaves(mode: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, and of what no gradient flows through what a leaf of them is; of what does, all that it was."""
    w = jitgrad.tensor([0.5, 1.5], requires_grad=True)
    looks: list[Any] = []

    def looked() -> list[tuple]:
        x = jitgrad.tensor([1.0, 2.0])
        with mode():
            h = (x * w).tanh() + x
            last = (h.exp() * h + x.sin()).cos()
        operations = last._node.spec
        last.tolist()
        looks[:] = [p for p in operations.patterns if p.look is not None]
        return [(None if n.value is None else n.value.tolist(), n.depth, n.inputs == (), n.spec, n.requires_grad)
                for n in (h._node, last._node)]
    for _ in range(OFTEN):
        found = looked()
    assert looks
    called = 0

    def look(node: Node) -> bool:
        nonlocal called
        called += 1
        return by_machine_code(node)
    for pattern in list(looks):
        by_machine_code = pattern.look
        monkeypatch.setattr(pattern, "look", look)
    assert looked() == found and called == 1
    for pattern in list(looks):
        monkeypatch.setattr(pattern, "look", None)
    assert looked() == found and called == 1


@pytest.mark.parametrize(("in_place", "used"), [(True, False), (False, True)])
def test_a_running_mean_begins_from_the_last_one(in_place: bool, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no gradient goes through has a value once a gradient, or a look, has gone by: the graphs do not grow."""
    lengths: list[int] = []
    for module in (requested, execute):
        original = module.capture

        def noted(*args: Any, original: Callable = original, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            lengths.append(len(found.order))
            return found
        monkeypatch.setattr(module, "capture", noted)

    def run(t: Any) -> list[float]:
        w, m, found = t.tensor([0.5, -1.0], dtype=t.float64, requires_grad=True), t.zeros(2, dtype=t.float64), []
        for i in range(12):
            h = t.tanh(w * t.tensor([[1.0 + i, 2.0], [0.5, i - 3.0]], dtype=t.float64))
            with t.no_grad():
                if in_place:
                    m.mul_(0.9).add_(h.mean(0) * 0.1)
                else:
                    m = 0.9 * m + 0.1 * h.mean(0)
            ((h - m) if used else h).pow(2).sum().backward()
            with t.no_grad():
                w -= 0.01 * w.grad
            w.grad = None
            if not used and i % 3 == 2:
                found.append(m.sum().item())
        return [*found, *m.tolist(), *w.tolist()]
    found = run(jitgrad)
    assert lengths and max(lengths) < 80, lengths
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(found, run(torch), rtol=1e-12)


def test_a_look_behind_a_backward_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a graph was gone through and freed is nothing to what only reads its values."""
    captured = 0
    capture = execute.capture

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal captured
        captured += 1
        return capture(*args, **kwargs)
    monkeypatch.setattr(execute, "capture", counted)
    w, y = jitgrad.ones(4, 3, dtype=jitgrad.float64, requires_grad=True), jitgrad.tensor([0, 2, 1, 1, 0, 2])
    before = 0
    for i in range(2 * OFTEN):
        x = np.random.default_rng(i).normal(size=(6, 4))
        scores = jitgrad.tensor(x) @ w
        (scores.exp().sum(1).log() * 0.5).sum().backward()
        right = (scores.tanh().argmax(1) == y).double().mean() * 2 + 1
        assert right.item() == 2 * ((x @ w.detach().numpy()).argmax(1) == y.numpy()).mean() + 1
        if i == OFTEN:
            before = captured
    assert captured == before > 0
