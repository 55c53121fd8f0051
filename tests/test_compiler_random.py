"""Compiled = interpreted on random graphs: every kind of op, strided inputs, lengths 0, 1 and more, interior gradients.

RANDOM_GRAPHS sets how many graphs there are (16)."""
from __future__ import annotations

import os

import drawn
import numpy as np
import pytest
from graphs import compare, leaf, reference, request, total

from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import scalar_node
from jitgrad.types.dtype import from_numpy_dtype

pytestmark = pytest.mark.full

COUNT = int(os.environ.get("RANDOM_GRAPHS", "16"))
UNARY = "neg abs square exp tanh sin sigmoid relu copy".split()
BINARY = "add sub mul maximum minimum".split()


def random_leaves(rng: np.random.Generator) -> list[Node]:
    a, b, c = [int(k) for k in rng.choice([0, 1, 2, 3, 5], 3, p=[.05, .15, .3, .3, .2])]
    shapes = [(a, b), (b,), (a, 1), (), (a, b, c), (c,), (1, b)]
    dtype = rng.choice([np.float64, np.float32])
    leaves = []
    for _ in range(int(rng.integers(1, 5))):
        array = rng.normal(size=shapes[rng.integers(len(shapes))]).astype(dtype)
        if array.ndim >= 2 and rng.random() < 0.3:
            array = np.ascontiguousarray(array.T).T
        elif array.ndim and rng.random() < 0.2:
            array = np.repeat(array, 2, axis=0)[::2]
        leaves.append(leaf(array, not leaves or bool(rng.random() < 0.8)))
    if rng.random() < 0.5:
        leaves.append(scalar_node(float(rng.normal()), from_numpy_dtype(np.dtype(dtype))))
    return leaves


def part(rng: np.random.Generator, x: Node) -> Node:
    """A slice, or x with a slice of it replaced."""
    full, sizes = [], []
    for n in x.type.shape:
        full.append(bool(n == 0 or rng.random() < 0.5))
        if not full[-1]:
            start, step = int(rng.integers(0, n)), int(rng.integers(1, 3))
            sizes += [start, int(rng.integers(0, (n - 1 - start) // step + 2)), step]
    y = ops.slice(x, full=tuple(full), sizes=tuple(sizes))
    if rng.random() < 0.5:
        return y
    return ops.slice_put(x, ops.exp(y) if rng.random() < 0.5 else y * 2, full=tuple(full), sizes=tuple(list(sizes)))


def movement(rng: np.random.Generator, x: Node) -> Node:
    n, kind = x.type.ndim, int(rng.integers(7))
    if kind == 0:
        return ops.permute(x, dims=tuple(rng.permutation(n).tolist()))
    if kind == 1:
        ones = tuple([i for i, size in enumerate(x.type.shape) if size == 1])
        return ops.squeeze(x, dims=ones) if ones else ops.unsqueeze(x, dims=(int(rng.integers(0, n + 1)),))
    if kind == 2:
        return ops.expand(x, sizes=(2, *x.type.shape))
    if not n:
        return x
    if kind == 3:
        return ops.flip(x, dims=(int(rng.integers(n)),))
    if kind == 4:
        return ops.reshape(x, sizes=(x.type.size,) if rng.random() < 0.6 else (1, *x.type.shape[::-1]))
    if kind == 5:
        return ops.cat(x, ops.sin(x), x, dim=int(rng.integers(n)))
    return part(rng, x)


def application(rng: np.random.Generator, x: Node, z: Node) -> Node:
    """One random op on x, and perhaps z.  Raises RuntimeError where shapes do not fit."""
    n, kind = x.type.ndim, rng.random()
    if kind < 0.3:
        return ops.REGISTRY[rng.choice(UNARY)](x)
    if kind < 0.55:
        return ops.REGISTRY[rng.choice(BINARY)](x, z)
    if kind < 0.65 and n:
        axes = tuple(sorted(rng.choice(n, size=rng.integers(1, n + 1), replace=False).tolist()))
        # The gradient of amax counts ties, which the last bit of a float32 decides too often.
        names = ["sum", "prod"] if x.type.dtype.code == "f4" else ["sum", "amax", "prod"]
        return ops.REGISTRY[rng.choice(names)](x, axes=axes)
    if kind < 0.9:
        return movement(rng, x)
    if kind < 0.97 and n >= 2:
        return ops.matmul(x, ops.transposed(x) if rng.random() < 0.5 or z.type.ndim < 2 else z)
    return ops.where(ops.gt(x, 0), x, ops.number(0, x))


def random_graph(seed: int) -> tuple[list[Node], list[Node]]:
    """(outputs, of which the first is the root, and nodes whose gradients are wanted)."""
    rng = drawn.generator(seed)
    pool = random_leaves(rng)
    leaves = [n for n in pool if n.requires_grad]

    def pick() -> Node:
        first = max(0, len(pool) - 8) if rng.random() < 0.7 else 0
        return pool[rng.integers(first, len(pool))]

    pool.append(ops.tanh(leaves[0]))        # there is always a root
    for _ in range(int(rng.integers(3, 25))):
        try:
            y = application(rng, pick(), pick())
        except RuntimeError:        # operands that do not broadcast
            continue
        if y.type.size <= 2000:
            pool.append(ops.tanh(y) if rng.random() < 0.3 else y)
    roots = [n for n in pool if n.inputs and n.requires_grad]
    outputs = [total(roots[-1])] + [n for n in pool if n.inputs and rng.random() < 0.2][:3]
    order = set(topological(outputs))
    wrt = [n for n in leaves if n in order] + [n for n in roots if n in order and rng.random() < 0.1]
    return outputs, wrt


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_graph(seed: int) -> None:
    r = request(*random_graph(seed))
    program = build(r)
    single = any([n.type.dtype.code == "f4" for n in r.order])
    with np.errstate(all="ignore"):
        want = reference(r)
        for _ in range(2):
            compare(program.run(r.order), want, 2e-3 if single else 1e-9)
