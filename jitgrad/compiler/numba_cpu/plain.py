"""The same kernels by Numba's public interface alone: an `@intrinsic` for each operation, `numba.cfunc`, `inspect_llvm`.

Input and output: as those of pipeline.py, for versions of Numba whose internals that does not know; it takes twice the time.
The text that is returned has been optimised by Numba.
Invariant: the same bits as by pipeline.py, as the same formulas build the code, and the text says how loops are interleaved
(unless Numba's own settings choose another CPU, NUMBA_CPU_NAME for one: then sums are in the order of that one's vectors).
"""
from __future__ import annotations

import linecache
import math
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from jitgrad.compiler.numba_cpu.intrinsics import as_intrinsic
from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS
from jitgrad.errors import InternalError

_ARGUMENTS = "(i64, i64, i64)"
_ENTRY = """
declare {result} @"{wrapper}"(i64, i64, i64)
define void @"{name}"(i64 %lo, i64 %hi, i64 %args) nounwind {{
  call {result} @"{wrapper}"(i64 %lo, i64 %hi, i64 %args)
  ret void
}}
"""


VOCABULARY: dict[str, Any] = {"inf": math.inf, "nan": math.nan,
                              **{name: as_intrinsic(name, operation, intrinsic) for name, operation in OPERATIONS.items()}}


def lower(source: str, name: str) -> str:
    """LLVM IR text.  Raises InternalError where the source is not within the language."""
    filename = f"<jitgrad {name}>"
    # Numba shows lines of the source in its errors; this text is in no file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(source, filename, "exec"), namespace)
    try:
        kernel = numba.cfunc("void(int64, int64, int64)", error_model="numpy")(namespace["kernel"])
    except NumbaError as error:
        raise InternalError(f"a generated kernel is not right: {error}\n--- source ---\n{source}") from error
    return _renamed(kernel.inspect_llvm(), name)


def _renamed(text: str, name: str) -> str:
    """Numba's module, where the one function that C may call goes by `name` and all else is private."""
    module = llvm.parse_assembly(text)
    [(wrapper, type)] = [(f.name, str(f.global_value_type)) for f in module.functions
                         if not f.is_declaration and str(f.global_value_type).endswith(_ARGUMENTS)]
    module.link_in(llvm.parse_assembly(_ENTRY.format(wrapper=wrapper, name=name, result=type.removesuffix(_ARGUMENTS))))
    for value in [*module.functions, *module.global_variables]:
        if value.name != name and not value.is_declaration:
            value.linkage = "internal"
    return str(module)
