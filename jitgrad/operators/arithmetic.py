"""Arithmetic of two operands: sums, products, quotients, remainders and powers."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.dtype import bool_, float64, refuse_complex
from jitgrad.graph import Node, bind, scalar_node
from jitgrad.operators.arguments import number
from jitgrad.operators.declare import (
    SYMBOLS,
    binary,
    binary_call,
    binary_nodes,
    finish,
    finish_binary,
    finish_composite,
    operand_nodes,
    operator,
    register,
    unary,
)
from jitgrad.operators.native.words import NUMBERS, PLAIN
from jitgrad.operators.operands import Number, Scalar, cast, number_node, operand, promoted, result_dtype, to_node
from jitgrad.operators.recipes import by_recipe, no_recipe
from jitgrad.requests import execute
from jitgrad.tensor import Tensor, wrap

_ADD, _SUB, _DIV = ops.REGISTRY["add"], ops.REGISTRY["sub"], ops.REGISTRY["div"]
_POWER, _POW, _MUL = ops.REGISTRY["power"], ops.REGISTRY["pow"], ops.REGISTRY["mul"]


# -- sums ------------------------------------------------------------------------------------------------------------

def _scaled(called: str, op: Any, input: Any, other: Any, alpha: Any) -> Node:
    """`input + alpha * other` (or minus), promoted."""
    a, b = promoted(called, input, other)
    category = a.type.dtype.category
    if category < 2 and isinstance(alpha, (float, np.floating)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number; "
                           f"{called}() got {alpha!r}")
    if category and isinstance(alpha, (bool, np.bool_)):
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    return bind(op, (a, bind(_MUL, (b, number_node(alpha, a.type.dtype)))))


def _add(input: Any, other: Any, *, alpha: Scalar = 1) -> Node:
    if alpha != 1:
        return _scaled("add", _ADD, input, other, alpha)
    return binary_nodes(_ADD, "add", input, other, False)


def _is_bool(operand: Any) -> bool:
    return operand.type.dtype is bool_ if type(operand) is Node else type(operand) is bool


def _refuse_bool(a: Any, b: Any) -> None:
    if type(a) is Node and type(b) is Node and _is_bool(a) and _is_bool(b):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")
    raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                       "invert a mask, use the `~` or `logical_not()` operator instead.")


def _sub(input: Any, other: Any, *, alpha: Scalar = 1) -> Node:
    if _is_bool(input) or _is_bool(other):
        _refuse_bool(input, other)
    if alpha != 1:
        return _scaled("sub", _SUB, input, other, alpha)
    return binary_nodes(_SUB, "sub", input, other, False)


def _finish_sum(result: Node, args: tuple, kwargs: dict) -> Node:
    if kwargs.get("alpha", 1) != 1 or "other" in kwargs:
        operands = (*args, *[kwargs[k] for k in ("other",) if k in kwargs])
        return finish_composite(result, result.op.grad_name, tuple([v if type(v) is Node else None for v in operands]))
    return finish_binary(result, args)


_plus = binary_call(_ADD, "add", False)
_minus = binary_call(_SUB, "sub", False, nodes=_sub)


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, element by element, with broadcasting and type promotion."""
    if type(alpha) is not int and isinstance(alpha, Tensor):
        alpha = number(alpha, "add", "alpha")
    if alpha == 1:
        return _plus(input, other)
    input, other = to_node(input), to_node(other)
    return wrap(_finish_sum(_add(input, other, alpha=alpha), (input, other), {"alpha": alpha}))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, element by element, with broadcasting and type promotion."""
    if type(alpha) is not int and isinstance(alpha, Tensor):
        alpha = number(alpha, "sub", "alpha")
    if alpha == 1:
        return _minus(input, other)
    input, other = to_node(input), to_node(other)
    return wrap(_finish_sum(_sub(input, other, alpha=alpha), (input, other), {"alpha": alpha}))


register("add", _add, add, _finish_sum, ("torch", "method"), True, NUMBERS)
register("sub", _sub, sub, _finish_sum, ("torch", "method"), True, NUMBERS)
register("subtract", _sub, sub, _finish_sum, ("torch", "method"), True, NUMBERS)
SYMBOLS["add"] = lambda: binary_call(_ADD, "add", False, True)
SYMBOLS["sub"] = lambda: binary_call(_SUB, "sub", False, True, _sub)
mul = binary(_MUL)
multiply = binary(_MUL, name="multiply")
true_divide = binary(_DIV, name="true_divide", floating=True)


@operator(lambda a: "RsubBackward0" if type(a.get("other")) is Node else "RsubBackward1",
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def rsub(input: Node, other: Any, *, alpha: Scalar = 1) -> Node:
    """other - alpha * input."""
    if alpha != 1:
        return _scaled("rsub", _SUB, other, input, alpha)
    return _sub(other, input)


def reflected_sub(input: Tensor, other: Any) -> Any:
    """other - input, as a Python operator: other is a number."""
    other = operand(other)
    if other is NotImplemented:
        return other
    node = input._current()
    return wrap(finish_composite(_sub(other, node), "RsubBackward1", (node,)))


# -- quotients -------------------------------------------------------------------------------------------------------

def _whole_divisor(called: str, nodes: list[Node]) -> list[Node]:
    """The operands, after checking that no integer is divided by 0."""
    divisor = nodes[1]
    if divisor.type.dtype.category < 2:
        no_recipe()
        value = divisor.value if divisor.op.kind == "leaf" else execute.value(divisor)
        if not np.all(value):
            raise RuntimeError("ZeroDivisionError")
    return nodes


def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Node:
    if rounding_mode is None:
        return binary_nodes(_DIV, "div", input, other, True)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")
    nodes = _whole_divisor("div", promoted("div", input, other))
    return ops.trunc_divide(*nodes) if rounding_mode == "trunc" else ops.floor_divide(*nodes)


def _finish_div(result: Node, args: tuple, kwargs: dict) -> Node:
    if kwargs:
        operands = (*args, *[kwargs[k] for k in ("other",) if k in kwargs])
        edges = tuple([v if type(v) is Node else None for v in operands])
        if kwargs.get("rounding_mode") is None:
            return finish_composite(result, "DivBackward0", edges)
        return finish_composite(result, "DivBackward2", edges, operand_nodes(edges))
    return finish_binary(result, args)


_quotient = binary_call(_DIV, "div", True)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, in floating point; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    if rounding_mode is None:
        return _quotient(input, other)
    input, other, kwargs = to_node(input), to_node(other), {"rounding_mode": rounding_mode}
    return wrap(_finish_div(_div(input, other, **kwargs), (input, other), kwargs))


register("div", _div, div, _finish_div, ("torch", "method"), True, NUMBERS)
SYMBOLS["div"] = lambda: binary_call(_DIV, "div", True, True)
register("divide", _div, div, _finish_div, ("torch", "method"), True, NUMBERS)


reciprocal = unary(ops.REGISTRY["reciprocal"], floating=True)


def rdiv(input: Tensor, other: Any) -> Tensor:
    """other / input: as in PyTorch the reciprocal times other."""
    return mul(reciprocal(input), other)


@operator("NotImplemented", inplace=True, saves=())
def floor_divide(input: Any, other: Any) -> Node:
    """floor(input / other).  Its derivative is not implemented: backward through it raises, as in PyTorch."""
    nodes = _whole_divisor("floor_divide", promoted("floor_divide", input, other))
    return ops.undefined(ops.floor_divide(*nodes), name="floor_divide")


@operator(lambda a: "RemainderBackward1" if type(a.get("other")) is Node else "RemainderBackward0", inplace=True,
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def remainder(input: Any, other: Any) -> Node:
    """input - other * floor(input / other): with the sign of other, as Python's %."""
    a, b = _whole_divisor("remainder", promoted("remainder", input, other))
    return ops.remainder(a, b)


