"""A schedule: the compiled programs that serve one request, in order, and the stops between them where Python is called.

Input: a captured graph and what is wanted of it.  Output: a `Schedule`, which a caller binds to lengths and runs.
Invariant: a stop is the last place of its segment, so that all gradient that can reach it has arrived when it is visited;
compiling takes as long as the segments that differ, whatever the length; a run without stops touches no node.

A plain backward is a schedule of one segment.  A graph is cut behind each stop.  Forward, each segment computes what later ones
read; backward, from the last to the first, a program of its own computes the segment anew and the gradients of what it read, given
those of what it gave.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.graph.node import CONST, INPUT, Node
from jitgrad.requests.capture import Capture
from jitgrad.requests.schedules.bound import BoundSchedule, Placed
from jitgrad.requests.schedules.cutting import cut, leading, stops_needed
from jitgrad.requests.schedules.segment import find_program, incoming
from jitgrad.requests.schedules.stops import Callbacks, Stop

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram, KernelInfo

MAX_BOUND = 8               # sets of lengths that are kept by a schedule


class Schedule:
    """A compiled request.

    roots: places, and whether their gradients are arrays or an implicit 1.  outputs: places whose values are wanted; wanted:
    those whose gradients are."""

    def __init__(self, captured: Capture, roots: Sequence[tuple[int, bool]], outputs: Sequence[int], wanted: Sequence[int]) -> None:
        self.roots = list(roots)
        self.outputs = list(outputs)
        self.wanted = list(wanted)
        self.children, self.known = captured.children, captured.known
        order = captured.order
        self.size = len(order)
        # Of each place, whether gradients go on from it to a wanted one, and whether they do or it is one
        self._leads, self.needed = leading(order, captured.children, set(wanted))
        self.stops = stops_needed(captured, self.needed) if roots else []
        self.segments, self.steps_back = cut(captured, self.stops, self.outputs)
        self._receive()
        # The last segment goes forward and backward in one program, if gradients begin in it.
        top = len(self.segments) - 1
        self.joint = top if self.segments and any([k in self.segments[top].receives for k, _ in roots]) else -1
        self.sources = [k for k, n in enumerate(order) if (not captured.children[k] and n.spec.op is not CONST) or k in self.known
                        or (n.spec.op is INPUT)]
        # (A symbol, in vmap, has no value: its schedule is never bound.)
        self._strided = [k for k, n in enumerate(order) if n.spec.op is INPUT and n.spec.type.shape and n.value is not None and (
            not n.value.flags.c_contiguous)]
        everything = set(self.segments[0].places) if len(self.segments) == 1 else set()
        self.single = bool(everything) and not self.stops and everything.issuperset(
            [*[k for k, _ in roots], *self.outputs, *self.wanted])
        self._program: AnyProgram | None = None
        self._bound: dict[tuple, BoundSchedule] = {}
        self._programs: list[tuple[str, AnyProgram]] = []

    def _receive(self) -> None:
        """For each segment, whose gradients may have come before it and which it gives."""
        coming = {k for k, _ in self.roots}
        stopped = {stop.place for stop in self.stops}
        wanted = set(self.wanted)
        for step in self.steps_back:
            if isinstance(step, Stop):
                coming.update([k for k in step.edges if k >= 0])
                continue
            segment = self.segments[step]
            segment.receives = [k for k in segment.places if k in coming and self.needed[k]]
            segment.gives = [k for k in segment.ins if self.needed[k]]
            coming.update(segment.gives)
            segment.gives += [k for k in segment.body if k in wanted and k not in stopped]

    # -- what people see ---------------------------------------------------------------------------------------------

    @property
    def small(self) -> str:
        """Why each operation is a kernel of its own, or empty."""
        return "" if self._program is None else self._program.small

    @property
    def rolled(self) -> bool:
        """Whether loops are compiled as loops."""
        return any([p is not None and p.rolled for p in (self._program, *[p for _, p in self._programs])])

    @property
    def kernels(self) -> list[KernelInfo]:
        """The kernels of all programs, each once."""
        if self._program is not None:
            return self._program.kernels
        found = []
        for number, program in enumerate({id(p): p for _, p in self._programs}.values()):
            found += [replace(info, name=f"p{number}.{info.name}") for info in program.kernels]
        return found

    @property
    def steps(self) -> Sequence[Any]:
        """str()-able steps in order."""
        if self._program is not None:
            return self._program.steps
        numbers: dict[int, int] = {}
        counts: dict[str, int] = {}
        for way, program in self._programs:
            number = numbers.setdefault(id(program), len(numbers))
            step = f"{way} of a segment: p{number}, {len(program.kernels)} kernels"
            counts[step] = counts.get(step, 0) + 1
        return [f"{step}; {times} times" for step, times in counts.items()]

    # -- running -----------------------------------------------------------------------------------------------------

    def note(self, way: str, program: AnyProgram) -> None:
        """A program has been made or found for a segment."""
        self._programs.append((way, program))

    def compile(self, order: Sequence[Node]) -> None:
        """Compile now what is going to run, if gradients go on at stops as they mostly do; other programs when it turns out so."""
        if self.single:
            self.whole(order)
            return
        self.bind(order)

    def whole(self, order: Sequence[Node]) -> AnyProgram:
        """The program of a schedule of one segment, compiled if need be."""
        program = self._program
        if program is None:
            program = self._program = find_program(order, self.children, self.known, self.segments[0], self.outputs, self.roots,
                                                   self.wanted)
        return program

    def bind(self, order: Sequence[Node]) -> Placed | BoundSchedule:
        """For runs with the lengths, strides and run-time sizes of an order."""
        if self.single:
            segment = self.segments[0]
            seeds = [incoming(order[k]) for k, given in self.roots if given]
            bound = self.whole(order).bind([*segment.nodes(order), *seeds])
            return Placed(bound, [*segment.places, *range(self.size, self.size + len(seeds))])
        key: tuple = (*[n.spec for n in order], *[order[k].value.strides for k in self._strided])
        found = self._bound.get(key)
        if found is None:
            found = BoundSchedule(self, order)
            if len(self._bound) >= MAX_BOUND:
                self._bound.pop(next(iter(self._bound)))
            self._bound[key] = found
        return found

    def run(self, order: Sequence[Node], seeds: Sequence[np.ndarray] = ()) -> list[np.ndarray | None]:
        """The outputs' values, then the gradients (None: structurally none), of a schedule without stops.

        seeds: the gradients of those roots that have arrays.  The results are fresh at each call, C-contiguous, of the right
        shape and dtype, and alias neither each other nor an input."""
        bound = self.bind(order)
        return bound.run([order[p].value if p < self.size else seeds[p - self.size] for p in bound.positions])

    def sweep(self, gradients: dict[int, Any], segment: Callable[[int, dict[int, Any]], Iterable[tuple[int, Any]]],
              add: Callable[[int, Any, Any], Any], callbacks: Callbacks) -> dict[int, Any]:
        """Go through segments and stops from the roots' gradients, by place, to those that are wanted.

        segment(number, incoming gradients): what it gives.  add(place, a, b): the sum of two."""
        final: dict[int, Any] = {}
        arrived: dict[int, Any] = {}            # at outputs of Functions
        wanted = set(self.wanted)
        for step in self.steps_back:
            if not isinstance(step, Stop):
                taken = {k: gradients.pop(k) for k in self.segments[step].receives if k in gradients}
                if taken:
                    for k, g in segment(step, taken):
                        if g is not None:
                            gradients[k] = g
                continue
            k = step.place
            if k in gradients:
                before = gradients.pop(k)
                g = callbacks.visit(k, before)
                if k in wanted:         # PyTorch gives what came before hooks, where gradients go on
                    final[k] = before if self._leads[k] else g
                if self._leads[k]:
                    (arrived if step.output else gradients)[k] = g
            if step.outputs and any([o in arrived for o in step.outputs]):
                for edge, g in zip(step.edges, callbacks.function(step, [arrived.pop(o, None) for o in step.outputs]), strict=True):
                    if edge >= 0 and g is not None and self.needed[edge]:
                        gradients[edge] = add(edge, gradients[edge], g) if edge in gradients else g
        gradients.update(final)
        return gradients
