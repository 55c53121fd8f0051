"""Ways to record, to run a backward, to replay and to step, for tests of what may happen in the middle of one.

Each makes its tensors anew and returns what runs it once, which returns what is to be compared."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as torch

Run = Callable[[], Any]
WARM = 12               # runs until programs, tapes and replays are there


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor([*values], requires_grad=True)


# -- ways to record --------------------------------------------------------------------------------------------------


def binary() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
    return lambda: (x * y).detach()


def number() -> Run:
    x = leaf(1., 2., 3.)
    return lambda: (x * 2.5).detach()


def view() -> Run:
    x = leaf(1., 2., 3.) * 1.
    return lambda: x[1:].detach()


def view_of_view() -> Run:
    x = (leaf(1., 2., 3.) * 1.)[1:]
    return lambda: x[:1].detach()


def several() -> Run:
    x = leaf(1., 3., 2.).reshape(1, 3) * 1.
    return lambda: [t.detach() for t in x.max(1)]


def joined() -> Run:
    x, y = leaf(1., 2.), leaf(3.)
    return lambda: torch.cat([x, y]).detach()


def composite() -> Run:
    x, y = leaf(1., 2.), leaf(3., 5.)
    return lambda: torch.nn.functional.mse_loss(x, y).detach()


def without_gradient() -> Run:
    x = torch.tensor([1., 2.])
    return lambda: x * 2. + x


def written() -> Run:
    def run() -> Any:
        x = torch.tensor([1., 2., 3.])
        x.mul_(2.)
        x[1:] += 1.
        return x
    return run


def written_with_history() -> Run:
    a = leaf(1., 2., 3.)

    def run() -> Any:
        x = a * 1.
        x[1:].mul_(2.)
        x.add_(a)
        return x.detach()
    return run


# -- ways to run a backward ------------------------------------------------------------------------------------------


def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * y + x.tanh()).sum()


def backward(times: int = 1, **options: Any) -> Callable[[], Run]:
    def make() -> Run:
        x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

        def run() -> Any:
            for _ in range(times):
                loss = loss_of(x, y)
                loss.backward(**options)
            return loss.detach(), x.grad.detach(), y.grad.detach()
        return run
    return make


def looked_at() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        loss = loss_of(x, y)
        value = loss.item()
        loss.backward()
        return value, x.grad, y.grad
    return run


def looked_at_between() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        x.grad = None
        h = (x * y).tanh() + x
        value = (h.sin() * h).detach()
        value.tolist()
        (h * h).sum().backward()
        return value, x.grad
    return run


def values() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        with torch.no_grad():
            h = x * y + x.tanh()
            return (h * (-h).exp() + y.sin() * h).sum().item(), h
    for _ in range(2 * WARM):       # without gradients the first sixteen operations of each kind are computed at once
        run()
    return run


def with_hook() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        h = x * y
        h.retain_grad()
        h.register_hook(lambda g: g * 2)
        (h * h).sum().backward()
        return h.grad, x.grad
    return run


def with_leaf_hook() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
    x.register_hook(lambda g: g * 2)

    def run() -> Any:
        x.grad = y.grad = None
        loss_of(x, y).backward()
        return x.grad, y.grad
    return run


def grad() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
    return lambda: torch.autograd.grad(loss_of(x, y), [x, y])


def second_order() -> Run:
    x = leaf(1., 2., 3.)

    def run() -> Any:
        [g] = torch.autograd.grad((x.tanh() * x).sum(), x, create_graph=True)
        return torch.autograd.grad((g * g).sum(), x)
    return run


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g * 2


def function() -> Run:
    x = leaf(1., 2., 3.)

    def run() -> Any:
        x.grad = None
        (Doubled.apply(x) * x).sum().backward()
        return x.grad
    return run


# -- ways to replay --------------------------------------------------------------------------------------------------


compiled_loss = torch.compile(loss_of)
derivative = torch.value_and_grad(lambda w, a: (w * a + w.tanh()).sum())


def replay() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        x.grad = y.grad = None
        loss = compiled_loss(x, y)
        loss.backward()
        return loss.detach(), x.grad, y.grad
    return run


def replay_looked_at() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        x.grad = y.grad = None
        loss = compiled_loss(x, y)
        value = loss.item()
        loss.backward()
        return value, x.grad, y.grad
    return run


def replay_recorded() -> Run:
    x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)

    def run() -> Any:
        x.grad = y.grad = None
        (compiled_loss(x, y) * 2).backward()
        return x.grad, y.grad
    return run


def replay_gradient() -> Run:
    w, a = np.array([1., 2., 3.]), np.array([4., 5., 6.])
    return lambda: derivative(w, a)


# -- ways to step ----------------------------------------------------------------------------------------------------


def step(optimizer: Any, warm: int, **options: Any) -> Callable[[], Run]:
    def make() -> Run:
        x, y = leaf(1., 2., 3.), leaf(4., 5., 6.)
        opt = optimizer([x, y], **options)

        def once() -> None:
            opt.zero_grad()
            loss_of(x, y).backward()
            opt.step()
        for _ in range(warm):
            once()

        def run() -> Any:
            once()
            return x.detach(), y.detach()
        return run
    return make


RECORD = [binary, number, view, view_of_view, several, joined, composite, without_gradient, written, written_with_history]
BACKWARD = {"backward": backward(), "accumulate": backward(2), "retain": backward(retain_graph=True),
            "create_graph": backward(create_graph=True), "grad": grad, "second_order": second_order, "looked_at": looked_at,
            "looked_at_between": looked_at_between, "values": values,
            "with_hook": with_hook, "with_leaf_hook": with_leaf_hook, "function": function}
REPLAY = [replay, replay_looked_at, replay_recorded, replay_gradient]
STEP = {f"{name}_{warm}": step(opt, warm, **options) for warm in (0, 6, 24) for name, opt, options in (
    ("sgd", torch.optim.SGD, {"lr": .1}), ("momentum", torch.optim.SGD, {"lr": .1, "momentum": .9}),
    ("adam", torch.optim.Adam, {"lr": .1}))}
WAYS = {**{f.__name__: f for f in RECORD + REPLAY}, **BACKWARD, **STEP}


def numbers(result: Any) -> list[Any]:
    """A result as nested lists."""
    if isinstance(result, torch.Tensor):
        return result.detach().tolist()
    if isinstance(result, np.ndarray):
        return result.tolist()
    return [numbers(r) for r in result] if isinstance(result, (tuple, list)) else result
