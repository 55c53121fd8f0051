"""How much memory a gradient needs at its peak, and that iterations leave nothing behind.

Each measurement is a process of its own: what pytest and other tests hold or free would be counted otherwise.  The
figures are Linux's.
"""
from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import jitgrad
from jitgrad.memory import buffers

on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status")

PEAK = (Path(__file__).parents[1] / "benchmarks" / "peak.py").read_text()

# Prints by how much resident memory and the number of objects that Python's collector knows have grown over so many
# steps, after a tenth as many.
LEAK = """
import gc, resource, sys
import numpy as np
import jitgrad
iterations = int(sys.argv[2])
x, a = jitgrad.tensor(0.5, requires_grad=True), np.linspace(-1, 1, 5)
v, w = jitgrad.tensor([0.5, 1.0, 2.0], requires_grad=True), jitgrad.tensor([1.0, 2.0, 3.0])

def hello():
    v.grad = None
    (v * w).sum().backward()

def unchanged():
    x.grad = None
    (jitgrad.exp(x * 0.5) + x * x).backward()

@jitgrad.compile
def compiled(x):
    return jitgrad.exp(x * 0.5) + x * x

def call():
    compiled(x)

def replay():
    x.grad = None
    compiled(x).backward()

optimizer = jitgrad.optim.Adam([x], lr=1e-4)

def train():
    optimizer.zero_grad()
    compiled(x).backward()
    optimizer.step()

def clip():
    optimizer.zero_grad()
    (jitgrad.exp(x * 0.5) + x * x).backward()
    x.grad.mul_(0.5)
    optimizer.step()

def optimizers():
    x.grad = None
    own = jitgrad.optim.SGD([x], lr=1e-6)
    for _ in range(20):
        own.zero_grad()
        compiled(x).backward()
        own.step()

gradient = jitgrad.value_and_grad(lambda v: jitgrad.sum(v * v * v))

def value_and_grad():
    gradient(a)

step = globals()[sys.argv[1]]

def run(count):
    for _ in range(count):
        step()
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize(), len(gc.get_objects())

before = run(iterations // 10)
after = run(iterations)
print(after[0] - before[0], after[1] - before[1])
"""

MILLION = 10**6
# Steps that record or call backward take 10 to 20 seconds for a million: CI counts that far, other runs to a tenth.
ITERATIONS = int(os.environ.get("LEAK_ITERATIONS", str(MILLION // 10)))


def measured(script: str, *args: object) -> list[int]:
    """The numbers that the script prints."""
    run = subprocess.run([sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return [int(word) for word in run.stdout.split()]


@pytest.fixture(autouse=True)
def fresh_pool():
    buffers.empty_cache()
    yield
    buffers.empty_cache()


def gradient(n: int) -> None:
    x = jitgrad.tensor(np.linspace(-3, 3, n), requires_grad=True)
    jitgrad.sum(jitgrad.tanh(x * 1.5 + 0.1) * jitgrad.exp(-x * x) + jitgrad.log1p(x * x)).backward()


def test_gradients_give_their_memory_to_the_pool_and_the_pool_to_the_system():
    gradient(2 ** 20)
    assert buffers.stats().held >= 8 * 2 ** 20
    buffers.empty_cache()
    assert buffers.stats().held == 0


def test_gradients_of_many_sizes_keep_the_pool_within_its_bound(monkeypatch):
    bound = 4 * 2 ** 20
    monkeypatch.setattr(buffers, "MAX_HELD", bound)
    for n in range(100_000, 400_000, 10_000):
        gradient(n)
        assert buffers.stats().held <= bound
    assert buffers.stats().held > 0


def test_repeated_gradients_take_no_new_memory():
    gradient(2 ** 20)
    gradient(2 ** 20)
    misses = buffers.stats().misses
    for _ in range(10):
        gradient(2 ** 20)
    assert buffers.stats().misses == misses


@on_linux
def test_the_peak_is_the_input_and_the_gradient():
    n = 2_000_000
    assert measured(PEAK, "jitgrad", "chain", n)[0] <= 3 * 8 * n        # and the array that the input is copied from


@on_linux
@pytest.mark.skipif(find_spec("torch") is None, reason="compares with PyTorch")
def test_the_peak_is_at_most_half_of_eager_pytorch():
    n = 2_000_000
    assert measured(PEAK, "jitgrad", "chain", n)[0] <= measured(PEAK, "torch", "chain", n)[0] / 2


@on_linux
@pytest.mark.full
@pytest.mark.parametrize("loop", ["call", "hello", "unchanged", "replay", "value_and_grad", "train", "clip", "optimizers"])
def test_iterations_leave_nothing_behind(loop):
    memory, objects = measured(LEAK, loop, {"call": MILLION, "optimizers": ITERATIONS // 100}.get(loop, ITERATIONS))
    assert memory < 2 * 2 ** 20 and objects < 100
