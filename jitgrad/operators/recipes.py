"""Recipes: what an operator recorded for operands of some types, recorded again without asking it.

An operator of several primitives checks its arguments, normalises dimensions and infers types, all of which depends on
the types of its operands and on its other arguments alone.  The first call for these runs the operator; later ones
follow the recipe taken from what it recorded.  An operator that looks at values says `no_recipe()`.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from sys import _getframe
from typing import Any, NamedTuple

import numpy as np

from jitgrad import executor, tracing
from jitgrad.dtype import dtype, get_default_dtype
from jitgrad.executor import MAX_DEPTH
from jitgrad.graph import INPUT, Node, Spec, grad_mode, input_node, topological
from jitgrad.interpreter import as_array, leaf_value, quiet
from jitgrad.operators.origin import OUTSIDE, Composite, user_line
from jitgrad.tensor import Tensor, wrap

MAX_RECIPES = 1000          # of one operator; then its table starts anew
LONGEST = 64                # nodes of a recipe
_STATIC = frozenset({int, type(None), str, dtype})
_BOOL = {False: "no", True: "yes"}.__getitem__      # True == 1: a key must tell them apart
new_tensor = Tensor.__new__


class _Learning(threading.local):
    refused = False


_learning = _Learning()


def no_recipe() -> None:
    """Called by an operator that has looked at a value or given a warning: it is to be asked each time."""
    _learning.refused = True


class Made(NamedTuple):
    """One node: inputs are numbers of operands (first) and of nodes made before; leaves are numbers (`value`)."""

    spec: Spec
    inputs: tuple[int, ...]
    requires_grad: bool
    depth: int                  # above that of the deepest operand
    value: Any


class Owner(NamedTuple):
    """A Composite, its nodes by number."""

    name: str
    inputs: tuple[int | None, ...]
    saves: tuple[int, ...] | None
    saves_result: bool
    number: int


class Recipe(NamedTuple):
    """All nodes, and of the results the numbers and owners; `make` puts several results together (None: there is one)."""

    nodes: list[Made]
    results: list[tuple[int, Owner | None]]
    make: Callable[[list[Tensor]], Any] | None


_UNKNOWN = Recipe([], [], None)


class Recipes:
    """The recipes of one operator.  `call`: the operator, from tensors to tensors."""

    def __init__(self, call: Callable) -> None:
        self._call = call
        self._known: dict[tuple, Recipe | None] = {}

    def function(self) -> Callable:
        """What users call."""
        call, known, learn = self._call, self._known, self._learn

        def recall(*args: Any, **kwargs: Any) -> Any:
            recording = grad_mode.enabled
            pending = False         # whether there is anything to record
            nodes: list[Node] = []
            key: list[Any] = []
            given: tuple[Any, ...] = (*args, len(args), *kwargs, *kwargs.values()) if kwargs else args
            for v in given:
                kind = type(v)
                if isinstance(v, Tensor):
                    n = v._node if v._storage is None else v._current()
                    nodes.append(n)
                    key.append(n.spec.type)
                    if n.depth or (n.requires_grad and recording):
                        pending = True
                        key.append(n.requires_grad * 2 + (n.depth > 0))
                    else:
                        key.append(0)
                elif kind in _STATIC:
                    key.append(v)
                elif kind is bool:
                    key.append(_BOOL(v))
                elif kind is tuple or kind is list:
                    key.append(kind)
                    for u in v:
                        if isinstance(u, Tensor):
                            n = u._node if u._storage is None else u._current()
                            nodes.append(n)
                            key.append(n.spec.type)
                            if n.depth or (n.requires_grad and recording):
                                pending = True
                                key.append(n.requires_grad * 2 + (n.depth > 0))
                            else:
                                key.append(0)
                        elif type(u) is int:
                            key.append(u)
                        else:
                            return call(*args, **kwargs)
                    key.append(kind)
                else:
                    return call(*args, **kwargs)
            if (not recording if pending else tracing.traces) or not nodes or (
                    len(nodes) != 1 and len(set(nodes)) != len(nodes)):
                return call(*args, **kwargs)
            key.append(get_default_dtype())
            at = tuple(key)
            recipe = known.get(at, _UNKNOWN)
            if recipe is _UNKNOWN:
                before, _learning.refused = _learning.refused, False
                if not pending:     # learnt from operands of the same types and values for which it has to record
                    nodes = [Node(n.spec, (), False, 1, n.value) for n in nodes]
                    stand_ins = iter(nodes)
                    args = tuple([_on(v, stand_ins) for v in args])
                    kwargs = {k: _on(v, stand_ins) for k, v in kwargs.items()}
                result = call(*args, **kwargs)
                recipe = None if _learning.refused else _recipe(nodes, result)
                _learning.refused = _learning.refused or before
                learn(at, recipe)
                return result if pending else _settled(result)
            if recipe is None:
                return call(*args, **kwargs)
            if not pending:
                return _computed(recipe, nodes)
            depth = 0
            for n in nodes:
                if n.depth > depth:
                    depth = n.depth
            if depth > MAX_DEPTH - LONGEST:
                return call(*args, **kwargs)
            frame = _getframe(1)
            code = frame.f_code
            return _follow(recipe, nodes, depth, (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line())

        return recall

    def _learn(self, key: tuple, recipe: Recipe | None) -> None:
        if len(self._known) >= MAX_RECIPES:
            self._known.clear()
        self._known[key] = recipe


def by_recipe(call: Callable) -> Callable:
    """Decorate an operator, from tensors to tensors: calls with known types of operands follow a recipe."""
    return functools.wraps(call)(Recipes(call).function())


def _follow(recipe: Recipe, nodes: list[Node], depth: int, line: Any) -> Any:
    for spec, inputs, requires_grad, more, value in recipe.nodes:
        if inputs:
            node = Node(spec, tuple([nodes[i] for i in inputs]), requires_grad, depth + more)
            node.line = line
        else:
            node = Node(spec, (), False, 0, value)
        nodes.append(node)
    made = []
    for i, owner in recipe.results:
        node = nodes[i]
        if owner is not None:
            name, inputs, saves, saves_result, number = owner
            node.ensure_extra().fn = Composite(name, tuple([None if k is None else nodes[k] for k in inputs]),
                                               None if saves is None else tuple([nodes[k] for k in saves]),
                                               saves_result, number)
        result = new_tensor(Tensor)
        result._node = node
        made.append(result)
    return made[0] if recipe.make is None else recipe.make(made)


def _on(value: Any, nodes: Iterator[Node]) -> Any:
    """An argument with its tensors on other nodes."""
    if isinstance(value, Tensor):
        return wrap(next(nodes))
    if type(value) is tuple or type(value) is list:
        return type(value)([_on(v, nodes) for v in value])
    return value


def _settled(result: Any) -> Any:
    """What was recorded of operands that are known, computed."""
    if isinstance(result, Tensor):
        node = result._current()
        return wrap(input_node(executor.value(node), node.type))
    if isinstance(result, tuple):
        values = [_settled(v) for v in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    return result


def _computed(recipe: Recipe, nodes: list[Node]) -> Any:
    """Follow a recipe with operands that are known, at once."""
    values = quiet.run(_values, recipe, [leaf_value(n) for n in nodes])
    made = [wrap(input_node(values[i], recipe.nodes[i - len(nodes)].spec.type)) for i, _ in recipe.results]
    return made[0] if recipe.make is None else recipe.make(made)


def _values(recipe: Recipe, values: list[np.ndarray]) -> list[np.ndarray]:
    for spec, inputs, _, _, value in recipe.nodes:
        if inputs:
            shape_only = spec.op.shape_only
            args = [values[i].shape if k in shape_only else values[i] for k, i in enumerate(inputs)] if shape_only \
                else [values[i] for i in inputs]
            value = spec.op.numpy(*args, **spec.kwargs)
        values.append(as_array(value, spec.type))
    return values


def _recipe(operands: list[Node], result: Any) -> Recipe | None:
    """The recipe by which `result` came about, or None if there is none: it holds computed values, or is a view."""
    make: Callable[[list[Tensor]], Any] | None = None
    tensors: list[Any] = [result]
    if isinstance(result, tuple):
        tensors = list(result)
        kind = type(result)
        make = (lambda made: kind(*made)) if hasattr(kind, "_fields") else tuple
    if not tensors or any([type(t) is not Tensor or t._storage is not None for t in tensors]):
        return None
    numbers: dict[Node, int] = {n: i for i, n in enumerate(operands)}
    roots = [t._node for t in tensors]
    if any([n in numbers for n in roots]) or len(set(roots)) != len(roots):
        return None
    made: list[Made] = []
    base = max([n.depth for n in operands], default=0)
    for node in topological(roots, lambda n: () if n in numbers else n.inputs):
        if node in numbers:
            continue
        owned = node in roots and node.extra is not None and all([v is None for k, v in vars(node.extra).items()
                                                                  if k != "fn"])
        if node.spec.op is INPUT or (node.extra is not None and not owned) or (node.inputs and node.value is not None):
            return None
        if node.inputs and not node.depth:
            return None
        numbers[node] = len(operands) + len(made)
        made.append(Made(node.spec, tuple([numbers[n] for n in node.inputs]), node.requires_grad,
                         max(node.depth - base, 1), node.value))
    results: list[tuple[int, Owner | None]] = []
    for node in roots:
        fn = None if node.extra is None else node.extra.fn
        if fn is not None:
            if type(fn) is not Composite or any([n not in numbers for n in (*fn.inputs, *(fn.saves or ()))
                                                 if n is not None]):
                return None
            saves = None if fn.saves is None else tuple([numbers[n] for n in fn.saves])
            fn = Owner(fn.name, tuple([None if n is None else numbers[n] for n in fn.inputs]), saves,
                       fn.saves_result, fn.number)
        results.append((numbers[node], fn))
    return Recipe(made, results, make) if len(made) <= LONGEST else None
