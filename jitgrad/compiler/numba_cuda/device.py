"""From the text of a kernel to machine code for a GPU: numba-cuda makes PTX of each function, nvJitLink one cubin of all.

Input: the source of a kernel (codegen/target_cuda.py).  Output: a cubin, and what ptxas says of it.  It needs no GPU.
Invariant: products and sums are rounded one by one (`fma` off), so that a GPU computes the CPU's bits; float32 stays float32.

What this takes of numba-cuda's internals: `compile_cuda` and two functions around it, as `numba.cuda.compile` has no such option.
"""
from __future__ import annotations

import hashlib
import inspect
import linecache
import math
import re
import threading
from functools import cache, lru_cache
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


def ptx(source: str, name: str, capability: tuple[int, int]) -> dict[str, str]:
    """The assembly of each function, whose symbol there is NAME_FUNCTION.  Raises InternalError where the source is not within the
    language."""
    with _lock:
        functions = {text.partition("(")[0].removeprefix("def "): text for text in re.split(r"(?m)^(?=def )", source) if text}
        return {key: _compiled(_numbered(text), capability).replace(_NAME, f"{name}_{key}")
                for key, text in functions.items() if not key.endswith("_lengths")}


_NAME = "jitgrad_function"


def _numbered(text: str) -> str:
    """The function under one name, its variables and shared arrays numbered as they come: that which combines partial sums, for
    one, is the same in many kernels."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        letter, word = match[1], match[0]
        if word not in found:
            found[word] = f"{letter}{counts.get(letter, 0)}"
            counts[letter] = counts.get(letter, 0) + 1
        return found[word]

    def shared(match: re.Match[str]) -> str:
        return f"{match[1]}{arrays.setdefault(match[2], len(arrays))}"

    arrays: dict[str, int] = {}
    text = re.sub(r"^def \w+", f"def {_NAME}", text.strip())
    text = re.sub(r"\b(?!(?:f4|f8|i4|i8|b1)\b)([a-z])\d+\b", number, text)
    return re.sub(r"\b(ke(?:ep|pt)_\w\w\()(\d+)", shared, text) + "\n"


@lru_cache(1024)
def _compiled(text: str, capability: tuple[int, int]) -> str:
    from numba import types
    from numba.core.errors import NumbaError
    from numba.cuda.compiler import compile_cuda, kernel_fixup  # type: ignore[attr-defined]
    from numba.cuda.core.errors import NumbaError as CudaError  # type: ignore[import-not-found]
    from numba.cuda.cudadrv.nvvm import set_launch_bounds  # type: ignore[attr-defined]

    from jitgrad.compiler.numba_cpu.numba_types import TYPES
    filename = f"<jitgrad {hashlib.sha256(text.encode()).hexdigest()[:24]}>"
    # Numba shows lines of the source in its errors; this text is in no file.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(_vocabulary())
    exec(compile(text, filename, "exec", dont_inherit=True), namespace)
    function = namespace[_NAME]
    codes = [p.annotation if isinstance(p.annotation, str) else "i8" for p in inspect.signature(function).parameters.values()]
    function.__annotations__.clear()
    try:
        made = compile_cuda(function, types.void, tuple([TYPES[code] for code in codes]), cc=capability,
                            nvvm_options={"opt": 3, "fma": 0})
    except (NumbaError, CudaError) as error:
        raise InternalError(f"a generated kernel is not right: {error}\n--- source ---\n{text}") from error
    entry = made.library.get_function(made.fndesc.llvm_func_name)
    made.library._entry_name = made.fndesc.llvm_func_name
    kernel_fixup(entry, False)
    set_launch_bounds(entry, THREADS)
    [assembly] = made.library.get_asm_strs(cc=capability)
    [mangled] = re.findall(r"\.entry (\w+)\(", assembly)
    # A global that Numba makes for what kernels do not have is named by a counter: the same source is to be the same code.
    return re.sub(r"(?m)^\.common .*NumbaEnv.*\n", "", assembly).replace(mangled, _NAME)


def image(source: str, name: str, capability: tuple[int, int]) -> Image:
    """One cubin of all functions."""
    from cuda.core import Linker, LinkerOptions, ObjectCode  # type: ignore[import-not-found]
    assembly = ptx(source, name, capability)
    parts = [ObjectCode.from_ptx(text.encode(), name=key) for key, text in assembly.items()]
    linker = Linker(*parts, options=LinkerOptions(arch="sm_{}{}".format(*capability), ptxas_options=["-v"]))
    code = linker.link("cubin").code
    return Image(bytes(code), linker.get_info_log(), assembly)
