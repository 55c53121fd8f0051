"""Sums that a kernel accumulates in memory, because a kept loop lies inside a reduced one: blocks and totals.

Input: reductions with `Totals`.  Output: the lines before, in and after the reduced loops.
Invariant: in float32 no sum has more than some ROWS of terms that are added one after the other; what is above that is float64.

The result's own memory holds the sums over a block; after each, they are added to the totals and begin again at 0.  Sample,
the sums of n1 columns:

    for z in range(n1):
        accstore_f4(p2, z, f4(0.0))
    e0 = n1 if minimum(lo + 64, hi) < hi else 0
    for z in range(e0):
        store_f8(p3, z, f8(0.0))
    for k0 in range(lo, hi, 64):
        for i0 in range(k0, minimum(k0 + 64, hi)):
            o0 = i0 * n1
            for i1 in range(n1):
                v0 = load_f4(p0, o0 + i1)
                store_f4(p2, i1, radd(load_f4(p2, i1), v0))
        for z in range(e0):
            store_f8(p3, z, load_f8(p3, z) + to_f8(load_f4(p2, z)))
            store_f4(p2, z, f4(0.0))
    for z in range(e0):
        store_f4(p2, z, to_f4(load_f8(p3, z) + to_f8(load_f4(p2, z))))
"""
from __future__ import annotations

from jitgrad.compiler.codegen.emitter import Emitter
from jitgrad.compiler.codegen.target_cpu import ROWS, CpuTarget
from jitgrad.compiler.ir.loop_nest import Access, Amount, Reduce, Totals


class SumsInMemory(Emitter[CpuTarget]):
    """What is written around the loops of such sums."""

    def offset(self, coefs: tuple[Amount, ...]) -> str:
        """The variable that holds the part of a position that the outer loops give."""
        raise NotImplementedError

    def kept_element(self, access: Access, loop: int) -> str:
        """The position of kept element z inside a loop."""
        before = self.offset(access.coefs[:loop])
        return "z" if before == "0" else f"{before} + z"

    def begin_totals(self, j: int, depth: int, start: str, stop: str) -> None:
        """Before the outermost reduced loop: no totals, which a single block of it needs none of.

        Where several reduced loops follow each other, m0, m1 ... counts what the blocks of the innermost have added up."""
        r, totals = self.k.reductions[j], self.totals(j)
        extent = self.amount(r.extent)
        if totals.loop == depth:
            extent = f"{extent} if {self.t.block_end(start, stop, ROWS[r.code])} < {stop} else 0"
        elif all(r.reduced[depth:totals.loop]):
            self.line(f"m{j} = 0")
        self.line(f"e{j} = {extent}")
        self.line(self.t.loop("z", "0", f"e{j}"))
        self.line("    " + self.t.store("f8", f"p{totals.access.slot}", "z", "f8(0.0)"))

    def add_block(self, j: int, added: str) -> None:
        """After a block of the loop that is cut: to the totals.  added: how many elements were added to each of its sums."""
        r, totals = self.k.reductions[j], self.totals(j)
        first = r.reduced.index(True)
        counted = first < totals.loop and all(r.reduced[first:totals.loop])
        if counted:
            self.line(f"m{j} = m{j} + ({added})")
            self.line(f"if m{j} >= {ROWS[r.code]}:")
            self.indent += 1
            self.line(f"m{j} = 0")
        self.line(self.t.loop("z", "0", f"e{j}" if totals.loop == first else self.amount(totals.extent)))
        pointer, position = f"p{totals.access.slot}", self.kept_element(totals.access, totals.loop)
        self.line("    " + self.t.store("f8", pointer, position, self.with_total(r, totals.loop)))
        assert r.access is not None
        self.line("    " + self.t.store(r.code, f"p{r.access.slot}", self.kept_element(r.access, totals.loop), r.identity))
        self.indent -= counted

    def with_total(self, r: Reduce, loop: int) -> str:
        """The sum over a block and the total of those before it, of kept element z inside a loop."""
        assert r.access is not None and r.totals is not None
        total = self.t.load("f8", f"p{r.totals.access.slot}", self.kept_element(r.totals.access, loop))
        block = self.t.load(r.code, f"p{r.access.slot}", self.kept_element(r.access, loop))
        return f"{total} + " + (block if r.code == "f8" else f"to_f8({block})")

    def end_totals(self, j: int, depth: int) -> None:
        """After the outermost reduced loop: the totals are the result."""
        r = self.k.reductions[j]
        assert r.access is not None
        self.line(self.t.loop("z", "0", f"e{j}"))
        total = self.with_total(r, depth)
        self.line("    " + self.t.store(r.code, f"p{r.access.slot}", self.kept_element(r.access, depth),
                                        total if r.code == "f8" else f"to_{r.code}({total})"))

    def totals(self, j: int) -> Totals:
        totals = self.k.reductions[j].totals
        assert totals is not None
        return totals
