"""Serving requests for gradients: recognise | compile | interpret(reason), then run.

Input: roots of a recorded graph and what is wanted of it.  Output: arrays.
Invariant: what a request gives is the same, whatever serves it.

A graph like one served before is recognised by its pattern (matcher.py); otherwise it is captured, and its schedule found,
made, or done without: the interpreter goes the same way through segments and stops, node by node.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jitgrad.config import config, logger
from jitgrad.differentiate import saved_operands
from jitgrad.graph.node import Node
from jitgrad.graph.recording import become_input, in_grad_mode
from jitgrad.requests import schedule_cache
from jitgrad.requests.capture import Capture, capture, gradient_inputs, passed
from jitgrad.requests.counters import hits, repeats, unreturned
from jitgrad.requests.interpret import interpret
from jitgrad.requests.matcher import ANY_DEPTH, Pattern
from jitgrad.requests.schedule_cache import Entry, Run, find, hit, interpret_reason, interpreting, is_outdated, make_key
from jitgrad.requests.schedules.segment import bodies_known
from jitgrad.requests.schedules.stops import Callbacks

T = TypeVar("T")
MAX_PATTERNS = 64           # from roots of one spec
TURNS = 4               # lengths of one structure that take turns, each with a pattern of its own
PLAIN = (False, True, False)        # the kind of a plain backward
# Nodes of a graph that is computed anew although its root has been looked at, so that the next look finds a program.
ANEW = 4096


class Served(NamedTuple):
    """A request for gradients that has been served.  places: of what was wanted; arrays: their gradients (None: no path);
    interior: places of what gradients went through."""

    order: list[Node]
    places: Sequence[int]
    arrays: Sequence[np.ndarray | None]
    run: Run
    interior: Sequence[int]


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

    def places(self, order: Sequence[Node], leaves: Sequence[int]) -> list[int]:
        """Of an order, the places that are wanted.  leaves: those of leaves with gradients."""
        extras = [(k, order[k].extra) for k in leaves] if self.accumulators else ()
        found = [k for k, extra in extras if extra is not None and extra.leaf in self.accumulators]
        if self.nodes:
            found = sorted({*found, *[k for k, n in enumerate(order) if n in self.nodes]})
        return found


# -- gradients -------------------------------------------------------------------------------------------------------

def recognise(roots: Sequence[Node], kind: Any) -> Iterator[tuple[Entry, Pattern, list[Node], Any]]:
    """The requests of this kind that were served before of graphs like the one below the roots: entry, pattern, order, and what is
    bound for the order's sizes."""
    depth = roots[0].depth
    for pattern in roots[0].spec.patterns:
        if pattern.kind == kind and pattern.era == schedule_cache.era and (pattern.depth == depth or pattern.depth == ANY_DEPTH):
            order, exact = pattern.match(roots)
            if order is not None:
                yield pattern.entry, pattern, order, pattern.bound if exact else pattern.bind(order)


def repeat(roots: Sequence[Node], seeds: Sequence[np.ndarray | None], wanted: Wanted | None, retain: bool,
           callbacks: Callable[[Sequence[Node]], Callbacks]) -> Served | None:
    """As `serve`, by a pattern; None where there is none."""
    if interpreting.active or config.interpret:
        return None
    for entry, pattern, order, bound in recognise(roots, _kind(seeds, wanted, retain)):
        if not is_outdated(entry) and (wanted is None or wanted.places(order, pattern.leaves) == entry.program.wanted):
            hits[0] += 1
            hit(entry)
            arrays = run_entry(entry, bound, order, [s for s in seeds if s is not None], callbacks)
            return Served(order, entry.program.wanted, arrays, Run(entry, True, None), pattern.interior)
    return None


def _kind(seeds: Sequence[np.ndarray | None], wanted: Wanted | None, retain: bool) -> Any:
    return PLAIN if wanted is None and not retain and len(seeds) == 1 and seeds[0] is None else (
        *[s is not None for s in seeds], wanted is None, retain)


