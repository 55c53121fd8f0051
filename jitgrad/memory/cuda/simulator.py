"""A device that is none: memory of the host, in which the text of kernels is run (compiler/numba_cuda/simulated.py).

Invariant: as strict as a device can be: an address outside of memory that is allocated raises.  Streams do their work at once.
"""
from __future__ import annotations

import bisect
import math
import threading
import time
from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.memory.addresses import simulated as known
from jitgrad.memory.buffers import address as address_of
from jitgrad.memory.cuda.driver import DeviceProperties

FREED = 0xCB        # what the simulator fills memory with that is new or given back: no number that anybody means
MEMORY = 1 << 32


class SimulatedDriver:
    """See driver.Driver."""

    name = "simulator"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._memory: dict[int, np.ndarray] = {}
        self._starts: list[int] = []
        self._bytes = 0
        self.limit = MEMORY

    def allocate(self, nbytes: int) -> int:
        with self._lock:
            if self._bytes + nbytes > self.limit:
                return 0
            chunk = np.full(nbytes + 8, FREED, np.uint8)        # (memory of its own, though nothing is asked for)
            start = address_of(chunk)
            self._memory[start] = chunk[:nbytes]
            known.register(chunk[:nbytes])
            bisect.insort(self._starts, start)
            self._bytes += nbytes
            return start

    def free(self, address: int) -> None:
        with self._lock:
            chunk = self._memory.pop(address, None)
            if chunk is None:
                raise InternalError(f"device memory at {address:#x} is freed that is not allocated")
            self._starts.remove(address)
            known.unregister(address)
            self._bytes -= chunk.size
            chunk.fill(FREED)

    def view_around(self, address: int, dtype: np.dtype | type) -> tuple[np.ndarray, int]:
        """The memory that an address is part of as a flat array, and which element lies at the address."""
        size = np.dtype(dtype).itemsize
        with self._lock:
            at = bisect.bisect_right(self._starts, address) - 1
            if at >= 0:
                start = self._starts[at]
                chunk = self._memory[start]
                if address <= start + chunk.size:
                    first = (address - start) % size
                    return chunk[first:first + (chunk.size - first) // size * size].view(dtype), (address - start) // size
        raise InternalError(f"there is no device memory at {address:#x}")

    def view(self, address: int, dtype: np.dtype | type) -> np.ndarray:
        """What lies at an address, up to the end of the memory that it is part of, as a flat array."""
        array, at = self.view_around(address, dtype)
        return array[at:]

    def _bytes_at(self, address: int, nbytes: int) -> np.ndarray:
        found = self.view(address, np.uint8)
        if found.size < nbytes:
            raise InternalError(f"{nbytes} bytes at {address:#x} reach beyond the device memory there")
        return found[:nbytes]

    def copy_in(self, address: int, source: np.ndarray, stream: Any) -> None:
        self._bytes_at(address, source.nbytes)[...] = source.reshape(-1).view(np.uint8)

    def copy_out(self, target: np.ndarray, address: int, stream: Any) -> None:
        target.reshape(-1).view(np.uint8)[...] = self._bytes_at(address, target.nbytes)

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        self._bytes_at(target, nbytes)[...] = self._bytes_at(source, nbytes)

    def stream(self) -> Any:
        return object()

    def foreign_stream(self, address: int) -> Any:
        return address

    def strided_copy(self, target: int, source: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype,
                     stream: Any) -> None:
        flat, at = self.view_around(source, dtype)
        result = self.view(target, dtype)[:math.prod(shape)].reshape(shape)
        result[...] = np.ndarray(shape, dtype, flat, at * dtype.itemsize, strides)

    def synchronize(self, stream: Any = None) -> None:
        pass

    def is_done(self, stream: Any) -> bool:
        return True

    def event(self, timing: bool) -> Any:
        return [None]

    def record(self, event: Any, stream: Any) -> None:
        event[0] = time.perf_counter()

    def wait(self, event: Any, stream: Any) -> None:
        pass

    def has_happened(self, event: Any) -> bool:
        return True

    def await_event(self, event: Any) -> None:
        pass

    def elapsed(self, start: Any, end: Any) -> float:
        return (end[0] - start[0]) * 1000

    def release_event(self, event: Any) -> None:
        pass

    def load(self, image: Any) -> Any:
        return image

    def function(self, module: Any, name: str) -> Any:
        return module[name]

    def launch(self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: tuple[Any, ...], stream: Any) -> None:
        function(grid, block, arguments)

    def properties(self) -> DeviceProperties:
        return DeviceProperties("simulated CUDA device", 9, 0, self.limit, 1)
