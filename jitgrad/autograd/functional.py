"""Derivatives of functions of tensors: jacobian, hessian, hvp, vhp, vjp, jvp, as in torch.autograd.functional.

A Jacobian is recorded once for all of its rows (or columns), whatever `vectorize` says, unless Python is called in its graph (a
Function's backward, a hook): that is called for each row.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.autograd.reverse.engine import stop_reasons
from jitgrad.autograd.transforms.batched import Batch
from jitgrad.autograd.transforms.forward import alias, pull_back, push_forward
from jitgrad.graph.recording import in_grad_mode
from jitgrad.operators.creation import eye, ones_like, zeros, zeros_like
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.tensors.tensor import Tensor

Tensors = Tensor | tuple[Tensor, ...]


class Jacobian:
    """One call of a function: its inputs and outputs as tuples, and whether each was one."""

    def __init__(self, name: str, func: Callable[..., Any], inputs: Tensors, create_graph: bool, scalar: bool = False,
                 strict: bool = False) -> None:
        self.create_graph = create_graph
        self.single = not isinstance(inputs, tuple)
        given = _tuple(inputs, "inputs", name)
        self.inputs = tuple([alias(t if create_graph else t.detach()) for t in given])
        result = in_grad_mode(True, lambda: func(*self.inputs))
        self.single_output = not isinstance(result, tuple)
        self.outputs = _tuple(result, "outputs of the user-provided function", name)
        if scalar and (len(self.outputs) != 1 or self.outputs[0].numel() != 1):
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
        self.strict = strict
        if strict:
            for i, out in enumerate(self.outputs):
                if not out.requires_grad:
                    raise RuntimeError(f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                                       f"computed "
                                       "in a differentiable manner from the input when running in strict mode.")

    def settled(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor],
                independent: str = "The output of the user-provided function is independent of input {}.") -> tuple[Tensor, ...]:
        """Derivatives as they are returned: zeros for what is independent."""
        if self.strict and any([t is None for t in tensors]):
            at = [t is None for t in tensors].index(True)
            raise RuntimeError(f"{independent.format(at)} This is not allowed in strict mode.")
        made = [zeros_like(x) if t is None else t for t, x in zip(tensors, like, strict=True)]
        return tuple(made if self.create_graph else [t.detach() for t in made])

    def values(self) -> Tensors:
        """The outputs as they are returned."""
        outputs = self.outputs if self.create_graph else tuple([t.detach() for t in self.outputs])
        return outputs[0] if self.single_output else outputs

    def vectors(self, v: Tensors | None, of: Sequence[Tensor], which: str) -> tuple[Tensor, ...]:
        """The given vectors, checked; ones where none is given and there is one element."""
        if v is None:
            if len(of) != 1 or of[0].numel() != 1:
                raise RuntimeError("The vector v can only be None if the user-provided function returns a single Tensor with a single "
                                   "element." if which == "output" else "The vector v can only be None if the input to the "
                                   "user-provided function is a single Tensor with a single element.")
            return (ones_like(of[0]),)
        given = v if isinstance(v, tuple) else (v,)
        if len(given) != len(of):
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(of)} but got {len(given)}.")
        for i, (t, x) in enumerate(zip(given, of, strict=True)):
            if t.shape != x.shape:
                where = f"Entry {i} in " if len(of) > 1 else ""
                raise RuntimeError(f"{where}v has invalid size: should be {x.shape} but got {t.shape}.")
        return given if self.create_graph else tuple([t.detach() for t in given])


def _tuple(value: Any, what: str, name: str) -> tuple[Tensor, ...]:
    values = value if isinstance(value, tuple) else (value,)
    for i, t in enumerate(values):
        if not isinstance(t, Tensor):
            if isinstance(value, tuple):
                raise TypeError(f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the value at index "
                                f"{i} has "
                                f"type {type(t)}.")
            raise TypeError(f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the given {what} has type "
                            f"{type(t)}.")
    return values


def vjp(func: Callable[..., Any], inputs: Tensors, v: Tensors | None = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Tensors, Tensors]:
    """(func(*inputs), the product of a vector of the outputs' shape with the Jacobian)."""
    call = Jacobian("vjp", func, inputs, create_graph, strict=strict)
    found = call.settled(pull_back(call.outputs, call.inputs, call.vectors(v, call.outputs, "output"), create_graph), call.inputs)
    return call.values(), found[0] if call.single else found


def jvp(func: Callable[..., Any], inputs: Tensors, v: Tensors | None = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Tensors, Tensors]:
    """(func(*inputs), the product of the Jacobian with a vector of the inputs' shape)."""
    call = Jacobian("jvp", func, inputs, create_graph, strict=strict)
    found = call.settled(push_forward(call.outputs, call.inputs)(call.vectors(v, call.inputs, "input"), create_graph), call.outputs)
    return call.values(), found[0] if call.single_output else found


def jacobian(func: Callable[..., Any], inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The derivatives of each output by each input: of the output's shape followed by the input's; in tuples where there are several.

    strategy: "reverse-mode" or (with vectorize) "forward-mode".  See the module on vectorize."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more '
                             'outputs than '
                             'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".')
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError("torch.autograd.functional.jacobian: `create_graph=True` and `strategy=\"forward-mode\"` are not "
                                      "supported together (yet). Please either set `create_graph=False` or "
                                      "`strategy=\"reverse-mode\"`.")
        if strict:
            raise RuntimeError('torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported '
                               "together (yet). Please either set `strict=False` or `strategy=\"reverse-mode\"`.")
        if not vectorize:
            raise NotImplementedError('Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for '
                                      "`vectorize=True`.")
    if strict and vectorize:
        raise RuntimeError("torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please "
                           "either set `strict=False` or `vectorize=False`.")
    call = Jacobian("jacobian", func, inputs, create_graph, strict=strict)
    table = columns(call) if strategy == "forward-mode" else rows(call)
    found = tuple([row[0] if call.single else row for row in table])
    return found[0] if call.single_output else found


def basis(tensor: Tensor) -> Tensor:
    """Every unit vector of a tensor's shape, one after the other."""
    return eye(tensor.numel(), dtype=tensor.dtype, device=tensor.device).reshape((tensor.numel(), *tensor.shape))


def rows(call: Jacobian) -> list[tuple[Tensor, ...]]:
    """The Jacobians by output and input, each row by reverse mode."""
    table = []
    loops = bool(stop_reasons([o._current() for o in call.outputs if o.requires_grad]))
    for k, out in enumerate(call.outputs):
        unit = basis(out)
        if not out.numel():
            found = [None] * len(call.inputs)
        elif loops:
            found = _stacked([pull_back([out], call.inputs, [row], call.create_graph) for row in unit.unbind(0)])
        else:
            batch = Batch(out.numel())
            made = batch.record(lambda out=out, batch=batch, unit=unit: pull_back([out], call.inputs, [batch.element(unit)],
                                                                                  call.create_graph))
            results = iter(batch.results([t for t in made if t is not None], [0] * len(made)))
            found = [None if t is None else next(results) for t in made]
        shapes = [(*out.shape, *x.shape) for x in call.inputs]
        table.append(call.settled([None if t is None else t.reshape(s) for t, s in zip(found, shapes, strict=True)],
                                  [zeros(s, dtype=x.dtype, device=x.device) for x, s in zip(call.inputs, shapes, strict=True)],
                                  f"Output {k} of the user-provided function is independent of input {{}}."))
    return table


def _stacked(rows: list[list[Tensor | None]]) -> list[Tensor | None]:
    stack = OPERATORS["stack"].call
    return [None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True)]


