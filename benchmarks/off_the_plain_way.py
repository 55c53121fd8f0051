"""Gradients with Python in the middle, higher order, looks, rows, writes, and graphs that vary: beside eager PyTorch."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .calls import Timed
from .tools import PEERS, library

TOOLS = ["jitgrad", *[name for name in PEERS if name == "torch"]]


def _mixed(xp: Any, x: Any) -> Any:
    return (xp.tanh(x * 1.5 + 0.1) * xp.exp(-x * x) + xp.log1p(x * x)).sum()


def _hook(xp: Any, x: Any) -> None:
    y = xp.tanh(x * 1.5 + 0.1)
    y.register_hook(lambda g: g * 2)
    (y * xp.exp(-x * x)).sum().backward()


def _retain_grad(xp: Any, x: Any) -> None:
    y = xp.tanh(x * 1.5 + 0.1)
    y.retain_grad()
    (y * xp.exp(-x * x)).sum().backward()


def _function(xp: Any, x: Any) -> None:
    class Tanh(xp.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.tanh()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            y, = ctx.saved_tensors
            return g * (1 - y * y)

    (Tanh.apply(x * 1.5 + 0.1) * xp.exp(-x * x)).sum().backward()


def _squared_gradient(xp: Any, x: Any) -> None:
    g, = xp.autograd.grad(_mixed(xp, x), x, create_graph=True)
    (g * g).sum().backward()


def _hessian_vector_product(xp: Any, x: Any) -> None:
    g, = xp.autograd.grad(_mixed(xp, x), x, create_graph=True)
    xp.autograd.grad(g.sum(), x)


def _rows(xp: Any, x: Any) -> None:
    y = xp.tanh(x * 1.5)
    for i in range(8):
        xp.autograd.grad(y[i], x, retain_graph=True)


def _branch(xp: Any, x: Any) -> None:
    y = x
    for _ in range(5):
        y = xp.tanh(y) + 0.1
        y = y * 0.9 if y.sum() > 0 else y * 1.1
    y.sum().backward()


def _no_grad(xp: Any, x: Any) -> None:
    with xp.no_grad():
        _mixed(xp, x).item()


def _write(xp: Any, x: Any) -> None:
    y = x * 1.5
    y.add_(0.1).mul_(2.0)
    y[0] = 0.0
    (y * xp.exp(-x * x)).sum().backward()


WAYS = {way.__name__.strip("_"): way for way in (_hook, _retain_grad, _function, _squared_gradient, _hessian_vector_product, _rows,
                                                 _branch, _no_grad, _write)}


class Ways(Timed):
    """One gradient in the steady state; x changes at each."""

    params = (TOOLS, list(WAYS), [10, 100_000])
    param_names = ("tool", "way", "elements")

    def prepare(self, tool: str, way: str, elements: int) -> Callable[[], Any]:
        """One gradient."""
        xp = library(tool)
        x = xp.tensor(np.linspace(0.1, 1, elements), requires_grad=True)

        def call() -> None:
            with xp.no_grad():
                x.mul_(1.0000001)
            x.grad = None
            WAYS[way](xp, x)

        return call

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()


def _running_mean(xp: Any) -> Callable[[], Any]:
    """Batches normalised by means that run without gradients."""
    data = np.random.default_rng(0).normal(size=(16, 32, 10))
    w = xp.tensor(np.linspace(-1, 1, 10), requires_grad=True)
    state = {"mean": xp.zeros(10, dtype=xp.float64), "step": 0}

    def call() -> None:
        h = xp.tanh(xp.tensor(data[state["step"] % 16]) * w)
        state["step"] += 1
        with xp.no_grad():
            state["mean"] = 0.9 * state["mean"] + 0.1 * h.mean(0)
        w.grad = None
        ((h - state["mean"]) ** 2).mean().backward()
        with xp.no_grad():
            w.sub_(0.01 * w.grad)
    return call


def _element_by_element(xp: Any) -> Callable[[], Any]:
    """Linear regression whose weights are updated one by one."""
    rng = np.random.default_rng(0)
    x, y = (xp.tensor(rng.normal(size=shape)) for shape in ((100, 3), (100,)))
    w = xp.zeros(3, dtype=xp.float64, requires_grad=True)

    def call() -> None:
        w.grad = None
        ((x @ w - y) ** 2).mean().backward()
        with xp.no_grad():
            for k in range(3):
                w[k] -= 0.05 * w.grad[k]
    return call


def _fourth_derivative(xp: Any) -> Callable[[], Any]:
    """The residual of a differential equation of fourth order."""
    x = xp.linspace(0.1, 2, 50, dtype=xp.float64).requires_grad_()
    w = xp.tensor([1.0, 0.5], dtype=xp.float64, requires_grad=True)

    def call() -> None:
        u = y = w[0] * xp.sin(x * w[1]) * xp.exp(-x)
        for _ in range(4):
            y, = xp.autograd.grad(y.sum(), x, create_graph=True)
        g, = xp.autograd.grad(((y - u) ** 2).mean(), w)
        with xp.no_grad():
            w.sub_(1e-3 * g)
    return call


PROGRAMS = {program.__name__.strip("_"): program for program in (_running_mean, _element_by_element, _fourth_derivative)}


class Programs(Timed):
    """One iteration of a program, in the steady state."""

    params = (TOOLS, list(PROGRAMS))
    param_names = ("tool", "program")

    def prepare(self, tool: str, program: str) -> Callable[[], Any]:
        """One iteration."""
        return PROGRAMS[program](library(tool))

    def time_iteration(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class LooksInALoop(Timed):
    """A trajectory whose force is a recorded gradient, looked at in each step, then the gradient of its end."""

    params = (TOOLS, [100, 1000])
    param_names = ("tool", "steps")

    def prepare(self, tool: str, steps: int) -> Callable[[], Any]:
        """All steps."""
        xp = library(tool)
        w = xp.tensor(np.array([0.3, -0.2, 0.5]), requires_grad=True)

        def call() -> None:
            w.grad = None
            x = xp.tensor(np.zeros(2), requires_grad=True) * 1.0
            v = xp.tensor(np.array([1.0, 0.4]))
            for _ in range(steps):
                force, = xp.autograd.grad((xp.tanh(x * w[0] + w[1]).sum() + (x * x).sum() * w[2]), x, create_graph=True)
                v = v - 0.01 * force
                x = x + 0.01 * v
                if float(x[1].detach()) < -100.0:
                    break
            x.sum().backward()

        return call

    def time_trajectory(self, *_: Any) -> None:
        """Seconds."""
        self.run()


class LooksInALongLoop(LooksInALoop):
    """The same through ten thousand steps, some twenty seconds a tool: CI leaves it out."""

    params = (TOOLS, [10_000])


class Lengths(Timed):
    """Recurrent networks over thirty lengths that take turns."""

    params = (TOOLS,)
    param_names = ("tool",)

    def prepare(self, tool: str) -> Callable[[], Any]:
        """The next length."""
        xp = library(tool)
        rng = np.random.default_rng(11)
        w = xp.tensor(rng.normal(size=(6, 6)) / 3, requires_grad=True)
        rows = [xp.tensor(row) for row in rng.normal(size=(34, 6))]
        lengths = [int(n) for n in rng.permutation(np.arange(4, 34))]

        def call() -> None:
            w.grad = None
            lengths.append(lengths.pop(0))
            h = xp.tensor(np.zeros(6))
            for row in rows[:lengths[-1]]:
                h = xp.tanh(w @ h + row)
            (h * h).sum().backward()

        return call

    def time_gradient(self, *_: Any) -> None:
        """Seconds."""
        self.run()
