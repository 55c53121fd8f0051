"""The history as users see it: grad_fn objects, and the errors about saved values.

What an operator saves follows from its derivative: the inputs, and the result, that the derivative reads.
"""
from __future__ import annotations

import weakref
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph import CONST, SCALAR, Composite, Node, Op, grad_mode, input_node, topological
from jitgrad.storage import gradient_edge, is_stale
from jitgrad.tensor import Tensor

FREED = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already "
         "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
         "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
         "saved tensors after calling backward.")

_saved_positions: dict[tuple, tuple[int, ...]] = {}


def saved_positions(node: Node) -> tuple[int, ...]:
    """Which operands the derivative of a primitive reads, given which of them need one; -1 stands for the result."""
    needs = tuple([n.requires_grad for n in node.inputs])
    key = (node.op, node.params, needs, tuple([n.type.key for n in node.inputs]))
    found = _saved_positions.get(key)
    if found is None:
        found = _saved_positions[key] = _trace_saved(node.op, node, needs)
    return found


def _trace_saved(op: Op, node: Node, needs: tuple[bool, ...]) -> tuple[int, ...]:
    dummy = np.zeros(())
    operands = [input_node(dummy, n.type) for n in node.inputs]
    result, g = input_node(dummy, node.type), input_node(dummy, node.type)
    enabled, grad_mode.enabled = grad_mode.enabled, False
    try:
        rules = op.vjp(g, result, *operands, **node.kwargs) if op.vjp is not None else ()
    finally:
        grad_mode.enabled = enabled

    def children(n: Node) -> Sequence[Node]:
        return [m for i, m in enumerate(n.inputs) if i not in n.op.shape_only] if n.op.shape_only else n.inputs

    used = set(topological([r for r, need in zip(rules, needs, strict=True) if need and r is not None], children))
    return tuple([i for i, n in enumerate(operands) if n in used] + ([-1] if result in used else []))


def saved_nodes(node: Node) -> list[Node]:
    """The nodes whose values the operator that produced `node` has saved for backward."""
    node = gradient_edge(node)
    fn = composite(node)
    if fn is None:
        return [node if i < 0 else node.inputs[i] for i in saved_positions(node)]
    if fn.saves is not None:
        return [*fn.saves, node] if fn.saves_result else list(fn.saves)
    boundary = set(fn.inputs)
    found: list[Node] = []
    for inner in topological([node], lambda n: () if n in boundary else n.inputs):
        if inner in boundary or not inner.inputs or not inner.requires_grad:
            continue
        # Numbers made by the operator itself (the count of a mean) are no saved tensors in PyTorch either.
        found += [_operand(n, boundary) for n in (inner if i < 0 else inner.inputs[i] for i in saved_positions(inner))
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
        first, *others = edges(node) or (None,)
        if not any([n is first for n in others]):
            return [n for n in found if n is not first]
    return found


def composite(node: Node) -> Composite | None:
    """The public operator that owns this node's grad_fn, if it is not the primitive alone."""
    fn = None if node.extra is None else node.extra.fn
    return fn if isinstance(fn, Composite) else None


def edges(node: Node) -> tuple[Node | None, ...]:
    """The operands of the public operator."""
    node = gradient_edge(node)
    fn = composite(node)
    return node.inputs if fn is None else fn.inputs


def check_saved(roots: Sequence[Node], needed: Container[Node]) -> None:
    """Raise RuntimeError if a saved value was freed by an earlier backward, or overwritten in place since.

    needed: the nodes that this backward goes through."""
    seen: set[Node] = set()
    stack = [n for n in roots if n.requires_grad]
    while stack:
        node = stack.pop()
        if node in seen or not node.inputs or node not in needed:
            continue
        seen.add(node)
        if node.run is not None and node.run.freed and saved_nodes(node):
            raise RuntimeError(FREED)
        for n in checked_nodes(node):
            if is_stale(n):
                raise RuntimeError(stale_message(n, n is node))
        stack.extend([n for n in edges(node) if n is not None and n.requires_grad])


def stale_message(node: Node, result: bool = False) -> str:
    """PyTorch's words for a saved value that was overwritten; `result`: saved by the operator that produced it."""
    extra = node.ensure_extra()
    what = f"[{node.type.dtype.legacy} {list(node.type.shape)}]"
    writer = node if result else None if extra.cell.writer is None else extra.cell.writer()
    if node.requires_grad and extra.leaf is None:
        owner = node if writer is None or not writer.requires_grad else writer      # the former: another base was written to
        what += f", which is output 0 of {fn_name(owner).split('Backward')[0]},"
    return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{what} is at version {extra.cell.value}; expected version {extra.version} instead. Hint: enable anomaly "
            "detection to find the operation that failed to compute its gradient, with "
            "torch.autograd.set_detect_anomaly(True, check_nan=False).")


# -- grad_fn ---------------------------------------------------------------------------------------------------------


class GradFn:
    """A node of the graph as autograd shows it: `name()`, `next_functions`, `metadata`.  Subclassed per operator."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.metadata: dict[Any, Any] = {}

    def name(self) -> str:
        """PyTorch's name of the backward function."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Per operand of the operator: (its grad_fn or None, output number)."""
        return tuple([(None, 0) if n is None or not n.requires_grad else (grad_fn(n), output_number(n))
                      for n in edges(self._node)])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self))}>"


class AccumulateGrad(GradFn):
    """The end of the graph at a leaf: `variable` is the tensor whose .grad receives the gradient."""

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    @property
    def variable(self) -> Tensor | None:
        return self._node.ensure_extra().leaf.tensor()

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return ()


_classes: dict[str, type[GradFn]] = {}


def fn_name(node: Node) -> str:
    """PyTorch's grad_fn name of the operator that produced a node."""
    node = gradient_edge(node)
    extra = node.extra
    if extra is not None and extra.fn is not None:
        return extra.fn.name
    name = node.op.grad_name
    if name is None:
        raise InternalError(f"the primitive {node.op.name} was recorded by an operator that names no grad_fn")
    return name


def output_number(node: Node) -> int:
    """Which output of its operator a node is."""
    fn = None if node.extra is None else node.extra.fn
    return getattr(fn, "number", 0)


def grad_fn(node: Node) -> Any:
    """The grad_fn object of a node that requires a gradient; the same one as long as somebody holds it."""
    node = gradient_edge(node)
    extra = node.ensure_extra()
    found = None if extra.grad_fn is None else extra.grad_fn()
    if found is None:
        if extra.leaf is not None:
            found = AccumulateGrad(node)
        elif extra.fn is not None and not isinstance(extra.fn, Composite):
            return extra.fn.ctx                      # a user's Function: its ctx is the grad_fn
        else:
            name = fn_name(node)
            cls = _classes.get(name)
            if cls is None:
                cls = _classes[name] = type(name, (GradFn,), {})
            found = cls(node)
        extra.grad_fn = weakref.ref(found)
    return found


def tensor_grad_fn(tensor: Tensor) -> Any:
    """Tensor.grad_fn: None for leaves."""
    node = tensor._current()
    return None if tensor.is_leaf else grad_fn(node)
