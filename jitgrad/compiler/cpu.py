"""Kernels for the CPU: from source text to something to call.

Input: the source of one `kernel(lo, hi, args)` over the vocabulary (vocabulary.py).  Output: a `Kernel`.  Invariant:
one source text is compiled at most once in a process, and not at all if the disk cache has it for this machine and
these versions.  Numba is not imported: the text is translated to LLVM IR directly (translate.py).
"""
from __future__ import annotations

import ctypes
import hashlib
import platform
import threading
import time
from dataclasses import dataclass
from functools import cache as memoize
from pathlib import Path

import llvmlite

from jitgrad.compiler import cache, objectcode
from jitgrad.config import logger
from jitgrad.version import __version__

PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
# The files that decide what code a source text becomes.
_GENERATORS = ("vocabulary.py", "irvalue.py", "scalarmath.py", "vecmath/*.py", "loops.py", "translate.py", "objectcode.py")


@dataclass
class Stats:
    """Counters of this process."""

    kernels_compiled: int = 0
    disk_hits: int = 0
    object_bytes: int = 0
    compile_seconds: float = 0.0


class Kernel:
    """Machine code.  `kernel(lo, hi, block)` runs it for lo <= i < hi, without the GIL; `block` is the address of its
    arguments.

    name: its symbol, unique by the hash of the source.  origin: "compiled" or "disk".  seconds: what it took to get it.
    call: the same function without a Python frame around it.  Machine code stays until the process ends.
    """

    __slots__ = ("name", "source", "address", "origin", "seconds", "call", "bytes")

    def __init__(self, name: str, source: str, address: int, origin: str, seconds: float, size: int) -> None:
        self.name = name
        self.source = source
        self.address = address
        self.origin = origin
        self.seconds = seconds
        self.call = PROTOTYPE(address)
        self.bytes = size       # of the object code

    def __call__(self, lo: int, hi: int, block: int) -> None:
        self.call(lo, hi, block)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} ({self.origin})>"

    def llvm(self) -> str:
        """The optimised LLVM IR (compiled again, for inspection)."""
        from jitgrad.compiler.translate import lower
        return objectcode.inspect(lower(self.source, self.name))[0]

    def assembly(self) -> str:
        """The machine code as text (compiled again, for inspection)."""
        from jitgrad.compiler.translate import lower
        return objectcode.inspect(lower(self.source, self.name))[1]


stats = Stats()
_kernels: dict[str, Kernel] = {}
_lock = threading.RLock()


def get_kernel(source: str) -> Kernel:
    """The kernel of a source text: from memory, else from disk, else compiled now.

    Safe from several threads.  Raises InternalError when the source is not within the vocabulary."""
    kernel = _kernels.get(source)
    if kernel is not None:
        return kernel
    with _lock:
        kernel = _kernels.get(source)
        if kernel is None:
            kernel = _kernels[source] = _make(source)
        return kernel


def forget() -> None:
    """Drop all kernels of this process (those in use stay valid) and reset the counters; the disk is left alone."""
    with _lock:
        _kernels.clear()
        for name, value in vars(Stats()).items():
            setattr(stats, name, value)


@memoize
def fingerprint() -> str:
    """All that object code depends on besides its source; computed without importing what makes it."""
    here = Path(__file__).parent
    parts = [objectcode.target_name(), __version__, platform.python_version(), platform.python_implementation(),
             llvmlite.__version__,
             *[hashlib.sha256(file.read_bytes()).hexdigest() for pattern in _GENERATORS
               for file in sorted(here.glob(pattern))]]
    return cache.key(*parts)


def _make(source: str) -> Kernel:
    start = time.perf_counter()
    name = "jitgrad_" + hashlib.sha256(source.encode()).hexdigest()[:24]
    key = cache.key(source, fingerprint())
    data = cache.load(key)
    if data is not None:
        address = objectcode.load(data, name)
        stats.disk_hits += 1
        stats.object_bytes += len(data)
        return Kernel(name, source, address, "disk", time.perf_counter() - start, len(data))
    from jitgrad.compiler.translate import lower
    data = objectcode.emit(lower(source, name))
    address = objectcode.load(data, name)
    stats.object_bytes += len(data)
    cache.save(key, data, source)
    seconds = time.perf_counter() - start
    stats.kernels_compiled += 1
    stats.compile_seconds += seconds
    logger.info("compiled %s in %.0f ms", name, 1000 * seconds)
    return Kernel(name, source, address, "compiled", seconds, len(data))
