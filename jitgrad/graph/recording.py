"""Recording: the node of an application, its type inferred, in gradient mode or not.

Input: an operation, nodes, parameters.  Output: a node, of which nothing is computed.
Invariant: equal applications share one `Spec`; a node that requires a gradient lies deeper than its operands.
"""
from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from jitgrad import tracing
from jitgrad.errors import InternalError
from jitgrad.graph.node import CONST, INPUT, SCALAR, Node, Op, Spec
from jitgrad.memory.cuda.arrays import placed
from jitgrad.tracing import BORN
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import dtype


class GradMode(threading.local):
    """Per-thread recording state.  `enabled`: torch.is_grad_enabled(); `inference`: inside inference_mode.

    Whoever sets it (`in_grad_mode`, and autograd/modes.py for users) sets `recording_thread` to 0 after it."""

    enabled = True
    inference = False


# For machine code, which reads a thread-local slowly: the thread state (CPython's) last seen in grad mode, until any thread
# sets its mode.
recording_thread = array("q", [0])
grad_mode = GradMode()
_T = TypeVar("_T")


def in_grad_mode(enabled: bool, function: Callable[..., _T], *args: Any) -> _T:
    """function(*args) with gradient mode on or off, which comes back whatever happens.

    An exception out of a signal handler (Ctrl-C, a timer) can come out of any call, any start of a function in Python and any
    backward jump.  So the mode is set and set back by stores, of attributes that are no functions, with none of these between
    them and `try` or `finally`.  (A `with` would call an __exit__, which can be interrupted before it has done anything.)"""
    before = grad_mode.enabled
    grad_mode.enabled = enabled
    recording_thread[0] = 0
    try:
        return function(*args)
    finally:
        grad_mode.enabled = before
        recording_thread[0] = 0


class _Differentiating(threading.local):
    """sizes: whether the compiler differentiates, which tells by a `sizes` tuple itself which node's sizes a derivative uses."""

    sizes = False


differentiating = _Differentiating()
_signatures: dict[tuple, int] = {}
_numbers = itertools.count()
_specs: dict[tuple, Spec] = {}
_input_specs: dict[ArrayType, Spec] = {}               # of the CPU
_device_input_specs: dict[ArrayType, Spec] = {}        # of other devices, so that what is common need not ask for the device
_scalar_specs: dict[tuple[dtype, str], Spec] = {}
_const_specs: dict[tuple[tuple, str], Spec] = {}        # literals are written in rules: there are few
MAX_SPECS = 50_000      # then the table starts anew


def signature(op: Op, params: tuple, type: ArrayType) -> int:
    """A small integer for the structure of one node: op, static params and the class of its type."""
    key = (op, params, type.key)
    found = _signatures.get(key)
    if found is None:
        found = _signatures.setdefault(key, next(_numbers))     # (no lock: the collector may run code that comes here again)
    return found


def find_spec(op: Op, inputs: tuple[Node, ...], params: tuple = (), sizes: tuple | None = None) -> Spec:
    """What applying an op to these inputs is.  Raises the op's error for operands that do not fit."""
    if len(inputs) == 2:
        key = (op, params, sizes, inputs[0].spec.type, inputs[1].spec.type)
    elif len(inputs) == 1:
        key = (op, params, sizes, inputs[0].spec.type)
    else:
        key = (op, params, sizes, *[n.spec.type for n in inputs])
    found = _specs.get(key)
    if found is None:
        kwargs = dict(zip(op.param_names, params, strict=True))
        if op.has_sizes:
            kwargs["sizes"] = sizes
        out = op.infer(*[n.spec.type for n in inputs], **kwargs)
        found = Spec(op, params, sizes, out, signature(op, params, out))
        if len(_specs) > MAX_SPECS:
            _specs.clear()
        _specs[key] = found
    elif found.sizes is not sizes and differentiating.sizes:
        found = Spec(op, params, sizes, found.type, found.sig)
    return found


def bind(op: Op, inputs: tuple[Node, ...], params: tuple = (), sizes: tuple | None = None) -> Node:
    """Record one application: infer its type (raising the op's error for operands that do not fit), run nothing."""
    return apply_spec(find_spec(op, inputs, params, sizes), inputs)


