"""Which public operator owns a node: PyTorch's name of its backward function, its operands, and which of its outputs the node is."""
from __future__ import annotations

from jitgrad.graph.node import Composite, Node
from jitgrad.tensors.storage import gradient_edge


def composite(node: Node) -> Composite | None:
    """The public operator that owns this node's grad_fn, if it is not the primitive alone."""
    fn = None if node.extra is None else node.extra.fn
    return fn if isinstance(fn, Composite) else None


def edges(node: Node) -> tuple[Node | None, ...]:
    """The operands of the public operator."""
    node = gradient_edge(node)
    fn = None if node.extra is None else node.extra.fn
    return node.inputs if fn is None else fn.inputs if isinstance(fn, Composite) else fn.ctx._edges


def fn_name(node: Node) -> str:
    """PyTorch's grad_fn name of the operator that produced a node."""
    node = gradient_edge(node)
    extra = node.extra
    if extra is not None and extra.fn is not None:
        return extra.fn.name
    name = node.op.grad_name
    if name is None:        # of a derivative, or of what vmap made: PyTorch has other names for these, or none
        return "".join([word.capitalize() for word in node.op.name.split("_")]) + "Backward0"
    return name


def qualified(name: str) -> str:
    """What PyTorch's `name()` says of a grad_fn of this name: those that it writes by hand tell their namespace."""
    return f"torch::autograd::{name}" if name in ("CopySlices", "CopyBackwards") else name


def output_number(node: Node) -> int:
    """Which output of its operator a node is."""
    fn = None if node.extra is None else node.extra.fn
    return getattr(fn, "number", 0)
