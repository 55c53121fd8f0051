"""Loop metadata in LLVM IR: what lets LLVM vectorise a kernel without run-time alias checks, and by how many vectors.

Input: what the vocabulary says while a kernel is lowered (vocabulary/): which loads and stores are independent from one
iteration of the innermost loop to the next, and `interleave(n)`.  Output: `llvm.loop` metadata on every innermost loop.
Invariant: a load or store is among the loop's parallel accesses only if the emitter promised that; `accload_*` and
`accstore_*` do not, so LLVM analyses a loop with one of them as it would without any metadata.

The promise is about different iterations of the innermost loop alone.  Within an iteration the order of loads and
stores is kept, which is why an output may be the very array that an input is read from, at the same index.  (Alias
scopes would promise more: that such a load and store never meet at all.)

Loops are complete only when the whole function is lowered, which no intrinsic of Numba's sees.  So the facts are kept in a
comment at the head of the function, which finds the loops when the module becomes text: that is the same for every
pipeline that lowers the kernel.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.objectcode import wide_vectors


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


class _LoopFacts(ir.Comment):
    """What is known of the loops of one function; written to their latches when the function is printed."""

    def __init__(self, function: ir.Function) -> None:
        super().__init__(function.blocks[0], "loops without dependences between iterations")
        self.group = _Distinct(function.module)
        self.interleaved: dict[ir.Block, int] = {}      # by a block of the loop
        self.written = False
        if wide_vectors():      # llvmlite knows no attribute with a value: past its check of names
            set.add(function.attributes, '"prefer-vector-width"="512"')

    @classmethod
    def of(cls, function: ir.Function) -> _LoopFacts:
        """The function's, made at the first question."""
        instructions = function.blocks[0].instructions
        if instructions and isinstance(instructions[0], cls):
            return instructions[0]
        facts = cls(function)
        instructions.insert(0, facts)
        return facts

    def descr(self, buf: list[str]) -> None:
        if not self.written:
            self.written = True
            self.write()
        super().descr(buf)

    def write(self) -> None:
        """Mark every innermost loop."""
        module = self.function.module
        accesses = module.add_metadata([ir.MetaDataString(module, "llvm.loop.parallel_accesses"), self.group])
        for latch, body in _innermost_loops(self.function):
            counts = [n for block, n in self.interleaved.items() if block in body]
            interleave = [module.add_metadata([ir.MetaDataString(module, "llvm.loop.interleave.count"),
                                               ir.Constant(ir.IntType(32), n)]) for n in counts[:1]]
            _terminator(latch).set_metadata("llvm.loop", _Distinct(module, (accesses, *interleave), loop=True))


def mark_independent(function: ir.Function, instruction: ir.Instruction) -> None:
    """Put a load or store into the function's access group: no other iteration touches its address, unless both read."""
    instruction.set_metadata("llvm.access.group", _LoopFacts.of(function).group)


def mark_interleaved(block: ir.Block, count: int) -> None:
    """Have the innermost loop around a block compute `count` vectors in one iteration."""
    _LoopFacts.of(block.function).interleaved[block] = count


def mark_invariant(module: ir.Module, instruction: ir.Instruction) -> None:
    """Say that nothing writes the loaded address while the kernel runs."""
    instruction.set_metadata("invariant.load", module.add_metadata([]))


def _terminator(block: ir.Block) -> Any:
    return block.terminator


def _successors(block: ir.Block) -> list[ir.Block]:
    return [op for op in _terminator(block).operands if isinstance(op, ir.Block)]


def _innermost_loops(function: ir.Function) -> Iterator[tuple[ir.Block, set[ir.Block]]]:
    """The loops with no loop inside: the block that jumps back to the head, and all blocks."""
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
            yield latch, body


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
