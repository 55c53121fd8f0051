"""Where everything lies that a rolled request computes, and in which order it is computed.

Input: a graph in pieces, and what is wanted of it.  Output: an execution plan.
Invariant: what one iteration hands on to the next lies in one place where it is updated in place, in two by turns, or, if later
pieces or the derivative read it, in a place of its own for each iteration.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.compiler.loops import programs
from jitgrad.compiler.loops.body import Body, Reverse, Sizes, leaf, reverse
from jitgrad.compiler.loops.pieces import CARRIED, INDEXED, INVARIANT, Graph, Piece, structure
from jitgrad.compiler.loops.steps import Step, split
from jitgrad.compiler.loops.tables import ARENA, TABLE, BoundStep, Place, Tables, Unsuitable
from jitgrad.compiler.program import Program
from jitgrad.compiler.runtime.arena import aligned
from jitgrad.graph.node import CONST, SCALAR, Node
from jitgrad.graph.recording import const, in_grad_mode
from jitgrad.memory import buffers
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.array import ArrayType

KEEP_BYTES = 4 << 20            # a larger arena is taken from the buffer pool at each call instead of being kept


def _bytes(type: ArrayType) -> int:
    return type.size * type.dtype.np.itemsize


class Loop:
    """A piece, with its body, and what of it is needed.

    last, all: operations of which other pieces read the last iteration's value, and others; kept, before: of which the derivative
    reads the same iteration's, and that of the iteration before."""

    def __init__(self, graph: Graph, piece: Piece, bodies: dict[tuple, Body]) -> None:
        self.piece = piece
        key = structure(graph, piece)
        if key not in bodies:
            bodies[key] = Body(graph, piece)
        self.body = bodies[key]
        self.sizes = self.body.sizes(graph, piece)
        self.count = piece.count
        self.last: set[int] = set()
        self.all: set[int] = set()
        self.kept: set[int] = set()
        self.before: set[int] = set()
        self.offset = {n: o for o, n in enumerate(self.body.nodes)}
        self.carried = {o.offset: j for j, o in enumerate(piece.operands) if o.kind == CARRIED}
        self.reverse: Reverse | None = None
        self.places: dict[Node, Place] = {}     # of operands and operations


