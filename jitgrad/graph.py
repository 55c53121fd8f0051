"""The graph: primitives (`Op`), their applications (`Node`), and the pure functions over them.

A node is immutable once recorded, except for what is learnt about it (`value`, `run`, `extra`).  Its `inputs` are
nodes; `params` are static (part of the structure, hence of the key), `sizes` are run-time integers (shapes, offsets)
that compiled code reads anew at each call.  Nothing here knows tensors, NumPy functions or Numba.
"""
from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from jitgrad import tracing
from jitgrad.arraytype import ArrayType, array_type
from jitgrad.dtype import dtype
from jitgrad.errors import InternalError
from jitgrad.tracing import BORN


class Op:
    """A primitive, declared once (see ops/declare.py for the constructors and the meaning of each field)."""

    __slots__ = ("name", "kind", "arg_names", "param_names", "infer", "numpy", "vjp", "scalar", "combine", "identity",
                 "dims", "put", "grad_name", "shape_only", "has_sizes", "sample", "doc", "exact", "history", "facts")

    def __init__(self, **fields: Any) -> None:
        for name in Op.__slots__:
            setattr(self, name, fields.get(name))

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *inputs: Any, sizes: Any = None, **params: Any) -> Node:
        """Apply to nodes and Python numbers (which become literals of the dtype of the first node), params by name."""
        nodes = as_nodes(inputs)
        return bind(self, nodes, tuple([params[name] for name in self.param_names]), sizes)


class Composite:
    """The owner of a grad_fn that is not one primitive's own: PyTorch's name, the inputs of the public call, and the
    nodes that PyTorch would have saved (None: whatever the primitives inside save; `saves_result`: the result too,
    which is not listed, so that nothing is cyclic).  `number`: which output of the operator the node is."""

    __slots__ = ("name", "inputs", "saves", "saves_result", "number")

    def __init__(self, name: str, inputs: tuple[Node | None, ...], saves: tuple[Node, ...] | None,
                 saves_result: bool = False, number: int = 0) -> None:
        self.name = name
        self.inputs = inputs
        self.saves = saves
        self.saves_result = saves_result
        self.number = number


class Extra:
    """What only few nodes have."""

    __slots__ = ("fn", "watch", "leaf", "cell", "version", "in_place", "held", "reach", "grad_fn")

    def __init__(self) -> None:
        self.fn: Any = None         # Composite or autograd.function.PyFunction: who owns the grad_fn
        self.watch: Any = None      # autograd.hooks.Watch: tensor hooks and retain_grad
        self.leaf: Any = None       # tensor.Accumulator of the leaf tensor that this node is a value of
        self.cell: Any = None       # storage.Version: the version counter of the storage that holds this value ...
        self.version = 0            # ... and the version at which it did
        # Of what an operator in place gave: the operand that it was written over, of which backward has a copy; True where it has
        # none; False of all other nodes.
        self.in_place: Node | bool = False
        self.held: Any = None       # gradients computed along with the value, waiting for backward()
        self.reach: Any = None      # the least and the greatest element, of positions that were asked for it
        self.grad_fn: Any = None    # weak reference to the grad_fn object shown to the user

    def owns_only(self) -> bool:
        """Whether it says no more than who owns the grad_fn."""
        return (self.watch is None and self.leaf is None and self.cell is None and not self.in_place and self.held is None
                and self.reach is None and self.grad_fn is None)


class Spec:
    """What an application of an op is, apart from its inputs: shared by all that are alike, and never changed.

    differentiable: a gradient can flow through it.  selective: which inputs need a gradient decides (see Op.shape_only).
    kwargs: params by name, and `sizes` where the op has them: what its rules are called with.
    patterns: the requests that were made lately of such a root (see requests/matcher.py); derivatives: what was recorded for
    create_graph (see autograd/recorded.py)."""

    __slots__ = ("op", "params", "sizes", "type", "sig", "differentiable", "selective", "kwargs", "patterns", "derivatives")

    def __init__(self, op: Op, params: tuple, sizes: tuple | None, type: ArrayType, sig: int) -> None:
        self.op = op
        self.params = params
        self.sizes = sizes
        self.type = type
        self.sig = sig
        self.differentiable = op.vjp is not None and type.dtype.category == 2
        self.selective = bool(op.shape_only) and not op.history
        self.kwargs = dict(zip(op.param_names, params, strict=True))
        if op.has_sizes:
            self.kwargs["sizes"] = sizes
        self.patterns: tuple[Any, ...] = ()
        self.derivatives: tuple[Any, ...] = ()


