"""The stage of a kernel for CUDA that adds to elements whose positions are computed.

Input: a `LoopNest` with stores that accumulate.  Output: one function for each.
Invariant: the sum of an element is formed by one thread, its owner, in the order of the loops: the same bits each time, and those
of the CPU.

All owners go through all loops, and add what is theirs.  Where the last loop is along rows of the target (a row of a table for
each index), x runs along it, and the owner is that of a row:

    i1 = by * nx + tx
    while i1 < n1:
        i0 = 0
        while i0 < hi:
            v0 = load_i8(p0, i0)
            place = v0 * n1 + i1
            if rest(quotient(place - i1, n1), owners) == owner:
                store_f4(p2, place, load_f4(p2, place) + load_f4(p1, i0 * n1 + i1))
            i0 = i0 + 1
        i1 = i1 + gy * nx
"""
from __future__ import annotations

from jitgrad.compiler.codegen.cuda.stage import Stage
from jitgrad.compiler.ir.loop_nest import LoopNest, Store


class Scatter(Stage):
    """One store.  left: the number of the operand where the rows' stage left it, or -1."""

    def __init__(self, kernel: LoopNest, number: int, store: Store, left: int = -1) -> None:
        super().__init__(kernel, number)
        self.added = store
        self.number_left = left
        self.used = self.needed(list(store.operands) if left < 0 else [x for x, _ in store.access.computed])

    def what(self) -> str:
        """What is added."""
        return self.operand(self.added.operand) if self.number_left < 0 else self.left(self.number_left, self.added.access.code)

    def along_rows(self) -> bool:
        """Whether the last loop is along rows of the target, and all else goes from row to row."""
        a = self.added.access
        if self.k.depth < 2 or a.step != 1:
            return False
        if any([type(x) is int and self.k.depth - 1 in self.varies[x] for x, _ in a.computed]):
            return False
        strides = [c for c in a.coefs[:-1] if c != 0] + [stride for _, stride in a.computed]
        return all([c == self.k.lengths[-1] for c in strides])

    def run(self) -> str:
        """The text of the function."""
        rows = self.along_rows()
        loops = list(range(self.k.depth - rows))
        last = [self.k.depth - 1] if rows else []
        self.line("owner = block_x() * threads_y() + thread_y()")
        self.line("owners = blocks_x() * threads_y()")
        self.entries(self.used, set(), set())
        done: set[int] = set()
        for k in [*last, *loops]:
            first, step = ("block_y() * threads_x() + thread_x()", "blocks_y() * threads_x()") if k in last else ("0", "1")
            self.line(f"i{k} = {first}")
            self.line(f"while i{k} < {self.length(k)}:")
            self.indent += 1
            self.entries([n for n in self.used if n not in self.late()], done, {k})
            done.add(k)
        a = self.added.access
        self.line(f"place = {self.position(a)}")
        row = f"quotient(place - i{last[0]}, {self.length(last[0])})" if rows else "place"
        self.line(f"if rest({row}, owners) == owner:")
        self.indent += 1
        for number in sorted(self.late()):
            self.entry(number)
        total = f"{self.t.load(a.code, f'p{a.slot}', 'place')} + {self.what()}"
        self.line(self.t.store(a.code, f"p{a.slot}", "place", f"to_i4({total})" if a.code == "i4" else total))
        self.indent -= 1
        for k in [*reversed(loops), *last]:
            self.line(f"i{k} = i{k} + " + ("blocks_y() * threads_x()" if k in last else "1"))
            self.indent -= 1
        return self.function("scatter", self.lengths(loops), self.lengths(last))

    def late(self) -> set[int]:
        """The variables that only the owner computes: those of the innermost loops that the position does not need."""
        everywhere = {*self.needed([x for x, _ in self.added.access.computed])}
        return {n for n in self.used if n not in everywhere and len(self.varies[n]) == self.k.depth}

    def atomically(self) -> str:
        """The text of a function that adds in any order."""
        outer, inner = list(range(self.k.depth - 1)), [self.k.depth - 1] if self.k.depth else []
        self.entries(self.used, set(), set())
        for loops, along, block in ((outer, "y", "x"), (inner, "x", "y")):
            if loops:
                variable = "t" if loops is outer else f"i{inner[0]}"
                self.line(f"{variable} = block_{block}() * threads_{along}() + thread_{along}()")
                self.line(f"while {variable} < {self.lengths(loops)}:")
                self.indent += 1
                self.divide(loops, variable)
                self.entries(self.used, set() if loops is outer else {*outer}, {*loops})
        a = self.added.access
        self.line(f"atomic_add_{a.code}(p{a.slot}, {self.position(a)}, {self.what()})")
        for loops, along, block in ((inner, "x", "y"), (outer, "y", "x")):
            if loops:
                variable = "t" if loops is outer else f"i{inner[0]}"
                self.line(f"{variable} = {variable} + blocks_{block}() * threads_{along}()")
                self.indent -= 1
        return self.function("elementwise", self.lengths(outer), self.lengths(inner))
