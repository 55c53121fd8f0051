"""Random tensors: rand, randn, randint, randperm, normal, bernoulli and their kin."""
from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.recording import grad_mode, scalar_node
from jitgrad.operators.creation.results import NO_GRADIENTS, finished, given_sizes, made_as, sizes
from jitgrad.operators.declaration.declare import finish_composite
from jitgrad.operators.declaration.out import write_to
from jitgrad.operators.operands import cast
from jitgrad.random import drawing
from jitgrad.random.drawing import BITS, NORMAL, UNIFORM, Source, recorded, tensor
from jitgrad.random.generator import Generator
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.types.device import DeviceLike, default, placement
from jitgrad.types.dtype import as_dtype, dtype, float64, get_default_dtype, int64


def floating(called: str, to: Any) -> dtype:
    """The dtype of random floats.  Raises NotImplementedError for one that has none."""
    to = get_default_dtype() if to is None else as_dtype(to)
    if to.category != 2:
        raise NotImplementedError(f"{called}(): not implemented for {to!r}: random floats need float32 or float64")
    return to


def _given(result: Tensor, requires_grad: bool, out: Tensor | None = None) -> Tensor:
    """A draw, or `out` with its numbers."""
    if requires_grad and result._node.type.dtype.category != 2:
        raise RuntimeError(NO_GRADIENTS)
    if out is not None:
        write_to(out, result, casts=False)
        result = out
    return result.requires_grad_() if requires_grad else result


def _place(called: str, device: DeviceLike, out: Any) -> str:
    """Where to draw: that of `out` or what is given, if any.  Raises as `placement`."""
    where = placement(device, called)
    return out._node.spec.type.device if isinstance(out, Tensor) else where


def _of_shape(called: str, source: Source, doc: str) -> Any:
    def create(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None,
               layout: Any = None, device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False,
               **named: Any) -> Tensor:
        if out is None and device is None and not (requires_grad or named or tracing.traces) and default.name == "cpu":
            quick = drawing.small(source, size, get_default_dtype() if dtype is None else dtype, generator)
            if quick is not None:
                return quick
        where = _place(called, device, out)
        to = floating(called, made_as(called, out, dtype, get_default_dtype()))
        return _given(tensor(source, given_sizes(called, size, named), to, generator, device=where), requires_grad, out)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return create


