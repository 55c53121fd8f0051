"""autograd.Function: operations whose forward and backward are the user's Python."""
from __future__ import annotations

import builtins
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from jitgrad import tracing
from jitgrad.autograd.reverse.grad_fn import grad_fn
from jitgrad.autograd.reverse.hooks import NodeHooks
from jitgrad.autograd.reverse.owners import output_number
from jitgrad.autograd.reverse.saved_hooks import Packed, installed
from jitgrad.autograd.reverse.saved_values import FREED, stale_message
from jitgrad.differentiate import sum_to
from jitgrad.graph.node import Node, is_stale
from jitgrad.graph.recording import grad_mode, in_grad_mode, input_node
from jitgrad.operators.provenance import user_line
from jitgrad.ops import REGISTRY
from jitgrad.requests.execute import value
from jitgrad.tensors.steps import OfFunction, Part
from jitgrad.tensors.storage import Storage, stamp
from jitgrad.tensors.tensor import Tensor, wrap

PERMUTE = REGISTRY["permute"]


class PyFunction:
    """One output of one application of a Function, or of an operator as one; the node's `extra.fn`."""

    __slots__ = ("ctx", "number")

    def __init__(self, ctx: Any, number: int) -> None:
        self.ctx = ctx          # FunctionCtx, or operation.Operation
        self.number = number

    @property
    def name(self) -> str:
        return self.ctx.name()


