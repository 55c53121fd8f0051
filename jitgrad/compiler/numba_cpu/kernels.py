"""Kernels for the CPU: from source text to something to call, by Numba.

Input: the source of one `kernel(lo, hi, args)` over the vocabulary (vocabulary/).  Output: a `Kernel`.  Invariant:
one source text is compiled at most once in a process, and not at all if the disk cache has it for this machine and
these versions: then Numba is not even imported.
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import threading
import time
from collections.abc import Callable
from functools import cache as memoize
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from jitgrad.compiler.numba_cpu import cache, headroom, objectcode
from jitgrad.config import logger
from jitgrad.memory.threads import building

PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
# The files that decide what code a source text becomes, besides objectcode.py.
_GENERATORS = ("kernels.py", "pipeline.py", "plain.py", "numba_types.py", "intrinsics.py", "vocabulary/*.py", "vocabulary/vecmath/*.py")


class KernelCounters:
    """Counters of this process."""

    def __init__(self) -> None:
        self.kernels_compiled = 0
        self.disk_hits = 0


OWN, PLAIN = "jitgrad's pipeline", "numba.cfunc"


class Compilation(NamedTuple):
    """How a kernel was compiled; kept with its object code.

    numba: the version.  pipeline: OWN (pipeline.py) or PLAIN (plain.py).  seconds: what it took, LLVM included."""

    numba: str
    pipeline: str
    seconds: float

    def __str__(self) -> str:
        return f"by Numba {self.numba} ({self.pipeline}) in {1000 * self.seconds:.0f} ms"


class Kernel:
    """Machine code.  `kernel(lo, hi, block)` runs it for lo <= i < hi, without the GIL; `block` is the address of its
    arguments.

    name: its symbol, unique by the hash of the source.  origin: "compiled" or "disk".  seconds: what it took to get it.
    call: the same function without a Python frame around it.  Machine code stays until the process ends."""

    __slots__ = ("name", "source", "address", "origin", "compilation", "seconds", "call", "bytes")

    def __init__(self, name: str, source: str, data: bytes, origin: str, compilation: Compilation, start: float) -> None:
        self.name = name
        self.source = source
        self.address = objectcode.load(data, name)
        self.origin = origin
        self.compilation = compilation
        self.seconds = time.perf_counter() - start
        self.call = PROTOTYPE(self.address)
        self.bytes = len(data)      # of the object code

    def __call__(self, lo: int, hi: int, block: int) -> None:
        self.call(lo, hi, block)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} ({self.origin}; compiled {self.compilation})>"

    def inspect_llvm(self) -> str:
        """The optimised LLVM IR (compiled again, for inspection)."""
        return objectcode.inspect(_lower(self.source, self.name))[0]

    def inspect_asm(self) -> str:
        """The machine code as text (compiled again, for inspection)."""
        return objectcode.inspect(_lower(self.source, self.name))[1]


stats = KernelCounters()
_kernels: dict[str, Kernel] = {}


def get_kernel(source: str) -> Kernel:
    """The kernel of a source text: from memory, else from disk, else compiled now.

    Safe from several threads.  Raises InternalError when the source is not within the vocabulary."""
    kernel = _kernels.get(source)
    if kernel is not None:
        return kernel
    with building:
        kernel = _kernels.get(source)
        if kernel is None:
            kernel = _kernels[source] = _make(source)
        return kernel


def forget() -> None:
    """Drop all kernels of this process (those in use stay valid) and reset the counters; the disk is left alone."""
    with building:
        _kernels.clear()
        stats.__init__()


def compilations() -> list[Compilation]:
    """Those of the kernels on disk."""
    heads = [unpack(cache.head(entry.name, len(_MARK) + 200)) for entry in cache.entries()]
    return [head[0] for head in heads if head is not None]


@memoize
def fingerprint() -> str:
    """All that a kernel's object code depends on besides its source; computed without importing what makes it."""
    here = Path(__file__).parent
    files = [file for pattern in _GENERATORS for file in sorted(here.glob(pattern))]
    numba = PathFinder.find_spec("numba")
    if numba is not None and numba.origin is not None:
        files += Path(numba.origin).parent.glob("_version.py")
    return cache.key(objectcode.fingerprint(), *[hashlib.sha256(file.read_bytes()).hexdigest() for file in files])


