"""Running a program whose kernels are CUDA's.

Input: steps, buffers, outputs, and the captured dimensions that tell the lengths.  Output: the results of a run.
Invariant: as in plan.py, results are fresh arrays of the host.  A buffer is on the host, on the device, or, unchanged, on
both; kernels work on the device, library steps (NumPy) on the host, and a buffer moves when the other side asks for it.
"""
from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.compiler.ir.loop_nest import Integer, LoopNest, Number, Pointer
from jitgrad.compiler.ir.steps import Buffer, KernelStep, LibraryStep, StepList
from jitgrad.compiler.runtime.evaluator import Evaluator
from jitgrad.compiler.runtime.library_calls import LibraryCall
from jitgrad.graph.node import INPUT, SCALAR, Node
from jitgrad.memory import buffers
from jitgrad.memory.addresses import simulated as known
from jitgrad.ops.quiet import quiet
from jitgrad.types.dtype import BY_CODE


def check() -> None:
    """Raises RuntimeError where there is nothing to run CUDA kernels on."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        raise RuntimeError("JITGRAD_TARGET=cuda: programs are not run on a GPU yet. Set NUMBA_ENABLE_CUDASIM=1 before Python "
                           "starts to run the kernels in a simulator (slow), or JITGRAD_TARGET=cpu")


class Launches:
    """Runs a program on the device; nothing is kept from one run to the next."""

    def __init__(self, program: StepList) -> None:
        self._program = program

    def steps(self) -> StepList:
        """See program.Executable."""
        return self._program

    def bind(self, order: Sequence[Node]) -> _Bound:
        """See Program.bind."""
        return _Bound(self, order)

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        program = self._program
        value = Evaluator(program.sources, order)
        memory = Memory(program.buffers, order, value)
        results: list[np.ndarray | None] = []
        for output in program.outputs:
            if output is not None:
                memory.host[output.buffer] = buffers.empty(tuple([value(n) for n in output.shape]), output.dtype)
            results.append(None if output is None else memory.host[output.buffer])
        try:
            for step in program.steps:
                quiet.run(_launch if isinstance(step, KernelStep) else _call, step, memory, order, value)
            for output in program.outputs:
                if output is not None:
                    memory.on_host(output.buffer)
        finally:
            for number in list(memory.device):
                memory.written_on_host(number)
        return results


class _Bound:
    """A program with the lengths of one order, on values of other graphs of those lengths."""

    def __init__(self, launches: Launches, order: Sequence[Node]) -> None:
        self._launches = launches
        self._order = [Node(n.spec, (), False, 0, n.value) for n in order]
        self.positions = [k for k, n in enumerate(order) if n.op is INPUT or n.op is SCALAR]

    def fixing(self, numbers: Mapping[int, float | int]) -> _Bound:
        """See program.Bound: numbers are part of the order, anyway."""
        fixed = copy.copy(self)
        fixed._order = [Node(n.spec, (), False, 0, numbers[k]) if k in numbers else n for k, n in enumerate(self._order)]
        fixed.positions = [k for k in self.positions if k not in numbers]
        return fixed

    def run(self, values: list[Any]) -> list[np.ndarray | None]:
        """See program.Bound."""
        order = list(self._order)
        for k, value in zip(self.positions, values, strict=True):
            n = order[k]
            order[k] = Node(n.spec, (), False, 0, value)
        return self._launches.run(order)


class Memory:
    """The buffers of one run.  It is also the workspace that a LibraryCall asks for temporaries (library_calls.py).

    host: arrays by number, of any shape; device: flat arrays by number, in memory that the simulator knows.  stale: the device
    alone has what the buffer holds."""

    def __init__(self, bufs: list[Buffer], order: Sequence[Node], value: Evaluator) -> None:
        self.buffers = bufs
        self.value = value
        self.host: dict[int, np.ndarray] = {k: order[b.number].value for k, b in enumerate(bufs) if b.kind == "input"}
        self.device: dict[int, Any] = {}
        self.starts: dict[int, int] = {}
        self.addresses: dict[int, int] = {}
        self.stale: set[int] = set()
        self.views: dict[Any, np.ndarray] = {}

    def on_device(self, number: int) -> int:
        """The address of element 0 of the buffer on the device."""
        if number not in self.device:
            b = self.buffers[number]
            flat, self.starts[number] = flatten(self.host[number]) if number in self.host else \
                (np.empty(self.value(b.size), b.dtype), 0)
            self.device[number] = np.array(flat)
            self.addresses[number] = known.register(self.device[number])
        return self.addresses[number] + self.starts[number] * self.device[number].itemsize

    def on_host(self, number: int) -> np.ndarray:
        """The buffer as an array of the host."""
        if number not in self.host:
            b = self.buffers[number]
            self.host[number] = np.empty(self.value(b.size), b.dtype)
        if number in self.stale:
            self.stale.remove(number)
            self.host[number].reshape(-1)[...] = self.device[number]
        return self.host[number]

    def array(self, number: int, dtype: np.dtype, count: int) -> np.ndarray:
        """A temporary as a flat array of the host."""
        return self.on_host(number)

    def written_on_device(self, number: int) -> None:
        self.stale.add(number)

    def written_on_host(self, number: int) -> None:
        self.stale.discard(number)
        if number in self.device:
            del self.device[number]
            known.unregister(self.addresses.pop(number))


def _launch(step: KernelStep, memory: Memory, order: Sequence[Node], value: Evaluator) -> None:
    kernel = step.kernel
    arguments: dict[str, Any] = {"hi": value(step.outer)}
    used = {name for stage in step.function.stages for name in stage.parameters}
    for k, slot in enumerate(kernel.slots):
        if isinstance(slot, Integer):
            arguments[f"n{k}"] = value(slot.expr)
        elif isinstance(slot, Number):
            arguments[f"c{k}"] = BY_CODE[slot.code].np.type(order[slot.position].value)
        elif f"p{k}" in used:
            size = memory.buffers[slot.buffer].dtype.itemsize
            arguments[f"p{k}"] = memory.on_device(slot.buffer) + size * value(slot.offset)
    step.function.run_simulated(arguments)
    for number in _written(kernel):
        memory.written_on_device(number)


def _written(kernel: LoopNest) -> set[int]:
    """The buffers that a kernel writes."""
    slots = [kernel.slots[access.slot] for access in kernel.written()]
    return {s.buffer for s in slots if isinstance(s, Pointer)}


def _call(step: LibraryStep, memory: Memory, order: Sequence[Node], value: Evaluator) -> None:
    for number in [*step.sources, step.target]:
        if number >= 0 and memory.buffers[number].kind != "result" or number in memory.stale:
            memory.on_host(number)
    result = LibraryCall(step, memory.buffers, value).run(lambda position: order[position].value, memory, memory.host)
    if result is not None:
        memory.host[step.target] = result
    memory.written_on_host(step.target)


def flatten(array: np.ndarray) -> tuple[np.ndarray, int]:
    """All memory from the lowest to the highest element as one flat array, and the position of element 0 in it."""
    if array.flags.c_contiguous or not array.size:
        return array.reshape(-1), 0
    strides = [s // array.itemsize for s in array.strides]
    ends = [s * (n - 1) for s, n in zip(strides, array.shape, strict=True)]
    start = -sum([e for e in ends if e < 0])
    lowest = array[tuple([slice(None, None, -1) if s < 0 else slice(None) for s in strides])]
    count = sum([abs(e) for e in ends]) + 1
    return np.lib.stride_tricks.as_strided(lowest, (count,), (array.itemsize,), writeable=False), start
