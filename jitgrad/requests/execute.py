"""Serving requests: recognise | compile | interpret(reason), then run.

Input: roots of a recorded graph and what is wanted of it.  Output: arrays.
Invariant: what a request gives is the same, whatever serves it.

A graph like one served before is recognised by its pattern (matcher.py); otherwise it is captured, and its schedule found,
made, or done without: the interpreter goes the same way through segments and stops, node by node.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.config import config, logger
from jitgrad.differentiate import backward_graph, saved_operands
from jitgrad.graph import Node, become_input, input_node, topological
from jitgrad.requests import programs
from jitgrad.requests.capture import Capture, capture, gradient_inputs, passed
from jitgrad.requests.counters import hits, stats
from jitgrad.requests.matcher import Pattern
from jitgrad.requests.partition import first_partition
from jitgrad.requests.programs import Entry, Run, find, hit, interpret_reason, interpreting, is_outdated, make_key
from jitgrad.requests.schedule import ONE, Callbacks, Schedule

MAX_PATTERNS = 6            # from roots of one spec
MAX_DEPTH = 4096            # longest chain of pending operations; deeper ones are cut by computing the value there
MAX_HISTORY = 1 << 20       # of operations that gradients flow through, which stay whatever is computed: only a look is long
FEW = 4                     # operations whose values are computed node by node, which takes no longer
MEETINGS = 2                # of a structure whose values alone are asked for, before that is compiled
APART = 8                   # operations between values that a look keeps
# Nodes of a graph that is computed anew although its root has been looked at, so that the next look finds a program.
ANEW = 4096
VALUES = "values"


class Served(NamedTuple):
    """A request for gradients that has been served.  places: of what was wanted; arrays: their gradients (None: no path);
    interior: places of what gradients went through;
    recognised: whether by a pattern."""

    order: list[Node]
    places: Sequence[int]
    arrays: Sequence[np.ndarray | None]
    run: Run
    interior: Sequence[int]
    recognised: bool


class Wanted:
    """What gradients are asked for: of all leaves, or of the nodes that some tensors are.

    accumulators: histories.Accumulator of tensors that are leaves; nodes: of those that are not."""

    def __init__(self, accumulators: Collection[Any], nodes: Collection[Node]) -> None:
        self.accumulators = accumulators
        self.nodes = nodes

    @property
    def depth(self) -> int:
        """The least depth of what is wanted."""
        return 0 if self.accumulators else min([n.depth for n in self.nodes], default=0)

    @staticmethod
    def of_leaves(node: Node) -> bool:
        """Whether a node is a leaf that wants a gradient."""
        return node.extra is not None and node.extra.leaf is not None

    def has(self, node: Node) -> bool:
        """Whether a node is wanted."""
        return node in self.nodes or (node.extra is not None and node.extra.leaf is not None and node.extra.leaf in self.accumulators)

    def places(self, order: Sequence[Node]) -> list[int]:
        """Of an order, the places that are wanted."""
        return [k for k, n in enumerate(order) if n.requires_grad and self.has(n)]


# -- gradients -------------------------------------------------------------------------------------------------------

def gradients(roots: Sequence[Node], seeds: Sequence[np.ndarray | None], wanted: Wanted | None, retain: bool,
              callbacks: Callable[[Sequence[Node]], Callbacks],
              check: Callable[[Sequence[Node], Collection[Node]], None]) -> Served:
    """The gradients of some roots; the roots' values, and those that later requests need, are left on nodes.

    seeds: of each root its gradient, contiguous, or None for an implicit 1.  wanted: None for all leaves.  retain: whether the
    graph is to be gone through again.  callbacks(order): what is called at stops.  check(roots, nodes): raises what is wrong with
    the values that the nodes have saved."""
    kind = (*[s is not None for s in seeds], wanted is None, retain)
    given = [s for s in seeds if s is not None]
    if not (interpreting.active or config.interpret):
        for pattern in roots[0].spec.patterns:
            if pattern.kind == kind and pattern.era == programs.era and not is_outdated(pattern.entry):
                order, exact = pattern.match(roots)
                if order is not None and (wanted is None or wanted.places(order) == pattern.entry.program.wanted):
                    hits[0] += 1
                    hit(pattern.entry)
                    bound = pattern.bound if exact else pattern.entry.program.bind(order)
                    arrays = _run(pattern.entry, bound, order, roots, given, callbacks)
                    return Served(order, pattern.entry.program.wanted, arrays, Run(pattern.entry, True, None), pattern.interior, True)
    anew = len(roots) == 1 and roots[0].value is not None and roots[0].run is None and roots[0].depth < ANEW
    if anew:
        programs.looked_at.add(roots[0].spec.sig)
    captured = capture(roots, anew=anew)
    order, index = captured.order, captured.index
    interior = passed(order, roots)
    if wanted is None:
        places = [index[n] for n in captured.leaves]
    else:
        places = wanted.places(order)
        leading = _leading_to(order, interior, {order[k] for k in places})
        interior = [k for k in interior if order[k] in leading]
    if captured.special:
        check(roots, {order[k] for k in interior} | {order[k] for k in captured.stops})
    at = [(index[n], s is not None) for n, s in zip(roots, seeds, strict=True)]
    extra = tuple(_saved(captured, set(interior), {k for k, _ in at})) if retain else ()
    key = make_key(captured, at, None if wanted is None else places, extra)
    entry = programs.known.get(key)
    reason = interpret_reason()
    if reason is None and entry is None and programs.is_varying() and not first_partition(captured, True) and programs.is_new(key, 1):
        reason = "structures keep coming that are new: this one is compiled when it comes again"
    if reason is not None:
        arrays = _interpret(captured, at, given, places, callbacks(order) if captured.stops else Callbacks(), reason)
        for root in roots:
            if root.value is None:
                root.value = arrays.pop(0)
        return Served(order, places, arrays, Run(None, True, reason), interior, False)
    if entry is None:
        entry = find(key, captured, at, places, (), extra, True)
    elif is_outdated(entry):
        logger.info("rebuilding a program to return what is read after each backward" if entry.wanted else
                    "compiling as a whole what was cut in segments")
        entry = find(key, captured, at, places, (), entry.wanted or extra)
    else:
        hits[0] += 1
        hit(entry)
    bound = entry.program.bind(order)
    _learn(kind, captured, roots, interior, entry, bound)
    return Served(order, places, _run(entry, bound, order, roots, given, callbacks), Run(entry, True, None), interior, False)


def _run(entry: Entry, bound: Any, order: list[Node], roots: Sequence[Node], seeds: Sequence[np.ndarray],
         callbacks: Callable[[Sequence[Node]], Callbacks]) -> list[np.ndarray | None]:
    """Run a schedule; the values of the roots, and others that it returns, are left on their nodes."""
    size = len(order)
    values = [order[p].value if p < size else seeds[p - size] for p in bound.positions]
    schedule = entry.program
    results = bound.run(values, order, callbacks(order)) if schedule.stops else bound.run(values)
    return _leave(entry, order, results)


def _leave(entry: Entry, order: Sequence[Node], results: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Leave values on nodes; the gradients among results."""
    outputs = entry.program.outputs
    for k, array in zip(outputs, results, strict=False):
        if order[k].value is None:
            order[k].value = array
    return results[len(outputs):]


