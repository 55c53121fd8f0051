"""jacobian, hessian and hvp of functions on NumPy arrays: one compiled program each, as value_and_grad is for gradients.

What scipy.optimize asks for: `least_squares(f, x0, jac=jacobian(f))`, `root(value_and_jacobian(f), x0, jac=True)`,
`minimize(..., method="Newton-CG", hessp=hvp(f))`.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.autograd.functional import Jacobian, columns, rows
from jitgrad.autograd.transforms.forward import pull_back
from jitgrad.capture.callables import Made, replayed
from jitgrad.capture.compiled import Compiled
from jitgrad.operators.creation import as_tensor
from jitgrad.tensors.tensor import Tensor


def value_and_jacobian(f: Callable[..., Any], *, strict: bool = False) -> Callable[..., Any]:
    """A function that returns the value of `f` and its Jacobian by the first argument, as NumPy arrays.

    f: takes a tensor (or a list of numbers, or an array, which it is given as a tensor) and further arguments, and returns a tensor;
    the Jacobian has the value's shape followed by the argument's.  It is computed forward where the value has as many elements as
    the argument or more, otherwise in reverse, for all rows or columns at once.  f is captured and replayed as by `compile`; with
    `strict`, RuntimeError where it cannot be."""
    return _on_arrays(f, _value_and_jacobian, strict, value_and_jacobian)


def jacobian(f: Callable[..., Any], *, strict: bool = False) -> Callable[..., Any]:
    """`value_and_jacobian` without the value."""
    return _on_arrays(f, lambda f, x, args: (_value_and_jacobian(f, x, args)[1],), strict, jacobian)


def hessian(f: Callable[..., Any], *, strict: bool = False) -> Callable[..., Any]:
    """A function that returns the second derivatives of `f`, which returns a scalar, by the first argument, as a NumPy array."""
    def second(f: Callable, x: Tensor, args: tuple) -> tuple[Tensor]:
        def gradient(x: Tensor) -> Tensor:
            call = Jacobian("hessian", lambda x: f(x, *args), x, True, scalar=True)
            return call.settled(pull_back(call.outputs, call.inputs, [None], True), call.inputs)[0]
        return (columns(Jacobian("hessian", gradient, x, False))[0][0],)
    return _on_arrays(f, second, strict, hessian)


def hvp(f: Callable[..., Any], *, strict: bool = False) -> Callable[..., Any]:
    """A function of (x, p, ...) that returns the product of the Hessian of `f`, which returns a scalar, with p, as a NumPy array."""
    def product(f: Callable, x: Tensor, args: tuple) -> tuple[Tensor, ...]:
        p, *rest = args
        call = Jacobian("hvp", lambda x: f(x, *rest), x, True, scalar=True)
        gradient = call.settled(pull_back(call.outputs, call.inputs, [None], True), call.inputs)
        call.create_graph = False
        return call.settled(pull_back(gradient, call.inputs, (as_tensor(p),), False), call.inputs)
    return _on_arrays(f, product, strict, hvp)


def _value_and_jacobian(f: Callable, x: Tensor, args: tuple) -> tuple[Tensor, Tensor]:
    call = Jacobian("jacobian", lambda x: f(x, *args), x, False)
    if not call.single_output:
        raise TypeError("jacobian: the function must return one tensor")
    [out] = call.outputs
    return call.values(), (columns if out.numel() >= x.numel() else rows)(call)[0][0]      # type: ignore[return-value]


def _on_arrays(f: Callable[..., Any], derivative: Callable[..., tuple[Any, ...]], strict: bool,
               maker: Callable[..., Any]) -> Callable[..., Any]:
    """What `maker` makes of a function: `derivative` of it, compiled, from and to NumPy arrays."""
    @functools.wraps(f)
    def of_arrays(x: Any, *args: Any) -> Any:
        return derivative(f, as_tensor(x), args)

    return Made(Compiled(of_arrays, strict), f, maker, _on_array, strict=strict)


def _on_array(state: Compiled, /, x: Any, *args: Any) -> Any:
    if type(x) is not np.ndarray and not isinstance(x, Tensor):
        x = np.asarray(x, np.float64)
    found = tuple([np.array(t._array()) for t in replayed(state, x, *args)])
    return found[0] if len(found) == 1 else found
