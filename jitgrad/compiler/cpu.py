"""Kernels for the CPU: from source text to something to call.

Input: the source of one `kernel(lo, hi, args)` over the vocabulary (intrinsics.py).  Output: a `Kernel`.  Invariant: one
source text is compiled at most once in a process, and not at all if the disk cache has it for this machine and these
versions.
"""
from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

from jitgrad.compiler import objectcode
from jitgrad.config import logger

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


@dataclass
class Stats:
    """Counters of this process."""

    kernels_compiled: int = 0
    disk_hits: int = 0
    object_bytes: int = 0
    compile_seconds: float = 0.0


class Kernel:
    """Machine code.  `kernel(lo, hi, block)` runs it for lo <= i < hi without the GIL; `block` is the address of its arguments.

    name: its symbol, unique by the hash of the source.  origin: "compiled" or "disk".  seconds: what it took to get it.
    """

    __slots__ = ("name", "source", "address", "origin", "seconds", "call")

    def __init__(self, name: str, source: str, address: int, origin: str, seconds: float) -> None:
        self.name = name
        self.source = source
        self.address = address
        self.origin = origin
        self.seconds = seconds
        self.call = _PROTOTYPE(address)

    def __call__(self, lo: int, hi: int, block: int) -> None:
        self.call(lo, hi, block)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} from {self.origin}>"

    def llvm(self) -> str:
        """The optimised LLVM IR (compiled again, for inspection)."""
        from jitgrad.compiler.frontend import lower
        return objectcode.inspect(lower(self.source, self.name))[0]

    def assembly(self) -> str:
        """The machine code as text (compiled again, for inspection)."""
        from jitgrad.compiler.frontend import lower
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


def _make(source: str) -> Kernel:
    start = time.perf_counter()
    name = "jitgrad_" + hashlib.sha256(source.encode()).hexdigest()[:24]
    from jitgrad.compiler.frontend import lower
    data = objectcode.emit(lower(source, name))
    seconds = time.perf_counter() - start
    stats.kernels_compiled += 1
    stats.object_bytes += len(data)
    stats.compile_seconds += seconds
    logger.info("compiled %s in %.0f ms", name, 1000 * seconds)
    return Kernel(name, source, objectcode.load(data, name), "compiled", seconds)
