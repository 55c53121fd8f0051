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
from jitgrad.executor import MAX_DEPTH, MAX_HISTORY
from jitgrad.graph import INPUT, Extra, Node, Spec, grad_mode, input_node, topological
from jitgrad.interpreter import as_array, leaf_value, quiet
from jitgrad.operators.memo import LEAST, memoized
from jitgrad.operators.origin import OUTSIDE, PACKAGE, Composite, user_line
from jitgrad.tensor import Tensor, wrap

MAX_RECIPES = 1000          # of one operator; then its table starts anew
LONGEST = 64                # nodes of a recipe
_STATIC = frozenset({int, type(None), str, dtype})
_BOOL = {False: "no", True: "yes"}.__getitem__      # True == 1: a key must tell them apart


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
    """All nodes, and of the results the numbers and owners; `make` puts several results together (None: there is one).
    follow(operands, depth of the deepest, line): record it (see _follower)."""

    nodes: list[Made]
    results: list[tuple[int, Owner | None]]
    make: Callable[[list[Tensor]], Any] | None
    follow: Callable[..., Any]


_UNKNOWN = Recipe([], [], None, lambda: None)


class Recipes:
    """The recipes of one operator.  `call`: the operator, from tensors to tensors."""

    def __init__(self, call: Callable) -> None:
        self._call = call
        self._known: dict[tuple, Recipe | None] = {}
        self._quick: dict[tuple, Callable[..., Any]] = {}

    def function(self) -> Callable:
        """What users call."""
        call, known, learn, quick = self._call, self._known, self._learn, self._quick
        computers: dict[tuple, Callable[..., Any]] = {}

        def recall(*args: Any, **kwargs: Any) -> Any:
            if args and grad_mode.enabled:
                # One or two tensors to record on, then plain arguments: most calls.  (Types are part of the keys: True == 1.)
                v = args[0]
                if isinstance(v, Tensor):
                    n = v._node if v._storage is None else v._current()
                    depth = n.depth
                    follow = None
                    if len(args) > 1 and isinstance(args[1], Tensor):
                        v = args[1]
                        m = v._node if v._storage is None else v._current()
                        if m is not n and (n.requires_grad or m.requires_grad):
                            at: Any = (n.spec.type, n.requires_grad, depth > 0, m.spec.type, m.requires_grad, m.depth > 0,
                                       get_default_dtype(), args[2:], *map(type, args), *kwargs.items(),
                                       *(kwargs and map(type, kwargs.values())))
                            try:
                                follow = quick.get(at)
                            except TypeError:
                                pass            # an argument that has no hash
                            if depth < m.depth:
                                depth = m.depth
                            if follow is not None and depth <= MAX_HISTORY - LONGEST:
                                frame = _getframe(1)
                                code = frame.f_code
                                return follow(n, m, depth,
                                              (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line())
                    elif n.requires_grad:
                        at = (n.spec.type, depth > 0, get_default_dtype(), args[1:], *map(type, args), *kwargs.items(),
                              *(kwargs and map(type, kwargs.values())))
                        try:
                            follow = quick.get(at)
                        except TypeError:
                            pass
                        if follow is not None and depth <= MAX_HISTORY - LONGEST:
                            frame = _getframe(1)
                            code = frame.f_code
                            return follow(n, depth, (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line())
                    elif not depth and type(n.value) is np.ndarray and not tracing.traces:
                        try:
                            follow = quick.get((n.spec.type, None, get_default_dtype(), args[1:], *map(type, args), *kwargs.items(),
                                                *(kwargs and map(type, kwargs.values()))))
                        except TypeError:
                            pass
                        if follow is not None:
                            return follow(n.value)
            return general(args, kwargs)

        def general(args: tuple, kwargs: dict[str, Any]) -> Any:
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
                compute = computers.get(at)
                if compute is None:
                    if len(computers) >= MAX_RECIPES:
                        computers.clear()
                    compute = computers[at] = _computer(len(nodes), recipe)
                if len(nodes) == 1 and not nodes[0].requires_grad:      # else grad mode is off: the quick way records
                    self._remember(compute, nodes, args, kwargs)
                return compute(*[leaf_value(n) for n in nodes])
            depth = 0
            for n in nodes:
                if n.depth > depth:
                    depth = n.depth
            if depth > (MAX_HISTORY if any([n.requires_grad for n in nodes]) else MAX_DEPTH) - LONGEST:
                return call(*args, **kwargs)
            self._remember(recipe.follow, nodes, args, kwargs)
            return recipe.follow(*nodes, depth, user_line(3))

        return recall

    def _remember(self, follow: Callable[..., Any], nodes: list[Node], args: tuple, kwargs: dict[str, Any]) -> None:
        """Let calls like this one go the quick way."""
        tensors = len([v for v in args[:2] if isinstance(v, Tensor)])
        others = (*args[tensors:], *kwargs.values())
        if not tensors or tensors != len(nodes) or not all([type(v) in _STATIC or type(v) is bool or (
                type(v) is tuple and all([type(u) is int for u in v])) for v in others]):
            return
        if len(self._quick) >= MAX_RECIPES:
            self._quick.clear()
        n, m = nodes[0], nodes[-1]
        if tensors == 1:
            if n.depth and not n.requires_grad:
                return
            state = n.depth > 0 if n.requires_grad else None        # None: it is known, and so will be the result
            at: tuple = (n.spec.type, state, get_default_dtype(), args[1:], *map(type, args), *kwargs.items(),
                         *(kwargs and map(type, kwargs.values())))
        else:
            at = (n.spec.type, n.requires_grad, n.depth > 0, m.spec.type, m.requires_grad, m.depth > 0, get_default_dtype(),
                  args[2:], *map(type, args), *kwargs.items(),
                  *(kwargs and map(type, kwargs.values())))
        self._quick[at] = follow

    def _learn(self, key: tuple, recipe: Recipe | None) -> None:
        if len(self._known) >= MAX_RECIPES:
            self._known.clear()
        self._known[key] = recipe


def by_recipe(call: Callable) -> Callable:
    """Decorate an operator, from tensors to tensors: calls with known types of operands follow a recipe."""
    return functools.wraps(call)(Recipes(call).function())


def _follower(operands: int, recipe_nodes: list[Made], results: list[tuple[int, Owner | None]],
              make: Callable[[list[Tensor]], Any] | None) -> Callable[..., Any]:
    """What records a recipe.  For the sum over a dimension of a matrix, a sum that keeps it and a squeeze:

        def follow(n0, depth, line):
            n1 = Node(spec1, (n0,), True, depth + 1, None, line)
            n2 = Node(spec2, (n1,), True, depth + 2, None, line)
            n2.extra = e0 = Extra()
            e0.fn = Composite(name0, (n0,), (), False, 0)
            r0 = new(Tensor)
            r0._node = n2
            return r0

    Recipes of one structure share the code, and each has its specs, names and numbers as variables around it."""
    given: dict[str, Any] = {}
    lines: list[str] = []
    for i, (spec, inputs, requires_grad, more, value) in enumerate(recipe_nodes, operands):
        given[f"spec{i}"] = spec
        if inputs:
            lines.append(f"n{i} = Node(spec{i}, {_listed(inputs)}, {requires_grad}, depth + {more}, None, line)")
        else:
            given[f"value{i}"] = value
            lines.append(f"n{i} = Node(spec{i}, (), False, 0, value{i})")
    for k, (i, owner) in enumerate(results):
        if owner is not None:
            given[f"name{k}"] = owner.name
            lines += [f"n{i}.extra = e{k} = Extra()",
                      f"e{k}.fn = Composite(name{k}, {_listed(owner.inputs)}, "
                      f"{None if owner.saves is None else _listed(owner.saves)}, {owner.saves_result}, {owner.number})"]
        lines += [f"r{k} = new(Tensor)", f"r{k}._node = n{i}"]
    if make is None:
        lines.append("return r0")
    else:
        given["make"] = make
        lines.append(f"return make([{', '.join([f'r{k}' for k in range(len(results))])}])")
    head = ", ".join([*[f"n{i}" for i in range(operands)], "depth", "line"])
    return _around(_source("follow", head, given, lines))(**given)


def _source(name: str, head: str, given: dict[str, Any], lines: list[str]) -> str:
    body = "\n        ".join(lines)
    return f"def around({', '.join(given)}):\n    def {name}({head}):\n        {body}\n    return {name}\n"


@functools.lru_cache(maxsize=1000)
def _around(source: str) -> Callable[..., Callable[..., Any]]:
    scope: dict[str, Any] = {"Node": Node, "Extra": Extra, "Composite": Composite, "Tensor": Tensor, "new": Tensor.__new__,
                             "as_array": as_array, "ndarray": np.ndarray}
    exec(compile(source, f"{PACKAGE}/operators/recipes.py: generated", "exec"), scope)
    return scope["around"]


def _listed(numbers: tuple[int | None, ...]) -> str:
    return "(" + "".join(["None, " if k is None else f"n{k}, " for k in numbers]) + ")"


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


def _computer(operands: int, recipe: Recipe) -> Callable[..., Any]:
    """What computes a recipe at once, from arrays to tensors."""
    compute = _arrays(operands, recipe)
    types = [recipe.nodes[i - operands].spec.type for i, _ in recipe.results]
    make = recipe.make
    if make is None:
        [type_] = types

        def one(*values: np.ndarray) -> Tensor:
            result = quiet.run(compute, *values) if values[0].size < LEAST else memoized(quiet.run, compute, *values)
            return wrap(input_node(result, type_))

        return one

    def several(*values: np.ndarray) -> Any:
        results = quiet.run(compute, *values)
        return make([wrap(input_node(v, type_)) for v, type_ in zip(results, types, strict=True)])

    return several


def _arrays(operands: int, recipe: Recipe) -> Callable[..., Any]:
    """From arrays to the array of a recipe's only result or a tuple of arrays: `_follower` with NumPy's functions in place
    of nodes."""
    given: dict[str, Any] = {}
    lines: list[str] = []
    shapes = {i: f"v{i}.shape" for i in range(operands)}
    for i, (spec, inputs, _, _, value) in enumerate(recipe.nodes, operands):
        shapes[i] = repr(spec.type.shape)
        if not inputs:
            given[f"v{i}"] = as_array(value, spec.type)
            continue
        if spec.op.name in RESHAPED:
            lines.append(f"v{i} = v{inputs[0]}.reshape({shapes[i]})")
            continue
        given[f"call{i}"] = functools.partial(spec.op.numpy, **spec.kwargs) if spec.kwargs else spec.op.numpy
        given[f"type{i}"], given[f"dtype{i}"] = spec.type, spec.type.dtype.np
        arguments = [shapes[n] if k in spec.op.shape_only else f"v{n}" for k, n in enumerate(inputs)]
        lines += [f"v{i} = call{i}({', '.join(arguments)})",
                  f"if type(v{i}) is not ndarray or v{i}.dtype is not dtype{i}: v{i} = as_array(v{i}, type{i})"]
    results = [f"v{i}" for i, _ in recipe.results]
    lines.append(f"return {results[0] if recipe.make is None else '(' + ', '.join(results) + ',)'}")
    return _around(_source("compute", ", ".join([f"v{i}" for i in range(operands)]), given, lines))(**given)


RESHAPED = ("reshape", "squeeze", "unsqueeze")      # all they do is to give an array its shape


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
    if len(made) > LONGEST:
        return None
    return Recipe(made, results, make, _follower(len(operands), made, results, make))
