"""The choice between CPU and CUDA for a program.

A target is three functions; everything before them (differentiation, lowering, fusion, the kernel IR) is the same for all.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.steps import StepList
from jitgrad.compiler.program import Executable
from jitgrad.config import config


@dataclass(frozen=True)
class Target:
    """emit(kernel): its source.  get_kernel(source): what runs it.  plans(*program): what runs a program, given as the
    fields of a StepList.  phased: whether `emit` takes kernels with row loops."""

    emit: Callable[[LoopNest], str]
    get_kernel: Callable[[str], Any]
    plans: Callable[..., Executable]
    phased: bool


def chosen_target() -> Target:
    """The target that JITGRAD_TARGET names.  Raises RuntimeError for cuda where kernels are not to be simulated."""
    if config.target == "cuda":
        from jitgrad.compiler.codegen import target_cuda
        from jitgrad.compiler.numba_cuda import kernels as cuda
        from jitgrad.compiler.numba_cuda import simulated
        from jitgrad.compiler.numba_cuda.launches import Launches, check
        check()
        return Target(target_cuda.emit, lambda source: cuda.get_kernel(source, simulated.THREADS, simulated.BLOCKS),
                      lambda *program: Launches(StepList(*program)), phased=True)
    from jitgrad.compiler.codegen import emit
    from jitgrad.compiler.numba_cpu import kernels
    from jitgrad.compiler.runtime.plans import Plans
    return Target(emit.emit, kernels.get_kernel, lambda *program: Plans(StepList(*program)), phased=True)
