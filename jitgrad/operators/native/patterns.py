"""The pattern of a graph that machine code recognises (matching.py, backward.py), from that of a request."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import builtin
from jitgrad.builtin import FASTCALL, Definition
from jitgrad.memory.buffers import address
from jitgrad.operators.native import layout as W
from jitgrad.requests.matcher import KNOWN, Pattern


class PatternWords:
    """What machine code reads of one pattern, and what that refers to.

    shared: of the process, layout.SHARED.  definition: as that of an entry point."""

    __slots__ = ("header", "kept", "definition", "__weakref__")

    shared: np.ndarray

    def __init__(self, pattern: Pattern | None, program: Callable | None = None) -> None:
        """program: what runs, from a list of values to one of arrays; None of what is only to be recognised."""
        self.header = np.zeros(W.PATTERN_HEADER, np.int64)
        self.header[W.PATTERN_COMMON] = address(self.shared)
        self.kept: list[Any] = [self.shared]
        if pattern is None:     # of what follows none
            return
        words = _structure(pattern)
        if program is not None:
            interior = [word for number in pattern.interior for word in (number, id(number))]
            for numbers in (pattern.leaves, pattern.bound.positions):
                words += [len(numbers), *numbers]
            words += [len(pattern.interior), *interior]
            self.header[[W.PATTERN_LEAVES, W.PATTERN_VALUES]] = len(pattern.leaves), len(pattern.bound.positions)
        array = np.array(words, np.int64)
        self.kept += [[visit[3] for visit in pattern.visits], pattern.owners, array, program, pattern.entry, pattern.interior]
        self.header[[W.PATTERN_WORDS, W.PATTERN_PROGRAM, W.PATTERN_ENTRY, W.PATTERN_ERA]] = [
            address(array), id(program), id(pattern.entry), pattern.era]


def is_followed(pattern: Pattern) -> bool:
    """Whether machine code can follow a pattern."""
    return pattern.size <= W.MOST_NODES and len(pattern.stops) <= W.MOST_STOPS and (
        pattern.owners is None or not pattern.functions)


def _structure(pattern: Pattern) -> list[int]:
    """The words that matching.py reads."""
    functions = {place: (number, other, *[id(need) for need in needs]) for place, other, number, needs in pattern.functions}
    words = [sum([visit[1] < 0 for visit in pattern.visits]) + sum([user < 0 for user, _, _ in pattern.repeats]), pattern.size,
             len(pattern.visits), pattern.for_gradients]
    for place, user, k, spec, requires_grad, what, strides, stop, stale in pattern.visits:
        layout = (W.STRIDED if type(strides) is tuple else W.CONTIGUOUS if what == KNOWN or (strides and spec.type.shape) else W.ANY)
        words += [user + 1, k, place, id(spec), id(requires_grad), what, pattern.arities[place], stop, stale, layout]
        if layout == W.STRIDED:
            words += [len(strides), *strides]
        words += functions.get(place, ())
    words.append(len(pattern.repeats))
    for user, k, place in pattern.repeats:
        words += [user + 1, k, place]
    for places in (pattern.stops, [place for place, other, _, _ in pattern.functions if place == other]):
        words += [len(places), *places]
    words.append(len(pattern.owners or ()))
    for owner in pattern.owners or ():
        if owner is None:
            words += [W.ALONE, 0, 0]
        else:
            fn, written, whole = owner
            name, number = (W.NOBODY, 0) if fn is None else (id(fn[0]), fn[1])
            words += [name, number, W.IN_PLACE if whole else 0 if written is bool else W.OVER]
    return words


_definitions: dict[int, Definition] = {}        # by address of the code


def function(code: int, name: str, pattern: PatternWords) -> Callable[..., Any]:
    """The function of machine code at an address, with a pattern as its `self`."""
    definition = _definitions.get(code)
    if definition is None:
        definition = _definitions[code] = Definition(name.encode(), code, FASTCALL, None)
    pattern.definition = definition
    return builtin.function(definition, pattern)
