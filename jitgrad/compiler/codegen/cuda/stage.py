"""What all stages of a kernel for CUDA have in common: which thread does what, sums over a block, and a function's head.

Input: parts of a `LoopNest`.  Output: the text of functions over the vocabulary of numba_cuda.
Invariant: no two threads write one element; what is combined is combined in an order that follows from lengths alone.

The loops of a stage are two: `outer`, over a lane of the grid and block, and `inner`, over the other.  Where several loops of the
nest are shared out together, their variables are divided out of one.  A lane:

    rows     x runs along the inner loops, y and the blocks' x along the outer; the blocks' y cuts the inner ones in chunks
    columns  x, and the blocks' x, run along the outer loops, y along the inner; the blocks' y cuts these in chunks

Every function has a twin, NAME_lengths: how often its outer and its inner loops run, from which the launch's shape follows
(numba_cuda/shapes.py).
"""
from __future__ import annotations

import re

from jitgrad.compiler.codegen.emitter import ByAddress, Emitter
from jitgrad.compiler.ir.loop_nest import Access, Compute, Integer, Load, LoopNest, Number, Operand_, Pointer, Position, Reduce, Store


class CudaTarget(ByAddress):
    """Text fragments: run-time numbers are parameters."""

    def number(self, slot: int, code: str) -> str:
        return f"c{slot}"


CUDA = CudaTarget()
# What is asked once, at the head of a function.
_PLACES = {"blocks_y()": "gy", "blocks_x()": "gx", "block_y()": "by", "block_x()": "bx", "threads_y()": "ny", "threads_x()": "nx",
           "thread_y()": "ty", "thread_x()": "tx"}


