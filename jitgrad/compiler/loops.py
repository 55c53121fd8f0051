"""Loop annotations in LLVM IR: what lets LLVM vectorise a kernel without run-time alias checks.

Input: the llvmlite.ir module that translate.py made of a kernel.  Output: the same module, where each innermost loop says
that its ordinary loads and stores carry nothing from one iteration to the next ("parallel accesses" of one access
group).  Invariant: a load or store belongs to the group only if the emitter promised that; `accload_*` and
`accstore_*` do not, so a loop with one of them is analysed by LLVM as it would be without any annotation.

The promise is about different iterations of the innermost loop alone.  Within an iteration the order of loads and
stores is kept, which is why an output may be the very array that an input is read from, at the same index.  (Alias
scopes would promise more: that such a load and store never meet at all.)
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir

# What the heads of some loops are called, and how many vectors LLVM then takes in one iteration.
#
# Over a row, two: its own choice is up to four, and a row that is shorter (of 10 float64, say) would be left to the scalar
# remainder, at 1.5 to 2 times the time; one makes long rows wait for each addition and each formula.
#
# In a flat loop with formulas of vecmath, LLVM takes one, not knowing that they become long chains of dependent operations
# (they are inlined later): four run side by side take 0.7 to 0.8 of the time.  But code grows, and with it the time to
# compile, so only loops with few formulas get that: by their number.
ROW, LONG, LONGER = "row", "long", "longer"
INTERLEAVED = {ROW: 2, LONG: 4, LONGER: 2}
FLAT = {1: LONG, 2: LONG, 3: LONG, 4: LONGER, 5: LONGER}


class _Distinct(ir.MDValue):
    """A distinct metadata node: an access group, or (when it names itself first) a loop identifier."""

    def __init__(self, module: ir.Module, values: tuple[ir.MDValue, ...] = (), loop: bool = False) -> None:
        super().__init__(module, values, name=str(len(module.metadata)))
        self.loop = loop

    def descr(self, buf: list[str]) -> None:
        operands = [op.get_reference() for op in self.operands]
        if self.loop:
            operands.insert(0, self.get_reference())
        buf += (f"distinct !{{ {', '.join(operands)} }}", "\n")

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)


def _group(module: ir.Module) -> _Distinct | None:
    for node in module.metadata:
        if isinstance(node, _Distinct) and not node.loop:
            return node
    return None


def mark_independent(module: ir.Module, instruction: ir.Instruction) -> None:
    """Put a load or store into the module's access group: no other iteration touches its address, unless both read."""
    instruction.set_metadata("llvm.access.group", _group(module) or _Distinct(module))


def mark_invariant(module: ir.Module, instruction: ir.Instruction) -> None:
    """Say that nothing writes the loaded address while the kernel runs."""
    instruction.set_metadata("invariant.load", module.add_metadata([]))


def annotate_loops(module: ir.Module) -> None:
    """Mark every innermost loop of every function of the module."""
    group = _group(module)
    if group is None:
        return
    accesses = module.add_metadata([ir.MetaDataString(module, "llvm.loop.parallel_accesses"), group])
    for function in module.functions:
        for latch in _innermost_latches(function):
            facts = [accesses]
            head = _successors(latch)[0].name
            for kind, count in INTERLEAVED.items():
                if head.partition(".")[0] == kind:
                    facts.append(module.add_metadata([ir.MetaDataString(module, "llvm.loop.interleave.count"),
                                                      ir.Constant(ir.IntType(32), count)]))
            _terminator(latch).set_metadata("llvm.loop", _Distinct(module, tuple(facts), loop=True))


def _terminator(block: ir.Block) -> Any:
    return block.terminator


def _successors(block: ir.Block) -> list[ir.Block]:
    return [op for op in _terminator(block).operands if isinstance(op, ir.Block)]


def _innermost_latches(function: ir.Function) -> Iterator[ir.Block]:
    """The blocks that jump back to the head of a loop with no loop inside it."""
    edges = _back_edges(function)
    heads = {head for _, head in edges}
    predecessors: dict[ir.Block, list[ir.Block]] = {}
    for block in function.blocks:
        for successor in _successors(block):
            predecessors.setdefault(successor, []).append(block)
    for latch, head in edges:
        body = {head}
        pending = [latch]
        while pending:
            block = pending.pop()
            if block not in body:
                body.add(block)
                pending.extend(predecessors.get(block, ()))
        if not any(other in heads for other in body - {head}):
            yield latch


def _back_edges(function: ir.Function) -> list[tuple[ir.Block, ir.Block]]:
    """Edges to a block that is on the current path of a depth-first walk (the control flow is reducible)."""
    if not function.blocks:
        return []
    edges = []
    path: set[ir.Block] = set()
    seen: set[ir.Block] = set()
    stack: list[tuple[ir.Block, Iterator[ir.Block]]] = []

    def enter(block: ir.Block) -> None:
        seen.add(block)
        path.add(block)
        stack.append((block, iter(_successors(block))))

    enter(function.blocks[0])
    while stack:
        block, rest = stack[-1]
        successor = next(rest, None)
        if successor is None:
            path.discard(block)
            stack.pop()
        elif successor in path:
            edges.append((block, successor))
        elif successor not in seen:
            enter(successor)
    return edges
