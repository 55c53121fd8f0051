"""Programs of a backward that compute more than the gradients: what somebody makes of them, ahead of being asked.

Input: a graph that a backward goes through again and again, and what is wanted of its gradients.  Output: a program of
all of it.
Invariant: the loss and the gradients are what the program without it gives.  Whoever asked holds the rest until it can
tell that this is what it would have computed, and forgets it otherwise.

What runs such a backward is a source.Source. The last one that ran is `programs.latest`. An `Asker` is a steady optimizer
(optim/ahead.py); sources refer to it weakly, and go back to their usual program when it is gone.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitgrad.graph.node import Node
from jitgrad.requests.capture import capture
from jitgrad.requests.programs import Then, further_program, interpret_reason, known, make_key

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram

MOST = 4096         # nodes of a graph with which more is computed: long ones are compiled in parts, which this is not

def joint_program(order: list[Node], root: Node, leaves: Sequence[Node], further: Sequence[Node], then: Then,
                  structure: tuple) -> AnyProgram | None:
    """The program of the root, the gradients of all leaves and what `then` makes of these; None: there is to be none.

    further: leaves that only `then` uses, of contiguous arrays and numbers; structure: tells different `then` apart."""
    captured = capture((root,), anew=True)
    if captured.special or captured.order != order or captured.leaves != list(leaves):
        return None
    everything = [*order, *further]
    if interpret_reason() is not None or len(everything) > MOST:
        return None
    plain = make_key(captured, [(captured.index[root], False)], None)
    if plain not in known or known[plain].program.rolled:
        return None
    key = (*plain, structure)
    return further_program(key, captured, everything, root, leaves, then)
