"""The machine code of recording and of going through known graphs: compiled once for a machine, or loaded from the disk cache.

Input: where CPython and the package's classes keep things.  Output: entry points that record by themselves what they have learnt, and
functions that recognise a graph (patterns.py).
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jitgrad import tracing
from jitgrad.compiler.numba_cpu import glue
from jitgrad.config import config, logger
from jitgrad.graph.node import Composite, Extra, Node, Spec
from jitgrad.graph.recording import grad_mode, recording_thread
from jitgrad.memory.threads import building
from jitgrad.operators.native import entry_points, objects
from jitgrad.operators.native import layout as W
from jitgrad.operators.native.entry_points import EntryPoint
from jitgrad.operators.native.learning.templates import learner
from jitgrad.operators.native.patterns import PatternWords, function, is_followed
from jitgrad.operators.provenance import OUTSIDE, user_line
from jitgrad.operators.templates.template import LONGEST
from jitgrad.ops.quiet import quiet
from jitgrad.requests import counters, matcher, schedule_cache
from jitgrad.requests.execute import MAX_HISTORY, value
from jitgrad.tensors.histories import Accumulator
from jitgrad.tensors.parameter import Parameter
from jitgrad.tensors.steps import pending_detached
from jitgrad.tensors.storage import ATTACH, Storage, Version, detached_storages
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import default_address

# Files that decide what the code is
_FILES = ("layout.py", "assembly.py", "calls.py", "storing.py", "record.py", "matching.py", "backward.py")
_CLASSES: dict[str, tuple] = {      # by name, with arguments of their constructors
    "Node": (Node,), "Spec": (Spec,), "Composite": (Composite,), "EntryPoint": (EntryPoint, id), "Tensor": (Tensor,),
    "Storage": (Storage,),
    "Version": (Version,), "Extra": (Extra,), "Run": (schedule_cache.Run,), "Accumulator": (Accumulator,),
    "PatternWords": (PatternWords,)}


class Shared(np.ndarray):
    """layout.SHARED; it keeps what they refer to."""

    kept: list[Any]


def _line() -> Any:
    """Where the user's program is, of a call that some code of the package makes."""
    return user_line(2)


def _offsets(classes: dict[str, type]) -> dict[str, int] | None:
    """The offsets of layout.SLOTS, or None if one is not found.  classes: of layers above."""
    known = {**_CLASSES, **{name: (cls,) for name, cls in classes.items()}}
    found = {"type": objects.TYPE, "length": objects.LENGTH, "items": objects.ITEMS, "list items": objects.LIST_ITEMS,
             "slice start": objects.SLICE[0], "slice stop": objects.SLICE[1], "slice step": objects.SLICE[2],
             "data": objects.DATA, "flags": objects.FLAGS, "strides": objects.STRIDES}
    for name in W.SLOTS:
        cls, _, field = name.partition(".")
        if field:
            found[name] = objects.slot(known[cls][0], field, *known[cls][1:])
    return None if None in found.values() else found            # type: ignore[return-value]


def _shared(accumulate: Callable, release: Callable, applied: type) -> np.ndarray:
    """layout.SHARED."""
    words = {"traces": tracing.count, "default": default_address, "recording_thread": recording_thread,
             "compiling_thread": schedule_cache.compiling_thread, "hits": counters.hits, "era": schedule_cache.era_word}
    known: dict[str, Any] = {
        "last_code": _line.__code__, "none": None, "true": True, "false": False, "grad_mode": grad_mode,
        "interpreting": schedule_cache.interpreting, "config": config, "outside": OUTSIDE, "user_line": _line,
        "accumulate": accumulate, "release": release, "value": value, "attach": ATTACH, "quiet": quiet,
        "detached": detached_storages.data, "pending": pending_detached.data,       # type: ignore[attr-defined]
        "Tensor": Tensor, "Parameter": Parameter, "list": list, "tuple": tuple, "slice": slice, "Node": Node, "Extra": Extra,
        "Composite": Composite, "Storage": Storage, "Run": schedule_cache.Run, "float": float, "int": int, "ndarray": np.ndarray,
        "PyFunction": applied}
    result: list[int] = []
    kept: list[Any] = []
    for name in W.SHARED:
        if name in words:
            kept.append(words[name])
            result.append(words[name].buffer_info()[0])
        elif name.startswith("Py") and name not in known:
            result.append(objects.api(name))
        else:
            found = known.get(name, name)
            kept.append(found)
            result.append(id(found))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_line.__code__))    # the code lets go of it when it sees another
    shared = np.array(result, np.int64).view(Shared)
    shared.kept = kept
    return shared


