"""What test_interrupts.py interrupts: each way to record, to run a backward, to capture, replay and step."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad
from jitgrad import autograd, optim
from jitgrad.config import config


class Way:
    """go(): what is interrupted; it does the same each time it is called, and returns arrays.  after(interrupted): called
    after each time, without interrupts; raises where something is not right."""

    def __init__(self, go: Callable[[], Any], after: Callable[[bool], None] | None = None) -> None:
        self.go = go
        self.want: Any = None
        self.after = after or self.again

    def again(self, interrupted: bool) -> None:
        """The next results are right."""
        for _ in range(3 if interrupted else 1):
            found = self.go()
            if self.want is None:
                self.want = found
            assert same(found, self.want)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return np.allclose(a, b, rtol=1e-13, atol=0)


WAYS: dict[str, Callable[[], Way]] = {}


def way(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Way:
        found = make()
        return found if isinstance(found, Way) else Way(found)

    WAYS[make.__name__] = made
    return make


def leaf(*values: float) -> Any:
    return jitgrad.tensor(values, dtype=jitgrad.float64, requires_grad=True)


def loss_of(x: Any) -> Any:
    return ((x * 2.0).tanh() * x.exp() + x ** 3).sum()


def backward(run: Callable[[Any, Any], Any], times: int = 1, *values: float) -> Way:
    """Gradients added to some that are there: after an interrupt each leaf's is old or new.  times: how often run() adds it."""
    leaves = leaf(*(values or (0.5, -1.0, 2.0))), leaf(1.5)

    def go() -> Any:
        for t in leaves:
            t.grad = jitgrad.ones_like(t)
        run(*leaves)
        return [(t.grad.numpy() - 1) / times for t in leaves]

    made = Way(go)

    def after(interrupted: bool) -> None:
        for t, g in zip(leaves, made.want or (), strict=made.want is not None):
            found = t.grad.numpy()
            # 1 + what an earlier call gave is there if the interrupt came first of all
            assert any([np.allclose(found, 1 + k * g, rtol=1e-13) for k in range(times + 1)]), (found, g)
        made.again(interrupted)

    made.after = after
    return made


@way
def record():
    x = leaf(0.5, -1.0, 2.0)
    return lambda: [loss_of(x).item(), (x.detach() * 2).sum().item()]


@way
def write_in_place():
    x, w = leaf(0.5, -1.0, 2.0), jitgrad.zeros(3, dtype=jitgrad.float64)

    def go():
        w[1] = 3.0
        w[0] = -1.0
        w.copy_(jitgrad.tensor([4.0, 5.0, 6.0]))
        y = x * 1.0
        y[:2] *= w[:2]
        y.exp_()
        return autograd.grad(y.sum(), x)[0].numpy(), w.numpy()
    return go


@way
def write_to_a_detached_tensor():
    """Which shares memory and version with one that keeps its history: both are as before, or both as after."""
    x, held = leaf(0.5, -1.0, 2.0), []

    def go():
        y = x * 1.0
        d, z = y.detach(), x * 2.0
        held[:] = [y, d, z, d.numpy(), y._version]
        d.copy_(z)
        return autograd.grad((d * z).sum(), x)[0].numpy(), y.detach().numpy()

    made = Way(go)

    def after(interrupted: bool) -> None:
        y, d, z, old, version = held or [x, x, x, x.detach().numpy(), x._version]
        written = y._version != version
        assert d._version == y._version == version + written
        for t in (y, d):
            assert np.array_equal(t.detach().numpy(), z.detach().numpy() if written else old)
        made.again(interrupted)

    made.after = after
    return made


@way
def backward_plain():
    return backward(lambda x, w: (loss_of(x) * w).sum().backward())


@way
def backward_twice():
    def run(x, w):
        loss = (loss_of(x) * w).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    return backward(run, 2)


@way
def backward_with_hooks():
    def run(x, w):
        y = x * 2
        y.register_hook(lambda g: g * 3)
        (loss_of(y) * w).sum().backward()
    return backward(run)


@way
def backward_of_leaves_with_hooks():
    def run(x, w):
        x._leaf.hooks.clear()
        w._leaf.post_hooks.clear()
        x.register_hook(lambda g: g * 3)
        w.register_post_accumulate_grad_hook(lambda t: None)
        (loss_of(x) * w).sum().backward()
    return backward(run)


@way
def backward_in_chunks():
    before = jitgrad.get_num_threads()

    def run(x, w):
        jitgrad.set_num_threads(2)
        try:
            (loss_of(x) * w).sum().backward()
        finally:
            config.threads = before
    return backward(run, 1, *np.linspace(-1, 1, 100_000))


@way
def backward_create_graph():
    def go():
        x = leaf(0.5, -1.0, 2.0)
        loss_of(x).backward(create_graph=True)
        x.grad.sum().backward()
        return x.grad.detach().numpy()
    return go


@way
def retain_grad():
    def go():
        x = leaf(0.5, -1.0, 2.0)
        y = x * 2
        y.retain_grad()
        loss_of(y).backward()
        return x.grad.numpy(), y.grad.numpy()
    return go


