"""What one iteration of a rolled loop does, in order: programs, and updates of arrays in place.

Input: what is to be computed, and which result takes the place of which leaf from iteration to iteration.
Output: `BodyStep`s.  Invariant: an array is written to only after everything that reads what is there.

An array that goes through a loop and of which each iteration replaces a part, or to a part of which each adds, is never copied:
the part is computed, then it is written.  The derivative of such a write clears a part of the gradient in place, that of a read
adds to it.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


def forward_steps(body: Body, read: Sequence[int], kept: Sequence[int], dying: Sequence[int] = ()) -> tuple[list[BodyStep],
                                                                                                            dict[Node, Node]]:
    """What computes the operations `read` of a body, where those `kept` have a place for each iteration (see split).

    dying: operands that nobody reads any more when what is done once is done."""
    if body.piece.count == 1:
        return split([body.nodes[o] for o in read], {}, {body.operands[j] for j in dying})
    handed_on = {n: body.nodes[o.offset] for n, o in zip(body.operands, body.piece.operands, strict=True)
                 if o.kind == CARRIED and o.offset not in kept}
    return split([body.nodes[o] for o in read], handed_on)


def backward_steps(reverse: Reverse, dying: Sequence[int] | None = None) -> tuple[dict[int, Node], list[BodyStep], dict[Node, Node]]:
    """The gradients by operand, each a result of its own, and what computes them.

    dying: of what is done once, the operations whose gradients may be written over; None: of a loop."""
    gradients: dict[int, Node] = {}
    for j, g in reverse.gradients.items():
        if (not g.inputs and g is not reverse.carried.get(j)) or g in gradients.values():
            g = in_grad_mode(False, REGISTRY["copy"], g)
        gradients[j] = g
    handed_on = {reverse.carried[j]: g for j, g in gradients.items() if j in reverse.carried}
    handed_on |= {reverse.sums[j]: g for j, g in gradients.items() if j in reverse.sums}
    return gradients, *split(list(gradients.values()), handed_on, None if dying is None else {reverse.slots[o] for o in dying})


def split(results: Sequence[Node], handed_on: Mapping[Node, Node],
          dying: Collection[Node] | None = None) -> tuple[list[BodyStep], dict[Node, Node]]:
    """The steps that compute results; and, of those that update an array in place, that array: a leaf, or one that they compute.

    handed_on: by leaf, the result that takes its place.  dying: of what is done once, leaves that may be written over; None: of a loop,
    where what is not handed on is not updated in place, but computed together with what reads it."""
    chains: dict[Node, list[_Update]] = {}
    for base, result in handed_on.items():
        chain = _chain(base, result)
        if chain is not None and not any([update.node in results for update in chain[:-1]]):
            chains[base] = chain
    order = topological(results)
    literal = _literals(order)
    if dying is not None:
        _chains_within(results, order, literal, chains, dying)
    while True:
        updates = {update.node: (update, base) for base, chain in chains.items() for update in chain}
        levels, circle = _levels(results, updates, literal)
        if not circle:
            return _steps(results, updates, levels, literal), {node: base for node, (_, base) in updates.items() if node in levels}
        places = {base: k for k, base in enumerate(chains)}     # something would be read that is written over already
        del chains[max([updates[n][1] for n in circle if n in updates], key=lambda base: places[base])]


def _chain(base: Node, result: Node) -> list[_Update] | None:
    """The updates that make the result of a leaf, first to last; None where these are none, or none of a part."""
    chain: list[_Update] = []
    n = result
    while n is not base:
        update = _update(n) if n.inputs else None
        if update is None:
            return None
        if update.put is None and base not in _below(update.before):
            update = _Update(n, update.value, update.before, None, True)
        chain.append(update)
        n = update.before
    return chain[::-1] if any([update.put is not None for update in chain]) else None


def _update(n: Node) -> _Update | None:
    """An operation as an update of its first operand, or of the second where what is added is zeros around the first."""
    if role(n) == "slice_put":
        return _Update(n, n.inputs[0], n.inputs[1], n, False)
    if n.spec.op is not REGISTRY["add"] or not n.spec.type == n.inputs[0].spec.type == n.inputs[1].spec.type:
        return None
    first, second = n.inputs
    if _padded(first) and not _padded(second):
        first, second = second, first
    return _Update(n, first, second.inputs[1], second, True) if _padded(second) else _Update(n, first, second, None, True)


def _chains_within(results: Sequence[Node], order: Sequence[Node], literal: Collection[Node], chains: dict[Node, list[_Update]],
                   dying: Collection[Node]) -> None:
    """Add the chains that begin with what is computed, or with a leaf that dies, the others with a copy."""
    taken = {update.node: base for base, chain in chains.items() for update in chain}
    found = {n: _update(n) for n in order if n.inputs and n not in taken}
    updates = {n: update for n, update in found.items() if update is not None and update.put is not None}
    kept = {*results}
    last: dict[Node, Node] = {}         # the base of a chain, by what it ends with so far
    for n, update in updates.items():
        before = update.before
        base = last.pop(before, None)
        if base is None or before in kept:
            new = before in taken or before in chains or before in kept or (
                before in literal if before.inputs else before not in dying)
            base = in_grad_mode(False, REGISTRY["copy"], before) if new else before
            update.before = base
            chains[base] = []
        chains[base].append(update)
        taken[n] = base
        last[n] = base


def _below(n: Node) -> set[Node]:
    return set(topological([n]))


def _padded(n: Node) -> bool:
    """Whether a value is zeros with a part written into them."""
    return role(n) == "slice_put" and _is_zero(n.inputs[0])


def _is_zero(n: Node) -> bool:
    while role(n) == "expand":
        n = n.inputs[0]
    return n.spec.op is CONST and n.value == 0


def _literals(order: Iterable[Node]) -> set[Node]:
    """What depends on nothing but shapes; operands come first."""
    found: set[Node] = set()
    for n in order:
        if all([m in found for m in operands_read(n)]) if n.inputs else n.spec.op is CONST:
            found.add(n)
    return found


def _levels(results: Sequence[Node], updates: Mapping[Node, tuple[_Update, Node]],
            literal: Collection[Node]) -> tuple[dict[Node, int], list[Node]]:
    """By node, how many rounds of updates come before it; and, where an order that is right does not exist, nodes that go round in a
    circle.

    A program of each level comes before the updates of that level."""
    def operands(n: Node) -> Sequence[Node]:
        if n not in updates:
            return operands_read(n)
        update, _ = updates[n]
        return [update.before] if update.value in literal else [update.before, update.value]

    order = topological(results, operands)
    before = {n: list(operands(n)) for n in order}
    readers: dict[Node, list[Node]] = {}
    for n, of in before.items():
        for m in of:
            readers.setdefault(m, []).append(n)
    for node, (update, _) in updates.items():
        if node in before:
            before[node] += [r for r in readers.get(update.before, ()) if r is not node]
    sequence, circle = _sorted(order, before)
    levels: dict[Node, int] = {}
    for n in () if circle else sequence:
        levels[n] = max([levels[m] + (m in updates and n not in updates) for m in before[n]], default=0)
    return levels, circle


def _sorted(order: Sequence[Node], before: Mapping[Node, Sequence[Node]]) -> tuple[list[Node], list[Node]]:
    """The nodes, each behind those before it; or a circle that they go round in."""
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
                    return found, [k for k in stack[stack.index(m):] if state.get(k) == 1]
                if m not in state:
                    stack.append(m)
    return found, []


def _steps(results: Sequence[Node], updates: Mapping[Node, tuple[_Update, Node]], levels: Mapping[Node, int],
           literal: Collection[Node]) -> list[BodyStep]:
    """Programs and updates; levels: of all that is to be computed, in order."""
    computed = [n for n in levels if n.inputs and n not in updates]
    done = [update for n, (update, _) in updates.items() if n in levels]
    wanted = {n for n in results if n.inputs and n not in updates}
    wanted |= {m for n in computed for m in operands_read(n) if m.inputs and m not in updates and levels[m] < levels[n]}
    wanted |= {n for update in done for n in (update.before, update.value) if n in levels and n.inputs and n not in updates}
    here: dict[int, tuple[set[Node], list[Node], list[Node]]] = {}      # by level: computed there, of that what is wanted, updates
    for n, level in levels.items():
        those, outputs, updated = here.setdefault(level, (set(), [], []))
        if n in updates:
            updated.append(n)
        elif n.inputs:
            those.add(n)
            outputs += [n] if n in wanted else []
    steps: list[BodyStep] = []
    for level in sorted(here):
        those, outputs, updated = here[level]
        if outputs:
            steps.append(_program(outputs, those))
        steps += [_in_place(*updates[n], updates[n][0].value in literal) for n in updated]
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


def _in_place(update: _Update, base: Node, literal: bool) -> BodyStep:
    """The program of an update.  literal: whether its value depends on nothing but shapes."""
    leaves: dict[Node, Node] = {}

    def stand_in(n: Node) -> Node:
        return leaves.setdefault(n, n if not n.inputs else leaf(n.spec.type))

    whole = stand_in(base)
    inner: list[Node] = []
    if literal and update.value.inputs:
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
