"""The steps of steady groups computed ahead: by the program of the backward whose gradients they take.

Input: steady groups whose gradients come from one backward, again and again.  Output: a function that runs in place of its
program and leaves the results with each group, and a function for each group that takes a step if what is held is its result.
Invariant: a step is a pure function of arrays, which nobody writes to, and of the group's options.  What is held was
computed for some arrays and options; it is taken if the step would read these very arrays, and options that are equal.
So it does not matter what happens in between: anything that a step can notice makes it read something else.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jitgrad import tracing
from jitgrad.config import config
from jitgrad.generated import function
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node, scalar_node
from jitgrad.optim.steady import OFF, Steady, replacement
from jitgrad.requests.programs import interpreting
from jitgrad.requests.source import Run
from jitgrad.requests.speculate import joint_program

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram, Bound

MOST = 100          # parameters, of all groups
MOST_OTHERS = 100   # backwards of other models that one's own is waited for


class _NoGradient(Exception):
    """A parameter gets no gradient."""


class Ahead:
    """What the groups of an optimizer ask a backward for: see speculate.Asker.

    source: of the gradients, weakly; refused: there is no such program; joint: the program, once it is made."""

    def __init__(self, groups: Sequence[Steady], source: Any) -> None:
        self.groups = tuple(groups)
        self.source = source
        self.refused = False
        self.others = 0                 # backwards so far that were perhaps others'
        self.joint: AnyProgram | None = None

    @property
    def failed(self) -> bool:
        """Whether to let it be: there is no such program, it was for nothing, or another optimizer has asked."""
        source = self.source()
        return self.refused or source is None or source.asker is None or source.asker() is not self or any(
            [s.held is OFF for s in self.groups])

    def wants(self, accumulators: Sequence[Any]) -> bool:
        """See speculate.Asker.  Other models of one structure go the same way."""
        self.others += 1
        return self.groups[0].first._leaf in accumulators or self.others > MOST_OTHERS

    def program(self, order: list[Node], root: Node, leaves: Sequence[Node], accumulators: Sequence[Any], bound: Bound,
                constants: Mapping[int, Any]) -> Run | None:
        """See speculate.Asker."""
        made = self._program(order, root, leaves, accumulators, bound, constants)
        self.refused = made is None
        return made

    def _program(self, order: list[Node], root: Node, leaves: Sequence[Node], accumulators: Sequence[Any], bound: Bound,
                 constants: Mapping[int, Any]) -> Run | None:
        place = {id(a): k for k, a in enumerate(accumulators)}
        if len(place) < len(accumulators):
            return None
        index = {n: i for i, n in enumerate(order)}
        argument = {p: f"a{k}" for k, p in enumerate(bound.positions)}
        asked: list[_Asked] = []
        further: list[Node] = []
        for number, s in enumerate(self.groups):
            found = s.ready()
            if found is None or any([id(leaf) not in place or p._grad is not None for p, _, _, leaf in s.rows]):
                return None
            places = [place[id(leaf)] for _, _, _, leaf in s.rows]
            if any([index[leaves[k]] not in argument for k in places]):
                return None
            types = [leaves[k].spec.type for k in places]
            kept = [input_node(a, t._node.spec.type) for a, t in zip(found[0], s.kept, strict=True)]
            numbers = {kind: [scalar_node(x, kind) for x in found[1]] for kind in {t.dtype: None for t in types}}
            argument.update({len(order) + len(further) + i: f"k{number}_{i}" for i in range(len(kept))})
            further += kept
            for nodes in numbers.values():
                argument.update({len(order) + len(further) + i: f"x{number}_{i}" for i in range(len(nodes))})
                further += nodes
            asked.append(_Asked(s, places, [int(argument[index[leaves[k]]][1:]) for k in places], [leaves[k] for k in places],
                                kept, numbers))
        structure = tuple([(a.steady.rule, *a.places, *[n.spec.sig for n in a.kept]) for a in asked])

        def then(gradients: list[Node | None]) -> list[Node]:
            outputs = []
            for a in asked:
                outputs += a.outputs(gradients)
            return outputs

        try:
            program = joint_program(order, root, leaves, further, then, structure)
        except _NoGradient:
            return None
        if program is None:
            return None
        self.joint = program
        joint = program.bind([*order, *further])
        if constants:
            joint = joint.fixing(constants)
        if any([p not in argument for p in joint.positions]):
            return None
        at = 1 + len(leaves)
        for a in asked:
            a.steady.take = _take(a, at)
            at += len(a.leaves) + len(a.kept)
        return _run(self, asked, joint, [argument[p] for p in joint.positions], bound, 1 + len(leaves))


class _Asked(NamedTuple):
    """One group in a joint graph.  places: of its gradients among all; arguments: the numbers of its parameters among those of
    the program; leaves, kept, numbers: nodes, the numbers by dtype."""

    steady: Steady
    places: list[int]
    arguments: list[int]
    leaves: list[Node]
    kept: list[Node]
    numbers: dict[Any, list[Node]]

    def outputs(self, gradients: Sequence[Node | None]) -> list[Node]:
        """The new parameters, then what is kept."""
        first: list[Node] = []
        rest: list[Node] = []
        at = 0
        for k, leaf, width in zip(self.places, self.leaves, self.steady.widths, strict=True):
            g = gradients[k]
            if g is None:
                raise _NoGradient
            new, *others = self.steady.rule(g, leaf, *self.kept[at:at + width], *self.numbers[leaf.spec.type.dtype])
            first.append(new)
            rest += others
            at += width
        return first + rest


def _run(ahead: Ahead, asked: Sequence[_Asked], joint: Bound, arguments: Sequence[str], bound: Bound, usual: int) -> Run:
    """What runs in place of a backward's program.  For a group of one parameter with a moment:

        def run(values):
            ahead = asker()
            if ahead is None: return plain(values)
            s0, = ahead.groups
            if s0.held is not None and s0.drop(): return plain(values)
            if s0.first._grad is not None or s0.first._node.value is not values[1]: return plain(values)
            n0 = s0.newer
            k0 = n0.arrays
            if len(k0) != 1: return plain(values)
            o0 = options(s0.group)
            known = s0.options
            if o0 == known: o0, x0 = known, s0.numbers          # which are no tensors, whose values change
            else: x0 = s0.count(o0, 0)
            if x0 is None: return plain(values)
            a0, a1, = values
            k0_0, = k0
            x0_0, x0_1, = x0
            results = joint([a1, a0, k0_0, x0_0, x0_1])
            s0.held = (k0, o0, values, results)
            return results[:2]
    """
    given: dict[str, Any] = {"asker": weakref.ref(ahead), "plain": bound.run, "joint": joint.run, "options": asked[0].steady.read}
    names = [f"s{i}, " for i in range(len(asked))]
    lines = ["ahead = asker()", "if ahead is None: return plain(values)", f"{''.join(names)}= ahead.groups"]
    for i, a in enumerate(asked):
        lines += [f"if s{i}.held is not None and s{i}.drop(): return plain(values)",
                  # Another model of the same structure goes the same way.
                  f"if s{i}.first._grad is not None or s{i}.first._node.value is not values[{a.arguments[0]}]: return plain(values)",
                  f"n{i} = s{i}.newer", f"k{i} = n{i}.arrays", f"if len(k{i}) != {len(a.kept)}: return plain(values)",
                  f"o{i} = options(s{i}.group)", f"known = s{i}.options"]
        if a.steady.counts:
            lines += [f"if o{i} == known: o{i} = known", f"x{i} = s{i}.count(o{i}, n{i}.t + 1)"]
        else:
            lines += [f"if o{i} == known: o{i}, x{i} = known, s{i}.numbers", f"else: x{i} = s{i}.count(o{i}, 0)"]
        lines.append(f"if x{i} is None: return plain(values)")
    lines.append(f"{''.join([f'a{k}, ' for k in range(len(bound.positions))])}= values")
    for i, a in enumerate(asked):
        if a.kept:
            lines.append(f"{''.join([f'k{i}_{j}, ' for j in range(len(a.kept))])}= k{i}")
        lines.append(f"{''.join([f'x{i}_{j}, ' for j in range(len(next(iter(a.numbers.values()))))])}= x{i}")
    lines.append(f"results = joint([{', '.join(arguments)}])")
    lines += [f"s{i}.held = (k{i}, o{i}, values, results)" for i in range(len(asked))]
    lines.append(f"return results[:{usual}]")
    return function("run", "values", lines, given, __file__)


def _take(asked: _Asked, at: int) -> Callable[[Any, Any, dict[str, Any], Any], bool]:
    """What takes the step of a group if what is held for it is the result; False, and nothing has happened, otherwise.

    at: where what is new begins in the results.  For a group of one parameter with a moment:

        def take(steady, held, group, state):
            kept, chosen, values, results = held
            newer = steady.newer
            params = group['params']
            if newer.arrays is not kept or newer.storages is None or len(params) != 1 or options(group) != chosen or (...):
                return False
            q0, = params
            g = p0._grad
            if g is None or q0 is not p0 or p0._storage is not s0 or p0._leaf is not l0: return False
            if (g._node if g._storage is None else g._current()).value is not results[1]: return False
            node = p0._node if s0.writes == p0._seen else p0._current()
            if node.value is not values[1]: return False
            if state.get(w0) is not e0 or len(e0) != 1 or e0.get('momentum_buffer') is not m0_0: return False
            n0 = Node(t0, (), True, 0, results[2])
            x0 = n0.extra = Extra()
            x0.leaf = l0
            x0.cell = c0 = s0.cell
            v0 = x0.version = c0.value + 1
            moments = results[3:4]
            newer.arrays = moments                      # from here on stores alone: see graph.in_grad_mode
            ...                                         # the counts, and what Tensor._replace does for the parameter
            return True
    """
    s = asked.steady
    given: dict[str, Any] = {"options": s.read, "interpreting": interpreting, "config": config, "tracing": tracing}
    count = len(s.rows)
    lines = ["kept, chosen, values, results = held", "newer = steady.newer", "params = group['params']",
             f"if newer.arrays is not kept or newer.storages is None or len(params) != {count} or options(group) != chosen or "
             "interpreting.active or config.interpret or tracing.traces: return False",
             f"{''.join([f'q{i}, ' for i in range(count)])}= params"]
    names, makes, stores = replacement(s.rows, lambda i: f"results[{at + i}]")
    given |= names
    for i in range(count):
        lines += [f"g = p{i}._grad",
                  f"if g is None or q{i} is not p{i} or p{i}._storage is not s{i} or p{i}._leaf is not l{i}: return False",
                  f"if (g._node if g._storage is None else g._current()).value is not results[{1 + asked.places[i]}]: return False",
                  f"node = p{i}._node if s{i}.writes == p{i}._seen else p{i}._current()",
                  f"if node.value is not values[{asked.arguments[i]}]: return False"]
    for i, (p, entry, tensors) in enumerate(s.entries):
        given |= {f"w{i}": p, f"e{i}": entry} | {f"m{i}_{k}": t for k, t in enumerate(tensors)}
        other = [f" or e{i}.get({name!r}) is not m{i}_{k}" for k, name in enumerate(entry)]
        lines.append(f"if state.get(w{i}) is not e{i} or len(e{i}) != {len(tensors)}{''.join(other)}: return False")
    lines += makes
    lines.append(f"moments = results[{at + count}:{at + count + len(s.kept)}]" if s.kept else "moments = []")
    lines += ["newer.arrays = moments", "newer.t += 1", "newer.steps += 1", "steady.held = None", "steady.misses = 0"]
    lines += stores
    lines.append("return True")
    return function("take", "steady, held, group, state", lines, given, __file__)