def columns(call: Jacobian) -> list[tuple[Tensor, ...]]:
    """The Jacobians by output and input, each column by forward mode."""
    push = push_forward(call.outputs, call.inputs)
    table: list[list[Tensor]] = [[] for _ in call.outputs]
    for k, x in enumerate(call.inputs):
        batch, unit = Batch(x.numel()), basis(x)
        made = batch.record(lambda k=k, batch=batch, unit=unit: push(
            [batch.element(unit) if i == k else zeros_like(y) for i, y in enumerate(call.inputs)], call.create_graph))
        made = [zeros_like(o) if t is None else t for t, o in zip(made, call.outputs, strict=True)]
        for row, t, out in zip(table, batch.results(made, [-1] * len(made)), call.outputs, strict=True):
            row.append(t.reshape((*out.shape, *x.shape)))
    return [tuple(row) if call.create_graph else tuple([t.detach() for t in row]) for row in table]


def hessian(func: Callable[..., Any], inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function with one element: a tensor, or of several inputs a tuple of tuples."""
    single = not isinstance(inputs, tuple)

    def gradient(*given: Tensor) -> Any:
        call = Jacobian("hessian", func, given, True, scalar=True, strict=strict)
        found = _twice(call)
        return found[0] if single else tuple(found)

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _twice(call: Jacobian) -> list[Tensor]:
    """The gradient, to be differentiated again."""
    gradients = pull_back(call.outputs, call.inputs, [None], True)
    for i, g in enumerate(gradients):
        if call.strict and g is not None and not g.requires_grad:
            raise RuntimeError("While computing the hessian, found that the jacobian of the user-provided function with respect "
                               "to input "
                               f"{i} is independent of the input. This is not allowed in strict mode. You should ensure that your "
                               f"function "
                               "is twice differentiable and that the jacobian depends on the inputs (this would be violated by a "
                               "linear "
                               "function for example).")
    return list(call.settled(gradients, call.inputs))


def _gradient(name: str, func: Callable, inputs: Tensors, create_graph: bool, strict: bool) -> tuple[Jacobian, list[Tensor]]:
    call = Jacobian(name, func, inputs, create_graph, scalar=True, strict=strict)
    call.create_graph = True
    gradient = _twice(call)
    call.create_graph = create_graph
    return call, gradient


def vhp(func: Callable[..., Any], inputs: Tensors, v: Tensors | None = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Tensors, Tensors]:
    """(func(*inputs), the product of a vector with the Hessian), by reverse mode twice."""
    call, gradient = _gradient("vhp", func, inputs, create_graph, strict)
    found = call.settled(pull_back(gradient, call.inputs, call.vectors(v, call.inputs, "input"), create_graph), call.inputs)
    return call.values(), found[0] if call.single else found


def hvp(func: Callable[..., Any], inputs: Tensors, v: Tensors | None = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Tensors, Tensors]:
    """(func(*inputs), the product of the Hessian with a vector).  The Hessian is symmetric: see vhp."""
    call, gradient = _gradient("hvp", func, inputs, create_graph, strict)
    found = call.settled(pull_back(gradient, call.inputs, call.vectors(v, call.inputs, "input"), create_graph), call.inputs)
    return call.values(), found[0] if call.single else found
