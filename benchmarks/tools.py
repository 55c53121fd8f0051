"""One adapter per tool: a workload becomes a function without arguments that computes one value and gradient.

"jitgrad" is unchanged PyTorch code, "compile" the same through jitgrad.compile, "value_and_grad" jitgrad.value_and_grad on
NumPy arrays, "interpreted" jitgrad without compiled code."""
from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import numpy as np

import jitgrad

from .workloads import Workload

PEERS = [name for name in ("torch", "jax") if find_spec(name)]


def library(tool: str) -> Any:
    """torch, or jitgrad in whatever manner, with one thread."""
    xp = importlib.import_module("torch" if tool == "torch" else "jitgrad")
    xp.set_num_threads(1)
    return xp


def prepare(tool: str, workload: Workload, size: str, threads: int = 1) -> Callable[[], Any]:
    """The call to measure, not made yet.  Its results are there when it returns.  JAX's threads are its own affair: they
    are chosen by the environment (see __init__.py)."""
    p, c = workload.inputs(**workload.sizes[size])
    if tool == "jax":
        return _jax(workload, p, c)
    if tool == "value_and_grad":
        return _value_and_grad(workload, p, c, threads)
    return _torch_like(tool, workload, p, c, threads)


def _value_and_grad(workload: Workload, p: dict[str, Any], c: dict[str, Any], threads: int) -> Callable[[], Any]:
    if workload.optimizer is not None:
        raise NotImplementedError("a training step is not a gradient")      # asv skips it
    jitgrad.set_num_threads(threads)
    c = {name: jitgrad.tensor(value) for name, value in c.items()}
    names, arrays = list(p), list(p.values())
    if len(arrays) > 1:
        both = jitgrad.value_and_grad(lambda p: workload.torch_style(jitgrad, p, c))
        return lambda: both(p)
    one = jitgrad.value_and_grad(lambda x: workload.torch_style(jitgrad, {names[0]: x}, c))
    return lambda: one(arrays[0])


def _torch_like(tool: str, workload: Workload, p: dict[str, Any], c: dict[str, Any], threads: int) -> Callable[[], Any]:
    xp = library(tool)
    xp.set_num_threads(threads)
    p = {name: xp.tensor(value, requires_grad=True) for name, value in p.items()}
    c = {name: xp.tensor(value) for name, value in c.items()}
    mode = xp.interpret if tool == "interpreted" else nullcontext
    objective = workload.torch_style
    if tool == "compile":
        compiled = jitgrad.compile(lambda p, c: workload.torch_style(jitgrad, p, c))
        objective = lambda xp, p, c: compiled(p, c)     # noqa: E731
    optimizer = None
    if workload.optimizer is not None:
        name, lr = workload.optimizer
        optimizer = getattr(xp.optim, name)(list(p.values()), lr=lr)

    def call() -> Any:
        for t in p.values():
            t.grad = None
        with mode():
            value = objective(xp, p, c)
            value.backward()
        if optimizer is not None:
            optimizer.step()
        return value

    return call


def _jax(workload: Workload, p: dict[str, Any], c: dict[str, Any]) -> Callable[[], Any]:
    import jax
    jax.config.update("jax_enable_x64", True)
    np_ = jax.numpy
    c = {name: np_.asarray(value) for name, value in c.items()}
    gradient = jax.value_and_grad(lambda p: workload.jax_style(np_, p, c))
    if workload.optimizer is None:
        compiled, q = jax.jit(gradient), {name: np_.asarray(value) for name, value in p.items()}
        return lambda: jax.block_until_ready(compiled(q))
    state = {name: (np_.asarray(v), np_.zeros_like(v), np_.zeros_like(v)) for name, v in p.items()}
    compiled, count = jax.jit(_jax_steps(workload.optimizer, gradient)), 0

    def call() -> Any:
        nonlocal state, count
        count += 1
        state = jax.block_until_ready(compiled(state, np.float64(count)))
        return state

    return call


def _jax_steps(optimizer: tuple[str, float], gradient: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """One step of SGD or Adam on {name: (parameter, mean, square)}."""
    name, lr = optimizer

    def step(state: Any, count: Any) -> Any:
        _, g = gradient({n: s[0] for n, s in state.items()})
        new = {}
        for n, (p, mean, square) in state.items():
            if name == "SGD":
                new[n] = (p - lr * g[n], mean, square)
                continue
            mean, square = 0.9 * mean + 0.1 * g[n], 0.999 * square + 0.001 * g[n] ** 2
            scaled = (square / (1 - 0.999**count)) ** 0.5 + 1e-8
            new[n] = (p - lr * (mean / (1 - 0.9**count)) / scaled, mean, square)
        return new

    return step
