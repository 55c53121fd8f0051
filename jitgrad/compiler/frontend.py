"""From a kernel's source text to LLVM IR, through Numba's typing and lowering.

The one file that uses Numba's internals: `compile_extra` with a code library of our own, so that the IR can be taken
before Numba optimises it.  Loop annotations are added (loops.py), and LLVM runs once (objectcode.py); Numba's own
pipeline would run it twice, link its run-time library in and keep the module in its own JIT.  Where a version of
Numba does not have these internals, importing this file fails, and cpu.py goes through the public `numba.cfunc`
instead.

Sample of the output for `kernel(lo, hi, args)`, before optimisation:

    define internal i32 @"_ZN...kernel..."(ptr %retptr, ptr %excinfo, i64 %lo, i64 %hi, i64 %args) alwaysinline { ... }
    define void @"jitgrad_0123456789abcdef"(i64 %lo, i64 %hi, i64 %args) { ... call ... ret void }
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import codegen, compiler, compiler_machinery, registry, typed_passes, untyped_passes
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError

from jitgrad.compiler import intrinsics
from jitgrad.compiler.loops import annotate_loops
from jitgrad.compiler.vecmath import lanes

_SIGNATURE = (types.int64, types.int64, types.int64)


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


class _Pipeline(compiler.CompilerBase):
    """Only the passes that straight kernels need: without rewrites, inlining and parallel loops, half the time."""

    def define_pipelines(self) -> list[compiler_machinery.PassManager]:
        manager = compiler_machinery.PassManager("jitgrad")
        for step in (untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, untyped_passes.IRProcessing,
                     untyped_passes.ReconstructSSA, typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis,
                     typed_passes.NativeLowering, typed_passes.NoPythonBackend):
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


def lower(source: str, name: str) -> str:
    """LLVM IR text that defines `void name(int64 lo, int64 hi, int64 args)`, not optimised.

    Raises InternalError, with Numba's message and the source, when the source is not within the vocabulary."""
    flags: Any = compiler.Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.nrt = False
    flags.error_model = "numpy"
    flags.boundscheck = False
    function = intrinsics.define(source, name)
    target: Any = registry.cpu_target
    pipeline: Any = _Pipeline
    with global_compiler_lock:
        target.typing_context.refresh()
        target.target_context.refresh()
        library = _Collector(target.target_context.codegen(), name)
        try:
            result = compiler.compile_extra(target.typing_context, target.target_context, function, _SIGNATURE,
                                            types.void, flags, {}, library=library, pipeline_class=pipeline)
        except NumbaError as error:
            raise intrinsics.refusal(error, source) from error
        [module] = library.modules
        _add_entry(module, target.target_context, result.fndesc, name)
        annotate_loops(module)
        lanes.expose(module)
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
