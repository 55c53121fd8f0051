"""Forward-mode derivatives, by transposing reverse mode: no operator has a second rule.

A vector-Jacobian product is linear in its vector, and the derivative by that vector is the Jacobian-vector product (J. Townsend, A new
trick for calculating Jacobian vector products, 2017).  A Function may have a rule of its own (jvp)."""
from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import autograd
from jitgrad.autograd.function import FunctionCtx, PyFunction, fit, forward_mode
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import bind, in_grad_mode, input_node
from jitgrad.operators.creation import zeros
from jitgrad.ops import REGISTRY, zeros_like
from jitgrad.tensors.tensor import Tensor, wrap

Found = list[Tensor | None]


def alias(tensor: Tensor) -> Tensor:
    """The same value as a point of its own in the graph, which gradients are taken at: it requires one, and passes one on where
    the tensor does.  Raises RuntimeError for what is not floating-point."""
    if not tensor.dtype.is_floating_point:
        raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
    return wrap(_alias(tensor._current()))


def _alias(of: Node) -> Node:
    node = in_grad_mode(True, bind, REGISTRY["copy"], (of,))
    node.requires_grad = True
    node.depth = max(node.depth, 1)
    return node


def is_linked(outputs: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether outputs are made of something that requires a gradient, beside through these aliases."""
    aliases = {t._current() for t in own}
    found = topological([n for t in outputs if (n := t._current()).requires_grad], lambda n: () if n in aliases else edges(n))
    return any([n.inputs[0].requires_grad if n in aliases else not edges(n) for n in found])


def edges(node: Node) -> list[Node]:
    """What requires a gradient below a node."""
    below = node.inputs
    if not below and node.extra is not None and hasattr(node.extra.fn, "ctx"):      # a Function's result
        below = tuple([n for n in node.extra.fn.ctx._edges if n is not None])
    return [n for n in below if n.requires_grad]


def pull_back(outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor | None], create_graph: bool) -> Found:
    """The vector-Jacobian product with respect to each input; None: no output depends on it."""
    some = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
    if not some:
        return [None] * len(inputs)
    return list(in_grad_mode(True, lambda: autograd.grad([o for o, _ in some], list(inputs), [c for _, c in some], True, create_graph,
                                                         allow_unused=True)))


def push_forward(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> Callable[[Sequence[Tensor], bool], Found]:
    """The Jacobian-vector products of outputs, as a function of the tangents of the inputs and of whether they are recorded.

    None: an output depends on no input."""
    dummies = [wrap(_alias(zeros_like(o._current()))) for o in outputs if o.requires_grad]
    places = [i for i, o in enumerate(outputs) if o.requires_grad]
    before = forward_mode.transposed
    forward_mode.transposed = _transposed
    try:
        linear = pull_back([outputs[i] for i in places], inputs, dummies, True) if places else [None] * len(inputs)
    finally:
        forward_mode.transposed = before

    def push(tangents: Sequence[Tensor], create_graph: bool) -> Found:
        some = [(g, t) for g, t in zip(linear, tangents, strict=True) if g is not None]
        found = pull_back([g for g, _ in some], dummies, [t for _, t in some], create_graph)
        result: Found = [None] * len(outputs)
        for i, t in zip(places, found, strict=True):
            result[i] = t
        return result

    return push


# -- Functions with a jvp ------------------------------------------------------------------------------------------

class TransposedCtx(FunctionCtx):
    """The transpose of a Function's `jvp`: a linear function of gradients, of which only the derivative is ever asked for."""

    def _gradients(self, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
        """The tangents of the Function's outputs, from those of its arguments."""
        return in_grad_mode(create_graph, self._pushed, grads)

    def _pushed(self, grads: Sequence[Node | None]) -> list[Node | None]:
        of: FunctionCtx = self.of                       # type: ignore[attr-defined]
        tangents = [wrap(g) if g is not None else zeros(type.shape, dtype=type.dtype) if type is not None and of.materialize_grads
                    else None for g, type in zip(grads, self._types, strict=True)]
        of._in_jvp = True
        try:
            found: Any = of._function.jvp(of, *tangents)
        finally:
            of._in_jvp = False
        results = found if isinstance(found, tuple) else (found,)
        if len(results) != len(self._edges):
            raise RuntimeError(f"{of._function.__name__}.jvp returned an incorrect number of tangents (expected {len(self._edges)}, "
                               f"got {len(results)})")
        return [None if r is None or edge is None else fit(of.name(), i, r._current(), edge, True)
                for i, (r, edge) in enumerate(zip(results, self._edges, strict=True))]


def _transposed(of: FunctionCtx, grads: Sequence[Node | None]) -> list[Node | None]:
    """What stands for the gradients of a Function's arguments where that is to be transposed.  (Its value is 0: nobody reads it.)"""
    ctx = TransposedCtx(of._function)
    ctx.of = of                                         # type: ignore[attr-defined]
    ctx._edges = tuple(grads)
    made: list[Node | None] = []
    for i, edge in enumerate(of._edges):
        real = edge is not None and edge.type.dtype.category == 2
        ctx._types.append(edge.type if real else None)      # type: ignore[union-attr]
        node = None
        if edge is not None and edge.requires_grad:
            node = input_node(np.zeros(edge.type.shape, edge.type.dtype.np), edge.type, True)
            node.ensure_extra().fn = PyFunction(ctx, i)
            node.depth = 1 + max([n.depth for n in grads if n is not None], default=0)
        ctx._outputs.append(None if node is None else weakref.ref(node))
        made.append(node)
    return made
