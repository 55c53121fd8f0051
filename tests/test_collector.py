"""A collector callback in the middle of an operation: it may run a backward or write, and nothing of either is lost."""
from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import ways
from ways import WARM, WAYS, leaf, loss_of, numbers

import jitgrad as torch

OFTEN = 1               # allocations of containers, less deallocations, after which the collector runs
MOST = 40               # collections in a run, at each of which a callback is tried alone


class Pressure:
    """Runs the collector as often as it goes.  calls: how often `do` was called, at collection number `at` or at all (None);
    seen: how many collections there were."""

    def __init__(self, do: Callable[[], None], at: int | None) -> None:
        self.do = do
        self.at = at
        self.calls = self.seen = 0
        self.errors: list[BaseException] = []

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            if self.at is None or self.at == self.seen:
                try:
                    self.do()
                except BaseException as error:      # which CPython would only print
                    self.errors.append(error)
                self.calls += 1
            self.seen += 1


@pytest.fixture(autouse=True)
def frozen_again(frozen: None) -> None:
    """What was there before a test costs its collections no time."""
    gc.collect()
    gc.freeze()


@contextmanager
def pressure(do: Callable[[], None], at: int | None) -> Iterator[Pressure]:
    """The collector runs at each allocation."""
    before = gc.get_threshold()
    found = Pressure(do, at)
    gc.callbacks.append(found)
    gc.set_threshold(OFTEN)
    try:
        yield found
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(found)
    assert found.errors == []


def moments() -> Iterator[int | None]:
    """At all collections, and at each alone."""
    yield None
    yield from range(MOST)


def accumulates(*leaves: torch.Tensor) -> Callable[[], None]:
    """What adds 100 to each gradient."""
    def add() -> None:
        with torch.enable_grad():       # hooks run without
            sum([(p * 100.).sum() for p in leaves]).backward()
    for _ in range(WARM):
        add()
    for p in leaves:
        p.grad = None
    return add


def item(loss: torch.Tensor) -> None:
    loss.item()
    loss.backward()


replay = torch.compile(loss_of)
BACKWARDS: dict[str, tuple[Callable[..., Any], Callable[[Any], None]]] = {
    "backward": (loss_of, lambda loss: loss.backward()),
    "retain_graph": (loss_of, lambda loss: loss.backward(retain_graph=True)),
    "create_graph": (loss_of, lambda loss: loss.backward(create_graph=True)),
    "gradient": (loss_of, lambda loss: loss.backward(torch.ones(()))),
    "looked at": (loss_of, item),
    "interpreted": (loss_of, lambda loss: interpreted(loss)),
    "hook": (lambda x, y: hooked(x, y), lambda loss: loss.backward()),
    "Function": (lambda x, y: (ways.Doubled.apply(x) * y).sum(), lambda loss: loss.backward()),
    "replay": (replay, lambda loss: loss.backward()),
    "replay looked at": (replay, item),
    "replay recorded": (lambda x, y: replay(x, y) * 2., lambda loss: loss.backward()),
}


def interpreted(loss: torch.Tensor) -> None:
    with torch.interpret():
        loss.backward()


