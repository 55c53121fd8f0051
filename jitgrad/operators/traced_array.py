"""NumPy arrays that a function is called with while it is traced."""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind
from jitgrad.operators.traced_float import TracedFloat
from jitgrad.ops import REGISTRY
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.types.dtype import BY_NUMPY, dtype, from_numpy_dtype

MAX_ROWS = 64           # of an array that are parts of it when Python iterates over them
COPY, CAST = REGISTRY["copy"], REGISTRY["cast"]
OF_C = ("__array_interface__", "__array_struct__")      # by which NumPy would read an array without calling __array__


class TracedArray:
    """A NumPy array that a function was called with while it is traced (jitgrad.compile): tensors made of it are recorded as
    computed from an input, its shape and dtype are known from the structure of the arguments, its rows, columns and the like
    are recorded as views, and anything else sees the array itself and is noted as a look at its contents.  (A subclass of
    ndarray will not do: C code reads it unseen.)

    `_input`: a node whose value is a copy from before the call: `_origin`, an input, or computed from it.  `_parts`: all
    stand-ins that were made of one, which share the list with it."""

    __slots__ = ("_input", "_origin", "_parts", "_place", "_real", "__weakref__")
    __class__ = property(lambda self: np.ndarray)       # type: ignore[assignment]

    def __init__(self, real: np.ndarray, node: Node, place: str, whole: TracedArray | None = None) -> None:
        origin, parts = (node, []) if whole is None else (whole._origin, whole._parts)
        for name, value in (("_real", real), ("_input", node), ("_place", place), ("_origin", origin), ("_parts", parts)):
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
            trace.array_layout(self._origin)
        return self._real

    def _changed(self) -> bool:
        """Whether the array is no longer what it was before the call."""
        return not same_bits(self._real, self._input.value)

    def _tensor(self, to: dtype | None = None) -> Tensor:
        """A tensor with a copy of the array, in `to` if given."""
        if tracing.current() is None or self._changed():        # the latter, by way of another name: not replayed
            return from_array(np.array(self._look(), None if to is None else to.np, order="C"))
        return self._recorded(to)

    def _recorded(self, to: dtype | None = None) -> Tensor:
        node = self._input
        if to is None or to is node.type.dtype:
            made = bind(COPY, (node,))
            made.value = node.value
        else:
            made = bind(CAST, (node,), (to,))
            made.value = node.value.astype(to.np)
        return wrap(made)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _part(self, of_array: Callable[[np.ndarray], Any], of_tensor: Callable[[Tensor, Any], Tensor]) -> Any:
        """Another array made of this one.  of_tensor(tensor, array): the same of a tensor, where the array is known."""
        made = of_array(self._real)
        if tracing.current() is None or type(made) is not np.ndarray or made.dtype not in BY_NUMPY or \
                self._real.shape != self._input.value.shape:
            return of_array(self._look())
        before = of_array(self._input.value).copy()
        if not same_bits(made, before):
            return of_array(self._look())
        node = of_tensor(self._recorded(), made)._current()
        node.value = before
        part = TracedArray(made, node, self._place, self)
        self._parts.append(part)
        return part

    def __getitem__(self, key: Any) -> Any:
        for k in key if type(key) is tuple else (key,):
            bounds = (k.start, k.stop, k.step) if type(k) is slice else (k,)
            if not (k is Ellipsis or all([v is None or type(v) is int or isinstance(v, np.integer) for v in bounds])) or (
                    type(k) is slice and k.step is not None and k.step < 0):
                return self._look()[real(key)]
        return self._part(lambda a: a[key], lambda t, made: t[key])

    @property
    def T(self) -> Any:
        """The array with its dimensions reversed."""
        return self._part(lambda a: a.T, lambda t, made: t.permute(*range(made.ndim)[::-1]))

    def astype(self, *args: Any, **options: Any) -> Any:
        """See numpy.ndarray."""
        return self._part(lambda a: a.astype(*args, **options), lambda t, made: t.to(BY_NUMPY[made.dtype]))

    # -- looks -------------------------------------------------------------------------------------------------------

    def _look(self) -> np.ndarray:
        """The array itself, for somebody who may read all of it."""
        trace = tracing.current()
        if trace is not None:
            trace.array_read(self._origin)
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
        return iter([self[i] for i in range(len(self))] if self.ndim > 1 and len(self) <= MAX_ROWS else self._look())

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


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal; nan is itself, and 0.0 is not -0.0."""
    bits = f"i{a.itemsize}"
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a.view(bits), b.view(bits))


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
                 "index", "contains", "setitem", "delitem", "repr", "str", "format"):
        def call(self: TracedArray, *others: Any, name: str = f"__{name}__") -> Any:
            return getattr(np.ndarray, name)(self._look(), *real(others))

        setattr(TracedArray, f"__{name}__", call)
    for name in ("reshape", "ravel", "flatten", "squeeze", "copy"):         # in C's order, as tensors
        def shaped(self: TracedArray, *args: Any, name: str = name, **options: Any) -> Any:
            if options:
                return getattr(self._look(), name)(*args, **options)
            return self._part(operator.methodcaller(name, *args), lambda t, made: t.reshape(made.shape))

        setattr(TracedArray, name, shaped)


_attach_operators()
