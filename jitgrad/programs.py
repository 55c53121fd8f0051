"""Programs by the structure that they were compiled for, and when there is none.

Input: a captured graph and what is wanted of it.  Output: a key, which names the structure; the entry of a program, compiled
if need be; or the reason to interpret instead.
Invariant: one entry serves every graph of its structure, whatever the lengths and values.
"""
from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitgrad.config import config, logger
from jitgrad.graph import Node, Spec

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram

Key = tuple
Then = Callable[[list[Node | None]], list[Node]]


@dataclass
class Stats:
    """Counters of this process, as `cache_info()` shows them."""

    compilations: int = 0
    memory_hits: int = 0
    disk_hits: int = 0
    interpreted: int = 0


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
    active = False


stats = Stats()
interpreting = _Interpreting()
known: dict[Key, Entry] = {}
MAX_PROGRAMS = 4096
# The last backward that went a way known before: a weak reference to the walk or plan that ran (see look_ahead.py).
latest: list[Any] = [None]
era = 0                         # counts clear(): walks of earlier ones are void
_lock = threading.RLock()       # held while a program is built, and the compiler imported
if hasattr(os, "register_at_fork"):
    # A fork waits for a compilation in another thread: the child has no such thread to finish it.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def make_key(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]) -> Key:
    """The structure of a request: nothing in it depends on values or lengths."""
    index = captured.index
    if len(roots) == 1 and cotangents[0] is None and wrt is captured.leaves:     # all leaves: they are in the structure
        return (tuple(captured.parts), index[roots[0]], config.target)
    return (tuple(captured.parts), tuple([index[n] for n in roots]),
            tuple([-1 if n is None else index[n] for n in cotangents]), tuple([index[n] for n in wrt]), config.target)


PATIENCE = 8            # requests for one long graph that are interpreted: they take as long as to compile it
LONGEST = 10            # times JITGRAD_MAX_NODES: the most operations that are compiled at all
_waited: dict[int, tuple[int, int]] = {}    # of long graphs, by hash of the structure: operations to compile, requests so far


def _waiting(captured: Capture) -> tuple[int, int, int]:
    """Of a long graph: its structure, how many of its operations differ (the repetitions of a loop count once), and how many
    requests have waited."""
    structure = hash(tuple(captured.parts))
    waited = _waited.get(structure)
    if waited is not None:
        return (structure, *waited)
    from jitgrad.compiler.stretches import cut
    return structure, cut(captured.order).distinct, 0


def has_to_wait(captured: Capture) -> bool:
    """Whether a graph is interpreted for now, since compiling it takes as long as many requests."""
    if len(captured.order) <= config.max_nodes:
        return False
    structure, count, times = _waiting(captured)
    if count <= config.max_nodes:
        return False
    if len(_waited) >= MAX_PROGRAMS:
        _waited.clear()
    _waited[structure] = count, times + 1
    return times < PATIENCE if count <= LONGEST * config.max_nodes else True


def interpret_reason(captured: Capture, key: Key | None = None) -> str | None:
    """Why this request (with this key) is not compiled, or None."""
    if interpreting.active:
        return "requested by jitgrad.interpret()"
    if config.interpret:
        return "requested by JITGRAD_INTERPRET=1"
    if len(captured.order) <= config.max_nodes or key in known:
        return None
    _, count, _ = _waiting(captured)
    if count <= config.max_nodes:
        return None
    later = f": interpreted {PATIENCE} times, then compiled" if count <= LONGEST * config.max_nodes else ""
    return f"{count} operations that do not repeat, more than JITGRAD_MAX_NODES={config.max_nodes}{later}"


def find(key: Key, captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
         extra: tuple[int, ...] = (), then: Then | None = None) -> Entry:
    """The entry of a request, compiled if need be."""
    return known.get(key) or compile_entry(key, captured, roots, cotangents, wrt, extra, then)


def compile_entry(key: Key, captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
                  extra: tuple[int, ...] = (), then: Then | None = None) -> Entry:
    """Compile a request, of which there is no entry, or one that does not return all of `extra`.

    then: what is computed of the gradients, too (see compiler.build.Request)."""
    with _lock:
        from jitgrad.compiler import build, cpu, stretches
        entry = known.get(key)
        if entry is not None and entry.extra == extra:
            return entry
        before = cpu.stats.kernels_compiled
        outputs = [*roots, *[captured.order[i] for i in extra]]
        request = build.Request(captured.order, outputs, list(roots), list(cotangents), list(wrt), then)
        program = (None if then is not None else stretches.compile_long(request)) or build.build(request)
        if cpu.stats.kernels_compiled > before:
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
    with _lock:
        era += 1
        known.clear()
        _waited.clear()
        stretches = sys.modules.get("jitgrad.compiler.stretches")
        if stretches is not None:
            stretches.forget()
        for name in vars(Stats()):
            setattr(stats, name, 0)