def _leading_to(order: Sequence[Node], interior: Sequence[int], wanted: Collection[Node]) -> set[Node]:
    """The nodes of the interior that lie strictly above a wanted one."""
    found: set[Node] = set()
    above: set[Node] = set()
    for n in order:
        if n.requires_grad and any([m in above or m in wanted for m in gradient_inputs(n)]):
            above.add(n)
    for k in interior:
        if order[k] in above:
            found.add(order[k])
    return found


def _saved(captured: Capture, interior: Collection[int], roots: Collection[int]) -> list[int]:
    """The places of the operations whose values the derivative reads: a graph that is to be gone through again keeps them."""
    order, children = captured.order, captured.children
    found: set[int] = set()
    for k in interior:
        if order[k].inputs and children[k]:
            found.update([k if i < 0 else children[k][i] for i in _read(order[k])])
    return [k for k in sorted(found) if children[k] and order[k].inputs and k not in captured.known and k not in roots]


def _read(node: Node) -> Sequence[int]:
    """Which operands a derivative reads (-1: the result); none where there is no derivative."""
    try:
        return saved_operands(node)
    except RuntimeError:
        return ()


def _learn(kind: Any, captured: Capture, roots: Sequence[Node], interior: list[int], entry: Entry, bound: Any) -> None:
    """Remember the way through a graph that comes a second time with the same lengths."""
    types = [n.spec.type for n in captured.order]
    if entry.types == types:
        pattern = Pattern(kind, captured, roots, interior, entry, bound, programs.era)
        spec = roots[0].spec
        others = [p for p in spec.patterns
                  if p.entry is not entry or p.kind != kind or (p.owners is None) is not (pattern.owners is None)]
        spec.patterns = (pattern, *others[:MAX_PATTERNS - 1])
    entry.types = types


