"""Recipes: what an operator recorded for operands of some types, recorded again without asking it.

An operator of several primitives checks its arguments, normalises dimensions and infers types, all of which depends on
the types of its operands and on its other arguments alone.  The first call for these runs the operator; later ones
follow the recipe taken from what it recorded.  An operator that looks at values says `no_recipe()`.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from sys import _getframe
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.dtype import dtype, get_default_dtype
from jitgrad.graph import Node, grad_mode, input_node
from jitgrad.interpreter import leaf_value
from jitgrad.operators.origin import OUTSIDE, user_line
from jitgrad.operators.recipe import LONGEST, Recipe, computer, take
from jitgrad.requests import execute
from jitgrad.requests.execute import MAX_DEPTH, MAX_HISTORY
from jitgrad.tensor import Tensor, wrap

MAX_RECIPES = 1000          # of one operator; then its table starts anew
_STATIC = frozenset({int, type(None), str, dtype})
_BOOL = {False: object(), True: object()}.__getitem__       # True == 1: a key must tell them apart


Test = tuple[Node, Callable[[Node], bool]]       # of an operand's value


class _Learning(threading.local):
    refused = False
    tests: list[Test] | None = None      # None: nobody learns


_learning = _Learning()


def no_recipe() -> None:
    """Called by an operator that has looked at a value or given a warning: it is to be asked each time."""
    _learning.refused = True


def holds(node: Node, test: Callable[[Node], bool]) -> None:
    """Called by an operator that has looked at the value of an operand: it would record the same for another one that
    passes the test."""
    if _learning.tests is not None:
        _learning.tests.append((node, test))


def watched(call: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, bool, list[Test]]:
    """Call an operator: its result, whether it said that it has no recipe, and the tests that it put to its operands."""
    before, _learning.refused = _learning.refused, False
    others, tests = _learning.tests, []
    _learning.tests = tests
    refused = True
    try:
        result = call(*args, **kwargs)
        refused = _learning.refused
    finally:
        _learning.refused = refused or before
        if others is not None:
            others += tests
        _learning.tests = others
    return result, refused, tests


def passes(test: Callable[[Node], bool], node: Node) -> bool:
    """Whether a node passes a test, which is then one of whoever learns from the present call, too."""
    if not test(node):
        return False
    if _learning.tests is not None:
        _learning.tests.append((node, test))
    return True


def _pass(recipe: Recipe, nodes: Sequence[Node]) -> bool:
    """Whether operands are such that the recipe holds.  In a capture, which is to know of the looks, it never does."""
    return not tracing.traces and all([passes(test, nodes[i]) for i, test in recipe.tests])


_UNKNOWN = Recipe([], [], None, lambda: None)
_SEEN = Recipe([], [], None, lambda: None)      # of arguments with numbers, which may be others each time: seen once


class Recipes:
    """The recipes of one operator.  `call`: the operator, from tensors to tensors."""

    def __init__(self, call: Callable) -> None:
        self._call = call
        self._known: dict[tuple, Recipe | None] = {}
        self._quick: dict[tuple, Any] = {}      # what follows, by key, or by key and text of the other arguments

    def function(self) -> Callable:
        """What users call."""
        call, known, learn, quick = self._call, self._known, self._learn, self._quick
        computers: dict[tuple, Callable[..., Any]] = {}

        def recall(*args: Any, **kwargs: Any) -> Any:
            at: Any = None      # the key of the quick way, if calls like this one may go it
            tensors = 0
            if args and grad_mode.enabled:
                # One to three tensors to record on, then plain arguments: most calls.  (Types are part of the keys: True == 1.)
                v = args[0]
                if isinstance(v, Tensor):
                    n = v._node if v._storage is None else v._current()
                    depth = n.depth
                    follow = None
                    if len(args) > 1 and isinstance(args[1], Tensor):
                        v = args[1]
                        m = v._node if v._storage is None else v._current()
                        if len(args) == 3 and isinstance(args[2], Tensor):
                            return three(n, m, args, kwargs)
                        if n.requires_grad or m.requires_grad:
                            tensors = 2
                            at = (n.spec.type, n.requires_grad, depth > 0, m.spec.type, m.requires_grad, m.depth > 0,
                                  m is n, get_default_dtype(), args[2:], *map(type, args), *kwargs.items(),
                                  *(kwargs and map(type, kwargs.values())))
                            try:
                                follow = quick.get(at)
                            except TypeError:
                                at = None       # an argument that has no hash
                            if depth < m.depth:
                                depth = m.depth
                            if type(follow) is dict:
                                follow = follow.get(repr((args[2:], kwargs)))
                            if follow is not None and depth <= MAX_HISTORY - LONGEST:
                                frame = _getframe(1)
                                code = frame.f_code
                                made = follow(n, m, depth,
                                              (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line())
                                if made is not None:
                                    return made
                    elif n.requires_grad or (not depth and type(n.value) is np.ndarray and not tracing.traces):
                        tensors = 1
                        # None: it is known, and so will be the result.
                        at = (n.spec.type, depth > 0 if n.requires_grad else None, get_default_dtype(), args[1:], *map(type, args),
                              *kwargs.items(), *(kwargs and map(type, kwargs.values())))
                        try:
                            follow = quick.get(at)
                        except TypeError:
                            at = None
                        if type(follow) is dict:
                            follow = follow.get(repr((args[1:], kwargs)))
                        if follow is not None and not n.requires_grad:
                            return follow(n.value)
                        if follow is not None and depth <= MAX_HISTORY - LONGEST:
                            frame = _getframe(1)
                            code = frame.f_code
                            made = follow(n, depth, (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line())
                            if made is not None:
                                return made
            return general(args, kwargs, at, tensors)

        def three(n: Node, m: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
            v = args[2]
            o = v._node if v._storage is None else v._current()
            at = None
            if (n.requires_grad or m.requires_grad or o.requires_grad) and not kwargs and n is not m and n is not o and m is not o:
                at = (n.spec.type, n.requires_grad, n.depth > 0, m.spec.type, m.requires_grad, m.depth > 0,
                      o.spec.type, o.requires_grad, o.depth > 0, get_default_dtype())
                follow = quick.get(at)
                depth = max(n.depth, m.depth, o.depth)
                if follow is not None and depth <= MAX_HISTORY - LONGEST:
                    made = follow(n, m, o, depth, user_line(3))
                    if made is not None:
                        return made
            return general(args, kwargs, at, 3)

        def general(args: tuple, kwargs: dict[str, Any], at_quick: Any, tensors: int) -> Any:
            recording = grad_mode.enabled
            pending = False         # whether there is anything to record
            numbers = False         # whether the key holds some
            nodes: list[Node] = []
            key: list[Any] = []
            for v in (*args, len(args), *kwargs, *kwargs.values()) if kwargs else args:
                several = type(v) is tuple or type(v) is list
                key.append(type(v) if several else None)
                parts: Any = v if several else (v,)
                for u in parts:
                    if isinstance(u, Tensor):
                        n = u._node if u._storage is None else u._current()
                        nodes.append(n)
                        key.append(n.spec.type)
                        if n.depth or (n.requires_grad and recording):
                            pending = True
                            key.append(n.requires_grad * 2 + (n.depth > 0))
                        else:
                            key.append(0)
                    elif type(u) is int or (not several and type(u) in _STATIC):
                        key.append(u)
                    elif type(u) is bool and not several:
                        key.append(_BOOL(u))
                    elif type(u) is float and not several:
                        key += (float, u or repr(u))        # 1.0 == 1, and 0.0 == -0.0
                        numbers = True
                    else:
                        return call(*args, **kwargs)
            if (not recording if pending else tracing.traces) or not nodes:
                return call(*args, **kwargs)
            places: Any = range(len(nodes))         # of the tensors among the arguments, in `nodes`
            if len(nodes) != 1 and len(set(nodes)) != len(nodes):
                distinct = list(dict.fromkeys(nodes))
                places = tuple([distinct.index(n) for n in nodes])
                nodes = distinct
                key.append(places)
            key.append(get_default_dtype())
            at = tuple(key)
            recipe = known.get(at, _UNKNOWN)
            if recipe is _UNKNOWN and numbers:
                learn(at, _SEEN)
                return call(*args, **kwargs)
            if recipe is _UNKNOWN or recipe is _SEEN:
                if not pending:     # learnt from operands of the same types and values for which it has to record
                    nodes = [Node(n.spec, (), False, 1, n.value) for n in nodes]
                    stand_ins = iter([nodes[i] for i in places])
                    args = tuple([_on(v, stand_ins) for v in args])
                    kwargs = {k: _on(v, stand_ins) for k, v in kwargs.items()}
                result, refused, tests = watched(call, args, kwargs)
                recipe = None if refused or any([n not in nodes for n, _ in tests]) else take(nodes, result)
                if recipe is not None and tests:
                    recipe = recipe._replace(tests=tuple([(nodes.index(n), test) for n, test in tests]))
                learn(at, recipe)
                return result if pending else _settled(result)
            if recipe is None or (recipe.tests and not _pass(recipe, nodes)):
                return call(*args, **kwargs)
            if not pending:
                compute = computers.get(at)
                if compute is None:
                    if len(computers) >= MAX_RECIPES:
                        computers.clear()
                    compute = computers[at] = computer(len(nodes), recipe)
                if at_quick is not None and not recipe.tests:
                    self._remember(at_quick, compute, tensors, args, kwargs)
                return compute(*[leaf_value(n) for n in nodes])
            depth = 0
            for n in nodes:
                if n.depth > depth:
                    depth = n.depth
            if depth > (MAX_HISTORY if any([n.requires_grad for n in nodes]) else MAX_DEPTH) - LONGEST:
                return call(*args, **kwargs)
            if at_quick is not None:
                follow = _checked(recipe) if recipe.tests else recipe.follow
                if tensors == 2 and len(nodes) == 1:        # the same tensor twice
                    follow = _of_first(follow)
                self._remember(at_quick, follow, tensors, args, kwargs)
            return recipe.follow(*nodes, depth, user_line(3))

        return recall

    def _remember(self, at: Any, follow: Callable[..., Any], tensors: int, args: tuple, kwargs: dict[str, Any]) -> None:
        """Let calls like this one, of the key `at` and so many tensors in front, go the quick way."""
        others = (*args[tensors:], *kwargs.values())
        if not all([type(v) in _STATIC or type(v) in (bool, float) or (type(v) is tuple and all([type(u) is int for u in v]))
                    for v in others]):
            return
        if len(self._quick) >= MAX_RECIPES:
            self._quick.clear()
        if any([type(v) is tuple or (type(v) is float and v == 0) for v in others]):
            # (1,) == (1.0,) == (True,), and 0.0 == -0.0: the text tells them apart.
            by_text = self._quick.setdefault(at, {})
            if len(by_text) < MAX_RECIPES:
                by_text[repr((args[tensors:], kwargs))] = follow
        else:
            self._quick[at] = follow

    def _learn(self, key: tuple, recipe: Recipe | None) -> None:
        if len(self._known) >= MAX_RECIPES:
            self._known.clear()
        self._known[key] = recipe


def _checked(recipe: Recipe) -> Callable[..., Any]:
    """What follows a recipe with tests; None where they are not passed."""
    follow = recipe.follow

    def follow_if(*args: Any) -> Any:
        return follow(*args) if _pass(recipe, args) else None

    return follow_if


def _of_first(follow: Callable[..., Any]) -> Callable[..., Any]:
    """What follows a recipe of one operand, given twice."""
    return lambda n, m, *rest: follow(n, *rest)


def by_recipe(call: Callable) -> Callable:
    """Decorate an operator, from tensors to tensors: calls with known types of operands follow a recipe."""
    return functools.wraps(call)(Recipes(call).function())


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
        return wrap(input_node(execute.value(node), node.type))
    if isinstance(result, tuple):
        values = [_settled(v) for v in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    return result
