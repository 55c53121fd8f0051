"""Recognising a recorded graph as one seen before, without capturing it.

Input: a captured graph, taken once as the pattern.  Output: a `Walk`, which follows the pattern from another root and
gives the same order, or None where the graph is not the same.
Invariant: a match means equal specs (so equal shapes and sizes), equal needs of gradients and equal strides at every
place, and nodes shared wherever the pattern shares them.  Nodes may be shared where the pattern has two: what is
computed twice then is right all the same.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jitgrad.generated import function
from jitgrad.graph import CONST, INPUT, SCALAR, Node, Spec

MAX_GENERATED = 200         # nodes of a graph that is followed by generated code


class Walk:
    """The pattern.  visits: (place in the order, place of a node that has it as input, which input, spec, whether it
    requires a gradient, the strides of an array, True if it is contiguous, or None where there is none); repeats: further
    uses of a node.
    entry, bound, era: the executor's: what to run.  again(root, make_run): match, run and mark in one (see _again), None
    where that is not to be had.  usual: `again` while nobody has asked for more than gradients; asker: who has, weakly."""

    __slots__ = ("root", "size", "visits", "repeats", "users", "leaves", "interior", "entry", "bound", "era", "again", "usual",
                 "asker", "reference", "__weakref__")

    def __init__(self, order: Sequence[Node], index: Mapping[Node, int], root: Node, leaves: Sequence[Node], entry: Any,
                 bound: Any, era: int) -> None:
        self.root = index[root]
        self.size = len(order)
        self.leaves = [index[n] for n in leaves]
        self.interior = [i for i, n in enumerate(order) if n.inputs]
        self.entry = entry
        self.bound = bound
        self.era = era
        self.visits: list[tuple[int, int, int, Spec, bool, Any]] = []
        self.repeats: list[tuple[int, int, int]] = []
        seen = {root}
        stack = [root]
        users: list[int] = []       # in the order in which they are gone through
        while stack:
            user = stack.pop()
            if user.inputs:
                users.append(index[user])
            for k, n in enumerate(user.inputs):
                if n in seen:
                    self.repeats.append((index[user], k, index[n]))
                    continue
                seen.add(n)
                stack.append(n)
                strides = None if n.spec.op is not INPUT else n.value.flags.c_contiguous or n.value.strides
                self.visits.append((index[n], index[user], k, n.spec, n.requires_grad, strides))
        self.users = users
        self.again = self.usual = _again(self, order, users, bound.run) if self.size <= MAX_GENERATED else None
        self.asker: Any = None
        self.reference = weakref.ref(self)

    def ask(self, asker: Any) -> bool:
        """See look_ahead.Source."""
        if self.usual is None:
            return False
        own = self.reference

        def leave(gone: Any) -> None:
            walk = own()
            if walk is not None and walk.asker is gone:
                walk.again, walk.asker = walk.usual, None

        def again(root: Node, make_run: Callable[[Any], Any]) -> Any:
            walk = own()
            order = None if walk is None else walk.match(root)
            if walk is None or order is None:
                return None
            leaves = [order[i] for i in walk.leaves]
            accumulators = [n.extra and n.extra.leaf for n in leaves]
            asked = walk.asker and walk.asker()
            if asked is None or asked.wants(accumulators):
                run = None if asked is None else asked.program(order, root, leaves, accumulators, walk.bound, {})
                walk.again = walk.usual if run is None else _again(walk, order, walk.users, run)
                return walk.again(root, make_run)       # type: ignore[misc]
            return walk.usual(root, make_run)           # type: ignore[misc]

        self.asker = weakref.ref(asker, leave)
        self.again = again
        return True

    def match(self, root: Node) -> list[Node] | None:
        """The order of the graph below `root` if it is the pattern's, and needs none of autograd's attention."""
        order: list[Any] = [None] * self.size
        order[self.root] = root
        for place, user, k, spec, requires_grad, strides in self.visits:
            n = order[user].inputs[k]
            if n.spec is not spec or n.requires_grad is not requires_grad:
                return None
            extra = n.extra
            if extra is not None and ((extra.cell is not None and extra.cell.value != extra.version)
                                      or extra.watch is not None):
                return None
            if strides is None:
                if n.run is not None:
                    return None
            elif (not n.value.flags.c_contiguous if strides is True else n.value.strides != strides) or (
                    extra is not None and extra.fn is not None):
                return None
            order[place] = n
        for user, k, place in self.repeats:
            if order[user].inputs[k] is not order[place]:
                return None
        return order


def _again(walk: Walk, order: Sequence[Node], users: Sequence[int], run: Callable[[list[Any]], list[Any]]) -> Callable[
        [Node, Callable[[Any], Any]], Any]:
    """The way through a graph as code: leaves and gradients of a graph that matches, None for another.  For x * x:

        def again(n1, make_run):
            n0, t0 = n1.inputs
            if n0.spec is not s0 or n0.requires_grad is not True: return None
            e = n0.extra
            if e is not None and (e.fn is not None or e.watch is not None or (...)): return None
            if t0 is not n0: return None
            arrays = program([n0.value])
            array = arrays.pop(0)
            if n1.value is None: n1.value = array
            n1.run = run = make_run(entry)
            n1.position = 1
            return [n0], arrays

    Graphs of one structure share the code, and each has its specs and its program as variables around it."""
    given: dict[str, Any] = {"program": run, "entry": walk.entry}
    lines: list[str] = []
    firsts = {visit[1:3]: visit for visit in walk.visits}           # by user and number of the input
    repeats = {(user, k): place for user, k, place in walk.repeats}
    for user in users:
        inputs = range(len(order[user].inputs))
        own = [f"n{firsts[user, k][0]}" if (user, k) in firsts else f"t{k}" for k in inputs]
        lines.append(f"{''.join([name + ', ' for name in own])}= n{user}.inputs")
        for k, name in zip(inputs, own, strict=True):
            if (user, k) in repeats:
                lines.append(f"if {name} is not n{repeats[user, k]}: return None")
                continue
            place, _, _, spec, requires_grad, strides = firsts[user, k]
            given[f"s{place}"] = spec
            lines.append(f"if {name}.spec is not s{place} or {name}.requires_grad is not {requires_grad}: return None")
            if spec.op is SCALAR or spec.op is CONST:
                continue
            used = "" if strides is None else "e.fn is not None or "
            lines += [f"e = {name}.extra",
                      f"if e is not None and ({used}e.watch is not None or (e.cell is not None and e.cell.value != e.version)): "
                      "return None"]
            if strides is None:
                lines.append(f"if {name}.run is not None: return None")
            elif strides is not True:
                lines.append(f"if {name}.value.strides != {strides}: return None")
            elif spec.type.shape:
                lines.append(f"if not {name}.value.flags.c_contiguous: return None")
    root = f"n{walk.root}"
    lines += [f"arrays = program([{', '.join([f'n{p}.value' for p in walk.bound.positions])}])", "array = arrays.pop(0)",
              f"if {root}.value is None: {root}.value = array", "run = make_run(entry)"]
    lines += [f"n{i}.run = run; n{i}.position = {i}" for i in walk.interior]
    lines.append(f"return [{', '.join([f'n{i}' for i in walk.leaves])}], arrays")
    return function("again", f"{root}, make_run", lines, given, __file__)
