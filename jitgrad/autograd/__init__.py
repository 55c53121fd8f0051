"""jitgrad.autograd: backward, grad, Function and the grad modes, as in torch.autograd."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from jitgrad import tracing
from jitgrad.autograd.function import Function, once_differentiable
from jitgrad.autograd.graph import GradientEdge, Tensors, node_of
from jitgrad.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from jitgrad.autograd.reverse import engine, hooks
from jitgrad.autograd.reverse.grad_fn import tensor_grad_fn
from jitgrad.autograd.reverse.owners import output_number
from jitgrad.autograd.variable import Variable
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.operands import cast
from jitgrad.requests import execute
from jitgrad.requests.counters import repeats
from jitgrad.requests.matcher import ANY_DEPTH
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import Size, Tensor, wrap

repeats[0] = engine.machine_code


def _roots(outputs: Sequence[Tensor | GradientEdge],
           grads: Sequence[Tensor | None] | None) -> tuple[list[Node], list[Node | None]]:
    """The nodes of outputs, and their gradients (None: an implicit 1)."""
    if grads is None:
        grads = [None] * len(outputs)
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    roots = [node_of(t) for t in outputs]
    result: list[Node | None] = []
    for i, (node, g) in enumerate(zip(roots, grads, strict=True)):
        if g is None:
            if node.requires_grad and node.spec.type.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            result.append(None)
            continue
        if not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        if g._node.type.shape != node.type.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape "
                               f"of {Size(node.type.shape)}.")
        gn = cast(g._current(), node.type.dtype)
        if gn.inputs and not gn.requires_grad and tracing.current() is None:
            gn = input_node(execute.value(gn), gn.type)
        result.append(gn)
    for i, node in enumerate(roots):
        if not node.requires_grad:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    return roots, result


def _sequence(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, (Tensor, GradientEdge)) or value is None else list(value)


def _inputs(inputs: Any, where: str) -> Sequence[Any]:
    """The inputs as a sequence, checked."""
    found = _sequence(inputs)
    if not found:
        raise RuntimeError(f"`inputs` argument to `{where}()` cannot be empty.")
    return found


def backward(tensors: Tensors, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Tensors | None = None) -> None:
    """Compute the gradients of `tensors` and add them to the `.grad` of the leaves below (or of `inputs` only).

    grad_tensors: the incoming gradient of each, of its shape; not needed for scalars.  retain_graph: keep what was
    saved, for a second backward (default: create_graph).  create_graph: record the derivative, for higher order.
    Raises RuntimeError for non-scalars without a gradient, for tensors that need none, and for a freed graph."""
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                               "use `grad_tensors`.")
        grad_tensors = grad_variables
    chosen = None if inputs is None else _inputs(inputs, "backward")
    outputs = _sequence(tensors)
    if not outputs:
        return
    roots, cotangents = _roots(outputs, None if grad_tensors is None else _sequence(grad_tensors))
    for t in chosen or ():
        if not node_of(t).requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    found = engine.run_backward(roots, cotangents, create_graph if retain_graph is None else retain_graph, create_graph,
                                chosen)
    for t in chosen or ():
        if isinstance(t, GradientEdge):             # of no tensor: there is no .grad to add to
            continue
        g = found.nodes.get(gradient_edge(t._current()))
        if g is not None and not t._retains():      # retain_grad has kept it already
            engine.accumulate(t, g, create_graph)
    engine.deliver(found, create_graph)


def grad(outputs: Tensors, inputs: Tensors, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Tensor | None, ...]:
    """The sum of the gradients of `outputs` with respect to each of `inputs`, without touching any `.grad`.

    allow_unused: None for inputs that the outputs do not depend on, instead of RuntimeError; materialize_grads: zeros.
    Other arguments as in `backward`."""
    if is_grads_batched:
        return _batched_grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")
    outs, ins = _sequence(outputs), _inputs(inputs, "grad")
    roots, cotangents = _roots(outs, None if grad_outputs is None else _sequence(grad_outputs))
    nodes = [node_of(t) for t in ins]
    for n in nodes:
        if not n.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    found = engine.run_backward(roots, cotangents, create_graph if retain_graph is None else retain_graph, create_graph,
                                ins)
    results: list[Tensor | None] = []
    for i, n in enumerate(nodes):
        leaf = None if n.extra is None else n.extra.leaf
        g = found.leaves.get(leaf) if leaf is not None else found.nodes.get(gradient_edge(n))
        if g is not None:
            result = wrap(g)
            if leaf is not None and leaf.hooks:
                hooks.running.task = ref(found.calls or found)
                result = engine.leaf_hooks(leaf, g, create_graph)
            results.append(result)
        elif materialize_grads:
            from jitgrad.operators.creation import zeros_like
            results.append(zeros_like(wrap(n)))
        elif allow_unused:
            results.append(None)
        else:
            raise RuntimeError(f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                               "allow_unused=True if this is the desired behavior.")
    return tuple(results)


def _batched_grad(outputs: Tensors, inputs: Tensors, grad_outputs: Any, retain_graph: bool | None, create_graph: bool,
                  allow_unused: bool | None, materialize_grads: bool) -> tuple[Tensor | None, ...]:
    """The gradients for each row of the batched grad_outputs, recorded once for all of them."""
    from jitgrad.autograd.transforms.batched import Batch
    given = _sequence(grad_outputs)
    if any([b is not None and not b.ndim for b in given]):
        raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
                         "0-dim tensor to a number")
    lengths = {b._node.type.shape[0] for b in given if b is not None}
    if len(lengths) != 1:
        raise ValueError("autograd.grad(is_grads_batched=True): every grad_outputs must have the same leading batch "
                         f"dimension, got lengths {sorted(lengths)}")
    rows = Batch(lengths.pop())
    found = rows.record(lambda: grad(outputs, inputs, [None if b is None else rows.element(b) for b in given], retain_graph,
                                     create_graph, allow_unused=allow_unused, materialize_grads=materialize_grads))
    results = iter(rows.results([g for g in found if g is not None], [0] * len(found)))
    return tuple([None if g is None else next(results) for g in found])


def _tensor_backward(self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None,
                     create_graph: bool = False, inputs: Tensors | None = None) -> None:
    """Compute the gradient of this tensor with respect to the leaves below it; see autograd.backward."""
    if gradient is None and inputs is None and not retain_graph and not create_graph:
        storage = self._storage
        if storage is not None and storage.deferred and storage.backward():
            return
        node = self._node if storage is None else self._current()
        patterns = node.spec.patterns
        depth = node.depth if len(patterns) > 1 else ANY_DEPTH
        for pattern in patterns:
            if pattern.again is not None and (depth == ANY_DEPTH or pattern.depth == depth or pattern.depth == ANY_DEPTH) and (
                    pattern.again(node)):
                return
        if node.requires_grad and node.spec.type.size == 1:
            engine.plain_backward(node)
            return
    backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs=inputs)


def _retains_grad(self: Tensor) -> bool:
    """Whether `retain_grad` was asked for."""
    return self._retains()


def _output_nr(self: Tensor) -> int:
    """Which output of its grad_fn this tensor is."""
    return output_number(self._current())


def attach_methods() -> None:
    """Give Tensor the methods that need the engine."""
    Tensor.backward = _tensor_backward                                                           # type: ignore
    Tensor.grad_fn = property(tensor_grad_fn, doc=tensor_grad_fn.__doc__)        # type: ignore
    Tensor.register_hook = hooks.register_hook                                                   # type: ignore
    Tensor.register_post_accumulate_grad_hook = hooks.register_post_accumulate_grad_hook         # type: ignore
    Tensor.retain_grad = hooks.retain_grad                                                       # type: ignore
    Tensor.retains_grad = property(_retains_grad)                                                # type: ignore
    Tensor.output_nr = property(_output_nr)                                                      # type: ignore


attach_methods()


# What few programs need: imported when it is first named.
_LATER = {"gradcheck": "gradcheck", "gradgradcheck": "gradcheck", "functional": "functional", "detect_anomaly": "anomaly_mode",
          "set_detect_anomaly": "anomaly_mode", "anomaly_mode": "anomaly_mode", "graph": "graph",
          "forward_ad": "forward_ad"}


def __getattr__(name: str) -> Any:
    import importlib
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'jitgrad.autograd' has no attribute {name!r}")
    found = importlib.import_module(f"jitgrad.autograd.{module}")
    if name != module or name == "gradcheck":
        found = globals()[name] = getattr(found, name)
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, "function"})


__all__ = ["Function", "Variable", "backward", "enable_grad", "grad", "inference_mode", "is_grad_enabled",
           "is_inference_mode_enabled", "no_grad", "once_differentiable", "set_grad_enabled"]
