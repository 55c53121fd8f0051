"""Arrays on a CUDA device: what a node of such a device holds in place of a NumPy array.

Invariant: C-contiguous; never written to after it was made, but by who made it; nothing reads one silently as a NumPy array.
"""
from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitgrad.memory.cuda import driver, flag, streams
from jitgrad.memory.cuda.pool import Allocation, pool

NOT_ON_THE_HOST = "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
_CONTIGUOUS = SimpleNamespace(c_contiguous=True)


class DeviceArray:
    """An array on the device.  owner: what keeps the memory, a `pool.Allocation` or what somebody else gave."""

    __slots__ = ("address", "shape", "dtype", "owner", "__weakref__")
    flags = _CONTIGUOUS
    __array_ufunc__ = None              # so that no NumPy function takes it

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype, owner: Any) -> None:
        self.address = address
        self.shape = shape
        self.dtype = dtype
        self.owner = owner

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes between neighbours."""
        found, step = [], self.dtype.itemsize
        for n in reversed(self.shape):
            found.append(step)
            step *= n
        return tuple(reversed(found))

    def to_host(self) -> np.ndarray:
        """A copy for the host, which waits for what the device has to do before.  Raises errors that were found there."""
        self.used_by(streams.current())
        result = np.empty(self.shape, self.dtype)
        if result.size:
            driver.current().copy_out(result, self.address, streams.current().handle)
        flag.check()
        return result

    def copy(self) -> DeviceArray:
        """A copy on the device."""
        result = empty(self.shape, self.dtype)
        self.used_by(streams.current())
        if self.size:
            driver.current().copy(result.address, self.address, self.nbytes, streams.current().handle)
        return result

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        """The same memory in another shape."""
        return DeviceArray(self.address, shape, self.dtype, self.owner)

    def used_by(self, queue: streams.Queue) -> None:
        """Work of a queue uses it."""
        if type(self.owner) is Allocation:
            self.owner.used_by(queue)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(NOT_ON_THE_HOST)

    def __repr__(self) -> str:
        return f"<{self.dtype.name}{list(self.shape)} on cuda:0>"


def empty(shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """Memory for an array, of undefined contents.  Raises OutOfMemoryError."""
    piece = pool.take(math.prod(shape) * dtype.itemsize)
    return DeviceArray(piece.address, shape, dtype, piece)


def to_device(array: np.ndarray) -> DeviceArray:
    """A copy of an array of the host on the device."""
    result = empty(array.shape, array.dtype)
    if array.size:
        driver.current().copy_in(result.address, np.ascontiguousarray(array), streams.current().handle)
    return result


def contiguous(address: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...] | None, owner: Any) -> DeviceArray:
    """An array in memory that somebody else owns; a copy of what does not lie in row-major order."""
    array = DeviceArray(address, shape, dtype, owner)
    if strides is None or not array.size or all([n == 1 or s == own for n, s, own in zip(shape, strides, array.strides, strict=True)]):
        return array
    result = empty(shape, dtype)
    driver.current().strided_copy(result.address, address, shape, strides, dtype, streams.current().handle)
    return result


def hosted(value: Any) -> Any:
    """A value for NumPy: an array of the device is copied to the host."""
    return value.to_host() if type(value) is DeviceArray else value


def placed(value: Any) -> Any:
    """A value for a node of the device: an array of the host is copied there."""
    return to_device(value) if isinstance(value, np.ndarray) else value
