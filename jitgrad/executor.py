"""A request for values or gradients: hit | compile | interpret(reason).

`capture` turns the recorded graph below some roots into an order and a key; the key names a structure, and one
compiled program serves every graph of that structure.  What must run Python in the middle of a backward never gets
here: autograd/engine.py cuts the graph there.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.config import config, logger
from jitgrad.differentiate import backward_graph
from jitgrad.graph import INPUT, Node, Spec, become_input, topological
from jitgrad.walk import Walk

if TYPE_CHECKING:
    from jitgrad.compiler.program import Program

Key = tuple


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

    program: Program
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
programs: dict[Key, Entry] = {}
MAX_PROGRAMS = 4096
_era = 0                        # counts clear(): walks of earlier ones are void
_lock = threading.RLock()       # held while a program is built, and the compiler imported
if hasattr(os, "register_at_fork"):
    # A fork waits for a compilation in another thread: the child has no such thread to finish it.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def capture(roots: Sequence[Node], again: bool = False) -> Capture:
    """Walk the recorded graph once, inputs first: order, structure and what is special about it.

    again: nodes that read a graph which a backward has finished with stay as they are, as when that backward captured
    them; otherwise their values enter as arrays."""
    order: list[Node] = []
    index: dict[Node, int] = {}
    leaves: list[Node] = []
    parts: list[int] = []
    special = False
    stack: list[Node | None] = [None]       # None stands for what has the roots as inputs
    while stack:
        node = stack[-1]
        if node is None:
            inputs = roots
        elif node in index:
            stack.pop()
            continue
        else:
            inputs = node.inputs
            if not node.requires_grad and not again and _reads_finished_graph(node):
                become_input(node, value(node))
                inputs = ()
        for n in inputs:
            if n in index:
                continue
            if n.inputs:
                stack.append(n)
                break
            index[n] = len(order)
            order.append(n)
            spec = n.spec
            parts.append(spec.sig * 2 + n.requires_grad)
            if spec.op is INPUT:
                # A second integer: the layout, which decides how a kernel addresses the array.
                parts.append(-1 if not spec.type.shape or n.value.flags.c_contiguous else -2)
                if n.requires_grad:
                    leaves.append(n)
                extra = n.extra
                if extra is not None and (extra.fn is not None or (
                        extra.cell is not None and extra.cell.value != extra.version)):
                    special = True
        else:
            stack.pop()
            if node is None or not node.inputs:     # the latter: it has just become a leaf, which its user takes up
                continue
            index[node] = len(order)
            order.append(node)
            parts.append(node.spec.sig * 2 + node.requires_grad)
            for n in inputs:
                parts.append(index[n])
            if node.run is not None:
                special = True
            extra = node.extra
            if extra is not None and not special and (
                    extra.watch is not None or (extra.cell is not None and extra.cell.value != extra.version)):
                special = True
    return Capture(order, index, leaves, special, parts)


def _reads_finished_graph(node: Node) -> bool:
    """Whether this node without gradient reads one that an earlier backward has finished with: its value is final and
    belongs to that graph, so that it enters the present one as an array."""
    for n in node.inputs:
        if n.run is not None and n.run.freed:
            return True
    return False


def make_key(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]) -> Key:
    """The structure of a request: nothing in it depends on values or lengths."""
    index = captured.index
    if len(roots) == 1 and cotangents[0] is None and wrt is captured.leaves:     # all leaves: they are in the structure
        return (tuple(captured.parts), index[roots[0]], config.target)
    return (tuple(captured.parts), tuple([index[n] for n in roots]),
            tuple([-1 if n is None else index[n] for n in cotangents]), tuple([index[n] for n in wrt]), config.target)


PATIENCE = 8            # requests for one long graph that are interpreted: they take as long as to compile it
LONGEST = 10            # times JITGRAD_MAX_NODES: the longest graph that is compiled at all
_waited: dict[int, int] = {}        # how many have been, by hash of the key


def _has_come_often(key: Key) -> bool:
    """Whether a long graph is to be compiled now."""
    if len(_waited) >= MAX_PROGRAMS:
        _waited.clear()
    times = _waited[hash(key)] = _waited.get(hash(key), 0) + 1
    return times > PATIENCE


def interpret_reason(captured: Capture, key: Key | None = None) -> str | None:
    """Why this request (with this key) is not compiled, or None."""
    if interpreting.active:
        return "requested by jitgrad.interpret()"
    if config.interpret:
        return "requested by JITGRAD_INTERPRET=1"
    if len(captured.order) <= config.max_nodes or key in programs:
        return None
    later = f": interpreted {PATIENCE} times, then compiled" if len(captured.order) <= LONGEST * config.max_nodes else ""
    return f"{len(captured.order)} operations, more than JITGRAD_MAX_NODES={config.max_nodes}{later}"


def gradients(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None],
              wrt: Sequence[Node]) -> tuple[list[np.ndarray | None], Run]:
    """Gradients of the roots with respect to `wrt` (None: no path), and the values of the roots left on them.

    cotangents: per root a node in the order, or None for the implicit 1."""
    if interpreting.active or config.interpret:
        return _interpret(captured, roots, cotangents, wrt, interpret_reason(captured) or "")
    key = make_key(captured, roots, cotangents, wrt)
    entry = programs.get(key)
    if entry is None:
        length = len(captured.order)
        if length > config.max_nodes and (length > LONGEST * config.max_nodes or not _has_come_often(key)):
            return _interpret(captured, roots, cotangents, wrt, interpret_reason(captured) or "")
        entry = _compile(key, captured, roots, cotangents, wrt)
    elif entry.wanted:
        logger.info("rebuilding a program to return what is read after each backward")
        entry = _compile(key, captured, roots, cotangents, wrt, entry.wanted)
    else:
        stats.memory_hits += 1
    return _run(entry, captured.order, roots), Run(entry, True, None)


def _run(entry: Entry, order: list[Node], roots: Sequence[Node]) -> list[np.ndarray | None]:
    """Run a program; the values of the roots, and others that it returns, are left on their nodes."""
    return _deliver(entry, order, roots, entry.program.run(order))


def _deliver(entry: Entry, order: list[Node], roots: Sequence[Node],
             results: list[np.ndarray | None]) -> list[np.ndarray | None]:
    for root, array in zip(roots, results, strict=False):
        if root.value is None:
            root.value = array
    n = len(roots)
    if entry.extra:
        for i, array in zip(entry.extra, results[n:], strict=False):
            if order[i].value is None:
                order[i].value = array
        n += len(entry.extra)
    return results[n:]


def plain_backward(root: Node) -> tuple[list[Node], list[np.ndarray | None]] | None:
    """All leaves below a scalar root and their gradients, the nodes marked as gone through; None where the graph needs
    autograd's attention.

    A graph like one seen before is recognised by following the same way, which costs a third of capturing it (the usual
    case of that is known_backward's)."""
    walk = order = held = None
    arrays: list[np.ndarray | None] = []
    run = None
    extra = root.extra
    if extra is not None:
        held = extra.held
        if extra.watch is not None or (extra.cell is not None and extra.cell.value != extra.version):
            return None
    if root.run is None and not interpreting.active and not config.interpret:
        for walk in root.spec.walks:
            if walk.era == _era and not walk.entry.wanted:
                order = walk.match(root)
                if order is not None:
                    break
    if order is not None and walk is not None:
        leaves = [order[i] for i in walk.leaves]
        interior, entry = walk.interior, walk.entry
        if held is None:
            stats.memory_hits += 1
            bound = walk.bound
            if bound is None:
                arrays = _run(entry, order, (root,))
            else:
                arrays = _deliver(entry, order, (root,), bound.run([order[p].value for p in bound.positions]))
            run = Run(entry, True, None)
    else:
        captured = capture((root,))
        if captured.special:
            return None
        order, leaves = captured.order, captured.leaves
        interior = [i for i, n in enumerate(order) if n.inputs]
        if held is None:
            arrays, run = gradients(captured, (root,), (None,), leaves)
            if run.entry is not None:
                _learn(captured, root, run.entry)
    if held is not None and extra is not None:      # an earlier look at the value has computed them
        if held[1] != leaves:
            return None
        extra.held = None
        arrays, run = held[2], Run(held[0], True, None)
    for i in interior:
        node = order[i]
        node.run = run
        node.position = i
    return leaves, arrays


def known_backward(root: Node) -> tuple[list[Node], list[np.ndarray | None]] | None:
    """The usual case of plain_backward: a graph like one seen before, at whose values nobody looks.  None otherwise."""
    extra = root.extra
    if root.run is not None or interpreting.active or config.interpret or (extra is not None and (
            extra.held is not None or extra.watch is not None or (extra.cell is not None and extra.cell.value != extra.version))):
        return None
    for walk in root.spec.walks:
        entry = walk.entry
        if walk.again is not None and walk.era == _era and not entry.wanted and not entry.extra:
            found = walk.again(root, _run_freed)
            if found is not None:
                stats.memory_hits += 1
                return found
    return None


def _run_freed(entry: Entry) -> Run:
    return Run(entry, True, None)


MAX_WALKS = 4           # from roots of one spec


def _learn(captured: Capture, root: Node, entry: Entry) -> None:
    """Remember the way through a graph that comes a second time with the same lengths."""
    specs = [n.spec for n in captured.order]
    if entry.specs == specs and root.inputs:
        bound = None
        if all([n.value.flags.c_contiguous for n in captured.order if n.spec.op is INPUT]):
            bound = entry.program.bind(captured.order)      # of other arrays a walk does not know the strides
        walk = Walk(captured.order, captured.index, root, captured.leaves, entry, bound, _era)
        root.spec.walks = (walk, *root.spec.walks[:MAX_WALKS - 1])
    entry.specs = specs


def _compile(key: Key, captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
             extra: tuple[int, ...] = ()) -> Entry:
    with _lock:
        from jitgrad.compiler import build, cpu
        entry = programs.get(key)
        if entry is not None and entry.extra == extra:
            return entry
        before = cpu.stats.kernels_compiled
        outputs = [*roots, *[captured.order[i] for i in extra]]
        program = build.build(build.Request(captured.order, outputs, list(roots), list(cotangents), list(wrt)))
        if cpu.stats.kernels_compiled > before:
            stats.compilations += 1
        else:
            stats.disk_hits += 1
        logger.info("program of %d operations: %d kernels", len(captured.order), len(program.kernels))
        if entry is None and len(programs) >= MAX_PROGRAMS:
            programs.pop(next(iter(programs)))
        looks = {} if entry is None else entry.looks
        entry = programs[key] = Entry(program, extra, looks)     # a new entry: another thread may be running the old one
        return entry


def _interpret(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node],
               reason: str) -> tuple[list[np.ndarray | None], Run]:
    stats.interpreted += 1
    logger.debug("interpreted: %s", reason)
    grads = backward_graph(captured.order, roots, cotangents, wrt)
    found = [grads[n] for n in wrt if n in grads]
    arrays = interpreter.evaluate([*roots, *found])
    for root, array in zip(roots, arrays, strict=False):
        if root.value is None:
            root.value = array
    by_node = dict(zip([n for n in wrt if n in grads], arrays[len(roots):], strict=True))
    return [None if n not in by_node else own(by_node[n]) for n in wrt], Run(None, True, reason)