def serve(roots: Sequence[Node], seeds: Sequence[np.ndarray | None], wanted: Wanted | None, retain: bool,
          callbacks: Callable[[Sequence[Node]], Callbacks],
          check: Callable[[Sequence[Node], Collection[Node]], None]) -> Served:
    """The gradients of some roots; the roots' values, and those that later requests need, are left on nodes.

    seeds: of each root its gradient, contiguous, or None for an implicit 1.  wanted: None for all leaves.  retain: whether the
    graph is to be gone through again.  callbacks(order): what is called at stops.  check(roots, nodes): raises what is wrong with
    the values that the nodes have saved.  Called without grad mode."""
    given = [s for s in seeds if s is not None]
    anew = len(roots) == 1 and roots[0].value is not None and roots[0].run is None and roots[0].depth < ANEW
    if anew:
        schedule_cache.looked_at.add(roots[0].spec.sig)
    captured = capture(roots, anew=anew)
    order, index = captured.order, captured.index
    interior = passed(order, roots)
    if wanted is None:
        places = [index[n] for n in captured.leaves]
    else:
        places = wanted.places(order, [index[n] for n in captured.leaves])
        leading = _leading_to(order, interior, {order[k] for k in places})
        interior = [k for k in interior if order[k] in leading]
    if captured.special:
        check(roots, {order[k] for k in interior} | {order[k] for k in captured.stops})
    at = [(index[n], s is not None) for n, s in zip(roots, seeds, strict=True)]
    extra = tuple(_saved(captured, set(interior), {k for k, _ in at})) if retain else ()
    key = make_key(captured, at, None if wanted is None else places, extra)
    known = schedule_cache.known.get(key)
    reason = interpret_reason()
    if reason is None and known is None and schedule_cache.is_to_wait(key, captured):
        reason = "structures keep coming that are new: this one is compiled when it comes again"
    if reason is not None:
        calls = callbacks(order) if captured.stops else Callbacks()
        arrays = _calling(calls, interpret, captured, at, given, places, calls, reason)
        return Served(order, places, arrays, Run(None, True, reason), interior)
    if known is None:
        entry = find(key, captured, at, places, (), extra)
        if not entry.program.rolled or not bodies_known[0]:
            unreturned.add(entry)
    elif is_outdated(known):
        logger.info("rebuilding a program to return what is read after each backward")
        entry = find(key, captured, at, places, (), known.wanted or extra)
    else:
        entry = known
        hits[0] += 1
        hit(entry)
        repeats[0]()
    bound = entry.program.bind(order)
    learn(_kind(seeds, wanted, retain), captured, roots, interior, entry, bound)
    return Served(order, places, run_entry(entry, bound, order, given, callbacks), Run(entry, True, None), interior)


def run_entry(entry: Entry, bound: Any, order: list[Node], seeds: Sequence[np.ndarray],
              callbacks: Callable[[Sequence[Node]], Callbacks]) -> list[np.ndarray | None]:
    """Run a schedule; the values of the roots, and others that it returns, are left on their nodes."""
    size = len(order)
    values = [order[p].value if p < size else seeds[p - size] for p in bound.positions]
    schedule = entry.program
    if not schedule.stops:
        return leave(entry, order, bound.run(values))
    calls = callbacks(order)
    return leave(entry, order, _calling(calls, in_grad_mode, False, bound.run, values, order, calls))


def _calling(calls: Callbacks, function: Callable[..., T], *args: Any) -> T:
    """function(*args), which calls Python."""
    try:
        return function(*args)
    except BaseException:       # also when a hook raises: what was gone through is freed
        calls.give_up()
        raise


def leave(entry: Entry, order: Sequence[Node], results: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Leave values on nodes; the gradients among results."""
    outputs = entry.program.outputs
    for k, array in zip(outputs, results, strict=False):
        node = order[k]
        if node.value is None:
            if node.depth < 0:
                become_input(node, array)
            else:
                node.value = array
    return results[len(outputs):]


def note_value(node: Node, array: np.ndarray | None) -> None:
    """Note the value of a node, unless it is known by now; of one that was postponed nothing else is needed any more."""
    if node.value is None:
        if node.depth < 0:
            become_input(node, array)
        else:
            node.value = array


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
            found.update([k if i < 0 else children[k][i] for i in read(order[k])])
    return [k for k in sorted(found) if children[k] and order[k].inputs and k not in captured.known and k not in roots]


def read(node: Node) -> Sequence[int]:
    """Which operands a derivative reads (-1: the result); none where there is no derivative."""
    try:
        return saved_operands(node)
    except RuntimeError:
        return ()


def learn(kind: Any, captured: Capture, roots: Sequence[Node], interior: list[int], entry: Entry, bound: Any) -> None:
    """Remember the way through a graph that comes a second time with the same lengths, of a few that take turns."""
    types = [n.spec.type for n in captured.order]
    if types in entry.types:
        pattern = Pattern(kind, captured, roots, interior, entry, bound, schedule_cache.era)
        spec = roots[0].spec
        others = []
        for p in spec.patterns:
            if p.entry is not entry or p.kind != kind or (p.owners is None) is not (pattern.owners is None) or p.types != types:
                others.append(p)
            elif p.depth != pattern.depth:
                pattern.depth = ANY_DEPTH
        if len(others) >= MAX_PATTERNS:
            others.remove(min(others, key=lambda p: p.number))
        # First those that know more: a pattern that computes a value also matches where that is known.
        at = max([i + 1 for i, p in enumerate(others) if p.kind == kind and len(p.known) > len(pattern.known)], default=0)
        spec.patterns = (*others[:at], pattern, *others[at:])
    else:
        entry.types = (types, *entry.types[:TURNS - 1])


def take_held(root: Node) -> tuple[list[Node], Sequence[np.ndarray | None]] | None:
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
