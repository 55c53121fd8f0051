"""TracedFloat: the stand-in for a Python float argument while a function is captured."""
from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind, scalar_node
from jitgrad.ops import REGISTRY
from jitgrad.types.dtype import float64


class TracedFloat:
    """A float that a function was called with while it is traced (jitgrad.compile): sums, products and quotients by known
    numbers are recorded, so that a replay may have another value; anything else sees a float and is noted as a look at
    the value.  (A subclass of float will not do: C code, math.sqrt for one, reads its value unseen.)"""

    __slots__ = ("node", "number")
    __class__ = property(lambda self: float)        # type: ignore[assignment]

    def __init__(self, node: Node, number: float) -> None:
        self.node = node
        self.number = number

    def __float__(self) -> float:
        trace = tracing.current()
        if trace is not None:
            trace.reads.append(self.node)
        return self.number

    def __reduce__(self) -> tuple:
        return float, (float(self),)

    def __getattr__(self, name: str) -> Any:
        return getattr(float(self), name)       # real, is_integer(), hex() ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(float(self), dtype)

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(function, method)(*[float(v) if type(v) is TracedFloat else v for v in inputs], **options)

    def _with(self, op: str, other: Any, swap: bool = False) -> Any:
        kind = type(other)
        if kind is TracedFloat:
            node, number = other.node, other.number
        elif kind is float or kind is int or kind is bool:
            node, number = scalar_node(float(other), float64), float(other)
        elif hasattr(other, "_node"):
            return NotImplemented           # the tensor takes the number
        else:
            python = getattr(operator, _PYTHON[op])
            return python(other, float(self)) if swap else python(float(self), other)
        nodes, numbers = ((node, self.node), (number, self.number)) if swap else ((self.node, node), (self.number, number))
        result = bind(REGISTRY[op], nodes)
        result.depth = 1
        return TracedFloat(result, getattr(operator, _PYTHON[op])(*numbers))


_PYTHON = {"add": "add", "sub": "sub", "mul": "mul", "div": "truediv"}


def _is_divisor(number: TracedFloat) -> bool:
    """Whether a replay will see to it that this number is not 0."""
    trace = tracing.current()
    return trace is not None and number.number != 0 and trace.divisor(number.node)


def _attach_arithmetic() -> None:
    for op, python in _PYTHON.items():
        def method(self: TracedFloat, other: Any, op: str = op) -> Any:
            if op == "div" and type(other) is TracedFloat and not _is_divisor(other):
                other = float(other)        # which may be 0
            if op == "div" and type(other) in (int, float, bool) and not other:
                return float(self) / other
            return self._with(op, other)

        def reflected(self: TracedFloat, other: Any, op: str = op) -> Any:
            return other / float(self) if op == "div" and type(other) in (int, float, bool) and not _is_divisor(self) \
                else self._with(op, other, True)

        setattr(TracedFloat, f"__{python}__", method)
        setattr(TracedFloat, f"__r{python}__", reflected)
    for name in ("lt", "le", "gt", "ge", "eq", "ne", "pow", "rpow", "floordiv", "rfloordiv", "mod", "rmod", "divmod",
                 "rdivmod", "neg", "pos", "abs", "round", "trunc", "floor", "ceil", "int", "bool", "hash", "repr", "str",
                 "format"):
        def plain(self: TracedFloat, *others: Any, name: str = f"__{name}__") -> Any:
            if any([hasattr(v, "_node") for v in others]):
                return NotImplemented
            return getattr(float, name)(float(self), *[float(v) if type(v) is TracedFloat else v for v in others])

        setattr(TracedFloat, f"__{name}__", plain)


_attach_arithmetic()
