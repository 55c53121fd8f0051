"""How a view is declared and made.

A view shares the storage of the tensor it is taken from; `Step`s lead from one to the other.  What a view of a tensor
of some type records (a `Plan`) depends on the steps alone, and is worked out once.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import _getframe
from typing import Any, NamedTuple

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import Composite, Extra, Node, Spec
from jitgrad.graph.recording import find_spec, grad_mode, input_node
from jitgrad.operators.declaration.declare import EVERYWHERE, register
from jitgrad.operators.declaration.schema import Schema
from jitgrad.operators.native.layout import CHAINS, VIEWS
from jitgrad.operators.provenance import OUTSIDE, user_line
from jitgrad.ops import REGISTRY
from jitgrad.ops.movement import RESHAPED
from jitgrad.requests.execute import MAX_HISTORY
from jitgrad.tensors.steps import NO_GRAD, Step, interned, movements, view_into
from jitgrad.tensors.storage import Detached, Storage
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import ArrayType, array_type

Steps = tuple[Step, ...]
Pieces = tuple[str, list[Steps]]        # of an operator that gives several views: the grad_fn's name, and the steps to each
NO_STEPS = (Step(REGISTRY["squeeze"], ((),), None),)      # the view of everything
MAX_PLANS = 10_000
new_tensor = Tensor.__new__


class Plan(NamedTuple):
    """steps: all of them.  nodes: what each records, whether an operator ends there, and its grad_fn's name where the
    primitive's own is not it.  levels: the operators, one after the other, that make it up: grad_fn's name and steps."""

    steps: Steps
    nodes: tuple[tuple[Spec, bool, str | None], ...]
    levels: tuple[tuple[str, Steps], ...]


def make_plan(type: ArrayType, levels: Sequence[tuple[str, Steps]]) -> Plan:
    """The plan of views one after the other, each with its grad_fn's name, for a tensor of this type."""
    levels = tuple([(name, steps or NO_STEPS) for name, steps in levels])
    node = input_node(None, type)
    nodes: list[tuple[Spec, bool, str | None]] = []
    for name, steps in levels:
        for k, step in enumerate(steps):
            spec = find_spec(step.op, (node,), step.params, step.sizes)
            node = Node(spec, (node,), False, 0)
            last = k == len(steps) - 1
            nodes.append((spec, last, name if last and (k or step.op.grad_name != name) else None))
    chain = tuple([step for _, steps in levels for step in steps])
    return Plan(interned(chain) or chain, tuple(nodes), levels)


_plans: dict[tuple, Plan] = {}


def view(input: Tensor, steps: Steps, grad: str, number: int = 0) -> Tensor:
    """The view along `steps`, with the grad_fn's name; `number`: which output of the operator it is."""
    type = input._node.spec.type
    key = (type, grad, steps)
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, make_plan(type, ((grad, steps),)))
    return view_by_plan(input, plan, number)


def remember(plans: dict, key: Any, plan: Plan) -> Plan:
    """Keep a plan for the next time."""
    if len(plans) >= MAX_PLANS:
        plans.clear()
    plans[key] = plan
    return plan


