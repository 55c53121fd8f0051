"""The cache of compiled schedules by graph structure, and when a structure is interpreted instead of compiled.

Input: a captured graph and what is wanted of it.  Output: a key, which names the structure; the entry of a schedule, compiled
if need be; or the reason to interpret instead.
Invariant: one entry serves every graph of its structure, whatever the lengths and values.
"""
from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from jitgrad.config import config
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.memory.threads import building
from jitgrad.requests.capture import Capture
from jitgrad.requests.counters import is_varying, stats, unreturned
from jitgrad.requests.schedules import segment
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.types.array import ArrayType

Key = tuple
MAX_ENTRIES = 4096
MOST_NOVEL = 4
NOVEL = 10          # structures more that are new than come again, for which two meetings more are interpreted before one is compiled


@dataclass(eq=False)
class Entry:
    """One structure that was asked for: its schedule, and which intermediates are read after the run."""

    program: Schedule
    extra: tuple[int, ...] = ()     # places whose values are returned as well, after the roots'
    looks: dict[int, int] = field(default_factory=dict)
    wanted: tuple[int, ...] = ()    # what `extra` should be: the next run rebuilds the schedule
    types: tuple[list[ArrayType], ...] = ()     # of the orders run last
    meetings: int = 1


class Run:
    """One backward that went through a graph.  Nodes refer to it; it refers to none of them.

    reason: why it was interpreted (then there is no entry)."""

    __slots__ = ("entry", "freed", "reason")

    def __init__(self, entry: Entry | None, freed: bool, reason: str | None) -> None:
        self.entry = entry
        self.freed = freed
        self.reason = reason


class _Interpreting(threading.local):
    active = False              # whoever sets it sets compiling_thread to 0 after it


compiling_thread = array("q", [0])      # as graph.recording_thread: not inside interpret()
interpreting = _Interpreting()
known: dict[Key, Entry] = {}
met: dict[Key, int] = {}        # structures that were interpreted for being new, and how often
looked_at: set[int] = set()     # signatures of roots that were looked at before their backward: Spec.sig
novelty = [0]                   # how many structures came for the first time, less how many came again
era = 0                         # counts clear(): patterns of earlier ones are void
era_word = array("q", [0])      # the same for machine code


def make_key(captured: Capture, roots: Sequence[tuple[int, bool]], wrt: Sequence[int] | None, outputs: Sequence[int] = ()) -> Key:
    """The structure of a request: nothing in it depends on values or lengths.

    roots: places, and whether their gradients are arrays.  wrt: places; None: all leaves."""
    stops = tuple(captured.stops)
    if len(roots) == 1 and wrt is None and not outputs and not stops and not roots[0][1]:
        return tuple(captured.parts), roots[0][0], config.target
    return (tuple(captured.parts), tuple(roots), None if wrt is None else tuple(wrt), tuple(outputs), stops, config.target)


def interpret_reason() -> str | None:
    """Why nothing is compiled now, or None."""
    if interpreting.active:
        return "requested by jitgrad.interpret()"
    return "requested by JITGRAD_INTERPRET=1" if config.interpret else None


