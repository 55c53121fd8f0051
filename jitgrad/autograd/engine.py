"""Backward: checks, cuts the graph where Python is called, sends the segments to the executor, delivers gradients.

The straight way: one capture, one call of the executor, `.grad` accumulates.  Hooks, retain_grad and Functions are
*stations*: the graph is cut there, and stations are visited from the roots downwards, each when all gradient that can
reach it has arrived.  With create_graph the derivative is recorded instead of evaluated.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np

from jitgrad import executor, interpreter, programs, tracing
from jitgrad.autograd.function import FunctionCtx, PyFunction, call_backward
from jitgrad.autograd.history import check_saved
from jitgrad.autograd.hooks import run_hooks, run_post_hooks
from jitgrad.differentiate import backward_graph, cotangent_map, differentiate
from jitgrad.graph import INPUT, Node, become_input, bind, grad_mode, in_grad_mode, input_node, topological
from jitgrad.histories import Accumulator
from jitgrad.ops import REGISTRY
from jitgrad.steps import pending_detached
from jitgrad.storage import any_detached, detached_storages, gradient_edge
from jitgrad.tensor import Tensor, wrap
from jitgrad.threads import building
from jitgrad.walk import edges, passed
from jitgrad.writing import insist, write, writes

new_tensor = Tensor.__new__


class Gradients:
    """Gradients on their way: nodes by leaf accumulator and by interior node."""

    def __init__(self) -> None:
        self.leaves: dict[Accumulator, Node] = {}
        self.nodes: dict[Node, Node] = {}

    def add(self, node: Node, g: Node) -> None:
        """Add a contribution for a leaf or an interior node."""
        extra = node.extra
        if extra is not None and extra.leaf is not None:
            have = self.leaves.get(extra.leaf)
            self.leaves[extra.leaf] = g if have is None else _add(have, g)
        else:
            have = self.nodes.get(node)
            self.nodes[node] = g if have is None else _add(have, g)


def _add(a: Node, b: Node) -> Node:
    node = bind(REGISTRY["add"], (a, b))
    if tracing.current() is None and (not grad_mode.enabled or not (a.requires_grad or b.requires_grad)):
        become_input(node, interpreter.evaluate([node])[0])
    return node


def run_backward(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool, create_graph: bool,
                 inputs: Sequence[Tensor] | None) -> Gradients:
    """Gradients of the roots: of all leaves below them, or of `inputs` alone (leaves or intermediates).

    Only what lies between the roots and those is gone through, checked and freed.
    Raises RuntimeError for saved values that were freed or overwritten."""
    captured = executor.capture([*roots, *[g for g in cotangents if g is not None]])
    wanted = None if inputs is None else _wanted(captured.order, inputs)
    if captured.special:        # what gradients flow through, below Functions too
        order = topological([n for n in roots if n.requires_grad], _children)
        wanted = None if inputs is None else _wanted(order, inputs)
    else:
        order = [captured.order[i] for i in passed(captured.order, roots)]
    cut = captured.special and any([_is_station(n) for n in order])
    if wanted is not None:
        needed = _leading_to(order, wanted, _children)
        order = [n for n in order if n in needed]
    if captured.special or wanted is not None:
        check_saved(roots, set(order))
    symbolic = create_graph or tracing.current() is not None        # a trace wants the derivative as a graph
    if symbolic or cut:
        run = programs.Run(None, not retain_graph,
                           "create_graph" if create_graph else "hooks, retain_grad or a Function with Python backward")
        try:
            result = _by_stations(roots, cotangents, retain_graph, symbolic, create_graph, wanted)
        finally:                # also when a hook raises: what was gone through is freed
            _mark(order, captured, run)
    else:
        result, run = _straight(captured, roots, cotangents, wanted)
        run.freed = not retain_graph
        _mark(order, captured, run)
    if any_detached():
        _release_detached()
    return result


def plain_backward(root: Node) -> None:
    """root.backward(), root being a scalar that requires a gradient: the general way without what it seldom needs."""
    if tracing.traces:
        tracing.refuse("it calls backward()")
    if root.spec.walks:             # the program repeats itself
        code = machine_code()
        for walk in root.spec.walks:
            code.equip(walk)
    found = executor.plain_backward(root)
    if found is None:
        deliver(run_backward((root,), (None,), False, False, None), False)
        return
    if any_detached():
        _release_detached()
    deliver_plain(*found)


def machine_code() -> Any:
    """The machine code of recording and delivering, which is compiled or loaded now if it is not yet there.  (It takes the
    compiler's back end, which a program that computes no gradients does not need.)"""
    with building:         # a fork waits for it: a child could not enter a module that another thread was importing
        from jitgrad.operators.native import code
        code.install(accumulate, _release_detached)
    return code


def deliver_plain(leaves: Sequence[Node], arrays: Sequence[np.ndarray | None]) -> None:
    """Add gradients to the `.grad` of the leaves' tensors."""
    for node in leaves:
        extra = node.extra
        leaf = None if extra is None else extra.leaf
        if leaf is None or leaf.hooks or leaf.post_hooks:
            deliver(_gathered(leaves, arrays), False)
            return
    with _accumulating:
        for node, array in zip(leaves, arrays):         # noqa: B905 (of one length)
            tensor = node.extra.leaf.tensor()           # type: ignore[union-attr]
            if array is not None and tensor is not None and tensor._leaf is not None:   # the latter: it still wants one
                g = Node(node.spec, (), False, 0, array)
                result = new_tensor(Tensor)
                result._node = g
                result._storage = None
                # Machine code does not take the lock: no call, in which another thread may run, between test and assignment.
                if tensor._grad is None:
                    tensor._grad = result
                else:
                    accumulate(tensor, g, False)


def _gathered(nodes: Sequence[Node], arrays: Sequence[np.ndarray | None]) -> Gradients:
    result = Gradients()
    for node, array in zip(nodes, arrays, strict=True):
        if array is not None:
            result.add(node, input_node(array, node.type))
    return result


def _mark(order: Sequence[Node], captured: programs.Capture, run: programs.Run) -> None:
    """Note on the nodes that a backward went through them.  order: of these, and perhaps of leaves."""
    for node in order:
        if node.inputs:
            node.run = run
            node.position = captured.index.get(node, -1)        # -1: below a Function, where no one program goes


def _straight(captured: programs.Capture, roots: Sequence[Node], cotangents: Sequence[Node | None],
              wanted: set[Node] | None) -> tuple[Gradients, programs.Run]:
    """One request to the executor for the whole graph; or the gradients that an earlier look at the value left."""
    wrt = captured.leaves if wanted is None else [n for n in captured.order if n in wanted]
    extra = roots[0].extra
    held = None if extra is None else extra.held
    if extra is not None and held is not None and held[1] == wrt and list(cotangents) == [None]:
        extra.held = None
        entry, _, arrays = held
        run = programs.Run(entry, True, None)
    else:
        arrays, run = executor.gradients(captured, roots, cotangents, wrt)
    return _gathered(wrt, arrays), run


def _children(node: Node) -> Sequence[Node]:
    """The operands through which gradient may flow, those of Functions included."""
    fn = _python(node)
    return edges(node) if fn is None else [n for n in fn.ctx._edges if n is not None and n.requires_grad]


def _wanted(order: Sequence[Node], inputs: Sequence[Tensor]) -> set[Node]:
    """The nodes of the order that stand for the given tensors."""
    leaves = {t._leaf for t in inputs if t._leaf is not None}
    interior = {gradient_edge(t._current()) for t in inputs if t._leaf is None}
    return {n for n in order if n in interior or (n.extra is not None and n.extra.leaf in leaves)}


def _leading_to(order: Sequence[Node], wanted: set[Node], children: Callable[[Node], Sequence[Node]]) -> set[Node]:
    """The nodes that lie strictly above a wanted one."""
    found: set[Node] = set()
    for node in order:
        if node.requires_grad and any([n in found or n in wanted for n in children(node)]):
            found.add(node)
    return found


def _release_detached() -> None:
    """Give detached tensors whose source has been computed meanwhile that value, so that they do not keep the graph."""
    for storage in list(detached_storages):
        storage.release()
        if not storage.node.inputs:
            detached_storages.discard(storage)
    for node in list(pending_detached):
        if node.inputs and node.inputs[0].value is not None:
            become_input(node, node.inputs[0].value)
        if not node.inputs:
            pending_detached.discard(node)


def _python(node: Node) -> PyFunction | None:
    fn = None if node.extra is None else node.extra.fn
    return fn if type(fn) is PyFunction else None


def _is_station(node: Node) -> bool:
    extra = node.extra
    return extra is not None and ((extra.watch is not None and extra.watch.is_active()) or type(extra.fn) is PyFunction)


class _Stations:
    """One backward through a graph with stations.  An object rather than closures: those would refer to each other, and
    keep every array of the graph until the garbage collector comes."""

    def __init__(self, roots: Sequence[Node], create_graph: bool, retain_graph: bool, wanted: set[Node] | None) -> None:
        order = topological(roots, _children)
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.position = {n: i for i, n in enumerate(order)}
        self.needed: Container[Node] = self.position
        if wanted is None:
            wanted = {n for n in order if n.extra is not None and n.extra.leaf is not None}
        else:
            self.needed = _leading_to(order, wanted, _children)
        self.wanted = wanted
        interior = {n for n in wanted if n.extra is None or n.extra.leaf is None}
        self.stops = {n for n in order if (_is_station(n) and (n in self.needed or n in wanted)) or n in interior}
        self.remaining: dict[FunctionCtx, int] = {}         # outputs of a Function that are still to be visited
        for n in self.stops:
            if (fn := _python(n)) is not None:
                self.remaining[fn.ctx] = self.remaining.get(fn.ctx, 0) + 1
        self.watched = any([n.extra is not None and n.extra.watch is not None for n in self.stops])
        self.incoming: dict[Node, Node] = {}
        self.outputs: dict[FunctionCtx, list[Node | None]] = {}
        self.memo: dict[Node, np.ndarray] = {}
        self.result = Gradients()

    def run(self, start: dict[Node, Node]) -> Gradients:
        """From the roots' gradients to those of the wanted nodes."""
        if self.watched and not self.create_graph:
            programs.stats.interpreted += 1
        self.incoming.update(start)
        for node in sorted(self.stops | set(start), key=lambda n: -self.position[n]):
            g = self.incoming.pop(node, None)
            if g is not None:
                g = self._visit(node, g)
            if node in self.needed:
                if (fn := _python(node)) is not None:
                    self._call(fn, g)
                elif g is not None and node.inputs:
                    self._propagate(node, g)
        return self.result

    def _visit(self, node: Node, g: Node) -> Node:
        """All gradient of a station is there: hooks, retain_grad, and the result if it is wanted."""
        if not self.create_graph and g.op is not INPUT:
            g = input_node(executor.own(executor.value(g)), g.type)
        watch = None if node.extra is None else node.extra.watch
        if watch is not None:
            g = run_hooks(watch.hooks, wrap(g))._current()
            if watch.retains():
                accumulate(watch.tensor(), g, self.create_graph)
        if node in self.wanted:
            self.result.add(node, g)
        return g

    def _call(self, fn: PyFunction, g: Node | None) -> None:
        """One output of a Function has its gradient; with the last one, call its backward."""
        grads = self.outputs.setdefault(fn.ctx, [None] * len(fn.ctx._outputs))
        grads[fn.number] = g
        self.remaining[fn.ctx] -= 1
        if self.remaining[fn.ctx] or not any([x is not None for x in grads]):
            return
        try:
            found = call_backward(fn.ctx, grads, self.create_graph)
        finally:
            if not self.retain_graph:
                fn.ctx._freed = True
        for edge, gi in zip(fn.ctx._edges, found, strict=True):
            if edge is not None and gi is not None and edge.requires_grad:
                self._arrive(edge, gi)

    def _arrive(self, node: Node, g: Node) -> None:
        if node in self.stops:
            have = self.incoming.get(node)
            self.incoming[node] = g if have is None else _add(have, g)
        elif node.inputs:
            self._propagate(node, g)
        elif node in self.wanted:
            self.result.add(node, g)

    def _propagate(self, source: Node, g: Node) -> None:
        """The gradient of a station on to the next ones and to the leaves."""
        stops = self.stops - {source}
        segment = topological([source], lambda n: () if n in stops else n.inputs)
        ends = [n for n in segment if n is not source and (n in stops or n in self.wanted)]
        if self.create_graph:
            found = differentiate(segment, {source: g}, set(ends), stops)
        else:
            found = _evaluate(segment, source, g, ends, stops, self.watched, self.memo)
        for n in ends:
            if n in found:
                self._arrive(n, found[n])


def _by_stations(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool, symbolic: bool,
                 create_graph: bool, wanted: set[Node] | None) -> Gradients:
    return in_grad_mode(create_graph, lambda: _Stations(roots, symbolic, retain_graph, wanted).run(cotangent_map(roots, cotangents)))


def _evaluate(segment: Sequence[Node], source: Node, g: Node, ends: Sequence[Node], stops: set[Node], watched: bool,
              memo: dict[Node, np.ndarray]) -> dict[Node, Node]:
    """Gradients of one segment as arrays: compiled if only Functions cut the graph, interpreted if hooks do."""
    if not ends:
        return {}
    captured = executor.capture([source, g])
    if not watched and not any([n.inputs for n in ends]):       # nothing to stop at but leaves and Functions' outputs
        arrays, _ = executor.gradients(captured, [source], [g], ends)
        return {n: input_node(a, n.type) for n, a in zip(ends, arrays, strict=True) if a is not None}
    found = backward_graph(segment, [source], [g], ends, stops)
    arrays = interpreter.evaluate(list(found.values()), memo, keep=True)
    return {n: input_node(executor.own(a), n.type) for n, a in zip(found, arrays, strict=True)}


def deliver(gradients: Gradients, create_graph: bool) -> None:
    """Add the leaves' gradients to `.grad`, hooks before and after."""
    for leaf, g in gradients.leaves.items():
        tensor = leaf.tensor()
        if tensor is None:
            continue
        if leaf.hooks:
            g = leaf_hooks(leaf, g, create_graph)._current()
        if tensor._leaf is None:        # it has stopped to require a gradient since
            continue
        accumulate(tensor, g, create_graph)
        if leaf.post_hooks:
            in_grad_mode(create_graph, run_post_hooks, leaf.post_hooks, tensor)


def leaf_hooks(leaf: Accumulator, g: Node, create_graph: bool) -> Tensor:
    """A leaf's gradient after its hooks, which run without recording unless create_graph."""
    return in_grad_mode(create_graph, run_hooks, leaf.hooks, wrap(g))


_accumulating = threading.RLock()       # backward in several threads may end in one leaf


def _renew() -> None:
    """In a forked child: a thread that is not there may have held it."""
    global _accumulating
    _accumulating = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def accumulate(tensor: Tensor, g: Node, create_graph: bool) -> None:
    """tensor.grad += g: in place, unless the gradient is itself recorded.

    The sum replaces what it was made from, or is made anew: an allocation may run the collector, which runs anybody's code, and
    that may add to the very gradient."""
    with _accumulating:
        insist(_add_to, tensor, g, wrap(g), create_graph)


def _add_to(tensor: Tensor, g: Node, first: Tensor, create_graph: bool) -> bool:
    """See accumulate; False, and nothing has happened, where somebody has come in between.  first: what .grad is if there is none."""
    have = tensor._grad                 # (no call between this and the assignment: see deliver_plain)
    if have is None:
        tensor._grad = first
        return True
    seen = writes(have)
    node = have._current()
    if create_graph:
        total = wrap(bind(REGISTRY["add"], (node, g)))
        if have._current() is not node or tensor._grad is not have:
            return False
        tensor._grad = total
        return True
    if node.requires_grad:              # it has a history of its own, which goes on
        return in_grad_mode(True, _write_sum, have, node, g, seen)
    return have._replace(np.asarray(interpreter.quiet.run(np.add, executor.value(node), executor.value(g))), seen)


def _write_sum(have: Tensor, node: Node, g: Node, seen: int) -> bool:
    total = bind(REGISTRY["add"], (node, g))
    total.ensure_extra().in_place = node
    return write(have, total, seen=seen) is not None


def station_reasons(roots: Sequence[Node]) -> list[tuple[Node, str]]:
    """Where a backward from these roots would be cut, and why."""
    reasons = []
    for node in executor.capture(roots).order:
        extra = node.extra
        if extra is None:
            continue
        if extra.watch is not None and extra.watch.hooks:
            reasons.append((node, "a hook on this tensor"))
        if extra.watch is not None and extra.watch.retains():
            reasons.append((node, "retain_grad on this tensor"))
        if type(extra.fn) is PyFunction:
            reasons.append((node, "a Function whose backward is Python"))
    return reasons
