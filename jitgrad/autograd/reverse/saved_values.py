"""What operators save for backward, and the errors about saved values that were freed or written over.

What an operator saves follows from its derivative: the inputs, and the result, that the derivative reads.
"""
from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from jitgrad.autograd.reverse.owners import composite, edges, fn_name, qualified
from jitgrad.differentiate import saved_operands
from jitgrad.graph.node import CONST, SCALAR, Node, is_stale, topological
from jitgrad.tensors.storage import gradient_edge

FREED = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already "
         "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
         "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
         "saved tensors after calling backward.")


def saved_nodes(node: Node) -> list[Node]:
    """The nodes whose values the operator that produced `node` has saved for backward."""
    node = gradient_edge(node)
    fn = composite(node)
    if fn is None:
        return [node if i < 0 else node.inputs[i] for i in saved_operands(node)]
    if fn.saves is not None:
        return [*fn.saves, node] if fn.saves_result else list(fn.saves)
    boundary = set(fn.inputs)
    found: list[Node] = []
    for inner in topological([node], lambda n: () if n in boundary else n.inputs):
        if inner in boundary or not inner.inputs or not inner.requires_grad:
            continue
        # Numbers made by the operator itself (the count of a mean) are no saved tensors in PyTorch either.
        found += [_operand(n, boundary) for n in (inner if i < 0 else inner.inputs[i] for i in saved_operands(inner))
                  if n.op is not SCALAR and n.op is not CONST]
    return found


def _operand(node: Node, operands: Container[Node]) -> Node:
    """The operand that a node inside an operator is, promoted or seen in another shape; other nodes as they are."""
    n = node
    while n not in operands:
        if len(n.inputs) != 1 or not (n.op.name == "cast" or n.op.kind == "movement"):
            return node
        n = n.inputs[0]
    return n


def checked_nodes(node: Node) -> list[Node]:
    """Those of the saved nodes that must not have been written over since.

    An operator that wrote over its first operand has kept its own copy of that, as in PyTorch (y.sin_() is differentiable),
    unless the same tensor is another operand too (y *= y is not)."""
    found = saved_nodes(node)
    node = gradient_edge(node)
    if node.extra is not None and node.extra.in_place:
        return [n for n in found if n is not node.extra.in_place]
    return found


def check_saved(roots: Sequence[Node], needed: Container[Node]) -> None:
    """Raise RuntimeError if a saved value was freed by an earlier backward, or overwritten in place since.

    needed: the nodes that this backward goes through."""
    def passed(nodes: Iterable[Node | None]) -> list[Node]:
        return [n for n in nodes if n is not None and n.requires_grad and n in needed and (n.inputs or _is_function(n))]

    # In the order of the backward, so that of several errors PyTorch's is raised.
    for node in reversed(topological(passed(roots), lambda n: passed(edges(n)))):
        if not node.inputs:             # a Function checks what it has saved itself
            continue
        if node.run is not None and node.run.freed and saved_nodes(node):
            raise RuntimeError(FREED)
        for n in checked_nodes(node):
            if is_stale(viewed(n)):
                raise RuntimeError(stale_message(n, n is node))


def _is_function(node: Node) -> bool:
    """Whether a node without operands is a Function's output."""
    return node.extra is not None and node.extra.fn is not None


_NUMBERED = re.compile("Backward(?:0|([0-9]+))$")


def stale_message(node: Node, result: bool = False) -> str:
    """PyTorch's words for a saved value that was overwritten; `result`: saved by the operator that produced it."""
    held = viewed(node)
    extra = held.ensure_extra()
    what = f"[{node.type.dtype.legacy} {list(node.type.shape)}]"
    # PyTorch names the grad_fn that the tensor has by now: that of a view is made anew.
    writer = node if result else None if extra.cell.writer is None else extra.cell.writer()
    owner = writer if writer is not None and writer.requires_grad else node     # the latter: another base was written to
    if owner.requires_grad and (extra.leaf is None or held is not node):
        name = "AsStridedBackward0" if not result and (held is not node or _is_view(node)) else fn_name(owner)
        name = _NUMBERED.sub(r"\1", qualified(name))
        what += f", which is output 0 of {name},"
    return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{what} is at version {extra.cell.value}; expected version {extra.version} instead. Hint: enable anomaly "
            "detection to find the operation that failed to compute its gradient, with "
            "torch.autograd.set_detect_anomaly(True, check_nan=False).")


def viewed(node: Node) -> Node:
    """The node of the tensor that shares memory with a node: its own, or, for a view within an operator (the weight of a linear
    layer, transposed), which is no tensor, that of what it is a view of."""
    held = node
    while held.op.put is not None and (held.extra is None or held.extra.cell is None) and held.inputs:
        held = held.inputs[0]
    return node if held.extra is None or held.extra.cell is None else held


def _is_view(node: Node) -> bool:
    """Whether the tensor of a value that a storage has held is a view of another one."""
    cell = node.ensure_extra().cell
    while node.op.put is not None:
        node = node.inputs[0]
        if node.extra is not None and node.extra.cell is cell:
            return True
    return False
