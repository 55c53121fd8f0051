"""Library calls on arrays of a CUDA device.

Input: a step and the lengths of one program.  Output: an object that a run calls with its memory.
Invariant: on a device the primitive's NumPy function is called with CuPy's arrays, to which NumPy hands on; what CuPy has not is
computed by NumPy on the host, which a line in the log says, once for each primitive, and `jitgrad.explain`.  In the simulator the
arrays are views of its memory, of which NumPy computes.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.steps import Buffer, LibraryOperand, LibraryStep
from jitgrad.compiler.runtime.library_calls import Strided
from jitgrad.memory.cuda import arrays, driver, streams, through_host
from jitgrad.memory.cuda.arrays import DeviceArray
from jitgrad.ops.quiet import quiet

_BYTE = np.dtype(np.uint8)


class Memory(Protocol):
    """The buffers of a run, by number."""

    def __getitem__(self, number: int) -> DeviceArray: ...


class _Operand(Strided):
    """How to see a buffer of the device; or a number, or a shape."""

    def __init__(self, operand: LibraryOperand, source: int, value: Callable[[Expr], int]) -> None:
        self.kind = operand.kind
        self.source = source
        self.position = operand.position
        self.literal = operand.literal
        self.offset = 0
        if operand.kind == "shape":
            self.shape = tuple([value(n) for n in operand.shape])
            return
        super().__init__(operand, value)
        self.offset = value(operand.offset) * self.dtype.itemsize

    def of(self, memory: Memory, given: Mapping[int, Any], library: _Library) -> Any:
        """What the primitive's function is called with."""
        if self.kind == "shape":
            return self.shape
        if self.source >= 0:
            return library.view(memory[self.source], self.shape, self.dtype, self.strides, self.offset)
        value = self.literal if self.kind == "const" else given[self.position]
        return library.number(value, self.shape, self.dtype)


class DeviceCall:
    """A library call for one set of lengths."""

    def __init__(self, step: LibraryStep, buffers: list[Buffer], value: Callable[[Expr], int]) -> None:
        self._op = step.op
        self._kwargs = step.keywords(value)
        self.target = step.target
        self._shape = tuple([value(n) for n in step.shape])
        self._operands = [_Operand(o, source, value) for o, source in zip(step.operands, step.sources, strict=True)]

    def __str__(self) -> str:
        return f"{_library().name}: {self._op.name}"

    def run(self, memory: Memory, given: Mapping[int, Any]) -> None:
        """Call, and write the result to the step's target."""
        library = _library()
        with library.at_work():
            target = memory[self.target]
            operands = [o.of(memory, given, library) for o in self._operands]
            quiet.run(library.call, self._op, operands, self._kwargs, target, self._shape)


class _Library(Protocol):
    """What computes.  at_work: where its arrays are made and computed with, on the stream that is current."""

    name: str

    def at_work(self) -> AbstractContextManager: ...
    def view(self, array: DeviceArray, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...], offset: int) -> Any: ...
    def number(self, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any: ...
    def call(self, op: Any, args: list[Any], kwargs: dict[str, Any], target: DeviceArray, shape: tuple[int, ...]) -> None: ...


class _Simulated:
    """NumPy on the simulator's memory."""

    name = "NumPy"

    def at_work(self) -> AbstractContextManager:
        return nullcontext()

    def view(self, array: DeviceArray, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...], offset: int) -> Any:
        if 0 in shape:
            return np.empty(shape, dtype)
        simulator: Any = driver.current()
        flat, at = simulator.view_around(array.address + offset, dtype)
        return np.ndarray(shape, dtype, flat, at * dtype.itemsize, strides)

    def number(self, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return np.broadcast_to(np.asarray(value, dtype), shape)

    def call(self, op: Any, args: list[Any], kwargs: dict[str, Any], target: DeviceArray, shape: tuple[int, ...]) -> None:
        strides = DeviceArray(0, shape, target.dtype, None).strides
        self.view(target, shape, target.dtype, strides, 0)[...] = op.numpy(*args, **kwargs)


class _Cupy:
    """CuPy on the device, on the stream that is current, in memory of our pool."""

    name = "CuPy"

    def __init__(self) -> None:
        import cupy  # type: ignore[import-not-found]
        self._cupy = cupy

    @contextmanager
    def at_work(self) -> Iterator[None]:
        # What CuPy copies or allocates outside of this would be in the order of another stream.
        cuda = self._cupy.cuda
        with cuda.Stream.from_external(streams.current().handle), cuda.using_allocator(self._allocate):
            yield

    def _allocate(self, nbytes: int) -> Any:
        return self._pointer(arrays.empty((nbytes,), _BYTE), 0)

    def _pointer(self, array: DeviceArray, offset: int) -> Any:
        cuda = self._cupy.cuda
        # (The number of the device is told: CuPy would ask the driver for it, which knows none of an empty array.)
        return cuda.MemoryPointer(cuda.UnownedMemory(array.address, array.nbytes, array, 0), offset)

    def view(self, array: DeviceArray, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...], offset: int) -> Any:
        return self._cupy.ndarray(shape, dtype, self._pointer(array, offset if array.address else 0), strides)

    def number(self, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return self._cupy.broadcast_to(self._cupy.asarray(value, dtype), shape)

    def call(self, op: Any, args: list[Any], kwargs: dict[str, Any], target: DeviceArray, shape: tuple[int, ...]) -> None:
        cupy = self._cupy
        out = cupy.ndarray(shape, target.dtype, self._pointer(target, 0))
        if not through_host.is_noted(op.name):
            try:
                out[...] = op.numpy(*args, **kwargs)
                return
            except (TypeError, NotImplementedError, AttributeError) as error:       # what CuPy raises for what it has not
                through_host.note(op.name, f"CuPy has it not ({error})")
        args = [cupy.asnumpy(a) if isinstance(a, cupy.ndarray) else a for a in args]
        out[...] = cupy.asarray(np.asarray(op.numpy(*args, **kwargs), target.dtype))


_made: list[_Library] = []


def _library() -> _Library:
    """What computes, by the driver of this process."""
    if not _made:
        _made.append(_Simulated() if driver.current().name == "simulator" else _Cupy())
    return _made[0]
