"""Which values of an iteration are kept for its derivative: the fewest bytes from which cheap formulas give all that it reads.

Input: the operations of a body, and what of them a derivative reads.  Output: the operations to keep.
Invariant: what is dear to compute again (library calls, reductions, transcendental functions, whole arrays that a part was written
to) is kept or not needed at all; the choice depends on ranks and dtypes, not on lengths.

This is a minimum cut (Ford and Fulkerson, Canadian Journal of Mathematics 8, 1956) between what is there only while an iteration is
computed and what its derivative reads: where several are as small, that of the values which are computed first.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from jitgrad.graph.node import Node
from jitgrad.ops.declare import CHEAP

_DEAR = ("slice_put", "cat")
MOST = 500          # values between which a cut is looked for
_INFINITE = 1 << 62
Vertex = tuple[Node | None, int]        # a value before (0) and behind (1) its being kept; None: what is there before, what reads it


def role(n: Node) -> str:
    """What an operation does, as Facts.role; nothing of a leaf."""
    return n.spec.op.facts.role if n.inputs else ""


def operands_read(n: Node) -> Sequence[Node]:
    """The operands whose values are read."""
    shape_only = n.spec.op.shape_only
    return [m for i, m in enumerate(n.inputs) if i not in shape_only] if shape_only else n.inputs


def to_save(nodes: Sequence[Node], carried: Collection[Node], needed: Sequence[Node]) -> set[Node]:
    """The operations among the nodes of a body whose values are kept.

    carried: the leaves that will be written over; needed: the operations and leaves that the derivative reads."""
    operands: dict[Node, Sequence[Node]] = {}
    stack = list(needed)
    while stack:
        n = stack.pop()
        if n not in operands:
            operands[n] = () if not n.inputs or _is_dear(n, carried) else operands_read(n)
            stack += operands[n]
    lost = {n for n, of in operands.items() if (n.inputs and not of and _is_dear(n, carried)) or n in carried}
    kept = lost.intersection(needed)
    # What follows from what is kept, or there anyway
    known = {n for n in operands if n in kept or (not n.inputs and n not in carried)}
    for n in nodes:
        if n in operands and n not in lost and known.issuperset(operands[n]):
            known.add(n)
    left = {n: [m for m in of if m not in known] for n, of in operands.items() if n not in known}
    kept |= _cut(left, lost, needed) if len(left) <= MOST else lost.intersection(left)
    return {n for n in kept if n.inputs}


def _is_dear(n: Node, carried: Collection[Node]) -> bool:
    """Whether an operation is not to be done again, or would need a whole array of which it is a part."""
    op = n.spec.op
    return op.kind in ("library", "reduction") or (op.kind == "elementwise" and op.facts.cost > CHEAP) or role(n) in _DEAR or _part_of(
        n, carried)


def _part_of(n: Node, carried: Collection[Node]) -> bool:
    """Whether a value is a part of an array that is handed on from iteration to iteration, or has been written to."""
    if n.spec.op.kind != "movement":
        return False
    whole = n
    while whole.spec.op.kind == "movement" and role(whole) not in _DEAR:
        whole = whole.inputs[0]
    return (whole in carried or role(whole) == "slice_put") and n.spec.type.size < whole.spec.type.size


def _cut(operands: Mapping[Node, Iterable[Node]], lost: Collection[Node], needed: Sequence[Node]) -> set[Node]:
    """The cheapest values to keep such that what is needed follows from them; operands: of values that are not known without."""
    source, sink = (None, 0), (None, 1)
    edges: dict[Vertex, dict[Vertex, int]] = {source: {}, sink: {}}
    for n, of in operands.items():
        edges.setdefault((n, 0), {})[n, 1] = _weight(n)
        edges.setdefault((n, 1), {}).setdefault((n, 0), 0)
        for m in of:
            edges.setdefault((m, 1), {})[n, 0] = _INFINITE
            edges[n, 0].setdefault((m, 1), 0)
        if n in lost:
            edges[source][n, 0] = _INFINITE
    for n in needed:
        if n in operands:
            edges[n, 1][sink] = _INFINITE
    while True:
        path = _path(edges, source)
        if sink not in path:
            return {n for n in operands if (n, 0) in path and (n, 1) not in path}
        steps, at = [], sink
        while at != source:
            steps.append((path[at], at))
            at = path[at]
        flow = min([edges[a][b] for a, b in steps])
        for a, b in steps:
            edges[a][b] -= flow
            edges[b][a] = edges[b].get(a, 0) + flow


def _path(edges: Mapping[Vertex, Mapping[Vertex, int]], source: Vertex) -> dict[Vertex, Vertex]:
    """All that can be reached over edges where something is left, each with the vertex before it on a shortest way."""
    found = {source: source}
    for at in (queue := [source]):
        for to, capacity in edges[at].items():
            if capacity > 0 and to not in found:
                found[to] = at
                queue.append(to)
    return found


def _weight(n: Node) -> int:
    """Bytes, as if all lengths were the same."""
    return n.spec.type.dtype.np.itemsize * 64 ** sum([length > 1 for length in n.spec.type.shape])
