"""`out=`: a result written to a tensor that is given for it.

A tensor without elements takes the result's shape; another one of another shape does so with PyTorch's warning.  No derivative goes
through: PyTorch refuses operands that require a gradient.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jitgrad.graph.recording import grad_mode
from jitgrad.operators.declaration.schema import Schema
from jitgrad.operators.operands import cast
from jitgrad.operators.provenance import warn_user
from jitgrad.operators.templates.template import no_template
from jitgrad.tensors.tensor import Tensor, wrap

# How the dtype of a result becomes that of `out`: by a cast within its category or to a higher one; not at all; or the operator
# computes in it.
CAST, EXACT, COMPUTES = "cast", "exact", "computes"


def write_out(schema: Schema, call: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """call(*args, **kwargs) without `out`, written to it, which is returned."""
    no_template()
    kwargs = dict(kwargs)
    out = kwargs.pop("out")
    if out is None:
        return call(*args, **kwargs)
    several = isinstance(out, (tuple, list))
    tensors = list(out) if several else [out]
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{schema.name}(): argument 'out' must be Tensor, not {type(tensor).__name__}")
    refuse_gradients(schema.name, (*tensors, *_tensors((*args, *kwargs.values()))))
    if schema.out == COMPUTES and kwargs.get("dtype") is None:
        kwargs["dtype"] = out.dtype
    result = call(*args, **kwargs)
    results = list(result) if isinstance(result, tuple) else [result]
    if len(results) != len(tensors):
        raise TypeError(f"{schema.name}(): argument 'out' must be {'tuple of Tensors' if len(results) > 1 else 'Tensor'}, not "
                        f"{type(out).__name__}")
    for tensor, computed in zip(tensors, results, strict=True):
        write_to(tensor, computed, schema.out == CAST)
    return type(result)(*tensors) if hasattr(result, "_fields") else tuple(tensors) if several else out


def refuse_gradients(called: str, tensors: Iterable[Tensor]) -> None:
    """Raise where a derivative would have to go through `out`."""
    if grad_mode.enabled and any([t.requires_grad for t in tensors]):
        raise RuntimeError(f"{called}(): functions with out=... arguments don't support automatic differentiation, but one of "
                           "the arguments requires grad.")


def write_to(out: Tensor, result: Tensor, casts: bool) -> None:
    """Overwrite `out` with a result, which is cast if `casts`."""
    node, to = result._current(), out.dtype
    if node.type.dtype is not to:
        if not casts:
            raise RuntimeError(f"Expected out tensor to have dtype {node.type.dtype.c_type}, but got {to.c_type} instead")
        if node.type.dtype.category > to.category:
            raise RuntimeError(f"result type {node.type.dtype.title} can't be cast to the desired output type {to.title}")
        node = cast(node, to)
    if tuple(out.shape) == node.type.shape:
        out._write(node)
        return
    if out.numel():
        warn_user(f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match the "
                  f"required output shape {list(node.type.shape)}. This behavior is deprecated, and in a future PyTorch release "
                  "outputs will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing "
                  "it, inplace, to zero elements with t.resize_(0).")
    out.data = wrap(node)


def _tensors(values: tuple) -> list[Tensor]:
    """The tensors among arguments, those in lists included."""
    found: list[Tensor] = []
    for v in values:
        if isinstance(v, Tensor):
            found.append(v)
        elif isinstance(v, (tuple, list)):
            found += [t for t in v if isinstance(t, Tensor)]
    return found
