"""Object code: from LLVM IR to bytes that can be kept on disk, and from such bytes to the address of a function.

Imports llvmlite's binding alone: a process that finds its kernels on disk goes through `load` only.

Invariant: object code refers to nothing outside itself but the C library's functions in `RUNTIME` (LLVM ends the
process when it cannot resolve a symbol, so this is checked before an object is made, and again before one is loaded).
"""
from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import platform
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from jitgrad.compiler.numba_cpu import headroom
from jitgrad.errors import InternalError
from jitgrad.version import __version__

_DOUBLE = "fmod floor ceil trunc rint nearbyint fma fmax fmin sqrt".split()
# What generated code may call: where the machine has no instruction for it, C99 in both precisions (all else that is
# approximated is in vecmath), what LLVM's code generator adds by itself, and memory for copies of matrices (blas_calls.py).
RUNTIME = frozenset([*_DOUBLE, *[name + "f" for name in _DOUBLE], "memset", "memcpy", "memmove", "malloc", "free"])

# How the names of functions with vector variants begin.
LANES = "jitgrad.lanes."

_lock = threading.RLock()


KERNEL, GLUE = 3, 1     # levels of LLVM's code generator: for loops over arrays; for what mostly calls C functions


@cache
def _machine(level: int = KERNEL) -> llvm.TargetMachine:
    """The host's code generator, with the options that MCJIT wants (as Numba sets them)."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=host_features(), opt=level, reloc="static" if is_x86() else "default",
        codemodel="jitdefault", jit=True)


def is_x86() -> bool:
    """Whether the host is an x86 CPU."""
    return llvm.get_process_triple().startswith(("x86", "i386", "i686", "amd64"))


def target_data() -> llvm.TargetData:
    """Sizes and alignments of types on the host."""
    return _machine().target_data


@cache
def host_features() -> str:
    """The CPU's instruction set extensions, as one string in a fixed order; empty where LLVM cannot tell."""
    try:
        return llvm.get_host_cpu_features().flatten()
    except RuntimeError:
        return ""


@cache
def wide_vectors() -> bool:
    """Whether kernels are to use registers of 512 bits, which LLVM avoids by itself: the first CPUs to have them ran slower
    for a while after each use.  Those with VBMI2 (Ice Lake and later, Zen 4) do not: there a loop over formulas takes 0.84
    to 0.88 of the time it takes with 256 bits, and what memory bounds the same."""
    return {"+avx512f", "+avx512dq", "+avx512vl", "+avx512vbmi2"} <= {*host_features().split(",")}


@cache
def fingerprint() -> str:
    """What object code of one LLVM IR depends on."""
    return " ".join([llvm.get_process_triple(), llvm.get_host_cpu_name(), host_features(), __version__, llvmlite.__version__,
                     platform.python_implementation(), platform.python_version(),
                     hashlib.sha256(Path(__file__).read_bytes()).hexdigest()])


@cache
def _engine() -> llvm.ExecutionEngine:
    """One JIT for the process: it owns the memory of all loaded objects until exit."""
    empty = llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"')
    return llvm.create_mcjit_compiler(empty, _machine())


def _optimised(ir_text: str, level: int = KERNEL) -> llvm.ModuleRef:
    module = llvm.parse_assembly(ir_text)
    machine = _machine(level)
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_interleaving = True
    options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    if level == GLUE:       # all passes together take a second more, and the code is no quicker
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.run(module, builder)
    else:
        builder.getModulePassManager().run(module, builder)
        _inline_variants(module, builder)
    undefined = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if unknown := sorted(undefined - RUNTIME):
        raise InternalError(f"generated code calls {', '.join(unknown)}, which is not in objectcode.RUNTIME")
    return module


def _inline_variants(module: llvm.ModuleRef, builder: llvm.PassBuilder) -> None:
    """What the vectoriser called by its vector variant (vecmath/rare_arguments.py) is inlined; what it did not call is removed."""
    variants = [f for f in module.functions if f.name.startswith(LANES) and not f.is_declaration]
    if not variants:
        return
    for function in variants:
        function.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


def emit(ir_text: str, level: int = KERNEL) -> bytes:
    """Optimise a module for the host and return its object code.

    level: KERNEL or GLUE.  Raises InternalError when it calls a function that another process could not resolve, MemoryError where
    LLVM would end the process for want of memory."""
    headroom.require(headroom.GENERATE + headroom.EACH_CHARACTER * len(ir_text), "compile")
    with _lock:
        return _machine(level).emit_object(_optimised(ir_text, level))


def inspect(ir_text: str) -> tuple[str, str]:
    """The optimised IR and the assembly of a module, for people and tests."""
    headroom.require(headroom.GENERATE + headroom.EACH_CHARACTER * len(ir_text), "compile")
    with _lock:
        module = _optimised(ir_text)
        return str(module), _machine().emit_assembly(module)


def _c_libraries() -> Iterator[Any]:
    """Where C's functions are: first in what the process has loaded (to find libm by its name takes a process of its own)."""
    for find in (lambda: "ucrtbase", lambda: "msvcrt") if sys.platform == "win32" else (
            lambda: None, lambda: ctypes.util.find_library("m")):
        try:
            yield ctypes.CDLL(find())
        except OSError:
            continue


@cache
def _provide_runtime() -> None:
    """Make every function of RUNTIME known to LLVM, from the C library where LLVM does not see it in the process."""
    llvm.initialize_native_target()
    missing = [name for name in sorted(RUNTIME) if llvm.address_of_symbol(name) is None]
    if not missing:
        return
    for name in missing:
        for library in _c_libraries():
            function = getattr(library, name, None)
            if function is not None:
                llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
                break
        else:
            raise InternalError(f"the C library has no function {name}, which generated code may call")


def load(data: bytes, name: str) -> int:
    """Map object code into the process and return the address of its function `name`.

    The bytes are trusted: they must come from `emit`, in this process or through the checksummed cache.
    Raises InternalError when there is no such function in them, MemoryError as `emit` does."""
    headroom.require(headroom.MAP + len(data), "load compiled code")
    with _lock:
        _provide_runtime()
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        engine.finalize_object()
        address = engine.get_function_address(name)
    if not address:
        raise InternalError(f"object code of {len(data)} bytes does not define {name}")
    return address
