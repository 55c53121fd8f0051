"""Source text of a kernel for CUDA: how loops become threads.

Input: a `loop_nest.LoopNest`.  Output: the text of one or more functions, to be launched in the order of the text.
Invariant: deterministic, in text and in results: the grid is fixed, partial results are combined in a fixed tree, and
nothing is atomic.

The stores and the reductions over the same loops are one stage.  Its kept loops are shared out among threads or blocks,
its reduced loops run inside; the name of a function tells how:

    elementwise  no reduction: a thread takes every (GRID * BLOCK)th element
    columns      the innermost loop is kept: a thread an element of the result
    rows         the innermost loop is reduced: a block an element, its threads joined by a tree in shared memory
    total        all loops are reduced: a partial result a block, in w0, w1 ...; then `combine`, by one block

Several loops that are shared out together are one loop over t (or u) from which their variables are divided out.
Parameters: pk, sk: a Pointer slot, as the flat array of the buffer and the position in it (strides may be negative);
nk, ck: an Integer, a Number; hi: the iterations of loop 0; wk: the partial results of reduction k, one a block.  GRID and
BLOCK, the powers of two that are the size of every launch, are constants that the launcher defines.

Sample, the sum of x * c over all elements and its gradient:

    def total0(p0, s0, c1, p2, s2, hi, w0):
        thread = cuda.threadIdx.x
        m0 = cuda.shared.array(BLOCK, f8)
        v1 = c1
        a0 = f8(0.0)
        for i0 in range(cuda.grid(1), hi, cuda.gridsize(1)):
            v0 = p0[s0 + i0]
            v2 = v0 * v1
            p2[s2 + i0] = v1
            a0 = radd(a0, v2)
        m0[thread] = a0
        cuda.syncthreads()
        half = BLOCK // 2
        while half > 0:
            if thread < half:
                m0[thread] = radd(m0[thread], m0[thread + half])
            cuda.syncthreads()
            half //= 2
        if thread == 0:
            w0[cuda.blockIdx.x] = m0[0]

    def combine0(p3, s3, w0):
        thread = cuda.threadIdx.x
        m0 = cuda.shared.array(BLOCK, f8)
        a0 = f8(0.0)
        for block in range(thread, GRID, BLOCK):
            a0 = radd(a0, w0[block])
        ... the same tree ...
        if thread == 0:
            p3[s3] = m0[0]
"""
from __future__ import annotations

import re

from jitgrad.compiler.codegen.emitter import Emitter
from jitgrad.compiler.ir.loop_nest import Access, Compute, Integer, Load, LoopNest, Operand_, Pointer, Position, Store

EVERY_THREAD = ("cuda.grid(1)", "cuda.gridsize(1)")
EVERY_BLOCK = ("cuda.blockIdx.x", "cuda.gridDim.x")
IN_BLOCK = ("thread", "BLOCK")


class CudaTarget:
    """Text fragments."""

    def number(self, slot: int, code: str) -> str:
        return f"c{slot}"

    def load(self, code: str, pointer: str, position: str) -> str:
        return f"{pointer}[{position}]"

    def store(self, code: str, pointer: str, position: str, value: str) -> str:
        return f"{pointer}[{position}] = {value}"


CUDA = CudaTarget()


def emit(kernel: LoopNest) -> str:
    """The text, ending in a newline."""
    masks = list(dict.fromkeys([r.reduced for r in kernel.reductions])) or [(False,) * kernel.depth]
    text = []
    for k, mask in enumerate(masks):
        stores = kernel.stores if k == 0 else []
        text.append(_Stage(kernel, k, mask, stores).run())
    return "\n\n".join(text)


