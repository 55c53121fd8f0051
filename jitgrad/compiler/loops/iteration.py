"""What one iteration of a rolled loop does, in order: programs, and updates of arrays in place.

Input: what is to be computed, and which result takes the place of which leaf from iteration to iteration.
Output: `BodyStep`s.  Invariant: an array is written to only after everything that reads what is there.

An array that goes through a loop and of which each iteration replaces a part, or to a part of which each adds, is never copied:
the part is computed, then it is written.  The derivative of such a write clears a part of the gradient in place, that of a read
adds to it.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitgrad.compiler.loops.body import Body, Reverse, leaf
from jitgrad.compiler.loops.pieces import CARRIED
from jitgrad.compiler.loops.saving import operands_read, role
from jitgrad.graph.node import CONST, Node, Spec, topological
from jitgrad.graph.recording import in_grad_mode, signature
from jitgrad.ops.declare import REGISTRY


@dataclass(eq=False)
class BodyStep:
    """One program.  order: its nodes, leaves first; sources: what each leaf stands for; results: what is computed, by the nodes of
    the iteration; outputs: places of these in the order.  base: what is updated in place, whose memory the only output has.
    prepared: of step_programs.py, by the number of iterations where lengths advance."""

    order: list[Node]
    sources: list[Node]
    results: list[Node]
    outputs: list[int]
    base: Node | None = None
    prepared: dict[int, Any] = field(default_factory=dict)


@dataclass(eq=False)
class _Update:
    """`node` is `before` with `value` written to a part of it (put), or added to a part or the whole."""

    node: Node
    before: Node
    value: Node
    put: Node | None
    adds: bool


def forward_steps(body: Body, read: Sequence[int], kept: Sequence[int]) -> tuple[list[BodyStep], dict[Node, Node]]:
    """What computes the operations `read` of a body, where those `kept` have a place for each iteration (see split)."""
    handed_on = {n: body.nodes[o.offset] for n, o in zip(body.operands, body.piece.operands, strict=True)
                 if o.kind == CARRIED and o.offset not in kept}
    return split([body.nodes[o] for o in read], handed_on)


def backward_steps(reverse: Reverse) -> tuple[dict[int, Node], list[BodyStep], dict[Node, Node]]:
    """The gradients by operand, each a result of its own, and what computes them."""
    gradients: dict[int, Node] = {}
    for j, g in reverse.gradients.items():
        if (not g.inputs and g is not reverse.carried.get(j)) or g in gradients.values():
            g = in_grad_mode(False, REGISTRY["copy"], g)
        gradients[j] = g
    handed_on = {reverse.carried[j]: g for j, g in gradients.items() if j in reverse.carried}
    handed_on |= {reverse.sums[j]: g for j, g in gradients.items() if j in reverse.sums}
    return gradients, *split(list(gradients.values()), handed_on)


def split(results: Sequence[Node], handed_on: Mapping[Node, Node]) -> tuple[list[BodyStep], dict[Node, Node]]:
    """The steps that compute results; and, of those that update a leaf in place, the leaf.

    handed_on: by leaf, the result that takes its place."""
    chains: dict[Node, list[_Update]] = {}
    for base, result in handed_on.items():
        chain = _chain(base, result)
        if chain is not None and not any([update.node in results for update in chain[:-1]]):
            chains[base] = chain
    while True:
        updates = {update.node: (update, base) for base, chain in chains.items() for update in chain}
        levels = _levels(results, updates)
        if levels is not None:
            return _steps(results, updates, levels), {node: base for node, (_, base) in updates.items()}
        chains.popitem()            # something would be read that is written over already


def _chain(base: Node, result: Node) -> list[_Update] | None:
    """The updates that make the result of a leaf, first to last; None where these are none, or none of a part."""
    chain: list[_Update] = []
    n = result
    while n is not base:
        if not n.inputs:
            return None
        op = n.spec.op
        if role(n) == "slice_put":
            chain.append(_Update(n, n.inputs[0], n.inputs[1], n, False))
        elif op is REGISTRY["add"] and n.spec.type == n.inputs[0].spec.type == n.inputs[1].spec.type:
            first, second = n.inputs
            if _padded(first) and not _padded(second):
                first, second = second, first
            if _padded(second):
                chain.append(_Update(n, first, second.inputs[1], second, True))
            elif base in _below(first):
                chain.append(_Update(n, first, second, None, True))
            else:
                chain.append(_Update(n, second, first, None, True))
        else:
            return None
        n = chain[-1].before
    return chain[::-1] if any([update.put is not None for update in chain]) else None


def _below(n: Node) -> set[Node]:
    return set(topological([n]))


def _padded(n: Node) -> bool:
    """Whether a value is zeros with a part written into them."""
    return role(n) == "slice_put" and _is_zero(n.inputs[0])


def _is_zero(n: Node) -> bool:
    while role(n) == "expand":
        n = n.inputs[0]
    return n.spec.op is CONST and n.value == 0


def _is_literal(n: Node) -> bool:
    """Whether a value depends on nothing but shapes."""
    return all([m.spec.op is CONST for m in topological([n], operands_read) if not m.inputs])


def _levels(results: Sequence[Node], updates: Mapping[Node, tuple[_Update, Node]]) -> dict[Node, int] | None:
    """By node, how many rounds of updates come before it; None where an order that is right does not exist.

    A program of each level comes before the updates of that level."""
    def operands(n: Node) -> Sequence[Node]:
        if n not in updates:
            return operands_read(n)
        update, _ = updates[n]
        return [update.before] if _is_literal(update.value) else [update.before, update.value]

    order = topological(results, operands)
    before = {n: list(operands(n)) for n in order}
    readers: dict[Node, list[Node]] = {}
    for n, of in before.items():
        for m in of:
            readers.setdefault(m, []).append(n)
    for node, (update, _) in updates.items():
        before[node] += [r for r in readers.get(update.before, ()) if r is not node]
    sequence = _sorted(order, before)
    levels: dict[Node, int] = {}
    for n in sequence or ():
        levels[n] = max([levels[m] + (m in updates and n not in updates) for m in before[n]], default=0)
    return levels if sequence is not None else None


def _sorted(order: Sequence[Node], before: Mapping[Node, Sequence[Node]]) -> list[Node] | None:
    """The nodes, each behind those before it; None where they go round in a circle."""
    found: list[Node] = []
    state: dict[Node, int] = {}
    for root in order:
        stack = [root]
        while stack:
            n = stack[-1]
            if state.get(n) == 2:
                stack.pop()
                continue
            if state.get(n) == 1:
                state[n] = 2
                found.append(n)
                stack.pop()
                continue
            state[n] = 1
            for m in before[n]:
                if state.get(m) == 1:
                    return None
                if m not in state:
                    stack.append(m)
    return found


def _steps(results: Sequence[Node], updates: Mapping[Node, tuple[_Update, Node]], levels: Mapping[Node, int]) -> list[BodyStep]:
    """Programs and updates; levels: of all that is to be computed, in order."""
    computed = [n for n in levels if n.inputs and n not in updates]
    wanted = {n for n in results if n.inputs and n not in updates}
    wanted |= {m for n in computed for m in operands_read(n) if m.inputs and m not in updates and levels[m] < levels[n]}
    wanted |= {update.value for update, _ in updates.values() if update.value in levels and update.value.inputs
               and update.value not in updates}
    steps: list[BodyStep] = []
    for level in range(max(levels.values(), default=0) + 1):
        here = {n for n in computed if levels[n] == level}
        outputs = [n for n in computed if n in here and n in wanted]
        if outputs:
            steps.append(_program(outputs, here))
        steps += [_in_place(*updates[n]) for n in levels if n in updates and levels[n] == level]
    return steps


def _program(outputs: Sequence[Node], here: set[Node]) -> BodyStep:
    """What computes some nodes, where `here` are those that it may compute."""
    leaves: dict[Node, Node] = {}
    inner: dict[Node, Node] = {}

    def seen(n: Node) -> Node:
        if n in inner:
            return inner[n]
        if n.spec.op is CONST:
            return leaves.setdefault(n, n)
        return leaves.setdefault(n, n if not n.inputs else leaf(n.spec.type))

    for n in topological(outputs, lambda n: [m for m in n.inputs if m in here]):
        inner[n] = Node(n.spec, tuple([seen(m) for m in n.inputs]), False, 0, None, n.line)
        inner[n].extra = n.extra
    nodes = [*leaves.values(), *inner.values()]
    number = {n: k for k, n in enumerate(nodes)}
    return BodyStep(nodes, list(leaves), list(outputs), [number[inner[n]] for n in outputs])


def _in_place(update: _Update, base: Node) -> BodyStep:
    """The program of an update."""
    leaves: dict[Node, Node] = {}

    def stand_in(n: Node) -> Node:
        return leaves.setdefault(n, n if not n.inputs else leaf(n.spec.type))

    whole = stand_in(base)
    inner: list[Node] = []
    if _is_literal(update.value) and update.value.inputs:
        value = _copied(update.value, leaves, inner)
    else:
        value = stand_in(update.value)
    if update.adds:
        part = whole
        if update.put is not None:
            put = update.put.spec
            op = REGISTRY["slice_like"]
            sig = signature(op, put.params, value.spec.type)
            part = Node(Spec(op, put.params, put.sizes, value.spec.type, sig), (whole, value), False, 0)
            inner.append(part)
        value = in_grad_mode(False, REGISTRY["add"], part, value)
        inner.append(value)
    if update.put is not None:
        value = Node(update.put.spec, (whole, value), False, 0, None, update.node.line)
        inner.append(value)
    nodes = [*leaves.values(), *inner]
    return BodyStep(nodes, list(leaves), [update.node], [len(nodes) - 1], base)


def _copied(n: Node, leaves: dict[Node, Node], inner: list[Node]) -> Node:
    """A literal, expanded to a shape."""
    if not n.inputs:
        return leaves.setdefault(n, n)
    read = set(operands_read(n))
    inputs = tuple([_copied(m, leaves, inner) if m in read else leaves.setdefault(m, leaf(m.spec.type))
                    for m in n.inputs])
    made = Node(n.spec, inputs, False, 0)
    inner.append(made)
    return made
