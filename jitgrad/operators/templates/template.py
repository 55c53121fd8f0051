"""What an operator recorded for operands of some types, as a template.

An operator checks its arguments, normalises dimensions and infers types, all of which depends on the types of its operands and on
its other arguments alone: what it records for others like them is the same, and machine code records it by itself
(native/learning), or has it evaluated where nothing is to be recorded (evaluation.py).  An operator that looks at values says
`no_template()`, or by which test others are like them (`holds`).
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from jitgrad.graph.node import INPUT, Composite, Node, topological
from jitgrad.graph.template import Template
from jitgrad.tensors.tensor import Tensor

LONGEST = 64                # nodes of a template


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
    given = set(operands)
    roots = [t._node for t in tensors]
    if any([n in given for n in roots]) or len(set(roots)) != len(roots):
        return None
    made = [n for n in topological(roots, lambda n: () if n in given else n.inputs) if n not in given]
    known = given.union(made)
    for node in made:
        if node.spec.op is INPUT or (node.inputs and node.value is not None):
            return None
        if node.extra is not None:
            fn = node.extra.fn
            if not node.extra.owns_only() or not (fn is None or type(fn) is Composite) or (
                    fn is not None and any([n not in known for n in (*fn.inputs, *(fn.saves or ())) if n is not None])):
                return None
    return Template.of(operands, made, roots, make)


def written_template(operands: list[Node], base: Node, new: Node, cell: Any) -> Template | None:
    """How the new node of a base that was written to came about from operands; results: it, the value that was written to a view, and
    the base before.  None where it holds computed values, or is no operation of its own.

    cell: the version counter of the storage."""
    given = set(operands)
    if new in given or not new.requires_grad or not new.inputs or new.spec.op.name == "attach":
        return None
    made = [n for n in topological([new], lambda n: () if n in given else n.inputs) if n not in given]
    known, value = given.union(made), new
    for node in made:
        if node.spec.op is INPUT or (node.inputs and node.value is not None):
            return None
        extra = node.extra
        if extra is None:
            continue
        if extra.cell is not None and node is not new:
            value = node
        if extra.cell not in (None, cell) or extra.leaf is not None or extra.watch is not None or extra.held is not None:
            return None
        fn = extra.fn
        if fn is not None and (type(fn) is not Composite or any([n not in known for n in (*fn.inputs, *(fn.saves or ())) if n])):
            return None
    return Template.of(operands, made, [new, value, base])


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
