"""autograd.Function under vmap: by the user's rule, or by one that is generated of forward and backward.

Input: a Function applied to stand-ins for an element of a batch (batched.py).  Output: stand-ins for what it gives.
Invariant: the Function is applied once to the whole batch, outside; inside, where it is differentiated for each element, its backward
is called with stand-ins, as every function is.
"""
from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitgrad import tracing
from jitgrad.autograd.function import Function, FunctionCtx
from jitgrad.autograd.transforms.batched import Batch
from jitgrad.batching import BatchedOperand, batch, element_of
from jitgrad.graph.node import PyFunction
from jitgrad.graph.recording import bind, grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.tensors.tensor import Tensor, wrap

_SEE = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


class VmapInfo(NamedTuple):
    """What a rule is told of the vmap."""

    batch_size: int
    randomness: str


def apply_to_elements(elements: Batch, function: type[Function], args: tuple) -> Any:
    """What a Function gives of arguments some of which are stand-ins."""
    rule = _rule(function)
    nodes = [a._current() for a in args if isinstance(a, Tensor)]
    found = iter(batch(nodes, elements.elements, elements.size)[0])
    operands = [next(found) if isinstance(a, Tensor) else a for a in args]
    dims = tuple([0 if isinstance(x, BatchedOperand) and x.batched else None for x in operands])
    given = [wrap(x.node) if isinstance(x, BatchedOperand) else x for x in operands]
    returned = tracing.traced(elements._outer, rule, VmapInfo(elements.size, elements.randomness), dims, *given)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise RuntimeError("Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure "
                           f"compatible with the output. Got a {type(returned)} instead")
    output, out_dims = returned
    single = not isinstance(output, tuple)
    outputs = (output,) if single else output
    places = tuple(out_dims) if isinstance(out_dims, (tuple, list)) else (out_dims,) * len(outputs)
    if len(places) != len(outputs):
        raise RuntimeError(f"the vmap staticmethod of {function.__name__} returned {len(outputs)} outputs and {len(places)} out_dims")
    ctx = type(function.__name__ + "Backward", (FunctionCtx,), {})(function)
    ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
    ctx._edges = tuple([a._current() if isinstance(a, Tensor) else None for a in args])
    record = True in ctx.needs_input_grad and grad_mode.enabled
    results = [_element(elements, ctx, o, d, record) for o, d in zip(outputs, places, strict=True)]
    if record:
        function.setup_context(ctx, args, results[0] if single else tuple(results))
        for i, r in enumerate(results):         # of those the stand-ins carry no gradient
            if isinstance(r, Tensor) and id(r) in ctx._non_differentiable:
                ctx._outputs[i] = None
                r._node.requires_grad = False
        ctx._saved = [_pack(ctx, t, results) for t in ctx._to_save]
        ctx._to_save = ()
    return results[0] if single else tuple(results)


def _rule(function: type[Function]) -> Callable:
    """The vmap rule of a Function.  Raises RuntimeError where there is none, or there are two."""
    if function.setup_context is Function.setup_context:
        raise RuntimeError("In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
                           f"override the setup_context staticmethod. {_SEE}")
    own = function.vmap is not Function.vmap
    if function.generate_vmap_rule and own:
        raise RuntimeError(f"You tried to vmap over {function.__name__}, but it has both generate_vmap_rule=True and an overridden "
                           f"vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to "
                           f"avoid ambiguity. {_SEE}")
    if not function.generate_vmap_rule and not own:
        raise RuntimeError(f"You tried to vmap over {function.__name__}, but it does not have vmap support. Please override and "
                           f"implement the vmap staticmethod or set generate_vmap_rule=True. {_SEE}")
    return function.vmap if own else functools.partial(_generated, function)


def _element(elements: Batch, ctx: FunctionCtx, output: Any, dim: int | None, record: bool) -> Any:
    """The stand-in for what one element gives, of an output with the batch at a dimension (None: one for all)."""
    if not isinstance(output, Tensor):
        ctx._types.append(None)
        ctx._outputs.append(None)
        return output
    node = output._current()
    if dim is None:
        node = bind(REGISTRY["expand"], (node,), (), (elements.size, *node.type.shape))
    elif dim % node.type.ndim:
        dim %= node.type.ndim
        node = bind(REGISTRY["permute"], (node,), ((dim, *[d for d in range(node.type.ndim) if d != dim]),))
    made = element_of(node)
    ctx._types.append(made.type)
    if record and made.type.dtype.category == 2:
        symbol = input_node(None, made.type, True)
        symbol.ensure_extra().fn = PyFunction(ctx, len(ctx._outputs))
        symbol.depth = 1 + max([n.depth for n in (made, *ctx._edges) if n is not None])
        made = symbol
        ctx._outputs.append(weakref.ref(made))
    else:
        ctx._outputs.append(None)
    elements.elements[made] = node
    return wrap(made)