def _function(name: str, offsets: dict[str, int], deepest: int, compiling: bool) -> int:
    """The address of one of the functions; 0 if it is not on disk and not to be compiled."""
    folder = Path(__file__).parent

    def source() -> str:
        from llvmlite import ir

        from jitgrad.operators.native.backward import Again, Deliver, Usual
        from jitgrad.operators.native.matching import Match
        from jitgrad.operators.native.record import Record
        module = ir.Module(name)
        if name == W.RECORD:
            Record(module, offsets, deepest)
        else:
            {W.MATCH: Match, W.AGAIN: Again, W.DELIVER: Deliver, W.USUAL: Usual}[name](module, offsets)
        return str(module)

    return glue.address(name, [*[(folder / file).read_bytes() for file in _FILES], repr((offsets, deepest))],
                        source if compiling else None)


class Functions(NamedTuple):
    """The addresses of the functions of machine code."""

    record: int
    match: int
    again: int
    deliver: int
    usual: int


functions: Functions | None = None      # once they are there
refused = False                         # there was no memory for them


def install(accumulate: Callable, release: Callable, classes: dict[str, type], compiling: bool) -> None:
    """Give all entry points, and patterns, their code, once.

    accumulate(tensor, gradient's node, False): adds to a gradient that is there.  release(): lets go of detached tensors.
    classes: autograd's Watch and PyFunction.  compiling: also if that is not on disk."""
    global functions, refused
    with building:         # which a fork waits for
        if functions is not None or refused or not objects.SUPPORTED:
            return
        offsets = _offsets(classes)
        if offsets is None:
            return
        PatternWords.shared = _shared(accumulate, release, classes["PyFunction"])
        try:
            found = Functions(*[_function(name, offsets, MAX_HISTORY - LONGEST, compiling)
                                for name in (W.RECORD, W.MATCH, W.AGAIN, W.DELIVER, W.USUAL)])
        except MemoryError as error:        # all goes on without them, only slower
            refused = True
            logger.warning("operators are recorded by Python functions, not by machine code: %s", error)
            return
        if 0 in found:
            return
        entry_points.usual[0] = function(found.usual, "usual", PatternWords(None))
        entry_points.give_code(found.record, PatternWords.shared, learner)
        matcher.native[0] = matching
        functions = found           # last: until then it is tried again
        logger.debug("operators are recorded by machine code")


def equip(pattern: Any) -> None:
    """Let the pattern of a plain backward go through its graphs by machine code, if there is any (see backward.py)."""
    if functions is not None and is_followed(pattern):
        pattern.again = function(functions.again, "again", PatternWords(pattern, pattern.bound.run))


def matching(pattern: Any) -> Callable[..., list[Any] | None] | None:
    """match(*roots) of a pattern, by machine code, if that can follow it (see matching.py)."""
    assert functions is not None
    return function(functions.match, "match", PatternWords(pattern)) if is_followed(pattern) else None


def delivery() -> Callable[..., None] | None:
    """deliver(leaves, arrays), by machine code, if there is any (see backward.py)."""
    return None if functions is None else function(functions.deliver, "deliver", PatternWords(None))
