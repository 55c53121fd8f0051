"""A segment of a captured graph, and the programs that compute it.

Input: places of a captured graph.  Output: what a segment reads and gives, and compiled programs, equal ones once.
Invariant: what a segment reads of earlier ones are arrays to it, so that equal segments have equal programs, wherever they lie.

Backward, a program computes a segment anew from what it reads, and the gradients of that, given those of what it gave
(checkpointing: Griewank and Walther, Evaluating Derivatives, 2nd edition, section 12.2, of one level).
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitgrad.config import config, logger
from jitgrad.graph.node import INPUT, Node
from jitgrad.graph.recording import input_spec
from jitgrad.memory.threads import building
from jitgrad.requests.capture import array_of
from jitgrad.requests.counters import stats

if TYPE_CHECKING:
    from jitgrad.compiler.program import Program

MAX_PROGRAMS = 4096         # kept for other graphs that have the same segments

_programs: dict[tuple, Program] = {}


def forget() -> None:
    """Forget all programs of segments."""
    _programs.clear()


@dataclass(eq=False)
class Segment:
    """A part of a graph, by places of its order.

    ins: what it reads of leaves and of earlier segments; body: what it computes or differentiates; outs: what of that is read
    later or wanted, and not known.  receives: those of ins and body whose gradients may have come when it is gone through
    backward; gives: those whose gradients it gives."""

    ins: list[int]
    body: list[int]
    outs: list[int]
    receives: list[int] = field(default_factory=list)
    gives: list[int] = field(default_factory=list)

    @property
    def places(self) -> list[int]:
        """Of its programs' order: what is read, what is computed."""
        return self.ins + self.body

    def nodes(self, order: Sequence[Node]) -> list[Node]:
        """The nodes as its programs see them: what is read are leaves."""
        return [_as_read(order[k]) for k in self.ins] + [order[k] for k in self.body]


def _as_read(node: Node) -> Node:
    """A node as those see it who read its value: a leaf as it is, another as an array."""
    return Node(input_spec(node.spec.type), (), node.requires_grad, 0, array_of(node)) if node.inputs else node


def incoming(node: Node) -> Node:
    """A leaf for the gradient of a node, which is an array."""
    return Node(input_spec(node.spec.type), (), False, 0, array_of(node))


def find_program(order: Sequence[Node], children: Sequence[Sequence[int]], known: Collection[int], segment: Segment,
                 outputs: Sequence[int], roots: Sequence[tuple[int, bool]], wrt: Sequence[int], small: str) -> Program:
    """The program of the values `outputs`, then of the gradients `wrt`, all by place; compiled if need be.

    order, children, known: see Capture.  roots: whose gradients are known, and whether they are arrays (which come after the
    segment's places in the program's order) or an implicit 1."""
    local = {k: i for i, k in enumerate(segment.places)}
    first = len(segment.ins)
    parts: list[int] = [first, len(local)]
    for k in segment.ins:
        n = order[k]
        contiguous = n.spec.op is not INPUT or not n.spec.type.shape or n.value.flags.c_contiguous
        sig = input_spec(n.spec.type).sig if n.inputs else n.spec.sig
        parts += (2 * sig + n.requires_grad, contiguous)
    for k in segment.body:
        parts.append(2 * order[k].spec.sig + order[k].requires_grad)
        if k in known:
            parts.append(-1)
        if len(children[k]) != len(order[k].spec.op.arg_names):
            parts.append(-10 - len(children[k]))        # of an operation that takes any number
        parts += [local[j] for j in children[k]]
    key = (tuple(parts), tuple([local[k] for k in outputs]), tuple([(local[k], given) for k, given in roots]),
           tuple([local[k] for k in wrt]), config.target, bool(small))
    program = _programs.get(key)
    if program is None:
        copies: list[Node] = []
        arrays = set()
        for i, n in enumerate(segment.nodes(order)):
            if i < first:
                copies.append(Node(n.spec, (), n.requires_grad, 0, n.value, n.line))
                continue
            k = segment.body[i - first]
            copies.append(Node(n.spec, tuple([copies[local[j]] for j in children[k]]), n.requires_grad, 0, None, n.line))
            copies[i].extra = n.extra           # an error names what was written in place
            if k in known:
                arrays.add(copies[i])
        cotangents = [incoming(order[k]) if given else None for k, given in roots]
        program = compiled([*copies, *[n for n in cotangents if n is not None]], [copies[local[k]] for k in outputs],
                           [copies[local[k]] for k, _ in roots], cotangents, [copies[local[k]] for k in wrt], small, arrays)
        if len(_programs) >= MAX_PROGRAMS:
            _programs.pop(next(iter(_programs)))
        _programs[key] = program
    return program


def compiled(order: list[Node], *request: Any) -> Program:
    """The program of a request (compiler.build.Request), which is counted and logged."""
    with building:
        from jitgrad.compiler.numba_cpu import headroom
        headroom.require_library()
        from jitgrad.compiler import build
        from jitgrad.compiler.numba_cpu import kernels
        before = kernels.stats.kernels_compiled
        program = build.build(build.Request(order, *request))
        if kernels.stats.kernels_compiled > before:
            stats.compilations += 1
        else:
            stats.disk_hits += 1
        logger.info("program of %d operations: %d kernels", len(order), len(program.kernels))
        return program
