"""Comparisons, logic, and the larger or smaller of two."""
from __future__ import annotations

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind
from jitgrad.operators.declaration.declare import Overwriting, binary, finish, finish_composite, operand_nodes, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.operands import Operand, cast, number_node, promoted
from jitgrad.requests import execute
from jitgrad.types.dtype import bool_

_R = ops.REGISTRY



def _constant(called: str) -> Overwriting:
    """What a comparison writes to its first operand: the derivative is zeros, as in PyTorch."""
    def overwriting(result: Node, operands: tuple) -> Node:
        edges = operand_nodes(operands)
        for n in edges:
            if n.requires_grad:
                result = ops.constant_in(result, n)
        return finish_composite(result, f"{called.capitalize()}Backward{len(edges) - 1}", edges, ())

    return overwriting


def _unnoticed(result: Node, operands: tuple) -> Node:
    """What a logical operator writes to its first operand, of which the history stays: PyTorch's autograd does not see it."""
    return finish(ops.attach(operands[0], result)) if operands[0].requires_grad else result


for _name, _op in (("eq", "eq"), ("ne", "ne"), ("lt", "lt"), ("le", "le"), ("gt", "gt"), ("ge", "ge"),
                   ("not_equal", "ne"), ("less", "lt"), ("less_equal", "le"), ("greater", "gt"),
                   ("greater_equal", "ge")):
    binary(_R[_op], name=_name, inplace=_constant(_op), numbers="other")
maximum, minimum, fmax, fmin = [binary(_R[_name], inplace=False, numbers="none") for _name in ("maximum", "minimum", "fmax", "fmin")]
for _name in ("atan2", "logaddexp", "hypot"):
    binary(_R[_name], floating=True, numbers="none")
binary(_R["copysign"], floating=True, numbers="other")
binary(_R["atan2"], name="arctan2", floating=True, numbers="none")


@operator("NotImplemented", inplace=True, saves=(), out=EXACT)
def heaviside(input: Node, values: Node) -> Node:
    """0 below 0, `values` at 0, 1 above.  Its derivative is not implemented: backward through it raises, as in PyTorch."""
    return ops.undefined(ops.heaviside(*promoted("heaviside", input, values)), name="heaviside")


def _logical(called: str) -> None:
    op = _R[called]

    def fn(input: Node, other: Node) -> Node:
        return bind(op, (cast(input, bool_), cast(other, bool_)))

    fn.__doc__ = f"{op.doc}; numbers other than 0 count as true."
    operator(name=called, inplace=_unnoticed, out=CAST)(fn)


def _bitwise(called: str, kernel: str, takes: tuple[int, ...]) -> None:
    """Declare an operation on bits.  kernel: its name in PyTorch's error; takes: the categories of dtypes."""
    op = _R[called]

    def fn(input: Operand, other: Operand) -> Node:
        a, b = promoted(called, input, other)
        if a.type.dtype.category not in takes:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{a.type.dtype.title}'")
        return bind(op, (a, b))

    fn.__doc__ = f"{op.doc}."
    operator(name=called, inplace=True, out=CAST)(fn)


for _name in ("logical_and", "logical_or", "logical_xor"):
    _logical(_name)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    _bitwise(_name, f"{_name}_cpu", (0, 1))
_bitwise("bitwise_left_shift", "lshift_cpu", (1,))
_bitwise("bitwise_right_shift", "rshift_cpu", (1,))


@operator(inplace=_unnoticed, out=CAST)
def logical_not(input: Node) -> Node:
    """not input; numbers other than 0 count as true."""
    return ops.logical_not(cast(input, bool_))


@operator(inplace=True, out=EXACT)
def bitwise_not(input: Node) -> Node:
    """~input of integers or bools."""
    if input.type.dtype.category == 2:
        raise NotImplementedError(f"\"bitwise_not_cpu\" not implemented for '{input.type.dtype.title}'")
    return ops.bitwise_not(input)


@operator()
def isclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Node:
    """|input - other| <= atol + rtol * |other|, element by element; equal infinities are close."""
    if input.type.dtype is not other.type.dtype:
        raise RuntimeError(f"{input.type.dtype.name} did not match {other.type.dtype.name}")
    close = ops.eq(input, other)
    if equal_nan:
        close = ops.logical_or(close, ops.logical_and(ops.isnan(input), ops.isnan(other)))
    a, b = promoted("isclose", input, other, floating=True)
    allowed = number_node(atol, a.type.dtype) + ops.abs(number_node(rtol, a.type.dtype) * b)
    distance = ops.abs(a - b)
    return ops.logical_or(close, ops.logical_and(ops.isfinite(distance), ops.le(distance, allowed)))


@operator()
def allclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close, see isclose."""
    a, b = execute.value(input), execute.value(other)
    if a.dtype != b.dtype:
        raise RuntimeError(f"{input.type.dtype.name} did not match {other.type.dtype.name}")
    return bool(np.allclose(a, b, rtol, atol, equal_nan))


@operator()
def equal(input: Node, other: Node) -> bool:
    """Whether two tensors have the same shape and the same elements."""
    return bool(np.array_equal(execute.value(input), execute.value(other)))
