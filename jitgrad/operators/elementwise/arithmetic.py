"""Arithmetic of two operands: sums, products, quotients, remainders and powers."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import SCALAR, Node
from jitgrad.graph.recording import bind, scalar_node
from jitgrad.operators.declaration.declare import (
    binary,
    binary_nodes,
    declare,
    finish,
    finish_binary,
    finish_composite,
    operand_nodes,
    operator,
    unary,
)
from jitgrad.operators.declaration.out import CAST
from jitgrad.operators.native.layout import NUMBERS, PLAIN
from jitgrad.operators.operands import Operand, Scalar, cast, number_node, promoted, result_dtype
from jitgrad.operators.templates.template import holds, no_template
from jitgrad.requests import execute
from jitgrad.types.dtype import bool_, check_fits, float64

_ADD, _SUB, _DIV = ops.REGISTRY["add"], ops.REGISTRY["sub"], ops.REGISTRY["div"]
_POWER, _POW, _MUL = ops.REGISTRY["power"], ops.REGISTRY["pow"], ops.REGISTRY["mul"]


# -- sums ------------------------------------------------------------------------------------------------------------

def _scaled(called: str, op: Any, input: Any, other: Any, alpha: Any) -> Node:
    """`input + alpha * other` (or minus), promoted."""
    a, b = promoted(called, input, other, alone=True)
    category = a.type.dtype.category
    if category < 2 and isinstance(alpha, (float, np.floating)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number; "
                           f"{called}() got {alpha!r}")
    if category and isinstance(alpha, (bool, np.bool_)):
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    return bind(op, (a, bind(_MUL, (b, number_node(alpha, a.type.dtype)))))


def _is_bool(operand: Any) -> bool:
    return operand.type.dtype is bool_ if type(operand) is Node else type(operand) is bool


def _refuse_bool(a: Any, b: Any) -> None:
    if type(a) is Node and type(b) is Node and _is_bool(a) and _is_bool(b):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")
    raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                       "invert a mask, use the `~` or `logical_not()` operator instead.")


def _sub(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Node:
    """input - alpha * other, element by element, with broadcasting and type promotion."""
    if _is_bool(input) or _is_bool(other):
        _refuse_bool(input, other)
    if alpha != 1:
        return _scaled("sub", _SUB, input, other, alpha)
    return binary_nodes(_SUB, "sub", input, other, False)


def _add(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Node:
    """input + alpha * other, element by element, with broadcasting and type promotion."""
    if alpha != 1:
        return _scaled("add", _ADD, input, other, alpha)
    return binary_nodes(_ADD, "add", input, other, False)


def _finish_sum(result: Node, args: tuple, kwargs: dict[str, Any]) -> Node:
    if kwargs["alpha"] != 1:
        return finish_composite(result, result.op.grad_name, tuple([v if type(v) is Node else None for v in args]))
    return finish_binary(result, args)


for _name, _fn in (("add", _add), ("sub", _sub), ("subtract", _sub)):
    declare(_name, _fn, _finish_sum, inplace=True, kind=NUMBERS, out=CAST)
mul = binary(_MUL)
multiply = binary(_MUL, name="multiply")
true_divide = binary(_DIV, name="true_divide", floating=True)


@operator(lambda a: "RsubBackward0" if type(a.get("other")) is Node else "RsubBackward1",
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def rsub(input: Node, other: Node | Scalar, *, alpha: Scalar = 1) -> Node:
    """other - alpha * input."""
    if alpha != 1:
        return _scaled("rsub", _SUB, other, input, alpha)
    return _sub(other, input)


# -- quotients -------------------------------------------------------------------------------------------------------

def _whole_divisor(called: str, nodes: list[Node]) -> list[Node]:
    """The operands, after checking that no integer is divided by 0."""
    divisor = nodes[1]
    if divisor.type.dtype.category < 2:
        if divisor.op is not SCALAR:
            holds(divisor, _without_zeros)
        if not _without_zeros(divisor):
            raise RuntimeError("ZeroDivisionError")
    return nodes


def _without_zeros(node: Node) -> bool:
    return bool(np.all(node.value if node.op.kind == "leaf" else execute.value(node)))


def _div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Node:
    """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    if rounding_mode is None:
        return binary_nodes(_DIV, "div", input, other, True)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")
    if type(other) is not Node:         # which is a run-time argument, and may be 0 in the next call
        no_template()
    nodes = _whole_divisor("div", promoted("div", input, other, alone=True))
    return ops.trunc_divide(*nodes) if rounding_mode == "trunc" else ops.floor_divide(*nodes)


