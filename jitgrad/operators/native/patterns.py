"""The pattern of a graph that machine code recognises (again.py), from that of a request."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import builtin
from jitgrad.buffers import address
from jitgrad.builtin import FASTCALL, Definition
from jitgrad.graph import CONST, SCALAR
from jitgrad.operators.native import words as W
from jitgrad.requests.matcher import KNOWN, Pattern


class PatternWords:
    """What again.py reads of one pattern, and what that refers to.

    shared: of the process, words.SHARED.  definition: as that of a face."""

    __slots__ = ("header", "kept", "definition", "__weakref__")

    shared: np.ndarray

    def __init__(self, pattern: Pattern | None, program: Callable | None = None) -> None:
        """program: what runs, from a list of values to one of arrays."""
        self.header = np.zeros(W.PATTERN_HEADER, np.int64)
        self.header[W.PATTERN_COMMON] = address(self.shared)
        self.kept: list[Any] = [self.shared]
        if pattern is None:     # of deliver(), which has none
            return
        [_, *visits] = pattern.visits
        specs = [visit[3] for visit in visits]
        words = [len(visits), len(pattern.leaves), len(pattern.bound.positions), pattern.root]
        for place, user, k, spec, requires_grad, what, strides, *_ in visits:
            words += [user, k, place, id(spec), id(requires_grad), _kind(spec, what, strides, place in pattern.leaves)]
            if type(strides) is tuple:
                words += [len(strides), *strides]
        words.append(len(pattern.repeats))
        for repeat in pattern.repeats:
            words += repeat
        interior = [word for number in pattern.interior for word in (number, id(number))]
        for numbers in (pattern.leaves, pattern.bound.positions):
            words += [len(numbers), *numbers]
        words += [len(pattern.interior), *interior]
        array = np.array(words, np.int64)
        self.kept += [specs, array, program, pattern.entry, pattern.reference, pattern.interior]
        self.header[[W.PATTERN_WORDS, W.PATTERN_PROGRAM, W.PATTERN_ENTRY, W.PATTERN_ERA, W.PATTERN_SOURCE]] = [
            address(array), id(program), id(pattern.entry), pattern.era, id(pattern.reference)]


_definitions: dict[int, Definition] = {}        # by address of the code


def function(code: int, name: str, pattern: PatternWords) -> Callable[..., Any]:
    """The function of machine code at an address, with a pattern as its `self`."""
    definition = _definitions.get(code)
    if definition is None:
        definition = _definitions[code] = Definition(name.encode(), code, FASTCALL, None)
    pattern.definition = definition
    return builtin.function(definition, pattern)


def _kind(spec: Any, what: int, strides: Any, is_leaf: bool) -> int:
    """What there is to check of a node."""
    if spec.op is SCALAR or spec.op is CONST:
        return W.OTHER
    if what == KNOWN:
        return W.KNOWN
    if strides is None:
        return W.INTERIOR
    if type(strides) is tuple:
        return W.STRIDED
    if spec.type.shape:
        return W.ARRAY
    return W.LEAF if is_leaf else W.OTHER
