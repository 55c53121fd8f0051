"""NumPy arrays that a function is called with while it is traced."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.dtype import dtype, from_numpy_dtype
from jitgrad.graph import Node, bind
from jitgrad.operators.traced import TracedFloat
from jitgrad.ops import REGISTRY
from jitgrad.tensor import Tensor, from_array, wrap

COPY, CAST = REGISTRY["copy"], REGISTRY["cast"]
OF_C = ("__array_interface__", "__array_struct__")      # by which NumPy would read an array without calling __array__


class TracedArray:
    """A NumPy array that a function was called with while it is traced (jitgrad.compile): tensors made of it are recorded as
    computed from an input, its shape and dtype are known from the structure of the arguments, and anything else sees the
    array itself and is noted as a look at its contents.  (A subclass of ndarray will not do: C code reads it unseen.)

    `_input`, a node, holds a copy from before the call."""

    __slots__ = ("_input", "_place", "_real", "__weakref__")
    __class__ = property(lambda self: np.ndarray)       # type: ignore[assignment]

    def __init__(self, real: np.ndarray, node: Node, place: str) -> None:
        for name, value in (("_real", real), ("_input", node), ("_place", place)):
            object.__setattr__(self, name, value)

    # -- what is known without a look --------------------------------------------------------------------------------

    shape = property(lambda self: self._real.shape)
    dtype = property(lambda self: self._real.dtype)
    ndim = property(lambda self: self._real.ndim)
    size = property(lambda self: self._real.size)
    itemsize = property(lambda self: self._real.itemsize)
    nbytes = property(lambda self: self._real.nbytes)

    def __hash__(self) -> int:
        return hash(self._real)         # raises, as of any array

    def __len__(self) -> int:
        return len(self._real)

    @property
    def strides(self) -> tuple[int, ...]:
        """Where elements lie in memory, which replays check."""
        return self._in_memory().strides

    @property
    def flags(self) -> Any:
        """How the array lies in memory, which replays check."""
        return self._in_memory().flags

    def _in_memory(self) -> np.ndarray:
        trace = tracing.current()
        if trace is not None:
            trace.array_layout(self._input)
        return self._real

    def _changed(self) -> bool:
        """Whether the array is no longer what it was before the call."""
        real, before = self._real, self._input.value
        bits = f"i{before.itemsize}"        # nan is itself, and 0.0 is not -0.0
        return real.shape != before.shape or real.dtype != before.dtype or not np.array_equal(real.view(bits), before.view(bits))

    def _tensor(self, to: dtype | None = None) -> Tensor:
        """A tensor with a copy of the array, in `to` if given."""
        node = self._input
        if tracing.current() is None or self._changed():        # the latter, by way of another name: not replayed
            array = np.array(self._look(), None if to is None else to.np, order="C")
            return from_array(array)
        if to is None or to is node.type.dtype:
            made = bind(COPY, (node,))
            made.value = node.value
        else:
            made = bind(CAST, (node,), (to,))
            made.value = node.value.astype(to.np)
        return wrap(made)

    # -- looks -------------------------------------------------------------------------------------------------------

    def _look(self) -> np.ndarray:
        """The array itself, for somebody who may read all of it."""
        trace = tracing.current()
        if trace is not None:
            trace.array_read(self._input)
        return self._real

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        real = self._look()
        if dtype is not None and real.dtype != dtype:
            return real.astype(dtype)
        return real.copy() if copy else real

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(function, method)(*real(inputs), **real(options))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return function(*real(args), **real(kwargs))

    def __getattr__(self, name: str) -> Any:
        if name in OF_C:
            raise AttributeError(name)
        value = getattr(self._real, name)       # an AttributeError is no look
        self._look()
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        tracing.refuse(f"sets the {name} of {self._place}")
        setattr(self._look(), name, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._look())

    def __dir__(self) -> list[str]:
        return dir(self._real)

    def __copy__(self) -> np.ndarray:
        return self._look().copy()

    def __deepcopy__(self, memo: dict) -> np.ndarray:
        return self._look().copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._look().__reduce_ex__(protocol)

    def __bytes__(self) -> bytes:
        return bytes(self._look())


def real(value: Any) -> Any:
    """An argument of NumPy's functions with arrays and floats in place of what stands in for them."""
    kind = type(value)
    if kind is TracedArray:
        return value._look()
    if kind is TracedFloat:
        return float(value)
    if kind in (list, tuple):
        return kind([real(v) for v in value])
    if kind is dict:
        return {k: real(v) for k, v in value.items()}
    return value


def array_tensor(array: np.ndarray | TracedArray, to: dtype | None = None) -> Tensor:
    """A tensor with a copy of an array, in `to` if given.  Raises TypeError for a dtype that jitgrad does not have."""
    if type(array) is TracedArray:
        return array._tensor(to)
    if to is None:
        from_numpy_dtype(array.dtype)
    return from_array(np.array(array, None if to is None else to.np, order="C"))


def _attach_operators() -> None:
    binary = ("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor", "lshift",
              "rshift")
    for name in (*binary, *[f"r{n}" for n in binary], "lt", "le", "gt", "ge", "eq", "ne"):
        def operate(self: TracedArray, other: Any, *more: Any, name: str = f"__{name}__") -> Any:
            if isinstance(other, Tensor):
                return NotImplemented           # the tensor takes the array
            return getattr(np.ndarray, name)(self._look(), real(other), *more)

        setattr(TracedArray, f"__{name}__", operate)
    for name in (*[f"i{n}" for n in binary if n != "divmod"], "neg", "pos", "abs", "invert", "bool", "int", "float", "complex",
                 "index", "contains", "getitem", "setitem", "delitem", "repr", "str", "format"):
        def call(self: TracedArray, *others: Any, name: str = f"__{name}__") -> Any:
            return getattr(np.ndarray, name)(self._look(), *real(others))

        setattr(TracedArray, f"__{name}__", call)


_attach_operators()
