"""Where everything lies that a rolled request computes, and in which order it is computed.

Input: a graph in pieces, and what is wanted of it.  Output: an execution plan.
Invariant: what one iteration hands on to the next lies in one place where it is updated in place, in two by turns, or, if later
pieces or the derivative read it, in a place of its own for each iteration (or each of a block: see checkpoints.py).
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jitgrad.compiler.loops import checkpoints, step_programs
from jitgrad.compiler.loops.body import Sizes, leaf
from jitgrad.compiler.loops.iteration import BodyStep, backward_steps, forward_steps
from jitgrad.compiler.loops.needs import Loop, Needs, Target
from jitgrad.compiler.loops.pieces import CARRIED, INVARIANT, Graph, Piece
from jitgrad.compiler.loops.step_programs import NOTHING, Growth
from jitgrad.compiler.loops.tables import ARENA, Block, BoundStep, Location, Run, Tables, Unsuitable
from jitgrad.compiler.program import Program
from jitgrad.compiler.runtime.arena import aligned
from jitgrad.compiler.runtime.planning import KEEP_BYTES
from jitgrad.config import config
from jitgrad.graph.node import CONST, SCALAR, Node
from jitgrad.graph.recording import const, in_grad_mode
from jitgrad.memory import buffers
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.array import ArrayType


def _bytes(type: ArrayType) -> int:
    return type.size * type.dtype.np.itemsize


class Layout:
    """Builds the plan.  blocks: iterations of a block, by the number of a loop whose values are not all kept.  bytes: of the arena."""

    def __init__(self, graph: Graph, pieces: Sequence[Piece], request: tuple[list[int], list[int], list[int | None], list[int]],
                 where: Sequence[int], blocks: Mapping[int, int] | None = None) -> None:
        self._blocks = blocks or {}
        self._graph = graph
        outputs, roots, cotangents, wanted = request
        self._outputs, self._roots, self._wanted = [[where[k] for k in places] for places in (outputs, roots, wanted)]
        self._cotangents = [None if k is None else where[k] for k in cotangents]
        self._position = {k: i for i, k in enumerate(where)}
        self._needs = Needs(graph, pieces, self._outputs, self._roots, self._wanted)
        self.loops = self._needs.loops
        self.tables = Tables()
        self.programs: dict[Program, None] = {}
        self.compiled = False
        self.told: list[str] = []
        self.bytes = 0
        self._results: list[tuple[ArrayType, Location]] = []
        self._cells: dict[Target, Location] = {}
        self._unread: dict[ArrayType, Location] = {}
        self._written: set[Target] = set()      # where gradients are already
        self._to_clear: list[tuple[Location, int]] = []
        self.outputs: list[tuple[int, ...] | None] = []
        self.plan = self._made()

    # -- memory --------------------------------------------------------------------------------------------------------

    def _result(self, type: ArrayType) -> Location:
        """The place of one more result."""
        place = Location(len(self._graph.order) + len(self._results))
        self._results.append((type, place))
        return place

    def _value(self, place: int) -> Location:
        """Where the value of a place is."""
        at = self._needs.at(place)
        if at is None:
            return Location(place)
        one, offset, iteration = at
        return self.tables.at(one.places[one.body.nodes[offset]], iteration)

    def _operand(self, one: Loop, number: int) -> Location:
        """Where an operand is that is not handed on."""
        operand = one.piece.operands[number]
        if operand.kind == INVARIANT:
            return self._value(operand.places[0])
        return self.tables.along([self._value(k) for k in operand.places])

    # -- the plan ------------------------------------------------------------------------------------------------------

    def _made(self) -> Any:
        order, tables = self._graph.order, self.tables
        runs: list[Run] = []
        for one in self._needs.loops:
            runs += self._forward(one)
        results: dict[int, Location] = {}
        for k in self._wanted:
            if (k,) in self._needs.came:
                results[k] = self._cells[k,] = self._result(order[k].spec.type)
        back: list[Run] = []
        outs = []
        for k in self._outputs:     # before blocks are computed again
            outs.append(self._result(order[k].spec.type))
            back += self._copied(order[k], self._value(k), outs[-1])
        for root, cotangent in zip(self._roots, self._cotangents, strict=True):
            back += self._seed(root, cotangent)
        for one in reversed(self._needs.loops):
            if one.reverse is not None:
                back += self._backward(one)
        tables.scratch = tables.arena
        scratch = max([step.scratch for _, steps in [*runs, *back] for step in steps], default=0)
        for place, nbytes in self._to_clear:
            tables.clear(place, nbytes)
        for count, steps in [*runs, *back]:
            tables.run(count, steps)
        self.bytes = tables.arena + scratch
        return self._plan(outs, results, self.bytes)

    def _plan(self, outs: list[Location], results: dict[int, Location], nbytes: int) -> Any:
        order = self._graph.order
        used = sorted({root for root, _, _ in self.tables.patches if root < len(order)})
        arrays = [k for k in used if order[k].spec.op is not SCALAR]
        scalars = [k for k in used if order[k].spec.op is SCALAR]
        places = [*arrays, *scalars]
        positions = [self._position[k] for k in places]
        floats = [len(arrays) + i for i, k in enumerate(scalars) if order[k].spec.type.dtype.category == 2]
        integers = [len(arrays) + i for i, k in enumerate(scalars) if order[k].spec.type.dtype.category != 2]
        wanted = [*outs, *[results.get(k) for k in self._wanted]]
        types = {place: type for type, place in self._results}
        makers = []
        argument = {k: i for i, k in enumerate(places)}
        for place in wanted:
            if place is None:
                self.outputs.append(None)
                continue
            type = types[place]
            argument[place.root] = len(positions) + len(makers)
            makers.append((buffers.maker(_bytes(type)), type.shape, type.dtype.np))
            self.outputs.append(type.shape)
        absent = tuple([i for i, place in enumerate(wanted) if place is None])
        return self.tables.plan(positions, floats, integers, range(len(arrays)), makers, absent, nbytes, nbytes <= KEEP_BYTES, argument)

    def _bound(self, step: BodyStep, places: dict[Node, Location], sizes: Sizes, count: int, backward: bool = False,
               growth: Growth = NOTHING) -> BoundStep:
        prepared = step_programs.prepared(step, growth, count)
        bound = step_programs.bound(prepared, [*prepared.given, *step.results], places, sizes, growth, count, backward)
        program = prepared.program
        if prepared.cut and count > 1 and config.threads > 1 and len(self._graph.body) <= config.max_nodes and (
                config.memory_limit is None):
            raise Unsuitable        # a loop runs on one thread, but is what can keep to a limit
        self.compiled |= prepared.new
        self.programs[program] = None
        self.told += program.steps if count == 1 else [f"{count} times: {s}" for s in program.steps]
        return bound

    def _copied(self, node: Node, source: Location, target: Location, add: bool = False) -> list[Run]:
        """A copy of one array, or what adds it to another."""
        given = Node(node.spec, (), False, 0, node.value) if node.spec.op in (CONST, SCALAR) else leaf(node.spec.type)
        if add:
            total = leaf(node.spec.type)
            made = in_grad_mode(False, REGISTRY["add"], total, given)
            step = BodyStep([total, given, made], [total, given], [made], [2])
            places = {total: target, given: source, made: target}
        else:
            made = in_grad_mode(False, REGISTRY["copy"], given)
            step, places = BodyStep([given, made], [given], [made], [1]), {given: source, made: target}
        return [(1, [self._bound(step, places, {}, 1)])]

    # -- forward -------------------------------------------------------------------------------------------------------

    def _forward(self, one: Loop) -> list[Run]:
        body, piece, count = one.body, one.piece, one.count
        places = one.places
        read = sorted({*one.last, *one.all, *one.kept, *one.before, *one.carried})
        kept = one.all | one.kept | one.before
        for j in range(len(piece.operands)):
            if piece.operands[j].kind != CARRIED:
                places[body.operands[j]] = self._operand(one, j)
        what = tuple(read), tuple(sorted(kept))
        steps, updated = self._needs.once(forward_steps, body, *what)
        later, _ = self._needs.once(forward_steps, one.later, *what)
        block = self._blocks.get(one.number, count)
        if count > 1 and one.reverse is not None:
            self.told += checkpoints.told(one, block)
        for o in read:
            if block == count or o not in kept or o in one.all:
                if o in kept and count > 1:
                    before, places[body.nodes[o]] = self.tables.one_behind_the_other(one.each(o), count)
                    if o in one.carried:
                        places[body.operands[one.carried[o]]] = before
                else:
                    one.place(o, updated, 0, self.tables.array)
        if block == count:
            bound = self._steps(steps, later, updated, places, one.sizes, count)
            one.blocks = [Block(count, [], places)]
            return [*[run for j in one.carried.values() for run in self._begun(one, j, places)], (count, bound)]
        return self._forward_in_blocks(one, steps, later, updated, block)

    def _begun(self, one: Loop, number: int, places: Mapping[Node, Location]) -> list[Run]:
        """Copy what is handed on to the first iteration to its place."""
        initial = one.piece.operands[number].places[0]
        return self._copied(self._graph.order[initial], self._value(initial), self.tables.at(places[one.body.operands[number]], 0))

    def _forward_in_blocks(self, one: Loop, steps: Sequence[BodyStep], later: Sequence[BodyStep], updated: dict[Node, Node],
                           length: int) -> list[Run]:
        """All iterations; of the last block what the derivative reads is kept, of the others the state at their start."""
        kept, states, count, operands = checkpoints.kept(one), checkpoints.state(one), one.count, one.body.operands
        for o in kept:
            one.place(o, updated, 0, self.tables.array)
        passing = one.places
        bound = self._steps(steps, later, updated, passing, one.sizes, count)
        one.places = passing.copy()
        for o in kept:
            one.place(o, updated, length, self.tables.array)
        own = {*[one.body.nodes[o] for o in kept], *[operands[one.carried[o]] for o in kept if o in one.carried]}
        keeping, told, last = one.places, len(self.told), (count - 1) // length * length
        moved = {j: self._copied(operands[j], passing[operands[j]], passing[operands[j]])[0][1][0] for j in states}

        def copied(j: int, source: Location, target: Location) -> Run:
            given, made = moved[j].nodes
            return 1, [moved[j].after(0, {given: source, made: target})]

        runs = [run for j in one.carried.values() for run in self._begun(one, j, passing)]
        one.blocks = []
        for start in range(0, count, length):
            block = min(length, count - start)
            now = {n: place.after(start) for n, place in passing.items()}
            here = {n: place if n in own else place.after(start) for n, place in keeping.items()}
            again = [(block, [b.after(start, here) for b in bound])]
            if start == last:
                runs += [copied(j, now[operands[j]].at(0), here[operands[j]].at(0)) for j in states if operands[j] in own] + again
                again = []
            elif start == 0:
                again = [*[run for j in states for run in self._begun(one, j, here)], *again]
            else:
                saved = {j: self.tables.array(one.nbytes(one.piece.operands[j].offset)) for j in states}
                runs += [copied(j, now[operands[j]].at(0), saved[j]) for j in states]
                again = [*[copied(j, saved[j], here[operands[j]].at(0)) for j in states], *again]
            if start < last:
                runs.append((block, [b.after(start, now) for b in bound]))
            one.blocks.append(Block(block, again, here))
        one.places = {n: place.after(-last) if n in own else place for n, place in keeping.items()}
        del self.told[told:]
        return runs

    def _steps(self, steps: Sequence[BodyStep], later: Sequence[BodyStep], updated: dict[Node, Node], places: dict[Node, Location],
               sizes: Sizes, count: int, backward: bool = False) -> list[BoundStep]:
        """Steps with places for what they hand on to each other.  later: the same an iteration on."""
        for node, base in updated.items():
            places[node] = places[base]
        growths = [step_programs.growth(step, next) for step, next in zip(steps, later, strict=True)]
        for step, growth in zip(steps, growths, strict=True):
            for node, output in zip(step.results, step.outputs, strict=True):
                if node not in places:
                    lengths = step_programs.greatest(step, growth, count, output)
                    places[node] = self.tables.array(math.prod(lengths) * node.spec.type.dtype.np.itemsize)
        return [self._bound(step, places, sizes, count, backward, growth) for step, growth in zip(steps, growths, strict=True)]

    # -- backward ------------------------------------------------------------------------------------------------------

    def _cell(self, target: Target) -> Location:
        """Where a gradient is summed up; of all iterations, that of the first."""
        found = self._cells.get(target)
        if found is None:
            number, offset, stacked = target
            one = self._needs.loops[number]
            nbytes = one.nbytes(offset)
            if stacked:
                found = Location(ARENA, self.tables.array(one.count * nbytes).offset, nbytes)
            else:       # the second half is for what is handed on by turns
                found = self.tables.array(nbytes if one.count == 1 or self._stays(one, offset) else 2 * aligned(nbytes))
            self._cells[target] = found
        return found

    def _stays(self, one: Loop, offset: int) -> bool:
        """Whether the gradient of what is handed on is updated in place."""
        if one.reverse is None or offset not in one.carried:
            return False
        j = one.carried[offset]
        gradients, _, updated = self._needs.once(backward_steps, one.reverse)
        return j in gradients and (gradients[j] is one.reverse.carried[j] or updated.get(gradients[j]) is one.reverse.carried[j])

    def _gradient(self, place: int) -> Location:
        """Where the gradient of a place is summed up."""
        if not self._needs.needed[place]:     # nobody reads it
            type = self._graph.order[place].spec.type
            if type not in self._unread:
                self._unread[type] = self.tables.array(_bytes(type))
            return self._unread[type]
        target = self._needs.target(place)
        cell, at = self._cell(target), self._needs.at(place)
        return cell if at is None or not cell.stride else cell.at(at[2])

    def _cleared(self, target: Target) -> None:
        """Have zeros where a gradient is summed up, unless something has been written there."""
        if target in self._written:
            return
        self._written.add(target)
        cell = self._cell(target)
        if len(target) == 1:
            nbytes = _bytes(self._graph.order[target[0]].spec.type)
        else:
            number, offset, stacked = target
            one = self._needs.loops[number]
            nbytes = one.nbytes(offset) * (one.count if stacked else 1)
        self._to_clear.append((Location(cell.root, cell.offset), nbytes))

    def _seed(self, root: int, cotangent: int | None) -> list[Run]:
        target, node = self._needs.target(root), self._graph.order[root]
        add = target in self._written
        if self._needs.is_part(root):
            self._cleared(target)
            add = True
        self._written.add(target)
        if cotangent is not None:
            return self._copied(self._graph.order[cotangent], Location(cotangent), self._gradient(root), add)
        like = leaf(node.spec.type)
        one = const(1, node.spec.type.dtype)
        ones = in_grad_mode(False, REGISTRY["expand_like"], one, like)
        if add:
            total = leaf(node.spec.type)
            made = in_grad_mode(False, REGISTRY["add"], total, ones)
            order, places = [like, one, total, ones, made], {total: self._gradient(root), made: self._gradient(root)}
        else:
            made = in_grad_mode(False, REGISTRY["copy"], ones)
            order, places = [like, one, ones, made], {made: self._gradient(root)}
        step = BodyStep(order, [n for n in order if not n.inputs], [made], [len(order) - 1])
        return [(1, [self._bound(step, places, {}, 1)])]

    def _backward(self, one: Loop) -> list[Run]:
        piece, count, reverse = one.piece, one.count, one.reverse
        assert reverse is not None
        operands = piece.operands
        places: dict[Node, Location] = {}
        for n, stands in reverse.saved.items():
            places[stands] = one.places[n].backward(count)
        for offset, g in reverse.slots.items():
            target = (one.number, offset, self._needs.stacked(one, offset))
            self._cleared(target)
            places[g] = self._cell(target).backward(count)
        gradients, steps, updated = self._needs.once(backward_steps, reverse)
        _, later, _ = self._needs.once(backward_steps, one.later_reverse)
        ends: list[tuple[int, Location]] = []
        for j, g in gradients.items():
            if j in reverse.carried:
                came = reverse.carried[j]
                offset = operands[j].offset
                nbytes = one.nbytes(offset)
                key = (one.number, offset, False)
                self._cleared(key)
                start = self._cell(key)
                if self._stays(one, offset):
                    places[came] = places[g] = start
                    end = start
                else:
                    size = aligned(nbytes)
                    places[came] = Location(ARENA, start.offset, size, True)
                    places[g] = Location(ARENA, start.offset + size, -size, True)
                    end = places[came].at(count)
                initial = operands[j].places[0]
                if self._needs.needed[initial]:
                    ends.append((initial, end))
            else:
                places[g] = self._given(one, j, j in reverse.sums).backward(count)
                if j in reverse.sums:
                    places[reverse.sums[j]] = places[g]
        bound = self._steps(steps, later, updated, places, one.sizes, count, True)
        runs: list[Run] = []
        done = 0
        for block in reversed(one.blocks):
            here = {n: place.after(done) for n, place in places.items()}
            here |= {stands: block.places[n].backward(block.iterations) for n, stands in reverse.saved.items()}
            runs += [*block.again, (block.iterations, [b.after(done, here) for b in bound])]
            done += block.iterations
        for initial, end in ends:       # behind what this loop has added there
            runs += self._handed(initial, end)
        return runs

    def _handed(self, place: int, source: Location) -> list[Run]:
        """Add a gradient to that of a place."""
        target = self._needs.target(place)
        add = target in self._written
        if self._needs.is_part(place):
            self._cleared(target)
            add = True
        self._written.add(target)
        node = self._graph.order[place]
        return self._copied(node, source, self._gradient(place), add)

    def _given(self, one: Loop, number: int, summed: bool) -> Location:
        """Where the gradient of an operand goes."""
        operand = one.piece.operands[number]
        for k in operand.places:
            if not self._needs.needed[k]:
                continue
            if summed:
                self._cleared(self._needs.target(k))
            self._written.add(self._needs.target(k))
        if operand.kind == INVARIANT:
            return self._gradient(operand.places[0])
        return self.tables.along([self._gradient(k) for k in operand.places])
