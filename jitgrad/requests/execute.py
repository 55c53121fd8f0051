"""Values of recorded nodes, computed when they are asked for.

Input: a node.  Output: its array, which is kept on it.
Invariant: a look computes what is not known yet; of a growing graph it keeps what later looks and the derivative begin from.

A structure that comes again is compiled at its third meeting, and recognised by its pattern from then on.  Where the program of a
backward from a scalar is known, that runs, and its gradients are held for backward().
"""
from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.config import config
from jitgrad.graph.node import Node, Spec, topological
from jitgrad.graph.recording import become_input, postponed
from jitgrad.requests import schedule_cache
from jitgrad.requests.capture import Capture, capture, passed
from jitgrad.requests.counters import hits, repeats
from jitgrad.requests.gradients import ANEW, PLAIN, learn, leave, mark, note_value, read, recognise, run_entry
from jitgrad.requests.interpret import own
from jitgrad.requests.matcher import VALUES
from jitgrad.requests.schedule_cache import Entry, Run, find, hit, interpreting, make_key
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.requests.schedules.stops import Callbacks

MAX_DEPTH = 4096            # longest chain of pending operations; deeper ones are cut by computing the value there
MAX_HISTORY = 1 << 20       # of operations that gradients flow through, which stay whatever is computed: only a look is long
MEETINGS = 2                # of a structure whose values alone are asked for, node by node, before that is compiled
FEW, SMALL = 4, 4096        # operations, of so many elements, which take little time node by node:
SELDOM, OFTEN = 64, 32      # so many that end with one operation are not captured; of a structure, then, so many are not compiled
APART = 8                   # operations between values that a look keeps
REFERENCES = 3              # to a node: from the order and the index of a capture, and from the call that counts them


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
        note_value(node, own(interpreter.evaluate([node])[0]))
        return
    if node.depth < 0:          # it is postponed: no history is below
        if _is_single(node):
            _one_by_one((node,))
        else:
            _values(node)
        return
    for n in _frontier(node):
        if n.value is None:
            if n.run is not None:
                _note_look(n)
            elif n.type.size == 1:
                _look_joint(n)
    if node.value is None:
        _values(node)


def _compute_postponed(node: Node) -> None:
    if node.value is None:
        _look(node)


postponed[0] = _compute_postponed


def _frontier(node: Node) -> list[Node]:
    """The node itself, or, below a node without gradient, the first ones with: those that a backward may reach."""
    if node.requires_grad:
        return [node]
    if all([n.requires_grad or n.value is not None for n in node.inputs]):
        return [n for n in node.inputs if n.requires_grad and n.inputs]
    order = topological([node], lambda n: () if n.requires_grad or n.value is not None else n.inputs)
    return [n for n in order if n.requires_grad and n.inputs]


def _look_joint(root: Node) -> None:
    """Run the program of a backward from here, if there is one."""
    for entry, pattern, order, bound in recognise((root,), PLAIN):
        if not pattern.stops:
            hits[0] += 1
            hit(entry)
            repeats[0]()
            arrays = run_entry(entry, bound, order, (), _no_callbacks)
            root.ensure_extra().held = (entry, [order[k] for k in pattern.leaves], arrays)
            return
    if root.spec.sig not in schedule_cache.looked_at or root.depth > ANEW:
        return
    captured = capture((root,), anew=True)
    if captured.special or not captured.leaves:
        return
    known = schedule_cache.known.get(schedule_cache.plain(captured, root)[0])
    if known is not None:
        hits[0] += 1
        hit(known)
        order, bound = captured.order, known.program.bind(captured.order)
        learn(PLAIN, captured, (root,), passed(order, (root,)), known, bound)
        arrays = run_entry(known, bound, order, (), _no_callbacks)
        root.ensure_extra().held = (known, captured.leaves, arrays)


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
    for entry, _, order, bound in recognise((node,), VALUES):
        hits[0] += 1
        repeats[0]()
        leave(entry, order, bound.run([order[p].value for p in bound.positions]))
        return
    few = _few(node)
    if few is not None and (len(few) == 1 or _is_seldom(node)):
        _one_by_one(few)
        return
    captured = None
    while node.value is None and (captured is None or not captured.is_whole()):     # whoever has come in between
        captured = capture((node,), gradients=False)
        try:
            _compute(node, captured, few)
        except Exception:
            if captured.is_whole():     # otherwise it may come of what is not there any more
                raise


def _compute(node: Node, captured: Capture, few: list[Node] | None) -> None:
    """Compute what a capture of a node has kept, by a program once it has come a few times."""
    order = captured.order
    keep = _kept(captured)
    key = make_key(captured, (), (), keep)
    known = schedule_cache.known.get(key)
    if known is not None:
        hits[0] += 1
        hit(known)
    elif not schedule_cache.is_new(key, MEETINGS if few is None else OFTEN):
        known = find(key, captured, (), (), keep)
    if known is None:
        if few is not None:
            _one_by_one(few)
            return
        for k, array in zip(keep, interpreter.evaluate([order[k] for k in keep]), strict=True):
            note_value(order[k], own(array))
        return
    bound = known.program.bind(order)
    learn(VALUES, captured, (node,), [], known, bound)
    leave(known, order, bound.run([order[p].value for p in bound.positions]))


def _is_seldom(node: Node) -> bool:
    """Whether few operations, of which this is the last, have been computed seldom so far."""
    count = _ends.get(node.spec, 0)
    if count >= SELDOM:
        return False
    if len(_ends) >= schedule_cache.MAX_ENTRIES:
        _ends.clear()
    _ends[node.spec] = count + 1
    return True


_ends: dict[Spec, int] = {}


def _is_single(node: Node) -> bool:
    """Whether one small operation is all that is to be computed."""
    if node.spec.type.size > SMALL:
        return False
    for n in node.inputs:
        if (n.value is None and n.inputs) or n.spec.type.size > SMALL:
            return False
    return True


def _one_by_one(order: Sequence[Node]) -> None:
    """Compute operations, inputs first, and keep all of their values."""
    for n in order:
        spec, inputs = n.spec, n.inputs     # read before the value: a postponed node lets go of them when it has one
        if n.value is None:
            note_value(n, own(interpreter.quiet.run(interpreter.apply_spec, spec, inputs, [interpreter.known(m) for m in inputs])))


def _few(node: Node) -> list[Node] | None:
    """The operations that are to be computed for a node's value, inputs first, if they are few, and small."""
    if node.spec.type.size > SMALL:
        return None
    order: list[Node] = []
    stack = [node]
    while stack:
        n = stack[-1]
        for m in n.inputs:
            if m.spec.type.size > SMALL:
                return None
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
    """The places whose values a look keeps: of what it asks for; of what is postponed, all that something else refers to (tensors
    that may be asked for later; whatever is not kept would be computed again); and, of what gradients go through, those that a
    derivative reads, what something smaller is made from (which is mostly what was looked at), where ways meet (a state and its
    change, a total), and a value every few operations."""
    order, children = captured.order, captured.children
    found = {len(order) - 1}
    if order[-1].depth < 0:
        uses = [0] * len(order)
        for of in children:
            for k in of:
                uses[k] += 1
        found.update([k for k, of in enumerate(children) if of and getrefcount(order[k]) > uses[k] + REFERENCES])
        return sorted(found)
    apart = [0] * len(order)
    for k, of in enumerate(children):
        node = order[k]
        if not of or not node.requires_grad:
            continue
        reads = [k if i < 0 else of[i] for i in read(node)]
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
