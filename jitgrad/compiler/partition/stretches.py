"""Long graphs, cut in stretches that are compiled each for itself, equal ones once.

Input: a request of thousands of nodes, most of them a loop that was unrolled by recording it.  Output: a `LongProgram`,
which a caller uses like any `Program`.
Invariant: compiling takes as long as the stretches that differ, whatever the length; a run makes two calls a stretch
and touches no node.

The graph is cut along its order, on the period of the sequence of operations where it has one.  What a stretch reads of
earlier ones are arrays to it.  Forward, each stretch computes what later ones read; backward, from the last to the first,
a program of its own computes the stretch anew and the gradients of what it read, given those of what it gave
(checkpointing: Griewank and Walther, Evaluating Derivatives, 2nd edition, section 12.2, of one level).  So a long graph costs
one more forward than a short one, and keeps of the values only those at the cuts.
"""
from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitgrad.compiler.build import Request, build
from jitgrad.compiler.ir.steps import KernelInfo
from jitgrad.compiler.partition.cuts import Cuts, cut
from jitgrad.compiler.program import Bound, Program
from jitgrad.config import config
from jitgrad.graph import CONST, INPUT, Node, input_spec

LONG = 8192                 # nodes of the shortest graph that is cut: its passes take some seconds
LENGTH = 1024               # operations of a stretch, at least: compiled in some 0.5 s, run in some 50 microseconds
MAX_PROGRAMS = 1024         # of stretches, kept for other graphs that have the same

_programs: dict[tuple, Program] = {}


def compile_long(request: Request) -> LongProgram | None:
    """The program of a long graph; None for one that is better compiled as a whole, short or with little that repeats."""
    order = request.order
    if len(order) <= LONG:
        return None
    cuts = cut(order, LENGTH)
    if request.small and not cuts.repeats:
        return None
    index = {n: k for k, n in enumerate(order)}
    return LongProgram(order, cuts, [index[n] for n in request.outputs], [index[n] for n in request.roots],
                       [None if n is None else index[n] for n in request.cotangents], [index[n] for n in request.wrt], request.small)


def forget() -> None:
    """Forget all programs of stretches."""
    _programs.clear()


# -- one stretch -----------------------------------------------------------------------------------------------------

class Stretch:
    """A part of a graph.  All but `small` (see Request) are positions in the order.

    ins: what it reads of leaves and earlier stretches; body: what it computes; outs: what of that is read later or wanted.
    roots: those whose gradients are known when it is gone through backward; seeds: of each, the position of the node that is
    its gradient, None for an implicit 1, or -1: one that later stretches have summed up.  wrt: whose gradients it gives."""

    def __init__(self, order: Sequence[Node], body: list[int], index: dict[Node, int], outs: list[int], small: str) -> None:
        own = set(body)
        ins: dict[int, None] = {}
        for k in body:
            for n in order[k].inputs:
                if (j := index[n]) not in own:
                    ins[j] = None
        self.small = small
        self.body = body
        self.ins = list(ins)
        self.outs = outs
        self.roots: list[int] = []
        self.seeds: list[int | None] = []
        self.wrt: list[int] = []

    def forward(self, order: Sequence[Node], index: dict[Node, int]) -> Program:
        """What computes the outs."""
        return self._program(order, index, self.outs, False)

    def backward(self, order: Sequence[Node], index: dict[Node, int], outputs: list[int]) -> Program:
        """What computes `outputs`, then the gradients of `wrt`."""
        return self._program(order, index, outputs, True)

    def sees(self, order: Sequence[Node], backward: bool) -> list[Node]:
        """The order of the program of this stretch: what it reads, what it computes, gradients that it is given."""
        nodes = [_as_read(order[k]) for k in self.ins]
        nodes += [order[k] for k in self.body]
        if backward:
            nodes += [_array(order[k], False) if seed == -1 else _as_read(order[seed]) for k, seed in self.given()]
        return nodes

    def given(self) -> list[tuple[int, int]]:
        """The roots whose gradients are arrays, and their seeds."""
        return [(k, seed) for k, seed in zip(self.roots, self.seeds, strict=True) if seed is not None]

    def _program(self, order: Sequence[Node], index: dict[Node, int], outputs: list[int], backward: bool) -> Program:
        local = {k: i for i, k in enumerate([*self.ins, *self.body])}
        seen = self.sees(order, backward)
        first = len(self.ins)
        parts: list[Any] = [first, len(local)]
        for n in [*seen[:first], *seen[len(local):]]:
            contiguous = n.op is not INPUT or not n.type.shape or n.value.flags.c_contiguous
            parts += [2 * n.spec.sig + n.requires_grad, contiguous]
        for n in seen[first:len(local)]:
            parts.append(2 * n.spec.sig + n.requires_grad)
            parts += [local[index[m]] for m in n.inputs]
        ends = [local[k] for k in outputs]
        given = {k: len(local) + i for i, (k, _) in enumerate(self.given())} if backward else {}
        roots = self.roots if backward else []
        key = (tuple(parts), tuple(ends), tuple([(local[k], given.get(k)) for k in roots]),
               tuple([local[k] for k in self.wrt]) if backward else None, config.target, bool(self.small))
        program = _programs.get(key)
        if program is None:
            copies: list[Node] = []
            for k, n in enumerate(seen):
                inside = first <= k < len(local)
                inputs = tuple([copies[local[index[m]]] for m in n.inputs]) if inside else ()
                copies.append(Node(n.spec, inputs, n.requires_grad, 0, None if inside else n.value, n.line))
            request = Request(copies, [copies[i] for i in ends], [copies[local[k]] for k in roots],
                              [copies[given[k]] if k in given else None for k in roots],
                              [copies[local[k]] for k in self.wrt] if backward else [], self.small)
            if len(_programs) >= MAX_PROGRAMS:
                _programs.clear()
            program = _programs[key] = build(request)
        return program