class FunctionCtx(NodeHooks):
    """What forward and backward share.  Attributes may be set freely; it is also the result's grad_fn."""

    _is_grad_fn = True
    _reason = "a Function whose backward is Python"
    needs_input_grad: tuple[bool, ...] = ()
    materialize_grads = True
    _edges: tuple[Node | None, ...] = ()
    _to_save: tuple[Any, ...] = ()
    _for_forward: tuple[Any, ...] | None = None
    _in_jvp = False
    _saved: Sequence[Any] = ()
    _freed = False
    _non_differentiable: Collection[int] = ()
    _dirty: Mapping[int, Tensor] = {}

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
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `saved_tensors` in jvp."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise AssertionError("save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes "
                                     "on ctx.")
        self._for_forward = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that get no gradient."""
        self._non_differentiable = {id(t) for t in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that forward has modified in place and returns."""
        self._dirty = {id(t): t for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward sees zeros (default) or None for outputs without a gradient."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What save_for_backward kept (in jvp, what save_for_forward did).  Raises RuntimeError after the graph was freed, or if a
        saved tensor was modified in place since."""
        if self._in_jvp and self._for_forward is not None:
            return self._for_forward
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

    def _gradients(self, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
        """The gradients of what was given to apply, from those of the outputs."""
        if forward_mode.transposed is not None and self._function.jvp is not Function.jvp:
            return forward_mode.transposed(self, grads)
        return in_grad_mode(create_graph, _called, self, grads, create_graph)

    def _release(self) -> None:
        """Let go of what was saved; a backward that does not ask for it may be called again."""
        self._freed, self._saved = True, ()

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {hex(id(self))}>"


def _unpack(ctx: FunctionCtx, saved: Any) -> Tensor | None:
    if saved is None:
        return None
    if type(saved) is int:                    # an output: kept weakly, since it refers to ctx
        node = _output(ctx, saved)
        if is_stale(node):
            raise RuntimeError(stale_message(node))
        return wrap(node)
    tensor, node = saved
    if type(tensor) is Packed:
        return tensor.unpacked(_output(ctx, node) if type(node) is int else node)
    if is_stale(node):
        raise RuntimeError(stale_message(node))
    return tensor if tensor._current() is node else wrap(node)


def _output(ctx: FunctionCtx, number: int) -> Node:
    """The node of an output."""
    ref = ctx._outputs[number]
    node = None if ref is None else ref()
    if node is None:
        raise RuntimeError("saved_tensors: an output of this Function is gone; keep it alive until backward")
    return node


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

    generate_vmap_rule = False

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The tangents of the outputs, from those of the arguments; without it they follow from backward."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """The outputs of a batch and their dimensions: see function_batching.py."""
        raise NotImplementedError("To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
                                  "generate_vmap_rule=True.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import warnings
        warnings.warn(f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should "
                      "invoke them on the class itself. Instantiating an autograd function will raise an error in a future version of "
                      "PyTorch.", DeprecationWarning, stacklevel=2)

    @classmethod
    def _forward(cls, ctx: FunctionCtx, args: tuple) -> Any:
        """Call the user's forward, and setup_context where there is one."""
        if cls.setup_context is Function.setup_context:
            return cls.forward(ctx, *args)
        output = cls.forward(*args)
        cls.setup_context(ctx, args, output)
        return output

    @classmethod
    def _bound(cls, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """The arguments of forward as positional ones; with setup_context all of them, defaults included."""
        apart = cls.setup_context is not Function.setup_context
        bound = inspect.signature(cls.forward).bind(*(args if apart else (None, *args)), **kwargs)
        if apart or kwargs:
            bound.apply_defaults()
        return bound.args if apart else bound.args[1:]

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward without recording, and record that backward is the derivative."""
        if kwargs or cls.setup_context is not Function.setup_context:
            args = cls._bound(args, kwargs)
        trace = tracing.current()
        if trace is not None:
            found = trace.applied(cls, args)
            if found is not None:
                return found[0]
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
        output = in_grad_mode(False, cls._forward, ctx, args)
        single = not isinstance(output, tuple)
        outputs = (output,) if single else output
        if ctx._dirty:
            _check_dirty(ctx, outputs, record)
        if not record:
            ctx._to_save = ()
            same = tuple([o.detach() if isinstance(o, Tensor) and id(o) not in ctx._dirty and any([o is a for a in args]) else o
                          for o in outputs])
            return same[0] if single else same
        results = tuple([_record(ctx, i, o, args, single) for i, o in enumerate(outputs)])
        ctx._saved = [_pack(ctx, i, t, outputs, results) for i, t in enumerate(ctx._to_save)]
        ctx._to_save = ()
        return results[0] if single else results


def _check_dirty(ctx: FunctionCtx, outputs: tuple, record: bool) -> None:
    """Raise for an input marked dirty that is not returned, or may not be written to; count the write."""
    for t in ctx._dirty.values():
        if not any([o is t for o in outputs]):
            raise RuntimeError("Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                               "are modified inplace must all be outputs of the Function.")
        if record and t.requires_grad and t.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        t._ensure_storage()
        t._current()                    # what was written so far
        t._cell().value += 1
        stamp(t._node, t._cell())


def _record(ctx: FunctionCtx, number: int, output: Any, args: tuple, single: bool) -> Any:
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
    result.line = user_line()
    # It has no operands, yet what the Function was applied to lies behind it.
    result.depth = 1 + max([n.depth for n in ctx._edges if n is not None], default=0)
    ctx._outputs.append(weakref.ref(result))
    if id(output) in ctx._dirty:
        return output._rebase(result)
    made = wrap(result)
    if any([isinstance(a, Tensor) and (a is output or (a._storage is not None and a._storage is output._storage)) for a in args]):
        made._storage = Storage(result)
        step = OfFunction if single else Part           # neither may be written to
        made._chain = (step(PERMUTE, (tuple(range(node.type.ndim)),), None),)
    return made


def _pack(ctx: FunctionCtx, number: int, tensor: Tensor | None, outputs: tuple, results: tuple) -> Any:
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(f"save_for_backward can only save variables, but argument {number} is of type {type(tensor).__name__}")
    for i, o in enumerate(outputs):
        if tensor is o and ctx._outputs[i] is not None:     # of others no node refers to ctx
            return (Packed(results[i]), i) if installed.pairs else i
    return Packed(tensor) if installed.pairs else tensor, tensor._current()


class _ForwardMode(threading.local):
    """transposed: what gives the gradients of a Function that has a jvp, while what is recorded is to be transposed (forward.py)."""

    transposed: Callable[[FunctionCtx, Sequence[Node | None]], list[Node | None]] | None = None


forward_mode = _ForwardMode()


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


def _called(ctx: FunctionCtx, grads: Sequence[Node | None], create_graph: bool) -> list[Node | None]:
    """What the user's backward makes of the outputs' gradients, checked, as nodes; hooks before and after."""
    arguments: list[Tensor | None] = []
    given = ctx._before([None if g is None else wrap(g) for g in grads])
    for g, type in zip(given, ctx._types, strict=True):
        if g is None and ctx.materialize_grads and type is not None:
            from jitgrad.operators.creation import zeros
            g = zeros(type.shape, dtype=type.dtype)
        arguments.append(g)
    found: Any = _backward_of(ctx._function)(ctx, *arguments)
    results: tuple = found if isinstance(found, tuple) else tuple(found) if isinstance(found, list) else (found,)
    name, edges = ctx.name(), ctx._edges
    while len(results) > len(edges) and results[-1] is None:
        results = results[:-1]
    if len(results) != len(edges):
        raise RuntimeError(f"function {name} returned an incorrect number of gradients (expected {len(edges)}, got {len(results)})")
    nodes: list[Node | None] = []
    for i, (r, edge) in enumerate(zip(results, edges, strict=True)):
        if r is None:
            nodes.append(None)
            continue
        if not isinstance(r, Tensor):
            raise RuntimeError(f"expected Variable or None (got {builtins.type(r).__name__})")
        if edge is None:
            raise RuntimeError(f"function {name} returned a gradient different than None at position {i + 1}, but the "
                               "corresponding forward input was not a Variable")
        nodes.append(fit(name, i, r._current(), edge, create_graph))
    if ctx._posthooks:
        found = ctx._after([None if n is None else wrap(n) for n in nodes], given)
        return [None if g is None else g._current() for g in found]
    return nodes


def _backward_of(function: type[Function]) -> Callable:
    """The user's backward, or vjp."""
    vjp = getattr(function, "vjp", None)
    if vjp is None:
        return function.backward
    if function.backward is not Function.backward:
        raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one "
                           "of them.")
    return vjp


def fit(name: str, i: int, g: Node, edge: Node, create_graph: bool) -> Node:
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
