"""Compiled programs of the steps of an iteration: equal steps share one, which is bound to each one's lengths.

Input: a step (iteration.py), and which sizes of it advance.  Output: a `BoundStep` (tables.py).
Invariant: a program depends on the structure of the step alone.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jitgrad.compiler.build import Request, build, why_small
from jitgrad.compiler.loops.body import Sizes
from jitgrad.compiler.loops.iteration import BodyStep
from jitgrad.compiler.loops.tables import Advance, BoundStep, Location, Unsuitable
from jitgrad.compiler.program import Program
from jitgrad.compiler.runtime.library_calls import LibraryCall
from jitgrad.compiler.runtime.plan import Calls, ExecutionPlan
from jitgrad.graph.node import Node

# By place of a node in a step and axis: what is added to that length from iteration to iteration.
Growth = Mapping[tuple[int, int], int]
MAX_PROGRAMS = 4096
NOTHING: Growth = {}
LONG = 1e6          # nanoseconds of what is cut in chunks, where threads are used

_programs: dict[tuple, Program] = {}


def forget() -> None:
    """Forget all programs."""
    _programs.clear()


def find(step: BodyStep) -> tuple[Program, bool]:
    """The program of a step, and whether it had to be compiled."""
    number = {n: k for k, n in enumerate(step.order)}
    parts: list[int] = []
    for n in step.order:
        parts.append(n.spec.sig)
        if len(n.inputs) != len(n.spec.op.arg_names):
            parts.append(-10 - len(n.inputs))
        parts += [number[m] for m in n.inputs]
    key = (tuple(parts), tuple(step.outputs), step.base is not None)
    program = _programs.get(key)
    new = program is None
    if program is None:
        outputs = [step.order[k] for k in step.outputs]
        # (which gives `sizes` tuples of their own to nodes that share one)
        in_place = () if step.base is None else outputs
        program = build(Request(list(step.order), outputs, [], [], [], why_small(len(step.order)), in_place=in_place))
        if len(_programs) >= MAX_PROGRAMS:
            _programs.pop(next(iter(_programs)))
        _programs[key] = program
    return program, new


def growth(step: BodyStep, later: BodyStep) -> Growth:
    """What is added to lengths from iteration to iteration, given the step of the one behind."""
    if step is later:
        return NOTHING
    shapes = [(n.spec.type.shape, m.spec.type.shape) for n, m in zip(step.order, later.order, strict=True)]
    return {(k, axis): b - a for k, pair in enumerate(shapes) for axis, (a, b) in enumerate(zip(*pair, strict=True)) if a != b}


def greatest(step: BodyStep, growth: Growth, iterations: int, place: int) -> list[int]:
    """The greatest lengths of a node of a step, which is that of the second iteration where lengths advance."""
    own = enumerate(step.order[place].spec.type.shape)
    return [n + max(growth[place, axis] * (iterations - 2), -growth[place, axis]) if (place, axis) in growth else n for axis, n in own]


class Prepared(NamedTuple):
    """The program of a step for lengths.  new: whether it had to be compiled; numbers: starts and steps of slices and strides, and
    lengths that advance; sized: which of them are which component of which `sizes` tuple, by identity; lengths: which are the
    length of which node."""

    program: Program
    new: bool
    plan: ExecutionPlan
    numbers: list[int]
    sized: list[tuple[int, int, int]]
    lengths: list[tuple[int, tuple[int, int]]]
    given: list[Node]
    nanoseconds: float
    cut: bool                   # whether its work is worth sharing out to threads


def prepared(step: BodyStep, growth: Growth, iterations: int) -> Prepared:
    """The program of a step, planned for the greatest lengths that it has in so many iterations."""
    key = iterations if growth else 1
    found = step.prepared.get(key)
    if found is None:
        known = next(iter(step.prepared.values()), None)
        found = step.prepared[key] = _prepared(step, growth, iterations, known)
    return found


def _prepared(step: BodyStep, growth: Growth, iterations: int, known: Prepared | None) -> Prepared:
    tuples = [id(n.spec.sizes) for n in step.order]     # before compiling gives nodes that share one tuples of their own
    program, new = find(step)
    plan, numbers, atoms = program.planned(step.order, {(k, axis): greatest(step, growth, iterations, k)[axis] for k, axis in growth})
    if plan.limits or plan.late or any([isinstance(s, LibraryCall) for s in plan.stages]):
        raise Unsuitable
    sized = [(k, tuples[atom[1]], atom[2]) for atom, k in atoms.items() if atom[0] == "size"] if known is None else known.sized
    sources = dict(zip([n for n in step.order if not n.inputs], step.sources, strict=True))
    return Prepared(program, new, plan, list(numbers), sized if numbers else [],
                    [(k, atom[1:]) for atom, k in atoms.items() if atom[0] == "length"],
                    [sources[step.order[p]] for p in plan.positions],
                    sum([s.nanoseconds if isinstance(s, Calls) else LONG for s in plan.stages]),
                    any([not isinstance(s, Calls) for s in plan.stages]))


def bound(prepared: Prepared, nodes: list[Node], places: Mapping[Node, Location], sizes: Sizes, growth: Growth, iterations: int,
          backward: bool) -> BoundStep:
    """A step for the lengths of its nodes.  nodes: what it reads and gives; places: where that is, in the first iteration and from
    there on.

    backward: iterations are done from the last to the first; sizes, growth: as for the other order."""
    plan, numbers = prepared.plan, prepared.numbers.copy()
    steps = [0] * len(numbers)
    for k, identity, component in prepared.sized:
        if identity in sizes:
            start, by = sizes[identity]
            numbers[k], steps[k] = start[component], by[component]
    for k, which in prepared.lengths:
        numbers[k], steps[k] = numbers[k] - growth[which], growth[which]
    if plan.moving is None and (any(steps) or numbers != prepared.numbers):
        raise Unsuitable
    if backward:
        numbers = [n + (iterations - 1) * s for n, s in zip(numbers, steps, strict=True)]
        steps = [-s for s in steps]
    def at(iteration: int) -> tuple[np.ndarray, ...]:
        words, patches, calls = _moved(plan, [n + iteration * s for n, s in zip(numbers, steps, strict=True)])
        return words, patches[:, 2], calls[:, 2]

    words, patches, calls = _moved(plan, numbers)
    advance = None
    if any(steps) and iterations > 1:
        first, second, third, last = at(0), at(1), at(2), at(iterations - 1)
        advance = tuple([Advance(b - a, c - 2 * b + a) for a, b, c in zip(first, second, third, strict=True)])
        if advance[0].bend[plan.arena_words].any() or advance[1].bend.any() or any(
                [(a + by.after(iterations - 1) != z).any() for a, by, z in zip(first, advance, last, strict=True)]):
            raise Unsuitable
    return BoundStep(words, plan.arena_words, patches, calls, plan.arena_bytes, advance, [places[n] for n in nodes],
                     nodes, prepared.nanoseconds)


def _moved(plan: ExecutionPlan, numbers: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words, patches and calls of a plan for starts and steps of slices; the arena begins at 0."""
    words, patches, calls = plan.words.copy(), plan.patches.copy(), plan.calls.copy()
    if plan.keep:
        words[plan.arena_words] = plan.arena_offsets
    if plan.moving is not None:
        plan.moving.writer()(words.data, patches.reshape(-1).data, calls.reshape(-1).data, 0, numbers)      # type: ignore[arg-type]
    return words, patches, calls
