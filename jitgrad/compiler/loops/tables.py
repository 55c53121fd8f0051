"""Tables of integers that the native loop over iterations runs from: addresses, and how far each advances.

Input: pieces in order, of each its steps, bound to lengths, and where their operands and results lie.  Output: an `ExecutionPlan`
of kernel calls alone, of which a loop is one.
Invariant: what is the same in all iterations is written once.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from jitgrad.compiler.codegen import loop
from jitgrad.compiler.numba_cpu.kernels import get_kernel
from jitgrad.compiler.runtime.arena import aligned
from jitgrad.compiler.runtime.plan import Calls, ExecutionPlan
from jitgrad.graph.node import Node

ARENA = -1
TABLE = -2


class Location(NamedTuple):
    """Where an array lies in iteration i, in bytes: in the arena (root ARENA), or in the array that is an argument or, behind these, a
    result: at offset + i * stride, where it alternates (i % 2) * stride.

    root TABLE: its address, or the number it is, is entry i of a table, the words from `offset` on; stride: 1 or -1."""

    root: int
    offset: int = 0
    stride: int = 0
    alternates: bool = False

    def backward(self, count: int) -> Location:
        """In the other order of iterations."""
        if self.alternates or not self.stride:
            return self
        return self.after(count - 1)._replace(stride=-self.stride)

    def after(self, iterations: int) -> Location:
        """Where it lies from a later iteration on."""
        if self.alternates:
            return self._replace(offset=self.at(iterations).offset, stride=-self.stride if iterations % 2 else self.stride)
        return self._replace(offset=self.offset + iterations * (8 * self.stride if self.root == TABLE else self.stride))

    def at(self, iteration: int) -> Location:
        """Where it lies in one iteration."""
        return Location(self.root, self.offset + (iteration % 2 if self.alternates else iteration) * self.stride)


class Unsuitable(Exception):
    """A loop that is not for these tables: Python has to be called in it, or something was decided by its offsets."""


class Advance(NamedTuple):
    """By how much numbers grow from the first iteration to the second, and by how much that grows from iteration to iteration: the
    number of elements of a square changes so, where its sides grow or shrink."""

    by: np.ndarray
    bend: np.ndarray

    def after(self, iterations: int) -> np.ndarray:
        """What has been added."""
        return iterations * self.by + iterations * (iterations - 1) // 2 * self.bend


@dataclass
class BoundStep:
    """A step for lengths.  words, patches, calls: of the first iteration, as in ExecutionPlan; advance: of these words, the bytes of
    these patches and the ends of these calls; places: of arguments and results, in the plan's order; nodes: what these are."""

    words: np.ndarray
    arena: np.ndarray               # words that hold an address in the arena
    patches: np.ndarray
    calls: np.ndarray
    scratch: int                    # bytes
    advance: tuple[Advance, ...] | None
    places: list[Location]
    nodes: list[Node]
    nanoseconds: float

    def after(self, iterations: int, places: Mapping[Node, Location]) -> BoundStep:
        """The step from a later iteration on.  places: of arguments and results, from there on."""
        words, patches, calls, advance = self.words, self.patches, self.calls, self.advance
        if advance is not None and iterations:
            added, patches, calls = [a.after(iterations) for a in advance], patches.copy(), calls.copy()
            words = words + added[0]
            patches[:, 2] += added[1]
            calls[:, 2] += added[2]
            advance = tuple([Advance(a.by + iterations * a.bend, a.bend) for a in advance])
        return replace(self, words=words, patches=patches, calls=calls, advance=advance, places=[places[n] for n in self.nodes])


Run = tuple[int, list[BoundStep]]       # iterations, and what is done in each


class Block(NamedTuple):
    """Iterations of a loop in a row, of which the derivative finds everything.

    again: what computes it, where it is not there any more; places: where it is, of the first of them and from there on."""

    iterations: int
    again: list[Run]
    places: dict[Node, Location]


