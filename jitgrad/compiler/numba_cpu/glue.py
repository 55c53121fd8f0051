"""Functions of the package's own LLVM IR (recording, driver), compiled once and kept on disk like kernels.

It computes nothing of a user's numbers; what does is a kernel, which Numba compiles (kernels.py).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from jitgrad.compiler.numba_cpu import cache, objectcode


def address(name: str, depends: Sequence[str | bytes], source: Callable[[], str] | None) -> int:
    """The address of the function `name` of a module; `depends`: what its text depends on.  source: None: 0 if it is not on disk."""
    key = cache.key(name, *depends, objectcode.fingerprint())
    data = cache.load(key)
    if data is None:
        if source is None:
            return 0
        text = source()
        data = objectcode.emit(text, objectcode.GLUE)
        cache.save(key, data, text)
    return objectcode.load(data, name)