def own(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array for a result (a gradient may be a broadcast or transposed view of another array)."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape)


MAX_DEPTH = 4096        # longest chain of pending operations; deeper ones are cut by computing the value there
MAX_HISTORY = 1 << 20   # of operations that gradients flow through, which stay whatever is computed: only a look is long


def cut(node: Node) -> None:
    """Bound the chain of pending operations: compute the value here (but a trace is to see all of it)."""
    if node.depth <= MAX_HISTORY and (node.requires_grad or tracing.current() is not None):
        return
    array = value(node)
    if node.requires_grad:
        node.depth = 0          # later operations count from here; the history stays, as it does in PyTorch
    else:
        become_input(node, array)


# -- values ----------------------------------------------------------------------------------------------------------


def value(node: Node) -> np.ndarray:
    """The array of a node; computed and kept on the node if it is not known yet."""
    if tracing.traces:
        trace = tracing.current()
        if trace is not None:
            trace.reads.append(node)
    array = node.value
    if array is None:
        _look(node)
        return node.value
    return array if type(array) is np.ndarray else interpreter.leaf_value(node)


def _look(node: Node) -> None:
    """Compute a pending node's value by what is already there: the joint program of a scalar root, whose gradients are
    then held for backward(), or the interpreter.  Nothing is compiled for a first look."""
    if not (config.interpret or interpreting.active):
        for n in _frontier(node):
            if n.value is not None:
                continue
            if n.run is not None:
                _note_look(n)
            elif n.type.size == 1:
                _look_joint(n)
    if node.value is None:
        node.value = interpreter.evaluate([node])[0]


def _frontier(node: Node) -> list[Node]:
    """The node itself, or, below a node without gradient, the first ones with: those that a backward may reach."""
    if node.requires_grad:
        return [node]
    order = topological([node], lambda n: () if n.requires_grad or n.value is not None else n.inputs)
    return [n for n in order if n.requires_grad and n.inputs]


def _look_joint(root: Node) -> None:
    captured = capture([root])
    if captured.special or not captured.leaves:
        return
    entry = programs.get(make_key(captured, [root], [None], captured.leaves))
    if entry is not None:
        stats.memory_hits += 1
        grads = _run(entry, captured.order, [root])
        root.ensure_extra().held = (entry, captured.leaves, grads)


def _note_look(node: Node) -> None:
    """An intermediate is read after backward.  From the second time on, its program is to return it too."""
    entry = node.run.entry
    if entry is not None and node.position not in entry.extra:
        looks = entry.looks[node.position] = entry.looks.get(node.position, 0) + 1
        if looks == 2:
            entry.wanted = tuple(sorted({*entry.extra, *entry.wanted, node.position}))


def values_program(outputs: Sequence[Node]) -> tuple[Program, list[Node], list[int]]:
    """A program for values alone: what to run with which order, and which of its results each output is."""
    captured = capture(outputs)
    positions = [captured.index[n] for n in outputs]
    extra = tuple(sorted(set(positions)))
    key = (tuple(captured.parts), "values", extra, config.target)
    entry = programs.get(key)
    if entry is None:
        entry = _compile(key, captured, (), (), (), extra)
    return entry.program, captured.order, [extra.index(i) for i in positions]


def program_for(captured: Capture, root: Node) -> tuple[str, Program]:
    """The program of a plain backward() from a captured root, compiled if need be, and where it came from."""
    if make_key(captured, [root], [None], captured.leaves) in programs:
        return "in memory", entry_for(captured, root)[1]
    before = stats.compilations
    _, program = entry_for(captured, root)
    return "compiled now" if stats.compilations > before else "kernels found in the cache", program


def entry_for(captured: Capture, root: Node) -> tuple[Entry, Program]:
    """The entry and program of a plain backward() from a captured root, compiled if need be."""
    key = make_key(captured, [root], [None], captured.leaves)
    entry = programs.get(key) or _compile(key, captured, [root], [None], captured.leaves)
    return entry, entry.program


def mark_freed(root: Node, entry: Entry) -> None:
    """Note that a backward went through the graph below a root that was made afterwards."""
    run = Run(entry, True, None)
    for i, node in enumerate(topological([root])):
        if node.inputs:
            node.run, node.position = run, i


def era() -> int:
    """Changes when all programs are forgotten."""
    return _era


def clear() -> None:
    """Forget all programs of this process and reset the counters."""
    global _era
    with _lock:
        _era += 1
        programs.clear()
        _waited.clear()
        for name in vars(Stats()):
            setattr(stats, name, 0)
