"""Backward: what is asked of the graph, what Python is called on the way, and the gradients delivered.

A request goes to requests/gradients.py, which recognises, compiles or interprets the graph, and calls back where hooks,
retain_grad and Functions are.  With create_graph the derivative is recorded instead of evaluated, along the same way.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.autograd import recorded
from jitgrad.autograd.function import PyFunction, call_backward
from jitgrad.autograd.history import check_saved
from jitgrad.autograd.hooks import Watch, run_hooks, run_post_hooks
from jitgrad.differentiate import cotangent_map
from jitgrad.graph.node import Node, is_stale
from jitgrad.graph.recording import become_input, bind, grad_mode, in_grad_mode, input_node
from jitgrad.memory.threads import building
from jitgrad.ops import REGISTRY
from jitgrad.requests import execute, programs
from jitgrad.requests import gradients as requested
from jitgrad.requests.capture import capture
from jitgrad.requests.gradients import PLAIN, Wanted, mark
from jitgrad.requests.interpret import own
from jitgrad.requests.schedules.stops import Callbacks, Stop, explicit
from jitgrad.tensors.histories import Accumulator
from jitgrad.tensors.steps import pending_detached
from jitgrad.tensors.storage import any_detached, detached_storages, gradient_edge, insist
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tensors.writing import write, writes

Tensors = Tensor | Sequence[Tensor]

new_tensor = Tensor.__new__
CLASSES = {"Watch": Watch, "PyFunction": PyFunction}     # that machine code looks into


anomaly: list[Any] = []         # while anomaly mode is on: what looks through a backward before it runs (anomaly_mode.py)


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
    if anomaly:
        anomaly[0](roots, cotangents)
    wanted = None if inputs is None else Wanted(
        {t._leaf for t in inputs if t._leaf is not None}, {gradient_edge(t._current()) for t in inputs if t._leaf is None})
    if create_graph or tracing.current() is not None:           # a trace wants the derivative as a graph
        return in_grad_mode(create_graph, _record, roots, cotangents, retain_graph, create_graph, wanted)
    result = Gradients()
    for node, array in zip(*_served(roots, cotangents, retain_graph, wanted), strict=True):
        if array is not None:
            result.add(node, input_node(array, node.spec.type))
    return result


def _served(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool,
            wanted: Wanted | None) -> tuple[list[Node], Sequence[np.ndarray | None]]:
    """What is wanted below the roots, and the gradients (None: no path)."""
    def callbacks(order: Sequence[Node]) -> Callbacks:
        return _Calls(order, retain_graph)

    roots, seeds = _distinct(roots, cotangents)
    served = requested.repeat(roots, seeds, wanted, retain_graph, callbacks)
    if served is None:
        served = in_grad_mode(False, requested.serve, roots, seeds, wanted, retain_graph, callbacks, check_saved)
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
    found = requested.take_held(root)
    if found is None and tracing.current() is not None:
        deliver(run_backward((root,), (None,), False, False, None), False)
        return
    if found is None:
        found = _served((root,), (None,), False, None)
    elif any_detached():
        _release_detached()
    deliver_plain(*found)


def machine_code() -> Any:
    """The machine code of recording and delivering, which is compiled or loaded now if it is not yet there.  (It takes the
    compiler's back end, which a program that computes no gradients does not need.)"""
    if _code:
        return _code[0]
    with building:         # a fork waits for it: a child could not enter a module that another thread was importing
        from jitgrad.operators.native import code
        code.install(accumulate, _release_detached, CLASSES)
        if code.functions is not None or code.refused:
            _code.append(code)
    return code


_code: list[Any] = []       # once it is there


def deliver_plain(leaves: Sequence[Node], arrays: Sequence[np.ndarray | None]) -> None:
    """Add gradients to the `.grad` of the leaves' tensors."""
    for node in leaves:
        extra = node.extra
        leaf = None if extra is None else extra.leaf
        if leaf is None or leaf.hooks or leaf.post_hooks:
            found = Gradients()
            for n, array in zip(leaves, arrays, strict=True):
                if array is not None:
                    found.add(n, input_node(array, n.spec.type))
            deliver(found, False)
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



# -- where Python is called ------------------------------------------------------------------------------------------

class _Calls(Callbacks):
    """Hooks, retain_grad and Functions of one backward, whose gradients are arrays."""

    def __init__(self, order: Sequence[Node], retain_graph: bool) -> None:
        self._order = order
        self._retain_graph = retain_graph
        self._place = len(order)        # where Python was called last

    def visit(self, place: int, gradient: Any) -> Any:
        """See Callbacks."""
        self._place = place
        node = self._order[place]
        watch = None if node.extra is None else node.extra.watch
        if watch is None:
            return gradient
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
             programs.Run(None, not self._retain_graph, "it raised an exception"))


class _NodeCalls(_Calls):
    """The same where the derivative is recorded: gradients are nodes."""

    def __init__(self, order: Sequence[Node], retain_graph: bool, create_graph: bool) -> None:
        super().__init__(order, retain_graph)
        self._create_graph = create_graph

    def visit(self, place: int, gradient: Any) -> Any:
        """See Callbacks."""
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
    try:
        return call_backward(ctx, grads, create_graph)
    finally:
        if not retain_graph:
            ctx._freed = True


# -- recorded derivatives --------------------------------------------------------------------------------------------

def _record(roots: Sequence[Node], cotangents: Sequence[Node | None], retain_graph: bool, create_graph: bool,
            wanted: Wanted | None) -> Gradients:
    """The gradients as nodes, computed of nodes that the derivative can be taken of again."""
    def callbacks(order: Sequence[Node]) -> Callbacks:
        return _NodeCalls(order, retain_graph, create_graph)

    def check(roots: Sequence[Node], order: Sequence[Node]) -> None:
        if any([(n.run is not None and n.run.freed) or not n.inputs or is_stale(n) for n in order]) or any(
                [is_stale(m) for n in order for m in n.inputs]):
            check_saved(roots, set(order))

    def note(order: Sequence[Node]) -> None:
        mark(order, [k for k, n in enumerate(order) if n.inputs], programs.Run(None, not retain_graph, "create_graph"))

    order, gradients = recorded.record(roots, cotangents, wanted, _calls_python, callbacks, lambda k, a, b: _add(a, b), check, note)
    result = Gradients()
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
    reasons = []
    for node in capture(roots).order:
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


def keep(tensor: Tensor, g: Node) -> None:
    """What retain_grad does: tensor.grad = tensor.grad + g.  Nothing is written: the gradient that is there may be part of a graph."""
    with _accumulating:
        insist(_keep, tensor, g)


def _keep(tensor: Tensor, g: Node) -> bool:
    """See keep; False, and nothing has happened, where somebody has come in between."""
    have = tensor._grad
    new = wrap(g if have is None else _add(have._current(), g))
    if tensor._grad is not have:        # (no call between this and the assignment: see deliver_plain)
        return False
    tensor._grad = new
    return True


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
    return have._replace(np.asarray(interpreter.quiet.run(np.add, execute.value(node), execute.value(g))), seen)


def _write_sum(have: Tensor, node: Node, g: Node, seen: int) -> bool:
    total = bind(REGISTRY["add"], (node, g))
    total.ensure_extra().in_place = node
    return write(have, total, seen=seen) is not None
