"""Source text of a kernel.

Input: a `loop_nest.LoopNest`.  Output: the text of one function over the kernel vocabulary.
Invariant: deterministic, and free of names that belong to one program: equal kernels are equal texts.  Every variable is
assigned once in a phase, except the accumulators a0, a1 ... (b0, b1 ... of a block, c0, c1 ... of one of an outer loop).
Of a float32 sum, a0 is float64: what blocks give is added without further error.

Sample, the sum of x * c over all elements and its gradient:

    def kernel(lo, hi, args):
        p0 = arg_i8(args, 0)
        p2 = arg_i8(args, 2)
        p3 = arg_i8(args, 3)
        v1 = arg_f8(args, 1)
        a0 = f8(0.0)
        for k in range(lo, hi, 1024):
            b0 = f8(0.0)
            for i0 in range(k, minimum(k + 1024, hi)):
                v0 = load_f8(p0, i0)
                v2 = v0 * v1
                store_f8(p2, i0, v1)
                b0 = radd(b0, v2)
            a0 = radd(a0, b0)
        store_f8(p3, 0, a0)
"""
from __future__ import annotations

from jitgrad.compiler.codegen.phases import Phases
from jitgrad.compiler.codegen.sums_in_memory import SumsInMemory
from jitgrad.compiler.codegen.target_cpu import BLOCK, CPU, ROWS, CpuTarget, interleaving
from jitgrad.compiler.ir.expr import atoms
from jitgrad.compiler.ir.loop_nest import Access, Amount, Integer, Load, LoopNest, Pointer, Reduce, Store, Var


def emit(kernel: LoopNest, target: CpuTarget = CPU) -> str:
    """The text, ending in a newline."""
    return _Nest(kernel, target).run()


