"""The history as users see it: grad_fn objects, and the errors about saved values.

What an operator saves follows from its derivative: the inputs, and the result, that the derivative reads.
"""
from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from jitgrad.autograd.reverse.hooks import After, Before, NodeHooks, RemovableHandle, add
from jitgrad.differentiate import saved_operands
from jitgrad.graph.node import CONST, SCALAR, Composite, Node, is_stale, topological
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import Tensor

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


def composite(node: Node) -> Composite | None:
    """The public operator that owns this node's grad_fn, if it is not the primitive alone."""
    fn = None if node.extra is None else node.extra.fn
    return fn if isinstance(fn, Composite) else None


def edges(node: Node) -> tuple[Node | None, ...]:
    """The operands of the public operator."""
    node = gradient_edge(node)
    fn = None if node.extra is None else node.extra.fn
    return node.inputs if fn is None else fn.inputs if isinstance(fn, Composite) else fn.ctx._edges


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


# -- grad_fn ---------------------------------------------------------------------------------------------------------


_metadata: weakref.WeakKeyDictionary[Node, dict[Any, Any]] = weakref.WeakKeyDictionary()


class GradFn(NodeHooks):
    """A node of the graph as autograd shows it: `name()`, `next_functions`, `metadata`, hooks.  Subclassed per operator."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for users, which lives as long as the graph does."""
        return _metadata.setdefault(self._node, {})

    def register_prehook(self, fn: Callable) -> RemovableHandle:
        """Call `fn(grad_outputs)` before this node's backward; a tuple that it returns takes their place."""
        return self._hooked().register_prehook(fn)

    def register_hook(self, fn: Callable) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after this node's backward; a tuple that it returns takes the place of grad_inputs."""
        return self._hooked().register_hook(fn)

    def _hooked(self) -> NodeHooks:
        """What backward calls Python for at this node."""
        from jitgrad.autograd.reverse.operation import operation
        return operation(self._node)

    def name(self) -> str:
        """PyTorch's name of the backward function."""
        return qualified(type(self).__name__)

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

    def register_prehook(self, fn: Callable) -> RemovableHandle:
        return add(self._node.ensure_extra().leaf.post_hooks, Before(fn))

    def register_hook(self, fn: Callable) -> RemovableHandle:
        return add(self._node.ensure_extra().leaf.post_hooks, After(fn))

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


def grad_fn(node: Node) -> Any:
    """The grad_fn object of a node that requires a gradient; the same one as long as somebody holds it."""
    node = gradient_edge(node)
    extra = node.ensure_extra()
    found = None if extra.grad_fn is None else extra.grad_fn()
    if found is None:
        if extra.leaf is not None:
            found = AccumulateGrad(node)
        elif extra.fn is not None and not isinstance(extra.fn, Composite) and extra.fn.ctx._is_grad_fn:
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