class Stage(Emitter[CudaTarget]):
    """Collects the lines of one function after the other."""

    def __init__(self, kernel: LoopNest, number: int) -> None:
        super().__init__(kernel, CUDA)
        self.number = number
        self.varies = varying(kernel)

    # -- positions and lengths ---------------------------------------------------------------------------------------

    def position(self, access: Access) -> str:
        terms = [self.term(c, k) for k, c in enumerate(access.coefs) if c != 0]
        return self.displaced(access, " + ".join(terms) or "0")

    def length(self, loop: int) -> str:
        return "hi" if loop == 0 else self.amount(self.k.lengths[loop])

    def lengths(self, loops: list[int]) -> str:
        """How often loops that are shared out together run."""
        return " * ".join([self.length(k) for k in loops]) or "1"

    def divide(self, loops: list[int], variable: str) -> None:
        """The loops' variables, out of that of all of them."""
        for k in reversed(loops[1:]):
            self.line(f"i{k} = rest({variable}, {self.length(k)})")
            following = f"i{loops[0]}" if k == loops[1] else f"t{k}"
            self.line(f"{following} = quotient({variable}, {self.length(k)})")
            variable = following
        if len(loops) == 1 and variable != f"i{loops[0]}":
            self.line(f"i{loops[0]} = {variable}")

    def turn(self, loops: list[int], axis: str) -> None:
        """The outer loops' variables of this thread, of which block starts at k; one with no work has those of the last element."""
        self.line(f"t = k + thread_{axis}()")
        self.line(f"inside = t < {self.lengths(loops)}")
        self.line(f"at = minimum(t, {self.lengths(loops)} - 1)")
        self.divide(loops, "at")

    # -- values ------------------------------------------------------------------------------------------------------

    def needed(self, operands: list[Operand_]) -> list[int]:
        """The variables that operands depend on, in order."""
        stack, found = list(operands), set()
        while stack:
            x = stack.pop()
            if type(x) is int and x not in found:
                found.add(x)
                e = self.k.body[x]
                if isinstance(e, Compute | Load):
                    stack += e.operands
        return sorted(found)

    def entries(self, numbers: list[int], loops: set[int], inside: set[int]) -> None:
        """The variables that vary in some of the loops `inside` (if there are any), and otherwise only in `loops`."""
        for number in numbers:
            varies = self.varies[number]
            if varies <= loops | inside and (varies & inside or not inside):
                self.entry(number)

    def store(self, s: Store) -> None:
        a = s.access
        self.line(self.t.store(a.code, f"p{a.slot}", self.position(a), self.operand(s.operand)))

    # -- values that another stage computed ---------------------------------------------------------------------------

    def index(self) -> str:
        """The number of an iteration, in the order of the loops."""
        terms = []
        for k in range(self.k.depth):
            inside = self.lengths(list(range(k + 1, self.k.depth)))
            terms.append(f"i{k}" if inside == "1" else f"i{k} * ({inside})")
        return " + ".join(terms) or "0"

    def left(self, number: int, code: str) -> str:
        """The value number `number` of this iteration, out of s0, s1 ..., where the rows' stage left one for each."""
        return self.t.load(code, f"s{number}", self.index())

    # -- reductions --------------------------------------------------------------------------------------------------

    def initialise(self, reductions: list[int]) -> None:
        """Accumulators a0, a1 ...; r0, r1 ... is what the last additions to a sum of float32 have added too much."""
        for j in reductions:
            r = self.k.reductions[j]
            self.line(f"a{j} = {r.identity}")
            if r.wide:
                self.line(f"r{j} = f4(0.0)")

    def reduced(self, j: int) -> str:
        """What a reduction takes of an iteration."""
        return self.operand(self.k.reductions[j].operand)

    def accumulate(self, reductions: list[int]) -> None:
        """One more element into each accumulator.

        A thread may add a million elements one after the other; float32 sums are compensated (W. Kahan, CACM 8, 1965), as
        float64 is slow on many devices."""
        for j in reductions:
            r = self.k.reductions[j]
            x = self.reduced(j)
            if not r.wide:
                self.line(f"a{j} = {self.combined(r, f'a{j}', x)}")
                continue
            self.line(f"y{j} = {x} - r{j}")
            self.line(f"z{j} = a{j} + y{j}")
            self.line(f"r{j} = where(isfinite(z{j}), (z{j} - a{j}) - y{j}, f4(0.0))")
            self.line(f"a{j} = z{j}")

    def tree(self, reductions: list[int], axis: str) -> None:
        """Combine the accumulators of the threads along `axis` of the block, or of all if that is "xy"; the first of them has the
        results, `total` of each."""
        for j in reductions:
            self.line(f"keep_{self.k.reductions[j].code}({j}, place, a{j})")
        self.line("wait()")
        if axis == "xy":
            self.line("half = quotient(threads_x() * threads_y(), 2)")
        else:
            self.line(f"half = quotient(threads_{axis}(), 2)")
        self.line("while half > 0:")
        self.line(f"    if {'place' if axis == 'xy' else f'thread_{axis}()'} < half:")
        other = "place + half * threads_x()" if axis == "y" else "place + half"
        for j in reductions:
            r = self.k.reductions[j]
            joined = self.combined(r, self.total(j), f"kept_{r.code}({j}, {other})")
            self.line(f"        keep_{r.code}({j}, place, {joined})")
        self.line("    wait()")
        self.line("    half = quotient(half, 2)")

    def total(self, j: int, at: str = "place") -> str:
        return f"kept_{self.k.reductions[j].code}({j}, {at})"

    def place(self) -> None:
        self.line("place = thread_y() * threads_x() + thread_x()")

    def result_stored(self, j: int, value: str) -> None:
        a = self.k.reductions[j].access
        if a is not None:
            self.line(self.t.store(a.code, f"p{a.slot}", self.position(a), value))

    def partial(self, j: int, at: str, value: str) -> None:
        self.line(self.t.store(self.k.reductions[j].code, f"w{j}", at, value))

    def combining(self, reductions: list[int], kept: list[int], count: str) -> str:
        """A function that combines `count` partial results of each kept element, which lie in w0, w1 ..., one after the other."""
        self.place()
        self.line("k = block_x() * threads_x()")
        self.line(f"while k < {self.lengths(kept)}:")
        self.indent += 1
        self.line("t = k + thread_x()")
        self.line(f"inside = t < {self.lengths(kept)}")
        for j in reductions:
            self.line(f"a{j} = {self.k.reductions[j].identity}")
        self.line(f"part = thread_y() if inside else {count}")
        self.line(f"while part < {count}:")
        self.indent += 1
        at = "part" if not kept else f"part * {_bracketed(self.lengths(kept))} + t"
        for j in reductions:
            r = self.k.reductions[j]
            self.line(f"a{j} = {self.combined(r, f'a{j}', self.t.load(r.code, f'w{j}', at))}")
        self.line("part = part + threads_y()")
        self.indent -= 1
        self.tree(reductions, "y")
        self.line("if inside and thread_y() == 0:")
        self.indent += 1
        self.divide(kept, "t")
        for j in reductions:
            self.result_stored(j, self.total(j))
        self.indent -= 1
        self.line("k = k + blocks_x() * threads_x()")
        self.indent -= 1
        return self.function("combine", self.lengths(kept), count)

    # -- functions ---------------------------------------------------------------------------------------------------

    def function(self, kind: str, outer: str, inner: str) -> str:
        """A function of the lines so far, with the parameters that they use, and its twin."""
        body = with_places("\n".join(self.lines))
        name = f"{kind}{self.number}"
        self.number += 1
        self.lines, self.indent = [], 1
        return f"def {name}({', '.join(self.parameters(body))}):\n{body}\n\n\n" \
            f"def {name}_lengths({', '.join(self.parameters(f'{outer} {inner}'))}):\n    return {outer}, {inner}\n"

    def parameters(self, text: str) -> list[str]:
        words = set(re.findall(r"\w+", text))
        letters = {Pointer: "p", Integer: "n", Number: "c"}
        names = {f"{letters[type(s)]}{k}": s for k, s in enumerate(self.k.slots)}
        found = [f'{name}: "{s.code}"' if isinstance(s, Number) else name for name, s in names.items() if name in words]
        scratch = [f"w{j}" for j in range(len(self.k.reductions))]
        scratch += [f"s{j}" for j in range(len(self.k.reductions) + len(self.k.stores))]
        return found + [n for n in ("hi", *scratch, "chunks", "lanes", "blocks") if n in words]


def with_places(body: str) -> str:
    """The lines of a function that asks once where it is."""
    for call, variable in _PLACES.items():
        if call in body:
            body = f"    {variable} = {call}\n" + body.replace(call, variable)
    return body


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text else text


def varying(kernel: LoopNest) -> list[set[int]]:
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
            found.append(set(range(e.depth)))
    return found


def kept_of(r: Reduce) -> list[int]:
    """The loops that a reduction has an element for."""
    return [k for k, reduced in enumerate(r.reduced) if not reduced]