# What comes of internals that are missing, or are called otherwise.
_UNEXPECTED = (ImportError, AttributeError, TypeError, ValueError, LookupError, AssertionError, RuntimeError)


@memoize
def _pipeline() -> tuple[str, Callable[[str, str], str], str]:
    """How kernels are lowered: the name of the way, its function, Numba's version.

    Raises ImportError where there is no Numba that can be imported."""
    headroom.require(headroom.NUMBA, "load Numba")
    try:
        numba = _import_numba()
    except ImportError as error:
        raise ImportError(f"jitgrad compiles with Numba, which cannot be imported: {error}. Install a Numba that fits this Python and "
                          "NumPy, or compute without compiling inside `with jitgrad.interpret():`") from error
    error = _mismatch()
    if error is None:
        from jitgrad.compiler.numba_cpu import pipeline
        return OWN, pipeline.lower, numba.__version__
    if isinstance(error, RecursionError) or _mismatch() is None:
        raise error             # it was not Numba's, but what a signal handler raised, for one
    logger.warning("kernels are compiled by numba.cfunc, which takes twice the time: Numba %s is not as jitgrad expects it (%s: %s)",
                   numba.__version__, type(error).__name__, str(error).partition("\n")[0])
    from jitgrad.compiler.numba_cpu import plain
    return PLAIN, plain.lower, numba.__version__


def _mismatch() -> Exception | None:
    """What shows that Numba's internals are not as pipeline.py expects them."""
    try:
        from jitgrad.compiler.numba_cpu import pipeline
        pipeline.probe()
        return None
    except _UNEXPECTED as error:
        return error


def _import_numba() -> ModuleType:
    """Numba, imported in a thread of its own: signal handlers run in the main thread, and one that raised in the middle of it would
    leave modules of C half-made for good."""
    found: list[ModuleType | BaseException] = []

    def work() -> None:
        try:
            found.append(import_module("numba"))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _lower(source: str, name: str) -> str:
    return _pipeline()[1](source, name)


def _make(source: str) -> Kernel:
    start = time.perf_counter()
    name = "jitgrad_" + hashlib.sha256(source.encode()).hexdigest()[:24]
    key = cache.key(source, fingerprint())
    data = cache.load(key)
    kept = None if data is None else unpack(data)
    if kept is not None:
        compilation, data = kept
        kernel = Kernel(name, source, data, "disk", compilation, start)
        stats.disk_hits += 1
    else:
        pipeline, lower, numba = _pipeline()
        began = time.perf_counter()         # without Numba's import
        data = objectcode.emit(lower(source, name))
        compilation = Compilation(numba, pipeline, time.perf_counter() - began)
        kernel = Kernel(name, source, data, "compiled", compilation, start)
        cache.save(key, pack(compilation, data), source)
        stats.kernels_compiled += 1
        logger.info("compiled %s %s", name, compilation)
    return kernel


# -- what is kept on disk: a line about the compilation, then object code ------------------------------------------------

_MARK = b"kernel "


def pack(compilation: Compilation, data: bytes) -> bytes:
    """What is kept of object code."""
    return _MARK + json.dumps(compilation).encode() + b"\n" + data


def unpack(kept: bytes) -> tuple[Compilation, bytes] | None:
    """None of what is no such line and code (of another version of jitgrad, where somebody lists what is there)."""
    line, _, data = kept.partition(b"\n")
    try:
        return (Compilation(*json.loads(line[len(_MARK):])), data) if line.startswith(_MARK) and data else None
    except (ValueError, TypeError):
        return None
