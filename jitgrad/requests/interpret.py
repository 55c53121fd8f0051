"""Gradients node by node, with NumPy: the reference, and what serves structures that do not come again.

Input: a captured graph and what is wanted of it.  Output: arrays.
Invariant: no value is computed twice, and none that neither the roots nor a derivative reads.

The derivative of an operation, for operands of some types, is worked out once (`Pullback`): a request records nothing.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad import interpreter
from jitgrad.config import logger
from jitgrad.differentiate import sum_to
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, Spec, topological
from jitgrad.graph.recording import in_grad_mode, input_node
from jitgrad.interpreter import as_array, quiet
from jitgrad.ops.movement import constant_in
from jitgrad.requests.capture import Capture
from jitgrad.requests.counters import stats
from jitgrad.requests.schedules.cutting import leading
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.requests.schedules.stops import ONE, Callbacks, explicit
from jitgrad.types.array import ArrayType

MAX_PULLBACKS = 4096
ZERO: Any = object()        # a gradient that is 0 because a derivative is constant


class Pullback(NamedTuple):
    """The derivative of an operation, for operands of some types.

    Its values are numbered: the gradient, the result, the operands, `constants` (arrays, or shapes where only that is read), then
    what `steps` compute: a NumPy function, keywords, the type, and the numbers of what it is called with.
    gives: of each operand the number of its gradient, or None; zero: the operand whose gradient is always 0, or -1.
    reads: whose values are read: operands, -1 for the result."""

    constants: list[Any]
    steps: list[tuple[Any, dict[str, Any], ArrayType, list[int]]]
    gives: list[int | None]
    zero: int
    reads: list[int]


_pullbacks: dict[tuple, Pullback] = {}


def pullback(spec: Spec, types: tuple[ArrayType, ...], needs: tuple[bool, ...], written: bool) -> Pullback:
    """The derivative of an operation for operands of these types, of which some need a gradient.  written: over one of them."""
    key = (spec, types, needs, written)
    found = _pullbacks.get(key)
    if found is None:
        if len(_pullbacks) >= MAX_PULLBACKS:
            _pullbacks.clear()
        found = _pullbacks[key] = in_grad_mode(False, _pullback, *key)
    return found


def _pullback(spec: Spec, types: tuple[ArrayType, ...], needs: tuple[bool, ...], written: bool) -> Pullback:
    dummy = np.zeros(())
    given = [input_node(dummy, t) for t in (spec.type, spec.type, *types)]
    given[1].ensure_extra().in_place = written
    numbers = {n: i for i, n in enumerate(given)}
    gradients: list[Node | None] = [None] * len(types)
    for i, g in enumerate(spec.op.vjp(*given, **spec.kwargs)):
        if needs[i] and g is not None:
            g = gradients[i] = sum_to(g, given[i + 2])
            if g.type.dtype is not types[i].dtype or g.type.shape != types[i].shape:
                raise InternalError(f"the derivative of {spec.op.name} gave {g} for an operand of {types[i]!r}")
    order = [n for n in topological([g for g in gradients if g is not None], _read) if n not in numbers]
    constants: list[Any] = []
    for n in order:
        if not n.inputs:
            numbers[n] = len(given) + len(constants)
            constants.append(interpreter.leaf_value(n))
    operations = [n for n in order if n.inputs]
    shapes: dict[tuple[int, ...], int] = {}
    for n in operations:
        for i, m in enumerate(n.inputs):
            shape = m.spec.type.shape
            if i in (n.spec.op.shape_only or ()) and shape not in shapes:
                shapes[shape] = len(given) + len(constants)
                constants.append(shape)
    first = len(given) + len(constants)
    numbers.update({n: first + i for i, n in enumerate(operations)})
    steps = [(n.spec.op.numpy, n.spec.kwargs, n.spec.type,
              [shapes[m.spec.type.shape] if i in (n.spec.op.shape_only or ()) else numbers[m] for i, m in enumerate(n.inputs)])
             for n in operations]
    gives = [None if g is None else numbers[g] for g in gradients]
    read = {i for step in steps for i in step[3]} | {i for i in gives if i is not None}
    return Pullback(constants, steps, gives, 1 if spec.op is constant_in else -1,
                    [i - 2 for i in range(2, len(given)) if i in read] + ([-1] if 1 in read else []))


def _read(node: Node) -> Sequence[Node]:
    """The operands whose values an operation reads."""
    skip = node.spec.op.shape_only
    return [n for i, n in enumerate(node.inputs) if i not in skip] if skip else node.inputs


def interpret(captured: Capture, roots: Sequence[tuple[int, bool]], seeds: Sequence[np.ndarray], places: Sequence[int],
              callbacks: Callbacks, reason: str) -> list[np.ndarray | None]:
    """The gradients of a request; the roots' values are left on them.

    roots, places: see Schedule.  seeds: the gradients of those roots that have arrays.  reason: why it is interpreted."""
    stats.interpreted += 1
    stats.reasons[reason] += 1
    logger.debug("interpreted: %s", reason)
    order = captured.order
    graph = _Graph(captured, roots, places)
    quiet.run(graph.compute)
    for k, _ in roots:
        if order[k].value is None:
            order[k].value = graph.values[k]
    arrays = iter(seeds)
    start = {k: next(arrays) if given else ONE for k, given in roots}
    if captured.stops:
        schedule = Schedule(captured, roots, (), places)

        def segment(number: int, taken: dict[int, Any]) -> Iterable[tuple[int, Any]]:
            part = schedule.segments[number]
            found = quiet.run(graph.sweep, taken, part.body)
            return [(k, _array(order[k], found[k])) for k in part.gives if k in found]

        def add(k: int, a: Any, b: Any) -> np.ndarray:
            return np.asarray(quiet.run(np.add, explicit(order[k], a), b))

        found = schedule.sweep(start, segment, add, callbacks)
    else:
        found = quiet.run(graph.sweep, start, range(len(order)))
    return [own(_array(order[k], explicit(order[k], found[k]))) if k in found else None for k in places]


class _Graph:
    """The values and derivatives of one request, by place.  asked: whose values are read."""

    def __init__(self, captured: Capture, roots: Sequence[tuple[int, bool]], wanted: Sequence[int]) -> None:
        order, children = captured.order, captured.children
        self.order, self.children, self.wanted = order, children, {*wanted}
        self.values: list[Any] = [None] * len(order)
        self.pullbacks: list[Pullback | None] = [None] * len(order)
        needed = leading(order, children, self.wanted)[1]
        self.asked = asked = [False] * len(order)
        reached = [False] * len(order)
        for k, _ in roots:
            asked[k], reached[k] = order[k].value is None, True
        for k in range(len(order) - 1, -1, -1):
            node, of = order[k], children[k]
            if not node.inputs:
                if reached[k]:          # a Function's output
                    for j in of:
                        if j >= 0:
                            reached[j] = True
                continue
            spec = node.spec
            if of and reached[k] and needed[k] and node.requires_grad and spec.op.vjp is not None:
                needs = tuple([needed[j] and order[j].requires_grad for j in of])
                if True in needs:
                    written = node.extra is not None and node.extra.in_place is not False
                    rule = self.pullbacks[k] = pullback(spec, tuple([order[j].spec.type for j in of]), needs, written)
                    for i in rule.reads:
                        asked[of[i] if i >= 0 else k] = True
                    for j, at in zip(of, rule.gives, strict=True):
                        if at is not None:
                            reached[j] = True
            if asked[k] and node.value is None:
                for i, j in enumerate(of):
                    if not spec.op.shape_only or i not in spec.op.shape_only:
                        asked[j] = True

    def compute(self) -> None:
        """Compute all values that are asked for."""
        values, children = self.values, self.children
        for k, node in enumerate(self.order):
            if self.asked[k]:
                value = node.value
                if value is None:
                    value = interpreter.apply(node, [values[j] for j in children[k]])
                elif type(value) is not np.ndarray:
                    value = interpreter.leaf_value(node)
                values[k] = value

    def sweep(self, gradients: dict[int, Any], body: Sequence[int]) -> dict[int, Any]:
        """Go back through the operations at these places from the gradients of some: those of what is wanted, and of what is read."""
        order, children, values, wanted = self.order, self.children, self.values, self.wanted
        found = {k: explicit(order[k], g) for k, g in gradients.items()}
        for k in reversed(body):
            rule = self.pullbacks[k]
            if rule is None or k not in found:
                continue
            g = found[k] if k in wanted else found.pop(k)
            of = children[k]
            if g is ZERO:
                for j, at in zip(of, rule.gives, strict=True):
                    if at is not None:
                        found.setdefault(j, ZERO)
                continue
            known = [g, values[k], *[values[j] for j in of], *rule.constants]
            for function, keywords, type_, operands in rule.steps:
                known.append(as_array(function(*[known[i] for i in operands], **keywords), type_))
            for i, (j, at) in enumerate(zip(of, rule.gives, strict=True)):
                if at is None:
                    continue
                if i == rule.zero:
                    found.setdefault(j, ZERO)
                    continue
                have = found.get(j)
                found[j] = known[at] if have is None or have is ZERO else as_array(np.add(have, known[at]), order[j].spec.type)
        return found


def _array(node: Node, gradient: Any) -> np.ndarray:
    """A gradient as an array, also where it is 0 because a derivative is constant."""
    return np.zeros(node.spec.type.shape, node.spec.type.dtype.np) if gradient is ZERO else gradient


def own(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array for a result (a gradient may be a broadcast or transposed view of another array)."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape)