class Node:
    """One application of an op.  `line` is the user's (code object, last instruction).

    `depth`: 0 for what depends on no gradient leaf and no pending node, and can be computed at once; otherwise the
    length of the longest pending chain below, which recording bounds.  Negative for what is postponed: recorded without gradient
    mode, to be computed when somebody asks for it; -1 times the length of the longest chain of such operations below, and, from bit
    native.words.HOLDS on, about how much memory their operands hold.  A node that is recorded otherwise refers to no postponed one
    (`postponed`)."""

    __slots__ = ("spec", "inputs", "requires_grad", "depth", "value", "line", "run", "position", "extra", "__weakref__")

    def __init__(self, spec: Spec, inputs: tuple[Node, ...], requires_grad: bool, depth: int, value: Any = None,
                 line: Any = None) -> None:
        self.spec = spec
        self.inputs = inputs
        self.requires_grad = requires_grad
        self.depth = depth
        self.value = value
        self.line = line
        self.run: Any = None    # programs.Run: set when a backward went through, along with the position in its order
        self.extra: Extra | None = None

    if TYPE_CHECKING:       # for use in rules; jitgrad.ops attaches them (never __eq__: nodes are dictionary keys)
        def __add__(self, other: Node | float, /) -> Node: ...
        __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = __add__
        def __neg__(self) -> Node: ...

        op: Op
        params: tuple
        sizes: tuple | None
        type: ArrayType
        sig: int
        kwargs: dict[str, Any]
    else:                   # for all but the hot paths, which read `spec`
        op = property(attrgetter("spec.op"))
        params = property(attrgetter("spec.params"))
        sizes = property(attrgetter("spec.sizes"))
        type = property(attrgetter("spec.type"))
        sig = property(attrgetter("spec.sig"))
        kwargs = property(attrgetter("spec.kwargs"))

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.type!r}>"

    def ensure_extra(self) -> Extra:
        """The rarely used fields, created at the first call."""
        if self.extra is None:
            made = Extra()
            if self.extra is None:      # still, whoever the collector has run meanwhile
                self.extra = made
        return self.extra


def is_stale(node: Node) -> bool:
    """Whether the storage that held this value has been written to since."""
    extra = node.extra
    return extra is not None and extra.cell is not None and extra.cell.value != extra.version


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


# Leaves of every graph.  INPUT holds an array in `value`; SCALAR a Python number, a run-time argument of type ();
# CONST a literal that is part of the structure (params: the dtype and the number's repr, since 1 == 1.0 == True).
INPUT = Op(name="input", kind="leaf", arg_names=(), param_names=(), doc="an array that is already computed")
SCALAR = Op(name="scalar", kind="leaf", arg_names=(), param_names=(), doc="a Python number, a run-time argument")
CONST = Op(name="const", kind="leaf", arg_names=(), param_names=("dtype", "text"), doc="a literal of the formula")

class _Differentiating(threading.local):
    """sizes: whether the compiler differentiates, which tells by a `sizes` tuple itself which node's sizes a derivative uses."""

    sizes = False


differentiating = _Differentiating()
_signatures: dict[tuple, int] = {}
_numbers = itertools.count()
_specs: dict[tuple, Spec] = {}
_input_specs: dict[ArrayType, Spec] = {}
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
    # In this order: another thread finds a node whose value is known at any moment.
    node.value, node.depth, node.spec, node.inputs = value, 0, input_spec(node.spec.type), ()


def own_sizes(node: Node) -> None:
    """Give a node a `sizes` tuple that no other node has."""
    spec = node.spec
    if spec.sizes is not None:
        node.spec = Spec(spec.op, spec.params, tuple(list(spec.sizes)), spec.type, spec.sig)


def input_spec(type: ArrayType) -> Spec:
    """What a leaf of this type is."""
    found = _input_specs.get(type)
    if found is None:
        if len(_input_specs) > MAX_SPECS:
            _input_specs.clear()
        found = _input_specs[type] = Spec(INPUT, (), None, type, signature(INPUT, (), type))
    return found


def input_node(value: Any, type: ArrayType, requires_grad: bool = False) -> Node:
    """A leaf that holds an array.  The caller vouches that the array is of that type and never written again."""
    return Node(_input_specs.get(type) or input_spec(type), (), requires_grad, 0, value, BORN if tracing.traces else None)


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


def topological(roots: Iterable[Node], children: Callable[[Node], Sequence[Node]] | None = None) -> list[Node]:
    """Every node the roots depend on, inputs first, each once; deterministic; without recursion.

    `children(node)`: the inputs to go on to, by default all of them."""
    order: list[Node] = []
    seen: set[Node] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(root.inputs if children is None else children(root)))]
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, iter(child.inputs if children is None else children(child))))
                    break
            else:
                stack.pop()
                order.append(node)
    return order


def verify(order: Sequence[Node]) -> None:
    """Raise InternalError unless inputs come first and each type is what the op infers from its inputs."""
    seen: set[Node] = set()
    for node in order:
        for n in node.inputs:
            if n not in seen:
                raise InternalError(f"{node} comes before its input {n}")
        seen.add(node)
        if node.op.kind == "leaf":
            continue
        expected = node.op.infer(*[n.type for n in node.inputs], **node.kwargs)
        if expected.shape != node.type.shape or expected.dtype is not node.type.dtype:
            raise InternalError(f"{node} should be {expected}")


def to_text(order: Sequence[Node], outputs: Sequence[Node] = ()) -> str:
    """The graph as text, a line a node: `%3 = mul %0 %1 : float32[3]`."""
    names: dict[Node, str] = {}
    lines = []
    for node in order:
        names[node] = f"%{len(names)}"
        words = [node.op.name, *[names.get(n, "%?") for n in node.inputs]]
        words += [f"{k}={v}" for k, v in zip(node.op.param_names, node.params, strict=True)]
        if node.sizes is not None:
            words.append(f"sizes={node.sizes}")
        lines.append(f"{names[node]} = {' '.join(words)} : {node.type!r}{' *' if node.requires_grad else ''}")
    if outputs:
        lines.append("return " + " ".join(names[n] for n in outputs))
    return "\n".join(lines)