class Tables:
    """Collects words, patches and calls of a plan."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.own: list[int] = []                            # words to which the address of the words is added
        self.in_arena: list[tuple[int, int]] = []           # words, bytes from the start of the arena
        self.patches: list[tuple[int, int, int]] = []       # root, word, bytes
        self.calls: list[tuple[int, int, int, int]] = []
        self.nanoseconds = 0.0
        self._sources: dict[int, int] = {}
        self._tables: dict[int, Sequence[Location]] = {}    # by their places in bytes
        self.arena = 0                  # bytes that have been given out
        self.scratch = 0                # where programs have their temporaries, in the arena

    def word(self, value: int = 0) -> int:
        """A new one."""
        self.words.append(value)
        return len(self.words) - 1

    def table(self, entries: Sequence[Location]) -> int:
        """A table of addresses, or of numbers (the root is an argument then, too); its first word."""
        first = len(self.words)
        for place in entries:
            self._static(self.word(), place, 0)
        self._tables[8 * first] = entries
        return first

    def entries(self, place: Location) -> Sequence[Location]:
        """What a table was made of."""
        return self._tables[place.offset]

    def array(self, nbytes: int) -> Location:
        """A place in the arena."""
        place = Location(ARENA, self.arena)
        self.arena += aligned(nbytes)
        return place

    def at(self, place: Location, iteration: int) -> Location:
        """Where something lies in one iteration."""
        return self.entries(place)[iteration] if place.root == TABLE else place.at(iteration)

    def along(self, places: Sequence[Location]) -> Location:
        """One place for those of all iterations."""
        first = places[0]
        step = places[1].offset - first.offset if len(places) > 1 else 0
        if first.root == ARENA and all([p == (ARENA, first.offset + i * step, 0, False) for i, p in enumerate(places)]):
            return Location(ARENA, first.offset, step)
        return Location(TABLE, 8 * self.table(places), 1)

    def one_behind_the_other(self, each: Sequence[int], count: int) -> tuple[Location, Location]:
        """New places for arrays of so many bytes: of the first `count` of them, and of the last."""
        start = self.array(sum(each)).offset
        if min(each) == max(each):
            return Location(ARENA, start, each[0]), Location(ARENA, start + (len(each) - count) * each[0], each[0])
        found = [Location(ARENA, at) for at in accumulate(each[:-1], initial=start)]
        return self.along(found[:count]), self.along(found[-count:])

    def _static(self, word: int, place: Location, plus: int) -> None:
        """Write an address once."""
        if place.root == ARENA:
            self.in_arena.append((word, place.offset + plus))
        else:
            self.patches.append((place.root, word, place.offset + plus))

    def _source(self, root: int) -> int:
        """The word that holds the address of an array."""
        if root not in self._sources:
            self._sources[root] = self.word()
            self._static(self._sources[root], Location(root), 0)
        return self._sources[root]

    def clear(self, place: Location, nbytes: int) -> None:
        """Zeros."""
        if not nbytes:
            return
        size = 8 if nbytes % 8 == 0 else 4 if nbytes % 4 == 0 else 1
        kind = {8: "i8", 4: "i4", 1: "b1"}[size]
        block = self.word()
        self._static(block, place, 0)
        self.calls.append((get_kernel(loop.clearing(kind)).address, 0, nbytes // size, 8 * block))
        self.nanoseconds += nbytes / 8

    def run(self, count: int, steps: Sequence[BoundStep]) -> None:
        """`count` iterations of some steps."""
        direct: list[tuple[int, ...]] = []
        indirect: list[tuple[int, ...]] = []
        calls: list[tuple[int, int, int, int]] = []
        counts: list[tuple[int, int]] = []          # calls that take more or fewer iterations each time, and by how many
        bends: list[tuple[int, int]] = []           # calls of which the ends are in a table, and where that is
        for step in steps:
            if step.advance is not None and count > 1:
                by, bend = step.advance[2]
                counts += [(len(calls) + k, int(by[k])) for k in np.flatnonzero((by != 0) & (bend == 0)).tolist()]
                bends += [(len(calls) + k, self._numbers(int(step.calls[k, 2]), int(by[k]), int(bend[k]), count))
                          for k in np.flatnonzero(bend).tolist()]
            self._step(step, count, direct, indirect, calls)
            self.nanoseconds += count * step.nanoseconds
        if count == 1 and not indirect:
            self.calls += calls
            return
        tables: list[tuple[int, int]] = []
        first = len(self.words)
        for call, pointer in bends:     # the calls come first
            indirect.append((8 * pointer, 8 * (first + len(counts) + 4 * call + 2), 0, 8, -1, 0, 0))
        for call, by in counts:
            direct.append((8 * self.word(), 8 * (first + len(counts) + 4 * call + 2), calls[call][2], 0, -1, by))
        for rows, own in ((calls, ()), (direct, (0, 1)), (indirect, (0, 1))):
            tables.append((len(self.words), len(rows)))
            for row in rows:
                self.own += [len(self.words) + k for k in own]
                self.words += row
        block = len(self.words)
        for start, number in (*tables[1:], tables[0]):
            self.own.append(len(self.words))
            self.words += [8 * start, number]
        self.own.append(self.word())
        self.calls.append((get_kernel(loop.source()).address, 0, count, 8 * block))

    def _step(self, step: BoundStep, count: int, direct: list[tuple[int, ...]], indirect: list[tuple[int, ...]],
              calls: list[tuple[int, int, int, int]]) -> None:
        first = len(self.words)
        self.words += step.words.tolist()
        word_steps = [0] * len(step.words) if step.advance is None else step.advance[0].by.tolist()
        patch_steps = [0] * len(step.patches) if step.advance is None else step.advance[1].by.tolist()
        if step.advance is not None and count > 1:
            for word in np.flatnonzero(step.advance[0].bend).tolist():
                pointer = self._numbers(int(step.words[word]), word_steps[word], int(step.advance[0].bend[word]), count)
                indirect.append((8 * pointer, 8 * (first + word), 0, 8, -1, 0, 0))
                word_steps[word] = 0
        for word in step.arena.tolist():
            offset, self.words[first + word] = self.words[first + word], 0
            self._write(first + word, Location(ARENA, self.scratch), offset, word_steps[word], count, direct, indirect)
            word_steps[word] = 0
        for word, by in enumerate(word_steps):
            if by and count > 1:
                source = self.word(self.words[first + word])
                direct.append((8 * source, 8 * (first + word), 0, 0, -1, by))
        for (argument, word, offset), by in zip(step.patches.tolist(), patch_steps, strict=True):
            place = Location(ARENA, self.scratch) if argument // 8 == len(step.places) else step.places[argument // 8]
            self._write(first + word // 8, place, offset, by, count, direct, indirect)
        calls += [(function, lo, hi, block + 8 * first) for function, lo, hi, block in step.calls.tolist()]

    def _numbers(self, start: int, by: int, bend: int, count: int) -> int:
        """A table of numbers, one for each iteration; the word that has its address."""
        i = np.arange(count)
        first = len(self.words)
        self.words += (start + i * by + i * (i - 1) // 2 * bend).tolist()
        self.own.append(self.word(8 * first))
        return self.own[-1]

    def _write(self, word: int, place: Location, plus: int, by: int, count: int, direct: list[tuple[int, ...]],
               indirect: list[tuple[int, ...]]) -> None:
        """Have a word hold an address, in each iteration."""
        if place.root == TABLE:
            pointer = self.word(place.offset)
            self.own.append(pointer)
            indirect.append((8 * pointer, 8 * word, 0, 8 * place.stride, -1, by, plus))
        elif count == 1 or not (place.stride or by):
            self._static(word, place, plus)
        else:
            mask = 1 if place.alternates else -1
            direct.append((8 * self._source(place.root), 8 * word, place.offset + plus, place.stride, mask, by))

    def plan(self, positions: list[int], floats: Sequence[int], integers: Sequence[int], inputs: Sequence[int],
             makers: list[Any], absent: tuple[int, ...], arena_bytes: int, keep: bool, argument: Mapping[int, int]) -> ExecutionPlan:
        """The plan.  inputs: which arguments are arrays; argument: by root of a place, which argument or result it is."""
        results = [-1 - k for k in range(len(makers))]
        patches = [(argument[root], word, offset) for root, word, offset in self.patches]
        arena = self.in_arena
        if not keep:
            patches += [(len(positions) + len(makers), word, offset) for word, offset in arena]
            arena = []
        return ExecutionPlan(
            positions, tuple(floats), tuple(integers), tuple([(k, k) for k in inputs]), makers, tuple(results), absent,
            np.array(self.words, np.int64), np.array([w for w, _ in arena], np.int64), np.array([o for _, o in arena], np.int64),
            arena_bytes, keep, np.array([(8 * a, 8 * w, o) for a, w, o in patches], np.int64).reshape(-1, 3),
            np.array(self.calls, np.int64).reshape(-1, 4), [Calls((0, len(self.calls)), self.nanoseconds)], {}, {}, [],
            own_words=np.array(self.own, np.int64))
