"""The reverse sweep: from a graph to the graph of its vector-Jacobian products.  The only place that un-broadcasts."""
from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, Op, topological
from jitgrad.graph.recording import const, grad_mode, in_grad_mode, input_node
from jitgrad.ops.declare import REGISTRY
from jitgrad.ops.movement import constant_in, zeros_like


def sum_to(g: Node, like: Node) -> Node:
    """Sum `g` over the dimensions in which `like` was broadcast to g's shape.  Which those are is structural."""
    shape, target = g.type.shape, like.type.shape
    if shape == target:
        return g
    lead = len(shape) - len(target)
    axes = tuple([i for i, n in enumerate(shape) if n != 1 and (i < lead or target[i - lead] == 1)])
    if axes:
        g = REGISTRY["sum"](g, axes=axes)
    if lead:
        g = REGISTRY["squeeze"](g, dims=tuple(range(lead)))
    return g


def differentiate(order: Sequence[Node], cotangents: Mapping[Node, Node], wrt: Collection[Node],
                  stop: Collection[Node] = ()) -> dict[Node, Node]:
    """Gradients with respect to the nodes `wrt`, as nodes.

    order: the graph, inputs first.  cotangents: the incoming gradient of each root, of the root's type.
    stop: nodes whose gradient is collected but not passed on to their inputs.
    Nodes of `wrt` that no root depends on (through differentiable ops) are absent from the result.

    What is recorded for a further derivative reads operands that were overwritten since from copies: whoever may still
    read one has kept its own (autograd/reverse/saved_values.py has checked that).
    """
    needed: set[Node] = set()
    for node in order:
        if node in wrt or (node.requires_grad and any([n in needed for n in node.inputs])):
            needed.add(node)
    grads: dict[Node, Node] = dict(cotangents)
    zeros: set[Node] = set()        # gradients that are 0 because a derivative is constant
    copies: dict[Node, Node] = {}
    result: dict[Node, Node] = {}
    for node in reversed(order):
        g = grads.pop(node, None)
        if g is None:
            continue
        zero = g in zeros
        if node in wrt:
            result[node] = _with_history(zeros_like(node), g) if zero else g
        if node in stop or node.op.vjp is None or not node.requires_grad or not any([n in needed for n in node.inputs]):
            continue
        constant = node.op is constant_in
        for i, (n, gi) in enumerate(zip(node.inputs, operand_gradients(node, g, needed, copies), strict=True)):
            if gi is None:
                continue
            if zero or (constant and i == 1):
                zeros.add(gi)
            grads[n] = _sum(grads.get(n), gi, zeros)
    return result


def operand_gradients(node: Node, g: Node, needed: Collection[Node], copies: dict[Node, Node]) -> Iterator[Node | None]:
    """What one primitive contributes to the gradient of each of its operands; None for those that need none.

    copies: see _kept."""
    operands = [_kept(n, copies) for n in node.inputs] if grad_mode.enabled else node.inputs
    found = node.op.vjp(g, node, *operands, **node.kwargs) if node.op.vjp is not None else (None,) * len(operands)
    for n, gi in zip(node.inputs, found, strict=True):
        if gi is None or n not in needed or not n.requires_grad:
            yield None
            continue
        gi = sum_to(gi, n)
        if gi.type.dtype is not n.type.dtype or gi.type.shape != n.type.shape:
            raise InternalError(f"the derivative of {node} gave {gi} for its input {n}")
        yield gi


def _sum(a: Node | None, b: Node, zeros: set[Node]) -> Node:
    """The sum of two gradients (None: there was none before); zeros are not added, and are not computed then."""
    if a is None:
        return b
    if a in zeros and b not in zeros:
        return _with_history(b, a)
    if b not in zeros:
        return REGISTRY["add"](a, b)
    total = _with_history(a, b)
    if a in zeros:
        zeros.add(total)
    return total


def _with_history(g: Node, zero: Node) -> Node:
    """A gradient that requires one also where gradients that are 0 do."""
    return constant_in(g, zero) if zero.requires_grad else g


def _kept(operand: Node, copies: dict[Node, Node]) -> Node:
    """An operand, or a copy of one that was overwritten."""
    extra = operand.extra
    if extra is None or extra.cell is None or extra.cell.value == extra.version:
        return operand
    if operand not in copies:
        copies[operand] = REGISTRY["copy"](operand)
    return copies[operand]


def cotangent_map(roots: Sequence[Node], cotangents: Sequence[Node | None]) -> dict[Node, Node]:
    """The incoming gradient of each root, None standing for 1; those of a root named twice are added."""
    result: dict[Node, Node] = {}
    for root, g in zip(roots, cotangents, strict=True):
        if g is None:
            g = const(1, root.type.dtype, root.type.device)
            if root.type.shape:
                g = REGISTRY["expand_like"](g, root)
        result[root] = REGISTRY["add"](result[root], g) if root in result else g
    return result


def backward_graph(order: Sequence[Node], roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
                   stop: Collection[Node] = ()) -> dict[Node, Node]:
    """The derivative of a request as nodes, not recorded for a further derivative."""
    return in_grad_mode(False, lambda: differentiate(order, cotangent_map(roots, cotangents), set(wrt), stop))


_saved_positions: dict[tuple, tuple[int, ...]] = {}


def saved_operands(node: Node) -> tuple[int, ...]:
    """Which operands the derivative of a primitive reads, given which of them need one; -1 stands for the result."""
    needs = tuple([n.requires_grad for n in node.inputs])
    key = (node.op, node.params, needs, tuple([n.type.key for n in node.inputs]))
    found = _saved_positions.get(key)
    if found is None:
        found = _saved_positions[key] = _find_saved(node.op, node, needs)
    return found


def _find_saved(op: Op, node: Node, needs: tuple[bool, ...]) -> tuple[int, ...]:
    dummy = np.zeros(())
    operands = [input_node(dummy, n.type) for n in node.inputs]
    result, g = input_node(dummy, node.type), input_node(dummy, node.type)
    rules: Sequence[Node | None] = ()
    if op.vjp is not None:
        rules = in_grad_mode(False, functools.partial(op.vjp, g, result, *operands, **node.kwargs))

    def children(n: Node) -> Sequence[Node]:
        return [m for i, m in enumerate(n.inputs) if i not in n.op.shape_only] if n.op.shape_only else n.inputs

    used = set(topological([r for r, need in zip(rules, needs, strict=True) if need and r is not None], children))
    return tuple([i for i, n in enumerate(operands) if n in used] + ([-1] if result in used else []))
