"""NumPy calls on views of buffers.

Input: a step and the lengths of one plan.  Output: objects that a run calls with its workspace and arrays.
Invariant: they hold no array; the views of temporaries are kept by the workspace.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.steps import Buffer, LibraryOperand, LibraryStep

Arrays = dict[int, np.ndarray]


class Temporaries(Protocol):
    """What a library call needs of the memory of a run: flat arrays of temporaries, and a place to keep its views."""

    views: dict[Any, Any]

    def array(self, number: int, dtype: np.dtype, count: int) -> np.ndarray:
        """A temporary."""
        ...


class Strided:
    """Lengths and strides, in bytes, of a view of a buffer."""

    __slots__ = ("dtype", "shape", "strides")

    def __init__(self, operand: LibraryOperand, value: Callable[[Expr], int]) -> None:
        assert operand.dtype is not None
        self.dtype = operand.dtype
        self.shape = tuple([value(n) for n in operand.shape])
        self.strides = tuple([value(s) * self.dtype.itemsize for s in operand.strides])


class BufferView(Strided):
    """How to see a buffer: also the offset in bytes, and the buffer's number of elements."""

    __slots__ = ("position", "literal", "offset", "count", "empty", "plain", "turned")

    def __init__(self, operand: LibraryOperand, value: Callable[[Expr], int]) -> None:
        super().__init__(operand, value)
        self.position = operand.position
        self.literal = operand.literal
        self.offset = value(operand.offset) * self.dtype.itemsize
        self.count = value(operand.size)
        self.empty = 0 in self.shape
        # The shape of an array that is itself the view, or the transpose of which is; None where none is.
        contiguous = operand.whole and not self.offset and not self.empty
        self.plain = self.shape if contiguous and self._covers(self.shape) else None
        turned = self.shape[::-1]
        self.turned = turned if contiguous and len(turned) == 2 and self._covers(turned) else None

    def _covers(self, shape: tuple[int, ...]) -> bool:
        """Whether the strides are those of a C-contiguous array of this shape (or of its transpose)."""
        strides, step = [], self.dtype.itemsize
        for n in reversed(shape):
            strides.append(step)
            step *= n
        own = self.strides if shape is self.shape else self.strides[::-1]
        return all([n == 1 or a == b for n, a, b in zip(reversed(shape), strides, reversed(own), strict=True)])

    def of(self, array: np.ndarray) -> np.ndarray:
        """The view of an array that holds the buffer."""
        shape = array.shape
        if shape == self.plain:
            return array
        if shape == self.turned:
            return array.T
        if self.empty:
            return np.empty(self.shape, self.dtype)
        if array.flags.c_contiguous:
            return np.ndarray(self.shape, self.dtype, array, self.offset, self.strides)
        return np.asarray(_Interface(array, self))

    def number(self, value: Any) -> np.ndarray:
        """The view of a run-time number or literal."""
        return np.broadcast_to(np.asarray(value, self.dtype), self.shape)


class _Interface:
    """NumPy's array interface over memory of a strided array."""

    def __init__(self, array: np.ndarray, view: BufferView) -> None:
        interface = dict(array.__array_interface__)
        address, _ = interface["data"]
        interface.update(data=(address + view.offset, True), shape=view.shape, strides=view.strides)
        self.__array_interface__ = interface
        self.array = array


class LibraryCall:
    """A NumPy call for one plan.  `target`: the buffer that takes the result, of `count` elements of `dtype`."""

    def __init__(self, step: LibraryStep, buffers: list[Buffer], value: Callable[[Expr], int]) -> None:
        self.op = step.op
        self._kwargs = step.keywords(value)
        self.target = step.target
        self._kind = buffers[step.target].kind
        self.dtype = buffers[step.target].dtype
        self._shape = tuple([value(n) for n in step.shape])
        self.count = value(buffers[step.target].size)
        self._matmul = step.product
        self.operands: list[tuple[str, int, Any]] = []
        for o, source in zip(step.operands, step.sources, strict=True):
            if o.kind == "shape":
                self.operands.append(("shape", -1, tuple([value(n) for n in o.shape])))
            elif source < 0:
                self.operands.append((o.kind, -1, BufferView(o, value)))
            else:
                kind = "temp" if buffers[source].kind == "temp" else "array"
                self.operands.append((kind, source, BufferView(o, value)))
        self._varying = [(k, *o) for k, o in enumerate(self.operands) if o[0] in ("array", "scalar")]

    def run(self, number: Callable[[int], Any], workspace: Temporaries, arrays: Arrays) -> np.ndarray | None:
        """Call; the array to go on with if it is a new one.  number(position): a run-time number."""
        prepared = workspace.views.get(self)
        if prepared is None:
            prepared = workspace.views[self] = self._prepare(workspace)
        args, out = prepared
        if self._varying:
            args = args.copy()
            for k, kind, source, view in self._varying:
                if kind == "array":
                    args[k] = view.of(arrays[source])
                else:
                    args[k] = view.number(number(view.position))
        if self._kind == "result":
            return np.ascontiguousarray(np.asarray(self.op.numpy(*args, **self._kwargs), self.dtype))
        if out is None:
            out = arrays[self.target]
            if out.shape != self._shape:
                out = out.reshape(self._shape)
        if self._matmul:
            np.matmul(args[0], args[1], out)
        else:
            out[...] = self.op.numpy(*args, **self._kwargs)
        return None

    def _prepare(self, workspace: Temporaries) -> tuple[list[Any], np.ndarray | None]:
        """What stays the same as long as the workspace does: views of temporaries, shapes and literals."""
        args: list[Any] = []
        for kind, source, view in self.operands:
            if kind == "temp":
                args.append(view.of(workspace.array(source, view.dtype, view.count)))
            elif kind == "shape":
                args.append(view)
            else:
                args.append(view.number(view.literal) if kind == "const" else None)
        if self._kind != "temp":
            return args, None
        return args, workspace.array(self.target, self.dtype, self.count).reshape(self._shape)
