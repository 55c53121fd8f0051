"""autograd.Function: operations whose forward and backward are the user's Python."""
from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

from jitgrad import tracing
from jitgrad.autograd.history import FREED, grad_fn, output_number, stale_message
from jitgrad.differentiate import sum_to
from jitgrad.graph.node import Node, is_stale
from jitgrad.graph.recording import grad_mode, in_grad_mode, input_node
from jitgrad.requests.execute import value
from jitgrad.tensors.tensor import Tensor, wrap


class PyFunction:
    """One output of one application of a Function; the node's `extra.fn`."""

    __slots__ = ("ctx", "number")

    def __init__(self, ctx: FunctionCtx, number: int) -> None:
        self.ctx = ctx
        self.number = number

    @property
    def name(self) -> str:
        return self.ctx.name()


class FunctionCtx:
    """What forward and backward share.  Attributes may be set freely; it is also the result's grad_fn."""

    needs_input_grad: tuple[bool, ...] = ()
    materialize_grads = True
    _edges: tuple[Node | None, ...] = ()
    _to_save: tuple[Any, ...] = ()
    _saved: Sequence[Any] = ()
    _freed = False
    _non_differentiable: Collection[int] = ()
    _dirty: Collection[int] = ()

    def __init__(self, function: type[Function]) -> None:
        self._function = function
        self._outputs: list[weakref.ref[Node] | None] = []
        self._types: list[Any] = []

    @functools.cached_property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for users."""
        return {}

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `saved_tensors` in backward; inputs and outputs of forward, or intermediates."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument is of type {type(t).__name__}")
        self._to_save = tensors

    save_for_forward = save_for_backward

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that get no gradient."""
        self._non_differentiable = {id(t) for t in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that forward has modified in place and returns."""
        self._dirty = {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward sees zeros (default) or None for outputs without a gradient."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What save_for_backward kept.  Raises RuntimeError after the graph was freed, or if a saved tensor was
        modified in place since."""
        if self._freed:
            raise RuntimeError(FREED)
        return tuple([_unpack(self, saved) for saved in self._saved])       # type: ignore[misc]  (or None, if that was saved)

    @property
    def saved_variables(self) -> tuple[Tensor, ...]:
        """The old name of saved_tensors."""
        import warnings
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def name(self) -> str:
        """The class's name followed by Backward."""
        return self._function.__name__ + "Backward"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Per tensor argument of apply: (its grad_fn or None, output number)."""
        return tuple([(None, 0) if not n.requires_grad else (grad_fn(n), output_number(n))
                      for n in self._edges if n is not None])

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {hex(id(self))}>"


def _unpack(ctx: FunctionCtx, saved: Any) -> Tensor | None:
    if saved is None:
        return None
    if type(saved) is int:                    # an output: kept weakly, since it refers to ctx
        ref = ctx._outputs[saved]
        node = None if ref is None else ref()
        if node is None:
            raise RuntimeError("saved_tensors: an output of this Function is gone; keep it alive until backward")
        if is_stale(node):
            raise RuntimeError(stale_message(node))
        return wrap(node)
    tensor, node = saved
    if is_stale(node):
        raise RuntimeError(stale_message(node))
    return tensor if tensor._current() is node else wrap(node)


class Function:
    """Base class: define static methods forward(ctx, ...) and backward(ctx, *grads), and call `apply`.

    With `setup_context(ctx, inputs, output)` defined, forward takes no ctx."""

    _contexts: type[FunctionCtx] | None = None          # a class each: see apply

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function "
                                  "to use it with backward mode AD.")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("setup_context is not implemented.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"{type(self).__name__} should not be instantiated. Methods on autograd functions are all static, "
                           "so you should invoke them on the class itself: use "
                           f"{type(self).__name__}.apply(...)")

    @classmethod
    def _forward(cls, ctx: FunctionCtx, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call the user's forward, and setup_context where there is one."""
        if cls.setup_context is Function.setup_context:
            return cls.forward(ctx, *args, **kwargs)
        output = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, output)
        return output

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward without recording, and record that backward is the derivative."""
        made = cls.__dict__.get("_contexts")
        if made is None:        # contexts are named as the grad_fn is
            made = cls._contexts = type(cls.__name__ + "Backward", (FunctionCtx,), {})
        ctx = made(cls)
        ctx.needs_input_grad = needs = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
        record = True in needs and grad_mode.enabled
        ctx._edges = tuple([a._current() if isinstance(a, Tensor) else None for a in args])
        for n in ctx._edges:
            if n is not None:
                value(n)
        output = in_grad_mode(False, cls._forward, ctx, args, kwargs)
        single = not isinstance(output, tuple)
        outputs = (output,) if single else output
        for o in outputs:
            if o is not None and not isinstance(o, Tensor) and single:
                raise TypeError(f"{cls.__name__}.forward: expected a Tensor or tuple of Tensors for output, got "
                                f"{type(o).__name__}")
        if not record:
            ctx._to_save = ()
            return output
        results = tuple([_record(ctx, i, o, args) for i, o in enumerate(outputs)])
        ctx._saved = [_pack(ctx, t, outputs) for t in ctx._to_save]
        ctx._to_save = ()
        return results[0] if single else results


def _record(ctx: FunctionCtx, number: int, output: Any, args: tuple) -> Any:
    """The result for one output of forward: a tensor for a tensor."""
    if not isinstance(output, Tensor):
        ctx._types.append(None)
        ctx._outputs.append(None)
        return output
    node = output._current()
    ctx._types.append(node.type)
    if node.type.dtype.category != 2 or id(output) in ctx._non_differentiable:
        ctx._outputs.append(None)
        return output if not any([output is a for a in args]) else output.detach()
    result = input_node(value(node), node.type, True)
    result.ensure_extra().fn = PyFunction(ctx, number)
    # It has no operands, yet what the Function was applied to lies behind it.
    result.depth = 1 + max([n.depth for n in ctx._edges if n is not None], default=0)
    ctx._outputs.append(weakref.ref(result))
    if id(output) in ctx._dirty:
        return output._rebase(result)
    return wrap(result)


def _pack(ctx: FunctionCtx, tensor: Tensor | None, outputs: tuple) -> Any:
    if tensor is None:
        return None
    for i, o in enumerate(outputs):
        if tensor is o and ctx._outputs[i] is not None:     # of others no node refers to ctx
            return i
    return tensor, tensor._current()


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a Function's backward that cannot be differentiated itself: its results carry no history."""

    @functools.wraps(backward)
    def wrapper(ctx: FunctionCtx, *grads: Any) -> Any:
        results = in_grad_mode(False, backward, ctx, *grads)
        if not grad_mode.enabled or not any([isinstance(g, Tensor) and g.requires_grad for g in grads]):
            return results
        many = results if isinstance(results, tuple) else (results,)
        marked = tuple([_OnceDifferentiable.apply(r, *grads) if isinstance(r, Tensor) else r for r in many])
        return marked if isinstance(results, tuple) else marked[0]

    return wrapper


