"""The batching transform: every primitive that has a rule does for a batch what it does for each element."""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from jitgrad import interpreter
from jitgrad.batching import batch, element_of, whole
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind, input_node
from jitgrad.ops import REGISTRY
from jitgrad.types import dtype as dtypes
from jitgrad.types.array import array_type

pytestmark = pytest.mark.full

SIZE = 3
BY_CODE = {d.code: d for d in (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.bool_)}
# What has no batching rule: vmap raises NotImplementedError for it.
WITHOUT: set[str] = set()


def node(array: np.ndarray) -> Node:
    return input_node(array, array_type(array.shape, dtypes.from_numpy_dtype(array.dtype)))


def masks(count: int) -> list[tuple[bool, ...]]:
    """Which operands are batched: each one alone, all, and all ways of two or three."""
    found = [m for m in itertools.product((False, True), repeat=count) if any(m)]
    return found if count <= 3 else [m for m in found if sum(m) in (1, count)]


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.sample is not None])
def test_primitive(name: str) -> None:
    op = REGISTRY[name]
    kind = BY_CODE["f8" if "f8" in op.sample.dtypes else op.sample.dtypes[0]]
    done = 0
    for cases in zip(*[op.sample.cases(np.random.default_rng(seed), kind) for seed in range(SIZE)], strict=True):
        first, count = cases[0], len(cases[0].arrays)
        params = tuple([first.params[p] for p in op.param_names])
        for mask in masks(count):
            arrays = [np.stack([c.arrays[i] for c in cases]) if mask[i] else first.arrays[i] for i in range(count)]
            nodes = [node(a) for a in arrays]
            elements = [element_of(n) if m else n for n, m in zip(nodes, mask, strict=True)]
            output = bind(op, tuple(elements), params, first.sizes)
            try:
                [result], _ = batch([output], {e: n for e, n, m in zip(elements, nodes, mask, strict=True) if m}, SIZE)
            except NotImplementedError:
                assert name in WITHOUT or any([m and (name in ("monomial", "elu") and arg != "x" or arg in ("seed", "offset"))
                                               for m, arg in zip(mask, op.arg_names, strict=False)])
                continue
            [found] = interpreter.evaluate([whole(result, SIZE)])
            expected = [interpreter.evaluate([bind(op, tuple([node(a[k] if m else a) for a,
                                                              m in zip(arrays, mask, strict=True)]), params,
                                                   first.sizes)])[0] for k in range(SIZE)]
            assert found.dtype == expected[0].dtype
            np.testing.assert_allclose(found, np.stack(expected), rtol=1e-9, atol=1e-12)
            done += 1
    assert done or name in WITHOUT


def test_what_has_no_rule_is_refused(monkeypatch: Any) -> None:
    op = REGISTRY["prod_others"]
    monkeypatch.setattr(op, "param_names", ("way",))
    element = element_of(node(np.ones((2, 3))))
    output = Node(bind(REGISTRY["copy"], (element,)).spec, (element,), False, 1)
    output.spec = type(output.spec)(op, (0,), None, element.type, 0)
    with pytest.raises(NotImplementedError, match="vmap: there is no batching rule for prod_others"):
        batch([output], {element: node(np.ones((2, 3)))}, 2)
