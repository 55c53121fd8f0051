"""The reverse sweep: from a graph to the graph of its vector-Jacobian products.  The only place that un-broadcasts."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jitgrad.errors import InternalError
from jitgrad.graph import Node, const, in_grad_mode
from jitgrad.ops.declare import REGISTRY


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
    """
    needed: set[Node] = set()
    for node in order:
        if node in wrt or (node.requires_grad and any([n in needed for n in node.inputs])):
            needed.add(node)
    grads: dict[Node, Node] = {}
    for root, g in cotangents.items():
        grads[root] = g
    result: dict[Node, Node] = {}
    add = REGISTRY["add"]
    for node in reversed(order):
        g = grads.pop(node, None)
        if g is None:
            continue
        if node in wrt:
            result[node] = g
        if node in stop or not node.inputs or node.op.vjp is None or not node.requires_grad:
            continue
        for n, gi in zip(node.inputs, node.op.vjp(g, node, *node.inputs, **node.kwargs), strict=True):
            if gi is None or n not in needed or not n.requires_grad:
                continue
            gi = sum_to(gi, n)
            if gi.type.dtype is not n.type.dtype or gi.type.shape != n.type.shape:
                raise InternalError(f"the derivative of {node} gave {gi} for its input {n}")
            have = grads.get(n)
            grads[n] = gi if have is None else add(have, gi)
    return result


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
