"""What is made of a recorded graph before it is looked through for what repeats: an order, and copies in place of concatenations.

Input: an order, operands first, as a walk from the roots finds it.  Output: another one, or the same, as a `Graph`.
Invariant: the time taken is linear in the operations; what is computed is the same.

The walk goes to the operands from the left to the right.  In `h = tanh(x[t] @ w + h @ u)` it comes to all the `x[t] @ w`, from the last
step to the first, before it comes to any `h @ u`: a loop of its own, whose results all have to be kept for the other one.  So operands
that are far less deep in the graph than another one come after it.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from jitgrad.graph.node import CONST, Node
from jitgrad.graph.recording import in_grad_mode
from jitgrad.ops.declare import REGISTRY

LESS = 2        # times as deep as one that is put off is what it is put behind
MOST = 3        # operands of an operation of which some are put off: not of what joins arrays
MANY = 8        # arrays that are joined: a loop copies them to where they belong
NOTHING: Mapping[int, int] = {}


def arranged(children: Sequence[Sequence[int]]) -> list[int]:
    """The places of a graph in the order in which it is computed; children: of each place the places of its operands, in any order."""
    heights: list[int] = []
    ways: list[Sequence[int]] = []
    same = True
    for of in children:
        if len(of) == 1:            # mostly
            heights.append(heights[of[0]] + 1)
            ways.append(of)
            continue
        top = max([heights[j] for j in of], default=-1)
        heights.append(top + 1)
        deep = [j for j in of if LESS * heights[j] >= top] if 1 < len(of) <= MOST else of
        if len(deep) < len(of):
            deep = [*deep, *[j for j in of if LESS * heights[j] < top]]
            same &= list(deep) == list(of)
        ways.append(deep)
    if same:
        return [*range(len(children))]
    found: list[int] = []
    seen = [False] * len(children)
    read = {j for of in children for j in of}
    for root in range(len(children)):
        if root in read:
            continue
        stack = [root]
        while stack:
            k = stack.pop()
            if k < 0:               # all operands are there
                found.append(~k)
            elif not seen[k]:
                seen[k] = True
                if ways[k]:
                    stack.append(~k)
                    stack += ways[k][::-1]
                else:
                    found.append(k)
    return found


class Graph:
    """A recorded graph by places.  children: of each place the places of its operands.

    body: the places of operations, in order; at: of each place where in the body it is, -1 for leaves.
    joined: concatenations of many arrays one behind the other in memory, which are no operations here but the places where that many
    copies lie: of each the place of the first one."""

    def __init__(self, order: Sequence[Node], children: Sequence[Sequence[int]], joined: Mapping[int, int] = NOTHING) -> None:
        self.order = order
        self.children = children
        self.joined = joined
        self.body = np.array([k for k, of in enumerate(children) if of], np.int64)
        self.at = np.full(len(order), -1, np.int64)
        self.at[self.body] = np.arange(len(self.body))
        types: dict = {}
        self.types = np.array([types.setdefault(n.spec.type, len(types)) for n in order], np.int64)
        self.signatures = np.array([2 * n.spec.sig + n.requires_grad for n in order], np.int64)
        self.literal = np.array([n.spec.op is CONST for n in order], np.bool_)

    @cached_property
    def kinds(self) -> np.ndarray:
        """What each operation of the body is."""
        return self._numbered(lambda n, operands: (n.spec.sig, n.requires_grad, n.spec.type, operands, len(n.spec.sizes or ())))

    @cached_property
    def classes(self) -> np.ndarray:
        """The same whatever the lengths are, except where there is nothing."""
        def kind(n: Node, operands: int) -> tuple:
            spec, type = n.spec, n.spec.type
            return (spec.op, spec.params, type.dtype.code, type.device, type.ndim, 0 in type.shape, n.requires_grad, operands,
                    len(spec.sizes or ()))
        return self._numbered(kind)

    def _numbered(self, kind: Callable[[Node, int], tuple]) -> np.ndarray:
        """A number for what each operation of the body is, given its number of operands."""
        known: dict[tuple, int] = {}
        alike: dict[tuple, int] = {}        # of those that share what they are, which most do
        found: list[int] = []
        for k in self.body.tolist():
            n, operands = self.order[k], len(self.children[k])
            key = n.spec, n.requires_grad, operands
            number = alike.get(key)
            if number is None:
                number = alike[key] = known.setdefault(kind(n, operands), len(known))
            found.append(number)
        return np.array(found, np.int64)

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the operands of each operation of the body begin, and the places of all, one after the other."""
        of = [self.children[k] for k in self.body.tolist()]
        starts = np.zeros(len(of) + 1, np.int64)
        np.cumsum([len(c) for c in of], out=starts[1:])
        return starts, np.array([j for c in of for j in c], np.int64)


def _alike(order: Sequence[Node], children: Sequence[Sequence[int]]) -> Sequence[Node]:
    """The order, in which operations of constants that a loop begins with are like those of its other iterations: they count as what
    requires a gradient, which goes nowhere from there."""
    known = {n.spec for n, of in zip(order, children, strict=True) if of and n.requires_grad}
    if all([n.requires_grad or n.spec not in known or not of for n, of in zip(order, children, strict=True)]):
        return order
    found = [*order]
    for n, of in zip(order, children, strict=True):
        for j in of if n.requires_grad else ():
            m = order[j]
            if not m.requires_grad and children[j] and m.spec in known:
                found[j] = Node(m.spec, m.inputs, True, 0, None, m.line)
    return found


def copied(order: Sequence[Node], children: Sequence[Sequence[int]]) -> tuple[Graph, list[int]]:
    """The graph with copies in place of long concatenations, and where in its order each place is."""
    order = _alike(order, children)
    where = [*range(len(order))]
    if not any([len(of) >= MANY for of in children]):
        return Graph(order, children), where
    nodes: list[Node] = []
    operands: list[Sequence[int]] = []
    joined: dict[int, int] = {}
    for k, (n, of) in enumerate(zip(order, children, strict=True)):
        own = [where[j] for j in of]
        if len(of) >= MANY and _one_behind_the_other([order[j] for j in of], n):
            first = len(nodes)
            for j, place in zip(of, own, strict=True):
                copy = in_grad_mode(False, REGISTRY["copy"], order[j])
                nodes.append(Node(copy.spec, copy.inputs, n.requires_grad, 0, None, n.line))
                operands.append((place,))
            own = ()
            joined[len(nodes)] = first
        where[k] = len(nodes)
        nodes.append(n)
        operands.append(own)
    return Graph(nodes, operands, joined), where


def _one_behind_the_other(operands: Sequence[Node], n: Node) -> bool:
    """Whether an operation lays many arrays of one type one behind the other in memory."""
    if n.spec.op.facts.role != "cat" or any([m.spec.type is not operands[0].spec.type for m in operands]):
        return False
    return all([length == 1 for length in n.spec.type.shape[:n.spec.params[0]]])
