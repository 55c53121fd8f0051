"""Kernels for CUDA: from source text to something to launch, on a GPU or in Numba's simulator.

Input: the source of one kernel (target_cuda.py).  Output: a `CudaKernel`.  Invariant: one source text is compiled at most
once in a process; every launch has the same size, so that results do not depend on the machine's.

The simulator (NUMBA_ENABLE_CUDASIM=1) runs a kernel's Python text, one thread of the interpreter for each thread of a
block: right for tests, slow for everything else.
"""
from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import from_dtype, types

from jitgrad.compiler.ir import loop_nest
from jitgrad.compiler.numba_cpu.kernels import stats
from jitgrad.compiler.numba_cuda.vocabulary import SIMULATED, VOCABULARY, cuda
from jitgrad.config import logger
from jitgrad.types.dtype import BY_CODE

# Blocks and threads a block of every launch.  A thread of the simulator is a thread of Python, which takes about 2 ms to
# start and to pass the barriers of a reduction.
GRID, BLOCK = (2, 8) if SIMULATED else (256, 256)
# The simulator waits for its threads by polling; with Python's usual 5 ms a turn, that is nearly all it does.
_SWITCH_SECONDS = 5e-5


@dataclass(frozen=True)
class CudaFunction:
    """One function of a kernel's source: how it is launched, and the names of its arguments."""

    launch: Callable[..., None]
    parameters: tuple[str, ...]


class CudaKernel:
    """The functions of one source, in order.  name: unique by the hash of the source.  origin: always "compiled" (Numba
    keeps no CUDA kernels on disk).  seconds: what it took; a GPU's code is made at the first launch."""

    origin = "compiled"
    compilation = f"by Numba {numba.__version__} for CUDA"

    def __init__(self, name: str, source: str, stages: tuple[CudaFunction, ...], seconds: float) -> None:
        self.name = name
        self.source = source
        self.stages = stages
        self.seconds = seconds

    def __call__(self, arguments: Mapping[str, Any]) -> None:
        """Launch all stages with the arguments by name (see target_cuda.py); the arrays are on the device."""
        with _running():
            for stage in self.stages:
                stage.launch(*[arguments[name] for name in stage.parameters])

    def __repr__(self) -> str:
        return f"<Kernel {self.name} for CUDA>"


_kernels: dict[str, CudaKernel] = {}
_lock = threading.RLock()       # the simulator keeps its state in globals


def check() -> None:
    """Raises RuntimeError when there is nothing to run CUDA kernels on."""
    if not cuda.is_available():
        raise RuntimeError("JITGRAD_TARGET=cuda, but Numba finds no CUDA GPU. Set NUMBA_ENABLE_CUDASIM=1 before Python "
                           "starts to run the kernels in Numba's simulator (slow), or JITGRAD_TARGET=cpu")


def get_kernel(source: str) -> CudaKernel:
    """The kernel of a source text.  Raises RuntimeError without a GPU or the simulator."""
    with _lock:
        kernel = _kernels.get(source)
        if kernel is None:
            check()
            kernel = _kernels[source] = _make(source)
        return kernel


def define(source: str, name: str) -> dict[str, Callable[..., None]]:
    """Execute the source over the vocabulary: its functions by name, not compiled."""
    filename = f"<jitgrad {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {**VOCABULARY, "GRID": GRID, "BLOCK": BLOCK}
    if SIMULATED:
        namespace["cuda"] = SimulatedCuda(namespace)
    known = set(namespace)
    exec(compile(source, filename, "exec"), namespace)
    return {key: value for key, value in namespace.items() if key not in known and inspect.isfunction(value)}


def ptx(kernel: loop_nest.LoopNest, source: str, capability: tuple[int, int] = (9, 0)) -> dict[str, str]:
    """The assembly of each function of a kernel's source, for a GPU of this compute capability; it needs no GPU, but
    Numba's CUDA compiler instead of the simulator."""
    known = argument_types(kernel)
    result = {}
    for key, function in define(source, "ptx").items():
        signature = tuple([known[name] for name in inspect.signature(function).parameters])
        result[key], _ = cuda.compile_ptx(function, signature, cc=capability)
    return result


def argument_types(kernel: loop_nest.LoopNest) -> dict[str, types.Type]:
    """Numba's type of every argument by name (see target_cuda.py)."""
    found: dict[str, types.Type] = {"hi": types.int64}
    loads = [e.access for e in kernel.body if isinstance(e, loop_nest.Load)]
    for access in [*loads, *kernel.written()]:
        found[f"p{access.slot}"] = _array(access.code)
        found[f"s{access.slot}"] = types.int64
    for k, slot in enumerate(kernel.slots):
        if isinstance(slot, loop_nest.Integer):
            found[f"n{k}"] = types.int64
        elif isinstance(slot, loop_nest.Number):
            found[f"c{k}"] = from_dtype(BY_CODE[slot.code].np)
    for k, r in enumerate(kernel.reductions):
        found[f"w{k}"] = _array(r.code)
    return found


def _array(code: str) -> types.Type:
    return types.Array(from_dtype(BY_CODE[code].np), 1, "C")


def _make(source: str) -> CudaKernel:
    start = time.perf_counter()
    name = "jitgrad_" + hashlib.sha256(source.encode()).hexdigest()[:24]
    stages = []
    for key, function in define(source, name).items():
        function.__name__ = f"{name}_{key}"
        parameters = tuple(inspect.signature(function).parameters)
        compiled = cuda.jit(_quiet(function) if SIMULATED else function)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Grid size")      # of less than a whole GPU
            stages.append(CudaFunction(compiled[1 if key.startswith("combine") else GRID, BLOCK], parameters))
    seconds = time.perf_counter() - start
    stats.kernels_compiled += 1
    logger.info("prepared %s for CUDA", name)
    return CudaKernel(name, source, tuple(stages), seconds)


class SimulatedCuda:
    """`cuda` for simulated kernels: Numba's, apart from shared memory, which Numba's simulator gives out without a lock,
    so that two threads of a block now and then get two different arrays.  Since blocks, and launches, run one after
    the other, one array for each line of the source is enough."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        namespace["numba_cuda"] = cuda      # the simulator puts its own there while a kernel runs
        self._namespace = namespace
        self._arrays: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._namespace["numba_cuda"], name)

    @property
    def shared(self) -> SimulatedCuda:
        """What has the method `array`."""
        return self

    def array(self, size: int, dtype: type) -> np.ndarray:
        """The array of the line that calls."""
        line = sys._getframe(1).f_lineno
        with self._lock:
            if line not in self._arrays:
                self._arrays[line] = np.empty(size, dtype)
            return self._arrays[line]


def _quiet(function: Callable[..., None]) -> Callable[..., None]:
    """The function without NumPy's warnings, which every simulated thread, being new, would have to switch off."""
    def quiet(*arguments: Any) -> None:
        with np.errstate(all="ignore"):
            function(*arguments)
    # The simulator changes the globals of what it runs, so they must be the kernel's.
    return FunctionType(quiet.__code__, function.__globals__, quiet.__name__, closure=quiet.__closure__)


@contextmanager
def _running() -> Iterator[None]:
    if not SIMULATED:
        yield
        return
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with _lock:
            yield
    finally:
        sys.setswitchinterval(before)
