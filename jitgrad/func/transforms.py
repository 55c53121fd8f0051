"""Function transforms: grad, vjp, jvp, linearize and the Jacobians made of them.

Each calls the function with aliases of its arguments (autograd/transforms), records what it makes of them, and takes derivatives
there.  What is returned is recorded, in turn, where something else requires a gradient: a transform around, a parameter.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.autograd.functional import basis
from jitgrad.autograd.transforms.batched import Batch
from jitgrad.autograd.transforms.forward import alias, is_linked, pull_back, push_forward
from jitgrad.func.trees import leaves, mapped, rebuilt
from jitgrad.graph.recording import grad_mode, in_grad_mode
from jitgrad.operators.creation import zeros_like
from jitgrad.tensors.tensor import Tensor

Argnums = int | tuple[int, ...]


class _Call:
    """One call of a function at aliases of some arguments.  inputs, outputs: tensors; result, aux: as returned."""

    def __init__(self, func: Callable, args: tuple, kwargs: dict[str, Any], argnums: tuple[int, ...], has_aux: bool, name: str) -> None:
        args = tuple(args)
        for i in argnums:
            if not -len(args) <= i < len(args):
                raise RuntimeError(f"Got argnum={i}, but only {len(args)} positional inputs")
        chosen = [mapped(_checked, args[i]) for i in argnums]
        self.wrt = chosen
        self.inputs = leaves(chosen)
        given = list(args)
        for i, tree in zip(argnums, chosen, strict=True):
            given[i] = tree
        self.records = grad_mode.enabled
        result = in_grad_mode(True, functools.partial(func, *given, **kwargs))
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
            result, self.aux = result
        self.result = result
        self.outputs: list[Tensor] = leaves(result)
        for out in self.outputs:
            if not isinstance(out, Tensor):
                raise RuntimeError(f"{name}(f, *primals): Expected f to be a function that has non-empty output composed of "
                                   f"tensors, got "
                                   f"{type(out)}")
        self.linked = self.records and is_linked(self.outputs, self.inputs)

    def settled(self, tree: Any) -> Any:
        """What is returned of the function: cut off where nothing else asks for its derivative."""
        return tree if self.linked else mapped(lambda t: t.detach() if isinstance(t, Tensor) and t.requires_grad else t, tree)

    def pulled(self, cotangents: Sequence[Tensor | None]) -> list[Tensor]:
        """The vector-Jacobian products with respect to the inputs; zeros where no output depends on one."""
        found = pull_back(self.outputs, self.inputs, cotangents, self.linked)
        return [zeros_like(x) if g is None else g for x, g in zip(self.inputs, found, strict=True)]


def _checked(leaf: Any) -> Tensor:
    if not isinstance(leaf, Tensor):
        raise ValueError(f"Expected all arguments that are differentiated to be tensors, got {type(leaf)}")
    return alias(leaf)


def _tuple(argnums: Argnums) -> tuple[int, ...]:
    if not isinstance(argnums, (int, tuple)) or argnums == ():
        raise RuntimeError(f"argnums must be int or a non-empty tuple of ints, got {argnums!r}")
    return (argnums,) if isinstance(argnums, int) else argnums


def _only(argnums: Argnums, trees: Sequence[Any]) -> Any:
    return trees[0] if isinstance(argnums, int) else tuple(trees)


# -- reverse ---------------------------------------------------------------------------------------------------------

def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which returns a scalar, by the arguments `argnums`, and its value.

    has_aux: func returns (value, aux), and the result is (gradient, (value, aux))."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        call = _Call(func, args, kwargs, _tuple(argnums), has_aux, "grad_and_value")
        value = call.result
        if not isinstance(value, Tensor):
            raise RuntimeError("Expected f(*args) to return a single tensor, got " f"{type(value)}")
        if value.ndim:
            raise RuntimeError("Expected the vmap-ed function to return a scalar tensor, got tensor with "
                               f"{value.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
        gradient = _only(argnums, rebuilt(call.wrt, iter(call.pulled([None]))))
        value = call.settled(value)
        return gradient, ((value, call.settled(call.aux)) if has_aux else value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which returns a scalar; with has_aux (gradient, aux)."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), a function of cotangents, as func returns them, that gives the vector-Jacobian products), and aux."""
    call = _Call(func, primals, {}, tuple(range(len(primals))), has_aux, "vjp")

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = leaves(cotangents)
        if len(given) != len(call.outputs):
            raise RuntimeError(f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                               f"function. "
                               f"cotangents: {len(given)} tensors, primal output: {len(call.outputs)}")
        call.linked = call.linked or (grad_mode.enabled and any([c.requires_grad for c in given]))
        return tuple(rebuilt(call.wrt, iter(call.pulled(given))))

    result = call.settled(call.result)
    return (result, vjp_fn, call.settled(call.aux)) if has_aux else (result, vjp_fn)


