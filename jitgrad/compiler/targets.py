"""The choice between CPU and CUDA for a program, by the device of its arrays.

A target is three functions; everything before them (differentiation, lowering, fusion, the kernel IR) is the same for all.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.compiler.ir.loop_nest import LoopNest
from jitgrad.compiler.ir.steps import KernelInfo, KernelStep, StepList
from jitgrad.compiler.program import Executable, Program


@dataclass(frozen=True)
class Target:
    """emit(kernel): its source.  get_kernel(source): what runs it.  plans(*program): what runs a program, given as the
    fields of a StepList.  phased: whether `emit` takes kernels with row loops."""

    emit: Callable[[LoopNest], str]
    get_kernel: Callable[[str], Any]
    plans: Callable[..., Executable]
    phased: bool

    def program(self, found: StepList, small: str = "", lines: Sequence[Any] | None = None) -> Program:
        """The program of steps, with its kernels.

        small: see Program.  lines: what the user's lines are for which numbers stand in the steps; None: they are there."""
        infos: dict[int, KernelInfo] = {}
        for step in found.steps:
            if isinstance(step, KernelStep):
                step.function = self.get_kernel(step.info.source)
                step.info.origin = step.function.origin
                step.info.compilation = str(step.function.compilation)
                infos[id(step.info)] = step.info
        for info in infos.values() if lines is not None else ():
            info.ops = [(name, None if number is None else lines[number]) for name, number in info.ops]     # type: ignore[index]
        return Program(found.steps, found.buffers, found.outputs,
                       self.plans(found.steps, found.buffers, found.outputs, found.sources), small)


def _emit(kernel: LoopNest) -> str:
    from jitgrad.compiler.codegen import emit  # which a process that finds all on disk does not need
    return emit.emit(kernel)


def target_of(device: str) -> Target:
    """What compiles and runs programs on a device, as array types have it."""
    if device != "cpu":
        from jitgrad.compiler.codegen import target_cuda
        from jitgrad.compiler.numba_cuda.launches import Launches
        from jitgrad.compiler.numba_cuda.loading import get_kernel
        return Target(target_cuda.emit, get_kernel, lambda *program: Launches(StepList(*program)), phased=True)
    from jitgrad.compiler.numba_cpu import kernels
    from jitgrad.compiler.runtime.plans import Plans
    return Target(_emit, kernels.get_kernel, lambda *program: Plans(StepList(*program)), phased=True)