class Layout:
    """Builds the plan."""

    def __init__(self, graph: Graph, pieces: Sequence[Piece],
                 request: tuple[list[int], list[int], list[int | None], list[int]], where: Sequence[int]) -> None:
        self._graph = graph
        outputs, roots, cotangents, wanted = request
        self._outputs, self._roots, self._wanted = [[where[k] for k in places] for places in (outputs, roots, wanted)]
        self._cotangents = [None if k is None else where[k] for k in cotangents]
        self._position = {k: i for i, k in enumerate(where)}
        bodies: dict[tuple, Body] = {}
        self._loops = [Loop(graph, piece, bodies) for piece in pieces]
        self._known: dict[tuple, Any] = {}      # what has been found of a body for some use of it
        self._where = np.zeros(len(graph.body), np.int64)
        for number, one in enumerate(self._loops):
            self._where[one.piece.first:one.piece.end] = number
        self.tables = Tables()
        self.programs: dict[Program, None] = {}
        self.compiled = False
        self.told: list[str] = []
        self._arena = 0
        self._results: list[tuple[ArrayType, Place]] = []
        self._scratch: list[BoundStep] = []
        self._needed = self._find_needed()
        # Gradients that have come: by what _target gives
        self._cells: dict[tuple, Place] = {}
        self._came: set[tuple] = set()
        self._to_clear: list[tuple[Place, int]] = []
        self.outputs: list[tuple[int, ...] | None] = []
        self._read_outside()
        self._differentiate()
        self.plan = self._made()

    # -- what is needed ----------------------------------------------------------------------------------------------

    def _find_needed(self) -> list[bool]:
        """Of each place, whether its gradient leads to a wanted one."""
        order, wanted = self._graph.order, set(self._wanted)
        needed = [False] * len(order)
        for k, of in enumerate(self._graph.children):
            needed[k] = k in wanted or (order[k].requires_grad and any([needed[j] for j in of]))
            if k in self._graph.joined:
                needed[k] = any(needed[self._graph.joined[k]:k])
        if any([self._graph.at[k] >= 0 for k in wanted]):
            raise Unsuitable
        return needed

    def _at(self, place: int) -> tuple[Loop, int, int] | None:
        """Piece, operation of its body and iteration of a place; None for a leaf."""
        at = int(self._graph.at[self._graph.joined.get(place, place)])
        if at < 0:
            return None
        one = self._loops[self._where[at]]
        iteration, offset = divmod(at - one.piece.first, one.piece.period)
        return one, offset, iteration

    def _outside(self, one: Loop) -> list[int]:
        """All places of other pieces that a piece reads."""
        return [k for operand in one.piece.operands for k in operand.places]

    def _read_outside(self) -> None:
        """Note what is read of each piece by others, or wanted."""
        for place in [*self._outputs, *[k for one in self._loops for k in self._outside(one)]]:
            at = self._at(place)
            if at is not None:
                one, offset, iteration = at
                (one.last if place not in self._graph.joined and iteration == one.count - 1 else one.all).add(offset)

    # -- derivatives ---------------------------------------------------------------------------------------------------

    def _stacked(self, one: Loop, offset: int) -> bool:
        """Whether gradients of an operation come from outside for each iteration."""
        return one.count > 1 and (offset in one.all or offset not in one.carried or not self._hands_on(one, one.carried[offset]))

    def _hands_on(self, one: Loop, number: int) -> bool:
        """Whether the gradient of an operand that is handed on is needed."""
        operand = one.piece.operands[number]
        return self._needed[int(self._graph.body[one.piece.first + operand.offset])]

    def _target(self, place: int) -> tuple:
        """What the gradient of a place is added to: a leaf's, or that of an operation of a piece, in its last iteration or of all."""
        at = self._at(place)
        if at is None:
            return (place,)
        one, offset, _ = at
        return (id(one), offset, self._stacked(one, offset))

    def _differentiate(self) -> None:
        """The derivatives of all bodies that gradients go through."""
        self._partly: set[tuple] = set()        # gradients to which something is added before all of them have come
        for place in self._roots:
            self._came.add(self._target(place))
            self._partly.add(self._target(place))
        for one in reversed(self._loops):
            operands = one.piece.operands
            slots, comes = [], False
            for offset in range(one.piece.period):
                stacked = self._stacked(one, offset)
                if (id(one), offset, stacked) in self._came:
                    comes = True
                    if stacked or one.count == 1:
                        slots.append(offset)
            if not comes:
                continue
            needed = [self._hands_on(one, j) if o.kind == CARRIED else any([self._needed[k] for k in o.places])
                      for j, o in enumerate(operands)]
            targets = [[self._target(k) for k in o.places] if need and o.kind != CARRIED else [] for o, need in
                       zip(operands, needed, strict=True)]
            met: set[tuple] = set()
            summed = set()
            for j, (operand, of) in enumerate(zip(operands, targets, strict=True)):
                if not of:
                    continue
                whole = operand.kind == INDEXED and self._covers(operand.places)
                if (operand.kind == INVARIANT and one.count > 1) or not met.isdisjoint(of) or not self._came.isdisjoint(of) or not (
                        whole or one.count == 1 and not self._is_part(operand.places[0])):
                    summed.add(j)
                met.update(of)
            found: Reverse = self._once(reverse, one.body, tuple(slots), tuple(needed), tuple(sorted(summed)))
            one.reverse = found
            for n in found.saved:
                if n in one.offset:
                    one.kept.add(one.offset[n])
                else:
                    number = one.body.operands.index(n)
                    if operands[number].kind == CARRIED:
                        one.before.add(operands[number].offset)
            for j in found.gradients:
                self._came.update(targets[j])
                if operands[j].kind == CARRIED and self._needed[operands[j].places[0]]:
                    self._came.add(self._target(operands[j].places[0]))

    def _is_part(self, place: int) -> bool:
        """Whether the gradient of a place is one among those of all iterations."""
        at = self._at(place)
        return at is not None and self._stacked(at[0], at[1]) and place not in self._graph.joined

    def _covers(self, places: Sequence[int]) -> bool:
        """Whether places are different leaves, or one operation in all iterations of a piece."""
        ats = [self._at(k) for k in places]
        if len(set(places)) < len(places):
            return False
        if all([at is None or not self._stacked(at[0], at[1]) for at in ats]):
            return True
        first = ats[0]
        return first is not None and len(places) == first[0].count and all(
            [at is not None and at[0] is first[0] and at[1] == first[1] for at in ats])

    # -- memory --------------------------------------------------------------------------------------------------------

    def _array(self, nbytes: int) -> Place:
        """A place in the arena."""
        place = Place(ARENA, self._arena)
        self._arena += aligned(nbytes)
        return place

    def _result(self, type: ArrayType) -> Place:
        """The place of one more result."""
        place = Place(len(self._graph.order) + len(self._results))
        self._results.append((type, place))
        return place

    def _value(self, place: int) -> Place:
        """Where the value of a place is."""
        at = self._at(place)
        if at is None:
            return Place(place)
        one, offset, iteration = at
        return one.places[one.body.nodes[offset]].at(iteration)

    def _along(self, places: Sequence[Place]) -> Place:
        """One place for those of all iterations."""
        first = places[0]
        step = places[1].offset - first.offset if len(places) > 1 else 0
        if first.root == ARENA and all([p == (ARENA, first.offset + i * step, 0, False) for i, p in enumerate(places)]):
            return Place(ARENA, first.offset, step)
        return Place(TABLE, 8 * self.tables.table(places), 1)

    def _operand(self, one: Loop, number: int) -> Place:
        """Where an operand is that is not handed on."""
        operand = one.piece.operands[number]
        if operand.kind == INVARIANT:
            return self._value(operand.places[0])
        return self._along([self._value(k) for k in operand.places])

    # -- the plan ------------------------------------------------------------------------------------------------------

    def _made(self) -> Any:
        order, tables = self._graph.order, self.tables
        runs: list[tuple[int, list[BoundStep]]] = []
        for one in self._loops:
            runs += self._forward(one)
        results: dict[int, Place] = {}
        for k in self._wanted:
            if (k,) in self._came:
                results[k] = self._cells[k,] = self._result(order[k].spec.type)
        back: list[tuple[int, list[BoundStep]]] = []
        written: set[tuple] = set()
        for root, cotangent in zip(self._roots, self._cotangents, strict=True):
            back += self._seed(root, cotangent, written)
        for one in reversed(self._loops):
            if one.reverse is not None:
                back += self._backward(one, written)
        outs = []
        for k in self._outputs:
            place = self._result(order[k].spec.type)
            outs.append(place)
            back += self._copied(order[k], self._value(k), place)
        tables.scratch = self._arena
        scratch = max([step.scratch for _, steps in [*runs, *back] for step in steps], default=0)
        for place, nbytes in self._to_clear:
            tables.clear(place, nbytes)
        for count, steps in [*runs, *back]:
            tables.run(count, steps)
        return self._plan(outs, results, self._arena + scratch)

    def _plan(self, outs: list[Place], results: dict[int, Place], nbytes: int) -> Any:
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
            makers.append((buffers.empty if _bytes(type) >= buffers.LARGE else np.empty, type.shape, type.dtype.np))
            self.outputs.append(type.shape)
        absent = tuple([i for i, place in enumerate(wanted) if place is None])
        return self.tables.plan(positions, floats, integers, range(len(arrays)), makers, absent, nbytes, nbytes <= KEEP_BYTES, argument)

    def _bound(self, step: Step, places: dict[Node, Place], sizes: Sizes, count: int, backward: bool = False) -> BoundStep:
        bound = programs.bound(step, places, sizes, count, backward)
        program = step.prepared.program
        self.compiled |= step.prepared.new
        self.programs[program] = None
        self.told += program.steps if count == 1 else [f"{count} times: {s}" for s in program.steps]
        return bound

    def _copied(self, node: Node, source: Place, target: Place, add: bool = False) -> list[tuple[int, list[BoundStep]]]:
        """A copy of one array, or what adds it to another."""
        given = Node(node.spec, (), False, 0, node.value) if node.spec.op in (CONST, SCALAR) else leaf(node.spec.type)
        if add:
            total = leaf(node.spec.type)
            made = in_grad_mode(False, REGISTRY["add"], total, given)
            step = Step([total, given, made], [total, given], [made], [2])
            places = {total: target, given: source, made: target}
        else:
            made = in_grad_mode(False, REGISTRY["copy"], given)
            step, places = Step([given, made], [given], [made], [1]), {given: source, made: target}
        return [(1, [self._bound(step, places, {}, 1)])]

    # -- forward -------------------------------------------------------------------------------------------------------

    def _forward(self, one: Loop) -> list[tuple[int, list[BoundStep]]]:
        body, piece, count = one.body, one.piece, one.count
        places = one.places
        read = sorted({*one.last, *one.all, *one.kept, *one.before, *one.carried})
        runs: list[tuple[int, list[BoundStep]]] = []
        kept = one.all | one.kept | one.before
        for j in range(len(piece.operands)):
            if piece.operands[j].kind != CARRIED:
                places[body.operands[j]] = self._operand(one, j)
        steps, updated = self._once(_forward_steps, body, tuple(read), tuple(sorted(kept)))
        for o in read:
            node, j = body.nodes[o], one.carried.get(o)
            nbytes = _bytes(node.spec.type)
            if count == 1:
                places[node] = self._array(nbytes)
            elif o in kept:
                start = self._array((count + (j is not None)) * nbytes)
                if j is not None:
                    places[body.operands[j]] = Place(ARENA, start.offset, nbytes)
                    start = start._replace(offset=start.offset + nbytes)
                places[node] = Place(ARENA, start.offset, nbytes)
            elif j is not None and updated.get(node) is body.operands[j]:
                places[body.operands[j]] = places[node] = self._array(nbytes)
            elif j is not None:
                size = aligned(nbytes)
                start = self._array(2 * size)
                places[body.operands[j]] = Place(ARENA, start.offset, size, True)
                places[node] = Place(ARENA, start.offset + size, -size, True)
            else:
                places[node] = self._array(nbytes)
            if j is not None:
                initial = piece.operands[j].places[0]
                runs += self._copied(self._graph.order[initial], self._value(initial), places[body.operands[j]].at(0))
        bound = self._steps(steps, updated, places, one.sizes, count)
        return [*runs, (count, bound)]

    def _steps(self, steps: Sequence[Step], updated: dict[Node, Node], places: dict[Node, Place], sizes: Sizes, count: int,
               backward: bool = False) -> list[BoundStep]:
        """Steps with places for what they hand on to each other."""
        for node, base in updated.items():
            places[node] = places[base]
        for step in steps:
            for node in step.results:
                if node not in places:
                    places[node] = self._array(_bytes(node.spec.type))
        return [self._bound(step, places, sizes, count, backward) for step in steps]

    # -- backward ------------------------------------------------------------------------------------------------------

    def _cell(self, target: tuple) -> Place:
        """Where a gradient is summed up; of all iterations, that of the first."""
        found = self._cells.get(target)
        if found is None:
            one, offset, stacked = self._at_target(target)
            nbytes = _bytes(one.body.nodes[offset].spec.type)
            if stacked:
                found = Place(ARENA, self._array(one.count * nbytes).offset, nbytes)
            else:       # the second half is for what is handed on by turns
                found = self._array(nbytes if one.count == 1 else 2 * aligned(nbytes))
            self._cells[target] = found
        return found

    def _at_target(self, target: tuple) -> tuple[Loop, int, bool]:
        number, offset, stacked = target
        return next(one for one in self._loops if id(one) == number), offset, stacked

    def _gradient(self, place: int) -> Place:
        """Where the gradient of a place is summed up."""
        if not self._needed[place]:     # nobody reads it
            return self._array(_bytes(self._graph.order[place].spec.type))
        target = self._target(place)
        cell, at = self._cell(target), self._at(place)
        return cell if at is None or not cell.stride else cell.at(at[2])

    def _cleared(self, target: tuple, written: set[tuple]) -> None:
        """Have zeros where a gradient is summed up, unless something has been written there."""
        if target in written:
            return
        written.add(target)
        cell = self._cell(target)
        if len(target) == 1:
            nbytes = _bytes(self._graph.order[target[0]].spec.type)
        else:
            one, offset, stacked = self._at_target(target)
            nbytes = _bytes(one.body.nodes[offset].spec.type) * (one.count if stacked else 1)
        self._to_clear.append((Place(cell.root, cell.offset), nbytes))

    def _seed(self, root: int, cotangent: int | None, written: set[tuple]) -> list[tuple[int, list[BoundStep]]]:
        target, node = self._target(root), self._graph.order[root]
        add = target in written
        if self._is_part(root):
            self._cleared(target, written)
            add = True
        written.add(target)
        if cotangent is not None:
            return self._copied(self._graph.order[cotangent], Place(cotangent), self._gradient(root), add)
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
        step = Step(order, [n for n in order if not n.inputs], [made], [len(order) - 1])
        return [(1, [self._bound(step, places, {}, 1)])]

    def _backward(self, one: Loop, written: set[tuple]) -> list[tuple[int, list[BoundStep]]]:
        piece, count, reverse = one.piece, one.count, one.reverse
        assert reverse is not None
        operands = piece.operands
        places: dict[Node, Place] = {}
        for n, stands in reverse.saved.items():
            places[stands] = one.places[n].backward(count)
        for offset, g in reverse.slots.items():
            target = (id(one), offset, self._stacked(one, offset))
            self._cleared(target, written)
            places[g] = self._cell(target).backward(count)
        gradients, steps, updated = self._once(_backward_steps, reverse)
        ends: list[tuple[int, Place]] = []
        for j, g in gradients.items():
            if j in reverse.carried:
                came = reverse.carried[j]
                nbytes = _bytes(came.spec.type)
                offset = operands[j].offset
                key = (id(one), offset, False)
                self._cleared(key, written)
                start = self._cell(key)
                if g is came or updated.get(g) is came:
                    places[came] = places[g] = start
                    end = start
                else:
                    size = aligned(nbytes)
                    places[came] = Place(ARENA, start.offset, size, True)
                    places[g] = Place(ARENA, start.offset + size, -size, True)
                    end = places[came].at(count)
                initial = operands[j].places[0]
                if self._needed[initial]:
                    ends.append((initial, end))
            else:
                places[g] = self._given(one, j, j in reverse.sums, written).backward(count)
                if j in reverse.sums:
                    places[reverse.sums[j]] = places[g]
        runs = [(count, self._steps(steps, updated, places, one.sizes, count, True))]
        for initial, end in ends:       # behind what this loop has added there
            runs += self._handed(initial, end, written)
        return runs

    def _once(self, make: Callable[..., Any], *arguments: Any) -> Any:
        """make(*arguments), which is the same for the same arguments."""
        key = (make, *[a if isinstance(a, tuple) else id(a) for a in arguments])
        if key not in self._known:
            self._known[key] = make(*arguments)
        return self._known[key]

    def _handed(self, place: int, source: Place, written: set[tuple]) -> list[tuple[int, list[BoundStep]]]:
        """Add a gradient to that of a place."""
        target = self._target(place)
        add = target in written
        if self._is_part(place):
            self._cleared(target, written)
            add = True
        written.add(target)
        node = self._graph.order[place]
        return self._copied(node, source, self._gradient(place), add)

    def _given(self, one: Loop, number: int, summed: bool, written: set[tuple]) -> Place:
        """Where the gradient of an operand goes."""
        operand = one.piece.operands[number]
        for k in operand.places if operand.kind == INDEXED else operand.places[:1]:
            if not self._needed[k]:
                continue
            if summed:
                self._cleared(self._target(k), written)
            written.add(self._target(k))
        if operand.kind == INVARIANT:
            return self._gradient(operand.places[0])
        return self._along([self._gradient(k) for k in operand.places])


def _forward_steps(body: Body, read: Sequence[int], kept: Sequence[int]) -> tuple[list[Step], dict[Node, Node]]:
    """What computes the operations `read` of a body, where those `kept` have a place for each iteration (see steps.split)."""
    handed_on = {n: body.nodes[o.offset] for n, o in zip(body.operands, body.piece.operands, strict=True)
                 if o.kind == CARRIED and o.offset not in kept}
    return split([body.nodes[o] for o in read], handed_on)


def _backward_steps(reverse: Reverse) -> tuple[dict[int, Node], list[Step], dict[Node, Node]]:
    """The gradients by operand, each a result of its own, and what computes them."""
    gradients: dict[int, Node] = {}
    for j, g in reverse.gradients.items():
        if (not g.inputs and g is not reverse.carried.get(j)) or g in gradients.values():
            g = in_grad_mode(False, REGISTRY["copy"], g)
        gradients[j] = g
    handed_on = {reverse.carried[j]: g for j, g in gradients.items() if j in reverse.carried}
    handed_on |= {reverse.sums[j]: g for j, g in gradients.items() if j in reverse.sums}
    return gradients, *split(list(gradients.values()), handed_on)
