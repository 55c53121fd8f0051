"""The reference: evaluates a graph node by node with NumPy.  Pure: stores nothing on nodes, runs no hook."""
from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from jitgrad.graph.node import Node, Spec, topological
from jitgrad.memory.cuda.arrays import DeviceArray
from jitgrad.ops.quiet import quiet
from jitgrad.types.array import ArrayType


def leaf_value(node: Node) -> np.ndarray:
    """The array of a leaf: the one it holds, a copy of one that is on a device, or the number as a 0-d array of its dtype."""
    value = node.value
    if type(value) is np.ndarray:
        return value
    return value.to_host() if type(value) is DeviceArray else np.asarray(value, node.type.dtype.np)


def apply(node: Node, arrays: Sequence[np.ndarray | None]) -> np.ndarray:
    """One node on its inputs' arrays (None where only the shape is used), as an array of the node's type."""
    return apply_spec(node.spec, node.inputs, arrays)


def apply_spec(spec: Spec, inputs: Sequence[Node], arrays: Sequence[np.ndarray | None]) -> np.ndarray:
    """`apply` of a node with this spec and these inputs."""
    op = spec.op
    args = [n.type.shape if i in op.shape_only else a
            for i, (n, a) in enumerate(zip(inputs, arrays, strict=True))] if op.shape_only else arrays
    return as_array(op.numpy(*args, **spec.kwargs), spec.type)


def known(node: Node) -> np.ndarray | None:
    """The array of a node whose value is known, None of others, of which only the shape is asked."""
    value = node.value
    return value if value is None or type(value) is np.ndarray else leaf_value(node)


def as_array(value: Any, type_: ArrayType) -> np.ndarray:
    """What a NumPy function returned (a scalar, or an array of a wider dtype, possibly) as an array of the type."""
    if type(value) is not np.ndarray or (value.dtype is not type_.dtype.np and value.dtype != type_.dtype.np):
        value = np.asarray(value, type_.dtype.np)
    return value


def evaluate(outputs: Sequence[Node], memo: MutableMapping[Node, np.ndarray] | None = None, *,
             keep: bool = False) -> list[np.ndarray]:
    """The outputs' arrays.  `memo` gives values that are known and, with `keep`, receives all that are computed;
    otherwise an intermediate is dropped after its last use.  Nodes that hold a value are not computed again."""
    memo = {} if memo is None else memo

    def children(node: Node) -> Sequence[Node]:
        if node.value is not None or node in memo:
            return ()
        skip = node.op.shape_only
        return [n for i, n in enumerate(node.inputs) if i not in skip] if skip else node.inputs

    order = topological(outputs, children)
    uses: dict[Node, int] = {}
    for node in order:
        for n in children(node):
            uses[n] = uses.get(n, 0) + 1
    for n in outputs:
        uses[n] = uses.get(n, 0) + 1
    values: dict[Node, np.ndarray] = {}
    for node in order:
        if node in memo:
            values[node] = memo[node]
            continue
        spec, inputs = node.spec, node.inputs       # read before the value: a postponed node lets go of them when it has one
        if node.value is not None:
            values[node] = leaf_value(node)
        else:
            values[node] = quiet.run(apply_spec, spec, inputs, [values.get(n) for n in inputs])
            for i, n in enumerate(inputs):
                if i not in (spec.op.shape_only or ()):
                    uses[n] -= 1
                    if not uses[n]:
                        del values[n]
            if keep:
                memo[node] = values[node]
    return [values[n] for n in outputs]


def compute(node: Node) -> np.ndarray:
    """The value of a node that depends on nothing pending: `evaluate` without its bookkeeping, for what one operator
    has recorded."""
    return quiet.run(_compute, node)


def _compute(root: Node) -> np.ndarray:
    values: dict[Node, np.ndarray] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        arrays: list[np.ndarray | None] = []
        for i, n in enumerate(node.inputs):
            if n.value is not None:
                arrays.append(leaf_value(n))
            elif n in values:
                arrays.append(values[n])
            elif i in node.spec.op.shape_only:
                arrays.append(None)
            else:
                stack.append(n)
                break
        else:
            stack.pop()
            values[node] = apply(node, arrays)
    return values[root]