class _Nest(SumsInMemory):
    """The kernel as one nest of loops, in the order given: what a CPU runs."""

    def __init__(self, kernel: LoopNest, target: CpuTarget) -> None:
        super().__init__(kernel, target)
        self.offsets: dict[tuple[Amount, ...], str] = {}
        self.registers = [self.register_level(r) for r in kernel.reductions]
        self.units: frozenset[int] = frozenset()        # Integer slots that are 1 in this copy of the innermost loop
        self.phases = Phases(kernel) if kernel.rows else None
        self.phase = -1                                 # the phase whose inner loops are being written
        self.compute: set[int] = set()                  # its variables
        self.reuse: set[int] = set()                    # and those that it loads, left by an earlier one
        self.kept: set[int] = set()
        self.outer: set[int] = set()                    # reductions with an accumulator for a block of an outer loop

    # -- positions ---------------------------------------------------------------------------------------------------

    def position(self, access: Access) -> str:
        """The position as an expression at the innermost place that it varies in; outer parts come from variables."""
        coefs = access.coefs
        last = max([d for d, c in enumerate(coefs) if c != 0], default=-1)
        if last < 0:
            return self.displaced(access, "0")
        before = self.offset(coefs[:last])
        term = self.term(coefs[last], last)
        return self.displaced(access, term if before == "0" else f"{before} + {term}")

    def offset(self, coefs: tuple[Amount, ...]) -> str:
        """The variable that holds the part of a position that the outer loops give (made by `declare_offsets`)."""
        while coefs and coefs[-1] == 0:
            coefs = coefs[:-1]
        return self.offsets[coefs] if coefs else "0"

    def declare_offsets(self, loop: int) -> None:
        """Inside `loop`: partial positions of accesses that vary in this loop and in an inner one."""
        for a in self.accesses():
            head = a.coefs[:loop + 1]
            if head[-1] == 0 or head in self.offsets or not any([c != 0 for c in a.coefs[loop + 1:]]):
                continue
            self.assign_offset(head, loop)

    def assign_offset(self, head: tuple[Amount, ...], loop: int) -> None:
        before = self.offset(head[:-1])
        name = f"o{len(self.offsets)}"
        term = self.term(head[-1], loop)
        self.line(f"{name} = {term if before == '0' else f'{before} + {term}'}")
        self.offsets[head] = name

    # -- the nest ----------------------------------------------------------------------------------------------------

    def run(self) -> str:
        for k, slot in enumerate(self.k.slots):
            if isinstance(slot, Pointer):
                self.line(self.t.pointer(k))
            elif isinstance(slot, Integer):
                self.line(self.t.integer(k))
        self.level(0)
        return "\n".join([self.t.header, *self.lines]) + "\n"

    def register_level(self, r: Reduce) -> int:
        """The number of loops around the accumulator of a reduction: the loops inside are all reduced."""
        return max([k + 1 for k, reduced in enumerate(r.reduced) if not reduced], default=0)

    def level(self, depth: int) -> None:
        """What stands inside `depth` loops: before, in and after the next loop."""
        k = self.k
        if depth:
            self.declare_offsets(depth - 1)
        if depth == k.rows and self.phases is not None and self.phase < 0:
            self.row(self.phases)
            return
        self.entries(depth)
        for j in self.reductions():
            if k.reductions[j].reduced.index(True) == depth:
                self.initialise(k.reductions[j])
        if depth == k.depth:
            self.innermost()
            return
        self.nested(depth)

    def nested(self, depth: int) -> None:
        """The next loop, with the accumulators around it."""
        k = self.k
        here = [j for j in self.reductions() if self.registers[j] == depth]
        for j in here:
            self.line(f"a{j} = {'f8(0.0)' if k.reductions[j].wide else k.reductions[j].identity}")
        strides = self.strides() if depth == k.depth - 1 else []
        if strides:
            self.line("if " + " and ".join([f"n{slot} == 1" for slot in strides]) + ":")
            self.indent += 1
            self.units = frozenset(strides)
            self.loop(depth)
            self.units = frozenset()
            self.indent -= 1
            self.line("else:")
            self.indent += 1
        self.loop(depth)
        self.indent -= 1 if strides else 0
        for j in here:
            self.finish(k.reductions[j], self.result(j))

    # -- rows --------------------------------------------------------------------------------------------------------

    def row(self, phases: Phases) -> None:
        """All phases of one row."""
        k = self.k
        for self.phase in range(phases.count):
            for number, e in enumerate(k.body):
                if e.depth == k.rows and phases.of[number] == self.phase:
                    self.entry(number)
            for s in self.stores():
                if s.depth == k.rows:
                    self.store(s)
            self.compute, self.reuse = phases.needed(self.phase, [*k.saves])
            outer = dict(self.offsets)
            if self.reductions() or any([s.depth == k.depth for s in self.stores()]):
                for j in self.reductions():
                    if k.reductions[j].reduced.index(True) == k.rows:
                        self.initialise(k.reductions[j])
                self.nested(k.rows)
            self.offsets = outer
            self.kept |= self.compute & set(k.saves)
        self.phase = -1

    def reductions(self) -> list[int]:
        """The numbers of the reductions that are being written."""
        if self.phases is None or self.phase < 0:
            return [*range(len(self.registers))]
        return [j for j, phase in enumerate(self.phases.reductions) if phase == self.phase]

    def stores(self) -> list[Store]:
        """The stores that are being written."""
        if self.phases is None:
            return self.k.stores
        return [s for s, phase in zip(self.k.stores, self.phases.stores, strict=True) if phase == self.phase]

    def loop(self, depth: int) -> None:
        """The loop number `depth` with all that it contains."""
        k = self.k
        stop = "hi" if depth == 0 else self.amount(k.lengths[depth])
        start = "lo" if depth == 0 else "0"
        summed = [j for j in self.reductions() if k.reductions[j].totals is not None]
        begun = [j for j in summed if k.reductions[j].reduced.index(True) == depth]
        for j in begun:
            self.begin_totals(j, depth, start, stop)
        arrays = [j for j in summed if self.totals(j).loop == depth]
        if depth == k.depth - 1 and any([self.blocked(j) for j in self.reductions()]):
            self.blocks(depth, start, stop)
        elif (scalars := [j for j in self.reductions() if self.starts_blocks(j, depth)]) or arrays:
            self.outer_blocks(depth, start, stop, scalars, arrays)
        else:
            self.iterations(depth, start, stop)
        for j in begun:
            self.end_totals(j, depth)

    def iterations(self, depth: int, start: str, stop: str) -> None:
        """`for` over a part of loop `depth`, with all that it contains."""
        self.line(self.t.loop(f"i{depth}", start, stop))
        self.indent += 1
        first = len(self.lines)
        self.level(depth + 1)
        count = interleaving(depth, self.lines[first:]) if depth == self.k.depth - 1 else 0
        if count:
            self.lines.insert(first, "    " * self.indent + self.t.interleave(count))
        self.indent -= 1

    def strides(self) -> list[int]:
        """Integer slots that are the step of an access in the innermost loop and known only at run time.

        Where all are 1, as they nearly always are, a copy of the loop that says so can be vectorised."""
        last = [a.step for a in self.accesses()]
        return list(dict.fromkeys([c.slot for c in last if isinstance(c, Var) and self.may_be_one(c.slot)]))

    def may_be_one(self, slot: int) -> bool:
        """Whether the integer comes from the user's slices or layouts; a length is never 1."""
        integer = self.k.slots[slot]
        return isinstance(integer, Integer) and any([kind != "len" for kind, *_ in atoms(integer.expr)])

    def accesses(self) -> list[Access]:
        k = self.k
        if self.phase < 0:
            return self.loads() + k.written() + [*k.saves.values()] + \
                [r.totals.access for r in k.reductions if r.totals is not None]
        found = self.loads() + [s.access for s in self.stores()]
        found += [r.access for j in self.reductions() if (r := k.reductions[j]).access is not None]
        found += [r.totals.access for j in self.reductions() if (r := k.reductions[j]).totals is not None]
        return found + [access for n, access in k.saves.items() if n in self.compute or n in self.reuse]

    def loads(self) -> list[Access]:
        """The elements that the loops being written load."""
        return [e.access for n, e in enumerate(self.k.body) if isinstance(e, Load) and (self.phase < 0 or n in self.compute)]

    def in_vectors(self, access: Access) -> bool:
        """Whether the elements of a load in the innermost loop are neighbours, so that LLVM takes many at a time."""
        step = 1 if isinstance(access.step, Var) and access.step.slot in self.units else access.step
        return step in (0, 1) and not self.taken(access)

    def term(self, coef: Amount, loop: int) -> str:
        unit = isinstance(coef, Var) and coef.slot in self.units and loop == self.k.depth - 1
        return super().term(1 if unit else coef, loop)

    def blocks(self, depth: int, start: str, stop: str) -> None:
        """The innermost loop, cut in blocks, each with accumulators of its own for floating sums."""
        k = self.k
        size = BLOCK if all([self.in_vectors(e) for e in self.loads()]) else ROWS["f4"]
        self.line(self.t.blocks("k", start, stop, size))
        self.indent += 1
        blocked = [j for j in self.reductions() if self.blocked(j)]
        for j in blocked:
            self.line(f"b{j} = {k.reductions[j].identity}")
        self.iterations(depth, "k", self.t.block_end("k", stop, size))
        for j in blocked:
            r, name = k.reductions[j], f"c{j}" if j in self.outer else f"a{j}"
            self.line(f"{name} = " + (f"{name} + to_f8(b{j})" if r.wide else self.combined(r, name, f"b{j}")))
        self.indent -= 1

    def blocked(self, j: int) -> bool:
        r = self.k.reductions[j]
        return self.registers[j] < self.k.depth and r.code in ("f4", "f8") and "radd" in r.combine

    def entries(self, depth: int) -> None:
        """The values that vary in exactly `depth` loops."""
        for number, e in enumerate(self.k.body):
            if e.depth != depth:
                continue
            if self.phase < 0 or number in self.compute:
                self.entry(number)
                if number in self.k.saves and number not in self.kept:
                    self.save(number)
            elif number in self.reuse:
                a = self.k.saves[number]
                self.line(f"v{number} = {self.t.load(a.code, f'p{a.slot}', self.position(a))}")

    def save(self, number: int) -> None:
        """Leave a variable for a later phase, unless a store of it does."""
        a = self.k.saves[number]
        if not any([s.access == a for s in self.k.stores]):
            self.line(self.t.store(a.code, f"p{a.slot}", self.position(a), f"v{number}"))

    def store(self, s: Store) -> None:
        a, value = s.access, self.operand(s.operand)
        pointer, position = f"p{a.slot}", self.position(a)
        if not s.accumulate:
            self.line(self.t.store(a.code, pointer, position, value))
        elif self.apart(a):
            total = self.total(a.code, self.t.load(a.code, pointer, position), value)
            self.line(self.t.store(a.code, pointer, position, total))
        else:
            total = self.total(a.code, self.t.load_accumulator(a.code, pointer, position), value)
            self.line(self.t.store_accumulator(a.code, pointer, position, total))

    @staticmethod
    def total(code: str, have: str, value: str) -> str:
        return f"to_i4({have} + {value})" if code == "i4" else f"{have} + {value}"

    def apart(self, access: Access) -> bool:
        """Whether the iterations of the innermost loop are at different elements for certain."""
        return not self.taken(access) and access.step != 0

    def taken(self, access: Access) -> bool:
        """Whether a position is computed in the innermost loop."""
        return any([type(x) is int and self.k.body[x].depth == self.k.depth for x, _ in access.computed])

    def innermost(self) -> None:
        for s in self.stores():
            if s.depth == self.k.depth:
                self.store(s)
        for j in self.reductions():
            r = self.k.reductions[j]
            x = self.operand(r.operand)
            if self.registers[j] == self.k.depth:
                self.finish(r, x)
            else:
                name = f"b{j}" if self.blocked(j) else f"a{j}"
                self.line(f"{name} = {self.combined(r, name, x)}")

    def finish(self, r: Reduce, total: str) -> None:
        """An accumulator is complete: store it, or add it to the memory that outer loops accumulate in."""
        a = r.access
        if a is None:
            return
        position = self.position(a)
        if r.in_memory:
            # Where the innermost loop is kept, each of its iterations has an element of its own.
            load, store = (self.t.load_accumulator, self.t.store_accumulator) if r.reduced[-1] else \
                (self.t.load, self.t.store)
            have = load(a.code, f"p{a.slot}", position)
            self.line(store(a.code, f"p{a.slot}", position, self.combined(r, have, total)))
        else:
            self.line(self.t.store(a.code, f"p{a.slot}", position, total))

    def initialise(self, r: Reduce) -> None:
        """Before the outermost reduced loop: the neutral element in the memory that is accumulated in."""
        a = r.access
        if a is None or not r.in_memory:
            return
        self.line(self.t.loop("z", "0", self.amount(r.extent)))
        self.line("    " + self.t.store_accumulator(a.code, f"p{a.slot}", self.kept_element(a, r.reduced.index(True)), r.identity))

    def starts_blocks(self, j: int, depth: int) -> bool:
        """Whether loop `depth`, not the innermost, is the outermost one of a sum in a register that is not wide anyway."""
        r = self.k.reductions[j]
        return r.reduced.index(True) == depth and not r.in_memory and not r.wide and self.blocked(j)

    def result(self, reduction: int) -> str:
        wide = self.k.reductions[reduction].wide
        return f"to_f4(a{reduction})" if wide else f"a{reduction}"

    def outer_blocks(self, depth: int, start: str, stop: str, scalars: list[int], arrays: list[int]) -> None:
        """Loop `depth`, cut in blocks, each with sums of its own: c0, c1 ..., or those in memory."""
        size = min([ROWS[self.k.reductions[j].code] for j in arrays], default=BLOCK)
        self.line(self.t.blocks(f"k{depth}", start, stop, size))
        self.indent += 1
        for j in scalars:
            self.line(f"c{j} = {self.k.reductions[j].identity}")
        self.outer |= {*scalars}
        end = self.t.block_end(f"k{depth}", stop, size)
        self.iterations(depth, f"k{depth}", end)
        self.outer -= {*scalars}
        for j in arrays:
            self.add_block(j, f"{end} - k{depth}")
        for j in scalars:
            self.line(f"a{j} = {self.combined(self.k.reductions[j], f'a{j}', f'c{j}')}")
        self.indent -= 1
