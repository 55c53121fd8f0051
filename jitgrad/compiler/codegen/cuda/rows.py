"""The stage of a kernel for CUDA with row loops: softmax, layer normalisation, cross-entropy.

Input: a `LoopNest` with rows.  Output: one function, and one for each kind of reduction over rows that combines partial results.
Invariant: a row has the threads along x of one block, which wait for each other between phases (phases.py); what a phase needs of
an earlier one is computed again, in registers, rather than kept.

A reduction over a row is known to all its threads (a0, a1 ...).  One over all loops has an accumulator a thread for all its rows.
One over the rows, with an element for each place in a row, is added up in memory, in w0, w1 ...: each lane of rows has an array of
its own, of which each thread touches its own elements alone.

Sample, of a softmax's first phase:

    k = bx * ny
    while k < hi:
        t = k + ty
        inside = t < hi
        i0 = minimum(t, hi - 1)
        a0 = f4(-inf)
        i1 = tx if inside else n1
        while i1 < n1:
            v0 = load_f4(p0, i0 * n1 + i1)
            a0 = rmax(a0, v0)
            i1 = i1 + nx
        keep_f4(0, place, a0)
        ... the tree over x ...
        a0 = kept_f4(0, place - tx)
        wait()
"""
from __future__ import annotations

from jitgrad.compiler.codegen.cuda.stage import Stage, kept_of
from jitgrad.compiler.codegen.phases import Phases
from jitgrad.compiler.ir.loop_nest import LoopNest


class Rows(Stage):
    """of_row, of_all, of_column: the reductions over the loops in a row, over all loops, over those around rows."""

    def __init__(self, kernel: LoopNest, number: int) -> None:
        super().__init__(kernel, number)
        self.outer = list(range(kernel.rows))
        self.inner = list(range(kernel.rows, kernel.depth))
        self.phases = Phases(kernel)
        masks = [kept_of(r) for r in kernel.reductions]
        self.of_row = [j for j, kept in enumerate(masks) if kept == self.outer]
        self.of_all = [j for j, kept in enumerate(masks) if not kept]
        self.of_column = [j for j, kept in enumerate(masks) if kept == self.inner]

    @staticmethod
    def takes(kernel: LoopNest) -> bool:
        """Whether all reductions are of one of the three kinds."""
        row, column = list(range(kernel.rows)), list(range(kernel.rows, kernel.depth))
        return not kernel.serial and all([kept_of(r) in (row, [], column) for r in kernel.reductions])

    def run(self) -> str:
        """The text of the stage's functions."""
        outer, inner = self.lengths(self.outer), self.lengths(self.inner)
        self.place()
        numbers = list(range(len(self.k.body)))
        self.entries(numbers, set(), set())
        self.initialise(self.of_all)
        if self.of_column:
            self.line("lane = block_x() * threads_y() + thread_y()")
            self.line("u = thread_x()")
            self.line(f"while u < {inner}:")
            self.indent += 1
            for j in self.of_column:
                self.partial(j, self.mine("u"), self.k.reductions[j].identity)
            self.line("u = u + threads_x()")
            self.indent -= 1
        self.line("k = block_x() * threads_y()")
        self.line(f"while k < {outer}:")
        self.indent += 1
        self.turn(self.outer, "y")
        for phase in range(self.phases.count):
            self.phase(phase)
        self.line("k = k + blocks_x() * threads_y()")
        self.indent -= 1
        if self.of_all:
            self.tree(self.of_all, "xy")
            self.line("if place == 0:")
            self.indent += 1
            for j in self.of_all:
                self.partial(j, "block_x()", self.total(j))
            self.indent -= 1
        kind = "phases" if not self.of_column else "added"
        text = [self.function(kind, outer, inner)]
        text += [self.combining(self.of_all, [], "blocks")] if self.of_all else []
        text += [self.combining(self.of_column, self.inner, "lanes")] if self.of_column else []
        return "\n\n".join(text)

    def mine(self, place: str) -> str:
        """The element of this lane's array for a place in a row."""
        return f"lane * ({self.lengths(self.inner)}) + {place}"

    def phase(self, phase: int) -> None:
        """The inner loops once."""
        k = self.k
        for number, e in enumerate(k.body):
            if e.depth <= k.rows and self.varies[number] and self.phases.of[number] == phase:
                self.entry(number)
        stores = [s for s, at in zip(k.stores, self.phases.stores, strict=True) if at == phase]
        reductions = [j for j, at in enumerate(self.phases.reductions) if at == phase]
        self.once_a_row([lambda s=s: self.store(s) for s in stores if s.depth == k.rows])
        stores = [s for s in stores if s.depth == k.depth]
        if not stores and not reductions:
            return
        of_row = [j for j in reductions if j in self.of_row]
        self.initialise(of_row)
        total, variable = self.lengths(self.inner), f"i{k.rows}" if len(self.inner) == 1 else "u"
        self.line(f"{variable} = thread_x() if inside else {total}")
        self.line(f"while {variable} < {total}:")
        self.indent += 1
        self.divide(self.inner, variable)
        for number in sorted(self.phases.needed(phase)[0]):
            self.entry(number)
        for s in stores:
            self.store(s)
        self.accumulate([j for j in reductions if j not in self.of_column])
        for j in [j for j in reductions if j in self.of_column]:
            r, at = k.reductions[j], self.mine(variable)
            have = self.t.load(r.code, f"w{j}", at)
            self.partial(j, at, self.combined(r, have, self.operand(r.operand)))
        self.line(f"{variable} = {variable} + threads_x()")
        self.indent -= 1
        if of_row:
            self.tree(of_row, "x")
            for j in of_row:
                self.line(f"a{j} = {self.total(j, 'place - thread_x()')}")
            self.line("wait()")
            self.once_a_row([lambda j=j: self.result_stored(j, f"a{j}") for j in of_row if k.reductions[j].access is not None])

    def once_a_row(self, actions: list) -> None:
        """What one thread of a row does."""
        if actions:
            self.line("if inside and thread_x() == 0:")
            self.indent += 1
            for action in actions:
                action()
            self.indent -= 1
