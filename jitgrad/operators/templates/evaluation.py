"""The values of a template: a NumPy function from arrays to tensors, for operands that are known where nothing is recorded.

Input: a template and which of its numbers are arguments.  Output: a function of the operands' arrays and of that number.  For the
variance of a matrix along a dimension:

    def evaluate(v0):
        v2 = call2(v0)
        if type(v2) is not ndarray or v2.dtype is not dtype2: v2 = as_array(v2, type2)
        ...
        return v8.reshape((3,))
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.generated import function
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.graph.template import Template
from jitgrad.interpreter import as_array, quiet
from jitgrad.operators.templates.constant_cache import LEAST, MOST_BYTES, by_contents, cached
from jitgrad.ops.movement import RESHAPED
from jitgrad.tensors.tensor import wrap
from jitgrad.types.array import ArrayType
from jitgrad.types.dtype import wrapped


def evaluator(operands: Sequence[Node], found: Template, arguments: Sequence[int] = ()) -> Callable[..., Any]:
    """What evaluates a template at once, from arrays to tensors.  arguments: the nodes that are numbers given after the arrays."""
    compute = arrays(len(operands), found, arguments)
    types = [found.nodes[i - len(operands)].spec.type for i in found.results]
    make, run = found.make, quiet.run
    if make is None:
        [type_] = types
        # Below LEAST elements computing takes no longer than looking up.
        sizes = [n.type.size for n in operands]
        work = max(*sizes, type_.size)
        if work >= LEAST and type_.size * type_.dtype.itemsize <= MOST_BYTES:
            small, misses = by_contents(sizes, work), [0]
            return lambda *values: wrap(input_node(cached(run, misses, small, compute, *values), type_))
        return lambda *values: wrap(input_node(run(compute, *values), type_))
    return lambda *values: make([wrap(input_node(v, t)) for v, t in zip(run(compute, *values), types, strict=True)])


def arrays(operands: int, found: Template, arguments: Sequence[int]) -> Callable[..., Any]:
    """From arrays to the array of a template's only result or a tuple of arrays."""
    given: dict[str, Any] = {"as_array": as_array, "ndarray": np.ndarray}
    lines: list[str] = []
    shapes = {i: f"v{i}.shape" for i in range(operands)}
    for i, (spec, inputs, _, _, value) in enumerate(found.nodes, operands):
        shapes[i] = repr(spec.type.shape)
        if not inputs:
            if i not in arguments:
                given[f"v{i}"] = as_array(value, spec.type)
            elif spec.type.dtype.category == 1:
                given[f"whole{i}"] = functools.partial(_whole, spec.type)
                lines.append(f"v{i} = whole{i}(v{i})")
            continue
        if spec.op in RESHAPED:
            lines.append(f"v{i} = v{inputs[0]}.reshape({shapes[i]})")
            continue
        given[f"call{i}"] = functools.partial(spec.op.numpy, **spec.kwargs) if spec.kwargs else spec.op.numpy
        given[f"type{i}"], given[f"dtype{i}"] = spec.type, spec.type.dtype.np
        values = [shapes[n] if k in spec.op.shape_only else f"v{n}" for k, n in enumerate(inputs)]
        lines += [f"v{i} = call{i}({', '.join(values)})",
                  f"if type(v{i}) is not ndarray or v{i}.dtype is not dtype{i}: v{i} = as_array(v{i}, type{i})"]
    results = [f"v{i}" for i in found.results]
    lines.append(f"return {results[0] if found.make is None else '(' + ', '.join(results) + ',)'}")
    head = ", ".join([f"v{i}" for i in (*range(operands), *arguments)])
    return function("evaluate", head, lines, given, __file__)


def _whole(type_: ArrayType, value: int) -> np.ndarray:
    """An integer among the arguments, as an operator takes it beside a tensor of integers."""
    return as_array(wrapped(value, type_.dtype), type_)
