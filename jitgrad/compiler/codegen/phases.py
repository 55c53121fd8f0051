"""Which values a kernel that goes row by row (softmax, layer norm) computes in which pass over the row.

Input: the body, stores and reductions of a `loop_nest.LoopNest` with `rows` > 0.  Output: the phase of each, and the variables
worth keeping for a later phase.
Invariant: a reduction's result is known one phase after the one that its operand is computed in; a variable is computed in
the first phase that it can be, and again in each later phase that needs it and does not find it kept.

Within a row, phases follow each other: loops over the row, then what follows from their reductions.  A softmax has three:
the largest, the sum of exponentials, the quotients; the exponentials are kept.
"""
from __future__ import annotations

from collections.abc import Sequence

from jitgrad.compiler.ir.loop_nest import Compute, Load, LoopNest, Operand_, Result, Store

KEEP_ABOVE = 8      # cost of what is computed again rather than kept in cache


class Phases:
    """count: the number of phases; of: by variable; stores, reductions: by number."""

    def __init__(self, kernel: LoopNest) -> None:
        self._k = kernel
        self.of: list[int] = []
        for e in kernel.body:
            if isinstance(e, Result):
                self.of.append(self._at(kernel.reductions[e.reduction].operand) + 1)
            elif isinstance(e, Compute | Load):
                self.of.append(max([self._at(x) for x in e.operands], default=0))
            else:
                self.of.append(0)
        self.stores = [max([self._at(x) for x in s.operands]) for s in kernel.stores]
        self.reductions = [self._at(r.operand) for r in kernel.reductions]
        self.count = max([*self.stores, *self.reductions], default=0) + 1

    def _at(self, x: Operand_) -> int:
        return self.of[x] if type(x) is int else 0

    def _ends(self, phase: int) -> list[Operand_]:
        """What the inner loops of a phase store and reduce."""
        k = self._k
        stores: list[Store] = [s for s, p in zip(k.stores, self.stores, strict=True) if p == phase and s.depth == k.depth]
        return [x for s in stores for x in s.operands] + \
            [r.operand for r, p in zip(k.reductions, self.reductions, strict=True) if p == phase]

    def needed(self, phase: int, kept: Sequence[int] = ()) -> tuple[set[int], set[int]]:
        """The variables of the inner loops that a phase computes, and those that it finds kept by an earlier phase."""
        k = self._k
        earlier: set[int] = set()
        for p in range(phase):
            if kept:
                earlier |= self.needed(p, kept)[0]
        compute: set[int] = set()
        reuse: set[int] = set()
        stack = self._ends(phase)
        while stack:
            x = stack.pop()
            if type(x) is not int or k.body[x].depth <= k.rows or x in compute:
                continue
            if x in kept and x in earlier:
                reuse.add(x)
                continue
            compute.add(x)
            e = k.body[x]
            if isinstance(e, Compute | Load):
                stack += e.operands
        return compute, reuse

    def worth_keeping(self, costs: Sequence[int]) -> list[int]:
        """The variables to keep; costs: of computing each again from its operands."""
        k = self._k
        computed: set[int] = set()
        keep: set[int] = set()
        for phase in range(self.count):
            stack, seen = self._ends(phase), set()
            while stack:
                x = stack.pop()
                if type(x) is not int or k.body[x].depth <= k.rows or x in seen:
                    continue
                seen.add(x)
                e = k.body[x]
                if x in computed and not isinstance(e, Load) and self._cost(x, costs, keep) > KEEP_ABOVE:
                    keep.add(x)
                elif isinstance(e, Compute | Load):
                    stack += e.operands
            computed |= seen
        return sorted(keep)

    def _cost(self, x: int, costs: Sequence[int], keep: set[int]) -> int:
        """What computing a variable costs, with all that it needs in the inner loops."""
        k = self._k
        total, stack, seen = 0, [x], set()
        while stack:
            x = stack.pop()
            if x in seen or k.body[x].depth <= k.rows:
                continue
            seen.add(x)
            total += costs[x] if x not in keep else 1
            e = k.body[x]
            if isinstance(e, Compute | Load) and x not in keep:
                stack += [y for y in e.operands if type(y) is int]
        return total
