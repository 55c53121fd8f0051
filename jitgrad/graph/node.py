"""The graph: primitives (`Op`), their applications (`Node`), what owns a grad_fn, and their order.

A node is immutable once recorded, except for what is learnt about it (`value`, `run`, `extra`).  Its `inputs` are
nodes; `params` are static (part of the structure, hence of the key), `sizes` are run-time integers (shapes, offsets)
that compiled code reads anew at each call.  Nothing here knows tensors, NumPy functions or Numba.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from jitgrad.types.array import ArrayType


class Op:
    """A primitive, declared once (see ops/declare.py for the constructors and the meaning of each field)."""

    __slots__ = ("name", "kind", "arg_names", "param_names", "infer", "numpy", "vjp", "scalar", "combine", "identity",
                 "dims", "put", "grad_name", "shape_only", "has_sizes", "sample", "doc", "exact", "history", "facts")

    def __init__(self, **fields: Any) -> None:
        for name in Op.__slots__:
            setattr(self, name, fields.get(name))

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    if TYPE_CHECKING:
        def __call__(self, *inputs: Any, sizes: Any = None, **params: Any) -> Node: ...     # recording.py defines it


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
        self.watch: Any = None      # autograd.reverse.hooks.Watch: tensor hooks and retain_grad
        self.leaf: Any = None       # histories.Accumulator of the leaf tensor that this node is a value of
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
    create_graph (see autograd/reverse/recorded.py)."""

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
    native.layout.HOLDS on, about how much memory their operands hold.  A node that is recorded otherwise refers to no postponed one
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


# Leaves of every graph.  INPUT holds an array in `value`; SCALAR a Python number, a run-time argument of type ();
# CONST a literal that is part of the structure (params: the dtype and the number's repr, since 1 == 1.0 == True).
INPUT = Op(name="input", kind="leaf", arg_names=(), param_names=(), doc="an array that is already computed")
SCALAR = Op(name="scalar", kind="leaf", arg_names=(), param_names=(), doc="a Python number, a run-time argument")
CONST = Op(name="const", kind="leaf", arg_names=(), param_names=("dtype", "text"), doc="a literal of the formula")
