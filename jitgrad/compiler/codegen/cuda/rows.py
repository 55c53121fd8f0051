"""The stage of a kernel for CUDA with row loops: softmax, layer normalisation, cross-entropy.

Input: a `LoopNest` with rows.  Output: one function, and one for each kind of reduction over rows that combines partial results.
Invariant: a row has the threads along x of one block, which wait for each other between phases (phases.py); what a phase needs of
an earlier one is computed again, in registers, rather than kept.

A reduction over a row is known to all its threads (a0, a1 ...).  One over all loops has an accumulator a thread for all its rows.
One over the rows, with an element for each place in a row, is added up in memory, in w0, w1 ...: each lane of rows has an array of
its own, of which each thread touches its own elements alone.  What is reduced over other loops, or added at computed positions, is
left in memory, in s0, s1 ..., for stages of their own.

Sample, of a softmax's first phase:

    k = bx * ny
    while k < hi:
        t = k + ty
        inside = t < hi
        at = minimum(t, hi - 1)
        i0 = at
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

from jitgrad.compiler.codegen.cuda.scatter import Scatter
from jitgrad.compiler.codegen.cuda.spread import Spread
from jitgrad.compiler.codegen.cuda.stage import Stage, kept_of
from jitgrad.compiler.codegen.phases import Phases
from jitgrad.compiler.ir.loop_nest import LoopNest, Result


class Rows(Stage):
    """of_row, of_all, of_column: the reductions over the loops in a row, over all loops, over those around rows; others: the rest."""

    def __init__(self, kernel: LoopNest, number: int) -> None:
        super().__init__(kernel, number)
        self.outer = list(range(kernel.rows))
        self.inner = list(range(kernel.rows, kernel.depth))
        self.phases = Phases(kernel)
        masks = [kept_of(r) for r in kernel.reductions]
        self.of_row = [j for j, kept in enumerate(masks) if kept == self.outer]
        self.of_all = [j for j, kept in enumerate(masks) if not kept]
        self.of_column = [j for j, kept in enumerate(masks) if kept == self.inner]
        self.others = [j for j in range(len(masks)) if j not in (*self.of_row, *self.of_all, *self.of_column)]
        self.added = {len(masks) + k: s for k, s in enumerate(kernel.stores) if s.accumulate}

    @staticmethod
    def takes(kernel: LoopNest) -> bool:
        """Whether no position at which something is added follows from a row's result."""
        positions = [x for s in kernel.stores if s.accumulate for x, _ in s.access.computed]
        return not any([isinstance(kernel.body[n], Result) for n in Stage(kernel, 0).needed(positions)])

    def run(self, atomic: bool) -> str:
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
        for mask in dict.fromkeys([self.k.reductions[j].reduced for j in self.others]):
            stage = Spread(self.k, self.number, [j for j in self.others if self.k.reductions[j].reduced == mask], [], left=True)
            text.append(stage.run())
            self.number = stage.number
        for number, s in self.added.items():
            scatter = Scatter(self.k, self.number, s, number)
            text.append(scatter.atomically() if atomic else scatter.run())
            self.number = scatter.number
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
            if not s.accumulate:
                self.store(s)
        for number, value in [(j, self.reduced(j)) for j in self.others if j in reductions] + \
                [(n, self.operand(s.operand)) for n, s in self.added.items() if s in stores]:
            code = k.reductions[number].code if number < len(k.reductions) else self.added[number].access.code
            self.line(self.t.store(code, f"s{number}", f"t * ({total}) + {variable}", value))
        self.accumulate([j for j in reductions if j in self.of_row or j in self.of_all])
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