def _finish_div(result: Node, args: tuple, kwargs: dict[str, Any]) -> Node:
    if kwargs["rounding_mode"] is None:
        return finish_binary(result, args)
    edges = tuple([v if type(v) is Node else None for v in args])
    return finish_composite(result, "DivBackward2", edges, operand_nodes(edges))


for _name in ("div", "divide"):
    declare(_name, _div, _finish_div, inplace=True, kind=NUMBERS, out=CAST)


reciprocal = unary(ops.REGISTRY["reciprocal"], floating=True)


@operator("NotImplemented", inplace=True, saves=(), out=CAST)
def floor_divide(input: Operand, other: Operand) -> Node:
    """floor(input / other).  Its derivative is not implemented: backward through it raises, as in PyTorch."""
    nodes = _whole_divisor("floor_divide", promoted("floor_divide", input, other, alone=True))
    return ops.undefined(ops.floor_divide(*nodes), name="floor_divide")


@operator(lambda a: "RemainderBackward1" if type(a.get("other")) is Node else "RemainderBackward0", inplace=True, out=CAST,
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def remainder(input: Operand, other: Operand) -> Node:
    """input - other * floor(input / other): with the sign of other, as Python's %."""
    a, b = _whole_divisor("remainder", promoted("remainder", input, other))
    return ops.remainder(a, b)


@operator(lambda a: "FmodBackward1" if type(a.get("other")) is Node else "FmodBackward0", inplace=True, out=CAST,
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def fmod(input: Node, other: Node | Scalar) -> Node:
    """input - other * trunc(input / other): with the sign of input, as C's fmod."""
    return ops.fmod(*_whole_divisor("fmod", promoted("fmod", input, other)))


# -- powers ----------------------------------------------------------------------------------------------------------

def _constant_power(x: Node, exponent: Any) -> Node:
    """x ** exponent.  The exponents that change the formula are part of it, others are run-time scalars."""
    to = result_dtype((x, exponent))
    x = cast(x, to)
    if exponent in (0, 1, 2, 3) or (exponent in (0.5, -0.5) and to.category == 2):
        return bind(_POWER, (x,), (float(exponent) if exponent % 1 else int(exponent),))
    if to.category < 2:
        if exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        check_fits(exponent, to)
        return bind(_POW, (x, number_node(exponent, to)))
    if exponent == -1:
        return ops.reciprocal(x)
    return ops.analysis.raised(scalar_node(float(exponent), float64), x)


def _pow(input: Node | Scalar, exponent: Node | Scalar) -> Node:
    """input ** exponent; either may be a number."""
    if type(exponent) is not Node:
        if type(input) is not Node:
            raise TypeError(f"pow(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        return _constant_power(input, exponent)
    a, b = promoted("pow", input, exponent)
    if type(input) is Node or b.type.dtype.category < 2:
        return bind(_POW, (a, b))
    return ops.exponential(number_node(input, float64), b)


def _finish_pow(result: Node, args: tuple, kwargs: dict[str, Any]) -> Node:
    base, exponent = args
    if type(exponent) is not Node:
        if result.op is _POWER and result.inputs[0] is base and result.params != (0,):
            return finish(result)
        return finish_composite(result, "PowBackward0", (base,), (base,))
    if type(base) is not Node:
        return finish_composite(result, "PowBackward2", (exponent,), (exponent,), True)
    return finish_composite(result, "PowBackward1", (base, exponent), (base, exponent), True)


declare("pow", _pow, _finish_pow, inplace=True, kind=PLAIN, out=CAST)
