"""A template: what an operator recorded for operands of some types, as data.

An operator checks its arguments, normalises dimensions and infers types, all of which depends on the types of its operands and on
its other arguments alone: what it records for others like them is the same, and machine code records it by itself
(native/templates.py), or has it evaluated where nothing is to be recorded (evaluation.py).  An operator that looks at values says
`no_template()`, or by which test others are like them (`holds`).
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from jitgrad.graph import INPUT, Composite, Node, Spec, topological
from jitgrad.tensor import Tensor

LONGEST = 64                # nodes of a template


class TemplateNode(NamedTuple):
    """One node: inputs are numbers of operands (first) and of nodes made before; leaves are numbers (`value`)."""

    spec: Spec
    inputs: tuple[int, ...]
    requires_grad: bool
    depth: int                  # above that of the deepest operand; 0: of operands that are known
    value: Any


class TemplateOwner(NamedTuple):
    """A Composite, its nodes by number."""

    name: str
    inputs: tuple[int | None, ...]
    saves: tuple[int, ...] | None
    saves_result: bool
    number: int


class Template(NamedTuple):
    """All nodes, who owns them, by number, the numbers of the results, and what puts several results together (None: there is
    one)."""

    nodes: list[TemplateNode]
    owners: dict[int, TemplateOwner]
    results: list[int]
    make: Callable[[list[Tensor]], Any] | None


def template(operands: list[Node], result: Any) -> Template | None:
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
    made: list[TemplateNode] = []
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
        made.append(TemplateNode(node.spec, tuple([numbers[n] for n in node.inputs]), node.requires_grad,
                         max(node.depth - base, 1) if node.depth else 0, node.value))
    owners: dict[int, TemplateOwner] = {}
    for node in owned:
        fn = node.ensure_extra().fn
        if fn is None:
            continue
        if type(fn) is not Composite or any([n not in numbers for n in (*fn.inputs, *(fn.saves or ())) if n is not None]):
            return None
        saves = None if fn.saves is None else tuple([numbers[n] for n in fn.saves])
        owners[numbers[node]] = TemplateOwner(fn.name, tuple([None if n is None else numbers[n] for n in fn.inputs]), saves,
                                      fn.saves_result, fn.number)
    return Template(made, owners, [numbers[n] for n in roots], make)


# -- operators that look at values -----------------------------------------------------------------------------------

Test = tuple[Node, Callable[[Node], bool]]       # of an operand's value


class _Learning(threading.local):
    refused = False
    tests: list[Test] | None = None      # None: nobody learns


_learning = _Learning()


def no_template() -> None:
    """Called by an operator that has looked at a value or given a warning: it is to be asked each time."""
    _learning.refused = True


def holds(node: Node, test: Callable[[Node], bool]) -> None:
    """Called by an operator that has looked at the value of an operand: it would record the same for another one that
    passes the test."""
    if _learning.tests is not None:
        _learning.tests.append((node, test))


def watched(call: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, bool, list[Test]]:
    """Call an operator: its result, whether it said that it has no template, and the tests that it put to its operands."""
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
