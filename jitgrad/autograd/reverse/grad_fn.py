"""The history as users see it: grad_fn objects."""
from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from jitgrad.autograd.reverse.hooks import After, Before, NodeHooks, RemovableHandle, add
from jitgrad.autograd.reverse.owners import edges, fn_name, output_number, qualified
from jitgrad.autograd.reverse.saved_values import FREED, checked_nodes, saved_nodes, stale_message, viewed
from jitgrad.graph.node import Composite, Node, is_stale
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import Tensor, wrap

_SAVED = ("_saved_self", "_saved_other", "_saved_result")
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

    def __getattr__(self, name: str) -> Any:
        """What the operator has saved of its first two operands and its result, `_saved_self`, `_saved_other` and `_saved_result`."""
        if name not in _SAVED:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        node = gradient_edge(self._node)
        saved = ([*edges(node), None, None][:2] + [node])[_SAVED.index(name)]
        if saved is None or saved not in saved_nodes(node):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        if node.run is not None and node.run.freed:
            raise RuntimeError(FREED)
        if saved in checked_nodes(node) and is_stale(viewed(saved)):
            raise RuntimeError(stale_message(saved, saved is node))
        tensor = None if saved.extra is None or saved.extra.leaf is None else saved.extra.leaf.tensor()
        return tensor if tensor is not None and tensor._current() is saved else wrap(saved)

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