class _Stage(Emitter[CudaTarget]):
    """The stores and the reductions over the loops in `mask`."""

    def __init__(self, kernel: LoopNest, number: int, mask: tuple[bool, ...], stores: list[Store]) -> None:
        super().__init__(kernel, CUDA)
        self.number = number
        self.stores = stores
        self.reductions = [(j, r) for j, r in enumerate(kernel.reductions) if r.reduced == mask]
        self.kept = [k for k, reduced in enumerate(mask) if not reduced]
        self.reduced = [k for k, reduced in enumerate(mask) if reduced]
        self.varies = _varying(kernel)
        self.needed = self.find_needed()

    def find_needed(self) -> set[int]:
        """The variables that this stage's results depend on."""
        stack: list[Operand_] = [s.operand for s in self.stores] + [r.operand for _, r in self.reductions]
        found: set[int] = set()
        while stack:
            x = stack.pop()
            if type(x) is int and x not in found:
                found.add(x)
                e = self.k.body[x]
                if isinstance(e, Compute | Load):
                    stack += e.operands
        return found

    # -- small parts -------------------------------------------------------------------------------------------------

    def position(self, access: Access) -> str:
        terms = [self.term(c, k) for k, c in enumerate(access.coefs) if c != 0]
        return self.displaced(access, " + ".join([f"s{access.slot}", *terms]))

    def length(self, loop: int) -> str:
        return "hi" if loop == 0 else self.amount(self.k.lengths[loop])

    def open(self, loops: list[int], variable: str, share: tuple[str, str]) -> None:
        """The header of one loop for all of `loops`, of which this thread takes its share: first index and step."""
        total = " * ".join([self.length(k) for k in loops]) or "1"
        if len(loops) == 1:
            variable = f"i{loops[0]}"
        self.line(f"for {variable} in range({share[0]}, {total}, {share[1]}):")
        self.indent += 1
        for k in reversed(loops[1:]):
            self.line(f"i{k} = {variable} % {self.length(k)}")
            rest = f"i{loops[0]}" if k == loops[1] else f"t{k}"
            self.line(f"{rest} = {variable} // {self.length(k)}")
            variable = rest

    def constants(self) -> None:
        """The variables that vary in no loop."""
        for number in sorted(self.needed):
            if not self.varies[number]:
                self.entry(number)

    def entries(self, outside: list[int], inside: list[int]) -> None:
        """The variables that vary in some of the loops `inside`, and otherwise only in those `outside`."""
        for number in sorted(self.needed):
            loops = self.varies[number]
            if loops <= {*outside, *inside} and loops & set(inside):
                self.entry(number)

    def accumulate(self) -> None:
        """Innermost: the stores, then one more element into each accumulator.

        A thread may add a million elements one after the other; float32 sums are compensated (W. Kahan, CACM 8, 1965), as
        float64 is slow on many devices.  r0, r1 ...: what the last additions have added too much."""
        for s in self.stores:
            a = s.access
            self.line(self.t.store(a.code, f"p{a.slot}", self.position(a), self.operand(s.operand)))
        for j, r in self.reductions:
            x = self.operand(r.operand)
            if not r.wide:
                self.line(f"a{j} = {self.combined(r, f'a{j}', x)}")
                continue
            self.line(f"y{j} = {x} - r{j}")
            self.line(f"z{j} = a{j} + y{j}")
            self.line(f"r{j} = where(isfinite(z{j}), (z{j} - a{j}) - y{j}, f4(0.0))")
            self.line(f"a{j} = z{j}")

    def initialise(self) -> None:
        for j, r in self.reductions:
            self.line(f"a{j} = {r.identity}")
            if r.wide:
                self.line(f"r{j} = f4(0.0)")

    def finish(self, value: str) -> None:
        """Store the results; `value` is the name of where a result is, without its number."""
        for j, r in self.reductions:
            a = r.access
            assert a is not None
            self.line(self.t.store(a.code, f"p{a.slot}", self.position(a), value.format(j)))

    def share_memory(self) -> None:
        self.line("thread = cuda.threadIdx.x")
        for j, r in self.reductions:
            self.line(f"m{j} = cuda.shared.array(BLOCK, {r.code})")

    def tree(self) -> None:
        """Combine the accumulators of a block; what follows is for its first thread, which has the results in m[0]."""
        for j, _ in self.reductions:
            self.line(f"m{j}[thread] = a{j}")
        self.line("cuda.syncthreads()")
        self.line("half = BLOCK // 2")
        self.line("while half > 0:")
        self.line("    if thread < half:")
        for j, r in self.reductions:
            self.line(f"        m{j}[thread] = {self.combined(r, f'm{j}[thread]', f'm{j}[thread + half]')}")
        self.line("    cuda.syncthreads()")
        self.line("    half //= 2")
        self.line("if thread == 0:")
        self.indent += 1

    # -- the kinds of stage ------------------------------------------------------------------------------------------

    def run(self) -> str:
        """The text of the stage's functions."""
        if not self.reductions:
            return self.elementwise()
        if not self.kept:
            return f"{self.total()}\n\n{self.combine()}"
        return self.rows() if self.reduced[-1] > self.kept[-1] else self.columns()

    def elementwise(self) -> str:
        self.constants()
        self.open(self.kept, "t", EVERY_THREAD)
        self.entries([], self.kept)
        self.accumulate()
        return self.function("elementwise")

    def columns(self) -> str:
        self.constants()
        self.open(self.kept, "t", EVERY_THREAD)
        self.entries([], self.kept)
        self.initialise()
        for k in self.reduced:
            self.line(f"for i{k} in range({self.length(k)}):")
            self.indent += 1
        self.entries(self.kept, self.reduced)
        self.accumulate()
        self.indent -= len(self.reduced)
        self.finish("a{}")
        return self.function("columns")

    def rows(self) -> str:
        self.share_memory()
        self.constants()
        self.open(self.kept, "t", EVERY_BLOCK)
        self.entries([], self.kept)
        self.initialise()
        outside = self.indent
        self.open(self.reduced, "u", IN_BLOCK)
        self.entries(self.kept, self.reduced)
        self.accumulate()
        self.indent = outside
        self.tree()
        self.finish("m{}[0]")
        return self.function("rows")

    def total(self) -> str:
        self.share_memory()
        self.constants()
        self.initialise()
        self.open(self.reduced, "t", EVERY_THREAD)
        self.entries([], self.reduced)
        self.accumulate()
        self.indent = 1
        self.tree()
        for j, _ in self.reductions:
            self.line(f"w{j}[cuda.blockIdx.x] = m{j}[0]")
        return self.function("total")

    def combine(self) -> str:
        self.share_memory()
        self.initialise()
        self.line("for block in range(thread, GRID, BLOCK):")
        for j, r in self.reductions:
            self.line(f"    a{j} = {self.combined(r, f'a{j}', f'w{j}[block]')}")
        self.tree()
        self.finish("m{}[0]")
        return self.function("combine")

    def function(self, kind: str) -> str:
        """A function of the lines so far, with the parameters that they use."""
        body = "\n".join(self.lines)
        words = set(re.findall(r"\w+", body))
        names = []
        for k, slot in enumerate(self.k.slots):
            if isinstance(slot, Pointer):
                names += [f"p{k}", f"s{k}"]
            else:
                names.append(f"n{k}" if isinstance(slot, Integer) else f"c{k}")
        names += ["hi", *[f"w{j}" for j, _ in self.reductions]]
        self.lines, self.indent = [], 1
        return f"def {kind}{self.number}({', '.join([n for n in names if n in words])}):\n{body}\n"


def _varying(kernel: LoopNest) -> list[set[int]]:
    """For each variable the loops that it varies in."""
    found: list[set[int]] = []
    for e in kernel.body:
        if isinstance(e, Load):
            found.append({k for k, c in enumerate(e.access.coefs) if c != 0}.union(
                *[found[x] for x in e.operands if type(x) is int]))
        elif isinstance(e, Position):
            found.append({k for k, c in enumerate(e.coefs) if c != 0})
        elif isinstance(e, Compute):
            found.append(set().union(*[found[x] for x in e.operands if type(x) is int]))
        else:
            found.append(set())
    return found