def jacrev(func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func` by reverse mode: for each output a tree as the arguments `argnums`, of tensors
    of the output's shape followed by the argument's.  chunk_size changes nothing but memory, and is ignored."""
    return _jacobian(func, argnums, has_aux, _by_rows)


def _by_rows(call: _Call) -> list[list[Tensor]]:
    """The Jacobians by output and input: one recorded vector-Jacobian product for all rows."""
    table = []
    for k, out in enumerate(call.outputs):
        rows = Batch(out.numel())
        unit = basis(out)
        found = rows.record(lambda k=k, rows=rows, unit=unit: call.pulled(
            [rows.element(unit) if i == k else zeros_like(o) for i, o in enumerate(call.outputs)]))
        table.append([j.reshape((*out.shape, *x.shape)) for j, x in
                      zip(rows.results(found, [0] * len(found)), call.inputs, strict=True)])
    return table


def _jacobian(func: Callable, argnums: Argnums, has_aux: bool, table: Callable[[_Call], list[list[Tensor]]]) -> Callable:
    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        call = _Call(func, args, kwargs, _tuple(argnums), has_aux, "jacobian")
        rows = [_only(argnums, rebuilt(call.wrt, iter(row))) for row in table(call)]
        jacobian = rebuilt(call.result, iter(rows))
        return (jacobian, call.settled(call.aux)) if has_aux else jacobian

    return wrapped


# -- forward ---------------------------------------------------------------------------------------------------------

def jvp(func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], *, strict: bool = False,
        has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), its derivative along the tangents), and aux."""
    if not isinstance(primals, tuple):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    call = _Call(func, primals, {}, tuple(range(len(primals))), has_aux, "jvp")
    pushed = call.settled(rebuilt(call.result, iter(_pushed(call, leaves(tangents), strict))))
    result = call.settled(call.result)
    return (result, pushed, call.settled(call.aux)) if has_aux else (result, pushed)


def _pushed(call: _Call, tangents: list[Tensor], strict: bool = False) -> list[Tensor]:
    if [t.shape for t in tangents] != [x.shape for x in call.inputs]:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same structure and shapes")
    call.linked = call.linked or (grad_mode.enabled and any([t.requires_grad for t in tangents]))
    found = push_forward(call.outputs, call.inputs)(tangents, call.linked)
    if strict and any([t is None for t in found]):
        raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed "
                           "with strict=True.")
    return [zeros_like(o) if t is None else t for o, t in zip(call.outputs, found, strict=True)]


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, ...]:
    """(func(*primals), the function of tangents that is its derivative there), recorded once for any number of tangents."""
    call = _Call(func, primals, {}, tuple(range(len(primals))), False, "linearize")
    push = push_forward(call.outputs, call.inputs)

    def jvp_fn(*tangents: Any) -> Any:
        given = leaves(tangents)
        if [t.shape for t in given] != [x.shape for x in call.inputs]:
            raise ValueError("linearize: Expected the tangents to have the structure and shapes of the primals")
        found = push(given, call.linked)
        return rebuilt(call.result, iter([zeros_like(o) if t is None else t for o, t in zip(call.outputs, found, strict=True)]))

    return call.settled(call.result), jvp_fn


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """A function that returns the Jacobian of `func` by forward mode; see jacrev."""
    return _jacobian(func, argnums, has_aux, _by_columns)


def _by_columns(call: _Call) -> list[list[Tensor]]:
    """The Jacobians by output and input: one recorded Jacobian-vector product for all columns."""
    push = push_forward(call.outputs, call.inputs)
    columns = []
    for k, x in enumerate(call.inputs):
        batch = Batch(x.numel())
        unit = basis(x)
        found = batch.record(lambda k=k, batch=batch, unit=unit: push(
            [batch.element(unit) if i == k else zeros_like(y) for i, y in enumerate(call.inputs)], call.linked))
        found = [zeros_like(o) if t is None else t for o, t in zip(call.outputs, found, strict=True)]
        columns.append([j.reshape((*o.shape, *x.shape)) for j, o in
                        zip(batch.results(found, [-1] * len(found)), call.outputs, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `func`: the Jacobian, forward, of the Jacobian, reverse."""
    return jacfwd(jacrev(func, argnums), argnums)