def apply_spec(spec: Spec, inputs: tuple[Node, ...]) -> Node:
    """Record one application whose spec is known."""
    requires_grad = False
    depth = 0
    for n in inputs:
        if n.requires_grad:
            requires_grad = True
        if n.depth > depth:
            depth = n.depth
        elif n.depth < 0:
            postponed[0](n)
    if requires_grad:
        if not grad_mode.enabled:
            requires_grad = False
            if depth:
                depth += 1
        else:
            depth += 1
            if not spec.differentiable or (spec.selective and not any(
                    [n.requires_grad for i, n in enumerate(inputs) if i not in spec.op.shape_only])):
                requires_grad = False       # the latter: it depends on the shape only of what requires a gradient
    elif depth:
        depth += 1
    return Node(spec, inputs, requires_grad, depth)


def _unknown(node: Node) -> None:
    raise NotImplementedError


postponed: list[Callable[[Node], Any]] = [_unknown]     # computes a node that is: from requests/execute.py, a layer above


def become_input(node: Node, value: Any) -> None:
    """Turn a node that was computed, and needs no gradient, into a leaf, letting go of what it was computed from."""
    spec = _input_specs.get(node.spec.type)
    if spec is None:
        spec = input_spec(node.spec.type)
        if spec.type.device != "cpu":
            node.value, node.depth, node.spec, node.inputs = placed(value), 1, spec, ()
            return
    # In this order: another thread finds a node whose value is known at any moment.
    node.value, node.depth, node.spec, node.inputs = value, 0, spec, ()


def own_sizes(node: Node) -> None:
    """Give a node a `sizes` tuple that no other node has."""
    spec = node.spec
    if spec.sizes is not None:
        node.spec = Spec(spec.op, spec.params, tuple(list(spec.sizes)), spec.type, spec.sig)


def input_spec(type: ArrayType) -> Spec:
    """What a leaf of this type is."""
    specs = _input_specs if type.device == "cpu" else _device_input_specs
    found = specs.get(type)
    if found is None:
        if len(specs) > MAX_SPECS:
            specs.clear()
        found = specs[type] = Spec(INPUT, (), None, type, signature(INPUT, (), type))
    return found


def input_node(value: Any, type: ArrayType, requires_grad: bool = False) -> Node:
    """A leaf that holds an array.  The caller vouches that the array is of that type and never written again.

    One on another device than the CPU has depth 1, so that nothing that is made of it is computed at once, node by node."""
    spec = _input_specs.get(type)
    if spec is None:
        spec = input_spec(type)
        if type.device != "cpu":
            return Node(spec, (), requires_grad, 1, placed(value), BORN if tracing.traces else None)
    return Node(spec, (), requires_grad, 0, value, BORN if tracing.traces else None)


def scalar_spec(dtype: dtype, device: str = "cpu") -> Spec:
    """What a run-time number of this dtype is."""
    found = _scalar_specs.get((dtype, device))
    if found is None:
        type = array_type((), dtype, device)
        found = _scalar_specs[dtype, device] = Spec(SCALAR, (), None, type, signature(SCALAR, (), type))
    return found


def scalar_node(value: float | int | bool, dtype: dtype, device: str = "cpu") -> Node:
    """A run-time number: its value is never part of a key."""
    return Node(scalar_spec(dtype, device), (), False, 0, value)


def const(value: float | int | bool, dtype: dtype, device: str = "cpu") -> Node:
    """A literal of the formula, part of the key; only for numbers that are written in a rule."""
    if dtype.category == 2:
        value = float(value)
    elif dtype.category == 1:
        value = int(value)
    else:
        value = bool(value)
    params = (dtype.code, repr(value))
    spec = _const_specs.get((params, device))
    if spec is None:
        type = array_type((), dtype, device)
        spec = _const_specs[params, device] = Spec(CONST, params, None, type, signature(CONST, params, type))
    return Node(spec, (), False, 0, value)


def as_nodes(operands: Iterable[Any]) -> tuple[Node, ...]:
    """Python numbers become literals of the dtype of the first node among the operands."""
    operands = tuple(operands)
    if all([type(v) is Node for v in operands]):
        return operands
    nodes = [v for v in operands if type(v) is Node]
    if not nodes:
        raise InternalError(f"a rule applied an op to numbers only: {operands}")
    like = nodes[0].type
    return tuple([v if type(v) is Node else const(v, like.dtype, like.device) for v in operands])


def _call(self: Op, *inputs: Any, sizes: Any = None, **params: Any) -> Node:
    """Apply to nodes and Python numbers (which become literals of the dtype of the first node), params by name."""
    return bind(self, as_nodes(inputs), tuple([params[name] for name in self.param_names]), sizes)


Op.__call__ = _call         # operations are declared by files that know no recording