def view_by_plan(input: Tensor, plan: Plan, number: int = 0) -> Tensor:
    """The view that a plan describes."""
    storage = input._storage
    if storage is not None and input._seen != storage.writes and not storage.deferred:
        part = _private_part(input, storage, plan)
        if part is not None:
            return part
    source, seen, version = _read(input)
    depth = source.depth
    if source.requires_grad:
        if not grad_mode.enabled or depth > MAX_HISTORY - 64:
            return _general(input, plan, number)
        frame = _getframe(2)        # this is called by what the user calls
        code = frame.f_code
        line = (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line()
        node = start = source
        for spec, last, owner in plan.nodes:
            depth += 1
            node = Node(spec, (node,), True, depth, None, line)
            if last:
                if owner is not None or number:
                    node.ensure_extra().fn = Composite(owner or spec.op.grad_name, (start,), (), False, number)
                start = node
    elif depth or type(source.value) is not np.ndarray or tracing.traces:
        return _general(input, plan, number)
    else:
        array = source.value
        value = view_into(array, source.spec.type, plan.steps) if array.flags.c_contiguous else None
        if value is None:
            value = array
            for spec, _, _ in plan.nodes:
                value = value.reshape(spec.type.shape) if spec.op in RESHAPED else spec.op.numpy(value, **spec.kwargs)
        node = input_node(value, plan.nodes[-1][0].type)
    storage = input._storage or input._ensure_storage()
    result = _on_storage(input, storage, plan.steps, node, seen, version)
    if not source.requires_grad and not grad_mode.enabled:
        result._chain = (*input._chain, NO_GRAD, *plan.steps)
        if input._seen < 0:
            result._seen = -1
    return result


def _private_part(input: Tensor, storage: Storage, plan: Plan) -> Tensor | None:
    """The view of what is being written by index, element by element; None where all that was written is to be a node first."""
    chain = input._chain
    if input._node.requires_grad or input._leaf is not None or any([type(step) is Detached for step in chain]):
        return None
    seen, version = storage.writes, storage.cell.value
    node = storage.read_private(movements(chain) + plan.steps, plan.nodes[-1][0].type)
    if node is None or storage.writes != seen:
        return None
    result = _on_storage(input, storage, plan.steps, node, seen, version)
    if not grad_mode.enabled:
        result._chain = (*chain, NO_GRAD, *plan.steps)
    return result


def _read(input: Tensor) -> tuple[Node, int, int]:
    """The node of a tensor, the number of writes that it has seen, and the version: of one moment, whoever writes after it."""
    storage = input._storage
    if storage is None:
        return input._node, 0, 0
    source = input._current()
    return source, input._seen, storage.cell.value


def _on_storage(input: Tensor, storage: Storage, steps: Steps, node: Node, seen: int, version: int) -> Tensor:
    """The view on a storage, as that was when it was read."""
    extra = node.extra
    if extra is None:
        extra = node.extra = Extra()
    extra.cell = storage.cell
    extra.version = version
    result = new_tensor(Tensor)
    result._node = node
    result._storage = storage
    result._chain = input._chain + steps
    result._seen = seen
    if not input._tracks_version:
        result._tracks_version = False
    return result


def _pieces_of_array(input: Tensor, pieces: Sequence[Steps]) -> tuple[Tensor, ...] | None:
    """The views, parts of one dimension or positions of it, of what is an array and carries no gradient; None of others."""
    source, seen, version = _read(input)
    array = source.value
    if source.requires_grad or source.depth or type(array) is not np.ndarray or tracing.traces or not grad_mode.enabled:
        return None
    storage = input._storage or input._ensure_storage()
    dtype = source.spec.type.dtype
    before = (slice(None),) * [whole is True for whole in pieces[0][0].params[0]].index(False) if pieces else ()
    result = []
    for steps in pieces:
        start, length, _ = steps[0].sizes           # type: ignore[misc]
        value = array[(*before, slice(start, start + length) if len(steps) == 1 else start, ...)]
        node = input_node(value, array_type(value.shape, dtype))
        result.append(_on_storage(input, storage, steps, node, seen, version))
    return tuple(result)


def views_by_plans(input: Tensor, plans: Sequence[Plan]) -> tuple[Tensor, ...]:
    """The views that several plans of one operator describe, its outputs in order."""
    source, seen, version = _read(input)
    depth = source.depth
    if not source.requires_grad or not grad_mode.enabled or depth > MAX_HISTORY - 64:
        return tuple([view_by_plan(input, plan, number) for number, plan in enumerate(plans)])
    line = user_line(3)
    storage = input._storage or input._ensure_storage()
    result = []
    for number, plan in enumerate(plans):
        node = source
        more = depth
        for spec, _, _ in plan.nodes:
            more += 1
            node = Node(spec, (node,), True, more, None, line)
        extra = node.extra = Extra()
        extra.fn = Composite(plan.nodes[-1][2] or node.spec.op.grad_name, (source,), (), False, number)
        result.append(_on_storage(input, storage, plan.steps, node, seen, version))
    return tuple(result)


def _general(input: Tensor, plan: Plan, number: int) -> Tensor:
    """The view of what carries no gradient."""
    if not input._current().requires_grad:
        return _level(input, plan.steps, plan.levels[-1][0], number)
    for grad, steps in plan.levels:
        input = _level(input, steps, grad, number)
    return input


def _level(input: Tensor, steps: Steps, grad: str, number: int) -> Tensor:
    source = input._current()
    result = input._view(steps)
    node = result._node
    if node.depth:
        if node.requires_grad and (node.op.grad_name != grad or node.inputs[0] is not source or number):
            node.ensure_extra().fn = Composite(grad, (source,), (), False, number)
        line = user_line()
        while node is not source and node.line is None and node.inputs:
            node.line = line
            node = node.inputs[0]
    return result


def view_operator(grad: str, *, name: str | None = None, places: tuple[str, ...] = EVERYWHERE) -> Callable[[Callable], Callable]:
    """Declare a view: a function of the tensor (a Tensor, not a node) and its arguments that returns the steps from it
    to the view, or a ready tensor where the result cannot share storage."""

    def decorate(fn: Callable) -> Callable:
        called = name or fn.__name__
        schema = Schema(called, fn, False)
        plans: dict[tuple, Plan] = {}       # for integers as arguments, and tensors that are no views themselves

        def call(*args: Any, **kwargs: Any) -> Tensor:
            key = None
            if args and not kwargs and isinstance(args[0], Tensor) and not args[0]._chain:
                key = (args[0]._node.spec.type, *args[1:])
                for v in args[1:]:
                    if type(v) is not int:
                        key = None
                        break
                if key is not None:
                    plan = plans.get(key)
                    if plan is not None:
                        return view_by_plan(args[0], plan)
            args, kwargs = schema.bind(args, kwargs)
            input = args[0]
            steps = fn(*args, **kwargs)
            if type(steps) is not tuple:
                return steps
            plan = make_plan(input._node.spec.type, ((grad, steps),))
            if key is not None:
                remember(plans, key, plan)
            return view_by_plan(input, plan)

        # Whether a view can be seen in another shape depends on how it lies in memory.
        register(called, (schema,), call, fn.__doc__, places, kind=VIEWS if grad == "ViewBackward0" else CHAINS)
        return call

    return decorate


def pieces_operator(fn: Callable) -> Callable:
    """Declare an operator that gives several views: a function of the tensor and its arguments that returns the grad_fn's
    name and the steps to each."""
    schema = Schema(fn.__name__, fn, False)
    known: dict[tuple, tuple[Pieces, list[Plan]]] = {}  # for integers as arguments, and tensors that are no views themselves

    def call(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        (input, *rest), _ = schema.bind(args, kwargs)
        key: tuple | None = None
        if not input._chain and all([type(v) is int for v in rest]):
            key = (input._node.spec.type, *rest)
        found = None if key is None else known.get(key)
        if found is None:
            found = fn(input, *rest), []
            if key is not None:
                if len(known) >= MAX_PLANS:
                    known.clear()
                known[key] = found
        (grad, pieces), plans = found
        made = _pieces_of_array(input, pieces)
        if made is not None:
            return made
        if len(plans) < len(pieces):
            plans[:] = [make_plan(input._node.spec.type, ((grad, steps),)) for steps in pieces]
        return views_by_plans(input, plans)

    return register(fn.__name__, (schema,), call, fn.__doc__, EVERYWHERE, kind=None)