class Double(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return 2 * x * g


@way
def function():
    return backward(lambda x, w: (loss_of(Double.apply(x)) * w).sum().backward())


@way
def function_create_graph():
    def go():
        x = leaf(0.5, -1.0, 2.0)
        g, = autograd.grad(Double.apply(x).sum(), x, create_graph=True)
        return autograd.grad(g.sum(), x)[0].numpy()
    return go


@way
def grad():
    x = leaf(0.5, -1.0, 2.0)
    return lambda: [g.numpy() for g in autograd.grad(loss_of(x), x)]


@way
def grad_of_grad():
    def go():
        x = leaf(0.5, -1.0, 2.0)
        first, = autograd.grad(loss_of(x), x, create_graph=True)
        return autograd.grad((first ** 2).sum(), x)[0].numpy()
    return go


@way
def layer():
    def go():
        module = jitgrad.nn.Linear(3, 1).double()
        jitgrad.nn.init.constant_(module.weight, 2.0)
        module.load_state_dict({"weight": module.weight, "bias": jitgrad.zeros(1)})
        module(leaf(0.5, -1.0, 2.0)).sum().backward()
        return module.weight.grad.numpy(), module.weight.detach().numpy()
    return go


@way
def found_in_the_cache():
    x = leaf(0.5, -1.0, 2.0)

    def go():
        jitgrad.clear_cache()
        return autograd.grad(loss_of(x), x)[0].numpy()
    return go


@way
def interpreted():
    x = leaf(0.5, 1.0, 2.0)

    def go():
        config.interpret = True
        try:
            return autograd.grad(loss_of(x) + x.digamma().sum(), x)[0].numpy()
        finally:
            config.interpret = False
    return go


@way
def captured():
    x = leaf(0.5, -1.0, 2.0)

    def go():
        f = jitgrad.compile(lambda t, scale: loss_of(t) * scale)
        results = []
        for scale in (2.0, 3.0, 4.0):
            x.grad = None
            f(x, scale).backward()
            results.append(x.grad.numpy())
        assert "replayed" in jitgrad.explain(f)
        return results
    return go


@way
def replayed():
    f = jitgrad.compile(lambda t, w: (loss_of(t) * w).sum())
    return backward(lambda x, w: f(x, w).backward())


@way
def replayed_and_read():
    f = jitgrad.compile(lambda t: (loss_of(t), (t * 2).sum()))
    x = leaf(0.5, -1.0, 2.0)

    def go():
        x.grad = None
        loss, other = f(x)
        value = loss.item()
        loss.backward()
        later, _ = f(x)
        return value, other.item(), x.grad.numpy(), autograd.grad(later * other, x)[0].numpy()
    return go


@way
def value_and_grad():
    f = jitgrad.value_and_grad(lambda a, b: ((a * b) ** 2).sum())
    a = np.array([1.0, 2.0])
    return lambda: f(a, 3.0)


@way
def value_and_grad_captured():
    a = np.array([1.0, 2.0])

    def go():
        f = jitgrad.value_and_grad(lambda a, b: ((a * b) ** 2).sum())
        return f(a, 3.0), f(a, 4.0)
    return go


def optimizer(make: Callable[[list[Any]], Any]) -> Way:
    """A loop that goes on, beside one that is not interrupted.  After an interrupt each tensor is what it was before the
    iteration, or what it is after it; then the loops go on from there, long enough to go their quickest ways again."""
    both = [([p := leaf(1.0, -2.0), q := leaf(0.5)], make([p, q])) for _ in range(2)]
    (params, the), (twins, twin) = both

    def iterate(params: list[Any], the: Any) -> None:
        the.zero_grad()
        sum([((p - 3.0) ** 2).sum() for p in params]).backward()
        the.step()

    def tensors(params: list[Any], the: Any) -> dict[Any, np.ndarray]:
        return {(i, name): t.detach().numpy() for i, p in enumerate(params)
                for name, t in {"p": p, **the.state.get(p, {})}.items() if t is not None}

    def after(interrupted: bool) -> None:
        if interrupted:
            old = tensors(twins, twin)
            iterate(twins, twin)
            new = tensors(twins, twin)
            for at, found in tensors(params, the).items():
                assert any([same(found, one[at]) for one in (old, new) if at in one]) or not found.any(), (at, found)
            twin.load_state_dict(the.state_dict())
            for p, q in zip(params, twins, strict=True):
                q.data.copy_(p.data)
        else:
            iterate(twins, twin)
        for i in range(24 if interrupted else 0):
            iterate(params, the)
            iterate(twins, twin)
            assert i < 23 or same(list(tensors(params, the).values()), list(tensors(twins, twin).values()))

    return Way(lambda: iterate(params, the), after)


@way
def sgd():
    return optimizer(lambda ps: optim.SGD(ps, lr=0.1))


@way
def sgd_with_momentum():
    return optimizer(lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9))


@way
def adam():
    return optimizer(lambda ps: optim.Adam(ps, lr=0.1))
