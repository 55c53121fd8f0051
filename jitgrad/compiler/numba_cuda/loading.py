"""Kernels as the driver at hand launches them: loaded on a device, or as functions of the simulator."""
from __future__ import annotations

from typing import Any

from jitgrad.compiler.numba_cuda import kernels
from jitgrad.memory.cuda import driver

SIMULATOR = "simulator"
_loaded: dict[tuple[str, str], dict[str, Any]] = {}


def loaded(kernel: kernels.CudaKernel) -> dict[str, Any]:
    """The functions of a kernel as the driver launches them, by name."""
    here = driver.current()
    found = _loaded.get((here.name, kernel.name))
    if found is None:
        if here.name == SIMULATOR:
            found = kernel.functions()
        else:
            properties = here.properties()
            module = here.load(kernel.image((properties.major, properties.minor)))
            found = {stage.name: here.function(module, f"{kernel.name}_{stage.name}") for stage in kernel.stages}
        _loaded[here.name, kernel.name] = found
    return found


def get_kernel(source: str) -> kernels.CudaKernel:
    """The kernel of a source text, ready to be launched on the device at hand."""
    if driver.current().name == SIMULATOR:
        from jitgrad.compiler.numba_cuda import simulated
        kernel = kernels.get_kernel(source, simulated.THREADS, simulated.BLOCKS)
        kernel.compilation = kernel.compilation or "for CUDA, simulated"
        return kernel
    kernel = kernels.get_kernel(source)
    loaded(kernel)
    return kernel
