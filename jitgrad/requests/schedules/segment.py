"""A segment of a captured graph, and the programs that compute it.

Input: places of a captured graph.  Output: what a segment reads and gives, and compiled programs, equal ones once.
Invariant: what a segment reads of earlier ones are arrays to it, so that equal segments have equal programs, wherever they lie.

Backward, a program computes a segment anew from what it reads, and the gradients of that, given those of what it gave
(checkpointing: Griewank and Walther, Evaluating Derivatives, 2nd edition, section 12.2, of one level; of the loops of a segment it
keeps what the derivatives of their bodies read).
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitgrad.config import config, logger
from jitgrad.graph.node import INPUT, Node
from jitgrad.graph.recording import input_spec
from jitgrad.memory.threads import building
from jitgrad.requests.capture import array_of
from jitgrad.requests.counters import is_varying, stats

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram

MAX_PROGRAMS = 4096         # kept for other graphs that have the same segments
# Nodes of a graph that is looked through for loops; the fewest while structures keep coming that are new.
LEAST, FEWEST = 64, 24
bodies_known = [False]      # whether the last graph that consists of loops was compiled without compiling anything

_programs: dict[tuple, AnyProgram] = {}


def renew() -> None:
    """Forget all programs of segments, but not those of bodies of loops."""
    _programs.clear()


def forget() -> None:
    """Forget all programs of segments."""
    renew()
    loops = sys.modules.get("jitgrad.compiler.loops.step_programs")
    if loops is not None:
        loops.forget()


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
                 outputs: Sequence[int], roots: Sequence[tuple[int, bool]], wrt: Sequence[int]) -> AnyProgram:
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
    wiring: list[Sequence[int]] = [()] * first
    for k in segment.body:
        parts.append(2 * order[k].spec.sig + order[k].requires_grad)
        if k in known:
            parts.append(-1)
        if len(children[k]) != len(order[k].spec.op.arg_names):
            parts.append(-10 - len(children[k]))        # of an operation that takes any number
        wiring.append([local[j] for j in children[k]])
        parts += wiring[-1]
    at = [local[k] for k in outputs], [(local[k], given) for k, given in roots], [local[k] for k in wrt]
    key = (tuple(parts), *map(tuple, at), config.target)
    program = _programs.get(key)
    if program is None:
        seeds = [incoming(order[k]) for k, given in roots if given]
        nodes = [*segment.nodes(order), *seeds]
        places = iter(range(len(local), len(nodes)))
        cotangents = [next(places) if given else None for _, given in roots]
        program = _compiled(nodes, [*wiring, *[()] * len(seeds)], at[0], [k for k, _ in at[1]], cotangents, at[2],
                            {local[k] for k in segment.body if k in known})
        if len(_programs) >= MAX_PROGRAMS:
            _programs.pop(next(iter(_programs)))
        _programs[key] = program
    return program


def _compiled(nodes: list[Node], children: Sequence[Sequence[int]], outputs: list[int], roots: list[int],
              cotangents: list[int | None], wrt: list[int], known: Collection[int]) -> AnyProgram:
    """The program of a request as compiler.build.Request, by places of the nodes: loops as loops where it repeats itself (there what
    is known is computed again)."""
    if len(nodes) >= (FEWEST if is_varying() else LEAST):
        with _compiling() as count:
            from jitgrad.compiler.loops import rolled
            program = rolled.roll(nodes, children, (outputs, roots, cotangents, wrt))
            bodies_known[0] = program is not None and not program.compiled
            if program is not None:
                if program.compiled:
                    count()
                return program
    copies: list[Node] = []
    for n, of in zip(nodes, children, strict=True):
        copies.append(Node(n.spec, tuple([copies[j] for j in of]), n.requires_grad, 0, None if of else n.value, n.line))
        copies[-1].extra = n.extra          # an error names what was written in place
    with _compiling() as count:
        from jitgrad.compiler import build
        request = build.Request(copies, [copies[k] for k in outputs], [copies[k] for k in roots],
                                [None if k is None else copies[k] for k in cotangents], [copies[k] for k in wrt],
                                build.why_small(len(nodes)), {copies[k] for k in known})
        program = build.build(request)
        count()
        logger.info("program of %d operations: %d kernels", len(nodes), len(program.kernels))
        return program


@contextmanager
def _compiling() -> Iterator[Callable[[], None]]:
    """Around what compiles a program; what is given counts it."""
    with building:
        from jitgrad.compiler.numba_cpu import headroom
        headroom.require_library()
        from jitgrad.compiler.numba_cpu import kernels
        before = kernels.stats.kernels_compiled

        def count() -> None:
            if kernels.stats.kernels_compiled > before:
                stats.compilations += 1
            else:
                stats.disk_hits += 1
        yield count
