"""The choice between CPU and CUDA for a program, by the device of its arrays.

A target is three functions; everything before them (differentiation, lowering, fusion, the kernel IR) is the same for all.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.steps import StepList
from jitgrad.compiler.program import Executable


@dataclass(frozen=True)
class Target:
    """emit(kernel): its source.  get_kernel(source): what runs it.  plans(*program): what runs a program, given as the
    fields of a StepList.  phased: whether `emit` takes kernels with row loops."""

    emit: Callable[[LoopNest], str]
    get_kernel: Callable[[str], Any]
    plans: Callable[..., Executable]
    phased: bool


def target_of(device: str) -> Target:
    """What compiles and runs programs on a device, as array types have it."""
    if device != "cpu":
        from jitgrad.compiler.codegen import target_cuda
        from jitgrad.compiler.numba_cuda.launches import Launches
        from jitgrad.compiler.numba_cuda.loading import get_kernel
        return Target(target_cuda.emit, get_kernel, lambda *program: Launches(StepList(*program)), phased=True)
    from jitgrad.compiler.codegen import emit
    from jitgrad.compiler.numba_cpu import kernels
    from jitgrad.compiler.runtime.plans import Plans
    return Target(emit.emit, kernels.get_kernel, lambda *program: Plans(StepList(*program)), phased=True)
