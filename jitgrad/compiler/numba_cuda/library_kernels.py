"""Library steps that are kernels on a CUDA device: running sums and their kin, and whether positions are within bounds.

Input: a step and the lengths of one program.  Output: an object that a run calls with its memory; nobody waits.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jitgrad.compiler.codegen import target_cuda
from jitgrad.compiler.codegen.cuda import scans
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.gathers import CHECK
from jitgrad.compiler.ir.steps import Buffer, LibraryOperand, LibraryStep
from jitgrad.compiler.numba_cuda.device_calls import DeviceCall, Memory
from jitgrad.compiler.numba_cuda.loading import get_kernel, loaded
from jitgrad.memory.cuda import driver, flag, streams
from jitgrad.types.dtype import BY_NUMPY

Value = Callable[[Expr], int]


def library_step(step: LibraryStep, buffers: list[Buffer], value: Value) -> Check | Scanning | DeviceCall:
    """What does a step: a kernel where there is one, else a library."""
    if step.op is CHECK:
        return Check(step, buffers, value)
    if step.op.facts.scan is not None and all([_is_plain(o, value) for o in step.operands]):
        return Scanning(step, buffers, value)
    return DeviceCall(step, buffers, value)


def _is_plain(operand: LibraryOperand, value: Value) -> bool:
    """Whether an operand is all of a buffer, in row-major order, of a dtype that kernels know."""
    return operand.kind == "array" and operand.whole and value(operand.offset) == 0 and operand.dtype is not None and (
        BY_NUMPY[operand.dtype].in_kernels)


class Check:
    """Whether positions are within bounds: a kernel that looks at the extreme ones, and notes an error on the device."""

    def __init__(self, step: LibraryStep, buffers: list[Buffer], value: Value) -> None:
        low, high, index, donor = step.operands
        size, axis = value(donor.shape[step.params["axis"]]), step.params["axis"]
        least = 0 if step.params["along"] else -size
        self._empty = any([value(n) == 0 for n in index.shape])
        what = "gather or scatter" if least == 0 else "an index"
        text = f"index out of range for dimension {axis} with size {size}, in {what} on cuda:0"
        kernel = get_kernel(target_cuda.check_positions())
        [self._launch] = kernel.launches({})
        self._function = loaded(kernel)[self._launch.function.name]
        self._fixed = {"least": least, "n": size, "number": flag.number(text)}
        ends = zip((low, high), step.sources, strict=False)
        self._ends = [(source, value(o.offset) * buffers[source].dtype.itemsize) for o, source in ends]
        self.target = step.target

    def __str__(self) -> str:
        return "kernel: check_positions"

    def run(self, memory: Memory, given: Mapping[int, Any]) -> None:
        """Launch it; nobody waits."""
        if self._empty:
            return
        low, high = [memory[number].address + offset for number, offset in self._ends]
        arguments = self._launch.arguments({**self._fixed, "p0": low, "p1": high, "flag": flag.address()})
        driver.current().launch(self._function, self._launch.grid, self._launch.block, arguments, streams.current().handle)
        flag.may_be_set()


class Scanning:
    """A running sum, product or extreme along a dimension."""

    def __init__(self, step: LibraryStep, buffers: list[Buffer], value: Value) -> None:
        assert step.op.facts.scan is not None
        shape = tuple([value(n) for n in step.shape])
        codes = [BY_NUMPY[o.dtype].code for o in step.operands if o.dtype is not None]
        scan = step.op.facts.scan(BY_NUMPY[buffers[step.sources[0]].dtype], **step.params)
        dim = step.params["dim"]
        inner = math.prod(shape[dim + 1:])
        self._name = step.op.name
        self._empty = 0 in shape
        self._sources = step.sources
        self.target = step.target
        self._fixed = {"n": shape[dim], "inner": inner, "lines": math.prod(shape) // max(1, shape[dim])}
        kernel = get_kernel(scans.source(scan, dict(zip(step.op.arg_names, codes, strict=True)), last=inner == 1))
        functions = loaded(kernel)
        self._calls = [(functions[launch.function.name], launch) for launch in kernel.launches(self._fixed)]

    def __str__(self) -> str:
        return f"kernel: {self._name}"

    def run(self, memory: Memory, given: Mapping[int, Any]) -> None:
        """Launch it."""
        values = {f"p{k}": memory[number].address for k, number in enumerate((*self._sources, self.target))}
        if not self._empty:
            for function, launch in self._calls:
                arguments = launch.arguments({**self._fixed, **values, **launch.parts})
                driver.current().launch(function, launch.grid, launch.block, arguments, streams.current().handle)