def _as_read(node: Node) -> Node:
    """A node as those see it who read its value: a leaf as it is, another as an array."""
    return _array(node, node.requires_grad) if node.inputs else node


def _array(node: Node, requires_grad: bool) -> Node:
    """A leaf for a contiguous array of the type of a node."""
    t = node.type
    return Node(input_spec(t), (), requires_grad, 0, np.empty(t.shape, t.dtype.np))


# -- all of them -----------------------------------------------------------------------------------------------------

class LongProgram:
    """A compiled request, as program.Program, made of programs of stretches.

    steps: str()-able calls in order; kernels: those of all programs, each once; small: see Program."""

    def __init__(self, order: Sequence[Node], cuts: Cuts, outputs: list[int], roots: list[int], cotangents: list[int | None],
                 wrt: list[int], small: str) -> None:
        index = {n: k for k, n in enumerate(order)}
        self._strided = [k for k, n in enumerate(order) if n.op is INPUT and n.type.shape and not n.value.flags.c_contiguous]
        self._outputs = outputs
        self._wrt = wrt
        self.small = small
        self._stretches = _stretches(order, index, cuts, {*outputs, *[k for k in cotangents if k is not None]}, small)
        self._seeded: list[tuple[int, int | None]] = []         # roots whose gradients are summed up, and their own part
        last = self._stretches[-1]
        self._forward = [s.forward(order, index) if s.outs and s is not last else None for s in self._stretches]
        self._backward = self._differentiate(order, index, list(zip(roots, cotangents, strict=True)))
        if self._backward[-1] is None:
            self._forward[-1] = last.forward(order, index)
        self._bound: tuple[list[Any], LongBound] | None = None
        self._describe()

    def _differentiate(self, order: Sequence[Node], index: dict[Node, int],
                       seeds: list[tuple[int, int | None]]) -> list[Program | None]:
        """The backward program of each stretch, from the last to the first; None where no gradient comes."""
        wrt = set(self._wrt)
        needed = [False] * len(order)
        for k, n in enumerate(order):
            needed[k] = k in wrt or (n.requires_grad and any([needed[index[m]] for m in n.inputs]))
        coming: set[int] = set()            # whose gradients later stretches give
        times = Counter([root for root, _ in seeds])
        self._seeded += [(root, seed) for root, seed in seeds if not order[root].inputs]
        programs: list[Program | None] = []
        last = self._stretches[-1]
        for s in reversed(self._stretches):
            own = set(s.body)
            for root, seed in seeds:
                if root in own:
                    if times[root] == 1 and root not in coming:
                        s.roots.append(root)
                        s.seeds.append(seed)
                    else:
                        self._seeded.append((root, seed))
                        coming.add(root)
            for k in s.body:
                if k in coming:
                    s.roots.append(k)
                    s.seeds.append(-1)
            s.wrt = [k for k in s.ins if needed[k]] + [k for k in s.body if k in wrt]
            if not s.roots or not s.wrt:
                programs.append(None)
                continue
            joint = s.outs if s is last else []
            program = s.backward(order, index, joint)
            for k, output in zip(s.wrt, program.outputs[len(joint):], strict=True):
                if output is not None and k not in own:
                    coming.add(k)
            programs.append(program)
        return programs[::-1]

    def _describe(self) -> None:
        """The steps and kernels, for people."""
        names: dict[int, str] = {}
        self.kernels: list[KernelInfo] = []
        self.steps: list[str] = []
        counts: dict[str, int] = {}
        for way, programs in (("forward", self._forward), ("backward", self._backward[::-1])):
            for program in programs:
                if program is None:
                    continue
                name = names.get(id(program))
                if name is None:
                    name = names[id(program)] = f"p{len(names)}"
                    self.kernels += [replace(info, name=f"{name}.{info.name}") for info in program.kernels]
                step = f"{way} of a stretch: {name}, {len(program.kernels)} kernels"
                if step not in counts:
                    self.steps.append(step)
                counts[step] = counts.get(step, 0) + 1
        self.steps = [f"{step}; {counts[step]} times" for step in self.steps]

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        bound = self.bind(order)
        return bound.run([order[p].value for p in bound.positions])

    def bind(self, order: Sequence[Node]) -> LongBound:
        """See Program.bind.  The last one is kept, for calls of the same lengths."""
        specs: list[Any] = [n.spec for n in order]
        specs += [order[k].value.strides for k in self._strided]
        known = self._bound
        if known is not None and known[0] == specs:
            return known[1]
        bound = LongBound(order, self._stretches, self._forward, self._backward, self._seeded, self._outputs, self._wrt)
        self._bound = (specs, bound)
        return bound


