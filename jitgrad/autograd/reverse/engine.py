"""Backward: what is asked of the graph, what Python is called on the way, and the gradients delivered.

A request goes to requests/gradients.py, which recognises, compiles or interprets the graph, and calls back where hooks,
retain_grad and Functions are.  With create_graph the derivative is recorded instead of evaluated, along the same way.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.autograd.function import PyFunction
from jitgrad.autograd.graph import GradientEdge, node_of
from jitgrad.autograd.reverse import accumulation, recorded
from jitgrad.autograd.reverse.accumulation import accumulate, add, keep
from jitgrad.autograd.reverse.hooks import Watch, run_hooks, run_post_hooks, run_prehooks, running
from jitgrad.autograd.reverse.owners import fn_name
from jitgrad.autograd.reverse.saved_values import check_saved
from jitgrad.differentiate import cotangent_map
from jitgrad.graph.node import Node, is_stale
from jitgrad.graph.recording import become_input, in_grad_mode, input_node
from jitgrad.memory.threads import building
from jitgrad.requests import execute, schedule_cache
from jitgrad.requests import gradients as requested
from jitgrad.requests.capture import capture
from jitgrad.requests.gradients import PLAIN, Wanted, mark
from jitgrad.requests.interpret import own
from jitgrad.requests.schedules.stops import Callbacks, Stop, explicit
from jitgrad.tensors.histories import Accumulator
from jitgrad.tensors.steps import pending_detached
from jitgrad.tensors.storage import any_detached, detached_storages, gradient_edge
from jitgrad.tensors.tensor import Tensor, wrap

new_tensor = Tensor.__new__
CLASSES = {"Watch": Watch, "PyFunction": PyFunction}     # that machine code looks into


anomaly: list[Any] = []         # while anomaly mode is on: what looks through a backward before it runs (anomaly_mode.py)


class Gradients:
    """Gradients on their way: nodes by leaf accumulator and by interior node."""

    def __init__(self) -> None:
        self.leaves: dict[Accumulator, Node] = {}
        self.nodes: dict[Node, Node] = {}
        self.calls: Any = None      # what has called Python on the way, if anything

    def reaches(self, node: Node) -> bool:
        """Whether the backward computes the gradient of a node, where no hook is on others than leaves."""
        return node in self.nodes or (node.extra is not None and node.extra.leaf in self.leaves)

    def add(self, node: Node, g: Node) -> None:
        """Add a contribution for a leaf or an interior node."""
        extra = node.extra
        if extra is not None and extra.leaf is not None:
            have = self.leaves.get(extra.leaf)
            self.leaves[extra.leaf] = g if have is None else add(have, g)
        else:
            have = self.nodes.get(node)
            self.nodes[node] = g if have is None else add(have, g)


def run_backward(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool, create_graph: bool,
                 inputs: Sequence[Tensor | GradientEdge] | None) -> Gradients:
    """Gradients of the roots: of all leaves below them, or of `inputs` alone (leaves or intermediates).

    Only what lies between the roots and those is gone through, checked and freed.
    Raises RuntimeError for saved values that were freed or overwritten."""
    if anomaly:
        anomaly[0](roots, cotangents)
    wanted = None
    if inputs is not None:
        nodes = [node_of(t) for t in inputs]
        leaves = [None if n.extra is None else n.extra.leaf for n in nodes]
        wanted = Wanted({a for a in leaves if a is not None},
                        {gradient_edge(n) for n, a in zip(nodes, leaves, strict=True) if a is None})
    if create_graph or tracing.current() is not None:           # a trace wants the derivative as a graph
        return in_grad_mode(create_graph, _record, roots, cotangents, retain_graph, create_graph, wanted)
    result = Gradients()
    made: list[_Calls] = []
    for node, array in zip(*_served(roots, cotangents, retain_graph, wanted, made), strict=True):
        result.calls = made[0] if made else None
        if array is not None:
            result.add(node, input_node(array, node.spec.type))
    return result


def _served(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool,
            wanted: Wanted | None, made: list[_Calls]) -> tuple[list[Node], Sequence[np.ndarray | None]]:
    """What is wanted below the roots, and the gradients (None: no path).  made: what has called Python, if anything did."""
    def callbacks(order: Sequence[Node]) -> Callbacks:
        made.append(_Calls(order, retain_graph))
        return made[0]

    roots, seeds = _distinct(roots, cotangents)
    served = requested.repeat(roots, seeds, wanted, retain_graph, callbacks)
    if served is None:
        served = in_grad_mode(False, requested.serve, roots, seeds, wanted, retain_graph, callbacks, check_saved)
        if made:
            _note_cuts(served.order)
    else:                       # the program repeats itself
        machine_code()
    order, run = served.order, served.run
    run.freed = not retain_graph
    mark(order, served.interior, run)
    if any_detached():
        _release_detached()
    return [order[k] for k in served.places], served.arrays


def _distinct(roots: Sequence[Node], cotangents: Sequence[Node | None]) -> tuple[Sequence[Node], Sequence[np.ndarray | None]]:
    """Each root once, and its gradient as an array, or None for an implicit 1."""
    if len(roots) == 1 or len(set(roots)) == len(roots):
        return roots, [None if g is None else own(execute.value(g)) for g in cotangents]
    summed = cotangent_map(roots, cotangents)
    return list(summed), [own(interpreter.evaluate([g])[0]) for g in summed.values()]


def plain_backward(root: Node) -> None:
    """root.backward(), root being a scalar that requires a gradient."""
    if tracing.traces:
        tracing.refuse("it calls backward()")
    for pattern in root.spec.patterns:          # the program repeats itself
        if pattern.again is None and pattern.kind == PLAIN and pattern.is_simple:
            machine_code().equip(pattern)
    found, calls = requested.take_held(root), None
    if found is None and tracing.current() is not None:
        deliver(run_backward((root,), (None,), False, False, None), False)
        return
    if found is None:
        made: list[_Calls] = []
        found = _served((root,), (None,), False, None, made)
        calls = made[0] if made else None
    elif any_detached():
        _release_detached()
    deliver_plain(*found, calls)


def machine_code(compiling: bool = True) -> Any:
    """The machine code of recording and delivering, which is loaded, or compiled if `compiling`, now if it is not yet there.  (It
    takes the compiler's back end, which a program that computes no gradients does not need.)"""
    if _code:
        return _code[0]
    with building:         # a fork waits for it: a child could not enter a module that another thread was importing
        from jitgrad.operators.native import loading
        loading.install(accumulate, _release_detached, CLASSES, compiling)
        if loading.functions is not None or loading.refused:
            _code.append(loading)
    return loading


_code: list[Any] = []       # once it is there


def deliver_plain(leaves: Sequence[Node], arrays: Sequence[np.ndarray | None], calls: _Calls | None = None) -> None:
    """Add gradients to the `.grad` of the leaves' tensors.  calls: what has called Python on the way."""
    for node in leaves:
        extra = node.extra
        leaf = None if extra is None else extra.leaf
        if leaf is None or leaf.hooks or leaf.post_hooks:
            found = Gradients()
            if calls is not None:
                found.calls = calls
            for n, array in zip(leaves, arrays, strict=True):
                if array is not None:
                    found.add(n, input_node(array, n.spec.type))
            deliver(found, False)
            return
    with accumulation.accumulating:
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



# -- where Python is called ------------------------------------------------------------------------------------------

class _Calls(Callbacks):
    """Hooks, retain_grad and Functions of one backward, whose gradients are arrays."""

    def __init__(self, order: Sequence[Node], retain_graph: bool) -> None:
        self._order = order
        self._retain_graph = retain_graph
        self._place = len(order)        # where Python was called last
        self._known: set[Any] | None = None

    def reaches(self, node: Node) -> bool:
        """Whether the backward computes the gradient of a node: see hooks.running."""
        if self._known is None:
            self._known = {n for n in self._order if n.requires_grad} | {
                n.extra.leaf for n in self._order if n.extra is not None and n.extra.leaf is not None}
        return gradient_edge(node) in self._known or (node.extra is not None and node.extra.leaf in self._known)

    def visit(self, place: int, gradient: Any) -> Any:
        """See Callbacks."""
        self._place = place
        node = self._order[place]
        watch = None if node.extra is None else node.extra.watch
        if watch is None:
            return gradient
        running.task = ref(self)
        g = visited(node, input_node(explicit(node, gradient), node.spec.type))
        return own(execute.value(g))

    def function(self, stop: Stop, gradients: list[Any]) -> Sequence[Any]:
        """See Callbacks."""
        nodes = [self._order[k] for k in stop.outputs]
        given = [None if g is None else input_node(explicit(n, g), n.spec.type)
                 for n, g in zip(nodes, gradients, strict=True)]
        return [None if g is None else own(execute.value(g)) for g in called(nodes, given, False, self._retain_graph)]

    def give_up(self) -> None:
        """Something was raised: what was gone through is freed."""
        mark(self._order, [k for k, n in enumerate(self._order) if k > self._place and n.inputs and n.requires_grad],
             schedule_cache.Run(None, not self._retain_graph, "it raised an exception"))


class _NodeCalls(_Calls):
    """The same where the derivative is recorded: gradients are nodes."""

    def __init__(self, order: Sequence[Node], retain_graph: bool, create_graph: bool) -> None:
        super().__init__(order, retain_graph)
        self._create_graph = create_graph

    def visit(self, place: int, gradient: Any) -> Any:
        """See Callbacks."""
        running.task = ref(self)
        return visited(self._order[place], gradient)

    def function(self, stop: Stop, gradients: list[Any]) -> Sequence[Any]:
        """See Callbacks."""
        return called([self._order[k] for k in stop.outputs], gradients, self._create_graph, self._retain_graph)


def visited(node: Node, g: Node) -> Node:
    """All gradient of a node is there: it after hooks, and kept where retain_grad asks for it."""
    watch = None if node.extra is None else node.extra.watch
    if watch is not None:
        if watch.hooks:
            g = run_hooks(watch.hooks, wrap(g))._current()
        tensor = None if watch.tensor is None else watch.tensor()
        if tensor is not None:
            keep(tensor, g)
    return g


def called(outputs: Sequence[Node], gradients: Sequence[Node | None], create_graph: bool,
           retain_graph: bool) -> Sequence[Node | None]:
    """The gradients of a Function's operands, from those of the outputs that were reached."""
    ctx = outputs[0].extra.fn.ctx                                       # type: ignore[union-attr]
    grads: list[Node | None] = [None] * len(ctx._outputs)
    for node, g in zip(outputs, gradients, strict=True):
        grads[node.extra.fn.number] = g                                 # type: ignore[union-attr]
    found = ctx._gradients(grads, create_graph)
    if not retain_graph:
        ctx._release()
    return found


# -- recorded derivatives --------------------------------------------------------------------------------------------

def _record(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool, create_graph: bool,
            wanted: Wanted | None) -> Gradients:
    """The gradients as nodes, computed of nodes that the derivative can be taken of again."""
    made: list[_Calls] = []

    def callbacks(order: Sequence[Node]) -> Callbacks:
        made.append(_NodeCalls(order, retain_graph, create_graph))
        return made[0]

    def check(roots: Sequence[Node], order: Sequence[Node]) -> None:
        if any([(n.run is not None and n.run.freed) or not n.inputs or is_stale(n) for n in order]) or any(
                [is_stale(m) for n in order for m in n.inputs]):
            check_saved(roots, set(order))

    def note(order: Sequence[Node]) -> None:
        mark(order, [k for k, n in enumerate(order) if n.inputs], schedule_cache.Run(None, not retain_graph, "create_graph"))

    order, gradients = recorded.record(roots, cotangents, wanted, _calls_python, callbacks, lambda k, a, b: add(a, b), check, note)
    result = Gradients()
    if made:
        result.calls = made[0]
        _note_cuts(order)
    has = Wanted.of_leaves if wanted is None else wanted.has
    for node in order:
        if node in gradients and has(node):
            result.add(node, gradients[node])
    return result


def _calls_python(node: Node) -> bool:
    """Whether backward calls Python at a node."""
    extra = node.extra
    return extra is not None and ((extra.watch is not None and extra.watch.is_active()) or type(extra.fn) is PyFunction)


def stop_reasons(roots: Sequence[Node]) -> list[tuple[Node, str]]:
    """Where a backward from these roots is cut, and why."""
    return _reasons(capture(roots).order)


def _reasons(order: Sequence[Node]) -> list[tuple[Node, str]]:
    reasons = []
    for node in order:
        extra = node.extra
        if extra is None:
            continue
        if extra.watch is not None and extra.watch.hooks:
            reasons.append((node, "a hook on this tensor"))
        if extra.watch is not None and extra.watch.retains():
            reasons.append((node, "retain_grad on this tensor"))
        if type(extra.fn) is PyFunction:
            reasons.append((node, extra.fn.ctx._reason))
    return reasons


MOST_CUTS = 1000
cuts: dict[tuple[Any, str, str], None] = {}     # that were met: the user's line, the grad_fn's name, why


def _note_cuts(order: Sequence[Node]) -> None:
    """Note where a backward that was not recognised was cut, for who tells (scripts.py)."""
    if len(cuts) < MOST_CUTS:
        cuts.update(dict.fromkeys([(node.line, fn_name(node), reason) for node, reason in _reasons(order)]))


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


def deliver(gradients: Gradients, create_graph: bool) -> None:
    """Add the leaves' gradients to `.grad`, hooks before and after."""
    for leaf, g in gradients.leaves.items():
        tensor = leaf.tensor()
        if tensor is None:
            continue
        if leaf.hooks:
            running.task = ref(gradients.calls or gradients)
            g = leaf_hooks(leaf, g, create_graph)._current()
        if tensor._leaf is None:        # it has stopped to require a gradient since
            continue
        if leaf.post_hooks:
            g = in_grad_mode(create_graph, run_prehooks, leaf.post_hooks, wrap(g))._current()
        accumulate(tensor, g, create_graph)
        if leaf.post_hooks:
            in_grad_mode(create_graph, run_post_hooks, leaf.post_hooks, tensor, wrap(g))


def leaf_hooks(leaf: Accumulator, g: Node, create_graph: bool) -> Tensor:
    """A leaf's gradient after its hooks, which run without recording unless create_graph."""
    return in_grad_mode(create_graph, run_hooks, leaf.hooks, wrap(g))