def _pack(ctx: FunctionCtx, tensor: Tensor | None, results: Sequence[Any]) -> Any:
    if tensor is None:
        return None
    for i, r in enumerate(results):
        if tensor is r and ctx._outputs[i] is not None:
            return i
    return tensor, tensor._current()


# -- generated rules -------------------------------------------------------------------------------------------------

class _ElementCtx(FunctionCtx):
    """The context that the methods of a generated rule's Function see: of any element."""

    _elements: tuple[Tensor | None, ...] = ()

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        return self._elements       # type: ignore[return-value]  (or None, if that was saved)


def _generated(function: type[Function], info: VmapInfo, dims: tuple, *args: Any) -> tuple[Any, int]:
    """The rule of `generate_vmap_rule`."""
    return _vmapped(function, info, dims).apply(*args), 0


def _vmapped(function: type[Function], info: VmapInfo, dims: tuple) -> type[Function]:
    """The Function that does for a batch what `function` does for each element.  dims: 0, or None for what is the same for all."""
    def begin(tensors: Sequence[Any], places: Sequence[int | None]) -> tuple[Batch, list[Any]]:
        elements = Batch(info.batch_size, info.randomness)
        return elements, [elements.element(t) if isinstance(t, Tensor) and d is not None else t
                          for t, d in zip(tensors, places, strict=True)]

    def whole(elements: Batch, found: Sequence[Any]) -> list[Any]:
        """Of all elements what one gives; what is no tensor as it is."""
        tensors = iter(elements.results([t for t in found if isinstance(t, Tensor)], [0] * len(found)))
        return [next(tensors) if isinstance(t, Tensor) else t for t in found]

    def forward(*args: Any) -> Any:
        elements, given = begin(args, dims)
        output = elements.record(function.forward, *given)
        return tuple(whole(elements, output)) if isinstance(output, tuple) else whole(elements, [output])[0]

    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        elements, both = begin((*inputs, *outputs), (*dims, *[0] * len(outputs)))
        given, made = both[:len(inputs)], both[len(inputs):]
        inner = ctx.inner = _ElementCtx(function)
        inner.needs_input_grad = ctx.needs_input_grad
        elements.record(function.setup_context, inner, tuple(given), tuple(made) if isinstance(output, tuple) else made[0])
        known = {id(e): (t, d) for e, t, d in zip(both, (*inputs, *outputs), (*dims, *[0] * len(outputs)), strict=True)}
        pairs = []
        for t in inner._to_save:
            pairs.append((None, None) if t is None else known[id(t)] if id(t) in known else (whole(elements, [t])[0], 0))
        inner._to_save = ()
        ctx.places = [d for _, d in pairs]
        ctx.save_for_backward(*[t for t, _ in pairs])
        ctx.save_for_forward(*[t for t, _ in pairs])
        ctx.set_materialize_grads(inner.materialize_grads)
        ctx.mark_non_differentiable(*[o for e, o in zip(made, outputs, strict=True) if id(e) in inner._non_differentiable])

    def called(method: Callable, ctx: Any, given: Sequence[Any], places: Sequence[int | None]) -> list[Any]:
        """What a method of `function` returns for all elements."""
        elements, both = begin((*ctx.saved_tensors, *given), (*ctx.places, *places))
        count = len(ctx.places)
        ctx.inner._elements = tuple(both[:count])
        found = elements.record(method, ctx.inner, *both[count:])
        return whole(elements, found if isinstance(found, tuple) else (found,))

    def backward(ctx: Any, *grads: Any) -> Any:
        found = called(function.backward, ctx, grads, [0] * len(grads))
        found += [None] * (len(dims) - len(found))
        return tuple([g.sum(0) if isinstance(g, Tensor) and d is None else g for g, d in zip(found, dims, strict=True)])

    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tuple(called(function.jvp, ctx, tangents, dims))

    methods = {"forward": forward, "setup_context": setup_context, "backward": backward}
    if function.jvp is not Function.jvp:
        methods["jvp"] = jvp
    return type(f"Vmapped{function.__name__}", (Function,), {"generate_vmap_rule": True} | {
        name: staticmethod(f) for name, f in methods.items()})