def _stretches(order: Sequence[Node], index: dict[Node, int], cuts: Cuts, wanted: set[int],
               small: str) -> list[Stretch]:
    """The parts of a graph, and what each gives to later ones."""
    where: dict[int, int] = {}
    for number, (lo, hi) in enumerate(cuts.bounds):
        for k in cuts.body[lo:hi]:
            where[k] = number
    used = set(wanted)
    for k in cuts.body:
        for n in order[k].inputs:
            j = index[n]
            if where.get(j, where[k]) != where[k]:
                used.add(j)
    result = []
    for lo, hi in cuts.bounds:
        body = cuts.body[lo:hi]
        result.append(Stretch(order, body, index, [k for k in body if k in used], small))
    return result


Call = tuple[Callable[[list[Any]], list[Any]], list[int], list[int]]


class LongBound:
    """A LongProgram for one set of lengths, as program.Bound.

    A run keeps its arrays in one list, `slots`: values of leaves and at the cuts, and gradients.  A call is (run of a stretch's
    program, slots of its arguments, slots of its results); a result whose slot is ~slot is added to what is there."""

    def __init__(self, order: Sequence[Node], stretches: list[Stretch], forward: list[Program | None],
                 backward: list[Program | None], seeded: list[tuple[int, int | None]], outputs: list[int],
                 wrt: list[int]) -> None:
        self.positions = [k for k, n in enumerate(order) if not n.inputs and n.op is not CONST and n.op.kind == "leaf"]
        self._keys: list[list[Any]] = []        # of each call: what its slots hold, by position in its stretch
        self._bounds: list[Bound] = []
        self._slots: dict[Any, int] = {k: i for i, k in enumerate(self.positions)}
        self._calls: list[Call] = []
        self._summed: list[tuple[int, Any, tuple[int, ...], np.dtype]] = []   # slot of a gradient, of a part of it, shape of ones
        for s, program in zip(stretches, forward, strict=True):
            if program is not None:
                self._call(program, s, order, False, [self._slot(k) for k in s.outs])
        added: set[int] = set()
        for root, seed in seeded:
            slot = self._slot(("gradient", root))
            t = order[root].type
            self._summed.append((slot, None if seed is None else self._slot(seed), t.shape, t.dtype.np))
            added.add(root)
        self._start = len(self._calls)
        for s, program in zip(reversed(stretches), reversed(backward), strict=True):
            if program is None:
                continue
            joint = len(program.outputs) - len(s.wrt)
            results = [self._slot(k) for k in s.outs[:joint]]
            own = set(s.body)
            for k, output in zip(s.wrt, program.outputs[joint:], strict=True):
                slot = self._slot(("gradient", k) if k not in own else ("result", k))
                if output is None:
                    slot = self._slot("nothing")
                elif k not in own and k in added:
                    slot = ~slot
                elif k not in own:
                    added.add(k)
                results.append(slot)
            self._call(program, s, order, True, results)
        found = [self._slots.get(("result", k), self._slots.get(("gradient", k) if k in added else None)) for k in wrt]
        self._results = [self._slot(k) for k in outputs] + found
        taken: set[int | None] = set(range(len(self.positions)))
        self._copied = []                   # results that are inputs, or given already
        for i, slot in enumerate(self._results):
            if slot is not None and slot in taken:
                self._copied.append(i)
            taken.add(slot)

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    def _call(self, program: Program, s: Stretch, order: Sequence[Node], backward: bool, results: list[int]) -> None:
        bound = program.bind(s.sees(order, backward))
        keys: list[Any] = [*s.ins, *s.body]
        if backward:
            keys += [("gradient", k) if seed == -1 else seed for k, seed in s.given()]
        self._keys.append(keys)
        self._bounds.append(bound)
        self._calls.append((bound.run, [self._slot(keys[p]) for p in bound.positions], results))

    def run(self, values: list[Any]) -> list[np.ndarray | None]:
        """See Program.run."""
        slots = values + [None] * (len(self._slots) - len(values))
        for number, (run, arguments, results) in enumerate(self._calls):
            if number == self._start:
                self._seed(slots)
            for slot, array in zip(results, run([slots[i] for i in arguments]), strict=True):
                if slot >= 0:
                    slots[slot] = array
                else:
                    np.add(slots[~slot], array, slots[~slot])
        if self._start == len(self._calls):         # gradients of leaves alone
            self._seed(slots)
        found = [None if slot is None else slots[slot] for slot in self._results]
        for i in self._copied:
            found[i] = np.array(found[i])
        return found

    def fixing(self, numbers: Mapping[int, float | int]) -> LongBound:
        """See program.Bound."""
        fixed = copy.copy(self)
        fixed.positions = [p for p in self.positions if p not in numbers]
        gone = {p for p in self.positions if p in numbers}
        fixed._slots = {}
        for key in self._slots:             # positions come first, in order
            if key not in gone:
                fixed._slot(key)
        new = {slot: fixed._slots[key] for key, slot in self._slots.items() if key not in gone}
        fixed._bounds, fixed._calls = [], []
        for bound, keys, (_, _, results) in zip(self._bounds, self._keys, self._calls, strict=True):
            bound = bound.fixing({i: numbers[k] for i, k in enumerate(keys) if type(k) is int and k in numbers})
            fixed._bounds.append(bound)
            fixed._calls.append((bound.run, [fixed._slots[keys[p]] for p in bound.positions],
                                 [new[r] if r >= 0 else ~new[~r] for r in results]))
        fixed._summed = [(new[slot], None if given is None else new[given], shape, dtype)
                       for slot, given, shape, dtype in self._summed]
        fixed._results = [None if slot is None else new[slot] for slot in self._results]
        return fixed

    def _seed(self, slots: list[Any]) -> None:
        """Gradients of roots that later stretches read, too."""
        for slot, given, shape, dtype in self._summed:
            part = np.ones(shape, dtype) if given is None else slots[given]
            if slots[slot] is None:
                slots[slot] = np.array(part)
            else:
                np.add(slots[slot], part, slots[slot])
