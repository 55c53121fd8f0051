"""Whether there is memory for LLVM, which ends the process where it gets none.

Looked at before LLVM is loaded, generates code or maps it, and only where the address space of the process is limited (RLIMIT_AS,
`ulimit -v`): there an allocation fails, elsewhere the system ends processes as it likes.
"""
from __future__ import annotations

import sys

try:
    import resource
except ImportError:         # Windows, which has no such limit
    resource = None

MIB = 1 << 20
LIBRARY = 256 * MIB         # to load LLVM: the library takes 170
NUMBA = 64 * MIB            # to load Numba besides
GENERATE = 24 * MIB         # to generate code, and so much for each character of a module (measured: 6 MiB and 250 bytes)
EACH_CHARACTER = 512
MAP = 16 * MIB              # to map code, without its size


def require(size: int, what: str) -> None:
    """Raise MemoryError unless the process may have so many bytes more.  what: they are for, to end a sentence."""
    if resource is None:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    try:
        with open("/proc/self/statm") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:         # where there is no such file, the limit is not kept either (macOS)
        return
    if present + size > limit:
        raise MemoryError(f"not enough memory to {what}: the address space of this process is limited to {limit // MIB} MiB "
                          f"(RLIMIT_AS, ulimit -v), of which {max(limit - present, 0) // MIB} MiB are left; it takes {size // MIB} "
                          "MiB. Raise the limit, or call jitgrad.interpret() to compute without compiling")


def require_library() -> None:
    """The same for loading LLVM, if it is not yet there."""
    if "llvmlite.binding" not in sys.modules:
        require(LIBRARY, "load the compiler")