class _OnceDifferentiable(Function):
    """A value that depends on gradients in a way whose derivative is not available."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, *grads: Tensor) -> Tensor:
        return result.clone()

    @staticmethod
    def backward(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def call_backward(ctx: FunctionCtx, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
    """Run the user's backward on the outputs' gradients: per argument of apply a gradient node or None."""
    if ctx._freed and ctx._saved:
        raise RuntimeError(FREED)
    arguments: list[Tensor | None] = []
    for g, type in zip(grads, ctx._types, strict=True):
        if g is not None:
            arguments.append(wrap(g))
        elif ctx.materialize_grads and type is not None:
            from jitgrad.operators.creation import zeros
            arguments.append(zeros(type.shape, dtype=type.dtype))
        else:
            arguments.append(None)
    return in_grad_mode(create_graph, _returned, ctx, arguments, create_graph)


def _returned(ctx: FunctionCtx, arguments: list[Tensor | None], create_graph: bool) -> list[Node | None]:
    """What the user's backward returns, checked, as nodes."""
    found: Any = ctx._function.backward(ctx, *arguments)
    results: tuple = found if isinstance(found, tuple) else tuple(found) if isinstance(found, list) else (found,)
    name, edges = ctx.name(), ctx._edges
    while len(results) > len(edges) and results[-1] is None:
        results = results[:-1]
    if len(results) != len(edges):
        raise RuntimeError(f"function {name} returned an incorrect number of gradients (expected {len(edges)}, got "
                           f"{len(results)})")
    nodes: list[Node | None] = []
    for i, (r, edge) in enumerate(zip(results, edges, strict=True)):
        if r is None:
            nodes.append(None)
            continue
        if not isinstance(r, Tensor):
            raise TypeError(f"function {name} returned a gradient at index {i} that is not a Tensor but a "
                            f"{type(r).__name__}")
        if edge is None:
            raise RuntimeError(f"function {name} returned a gradient different than None at position {i + 1}, but the "
                               "corresponding forward input was not a Variable")
        nodes.append(_fit(name, i, r._current(), edge, create_graph))
    return nodes


def _fit(name: str, i: int, g: Node, edge: Node, create_graph: bool) -> Node:
    """A returned gradient in the input's shape and dtype."""
    if g.spec.type is not edge.spec.type:
        g = _converted(name, i, g, edge)
    return input_node(value(g), g.type) if not create_graph and g.inputs and tracing.current() is None else g


def _converted(name: str, i: int, g: Node, edge: Node) -> Node:
    from jitgrad.operators.operands import cast
    have, want = g.type.shape, edge.type.shape
    if have != want:
        lead = len(have) - len(want)
        if lead >= 0 and all([w in (1, h) for h, w in zip(have[lead:], want, strict=True)]):
            g = sum_to(g, edge)
        else:
            raise RuntimeError(f"Function {name} returned an invalid gradient at index {i} - got {list(have)} but expected "
                               f"shape compatible with {list(want)}")
    return cast(g, edge.type.dtype)
