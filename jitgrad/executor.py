"""A request for values or gradients: hit | compile | interpret(reason).

`capture` turns the recorded graph below some roots into an order and a structure, of which programs.py finds or compiles
the program.  What must run Python in the middle of a backward never gets
here: autograd/engine.py cuts the graph there.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad import interpreter, programs, tracing
from jitgrad.config import config, logger
from jitgrad.differentiate import backward_graph
from jitgrad.graph import INPUT, Node, become_input, topological
from jitgrad.programs import Capture, Entry, Run, compile_entry, interpret_reason, interpreting, make_key, stats
from jitgrad.walk import Walk, passed

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram


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


def gradients(captured: Capture, roots: Sequence[Node], cotangents: Sequence[Node | None],
              wrt: Sequence[Node]) -> tuple[list[np.ndarray | None], Run]:
    """Gradients of the roots with respect to `wrt` (None: no path), and the values of the roots left on them.

    cotangents: per root a node in the order, or None for the implicit 1."""
    reason = interpret_reason()
    if reason is not None:
        return _interpret(captured, roots, cotangents, wrt, reason)
    key = make_key(captured, roots, cotangents, wrt)
    entry = programs.known.get(key)
    if entry is None:
        entry = compile_entry(key, captured, roots, cotangents, wrt)
    elif entry.wanted:
        logger.info("rebuilding a program to return what is read after each backward")
        entry = compile_entry(key, captured, roots, cotangents, wrt, entry.wanted)
    else:
        programs.hits[0] += 1
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

    A graph like one seen before is recognised by following the same way, which costs a third of capturing it (machine code
    does that in most cases, see Walk.again)."""
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
            if walk.era == programs.era and not walk.entry.wanted:
                order = walk.match(root)
                if order is not None:
                    break
    if order is not None and walk is not None:
        leaves = [order[i] for i in walk.leaves]
        interior, entry = walk.interior, walk.entry
        if held is None:
            programs.hits[0] += 1
            bound = walk.bound
            arrays = _deliver(entry, order, (root,), bound.run([order[p].value for p in bound.positions]))
            run = Run(entry, True, None)
    else:
        captured = capture((root,))
        if captured.special:
            return None
        order, leaves = captured.order, captured.leaves
        interior = passed(order, (root,))
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


def asker(root: Node, entry: Entry) -> Any:
    """Who has asked for more than the gradients of graphs like this, by look_ahead.Source.ask; None if nobody has."""
    for walk in root.spec.walks:
        if walk.entry is entry and walk.asker is not None:
            return walk.asker()
    return None


MAX_WALKS = 4           # from roots of one spec


def _learn(captured: Capture, root: Node, entry: Entry) -> None:
    """Remember the way through a graph that comes a second time with the same lengths."""
    specs = [n.spec for n in captured.order]
    if entry.specs == specs and root.inputs:
        bound = entry.program.bind(captured.order)
        walk = Walk(captured.order, captured.index, root, captured.leaves, entry, bound, programs.era)
        root.spec.walks = (walk, *root.spec.walks[:MAX_WALKS - 1])
    entry.specs = specs


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
    entry = programs.known.get(make_key(captured, [root], [None], captured.leaves))
    if entry is not None:
        programs.hits[0] += 1
        grads = _run(entry, captured.order, [root])
        root.ensure_extra().held = (entry, captured.leaves, grads)


def _note_look(node: Node) -> None:
    """An intermediate is read after backward.  From the second time on, its program is to return it too."""
    entry = node.run.entry
    if entry is not None and node.position not in entry.extra:
        looks = entry.looks[node.position] = entry.looks.get(node.position, 0) + 1
        if looks == 2:
            entry.wanted = tuple(sorted({*entry.extra, *entry.wanted, node.position}))


def values_program(outputs: Sequence[Node]) -> tuple[AnyProgram, list[Node], list[int]]:
    """A program for values alone: what to run with which order, and which of its results each output is."""
    captured = capture(outputs)
    positions = [captured.index[n] for n in outputs]
    extra = tuple(sorted(set(positions)))
    key = (tuple(captured.parts), "values", extra, config.target)
    entry = programs.find(key, captured, (), (), (), extra)
    return entry.program, captured.order, [extra.index(i) for i in positions]


def mark_freed(root: Node, entry: Entry) -> None:
    """Note that a backward went through the graph below a root that was made afterwards."""
    run = Run(entry, True, None)
    order = topological([root])
    for i in passed(order, (root,)):
        order[i].run, order[i].position = run, i
