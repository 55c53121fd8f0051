"""A stage of a kernel for CUDA whose loops run once: elementwise work, and the reductions over the same loops.

Input: a `LoopNest` without rows, reductions with the same kept loops, stores.  Output: one function, and one that combines partial
results where the inner loops were cut in chunks.

    elementwise  no reduction: the outer loops are all but the last
    rows         the last loop is reduced: threads along x share a row
    columns      the last loop is kept: threads along y share a column

Where neighbours in memory are neighbours in the inner loop of elementwise work, a thread takes FOUR of them, so that it loads and
stores 16 bytes at a time if the arrays begin at multiples of that:

    q = (by * nx + tx) * 4
    whole = hi - rest(hi, 4) if band(bor(p0, p1), 15) == 0 else 0
    while q < whole:
        v0_0 = first_load_f4(p0, q)
        v0_1 = load_f4(p0, q + 1)
        ...
        first_store_f4(p1, q, v2_0)
        ...
        q = q + gy * nx * 4
    i0 = whole + by * nx + tx
    while i0 < hi:
        ...
"""
from __future__ import annotations

import re

from jitgrad.compiler.codegen.cuda.stage import Stage, kept_of
from jitgrad.compiler.ir.loop_nest import Access, Load, LoopNest, Store

FOUR = 4
MOST = 32           # entries of a body that is written five times


