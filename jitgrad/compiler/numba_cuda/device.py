"""From the text of a kernel to machine code for a GPU: numba-cuda makes PTX of each function, nvJitLink one cubin of all.

Input: the source of a kernel (codegen/target_cuda.py).  Output: a cubin, and what ptxas says of it.  It needs no GPU.
Invariant: products and sums are rounded one by one (`fma` off), so that a GPU computes the CPU's bits; float32 stays float32.

What this takes of numba-cuda's internals: `compile_cuda` and two functions around it, as `numba.cuda.compile` has no such option.
"""
from __future__ import annotations

import inspect
import linecache
import math
import re
import threading
from collections.abc import Callable
from functools import cache
from importlib.machinery import PathFinder
from typing import Any, NamedTuple

from jitgrad.compiler.numba_cuda.shapes import THREADS
from jitgrad.compiler.numba_cuda.vocabulary import OPERATIONS
from jitgrad.errors import InternalError

_lock = threading.RLock()


class Image(NamedTuple):
    """cubin: for a capability; log: of each function its registers, stack and spills, by ptxas; assembly: of each function."""

    cubin: bytes
    log: str
    assembly: dict[str, str]

    def registers(self) -> list[int]:
        """Of a thread, for each function."""
        return [int(n) for n in re.findall(r"Used (\d+) registers", self.log)]

    def spilled(self) -> int:
        """Bytes that did not fit into registers."""
        return sum([int(n) for n in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", self.log)])


def require() -> None:
    """Raise ImportError where there is nothing to compile with."""
    if PathFinder.find_spec("numba_cuda") is None:
        raise ImportError("CUDA kernels are compiled with numba-cuda, which is not installed: pip install 'jitgrad[cuda]'")


@cache
def _vocabulary() -> dict[str, Any]:
    require()
    from numba.cuda.extending import intrinsic  # type: ignore[attr-defined]

    from jitgrad.compiler.numba_cpu.intrinsics import as_intrinsic
    return {"inf": math.inf, "nan": math.nan,
            **{name: as_intrinsic(name, operation, intrinsic) for name, operation in OPERATIONS.items()}}


def define(source: str, name: str) -> dict[str, Callable[..., Any]]:
    """The functions of a source by name, twins included, not compiled."""
    filename = f"<jitgrad {name}>"
    # Numba shows lines of the source in its errors; this text is in no file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    known = _vocabulary()
    namespace: dict[str, Any] = dict(known)
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    return {key: value for key, value in namespace.items() if key not in known and inspect.isfunction(value)}


def ptx(source: str, name: str, capability: tuple[int, int]) -> dict[str, str]:
    """The assembly of each function, whose symbol there is NAME_FUNCTION.  Raises InternalError where the source is not within the
    language."""
    with _lock:
        functions = define(source, name)
        return {key: _compiled(function, f"{name}_{key}", capability, source)
                for key, function in functions.items() if not key.endswith("_lengths")}


def _compiled(function: Callable[..., Any], symbol: str, capability: tuple[int, int], source: str) -> str:
    from numba import types
    from numba.core.errors import NumbaError
    from numba.cuda.compiler import compile_cuda, kernel_fixup  # type: ignore[attr-defined]
    from numba.cuda.core.errors import NumbaError as CudaError  # type: ignore[import-not-found]
    from numba.cuda.cudadrv.nvvm import set_launch_bounds  # type: ignore[attr-defined]

    from jitgrad.compiler.numba_cpu.numba_types import TYPES
    codes = [p.annotation if isinstance(p.annotation, str) else "i8" for p in inspect.signature(function).parameters.values()]
    function.__annotations__.clear()
    try:
        made = compile_cuda(function, types.void, tuple([TYPES[code] for code in codes]), cc=capability,
                            nvvm_options={"opt": 3, "fma": 0})
    except (NumbaError, CudaError) as error:
        raise InternalError(f"a generated kernel is not right: {error}\n--- source ---\n{source}") from error
    entry = made.library.get_function(made.fndesc.llvm_func_name)
    made.library._entry_name = made.fndesc.llvm_func_name
    kernel_fixup(entry, False)
    set_launch_bounds(entry, THREADS)
    [text] = made.library.get_asm_strs(cc=capability)
    [mangled] = re.findall(r"\.entry (\w+)\(", text)
    # A global that Numba makes for what kernels do not have is named by a counter: the same source is to be the same code.
    return re.sub(r"(?m)^\.common .*NumbaEnv.*\n", "", text).replace(mangled, symbol)


def image(source: str, name: str, capability: tuple[int, int]) -> Image:
    """One cubin of all functions."""
    from cuda.core import Linker, LinkerOptions, ObjectCode  # type: ignore[import-not-found]
    assembly = ptx(source, name, capability)
    parts = [ObjectCode.from_ptx(text.encode(), name=key) for key, text in assembly.items()]
    linker = Linker(*parts, options=LinkerOptions(arch="sm_{}{}".format(*capability), ptxas_options=["-v"]))
    code = linker.link("cubin").code
    return Image(bytes(code), linker.get_info_log(), assembly)
