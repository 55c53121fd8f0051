"""From a kernel's source text to LLVM IR, through Numba's typing and lowering.

The one file that uses Numba's private interface: `compile_extra` with a code library of our own, so that the IR can be taken
before Numba optimises it.  Loop annotations are added (loops.py) and LLVM runs once, ours (objectcode.py); Numba's
own pipeline would run twice, link its runtime in and keep the module in its own JIT.

Sample of the output for `kernel(lo, hi, args)`, before optimisation:

    define internal i32 @"_ZN...kernel..."(ptr %retptr, ptr %excinfo, i64 %arg.lo, i64 %arg.hi, i64 %arg.args) alwaysinline {...}
    define void @"jitgrad_0123456789abcdef"(i64 %lo, i64 %hi, i64 %args) { ... call ... ret void }
"""
from __future__ import annotations

import linecache
import logging
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import codegen, compiler, registry
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError

from jitgrad.compiler import intrinsics
from jitgrad.compiler.loops import annotate_loops
from jitgrad.errors import InternalError

_SIGNATURE = (types.int64, types.int64, types.int64)
logger = logging.getLogger("jitgrad.compiler")


class _Collector(codegen.CPUCodeLibrary):
    """A code library that keeps the modules it is given and does nothing with them."""

    def __init__(self, owner: codegen.CPUCodegen, name: str) -> None:
        super().__init__(owner, name)
        self.modules: list[ir.Module] = []

    def add_ir_module(self, ir_module: ir.Module) -> None:
        self.modules.append(ir_module)

    def add_linking_library(self, library: codegen.CodeLibrary) -> None:
        """Numba links its run-time library to everything.  A kernel that really called into another library would be
        refused by objectcode.emit, for the symbol that stays undefined."""

    def _finalize_specific(self) -> None:
        raise AssertionError("a collector is never finalised")


def define(source: str, name: str) -> Callable[[int, int, int], None]:
    """Execute the source of a kernel over the vocabulary and return its Python function (not to be called)."""
    filename = f"<jitgrad {name}>"
    # Numba shows lines of the source in its errors; the text is not in a file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(intrinsics.VOCABULARY)
    exec(compile(source, filename, "exec"), namespace)
    return namespace["kernel"]


def lower(source: str, name: str) -> str:
    """LLVM IR text that defines `void name(int64 lo, int64 hi, int64 args)`, not optimised.

    Raises InternalError, with Numba's message and the source, when the source is not within the vocabulary."""
    flags = compiler.Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.nrt = False
    flags.error_model = "numpy"
    flags.boundscheck = False
    function = define(source, name)
    target = registry.cpu_target
    with global_compiler_lock:
        target.typing_context.refresh()
        target.target_context.refresh()
        library = _Collector(target.target_context.codegen(), name)
        try:
            result = compiler.compile_extra(target.typing_context, target.target_context, function, _SIGNATURE, types.void,
                                            flags, {}, library=library)
        except NumbaError as error:
            raise InternalError(f"Numba refused a generated kernel: {error}\n--- source ---\n{source}") from error
        [module] = library.modules
        _add_entry(module, target.target_context, result.fndesc, name)
        annotate_loops(module)
        return str(module)


def _add_entry(module: ir.Module, context: Any, descriptor: Any, name: str) -> None:
    """Give the module one exported function, with the C calling convention, and make all else its own."""
    inner = module.get_global(descriptor.mangled_name)
    int64 = ir.IntType(64)
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [int64] * 3), name)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    context.call_conv.call_function(builder, inner, types.void, _SIGNATURE, list(entry.args))
    builder.ret_void()
    inner.linkage = "internal"
    inner.attributes.add("alwaysinline")
    for value in module.global_values:
        # Numba's "environment" of a function, which compiled code without Python objects never reads.
        if isinstance(value, ir.GlobalVariable) and value.linkage == "common":
            value.linkage = "internal"