@operator(lambda a: "FmodBackward1" if type(a.get("other")) is Node else "FmodBackward0", inplace=True,
          edges=lambda a: ("input", "other") if type(a.get("other")) is Node else ("input",))
def fmod(input: Any, other: Any) -> Node:
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
        return bind(_POW, (x, number_node(exponent, to)))
    if exponent == -1:
        return ops.reciprocal(x)
    return ops.special.raised(scalar_node(float(exponent), float64), x)


def _pow(input: Any, exponent: Any) -> Node:
    if type(exponent) is Node:
        if type(input) is Node or isinstance(input, Number):
            a, b = promoted("pow", input, exponent)
            if type(input) is Node or b.type.dtype.category < 2:
                return bind(_POW, (a, b))
            return ops.exponential(number_node(input, float64), b)
        refuse_complex(input)
        raise TypeError(f"pow(): argument 'input' (position 1) must be Tensor or Number, not {type(input).__name__}")
    if type(input) is not Node:
        raise TypeError(f"pow(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if not isinstance(exponent, Number):
        refuse_complex(exponent)
        raise TypeError(f"pow(): argument 'exponent' (position 2) must be Tensor or Number, not "
                        f"{type(exponent).__name__}")
    return _constant_power(input, exponent)


def _finish_pow(result: Node, args: tuple, kwargs: dict | None = None) -> Node:
    if kwargs:
        args = (*args, *[kwargs[k] for k in ("input", "exponent") if k in kwargs])
    base, exponent = args
    if type(exponent) is not Node:
        if result.op is _POWER and result.inputs[0] is base and result.params != (0,):
            return finish(result)
        return finish_composite(result, "PowBackward0", (base,), (base,))
    if type(base) is not Node:
        return finish_composite(result, "PowBackward2", (exponent,), (exponent,), True)
    return finish_composite(result, "PowBackward1", (base, exponent), (base, exponent), True)


def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent; either may be a number."""
    if (type(exponent) is int or type(exponent) is float) and exponent == 2 and isinstance(input, Tensor):
        node = input._node if input._storage is None else input._current()
        if node.type.dtype.category == 2:
            return wrap(finish(bind(_POWER, (node,), (2,))))
    return _power(input, exponent)


@by_recipe
def _power(input: Any, exponent: Any) -> Tensor:
    input, exponent = to_node(input), to_node(exponent)
    return wrap(_finish_pow(_pow(input, exponent), (input, exponent)))


register("pow", _pow, pow, _finish_pow, ("torch", "method"), True, PLAIN)
