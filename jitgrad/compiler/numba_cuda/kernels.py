"""Kernels for CUDA: from source text to what is launched, and how.

Input: the source of one kernel (codegen/target_cuda.py).  Output: a `CudaKernel`: its functions, the shapes of their launches and
the memory for partial results that some lengths take, and a cubin for a GPU.
Invariant: one source text is compiled at most once in a process for one kind of GPU, and not at all if the disk cache has it for
that and these versions: then numba-cuda is not even imported.
"""
from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import platform
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache as memoize
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jitgrad.compiler.numba_cpu import cache
from jitgrad.compiler.numba_cpu.kernels import Compilation, pack, stats, unpack
from jitgrad.compiler.numba_cuda.shapes import BLOCKS, THREADS, shape
from jitgrad.config import logger
from jitgrad.memory.addresses import simulated as known
from jitgrad.types.dtype import BY_CODE
from jitgrad.version import __version__

Capability = tuple[int, int]
# The files that decide what code a source text becomes, and the packages.
_GENERATORS = ("numba_cuda/*.py", "numba_cpu/intrinsics.py", "numba_cpu/numba_types.py", "numba_cpu/vocabulary/*.py",
               "numba_cpu/vocabulary/vecmath/*.py")
_PACKAGES = ("numba", "llvmlite", "numba-cuda", "cuda-core", "cuda-bindings", "nvidia-nvvm", "nvidia-cuda-nvcc", "nvidia-nvjitlink",
             "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12")
PARTS = ("chunks", "lanes", "blocks")       # parameters that follow from the shape of the launch before


@dataclass(frozen=True)
class CudaFunction:
    """One function of a kernel's source.

    kind: how loops become threads, the name without its number.  parameters, codes: names in order, and what each is: "i8" of an
    address or an integer, or the kind of a number.  lengths(...): how often its outer and its inner loops run, from `sizes`."""

    name: str
    kind: str
    parameters: tuple[str, ...]
    codes: tuple[str, ...]
    lengths: Callable[..., tuple[int, int]]
    sizes: tuple[str, ...]


class Launch(NamedTuple):
    """Of one function: its shape, and the integers among its arguments that the lengths alone do not give."""

    function: CudaFunction
    grid: tuple[int, int]
    block: tuple[int, int]
    parts: Mapping[str, int]

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """In order, each of its kind, by name: addresses, integers, numbers."""
        function = self.function
        return tuple([BY_CODE[code].np.type(values[name]) for name, code in zip(function.parameters, function.codes, strict=True)])