def _like(called: str, source: Source, doc: str) -> Any:
    def create(input: Tensor, *, generator: Generator | None = None, dtype: dtype | None = None, layout: Any = None,
               device: DeviceLike = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
        node = input._node
        where = node.type.device if device is None else placement(device, called)
        to = floating(called, input.dtype if dtype is None else dtype)
        like = recorded(node) if where == node.type.device else None
        return _given(tensor(source, node.type.shape, to, generator, like=like, device=where), requires_grad)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return create


rand = _of_shape("rand", UNIFORM, "Uniform random numbers in [0, 1): 24 bits of a float32, 53 of a float64.")
randn = _of_shape("randn", NORMAL, "Normal random numbers of mean 0 and variance 1.")
rand_like = _like("rand_like", UNIFORM, "rand() of the shape and dtype of another tensor.")
randn_like = _like("randn_like", NORMAL, "randn() of the shape and dtype of another tensor.")


def randint(low: Any, high: Any = None, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
            dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Uniform integers from low (0) to below high: randint(high, size) or randint(low, high, size)."""
    where = _place("randint", device, out)
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    to = made_as("randint", out, dtype, int64)
    source, formula = drawing.integers(int(low), int(high))
    return _given(tensor(source, sizes("randint", tuple(size)), int64, generator, *formula, to=to, device=where), requires_grad, out)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: dtype | None = None, device: DeviceLike = None,
                 requires_grad: bool = False) -> Tensor:
    """randint() of the shape and dtype of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=input.dtype if dtype is None else dtype,
                   device=input.device if device is None else device, requires_grad=requires_grad)


def randperm(n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
             device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """The integers from 0 to below n in random order: that of as many random numbers of 64 bits."""
    where = _place("randperm", device, out)
    n = index(n)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    to = made_as("randperm", out, dtype, int64)
    keys, below = tensor(BITS, (n,), int64, generator, device=where)._node, (1 << max(n - 1, 0).bit_length()) - 1
    if type(keys.value) is np.ndarray:          # sorted along with the positions, in the bits below
        array = keys.value & ~below
        array |= np.arange(n)
        array.sort()
        array &= below
        return finished(array.astype(to.np, copy=False), requires_grad, out)
    upper = ops.bitwise_and(keys, scalar_node(~below, int64, where))
    return _given(wrap(finish_composite(cast(ops.argsort(upper, dim=0, descending=False), to), None, (keys,))), requires_grad, out)


@tracing.draws(by_element=True)
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
           dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers; mean and std are numbers (with a size) or tensors that are broadcast."""
    of_tensors = isinstance(mean, Tensor) or isinstance(std, Tensor)
    if of_tensors:
        tracing.refuse("it draws random numbers")
    given: Any = mean if isinstance(mean, Tensor) else std
    where = given._node.spec.type.device if of_tensors else _place("normal", device, out)
    m, s = [v if not isinstance(v, Tensor) else v._array() if where == "cpu" else v.detach() for v in (mean, std)]
    if (s < 0).any() if isinstance(std, Tensor) else s < 0:
        raise RuntimeError("normal expects all elements of std >= 0.0" if isinstance(std, Tensor)
                           else f"normal expects std >= 0.0, but found std {std}")
    if of_tensors:
        to, shape = given.dtype, np.broadcast_shapes(np.shape(m), np.shape(s))
        if where == "cpu":
            result = finished(np.asarray(m + s * drawing.array(NORMAL, shape, to, generator), to.np), requires_grad)
        else:
            result = _given((tensor(NORMAL, shape, to, generator, device=where) * s + m).to(to).detach(), requires_grad)
    else:
        if size is None:
            raise TypeError("normal(): with numbers for mean and std, a size is needed")
        to, shape = floating("normal", dtype), sizes("normal", (size,) if isinstance(size, int) else tuple(size))
        result = _given(tensor(NORMAL, shape, to, generator, drawing.between, float(mean), float(std), device=where), requires_grad)
    name = f"NormalBackward{isinstance(mean, Tensor) + 2 * isinstance(std, Tensor)}"
    return drawn_to("normal", out, _with_zero_derivative(result, name, mean, std))


def _with_zero_derivative(drawn: Tensor, name: str, *given: Any) -> Tensor:
    """What was drawn, as a function of the tensors among these of which the derivative is 0."""
    edges = tuple([v._current() for v in given if isinstance(v, Tensor)])
    if not grad_mode.enabled or not any([n.requires_grad for n in edges]):
        return drawn
    node = drawn._current()
    for n in edges:
        if n.requires_grad:
            node = ops.constant_in(node, n)
    return wrap(finish_composite(node, name, edges, ()))


def drawn_to(called: str, out: Any, drawn: Tensor) -> Tensor:
    """What was drawn, or `out` with its numbers."""
    if out is None:
        return drawn
    made_as(called, out, None, drawn.dtype)
    return _given(drawn.detach(), False, out)


@tracing.draws(by_element=True)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """1 with the probabilities in input, or all with the probability p, else 0."""
    node = input._node
    if p is not None:
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        made = tensor(UNIFORM, node.type.shape, float64, generator, drawing.below, p, to=node.type.dtype, like=recorded(node),
                      device=node.type.device)
    else:
        tracing.refuse("it draws random numbers")
        to, where = floating("bernoulli", input.dtype), node.type.device
        chances: Any = input._array() if where == "cpu" else input.detach()
        if not ((chances >= 0) & (chances <= 1)).all():
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got a probability outside [0, 1]")
        if where == "cpu":
            made = from_array(np.asarray(drawing.array(UNIFORM, chances.shape, to, generator) < chances, to.np))
        else:
            made = (tensor(UNIFORM, node.type.shape, to, generator, device=where) < chances).to(to)
    return drawn_to("bernoulli", out, _with_zero_derivative(made, f"BernoulliBackward{int(p is not None)}", input))


def _bernoulli(self: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probabilities in this tensor (or all with probability p), else 0."""
    return bernoulli(self if p is None else self.detach() * 0 + p, generator=generator)


_bernoulli.__name__ = _bernoulli.__qualname__ = "bernoulli"
METHODS: tuple[Callable, ...] = (_bernoulli,)
