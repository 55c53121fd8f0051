"""A recipe: what an operator recorded for operands of some types, as data, and the functions generated from it.

Input: the operands' nodes and the operator's result.  Output: a `Recipe`; `follow` records the same for other operands of
these types, and `computer` makes what computes it at once.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jitgrad.generated import function
from jitgrad.graph import INPUT, Composite, Extra, Node, Spec, input_node, topological
from jitgrad.interpreter import as_array, quiet
from jitgrad.operators.memo import LEAST, memoized
from jitgrad.operators.origin import PACKAGE
from jitgrad.ops.movement import RESHAPED
from jitgrad.tensor import Tensor, wrap

LONGEST = 64                # nodes of a recipe
GENERATED = f"{PACKAGE}/operators/recipes.py"


class Made(NamedTuple):
    """One node: inputs are numbers of operands (first) and of nodes made before; leaves are numbers (`value`)."""

    spec: Spec
    inputs: tuple[int, ...]
    requires_grad: bool
    depth: int                  # above that of the deepest operand; 0: of operands that are known
    value: Any


class Owner(NamedTuple):
    """A Composite, its nodes by number."""

    name: str
    inputs: tuple[int | None, ...]
    saves: tuple[int, ...] | None
    saves_result: bool
    number: int


class Recipe(NamedTuple):
    """All nodes, and the numbers of the results; `make` puts several results together (None: there is one).
    follow(operands, depth of the deepest, line): record it (see _follower).  tests: what has to be true of operands, by
    number (see recipes.holds)."""

    nodes: list[Made]
    results: list[int]
    make: Callable[[list[Tensor]], Any] | None
    follow: Callable[..., Any]
    tests: tuple[tuple[int, Callable[[Node], bool]], ...] = ()


class Recorded(NamedTuple):
    """What an operator recorded: all nodes, who owns them, by number, the numbers of the results, and what puts several
    results together (None: there is one)."""

    nodes: list[Made]
    owners: dict[int, Owner]
    results: list[int]
    make: Callable[[list[Tensor]], Any] | None


def take(operands: list[Node], result: Any) -> Recipe | None:
    """The recipe by which `result` came about, or None if there is none."""
    found = recorded(operands, result)
    if found is None or len(found.nodes) > LONGEST:
        return None
    nodes, owners, results, make = found
    return Recipe(nodes, results, make, _follower(len(operands), nodes, owners, results, make))


def recorded(operands: list[Node], result: Any) -> Recorded | None:
    """How `result` came about from operands; None if it holds computed values, or is a view."""
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
    owned: list[Node] = []
    base = max([n.depth for n in operands], default=0)
    for node in topological(roots, lambda n: () if n in numbers else n.inputs):
        if node in numbers:
            continue
        if node.extra is not None:
            if not node.extra.owns_only():
                return None
            owned.append(node)
        if node.spec.op is INPUT or (node.inputs and node.value is not None):
            return None
        numbers[node] = len(operands) + len(made)
        made.append(Made(node.spec, tuple([numbers[n] for n in node.inputs]), node.requires_grad,
                         max(node.depth - base, 1) if node.depth else 0, node.value))
    owners: dict[int, Owner] = {}
    for node in owned:
        fn = node.ensure_extra().fn
        if fn is None:
            continue
        if type(fn) is not Composite or any([n not in numbers for n in (*fn.inputs, *(fn.saves or ())) if n is not None]):
            return None
        saves = None if fn.saves is None else tuple([numbers[n] for n in fn.saves])
        owners[numbers[node]] = Owner(fn.name, tuple([None if n is None else numbers[n] for n in fn.inputs]), saves,
                                      fn.saves_result, fn.number)
    return Recorded(made, owners, [numbers[n] for n in roots], make)


def _follower(operands: int, recipe_nodes: list[Made], owners: dict[int, Owner], results: list[int],
              make: Callable[[list[Tensor]], Any] | None) -> Callable[..., Any]:
    """What records a recipe.  For the sum over a dimension of a matrix, a sum that keeps it and a squeeze:

        def follow(n0, depth, line):
            n1 = Node(spec1, (n0,), True, depth + 1, None, line)
            n2 = Node(spec2, (n1,), True, depth + 2, None, line)
            n2.extra = e2 = Extra()
            e2.fn = Composite(name2, (n0,), (), False, 0)
            r0 = new(Tensor)
            r0._node = n2
            r0._storage = None
            return r0

    Recipes of one structure share the code, and each has its specs, names and numbers as variables around it."""
    given: dict[str, Any] = {"Node": Node, "Extra": Extra, "Composite": Composite, "Tensor": Tensor, "new": Tensor.__new__}
    lines: list[str] = []
    for i, (spec, inputs, requires_grad, more, value) in enumerate(recipe_nodes, operands):
        given[f"spec{i}"] = spec
        if inputs:
            depth = f"depth + {more}" if more else "0"
            lines.append(f"n{i} = Node(spec{i}, {_listed(inputs)}, {requires_grad}, {depth}, None, line)")
        else:
            given[f"value{i}"] = value
            lines.append(f"n{i} = Node(spec{i}, (), False, 0, value{i})")
    for i, owner in owners.items():
        given[f"name{i}"] = owner.name
        lines += [f"n{i}.extra = e{i} = Extra()",
                  f"e{i}.fn = Composite(name{i}, {_listed(owner.inputs)}, "
                  f"{None if owner.saves is None else _listed(owner.saves)}, {owner.saves_result}, {owner.number})"]
    for k, i in enumerate(results):
        lines += [f"r{k} = new(Tensor)", f"r{k}._node = n{i}", f"r{k}._storage = None"]
    if make is None:
        lines.append("return r0")
    else:
        given["make"] = make
        lines.append(f"return make([{', '.join([f'r{k}' for k in range(len(results))])}])")
    head = ", ".join([*[f"n{i}" for i in range(operands)], "depth", "line"])
    return function("follow", head, lines, given, GENERATED)


def _listed(numbers: tuple[int | None, ...]) -> str:
    return "(" + "".join(["None, " if k is None else f"n{k}, " for k in numbers]) + ")"


def computer(operands: int, recipe: Recipe) -> Callable[..., Any]:
    """What computes a recipe at once, from arrays to tensors."""
    compute = _arrays(operands, recipe)
    types = [recipe.nodes[i - operands].spec.type for i in recipe.results]
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
    given: dict[str, Any] = {"as_array": as_array, "ndarray": np.ndarray}
    lines: list[str] = []
    shapes = {i: f"v{i}.shape" for i in range(operands)}
    for i, (spec, inputs, _, _, value) in enumerate(recipe.nodes, operands):
        shapes[i] = repr(spec.type.shape)
        if not inputs:
            given[f"v{i}"] = as_array(value, spec.type)
            continue
        if spec.op in RESHAPED:
            lines.append(f"v{i} = v{inputs[0]}.reshape({shapes[i]})")
            continue
        given[f"call{i}"] = functools.partial(spec.op.numpy, **spec.kwargs) if spec.kwargs else spec.op.numpy
        given[f"type{i}"], given[f"dtype{i}"] = spec.type, spec.type.dtype.np
        arguments = [shapes[n] if k in spec.op.shape_only else f"v{n}" for k, n in enumerate(inputs)]
        lines += [f"v{i} = call{i}({', '.join(arguments)})",
                  f"if type(v{i}) is not ndarray or v{i}.dtype is not dtype{i}: v{i} = as_array(v{i}, type{i})"]
    results = [f"v{i}" for i in recipe.results]
    lines.append(f"return {results[0] if recipe.make is None else '(' + ', '.join(results) + ',)'}")
    return function("compute", ", ".join([f"v{i}" for i in range(operands)]), lines, given, GENERATED)
