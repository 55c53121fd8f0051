"""A request whose graph repeats: loops of which each body is compiled once.

Input: the structure of a request, and a graph with its lengths.  Output: `RolledProgram`, which is run as a Program is.
Invariant: what is compiled depends on the bodies, not on the number of iterations; values are those of the graph as it was recorded.

Forward, each piece (pieces.py) is done in order; what later pieces or the derivative read of all iterations is kept one iteration
behind the other.  Backward, the pieces' derivatives are done from the last to the first, each from its last iteration to its first.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.compiler import stored
from jitgrad.compiler.loops import checkpoints
from jitgrad.compiler.loops.arrange import arranged, copied
from jitgrad.compiler.loops.layout import Layout
from jitgrad.compiler.loops.pieces import divide, ended
from jitgrad.compiler.loops.tables import Unsuitable
from jitgrad.compiler.program import Bound
from jitgrad.compiler.request import Request, device_of
from jitgrad.compiler.runtime.plan import check_limit
from jitgrad.compiler.runtime.workspace import Runs
from jitgrad.config import config
from jitgrad.graph.node import INPUT, Node
from jitgrad.memory.threads import building

if TYPE_CHECKING:
    from jitgrad.compiler.program import KernelInfo, Program

Places = tuple[list[int], list[int], "list[int | None]", list[int]]     # outputs, roots, cotangents, wrt of a build.Request
MAX_BOUND = 8           # sets of lengths that are kept


def roll(order: Sequence[Node], children: Sequence[Sequence[int]], request: Places) -> RolledProgram | None:
    """The program of a request if its graph repeats itself; compiled for the lengths at hand."""
    if device_of(order) != "cpu":
        return None
    program = RolledProgram(children, request)
    try:
        program.lay_out(order)
    except Unsuitable:
        return None
    return program


class Copying:
    """What is bound, and reads arrays in row-major order, for arrays at some positions that are not."""

    def __init__(self, bound: Bound, strided: Sequence[int]) -> None:
        self.positions = bound.positions
        self._bound = bound
        self._which = [k for k, p in enumerate(bound.positions) if p in strided]

    def run(self, values: list[Any]) -> list[np.ndarray | None]:
        """See Program.run."""
        for k in self._which:
            values[k] = np.ascontiguousarray(values[k])
        return self._bound.run(values)

    def fixing(self, numbers: Mapping[int, float | int]) -> Copying:
        """See program.Bound."""
        return Copying(self._bound.fixing(numbers), [self.positions[k] for k in self._which])


class RolledProgram:
    """children: of each place of the order the places of its operands.  request: what is wanted of it.  compiled: whether some body
    was new when it was made."""

    rolled = True

    def __init__(self, children: Sequence[Sequence[int]], request: Places) -> None:
        self._request = request
        # The operands of all places, and how many each has, in what the garbage collector does not walk
        self._operands = np.array([k for of in children for k in of], np.int64)
        self._arities = np.array([len(of) for of in children], np.int64)
        self.compiled = False
        self.outputs: tuple[tuple | None, ...] = ()
        self.steps: tuple[str, ...] = ()
        self._programs: list[Program] = []
        self._bound: dict[tuple, Bound] = {}
        self._unsuitable: set[tuple] = set()
        self._whole: Program | None = None      # for lengths with which it does not repeat

    @property
    def small(self) -> str:
        """Why each operation of some body is a kernel of its own, or empty."""
        return next((program.small for program in self._programs if program.small), "")

    @property
    def kernels(self) -> list[KernelInfo]:
        """What is told about the kernels, each once."""
        return [info for program in self._programs for info in program.kernels]

    def run(self, order: Sequence[Node]) -> list[np.ndarray | None]:
        """See Program.run."""
        bound = self.bind(order)
        return bound.run([order[p].value for p in bound.positions])

    def bind(self, order: Sequence[Node]) -> Bound:
        """See Program.bind."""
        bound = self._find(order)
        strided = [p for p in bound.positions if order[p].spec.op is INPUT and not order[p].value.flags.c_contiguous]
        return Copying(bound, strided) if strided and not isinstance(bound, Copying) else bound

    def _find(self, order: Sequence[Node]) -> Bound:
        key = tuple([n.spec for n in order])
        found = self._bound.get(key)
        if found is None:
            with building:
                if key not in self._unsuitable:
                    try:
                        return self.lay_out(order)
                    except Unsuitable:
                        self._unsuitable.add(key)
                return self._unrolled(order).bind(order)
        return found

    def lay_out(self, order: Sequence[Node]) -> Bound:
        """For lengths that are new.  Raises Unsuitable where the graph does not repeat with these."""
        outputs, roots, _, wanted = self._request
        if len(set(wanted)) < len(wanted):
            raise Unsuitable
        children = self._children()
        computed = arranged(children)
        place = {k: i for i, k in enumerate(computed)}
        graph, where = copied([order[k] for k in computed], [[place[j] for j in children[k]] for k in computed])
        where = [where[place[k]] for k in range(len(order))]
        pieces = divide(graph)
        pieces = ended(graph, pieces, [*[where[k] for k in (*outputs, *roots)],
                                       *[k for piece in pieces for operand in piece.operands for k in operand.places]])
        if 2 * sum([piece.period for piece in pieces]) > len(graph.body):
            raise Unsuitable
        layout = Layout(graph, pieces, self._request, where)
        if config.memory_limit is not None and layout.bytes > config.memory_limit:
            blocks = checkpoints.choose(layout.loops, layout.bytes)
            if blocks:
                layout = Layout(graph, pieces, self._request, where, blocks)
            check_limit(layout.bytes)
        if len(self._bound) >= MAX_BOUND:
            self._bound.pop(next(iter(self._bound)))
        found = self._bound[tuple([n.spec for n in order])] = Runs(layout.plan)
        if not self.outputs:        # (of other lengths they are alike)
            self.compiled = layout.compiled
            self._programs, self.steps, self.outputs = list(layout.programs), tuple(layout.told), tuple(layout.outputs)
        return found

    def _children(self) -> list[list[int]]:
        """Of each place of the order the places of its operands."""
        flat, ends = self._operands.tolist(), np.cumsum(self._arities).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _unrolled(self, order: Sequence[Node]) -> Program:
        if self._whole is None:
            nodes: list[Node] = []
            for n, of in zip(order, self._children(), strict=True):
                nodes.append(Node(n.spec, tuple([nodes[k] for k in of]), n.requires_grad, 0, n.value if not of else None, n.line))
                nodes[-1].extra = n.extra
            outputs, roots, cotangents, wrt = self._request
            picked: list[Any] = [[None if k is None else nodes[k] for k in places] for places in (outputs, roots, cotangents, wrt)]
            self._whole = stored.find(Request(nodes, *picked))
        return self._whole
