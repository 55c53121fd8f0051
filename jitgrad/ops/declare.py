"""How a primitive is declared: once, and everything else derives from it.

    elementwise   one scalar expression per element, operands broadcast
    reduction     combines over static `axes`, kept as length 1
    movement      the same elements in another arrangement (or zeros)
    library       anything else: a NumPy call between kernels

Every rule works on nodes.  A derivative `vjp(g, y, *inputs, **params)` returns one gradient (or None) an input, written
in the ops themselves.  It never un-broadcasts, never asks what needs a gradient, never reads a shape (donors carry
shapes: `expand_like(g, x)`), and hands `sizes` on only as the same object.  Operands of one dtype unless said.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from jitgrad.errors import InternalError
from jitgrad.graph.node import Op
from jitgrad.types.array import ArrayType, array_type, broadcast_shapes
from jitgrad.types.dtype import bool_, dtype

REGISTRY: dict[str, Op] = {}
CHEAP, MODERATE, COSTLY = 0.2, 1.0, 3.0     # costs of an elementwise op, in nanoseconds an element (float64, AVX2)


class Scan(NamedTuple):
    """A running combination, associative, of states of one or two numbers; the result is the last of them.

    state: an element's own, over the operands' names and {i}, its position.  joined: the state of two neighbours, over {l0}, {l1} of
    the one before and {r0}, {r1}.  codes: of each number its dtype's.  reverse: whether it begins at the end; ahead: operands of
    which then the element before counts."""

    state: tuple[str, ...]
    joined: tuple[str, ...]
    codes: tuple[str, ...]
    reverse: bool = False
    ahead: tuple[str, ...] = ()


class Facts(NamedTuple):
    """What the compiler's passes read of an op; none of them knows an op by its name.

    role: what it is to them: of a movement or library op the rule by which it is lowered (ir/lower.py, ir/views.py), of an
    elementwise op that of its algebra (simplify.py), of a reduction "sum" or none.  cost: of an elementwise op.  linear:
    operands in which it is homogeneous, op(c * x) = c * op(x).  nonnegative: it has no negative result.  of_bools: the reduction
    that is the same on bools.  extremum: the reduction whose first position it gives.  scan(dtype, **params): of a library op along
    `dim`, how its elements follow from those before."""

    role: str = ""
    cost: float = COSTLY
    linear: tuple[int, ...] = ()
    nonnegative: bool = False
    of_bools: str = ""
    extremum: str = ""
    scan: Callable[..., Scan] | None = None


def _parse(signature: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """'sum(x, *, axes)' -> ('sum', ('x',), ('axes',)); a variadic operand is written 'xs...'."""
    name, _, rest = signature.partition("(")
    args, _, params = rest.rstrip(")").partition("*")

    def split(text: str) -> tuple[str, ...]:
        return tuple([word.strip() for word in text.split(",") if word.strip()])

    return name, split(args), split(params)


def _register(op: Op) -> Op:
    if op.name in REGISTRY:
        raise InternalError(f"op {op.name} is declared twice")
    REGISTRY[op.name] = op
    return op


def check_same(name: str, types: tuple[ArrayType, ...]) -> ArrayType:
    """The first type, after checking that all have its dtype and device (operators promote before they record)."""
    first = types[0]
    for t in types[1:]:
        if t.dtype is not first.dtype:
            raise InternalError(f"{name}: operands of {first!r} and {t!r} were not promoted")
        if t.device != first.device:
            raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but found at least two "
                               f"devices, {first.device} and {t.device}; move them with .to()")
    return first


def literal(value: float | int | bool, dtype: dtype) -> str:
    """A number as text for a `scalar` expression: `f4(0.5)`, `i8(1)`, `b1(True)`, `f8(inf)`, `(-f8(inf))`, `f4(nan)`."""
    if dtype.category == 0:
        return f"b1({bool(value)})"
    if dtype.category == 1:
        return f"{dtype.code}({int(value)})"
    value = float(value)
    if math.isnan(value):
        return f"{dtype.code}(nan)"
    if math.isinf(value):
        return f"{dtype.code}(inf)" if value > 0 else f"(-{dtype.code}(inf))"
    return f"{dtype.code}({value!r})"


def elementwise(signature: str, *, scalar: str | Callable[..., str], numpy: Callable, vjp: Callable | None = None,
                out: str | Callable[..., Any] = "same", sample: Any = None, exact: bool = False,
                grad_name: str | None = None, doc: str = "", role: str = "", cost: float = COSTLY,
                linear: tuple[int, ...] = (), nonnegative: bool = False) -> Op:
    """Declare an elementwise op.

    scalar: an expression over the operand names in braces, in the kernel vocabulary (compiler/numba_cpu/vocabulary), or a
    function `scalar(dtype, **params)` that returns one; `dtype` is the operands' (the last operand's for where).
    out: 'same' | 'bool' | f(*types, **params) -> dtype.  When it is a function it also vouches for the operand dtypes.
    sample: for tests, `sample(rng, shape, dtype) -> tuple of arrays` or (low, high) for all operands.
    exact: compiled results carry the same bits as NumPy's.  role, cost, linear, nonnegative: see Facts.
    """
    name, args, params = _parse(signature)

    def infer(*types: ArrayType, **kw: Any) -> ArrayType:
        if callable(out):
            dtype = out(*types, **kw)
            device = types[0].device
        else:
            first = check_same(name, types)
            dtype = bool_ if out == "bool" else first.dtype
            device = first.device
        shape = types[0].shape if len(types) == 1 else broadcast_shapes(*[t.shape for t in types])
        return array_type(shape, dtype, device)

    return _register(Op(name=name, kind="elementwise", arg_names=args, param_names=params, infer=infer, numpy=numpy,
                        vjp=vjp, scalar=scalar, grad_name=grad_name, shape_only=(), sample=sample, doc=doc,
                        exact=exact, facts=Facts(role, cost, linear, nonnegative)))


def reduction(signature: str, *, combine: str, identity: str | Callable[..., str], numpy: Callable,
              vjp: Callable | None = None, sample: Any = None, grad_name: str | None = None, doc: str = "", role: str = "",
              of_bools: str = "") -> Op:
    """Declare a reduction `op(x, *, axes)`; `axes` is a sorted tuple of non-negative dimensions, kept as length 1.

    combine: expression over {acc} and {x} in the kernel vocabulary, associative and commutative; identity: its neutral
    element as a literal, or a function of the dtype.  numpy(x, axes) must keep the dimensions.  role, of_bools: see Facts."""
    name, args, params = _parse(signature)

    def infer(x: ArrayType, *, axes: tuple[int, ...]) -> ArrayType:
        return array_type(tuple([1 if i in axes else n for i, n in enumerate(x.shape)]), x.dtype, x.device)

    return _register(Op(name=name, kind="reduction", arg_names=args, param_names=params, infer=infer, numpy=numpy,
                        vjp=vjp, combine=combine, identity=identity, grad_name=grad_name, shape_only=(), sample=sample,
                        doc=doc, facts=Facts(role, of_bools=of_bools)))


def movement(signature: str, *, role: str, infer: Callable, numpy: Callable, vjp: Callable | None, dims: Callable | str,
             put: Callable | None = None, has_sizes: bool = False, shape_only: Container[int] = (),
             grad_name: str | None = None, sample: Any = None, doc: str = "", history: bool = False) -> Op:
    """Declare an op that only moves elements.

    dims: how lengths follow, for the compiler: 'donor:K' (those of operand K), 'fresh' (read from the recorded node),
    or f(context, node, input_dims) -> output dims (see compiler/ir/dims.py).
    put(base, value, **params): for views, the node of `base` with this view's elements replaced by `value`.
    shape_only: positions of operands of which only the shape is used; `numpy` gets their shape tuple instead of
    an array.  A container: test with `in` (an op with any number of donors has a range).
    history: a gradient goes to the shape_only operands too.  role: see Facts.
    """
    name, args, params = _parse(signature)
    return _register(Op(name=name, kind="movement", arg_names=args, param_names=params, infer=infer, numpy=numpy,
                        vjp=vjp, dims=dims, put=put, has_sizes=has_sizes, shape_only=shape_only, grad_name=grad_name,
                        sample=sample, doc=doc, exact=True, history=history, facts=Facts(role)))


def library(signature: str, *, infer: Callable, numpy: Callable, vjp: Callable | None, dims: Callable | str,
            has_sizes: bool = False, shape_only: Container[int] = (), grad_name: str | None = None, sample: Any = None,
            doc: str = "", role: str = "", extremum: str = "", put: Callable | None = None,
            scan: Callable[..., Scan] | None = None) -> Op:
    """Declare an op that is a NumPy call between kernels (matmul, sort).  role, extremum, scan: see Facts; put: see movement."""
    name, args, params = _parse(signature)
    return _register(Op(name=name, kind="library", arg_names=args, param_names=params, infer=infer, numpy=numpy,
                        vjp=vjp, dims=dims, put=put, has_sizes=has_sizes, shape_only=shape_only, grad_name=grad_name,
                        sample=sample, doc=doc, facts=Facts(role, extremum=extremum, scan=scan)))