def is_to_wait(key: Key, captured: Capture) -> bool:
    """Whether a structure without entry is not to be compiled yet, while structures keep coming that are new: the first meetings are
    interpreted, more of them the more structures came once for each that came again.  (Of a long graph probably the bodies of all
    loops are known if those of the last one were.)"""
    if not is_varying() or (segment.bodies_known[0] and len(captured.order) >= segment.FEWEST):
        return False
    novelty[0] = novelty[0] + 1 if key not in met else max(novelty[0] - 1, 0)
    return is_new(key, 1 + 2 * min(novelty[0] // NOVEL, MOST_NOVEL))


def is_new(key: Key, meetings: int) -> bool:
    """Whether a structure without entry has been met less than so many times before; this is one meeting more."""
    count = met.get(key, 0)
    if count >= meetings:
        return False
    if len(met) >= MAX_ENTRIES:
        met.pop(next(iter(met)))
    met[key] = count + 1
    return True


def hit(entry: Entry) -> None:
    """An entry serves once more."""
    entry.meetings += 1
    unreturned.discard(entry)


def is_outdated(entry: Entry) -> bool:
    """Whether an entry is to be made anew, to return more."""
    return bool(entry.wanted)


def find(key: Key, captured: Capture, roots: Sequence[tuple[int, bool]], wrt: Sequence[int], outputs: Sequence[int] = (),
         extra: tuple[int, ...] = ()) -> Entry:
    """The entry of a request, made and compiled if need be, or made anew if it does not return all of `extra`.

    The schedule's outputs are `outputs`, the roots where there are none, then `extra`."""
    with building:
        entry = known.get(key)
        if entry is not None and entry.extra == extra and not is_outdated(entry):
            return entry
        values = list(outputs) or [k for k, _ in roots]
        schedule = Schedule(captured, roots, [*values, *extra], wrt)
        schedule.compile(captured.order)
        if not roots and not captured.is_whole():
            raise InternalError("a graph has changed while it was compiled")
        if entry is None and len(known) >= MAX_ENTRIES:
            unreturned.discard(known.pop(next(iter(known))))
        if entry is not None:
            unreturned.discard(entry)
        # A new entry: another thread may be running the old one.
        made = known[key] = Entry(schedule, extra, {} if entry is None else entry.looks,
                                  meetings=1 if entry is None else entry.meetings)
        return made


def plain(captured: Capture, root: Node) -> tuple[Key, list[tuple[int, bool]], list[int]]:
    """Key, roots and places of a plain backward() from a captured root."""
    roots = [(captured.index[root], False)]
    return make_key(captured, roots, None), roots, [captured.index[n] for n in captured.leaves]


def program_for(captured: Capture, root: Node) -> tuple[str, Schedule]:
    """The schedule of a plain backward() from a captured root, compiled if need be, and where it came from."""
    if plain(captured, root)[0] in known:
        return "in memory", entry_for(captured, root).program
    before = stats.compilations
    program = entry_for(captured, root).program
    return "compiled now" if stats.compilations > before else "kernels found in the cache", program


def entry_for(captured: Capture, root: Node) -> Entry:
    """The entry of a plain backward() from a captured root, compiled if need be."""
    key, roots, wrt = plain(captured, root)
    return known.get(key) or find(key, captured, roots, wrt)


def clear() -> None:
    """Forget all programs of this process and reset the counters."""
    with building:
        _renew()
        met.clear()
        novelty[0] = 0
        looked_at.clear()
        segment.forget()
        stats.clear()


def _renew() -> None:
    """Have every request find its program anew."""
    global era
    era += 1
    era_word[0] = era
    known.clear()
    unreturned.clear()


def get_memory_limit() -> int | None:
    """The limit that `set_memory_limit` has set, in bytes; None where there is none."""
    return config.memory_limit


def set_memory_limit(bytes: int | None) -> None:
    """Let what the program of one gradient stores take at most so many bytes; None, as at first: whatever is quickest.

    What counts is the memory of intermediate values and gradients during one run; parameters, inputs and results, which the caller
    holds, come on top.  A Python loop whose derivative would need more stored (jitgrad.explain tells how much) keeps its state at the
    starts of blocks of iterations, about the square root of their number of them, and computes each block once more on the way back;
    an array that it writes to in place is part of the state.  Values and gradients are the same bits, and nothing is compiled for it.
    Under a limit a loop runs on one thread.  What cannot be done in less, such as values of each iteration that are read behind the
    loop, and graphs that do not repeat, is computed all the same, and a warning logged.  Where the limit changes, programs are
    planned anew at their next gradient.

    Raises TypeError unless given an int or None, ValueError unless the int is positive."""
    if bytes is not None and (not isinstance(bytes, int) or isinstance(bytes, bool)):
        raise TypeError(f"set_memory_limit expects a number of bytes as int, or None, but got {type(bytes).__name__}")
    if bytes is not None and bytes < 1:
        raise ValueError(f"set_memory_limit expects a positive number of bytes, or None, but got {bytes}")
    with building:
        if bytes != config.memory_limit:
            config.memory_limit = bytes
            _renew()
            segment.renew()
