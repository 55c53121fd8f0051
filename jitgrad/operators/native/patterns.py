"""The pattern of a graph that machine code recognises (again.py), from a Walk."""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.buffers import address
from jitgrad.graph import CONST, SCALAR
from jitgrad.operators.native import objects
from jitgrad.operators.native import words as W
from jitgrad.operators.native.faces import Definition
from jitgrad.walk import Walk

_FAST = 0x80            # METH_FASTCALL


class Pattern:
    """What again.py reads of one walk, and what that refers to.

    code, shared: of the process: the address of the function, 0 before it is there, and words.SHARED."""

    __slots__ = ("header", "kept", "__weakref__")

    code = 0
    shared: np.ndarray
    definition: Definition | None = None

    def __init__(self, walk: Walk, accumulate: Callable, release: Callable) -> None:
        """accumulate(tensor, gradient's node, False): adds to a gradient that is there.  release(): lets detached tensors go."""
        specs = [visit[3] for visit in walk.visits]
        words = [len(walk.visits), walk.root]
        for place, user, k, spec, requires_grad, strides in walk.visits:
            words += [user, k, place, id(spec), id(requires_grad), _kind(spec, strides, place in walk.leaves)]
        words.append(len(walk.repeats))
        for repeat in walk.repeats:
            words += repeat
        for numbers in (walk.leaves, walk.bound.positions, walk.interior):
            words += [len(numbers), *numbers]
        pattern = np.array(words, np.int64)
        program = walk.bound.run
        self.kept = [specs, pattern, program, walk.entry, accumulate, release]
        self.header = np.zeros(7, np.int64)
        self.header[[W.AGAIN_COMMON, W.AGAIN_WORDS, W.AGAIN_PROGRAM, W.AGAIN_ENTRY, W.AGAIN_ERA, W.AGAIN_ACCUMULATE,
                     W.AGAIN_RELEASE]] = [address(self.shared), address(pattern), id(program), id(walk.entry), walk.era,
                                          id(accumulate), id(release)]

    def function(self) -> Callable[[Any], bool | None]:
        """again(root)."""
        if Pattern.definition is None:
            Pattern.definition = Definition(b"again", Pattern.code, _FAST, b"Goes through a graph like one seen before.")
        prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        make = prototype(("PyCFunction_NewEx", ctypes.pythonapi))
        return make(ctypes.addressof(Pattern.definition), self, None)


def _kind(spec: Any, strides: Any, is_leaf: bool) -> int:
    """What there is to check of a node."""
    if spec.op is SCALAR or spec.op is CONST:
        return W.OTHER
    if strides is None:
        return W.INTERIOR
    if spec.type.shape:
        return W.ARRAY
    return W.LEAF if is_leaf else W.OTHER