class Spread(Stage):
    """kept, reduced: the outer and the inner loops; number: of the first function.  left: whether reductions are of what the rows'
    stage left."""

    def __init__(self, kernel: LoopNest, number: int, reductions: list[int], stores: list[Store], left: bool = False) -> None:
        super().__init__(kernel, number)
        self.are_left = left
        self.reductions = reductions
        self.stores = stores
        if reductions:
            self.outer = kept_of(kernel.reductions[reductions[0]])
        else:
            self.outer = list(range(kernel.depth - 1))
        self.inner = [k for k in range(kernel.depth) if k not in self.outer]
        operands = [] if left else [kernel.reductions[j].operand for j in reductions]
        used = self.needed([x for s in stores for x in s.operands] + operands)
        self.used = sorted(used, key=lambda n: not self.is_plain(n))       # what can be loaded is, before anything is computed
        columns = bool(reductions) and bool(self.outer) and self.outer[-1] > self.inner[-1]
        self.kind = "columns" if columns else "rows" if reductions else "elementwise"
        self.along, self.across = ("x", "y") if columns else ("y", "x")        # the axes of the outer and the inner loops

    def reduced(self, j: int) -> str:
        return self.left(j, self.k.reductions[j].code) if self.are_left else super().reduced(j)

    def is_plain(self, number: int) -> bool:
        """Whether a variable is an element whose position nothing computes."""
        e = self.k.body[number]
        return isinstance(e, Load) and not e.operands

    def run(self) -> str:
        """The text of the stage's functions."""
        if self.reductions:
            self.place()
        self.entries(self.used, set(), set())
        if self.outer:
            self.over_outer()
        else:
            self.over_inner()
            self.end()
        text = self.function(self.kind, self.lengths(self.outer), self.lengths(self.inner))
        if not self.reductions:
            return text
        return f"{text}\n\n{self.combining(self.reductions, self.outer, 'chunks')}"

    def over_outer(self) -> None:
        """Where threads wait for each other, all of a block take the same number of turns: `inside` says who has work."""
        total = self.lengths(self.outer)
        step = f"blocks_x() * threads_{self.along}()"
        if not self.reductions:
            self.line(f"t = block_x() * threads_{self.along}() + thread_{self.along}()")
            self.line(f"while t < {total}:")
            self.indent += 1
            self.divide(self.outer, "t")
            self.entries(self.used, set(), {*self.outer})
            self.over_inner()
            self.line(f"t = t + {step}")
            self.indent -= 1
            return
        self.line(f"k = block_x() * threads_{self.along}()")
        self.line(f"while k < {total}:")
        self.indent += 1
        self.turn(self.outer, self.along)
        self.entries(self.used, set(), {*self.outer})
        self.over_inner()
        self.end()
        self.line(f"k = k + {step}")
        self.indent -= 1

    def over_inner(self) -> None:
        self.initialise(self.reductions)
        if not self.inner:
            self.innermost()
            return
        loops, total = self.inner, self.lengths(self.inner)
        variable = f"i{loops[0]}" if len(loops) == 1 else "u"
        start, step = f"block_y() * threads_{self.across}() + thread_{self.across}()", f"blocks_y() * threads_{self.across}()"
        if self.in_fours():
            start = self.fours(start, step)
        if self.outer and self.reductions:
            start = f"{start} if inside else {total}"
        self.line(f"{variable} = {start}")
        self.line(f"while {variable} < {total}:")
        self.indent += 1
        self.divide(loops, variable)
        self.entries(self.used, {*self.outer}, {*loops})
        self.innermost()
        self.line(f"{variable} = {variable} + {step}")
        self.indent -= 1

    def innermost(self) -> None:
        for s in self.stores:
            self.store(s)
        self.accumulate(self.reductions)

    def end(self) -> None:
        """After the inner loops of one outer element: its results, or partial ones."""
        if not self.reductions:
            return
        self.tree(self.reductions, self.across)
        self.line(f"if {'inside and ' if self.outer else ''}thread_{self.across}() == 0:")
        self.indent += 1
        self.line("if blocks_y() == 1:")
        self.indent += 1
        for j in self.reductions:
            self.result_stored(j, self.total(j))
        self.indent -= 1
        self.line("else:")
        self.indent += 1
        at = f"block_y() * ({self.lengths(self.outer)}) + t" if self.outer else "block_y()"
        for j in self.reductions:
            self.partial(j, at, self.total(j))
        self.indent -= 2

    # -- four elements a thread --------------------------------------------------------------------------------------

    def in_fours(self) -> bool:
        """Whether the inner loop is over neighbours in every array."""
        accesses = self.accesses()
        return len(self.inner) == 1 and not self.reductions and len(self.used) <= MOST and bool(accesses) and \
            all([a.step == 1 and not a.computed for a in accesses])

    def accesses(self) -> list[Access]:
        """What is touched in the inner loop."""
        loads = [e.access for n in self.used if isinstance(e := self.k.body[n], Load) and self.inner[0] in self.varies[n]]
        return [*loads, *[s.access for s in self.stores]]

    def fours(self, start: str, step: str) -> str:
        """The loop over four elements at a time; returns where the rest begins."""
        accesses, last, total = self.accesses(), self.inner[0], self.lengths(self.inner)
        pointers = list(dict.fromkeys([f"p{a.slot}" for a in accesses]))
        joined = pointers[0]
        for p in pointers[1:]:
            joined = f"bor({joined}, {p})"
        # Where the loops around begin is a multiple of four elements, too.
        strides = dict.fromkeys([self.amount(c) for a in accesses for c in a.coefs[:-1] if c != 0])
        aligned = " and ".join([f"band({joined}, 15) == 0", *[f"rest({stride}, {FOUR}) == 0" for stride in strides]])
        self.line(f"q = ({start}) * {FOUR}")
        self.line(f"whole = {total} - rest({total}, {FOUR}) if {aligned} else 0")
        self.line("while q < whole:")
        self.indent += 1
        before, self.lines = self.lines, []
        self.entries(self.used, {*self.outer}, {last})
        self.innermost()
        written, self.lines = self.lines, before
        inside = {f"v{n}" for n in self.used if last in self.varies[n]}
        for text in written:
            self.lines += [_element(text, e, inside, f"i{last}") for e in range(FOUR)]
        self.line(f"q = q + {step} * {FOUR}")
        self.indent -= 1
        return f"whole + {start}"


def _element(line: str, e: int, inside: set[str], variable: str) -> str:
    """The line for element q + e."""
    line = re.sub(rf"\b{variable}\b(?= \*)", f"(q + {e})" if e else "q", line)
    line = re.sub(rf"\b{variable}\b", f"q + {e}" if e else "q", line)
    if e == 0:
        line = re.sub(r"\b(load|store)_", r"first_\1_", line)
    return re.sub(r"\bv\d+\b", lambda found: f"{found[0]}_{e}" if found[0] in inside else found[0], line)
