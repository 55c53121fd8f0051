"""A schedule bound to lengths: a straight list of programs, and of places where Python is called.

Input: a schedule and an order of its lengths.  Output: a `BoundSchedule`, which is run as often as the graph comes.
Invariant: which program a segment runs backward depends on which gradients come out of Functions alone; a list is made for each
way in which that has turned out, and all lists are alike up to where it turns out differently.

A run has a list of slots: first the values that it is given, then whatever is computed, each in a slot of its own.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.ops.quiet import quiet
from jitgrad.requests.schedules.segment import find_program, incoming
from jitgrad.requests.schedules.stops import ONE, Callbacks, Stop, explicit
from jitgrad.requests.schedules.sums import ones_on_device, sum_on_device, summed

if TYPE_CHECKING:
    from jitgrad.compiler.program import Bound

MAX_LINES = 64      # ways in which Functions have given gradients that are kept for a set of lengths
OFTEN = 16          # lists that were made because a Function gave other gradients: from then on a run goes without one
PROGRAM, VISIT, FUNCTION, SUM, ONES = range(5)
NO_ARRAY = -1       # the last slot: where no array is, and what nobody reads goes


class Instruction(NamedTuple):
    """What is done next, from which slots, and to which.

    what: of a PROGRAM its run, from a list of values to one of results; a Stop; of a root's implicit 1 its type.
    over: gradients that nobody reads after it."""

    kind: int
    what: Any
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    over: tuple[int, ...]


class StraightLine(NamedTuple):
    """How a run goes if Functions give gradients as `outcomes` says, of those that are called in turn.

    empty: the slots behind those that are given.  results: the slots of what is asked for; apart: whether among these may be arrays
    that the caller has already, or one twice."""

    outcomes: tuple[tuple[bool, ...], ...]
    steps: list[Instruction]
    empty: list[Any]
    results: list[int]
    apart: bool


class BoundProgram(NamedTuple):
    """A program of a segment: arguments are places of values, or ~place of a gradient; results are places of values, then of
    gradients, of which only some are there (present)."""

    run: Any
    arguments: list[int]
    values: list[int]
    gradients: list[int]
    present: list[bool]


class Placed:
    """What is bound of a schedule of one segment, by places of the whole order."""

    def __init__(self, bound: Bound, places: Sequence[int]) -> None:
        self.bound = bound
        self._places = places
        self.positions = [places[p] for p in bound.positions]
        self.run = bound.run

    def fixing(self, numbers: Mapping[int, float | int]) -> Placed:
        """See program.Bound."""
        local = {i: numbers[k] for i, k in enumerate(self._places) if k in numbers}
        return Placed(self.bound.fixing(local), self._places) if local else self


class BoundSchedule:
    """A schedule.Schedule for one set of lengths, as program.Bound."""

    def __init__(self, schedule: Any, order: Sequence[Node]) -> None:
        self.schedule = schedule
        self._calls: dict[Any, BoundProgram] = {}
        self._lines: dict[tuple[tuple[bool, ...], ...], StraightLine] = {}
        self.positions = [*schedule.sources, *[schedule.size + i for i in range(sum([given for _, given in schedule.roots]))]]
        self._made = 0      # lists
        self._usual = self._line((), order)

    def call(self, number: int, roots: tuple[tuple[int, bool], ...], joint: bool, order: Sequence[Node]) -> BoundProgram:
        """What runs a segment: forward, or backward from the gradients of some places; joint: both."""
        found = self._calls.get((number, roots))
        if found is None:
            schedule = self.schedule
            segment = schedule.segments[number]
            outs = segment.outs if joint or not roots else []
            gives = segment.gives if roots else []
            program = find_program(order, schedule.children, schedule.known, segment, outs, roots, gives)
            schedule.note("backward" if roots else "forward", program)
            given = [k for k, array in roots if array]
            bound = program.bind([*segment.nodes(order), *[incoming(order[k]) for k in given]])
            places = [*segment.places, *[~k for k in given]]
            found = self._calls[number, roots] = BoundProgram(bound.run, [places[p] for p in bound.positions], outs, gives,
                                                      [output is not None for output in program.outputs[len(outs):]])
        return found

    def _line(self, outcomes: tuple[tuple[bool, ...], ...], order: Sequence[Node]) -> StraightLine:
        """outcomes: of the Functions that were called so far; the others are to give all gradients."""
        found = self._lines.get(outcomes)
        if found is None:
            if len(self._lines) >= MAX_LINES:
                self._lines.clear()
            self._made += 1
            found = self._lines[outcomes] = _Linearizer(self, outcomes, order).line()
            self._lines[found.outcomes] = found
        return found

    def run(self, values: list[Any], order: Sequence[Node] = (), callbacks: Callbacks | None = None) -> list[np.ndarray | None]:
        """See Program.run; with stops, `order` and what is called there."""
        if self._made > OFTEN:
            return self._sweep(values, order, callbacks)        # type: ignore[arg-type]
        line = self._usual
        steps, slots = line.steps, values + line.empty
        at = called = 0
        while at < len(steps):
            kind, what, arguments, results, over = steps[at]
            at += 1
            if kind == PROGRAM:
                for i, array in zip(results, what([slots[i] for i in arguments])):      # noqa: B905 (of one length)
                    slots[i] = array
            elif kind == VISIT:
                slots[results[0]] = callbacks.visit(what.place, slots[arguments[0]])        # type: ignore[union-attr]
            elif kind == FUNCTION:
                arrays = callbacks.function(what, [slots[i] for i in arguments])            # type: ignore[union-attr]
                came = tuple([array is not None for i, array in zip(results, arrays) if i != NO_ARRAY])     # noqa: B905 (of one length)
                if came != line.outcomes[called]:
                    line = self._usual = self._line((*line.outcomes[:called], came), order)
                    steps = line.steps
                    slots += [None] * (len(values) + len(line.empty) - len(slots))
                called += 1
                for i, array in zip(results, arrays):       # noqa: B905 (of one length)
                    if i != NO_ARRAY:
                        slots[i] = array
            elif kind == SUM:
                slots[results[0]] = np.asarray(quiet.run(np.add, *[slots[i] for i in arguments]))
            else:
                slots[results[0]] = np.ones(what.shape, what.dtype.np)
            for i in over:
                slots[i] = None
        found = [slots[i] for i in line.results]
        return _apart(found, values) if line.apart else found

    def _sweep(self, values: list[Any], order: Sequence[Node], callbacks: Callbacks) -> list[np.ndarray | None]:
        """`run` where Functions give gradients in too many ways for a list each."""
        schedule = self.schedule
        known: dict[int, Any] = dict(zip(schedule.sources, values, strict=False))
        joint = schedule.joint

        def program(number: int, taken: dict[int, Any]) -> Iterable[tuple[int, Any]]:
            call = self.call(number, tuple([(k, g is not ONE) for k, g in taken.items()]), number == joint, order)
            results = call.run([known[p] if p >= 0 else taken[~p] for p in call.arguments])
            known.update(zip(call.values, results, strict=False))
            return [(k, g) for k, g, present in zip(call.gradients, results[len(call.values):], call.present, strict=True) if present]

        def add(place: int, a: Any, b: Any) -> Any:
            return summed(order[place], a, b)

        for i, segment in enumerate(schedule.segments):
            if segment.outs and i != joint:
                program(i, {})
        seeds = iter(values[len(schedule.sources):])
        gradients = schedule.sweep({k: next(seeds) if array else ONE for k, array in schedule.roots}, program, add, callbacks)
        found = [known[k] for k in schedule.outputs] + [
            explicit(order[k], gradients[k]) if k in gradients else None for k in schedule.wanted]
        return _apart(found, values)

    def fixing(self, numbers: Mapping[int, float | int]) -> Fixed | BoundSchedule:
        """See program.Bound."""
        return Fixed(self, numbers) if numbers else self


class Fixed:
    """A bound schedule some of whose numbers are never others."""

    def __init__(self, bound: BoundSchedule | Fixed, numbers: Mapping[int, float | int]) -> None:
        self._bound = bound
        self._values: list[Any] = [numbers.get(p) for p in bound.positions]
        self._free = [i for i, p in enumerate(bound.positions) if p not in numbers]
        self.positions = [bound.positions[i] for i in self._free]

    def run(self, values: list[Any]) -> list[np.ndarray | None]:
        """See Program.run."""
        everything = self._values.copy()
        for i, value in zip(self._free, values, strict=True):
            everything[i] = value
        return self._bound.run(everything)

    def fixing(self, numbers: Mapping[int, float | int]) -> Fixed:
        """See program.Bound."""
        return Fixed(self, numbers)


def _apart(arrays: list[np.ndarray | None], given: list[Any]) -> list[np.ndarray | None]:
    """The arrays, with copies of those that are given or come twice."""
    taken = {id(value) for value in given}
    for i, array in enumerate(arrays):
        if array is not None:
            if id(array) in taken:
                arrays[i] = array.copy()
            taken.add(id(array))
    return arrays


class _Linearizer(Callbacks):
    """Goes through a schedule as a run does, with numbers of slots for arrays."""

    def __init__(self, bound: BoundSchedule, outcomes: tuple[tuple[bool, ...], ...], order: Sequence[Node]) -> None:
        self.bound = bound
        self.order = order
        self.met = list(outcomes)       # of Functions that are still to come
        self.outcomes: list[tuple[bool, ...]] = []
        self.steps: list[Instruction] = []
        schedule = bound.schedule
        self.given = len(bound.positions)
        self.count = self.given         # of slots
        self.where = {k: i for i, k in enumerate(schedule.sources)}
        self.joint = schedule.joint

    def line(self) -> StraightLine:
        """All that is to be done."""
        schedule = self.bound.schedule
        for i, segment in enumerate(schedule.segments):
            if segment.outs and i != self.joint:
                self.program(i, {})
        seeds = iter(range(len(schedule.sources), self.given))
        gradients = {k: next(seeds) if array else ONE for k, array in schedule.roots}
        if gradients:
            gradients = schedule.sweep(gradients, self.program, self.add, self)
        results = [self.where[k] for k in schedule.outputs]
        results += [self.explicit(k, gradients[k]) if k in gradients else NO_ARRAY for k in schedule.wanted]
        kept = {*results, *range(self.given)}
        steps = [step._replace(over=tuple([i for i in step.over if i not in kept])) for step in self.steps]
        some = [i for i in results if i != NO_ARRAY]
        foreign = {*range(self.given), *[i for step in steps if step.kind in (VISIT, FUNCTION) for i in step.results]}
        return StraightLine(tuple(self.outcomes), steps, [None] * (self.count - self.given + 1), results,
                            not foreign.isdisjoint(some) or len(set(some)) < len(some))

    def slot(self) -> int:
        """A new one."""
        self.count += 1
        return self.count - 1

    def explicit(self, place: int, gradient: Any) -> int:
        """The slot of a gradient, also where it is a root's implicit 1."""
        if gradient is not ONE:
            return gradient
        type_ = self.order[place].spec.type
        if type_.device == "cpu":
            self.steps.append(Instruction(ONES, type_, (), (self.slot(),), ()))
        else:
            self.steps.append(Instruction(PROGRAM, ones_on_device(type_), (), (self.slot(),), ()))
        return self.count - 1

    def program(self, number: int, taken: dict[int, Any]) -> Iterable[tuple[int, Any]]:
        """A segment: forward, or backward from some gradients to those that it gives."""
        call = self.bound.call(number, tuple([(k, g is not ONE) for k, g in taken.items()]), number == self.joint, self.order)
        arguments = tuple([self.where[p] if p >= 0 else taken[~p] for p in call.arguments])
        values = [self.slot() for _ in call.values]
        gradients = [self.slot() if present else NO_ARRAY for present in call.present]
        self.where.update(zip(call.values, values, strict=True))
        over = tuple([g for g in taken.values() if g is not ONE])
        self.steps.append(Instruction(PROGRAM, call.run, arguments, (*values, *gradients), over))
        return [(k, g) for k, g in zip(call.gradients, gradients, strict=True) if g != NO_ARRAY]

    def add(self, place: int, a: Any, b: Any) -> int:
        """The sum of two gradients."""
        both = self.explicit(place, a), self.explicit(place, b)
        type_ = self.order[place].spec.type
        if type_.device == "cpu":
            self.steps.append(Instruction(SUM, None, both, (self.slot(),), both))
        else:
            self.steps.append(Instruction(PROGRAM, sum_on_device(type_), both, (self.slot(),), both))
        return self.count - 1

    def visit(self, place: int, gradient: Any) -> Any:
        """See Callbacks."""
        before = (self.explicit(place, gradient),)
        self.steps.append(Instruction(VISIT, Stop(place), before, (self.slot(),), before))
        return self.count - 1

    def function(self, stop: Stop, gradients: list[Any]) -> Sequence[Any]:
        """See Callbacks."""
        before = [NO_ARRAY if g is None else self.explicit(k, g) for k, g in zip(stop.outputs, gradients, strict=True)]
        slots = [self.slot() if edge >= 0 and self.bound.schedule.needed[edge] else NO_ARRAY for edge in stop.edges]
        some = [i for i in slots if i != NO_ARRAY]
        outcome = self.met.pop(0) if self.met else (True,) * len(some)
        self.outcomes.append(outcome)
        self.steps.append(Instruction(FUNCTION, stop, tuple(before), tuple(slots), tuple([i for i in before if i != NO_ARRAY])))
        came = dict(zip(some, outcome, strict=True))
        return [i if came.get(i) else None for i in slots]
