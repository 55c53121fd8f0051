"""A GPU, through NVIDIA's cuda.core and cuda.bindings.

Errors are RuntimeErrors, also those of cuda.core, whose own class (which it keeps among its internals) is none.
Invariant: every call is made with the device's context current in the calling thread.
"""
from __future__ import annotations

import threading
from typing import Any

import numpy as np
from cuda.bindings import driver as api  # type: ignore[import-not-found]
from cuda.core import Device, LaunchConfig, ObjectCode, Stream, launch  # type: ignore[import-not-found]
from cuda.core._utils.cuda_utils import CUDAError  # type: ignore[import-not-found]

from jitgrad.memory.buffers import address as address_of
from jitgrad.memory.cuda.driver import DeviceProperties


def _checked(result: tuple[Any, ...]) -> Any:
    """The value of a call of the driver's interface.  Raises RuntimeError for a status that is not success."""
    status = result[0]
    if status != api.CUresult.CUDA_SUCCESS:
        _, text = api.cuGetErrorString(status)
        raise RuntimeError(f"CUDA error: {text.decode() if text else status}")
    return result[1] if len(result) > 1 else None


def why_absent() -> str | None:
    """Why no device can be used, and what to do; None where one can."""
    try:
        status = api.cuInit(0)[0]
    except RuntimeError as error:       # NVIDIA's driver is no library that can be loaded
        return f"jitgrad finds no NVIDIA driver on this machine ({str(error).rstrip('.')})"
    if status != api.CUresult.CUDA_SUCCESS or not _checked(api.cuDeviceGetCount()):
        return "jitgrad finds no NVIDIA GPU on this machine, or its driver is older than the toolkit"
    return None


class HardwareDriver:
    """See driver.Driver; device 0."""

    name = "cuda"

    def __init__(self) -> None:
        self._device = Device(0)
        self._threads = threading.local()
        self._configurations: dict[tuple[tuple[int, int], tuple[int, int]], Any] = {}
        self._enter()

    def _enter(self) -> None:
        """Make the device's context the calling thread's."""
        if not getattr(self._threads, "entered", False):
            self._device.set_current()
            self._threads.entered = True

    def allocate(self, nbytes: int) -> int:
        self._enter()
        result = api.cuMemAlloc(nbytes)
        if result[0] == api.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            return 0
        return int(_checked(result))

    def free(self, address: int) -> None:
        self._enter()
        _checked(api.cuMemFree(address))

    def copy_in(self, address: int, source: np.ndarray, stream: Any) -> None:
        # Of memory that is not pinned the interface has taken a copy when it returns.
        self._enter()
        _checked(api.cuMemcpyHtoDAsync(address, address_of(source), source.nbytes, stream.handle))

    def copy_out(self, target: np.ndarray, address: int, stream: Any) -> None:
        self._enter()
        _checked(api.cuMemcpyDtoHAsync(address_of(target), address, target.nbytes, stream.handle))
        self.synchronize(stream)

    def copy(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        self._enter()
        _checked(api.cuMemcpyDtoDAsync(target, source, nbytes, stream.handle))

    def stream(self) -> Any:
        self._enter()
        return self._device.create_stream()

    def foreign_stream(self, address: int) -> Any:
        self._enter()
        return Stream.from_handle(address)

    def strided_copy(self, target: int, source: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype,
                     stream: Any) -> None:
        self._enter()
        import cupy  # type: ignore[import-not-found]

        def array(address: int, *layout: Any) -> Any:
            memory = cupy.cuda.UnownedMemory(address, 1, self, 0)
            return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0), *layout)

        with cupy.cuda.Stream.from_external(stream):
            array(target)[...] = array(source, strides)

    def synchronize(self, stream: Any = None) -> None:
        self._enter()
        _checked(api.cuCtxSynchronize() if stream is None else api.cuStreamSynchronize(stream.handle))

    def is_done(self, stream: Any) -> bool:
        self._enter()
        return api.cuStreamQuery(stream.handle)[0] == api.CUresult.CUDA_SUCCESS

    def event(self, timing: bool) -> Any:
        self._enter()
        kinds = api.CUevent_flags
        return _checked(api.cuEventCreate(int(kinds.CU_EVENT_DEFAULT if timing else kinds.CU_EVENT_DISABLE_TIMING)))

    def record(self, event: Any, stream: Any) -> None:
        self._enter()
        _checked(api.cuEventRecord(event, stream.handle))

    def wait(self, event: Any, stream: Any) -> None:
        self._enter()
        _checked(api.cuStreamWaitEvent(stream.handle, event, 0))

    def has_happened(self, event: Any) -> bool:
        self._enter()
        return api.cuEventQuery(event)[0] == api.CUresult.CUDA_SUCCESS

    def await_event(self, event: Any) -> None:
        self._enter()
        _checked(api.cuEventSynchronize(event))

    def elapsed(self, start: Any, end: Any) -> float:
        self._enter()
        return float(_checked(api.cuEventElapsedTime(start, end)))

    def release_event(self, event: Any) -> None:
        self._enter()
        _checked(api.cuEventDestroy(event))

    def load(self, image: Any) -> Any:
        self._enter()
        return ObjectCode.from_cubin(image)

    def function(self, module: Any, name: str) -> Any:
        self._enter()
        try:
            return module.get_kernel(name)          # which loads the module
        except CUDAError as error:
            raise RuntimeError(f"CUDA error: {error}") from error

    def launch(self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: tuple[Any, ...], stream: Any) -> None:
        self._enter()
        configuration = self._configurations.get((grid, block))
        if configuration is None:
            configuration = self._configurations[grid, block] = LaunchConfig(grid=grid, block=block)
        try:
            launch(stream, configuration, function, *arguments)
        except CUDAError as error:
            raise RuntimeError(f"CUDA error: {error}") from error

    def properties(self) -> DeviceProperties:
        self._enter()
        known = self._device.properties
        major, minor = self._device.compute_capability
        total = int(_checked(api.cuDeviceTotalMem(_checked(api.cuDeviceGet(self._device.device_id)))))
        return DeviceProperties(self._device.name, major, minor, total, known.multiprocessor_count)