def plain_backward(root: Node) -> tuple[list[Node], Sequence[np.ndarray | None]] | None:
    """All leaves below a scalar root and their gradients where a look at the root has computed them already, the nodes marked as
    gone through; None otherwise."""
    extra = root.extra
    if extra is None or extra.held is None:
        return None
    held, extra.held = extra.held, None
    for pattern in root.spec.patterns:
        if pattern.kind == PLAIN and pattern.entry is held[0]:
            order, _ = pattern.match((root,))
            if order is not None:
                leaves = [order[k] for k in pattern.leaves]
                if leaves != held[1]:
                    return None
                mark(order, pattern.interior, Run(held[0], True, None))
                return leaves, held[2]
    captured = capture((root,), anew=True)
    if captured.special or held[1] != captured.leaves:
        return None
    run = Run(held[0], True, None)
    mark(captured.order, passed(captured.order, (root,)), run)
    return captured.leaves, held[2]


def mark(order: Sequence[Node], interior: Iterable[int], run: Run) -> None:
    """Note on nodes that a backward went through them."""
    for k in interior:
        node = order[k]
        node.run = run
        node.position = k


def _interpret(captured: Capture, roots: Sequence[tuple[int, bool]], seeds: Sequence[np.ndarray], places: Sequence[int],
               callbacks: Callbacks, reason: str) -> list[Any]:
    """The values of the roots that are not known, then the gradients, node by node."""
    stats.interpreted += 1
    logger.debug("interpreted: %s", reason)
    order = captured.order
    memo: dict[Node, np.ndarray] = {}
    values = interpreter.evaluate([order[k] for k, _ in roots if order[k].value is None], memo, keep=True)
    schedule = Schedule(captured, roots, (), places)
    arrays = iter(seeds)
    start = {k: next(arrays) if given else ONE for k, given in roots}

    def segment(number: int, taken: dict[int, Any]) -> Iterable[tuple[int, Any]]:
        part = schedule.segments[number]
        stop = [order[k] for k in part.ins]
        cotangents = [None if g is ONE else input_node(g, order[k].spec.type) for k, g in taken.items()]
        found = backward_graph([*stop, *[order[k] for k in part.body]], [order[k] for k in taken], cotangents,
                               [order[k] for k in part.gives], set(stop))
        given = [k for k in part.gives if order[k] in found]
        return zip(given, interpreter.evaluate([found[order[k]] for k in given], memo, keep=True), strict=True)

    def add(k: int, a: Any, b: Any) -> np.ndarray:
        return np.asarray(interpreter.quiet.run(np.add, explicit(order[k], a), b))

    found = schedule.sweep(start, segment, add, callbacks)
    return [*values, *[own(explicit(order[k], found[k])) if k in found else None for k in places]]


def explicit(node: Node, gradient: Any) -> np.ndarray:
    """A gradient as an array, also where it is a root's implicit 1."""
    return np.ones(node.spec.type.shape, node.spec.type.dtype.np) if gradient is ONE else gradient


