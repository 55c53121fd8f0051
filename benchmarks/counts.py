"""Compilations, kernels and bytes moved by a gradient."""
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import jitgrad
from jitgrad.compiler.ir.loop_nest import Pointer
from jitgrad.compiler.ir.steps import KernelStep
from jitgrad.compiler.runtime.evaluator import Evaluator
from jitgrad.requests.capture import capture as capture_graph
from jitgrad.requests.schedules import segment
from jitgrad.requests.schedules.schedule import Schedule

from .workloads import Workload


def bytes_moved(loss: Any) -> int:
    """What the kernels of a loss's program read and write, each buffer once a kernel; library calls are not counted.  (What
    a kernel reads through an index, or reads again from the next cache line over, is counted once.)"""
    root = loss._current()
    captured = capture_graph([root], anew=True)
    at = captured.index[root]
    schedule = Schedule(captured, [(at, False)], [at], [captured.index[n] for n in captured.leaves])
    before = segment.LEAST, segment.FEWEST
    segment.LEAST = segment.FEWEST = 1 << 60        # of all kernels, loops being none
    segment.forget()
    try:
        listing = schedule.whole(captured.order).listing()
    finally:
        segment.LEAST, segment.FEWEST = before
        segment.forget()
    value = Evaluator(listing.sources, schedule.segments[0].nodes(captured.order))
    moved = 0
    for step in listing.steps:
        if isinstance(step, KernelStep):
            for number in {slot.buffer for slot in step.kernel.slots if isinstance(slot, Pointer)}:
                buffer = listing.buffers[number]
                moved += value(buffer.size) * buffer.dtype.itemsize
    return moved


class Counted(ABC):
    """A base: what one gradient of a workload at its large size compiles, in a process that has compiled nothing before."""

    param_names = ("workload",)

    @abstractmethod
    def load(self, workload: str) -> Workload:
        """The workload of this name."""

    def setup(self, workload: str) -> None:
        """One gradient."""
        jitgrad.clear_cache()
        load = self.load(workload)
        p, c = load.inputs(**load.sizes["large"])
        p = {name: jitgrad.tensor(value, requires_grad=True) for name, value in p.items()}
        self.loss = load.torch_style(jitgrad, p, {name: jitgrad.tensor(value) for name, value in c.items()})
        self.loss.backward()
        self.info = jitgrad.cache_info()

    def track_compilations(self, workload: str) -> int:
        """Programs."""
        return self.info.compilations

    def track_kernels(self, workload: str) -> int:
        """Kernels."""
        return self.info.kernels

    def track_bytes(self, workload: str) -> int:
        """Bytes that kernels read and write."""
        return bytes_moved(self.loss)


Counted.track_compilations.unit = "programs"    # type: ignore[attr-defined]
Counted.track_kernels.unit = "kernels"          # type: ignore[attr-defined]
Counted.track_bytes.unit = "bytes"              # type: ignore[attr-defined]