@dataclass
class CudaKernel:
    """The functions of one source, in order.  name: unique by the hash of the source.

    origin: "compiled" or "disk", once there is an image; bytes: of it.  threads, blocks: what bounds launches."""

    name: str
    source: str
    stages: tuple[CudaFunction, ...]
    origin: str = ""
    compilation: Compilation | str = ""
    seconds: float = 0.0
    bytes: int = 0
    threads: int = THREADS
    blocks: int = BLOCKS
    _images: dict[Capability, bytes] = field(default_factory=dict, repr=False)

    @property
    def once(self) -> bool:
        """Whether an element is touched by one function, once: then a result may have the memory of an operand."""
        return len([s for s in self.stages if s.kind != "combine"]) == 1 and self.stages[0].kind not in ("phases", "added")

    def launches(self, lengths: Mapping[str, int]) -> list[Launch]:
        """What is launched, in order, for these lengths: "hi", and the integers of the kernel by name ("n3")."""
        found: list[Launch] = []
        parts: dict[str, int] = {}
        for stage in self.stages:
            if stage.kind == "combine" and "chunks" in stage.parameters and parts["chunks"] == 1:
                continue                # the function before has stored the results
            known = {**lengths, **parts}
            made = shape(stage.kind, *stage.lengths(*[known[n] for n in stage.sizes]), self.threads, self.blocks)
            if stage.kind != "combine":
                parts = {"chunks": made.grid[1], "lanes": made.grid[0] * made.block[1], "blocks": made.grid[0]}
            found.append(Launch(stage, made.grid, made.block, parts))
        return found

    def scratch(self, lengths: Mapping[str, int]) -> dict[str, int]:
        """Bytes of partial results, and of what one function leaves to another, by parameter: those that are not here have none, and
        are 0."""
        found: dict[str, int] = {}
        for launch in self.launches(lengths):
            if launch.function.kind in ("phases", "added"):
                outer, inner = launch.function.lengths(*[lengths[n] for n in launch.function.sizes])
                found |= {name: 8 * max(1, outer * inner) for name in launch.function.parameters if name[0] == "s"}
            if launch.function.kind == "combine":
                kept, count = launch.function.lengths(*[{**lengths, **launch.parts}[n] for n in launch.function.sizes])
                found |= {name: 8 * max(1, kept * count) for name in launch.function.parameters if name[0] == "w"}
        return found

    def image(self, capability: Capability) -> bytes:
        """The cubin for GPUs of a compute capability, from memory, else from disk, else compiled now; the symbol of a function is
        NAME_FUNCTION.  Needs no GPU.  Raises ImportError without numba-cuda."""
        with _lock:
            known = self._images.get(capability)
            if known is None:
                known = self._images[capability] = self._made(capability)
            return known

    def _made(self, capability: Capability) -> bytes:
        start = time.perf_counter()
        key = cache.key(self.source, "sm_{}{}".format(*capability), fingerprint())
        data = cache.load(key)
        kept = None if data is None else unpack(data)
        if kept is not None:
            self.compilation, cubin = kept
            self.origin = "disk"
            stats.disk_hits += 1
        else:
            from jitgrad.compiler.numba_cuda import device
            made = device.image(self.source, self.name, capability)
            cubin = made.cubin
            way = "numba-cuda for sm_{}{}; registers: {}".format(*capability, ", ".join(map(str, made.registers())))
            way += f"; {made.spilled()} bytes spilled" if made.spilled() else ""
            self.compilation = Compilation(_version("numba-cuda"), way, time.perf_counter() - start)
            self.origin = "compiled"
            cache.save(key, pack(self.compilation, cubin), self.source)
            stats.kernels_compiled += 1
            logger.info("compiled %s %s", self.name, self.compilation)
        self.seconds, self.bytes = time.perf_counter() - start, len(cubin)
        return cubin

    def functions(self) -> dict[str, Callable[..., None]]:
        """For the simulator: by name what runs a function with (grid, block, arguments)."""
        from jitgrad.compiler.numba_cuda import simulated
        return {name: partial(simulated.run, function) for name, function in simulated.define(self.source, self.name).items()}

    def run_simulated(self, arguments: Mapping[str, Any]) -> None:
        """Run all of it on the host: addresses that memory/addresses.py knows, integers and numbers, by name."""
        lengths = {name: arguments[name] for stage in self.stages for name in stage.sizes if name not in PARTS}
        partials = [(name, np.empty(size, np.uint8)) for name, size in self.scratch(lengths).items()]
        addresses = {name: known.register(array) for name, array in partials}
        functions = self.functions()
        try:
            for launch in self.launches(lengths):
                values = {**dict.fromkeys(launch.function.parameters, 0), **addresses, **arguments, **launch.parts}
                functions[launch.function.name](launch.grid, launch.block, launch.arguments(values))
        finally:
            for address in addresses.values():
                known.unregister(address)


_kernels: dict[tuple[str, int, int], CudaKernel] = {}
_lock = threading.RLock()


def get_kernel(source: str, threads: int = THREADS, blocks: int = BLOCKS) -> CudaKernel:
    """The kernel of a source text, whose launches these bound."""
    with _lock:
        kernel = _kernels.get((source, threads, blocks))
        if kernel is None:
            name = "jitgrad_" + hashlib.sha256(source.encode()).hexdigest()[:24]
            kernel = CudaKernel(name, source, _functions(source), threads=threads, blocks=blocks)
            _kernels[source, threads, blocks] = kernel
        return kernel


def _functions(source: str) -> tuple[CudaFunction, ...]:
    """What a source says of its functions, which are not run."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<jitgrad>", "exec", dont_inherit=True), namespace)
    found = []
    for name, function in namespace.items():
        twin = namespace.get(f"{name}_lengths")
        if twin is None:
            continue
        given = inspect.signature(function).parameters
        codes = tuple(["i8" if p.annotation is p.empty else p.annotation for p in given.values()])
        sizes = tuple(inspect.signature(twin).parameters)
        found.append(CudaFunction(name, name.rstrip("0123456789"), tuple(given), codes, twin, sizes))
    return tuple(found)


def forget() -> None:
    """Drop all kernels of this process; the disk is left alone."""
    with _lock:
        _kernels.clear()


@memoize
def fingerprint() -> str:
    """All that a cubin depends on besides its source and the capability; computed without importing what makes it."""
    here = Path(__file__).parents[1]
    files = [file for pattern in _GENERATORS for file in sorted(here.glob(pattern))]
    return cache.key("cuda", __version__, platform.python_version(), *[f"{name} {_version(name)}" for name in _PACKAGES],
                     *[hashlib.sha256(file.read_bytes()).hexdigest() for file in files])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