def own(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array for a result (a gradient may be a broadcast or transposed view of another array)."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape)


def asker(root: Node, entry: Entry) -> Any:
    """Who has asked for more than the gradients of graphs like this, by speculate.Source.ask; None if nobody has."""
    for pattern in root.spec.patterns:
        if pattern.entry is entry and pattern.asker is not None:
            return pattern.asker()
    return None


# -- values ----------------------------------------------------------------------------------------------------------


def cut(node: Node) -> None:
    """Bound the chain of pending operations: compute the value here (but a trace is to see all of it)."""
    if node.depth <= MAX_HISTORY and (node.requires_grad or tracing.current() is not None):
        return
    array = value(node)
    if not node.requires_grad:      # the history stays, as it does in PyTorch
        become_input(node, array)


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
    """Compute a pending node's value: by the joint program of a scalar root, if there is one, whose gradients are then held for
    backward(), or what is not known yet of the graph below."""
    if config.interpret or interpreting.active:
        node.value = interpreter.evaluate([node])[0]
        return
    for n in _frontier(node):
        if n.value is None:
            if n.run is not None:
                _note_look(n)
            elif n.type.size == 1:
                _look_joint(n)
    if node.value is None:
        _values(node)


def _frontier(node: Node) -> list[Node]:
    """The node itself, or, below a node without gradient, the first ones with: those that a backward may reach."""
    if node.requires_grad:
        return [node]
    order = topological([node], lambda n: () if n.requires_grad or n.value is not None else n.inputs)
    return [n for n in order if n.requires_grad and n.inputs]


def _look_joint(root: Node) -> None:
    """Run the program of a backward from here, if there is one."""
    for pattern in root.spec.patterns:
        if pattern.kind == PLAIN and pattern.era == programs.era and not pattern.stops:
            order, exact = pattern.match((root,))
            if order is not None:
                hits[0] += 1
                bound = pattern.bound if exact else pattern.entry.program.bind(order)
                arrays = _run(pattern.entry, bound, order, (root,), (), _no_callbacks)
                root.ensure_extra().held = (pattern.entry, [order[k] for k in pattern.leaves], arrays)
                return
    if root.spec.sig not in programs.looked_at or root.depth > ANEW:
        return
    captured = capture((root,), anew=True)
    if captured.special or not captured.leaves:
        return
    entry = programs.known.get(programs.plain(captured, root)[0])
    if entry is not None:
        hits[0] += 1
        bound = entry.program.bind(captured.order)
        arrays = _run(entry, bound, captured.order, (root,), (), _no_callbacks)
        root.ensure_extra().held = (entry, captured.leaves, arrays)


PLAIN = (False, True, False)        # the kind of a plain backward


def _no_callbacks(order: Sequence[Node]) -> Callbacks:
    return Callbacks()


def _note_look(node: Node) -> None:
    """An intermediate is read after backward.  From the second time on, its program is to return it too."""
    entry = node.run.entry
    if entry is not None and node.position not in entry.extra:
        looks = entry.looks[node.position] = entry.looks.get(node.position, 0) + 1
        if looks == 2:
            entry.wanted = tuple(sorted({*entry.extra, *entry.wanted, node.position}))


def _values(node: Node) -> None:
    """Compute a node's value, and keep with it those that later looks and derivatives begin from."""
    for pattern in node.spec.patterns:
        if pattern.kind == VALUES and pattern.era == programs.era:
            order, exact = pattern.match((node,))
            if order is not None:
                hits[0] += 1
                bound = pattern.bound if exact else pattern.entry.program.bind(order)
                _leave(pattern.entry, order, bound.run([order[p].value for p in bound.positions]))
                return
    few = _few(node)
    if few is not None and node.spec.type.size <= 4096:
        for n in few:
            n.value = own(interpreter.quiet.run(interpreter.apply, n, [interpreter.known(m) for m in n.inputs]))
        return
    captured = capture((node,), gradients=False)
    order = captured.order
    keep = _kept(captured)
    key = make_key(captured, (), (), keep)
    entry = programs.known.get(key)
    if entry is not None:
        hits[0] += 1
        hit(entry)
    elif not programs.is_new(key, MEETINGS):
        entry = find(key, captured, (), (), keep)
    if entry is None:
        for k, array in zip(keep, interpreter.evaluate([order[k] for k in keep]), strict=True):
            order[k].value = own(array)
        return
    bound = entry.program.bind(order)
    _learn(VALUES, captured, (node,), [], entry, bound)
    _leave(entry, order, bound.run([order[p].value for p in bound.positions]))


def _few(node: Node) -> list[Node] | None:
    """The operations that are to be computed for a node's value, inputs first, if they are few."""
    order: list[Node] = []
    stack = [node]
    while stack:
        n = stack[-1]
        for m in n.inputs:
            if m.value is None and m.inputs and m not in order:
                stack.append(m)
                break
        else:
            stack.pop()
            order.append(n)
        if len(stack) + len(order) > FEW + 1:
            return None
    return order


def _kept(captured: Capture) -> list[int]:
    """The places whose values a look keeps: of what it asks for; and, of what gradients go through, those that a derivative reads,
    what something smaller is made from (which is mostly what was looked at), where ways meet (a state and its change, a total), and
    a value every few operations."""
    order, children = captured.order, captured.children
    found = {len(order) - 1}
    apart = [0] * len(order)
    for k, of in enumerate(children):
        node = order[k]
        if not of or not node.requires_grad:
            continue
        reads = [k if i < 0 else of[i] for i in _read(node)]
        smaller = [j for j in of if order[j].spec.type.size > node.spec.type.size]
        found.update([j for j in (*reads, *smaller) if children[j] and order[j].requires_grad])
        if sum([order[j].requires_grad for j in of]) > 1:
            found.add(k)
        apart[k] = 1 + max([apart[j] for j in of if j not in found], default=0)
        if apart[k] > APART:
            found.add(k)
    return sorted(found)


def values_program(outputs: Sequence[Node]) -> tuple[Schedule, list[Node], list[int]]:
    """A program for values alone: what to run with which order, and which of its results each output is."""
    captured = capture(outputs, gradients=False)
    positions = [captured.index[n] for n in outputs]
    extra = sorted(set(positions))
    entry = find(make_key(captured, (), (), extra), captured, (), (), extra)
    return entry.program, captured.order, [extra.index(i) for i in positions]


def mark_freed(root: Node, entry: Entry) -> None:
    """Note that a backward went through the graph below a root that was made afterwards."""
    order = topological([root])
    mark(order, passed(order, (root,)), Run(entry, True, None))
