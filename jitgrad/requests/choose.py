"""How a captured graph is compiled: as a whole, in segments, or with small kernels.

Input: a captured graph.  Output: where it is cut, and why each operation is to be a kernel of its own.
Invariant: the time to compile grows with what the kernels that differ have to do, and that is bounded: what repeats is compiled
once, and of more than JITGRAD_MAX_NODES operations that do not repeat each is a small kernel of one of a few forms.
"""
from __future__ import annotations

from jitgrad.compiler.cuts import cut
from jitgrad.config import config
from jitgrad.requests.capture import Capture

FINE = 64       # operations of the pieces that are compared to find out how much repeats
LONG = 8192     # nodes of the shortest graph that is cut: its passes take some seconds
LENGTH = 1024   # operations of a segment, at least: compiled in some 0.5 s, run in some 50 microseconds
SHORT = 128     # operations of a segment, at least, while a graph has come a few times only
TRIED = 384     # nodes of the shortest graph that is cut then


def first_partition(captured: Capture) -> list[int]:
    """The places behind which a graph is cut while it has come a few times only, if it repeats itself: the programs of segments are
    soon compiled, and serve other numbers of repetitions, too."""
    if len(captured.order) <= TRIED:
        return []
    cuts = cut(captured.order, captured.children, SHORT)
    return [cuts.body[end - 1] + 1 for _, end in cuts.bounds] if cuts.repeats else []


def partition(captured: Capture) -> tuple[list[int], str]:
    """The places behind which a long graph is cut, and why each operation is to be a kernel of its own, or ""."""
    order, children = captured.order, captured.children
    small = ""
    if len(order) > config.max_nodes:
        distinct = cut(order, children, FINE).distinct
        if distinct > config.max_nodes:
            small = f"{distinct} operations that do not repeat, more than JITGRAD_MAX_NODES={config.max_nodes}"
    if len(order) <= LONG:
        return [], small
    cuts = cut(order, children, LENGTH)
    if small and not cuts.repeats:
        return [], small
    return [cuts.body[end - 1] + 1 for _, end in cuts.bounds], small
