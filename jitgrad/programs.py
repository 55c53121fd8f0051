"""Programs by the structure that they were compiled for, and when there is none.

Input: a captured graph and what is wanted of it.  Output: a key, which names the structure; the entry of a program, compiled
if need be; or the reason to interpret instead.
Invariant: one entry serves every graph of its structure, whatever the lengths and values.
"""
from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitgrad.config import config, logger
from jitgrad.graph import Node, Spec
from jitgrad.threads import building

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram

Key = tuple
Then = Callable[[list[Node | None]], list[Node]]


hits = array("q", [0])      # Stats.memory_hits, which machine code counts too


class Stats:
    """Counters of this process, as `cache_info()` shows them."""

    def __init__(self) -> None:
        self.compilations = 0
        self.disk_hits = 0
        self.interpreted = 0

    @property
    def memory_hits(self) -> int:
        """Requests that a program in memory served."""
        return hits[0]

    def clear(self) -> None:
        """Count from 0."""
        self.compilations = self.disk_hits = self.interpreted = hits[0] = 0


@dataclass(eq=False)
class Entry:
    """One structure that was asked for: its program, and which intermediates are read after the run."""

    program: AnyProgram
    extra: tuple[int, ...] = ()     # positions in the order that the program returns as well, after the roots
    looks: dict[int, int] = field(default_factory=dict)
    wanted: tuple[int, ...] = ()    # what `extra` should be: the next run rebuilds the program
    specs: list[Spec] | None = None  # of the order last run


class Run:
    """One backward that went through a graph.  Nodes refer to it; it refers to none of them.

    reason: why it was interpreted (then there is no entry)."""

    __slots__ = ("entry", "freed", "reason")

    def __init__(self, entry: Entry | None, freed: bool, reason: str | None) -> None:
        self.entry = entry
        self.freed = freed
        self.reason = reason


class Capture:
    """The graph below some roots, ready to be looked up.

    leaves: INPUT nodes that want gradients, and outputs of Functions.  special: some node needs autograd's attention:
    it is freed, stale, hooked or a Function.  parts: the structure, as integers."""

    __slots__ = ("order", "index", "leaves", "special", "parts")

    def __init__(self, order: list[Node], index: dict[Node, int], leaves: list[Node], special: bool,
                 parts: list[int]) -> None:
        self.order = order
        self.index = index
        self.leaves = leaves
        self.special = special
        self.parts = parts


class _Interpreting(threading.local):
    active = False              # whoever sets it sets compiling_thread to 0 after it


compiling_thread = array("q", [0])      # as graph.recording_thread: not inside interpret()


stats = Stats()
interpreting = _Interpreting()
known: dict[Key, Entry] = {}
MAX_PROGRAMS = 4096
# The last backward that went a way known before: a weak reference to the walk or plan that ran (see look_ahead.py).
latest: list[Any] = [None]
era = 0                         # counts clear(): walks of earlier ones are void
era_word = array("q", [0])      # the same for machine code


def make_key(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]) -> Key:
    """The structure of a request: nothing in it depends on values or lengths."""
    index = captured.index
    if len(roots) == 1 and cotangents[0] is None and wrt is captured.leaves:     # all leaves: they are in the structure
        return (tuple(captured.parts), index[roots[0]], config.target)
    return (tuple(captured.parts), tuple([index[n] for n in roots]),
            tuple([-1 if n is None else index[n] for n in cotangents]), tuple([index[n] for n in wrt]), config.target)


def interpret_reason() -> str | None:
    """Why nothing is compiled now, or None."""
    if interpreting.active:
        return "requested by jitgrad.interpret()"
    return "requested by JITGRAD_INTERPRET=1" if config.interpret else None


def find(key: Key, captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
         extra: tuple[int, ...] = (), then: Then | None = None) -> Entry:
    """The entry of a request, compiled if need be."""
    return known.get(key) or compile_entry(key, captured, roots, cotangents, wrt, extra, then)


def compile_entry(key: Key, captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
                  extra: tuple[int, ...] = (), then: Then | None = None) -> Entry:
    """Compile a request, of which there is no entry, or one that does not return all of `extra`.

    then: what is computed of the gradients, too (see compiler.build.Request)."""
    with building:
        from jitgrad.compiler.numba_cpu import headroom
        headroom.require_library()
        from jitgrad.compiler import build
        from jitgrad.compiler.numba_cpu import kernels
        from jitgrad.compiler.partition import choose
        entry = known.get(key)
        if entry is not None and entry.extra == extra:
            return entry
        before = kernels.stats.kernels_compiled
        outputs = [*roots, *[captured.order[i] for i in extra]]
        request = build.Request(captured.order, outputs, list(roots), list(cotangents), list(wrt), then=then)
        program = choose.compile_request(request)
        if kernels.stats.kernels_compiled > before:
            stats.compilations += 1
        else:
            stats.disk_hits += 1
        logger.info("program of %d operations: %d kernels", len(captured.order), len(program.kernels))
        if entry is None and len(known) >= MAX_PROGRAMS:
            known.pop(next(iter(known)))
        looks = {} if entry is None else entry.looks
        entry = known[key] = Entry(program, extra, looks)     # a new entry: another thread may be running the old one
        return entry


def program_for(captured: Capture, root: Node) -> tuple[str, AnyProgram]:
    """The program of a plain backward() from a captured root, compiled if need be, and where it came from."""
    if make_key(captured, [root], [None], captured.leaves) in known:
        return "in memory", entry_for(captured, root)[1]
    before = stats.compilations
    _, program = entry_for(captured, root)
    return "compiled now" if stats.compilations > before else "kernels found in the cache", program


def entry_for(captured: Capture, root: Node) -> tuple[Entry, AnyProgram]:
    """The entry and program of a plain backward() from a captured root, compiled if need be."""
    key = make_key(captured, [root], [None], captured.leaves)
    entry = find(key, captured, [root], [None], captured.leaves)
    return entry, entry.program


def clear() -> None:
    """Forget all programs of this process and reset the counters."""
    global era
    with building:
        era += 1
        era_word[0] = era
        known.clear()
        stretches = sys.modules.get("jitgrad.compiler.partition.stretches")
        if stretches is not None:
            stretches.forget()
        stats.clear()
