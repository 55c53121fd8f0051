"""Running a program on a CUDA device.

Input: steps, buffers, outputs, and the captured dimensions that tell the lengths.  Output: the results of a run, arrays of the device.
Invariant: results are fresh; nothing waits for the device, and nothing goes to the host but what `through_host` names.

For a set of lengths all that does not depend on values is worked out once (`_Bound`): sizes, launches, the order in which memory is
taken and given back.  A run takes memory from the pool, launches, and makes library calls on the arrays.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from jitgrad.compiler.ir.loop_nest import Integer, Number, Pointer
from jitgrad.compiler.ir.steps import Buffer, KernelStep, LibraryStep, StepList
from jitgrad.compiler.numba_cuda.device_calls import DeviceCall
from jitgrad.compiler.numba_cuda.library_kernels import Check, Scanning, library_step
from jitgrad.compiler.numba_cuda.loading import loaded
from jitgrad.compiler.runtime import workspace
from jitgrad.compiler.runtime.evaluator import Evaluator
from jitgrad.graph.node import Node
from jitgrad.memory.cuda import arrays, driver, streams
from jitgrad.memory.cuda.arrays import DeviceArray
from jitgrad.types.dtype import BY_CODE

MAX_BOUND = 64
_BYTE = np.dtype(np.uint8)


class Launches:
    """Runs a program on the device."""

    def __init__(self, program: StepList) -> None:
        self._program = program
        self._bound: dict[tuple, _Bound] = {}

    def steps(self) -> StepList:
        """See program.Executable."""
        return self._program

    def bind(self, order: Sequence[Node]) -> _Bound:
        """See Program.bind."""
        key = tuple([n.spec for n in order] + [n.value.strides for n in order if type(n.value) is np.ndarray])
        found = self._bound.get(key)
        if found is None:
            if len(self._bound) >= MAX_BOUND:
                self._bound.pop(next(iter(self._bound)), None)
            found = self._bound[key] = _Bound(self._program, order)
        return found

    def run(self, order: Sequence[Node]) -> list[Any]:
        """See Program.run."""
        bound = self.bind(order)
        return bound.run([order[k].value for k in bound.positions])


class _Launch(NamedTuple):
    """A kernel with what does not depend on values.

    elements: that it goes over.  calls: what is launched, in order: a function of the driver, the names of its arguments with what
    makes each of its type, grid and block.  fixed: numbers by name; pointers: by name a buffer, and the bytes from its start;
    numbers: by name the position of a run-time number; scratch: by name the bytes of partial results."""

    step: KernelStep
    elements: int
    calls: list[tuple[Any, list[tuple[str, Callable[[Any], Any]]], tuple[int, int], tuple[int, int], dict[str, int]]]
    fixed: dict[str, Any]
    pointers: dict[str, tuple[int, int]]
    numbers: dict[str, int]
    scratch: dict[str, int]

    def run(self, memory: _Memory, given: Mapping[int, Any]) -> None:
        """Launch it; nobody waits."""
        values = dict(self.fixed)
        for name, (number, offset) in self.pointers.items():
            values[name] = memory[number].address + offset
        for name, position in self.numbers.items():
            values[name] = given[position]
        scratch = {name: arrays.empty((nbytes,), _BYTE) for name, nbytes in self.scratch.items()}
        for name, array in scratch.items():
            values[name] = array.address
        here, stream = driver.current(), streams.current().handle
        for function, parameters, grid, block, parts in self.calls:
            values.update(parts)
            here.launch(function, grid, block, tuple([make(values[name]) for name, make in parameters]), stream)


def _launch(step: KernelStep, buffers: list[Buffer], value: Evaluator) -> _Launch:
    kernel = step.kernel
    fixed: dict[str, Any] = {"hi": value(step.outer)}
    pointers: dict[str, tuple[int, int]] = {}
    numbers: dict[str, int] = {}
    used = {name for stage in step.function.stages for name in stage.parameters}
    for k, slot in enumerate(kernel.slots):
        if isinstance(slot, Integer):
            fixed[f"n{k}"] = value(slot.expr)
        elif isinstance(slot, Number):
            numbers[f"c{k}"] = slot.position
        elif f"p{k}" in used:
            assert isinstance(slot, Pointer)
            pointers[f"p{k}"] = slot.buffer, value(slot.offset) * buffers[slot.buffer].dtype.itemsize
    scratch = step.function.scratch(fixed)
    functions = loaded(step.function)
    calls = []
    for launch in step.function.launches(fixed):
        function = launch.function
        parameters = [(name, BY_CODE[code].np.type) for name, code in zip(function.parameters, function.codes, strict=True)]
        calls.append((functions[function.name], parameters, launch.grid, launch.block, dict(launch.parts)))
        fixed = {**dict.fromkeys([n for n in function.parameters if n[0] == "w"], 0), **fixed}      # without partial results
    return _Launch(step, value(step.outer) * value(step.inner), calls, fixed, pointers, numbers, scratch)


class _Bound:
    """A program for one set of lengths: see program.Bound."""

    def __init__(self, program: StepList, order: Sequence[Node]) -> None:
        value = Evaluator(program.sources, order)
        self.positions = _positions(program)
        self._fixed: dict[int, float | int] = {}
        self._buffers = program.buffers
        self._counts = [value(b.size) if b.kind != "input" else 0 for b in program.buffers]
        self._results = [None if o is None else (o.buffer, tuple([value(n) for n in o.shape]), o.device) for o in program.outputs]
        self._steps: list[_Launch | Check | Scanning | DeviceCall] = []
        last: dict[int, int] = {}
        for at, step in enumerate(program.steps):
            if isinstance(step, KernelStep):
                self._steps.append(_launch(step, program.buffers, value))
                used = step.buffers
            else:
                assert isinstance(step, LibraryStep)
                self._steps.append(library_step(step, program.buffers, value))
                used = step.buffers
            last.update(dict.fromkeys(used, at))
        kept = {r[0] for r in self._results if r is not None}
        # Of each step, which buffers nobody reads after it.
        self._over = [[b for b, when in last.items() if when == at and b not in kept] for at in range(len(program.steps))]

    def fixing(self, numbers: Mapping[int, float | int]) -> _Bound:
        """See program.Bound."""
        fixed = _Bound.__new__(_Bound)
        fixed.__dict__.update(self.__dict__)
        fixed._fixed = {**self._fixed, **{k: v for k, v in numbers.items() if k in self.positions}}
        fixed.positions = [k for k in self.positions if k not in numbers]
        return fixed

    def run(self, values: list[Any]) -> list[Any]:
        """See program.Bound."""
        given: dict[int, Any] = {**self._fixed, **dict(zip(self.positions, values, strict=True))}
        memory = _Memory(self._buffers, self._counts, given)
        if workspace.timing:
            workspace.timing[0].ran(self)
        for step, over in zip(self._steps, self._over, strict=True):
            if workspace.timing:
                _timed(step, memory, given)
            else:
                step.run(memory, given)
            for number in over:
                memory.held.pop(number, None)
        results: list[Any] = []
        for result in self._results:
            if result is None:
                results.append(None)
                continue
            number, shape, device = result
            array = memory[number].reshape(shape)
            results.append(array if device != "cpu" else array.to_host())
        return results


def _positions(program: StepList) -> list[int]:
    """The positions of the order whose values a run reads."""
    found = {b.number for b in program.buffers if b.kind == "input"}
    for step in program.steps:
        if isinstance(step, KernelStep):
            found.update([slot.position for slot in step.kernel.slots if isinstance(slot, Number)])
        else:
            found.update([o.position for o in step.operands if o.kind == "scalar"])
    return sorted(found)


class _Memory:
    """The buffers of one run, as arrays of the device: taken when they are first written to, given back after their last use."""

    def __init__(self, buffers: list[Buffer], counts: list[int], given: Mapping[int, Any]) -> None:
        self.held: dict[int, DeviceArray] = {}
        self._buffers = buffers
        self._counts = counts
        self._given = given

    def __getitem__(self, number: int) -> DeviceArray:
        array = self.held.get(number)
        if array is None:
            b = self._buffers[number]
            if b.kind == "input":
                array = self._given[b.number]
                if type(array) is not DeviceArray:          # a number, or a tensor of the CPU that counts as one
                    array = _copied(np.asarray(array, b.dtype))
                array.used_by(streams.current())
            else:
                array = arrays.empty((self._counts[number],), b.dtype)
            self.held[number] = array
        return array


def _copied(array: np.ndarray) -> DeviceArray:
    """An array of the host on the device, as it lies there: all from its lowest to its highest element, from its first on."""
    if array.flags.c_contiguous or not array.size:
        return arrays.to_device(array)
    ends = [s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True)]
    lowest = array[tuple([slice(None, None, -1) if s < 0 else slice(None) for s in array.strides])]
    count = sum([abs(e) for e in ends]) // array.itemsize + 1
    made = arrays.to_device(np.lib.stride_tricks.as_strided(lowest, (count,), (array.itemsize,), writeable=False))
    first = -sum([e for e in ends if e < 0])
    return DeviceArray(made.address + first, array.shape, array.dtype, made)


def _timed(step: _Launch | Check | Scanning | DeviceCall, memory: _Memory, given: Mapping[int, Any]) -> None:
    """Run a step alone, for a profile."""
    driver.current().synchronize(streams.current().handle)
    start = perf_counter_ns()
    step.run(memory, given)
    driver.current().synchronize(streams.current().handle)
    taken = perf_counter_ns() - start
    profile = workspace.timing[0]
    if isinstance(step, _Launch):
        nbytes = sum([memory[number].nbytes for number in {number for number, _ in step.pointers.values()}])
        profile.launched(step.step.info, step.elements, nbytes, taken)
    else:
        result = memory[step.target]
        profile.library(str(step), result.size, result.nbytes, taken)
