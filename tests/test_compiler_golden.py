"""The generated code of a dozen graphs, in full.  UPDATE_GOLDEN=1 writes the files anew: look at the diff."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from graphs import leaf, normal, request, total
from test_compiler import chain, network, normalised, softmax

from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.graph.recording import scalar_node
from jitgrad.types.dtype import float64

GOLDEN = Path(__file__).parent / "golden"


def _chain() -> Request:
    x = normal(5)
    return request([chain(x)], [x])


def _chain32() -> Request:
    x = normal(5, dtype="float32")
    return request([chain(x)], [x])


def _scalar() -> Request:
    x = leaf(3.0)
    return request([x * x * scalar_node(2.0, float64)], [x])


def _network() -> Request:
    loss, weights = network(3)
    return request([loss], weights)


def _softmax() -> Request:
    x = normal(3, 4)
    return request([total(ops.square(softmax(x, 1)))], [x])


def _normalised() -> Request:
    x, w = normal(3, 4), normal(4)
    return request([total(ops.square(normalised(x) * w))], [x, w])


def _reductions() -> Request:
    y = ops.exp(normal(2, 3, 4))
    return request([ops.sum(y, axes=(2,)), ops.amax(y, axes=(0,)), ops.sum(y, axes=(1,)), total(y)])


def _strided() -> Request:
    x, y = leaf(normal(4, 3).value.T), normal(3, 4)
    return request([x * y, ops.permute(x, dims=(1, 0))])


def _neighbours() -> Request:
    x = normal(9)
    difference = ops.slice(x, full=(False,), sizes=(1, 8, 1)) - ops.slice(x, full=(False,), sizes=(0, 8, 1))
    return request([total(ops.square(difference))], [x])


def _parameters() -> Request:
    p, x = normal(2), normal(20, requires_grad=False)
    a, b = [ops.reshape(ops.slice(p, full=(False,), sizes=(i, 1, 1)), sizes=()) for i in range(2)]
    return request([total(ops.square(a * ops.exp(-b * x)))], [p])


def _joined() -> Request:
    a, b = normal(2, 3), normal(2, 1)
    return request([ops.cat(ops.exp(a), b, dim=1), ops.flip(a, dims=(1,))])


def _integers() -> Request:
    x = leaf([[1, 2], [3, 4]], dtype="int32")
    mask = ops.gt(x, 2)
    return request([ops.where(mask, x * x, -x), ops.sum(x, axes=(0,)), ops.amax(mask, axes=(1,)),
                    ops.cast(x, dtype=float64)])


GRAPHS: dict[str, Callable[[], Request]] = {
    f.__name__[1:]: f for f in (_chain, _chain32, _scalar, _network, _softmax, _normalised, _reductions, _strided,
                                _neighbours, _parameters, _joined, _integers)}


@pytest.mark.parametrize("name", GRAPHS)
def test_generated_code(name: str) -> None:
    program = build(GRAPHS[name]())
    text = "\n".join([str(s) for s in program.steps]) + "\n"
    for k in program.kernels:
        text += f"\n# {k.name} over {k.domain}: reads {', '.join(k.reads)}; writes {', '.join(k.writes)}\n{k.source}"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), "the generated code changed; UPDATE_GOLDEN=1 accepts it"
