"""The pattern of a graph that machine code recognises (again.py), from a Walk."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import builtin
from jitgrad.buffers import address
from jitgrad.builtin import FASTCALL, Definition
from jitgrad.graph import CONST, SCALAR
from jitgrad.operators.native import words as W
from jitgrad.walk import Walk


class Pattern:
    """What again.py reads of one walk, and what that refers to.

    shared: of the process, words.SHARED.  definition: as that of a face."""

    __slots__ = ("header", "kept", "definition", "__weakref__")

    shared: np.ndarray

    def __init__(self, walk: Walk | None, program: Callable | None = None) -> None:
        """program: what runs, from a list of values to one of arrays."""
        self.header = np.zeros(W.PATTERN_HEADER, np.int64)
        self.header[W.PATTERN_COMMON] = address(self.shared)
        self.kept: list[Any] = [self.shared]
        if walk is None:        # of deliver(), which has none
            return
        specs = [visit[3] for visit in walk.visits]
        words = [len(walk.visits), len(walk.leaves), len(walk.bound.positions), walk.root]
        for place, user, k, spec, requires_grad, strides in walk.visits:
            words += [user, k, place, id(spec), id(requires_grad), _kind(spec, strides, place in walk.leaves)]
            if type(strides) is tuple:
                words += [len(strides), *strides]
        words.append(len(walk.repeats))
        for repeat in walk.repeats:
            words += repeat
        interior = [word for number in walk.interior for word in (number, id(number))]
        for numbers in (walk.leaves, walk.bound.positions):
            words += [len(numbers), *numbers]
        words += [len(walk.interior), *interior]
        pattern = np.array(words, np.int64)
        self.kept += [specs, pattern, program, walk.entry, walk.reference, walk.interior]
        self.header[[W.PATTERN_WORDS, W.PATTERN_PROGRAM, W.PATTERN_ENTRY, W.PATTERN_ERA, W.PATTERN_SOURCE]] = [
            address(pattern), id(program), id(walk.entry), walk.era, id(walk.reference)]


_definitions: dict[int, Definition] = {}        # by address of the code


def function(code: int, name: str, pattern: Pattern) -> Callable[..., Any]:
    """The function of machine code at an address, with a pattern as its `self`."""
    definition = _definitions.get(code)
    if definition is None:
        definition = _definitions[code] = Definition(name.encode(), code, FASTCALL, None)
    pattern.definition = definition
    return builtin.function(definition, pattern)


def _kind(spec: Any, strides: Any, is_leaf: bool) -> int:
    """What there is to check of a node."""
    if spec.op is SCALAR or spec.op is CONST:
        return W.OTHER
    if strides is None:
        return W.INTERIOR
    if type(strides) is tuple:
        return W.STRIDED
    if spec.type.shape:
        return W.ARRAY
    return W.LEAF if is_leaf else W.OTHER
