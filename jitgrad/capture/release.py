"""After a capture, replaces in the function's objects the placeholder tensors that it was called with by the real ones."""
from __future__ import annotations

import gc
import sys
from collections import deque
from types import CellType, FrameType
from typing import Any

from jitgrad.capture.guards.understood import is_named_tuple, slots
from jitgrad.capture.trace import Trace

MAX_TUPLES = 5          # within each other


def _references(pair: tuple) -> int:
    """How many references there are to the first of a pair."""
    return sys.getrefcount(pair[0])


ALONE = _references((object(), None))     # where only the pair holds it


def let_go(trace: Trace) -> None:
    """Collect in `stood_in` what the function was called with, what it stood for and where that was given, from the outside in;
    the trace lets go of it."""
    pairs = trace.stood_in
    if not pairs:
        pairs = [(ours, theirs, place) for theirs, ours, _, place in trace.arguments.rebuilt[::-1]]
        for given in trace.arrays.values():
            pairs += [(part, part._real, given.place) for part in given.stand_in._parts]
            pairs.append((given.stand_in, given.array, given.place))
        trace.stood_in = pairs
    for given in trace.arrays.values():
        given.stand_in._parts.clear()
    for everything in (trace.arguments.rebuilt, trace.arrays, trace.by_array, trace.compared):
        everything.clear()


def release(trace: Trace, failed: bool) -> str | None:
    """Put what stands behind a stand-in wherever something still holds the stand-in after the capture; the first such place.

    Nobody else but what is looked for holds a stand-in, and a container only those that come after it.  failed: the frames of a
    traceback hold some as well.  After an exception out of a signal handler a further call goes on."""
    let_go(trace)
    place = None
    pairs = trace.stood_in
    while pairs:
        held = pairs[0]
        if _references(held) > ALONE and not failed:
            gc.collect()
        if _references(held) > ALONE:
            place = place or held[2]
            _replace(held[0], held[1], [held, pairs], 0)
        del held, pairs[0]
    return place


def _replace(old: Any, new: Any, but: list[Any], level: int) -> None:
    """Put `new` for `old` in all containers, cells and attributes but these, tuples being replaced themselves.  Frames keep
    it: there a stand-in goes on as an array to everything but C code.

    (No comprehension here refers to a local name: in Python 3.11 that makes it a cell, which is found as one that holds it.)"""
    holders = gc.get_referrers(old)
    but = [*but, but, holders]
    own = set(map(id, but))
    for holder in holders:
        kind = type(holder)
        if kind is FrameType or id(holder) in own:
            continue
        if kind is tuple or is_named_tuple(holder):
            if level < MAX_TUPLES:
                items = _swapped(holder, old, new)
                _replace(holder, holder._make(items) if is_named_tuple(holder) else tuple(items), but, level + 1)
        elif kind in (list, deque):
            for i, item in enumerate(holder):
                if item is old:
                    holder[i] = new
        elif kind is CellType:
            holder.cell_contents = new
        else:
            fields = holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})
            for key, item in list(fields.items()):
                if item is old:
                    fields[key] = new
            for name in _all_slots(kind):
                if getattr(holder, name, None) is old:
                    setattr(holder, name, new)


def _swapped(items: Any, old: Any, new: Any) -> list[Any]:
    return [new if item is old else item for item in items]


def _all_slots(cls: type) -> list[str]:
    return [name for c in cls.__mro__ for name in slots(c)]
