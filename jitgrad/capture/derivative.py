"""value_and_grad and grad: one compiled call for a function's value and gradient, on NumPy arrays as on tensors.

The function sees tensors; what is given as NumPy arrays and Python floats is converted, and comes back as it was given.
A replay makes leaf nodes straight from the arguments and runs one program; nothing is recorded, and nothing is kept.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import autograd
from jitgrad.capture.callables import Made
from jitgrad.capture.compiled import Compiled
from jitgrad.capture.guard_code import Misled, Replay, attempt, generate, recording, replay_of
from jitgrad.capture.guards.lines import Refusal, article
from jitgrad.capture.replays.captured_graph import CapturedGraph, run
from jitgrad.capture.trace import Input, Trace
from jitgrad.capture.trees import like, parts, text_like
from jitgrad.graph.recording import grad_mode, in_grad_mode, input_node
from jitgrad.requests.capture import capture as capture_graph
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import array_type
from jitgrad.types.dtype import from_numpy_dtype


def value_and_grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
                   strict: bool = False) -> Callable[..., Any]:
    """A function that returns the value of `f` and its gradient with respect to the positional arguments `argnums`.

    f: returns a floating-point scalar tensor (with has_aux: a pair of it and anything else, and the result is
    ((value, aux), gradient)).  Arguments: tensors, NumPy arrays and numbers in nested dicts, lists and tuples.  The gradient
    has the structure of the argument (a tuple for several argnums): tensors for tensors, arrays for arrays, floats for
    floats, zero where f does not depend on it; the value is a tensor if the first differentiated leaf is one, otherwise a
    NumPy scalar.  Integers and strings in an argument are not differentiated: None stands in their places.  Tensors in aux
    carry no gradient, unless f reads other tensors that require grad.  `f` is captured and replayed as by `compile`.
    Raises TypeError for argnums out of range, for arrays and tensors that are not floating-point and for arguments with
    nothing to differentiate, RuntimeError where f does not return a scalar, and with `strict` where f cannot be replayed."""
    single = isinstance(argnums, int)
    state = Derivative(f, (argnums,) if isinstance(argnums, int) else tuple(argnums), single, has_aux, strict)
    return Made(state, f, value_and_grad, argnums=argnums if single else tuple(argnums), has_aux=has_aux, strict=strict)


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
         strict: bool = False) -> Callable[..., Any]:
    """`value_and_grad` without the value: the gradient, or with has_aux the pair (gradient, aux)."""
    single = isinstance(argnums, int)
    state = Derivative(f, (argnums,) if isinstance(argnums, int) else tuple(argnums), single, has_aux, strict)
    return Made(state, f, grad, _gradient_and_aux if has_aux else _gradient,
                argnums=argnums if single else tuple(argnums), has_aux=has_aux, strict=strict)


def _gradient(state: Derivative, /, *args: Any, **kwargs: Any) -> Any:
    return state.call(args, kwargs)[1]


def _gradient_and_aux(state: Derivative, /, *args: Any, **kwargs: Any) -> Any:
    (_, aux), gradient = state.call(args, kwargs)
    return gradient, aux


class Leaf:
    """A leaf that is differentiated, or converted: how it was given ("array", "float", "tensor"), and its tensor."""

    def __init__(self, kind: str, tensor: Tensor, differentiated: bool) -> None:
        self.kind = kind
        self.tensor = tensor
        self.differentiated = differentiated
        self.argument = 0           # the number of the positional argument that it is in


def leaf(value: Any, differentiated: bool, place: str) -> Leaf | None:
    """The leaf for an argument, None for what stays as it is.  Tensors with a history stay connected to it."""
    if isinstance(value, Tensor):
        if not differentiated:
            return None
        if not value.dtype.is_floating_point:
            raise TypeError(f"grad: {place} is a tensor of {value.dtype}: only floating-point tensors are differentiated")
        if value.requires_grad:
            return Leaf("tensor", value.clone() if grad_mode.enabled else value, True)      # type: ignore[attr-defined]
        made = wrap(input_node(value._array(), value._node.type))
        return Leaf("tensor", made.requires_grad_(), True)
    if isinstance(value, np.ndarray):
        kind = from_numpy_dtype(value.dtype)
        array = np.array(value, order="C")
    elif differentiated and type(value) is float:
        array = np.array(value)
        kind = from_numpy_dtype(array.dtype)
    else:
        return None
    made = wrap(input_node(array, array_type(array.shape, kind)))
    if differentiated:
        if kind.category != 2:
            raise TypeError(f"grad: {place} is an array of {kind!r}: only floating-point arrays are differentiated")
        made.requires_grad_()
    return Leaf("array" if isinstance(value, np.ndarray) else "float", made, differentiated)


class Derivative(Compiled):
    """The state of one value_and_grad function."""

    def __init__(self, function: Callable, argnums: tuple[int, ...], single: bool, has_aux: bool, strict: bool) -> None:
        super().__init__(function, strict)
        if not argnums or any([type(i) is not int or i < 0 for i in argnums]):
            raise TypeError(f"grad: argnums must be the numbers of positional arguments, from 0, but got {argnums}")
        self.argnums = argnums
        self.single = single
        self.has_aux = has_aux

    # -- recorded ----------------------------------------------------------------------------------------------------

    def record(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """By recording, without a capture."""
        self._check(args)
        leaves: list[Leaf] = []
        outer = grad_mode.enabled
        new = tuple([_converted(a, i in self.argnums, f"argument {i}", leaves) for i, a in enumerate(args)])
        named = {k: _converted(v, False, k, leaves) for k, v in kwargs.items()}
        result = in_grad_mode(True, functools.partial(self.function, *new, **named))
        return self._differentiated(result, leaves, args, outer)

    def _differentiated(self, result: Any, leaves: list[Leaf], args: tuple, outer: bool) -> Any:
        """What a call returns, by autograd, from what the function has returned.  outer: whether grad mode was enabled."""
        value, aux = self._split(result)
        wrt = [leaf for leaf in leaves if leaf.differentiated]
        own = {id(leaf.tensor._current()) for leaf in wrt}
        linked = outer and any([id(n) not in own for n in capture_graph([value._current()]).leaves])
        found: tuple[Tensor | None, ...] = tuple([None] * len(wrt))
        if value.requires_grad:
            found = in_grad_mode(True, lambda: autograd.grad(value, [leaf.tensor for leaf in wrt], create_graph=linked,
                                                             allow_unused=True))
        if not linked:
            value, aux = value.detach(), _detached(aux)
        grads = iter([_returned(leaf, g) for leaf, g in zip(wrt, found, strict=True)])
        trees = [_like(args[i], grads) for i in sorted(set(self.argnums))]
        by_number = dict(zip(sorted(set(self.argnums)), trees, strict=True))
        gradient = by_number[self.argnums[0]] if self.single else tuple([by_number[i] for i in self.argnums])
        given = value if not wrt or wrt[0].kind == "tensor" else value.detach()._array()[()]
        return ((given, aux) if self.has_aux else given), gradient

    def _check(self, args: tuple) -> None:
        for i in self.argnums:
            if not 0 <= i < len(args):
                raise TypeError(f"grad: argnums names argument {i}, but there are {len(args)} positional arguments")
            if not _leaves_of(args[i]) and not (isinstance(args[i], (dict, list, tuple)) and not args[i]):
                raise TypeError(f"grad: there is nothing to differentiate in argument {i}, {article(type(args[i]).__name__)}: "
                                "give it floats, floating-point arrays or tensors, in dicts, lists and tuples")

    def _split(self, result: Any) -> tuple[Tensor, Any]:
        value, aux = result, None
        if self.has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError("grad: with has_aux the function must return a pair (value, aux)")
            value, aux = result
        if not isinstance(value, Tensor) or value._node.type.size != 1 or value._node.type.dtype.category != 2:
            what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise RuntimeError(f"grad: the function must return a floating-point tensor of one element, but returned {what}")
        return value, aux

    # -- captured ----------------------------------------------------------------------------------------------------

    def capture_once(self, args: tuple, kwargs: dict[str, Any], dynamic: set[str] | None) -> tuple[Any, Replay]:
        """See Compiled: capture the function on converted arguments; the first result comes from the first replay."""
        self._check(args)
        try:
            return self._capture_converted(args, kwargs, dynamic)
        except Misled:
            self._by_value = True
            return self._capture_converted(args, kwargs, None)

    def _capture_converted(self, args: tuple, kwargs: dict[str, Any], dynamic: set[str] | None) -> tuple[Any, Replay]:
        trace = Trace(self.function, dynamic)
        leaves: list[tuple[int, Leaf]] = []

        def on_array(expression: str, value: Any, place: str) -> Any:
            position = int(place[5:].partition("]")[0]) if place.startswith("args[") else -1
            found = leaf(value, position in self.argnums, place)
            if found is None:
                if isinstance(value, Tensor) and value.requires_grad and grad_mode.enabled:
                    raise Refusal(f"depends on {place}, which requires grad")
                return None
            if found.kind == "tensor" and value.requires_grad:
                raise Refusal(f"differentiates with respect to {place}, which requires grad itself")
            i = len(trace.inputs)
            constant = trace.guards.constant
            if found.kind == "array":
                trace.guards.test(f"type(a{i} := {expression}) is not {constant(np.ndarray)} or a{i}.shape != "
                                 f"{constant(value.shape)} or a{i}.dtype != {constant(value.dtype)}", place)
            elif found.kind == "float":
                trace.guards.test(f"type(a{i} := {expression}) is not float", place)
            else:
                trace.guards.test(f"type(a{i} := {expression}) is not {constant(type(value))}", place)
            trace.add(Input(f"t{i}", found.tensor, found.tensor._current(), "leaf" if found.kind == "tensor" else found.kind))
            leaves.append((i, found))
            return found.tensor

        trace.arguments.on_array = on_array

        def call() -> tuple[Any, Any]:
            prepared = trace.prepare(args, kwargs)
            return prepared, None if prepared is None else attempt(trace, prepared, args, kwargs)

        before = trace.grad_enabled = grad_mode.enabled
        prepared, result = in_grad_mode(True, call)
        if trace.reason is None and before and any([i.requires_grad and i.kind == "tensor" for i in trace.inputs]):
            trace.reason = "reads a tensor that requires grad"
        if prepared is None:
            return self.record(args, kwargs), recording(trace, trace.reason or "")
        self._split(result)
        replay = replay_of(trace, lambda: self._make(trace, result, leaves, args, kwargs))
        if replay.result is None:
            return self._differentiated(result, [found for _, found in leaves], args, before), replay
        return replay.result(*replay.enter(args, kwargs)), replay

    def _make(self, trace: Trace, result: Any, leaves: list[tuple[int, Leaf]], args: tuple,
              kwargs: dict[str, Any]) -> Replay:
        """The replay of a capture: see functions.generate for the guard; the result is made by

            def result(nodes, given):
                r = run(derivative(wrt, nodes), nodes)
                return r[0][()], r[1]
        """
        value, aux = self._split(result)
        wrt = [(i, found) for i, found in leaves if found.differentiated]
        arrays = not wrt or wrt[0][1].kind != "tensor"

        def body(template: CapturedGraph, expression: str) -> list[str]:
            if not template.nodes[template.outputs[0]].inputs:
                raise Refusal("returns a constant")
            constant = trace.guards.constant
            used = [i for i, _ in wrt if template.leaves[i] is not None]
            others = list(dict.fromkeys(template.outputs[1:]))
            lines = [f"r = {constant(run)}({constant(template.derivative)}({constant(used)}, nodes), nodes)"]
            names: dict[int, str] = {}
            for k, i in enumerate(used):
                names[i] = f"r[{1 + len([n for n in others if n != template.outputs[0]]) + k}]"
            for k, number in enumerate(template.outputs):
                at = 0 if number == template.outputs[0] else 1 + others.index(number)
                lines.append(f"o{k} = wrap(input_node(r[{at}], {constant(template.nodes[number].type)}))")
            if arrays:
                lines[1] = "o0 = r[0][()]"
            trees = {i: _gradient_expression(args[i], constant, iter(
                [_gradient_text(names.get(k), found, constant) for k, found in wrt if found.argument == i]))
                for i in self.argnums}
            gradient = trees[self.argnums[0]] if self.single else "(" + "".join([trees[i] + ", " for i in self.argnums]) + ")"
            return [*lines, f"return {expression}, {gradient}"]

        order = iter([i for i in sorted(set(self.argnums)) for _ in _leaves_of(args[i])])
        for _, found in wrt:
            found.argument = next(order)
        return generate(trace, result if self.has_aux else value, args, kwargs, body)


# -- trees -----------------------------------------------------------------------------------------------------------

def _converted(tree: Any, differentiated: bool, place: str, leaves: list[Leaf]) -> Any:
    found = leaf(tree, differentiated, place)
    if found is not None:
        leaves.append(found)
        return found.tensor
    inner = parts(tree)
    return tree if inner is None else like(tree, [_converted(v, differentiated, f"{place}[{k!r}]", leaves) for k, v in inner])


def _detached(tree: Any) -> Any:
    """The tree with tensors that are computed from nothing that requires grad."""
    if isinstance(tree, Tensor):
        return tree.detach() if tree.requires_grad and not tree.is_leaf else tree
    inner = [*enumerate(tree)] if isinstance(tree, tuple) else parts(tree)
    return tree if inner is None else like(tree, [_detached(v) for _, v in inner])


def _is_leaf(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or type(value) is float


def _leaves_of(tree: Any) -> list[Any]:
    return [tree] if _is_leaf(tree) else [found for _, part in parts(tree) or () for found in _leaves_of(part)]


def _like(tree: Any, grads: Any) -> Any:
    """A tree with the next gradient in the place of each leaf, None for what is not differentiated."""
    if _is_leaf(tree):
        return next(grads)
    inner = parts(tree)
    return None if inner is None else like(tree, [_like(v, grads) for _, v in inner])


def _returned(given: Leaf, g: Tensor | None) -> Any:
    """A gradient as its argument was given."""
    if g is None:
        g = wrap(input_node(np.zeros(given.tensor._node.type.shape, given.tensor._node.type.dtype.np),
                            given.tensor._node.type))
    if given.kind == "tensor":
        return g
    array = g.detach()._array()
    return float(array) if given.kind == "float" else array.copy()


def _gradient_text(name: str | None, found: Leaf, constant: Callable[[Any], str]) -> str:
    kind = found.tensor._node.type
    if name is None:
        name = f"zeros({kind.shape}, {constant(kind.dtype.np)})"
    if found.kind == "float":
        return f"float({name})"
    return name if found.kind == "array" else f"wrap(input_node({name}, {constant(kind)}))"


def _gradient_expression(tree: Any, constant: Callable[[Any], str], texts: Any) -> str:
    if _is_leaf(tree):
        return next(texts)
    inner = parts(tree)
    return "None" if inner is None else text_like(tree, [_gradient_expression(v, constant, texts) for _, v in inner], constant)