def hooked(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    h = x * y
    h.register_hook(lambda g: g * 2)
    return h.sum()


@pytest.mark.parametrize("have", ["none", "array", "history", "view"])
@pytest.mark.parametrize("name", BACKWARDS)
def test_no_gradient_is_lost(name, have):
    """Gradients of a callback that comes at any time of another backward are added to those of it."""
    function, run = BACKWARDS[name]
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
    add = accumulates(x, y)

    def prepare() -> list[float]:
        x.grad = y.grad = None
        if have == "array":
            add()
        elif have == "history":
            ((x * x).sum() * 50. + (y * y).sum() * 50.).backward(create_graph=True)
        elif have == "view":
            x.grad, y.grad = torch.full((2, 3), 100.).unbind(0)
        return [g for p in (x, y) for g in ([0.] * 3 if p.grad is None else p.grad.tolist())]

    for _ in range(WARM):
        before = prepare()
        run(function(x, y))
        expected = [g - b for g, b in zip(x.grad.tolist() + y.grad.tolist(), before, strict=True)]
    for at in moments():
        before = prepare()
        with pressure(add, at) as found:
            run(function(x, y))
        result = x.grad.tolist() + y.grad.tolist()
        assert result == pytest.approx([b + g + 100. * found.calls for b, g in zip(before, expected, strict=True)]), at
        if at is not None and at >= found.seen:
            break


@pytest.mark.parametrize("name", [name for name in WAYS if name not in ("with_leaf_hook", "function")])
def test_results_are_right_whatever_a_callback_does_meanwhile(name):
    """What it computes goes the same ways, with tensors of its own."""
    make = WAYS[name]
    z = leaf(1., 2., 3.)
    view = (z * 1.)[1:]
    add = accumulates(z)

    def do() -> None:
        add()
        (z * z).sum().item()
        _ = view[:1], z * 2.5, z.reshape(1, 3).max(1)

    for _ in range(WARM):
        expected = numbers(make()())
        do()
    for at in moments():
        z.grad = None
        run = make()
        with pressure(do, at) as found:
            result = run()
        assert numbers(result) == expected, at
        assert z.grad is None or z.grad.tolist() == [100. * found.calls] * 3, at
        if at is not None and at >= found.seen:
            break


@pytest.mark.parametrize("take", [lambda x: x[1:], lambda x: x.view(3), lambda x: x[1:][:1], lambda x: x.detach(),
                                  lambda x: x.unbind(0)[1]])
@pytest.mark.parametrize("history", [False, True])
def test_a_view_sees_what_was_written_while_it_was_taken(take, history):
    for at in moments():
        x = (leaf(1., 2., 3.) if history else torch.tensor([1., 2., 3.])) * 1.
        for _ in range(WARM if at is None else 1):
            take(x)

        def write(x: torch.Tensor = x) -> None:
            x.mul_(2.)

        with pressure(write, at) as found:
            view = take(x)
        assert view.tolist() == take(x).tolist(), at
        assert x.tolist() == [2. ** found.calls * v for v in (1., 2., 3.)]
        if at is not None and at >= found.seen:
            break


STEPS = {"sgd": (torch.optim.SGD, {"lr": .001}), "momentum": (torch.optim.SGD, {"lr": .001, "momentum": .9}),
         "adam": (torch.optim.Adam, {"lr": .001})}


@pytest.mark.parametrize("warm", [0, 6, 24])
@pytest.mark.parametrize("name", STEPS)
def test_gradients_that_come_during_a_step_stay(name, warm):
    """A callback's backward reads the parameters before or after their change, never in between."""
    optimizer, options = STEPS[name]
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
    add = accumulates(x, y)
    for at in moments():
        opt = optimizer([x, y], **options)
        for _ in range(warm):
            opt.zero_grad()
            loss_of(x, y).backward()
            opt.step()
        opt.zero_grad()
        loss_of(x, y).backward()
        before, values = x.grad.tolist() + y.grad.tolist(), x.tolist() + y.tolist()
        with pressure(add, at) as found:
            opt.step()
        result = x.grad.tolist() + y.grad.tolist()
        assert result == pytest.approx([g + 100. * found.calls for g in before]), at
        if name == "sgd":       # of the gradients that were there when it looked
            moved = [(v - p - .001 * g) / .1 for v, p, g in zip(values, x.tolist() + y.tolist(), before, strict=True)]
            assert all([abs(m - round(m)) < 1e-4 and 0 <= round(m) <= found.calls for m in moved]), at
        if at is not None and at >= found.seen:
            break


@pytest.mark.parametrize("write", [
    lambda v: v.zero_(), lambda v: v.fill_(5.), lambda v: v.copy_(torch.ones(2)), lambda v: v.uniform_(), lambda v: v.mul_(2.),
    lambda v: v.__setitem__(slice(None), 3.), lambda v: v.masked_fill_(v > -1, 2.)])
@pytest.mark.parametrize("made", [lambda b: b, lambda b: b * leaf(1., 1., 1., 1.), lambda b: b.detach(), lambda b: b.data])
def test_a_write_to_a_part_keeps_what_is_written_to_the_rest_meanwhile(made, write):
    for at in range(MOST):
        b = made(torch.zeros(4))
        v = b[:2]

        def other(b=b):
            with torch.no_grad():
                b.detach()[3] = 77.

        with pressure(other, at) as found:
            write(v)
        assert b[3].item() == 77. * bool(found.calls)
        if at >= found.seen:
            break


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("write", [
    lambda g: g.mul_(1.), lambda g: g.add_(torch.zeros(3), alpha=2.), lambda g: g.addcmul_(torch.zeros(3), g, value=2.),
    lambda g: g[:].mul_(1.), lambda g: g.view(-1).__imul__(1.), lambda g: g.clamp_(max=1e9), lambda g: g.__setitem__(g > 1e9, 0.)])
def test_a_write_to_a_gradient_keeps_what_is_added_meanwhile(write, history):
    x = leaf(1., 2., 3.)
    add = accumulates(x)
    for at in range(MOST):
        x.grad = None
        add()
        if history:
            x.grad = x.grad * leaf(1., 1., 1.)
        with pressure(add, at) as found, torch.no_grad() if at % 2 else nullcontext():
            write(x.grad)
        assert x.grad.tolist() == [100. * (1 + found.calls)] * 3
        if at >= found.seen:
            break


