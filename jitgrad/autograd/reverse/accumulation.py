"""Adding to `.grad`: what a backward gives a tensor, in place or recorded, whichever thread it runs in.

Input: a tensor and the node of a gradient.  Output: none; `.grad` is the sum.
Invariant: of additions by several threads, and by what the collector runs meanwhile, none is lost.
"""
from __future__ import annotations

import os
import threading

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import become_input, bind, grad_mode, in_grad_mode
from jitgrad.ops import REGISTRY
from jitgrad.requests import execute
from jitgrad.tensors.storage import insist
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tensors.writing import write, writes


def add(a: Node, b: Node) -> Node:
    """The sum of two gradients, computed at once unless it is recorded."""
    node = bind(REGISTRY["add"], (a, b))
    if tracing.current() is None and (not grad_mode.enabled or not (a.requires_grad or b.requires_grad)):
        become_input(node, interpreter.evaluate([node])[0] if node.spec.type.device == "cpu" else execute.stored(node))
    return node


accumulating = threading.RLock()       # backward in several threads may end in one leaf


def _renew() -> None:
    """In a forked child: a thread that is not there may have held it."""
    global accumulating
    accumulating = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def accumulate(tensor: Tensor, g: Node, create_graph: bool) -> None:
    """tensor.grad += g: in place, unless the gradient is itself recorded.

    The sum replaces what it was made from, or is made anew: an allocation may run the collector, which runs anybody's code, and
    that may add to the very gradient."""
    with accumulating:
        insist(_add_to, tensor, g, wrap(g), create_graph)


def keep(tensor: Tensor, g: Node) -> None:
    """What retain_grad does: tensor.grad = tensor.grad + g.  Nothing is written: the gradient that is there may be part of a graph."""
    with accumulating:
        insist(_keep, tensor, g)


def _keep(tensor: Tensor, g: Node) -> bool:
    """See keep; False, and nothing has happened, where somebody has come in between."""
    have = tensor._grad
    new = wrap(g if have is None else add(have._current(), g))
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
    if node.spec.type.device != "cpu":
        return have._replace(execute.stored(bind(REGISTRY["add"], (node, g))), seen)
    return have._replace(np.asarray(interpreter.quiet.run(np.add, execute.value(node), execute.value(g))), seen)


def _write_sum(have: Tensor, node: Node, g: Node, seen: int) -> bool:
    total = bind(REGISTRY["add"], (node, g))
    total.ensure_extra().in_place = node
    return write(have, total, seen=seen) is not None
