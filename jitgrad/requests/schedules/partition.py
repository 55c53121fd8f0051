"""How a captured graph is compiled: as a whole, in segments, or with small kernels.

Input: a captured graph.  Output: where it is cut, and why each operation is to be a kernel of its own.
Invariant: the time to compile grows with what the kernels that differ have to do, and that is bounded: what repeats is compiled
once, and of more than JITGRAD_MAX_NODES operations that do not repeat each is a small kernel of one of a few forms.
"""
from __future__ import annotations

from jitgrad.config import config
from jitgrad.requests.capture import Capture

FINE = 64       # operations of the pieces that are compared to find out how much repeats
LONG = 8192     # nodes of the shortest graph that is cut: its passes take some seconds
LENGTH = 1024   # operations of a segment, at least: compiled in some 0.5 s, run in some 50 microseconds
# While a graph has come a few times only: operations of a segment, at least, of short graphs and of others; the shortest graph that
# is cut; and that while structures keep coming that are new.
FINEST, SHORT, SHORTER = 16, 128, 384
PERIOD = 2      # operations that make a segment of a short graph where they repeat: the fewer, the fewer programs serve all lengths
TRIED, VARYING = 64, 24
MAX_FORMS = 4096

_forms: set[tuple] = set()      # of segments that graphs were cut in


def first_partition(captured: Capture, varying: bool) -> list[int]:
    """The places behind which a graph is cut while it has come a few times only, if it repeats itself, or consists of what has come
    in other graphs: the programs of segments are soon compiled, and serve other numbers of repetitions, too.

    varying: whether structures keep coming that are new."""
    size = len(captured.order)
    if size <= (VARYING if varying else TRIED):
        return []
    from jitgrad.requests.schedules.cuts import cut
    cuts = cut(captured.order, captured.children, *((FINEST, PERIOD) if size <= SHORTER else (SHORT,)))
    new = [form for form in cuts.forms if form not in _forms]
    if len(cuts.bounds) == 1 or 5 * sum([cuts.forms[form] for form in new]) > 3 * len(cuts.body):
        return []
    if len(_forms) + len(new) > MAX_FORMS:
        _forms.clear()
    _forms.update(new)
    return [cuts.body[end - 1] + 1 for _, end in cuts.bounds]


def partition(captured: Capture) -> tuple[list[int], str]:
    """The places behind which a long graph is cut, and why each operation is to be a kernel of its own, or ""."""
    order, children = captured.order, captured.children
    small = ""
    if len(order) <= min(config.max_nodes, LONG):
        return [], small
    from jitgrad.requests.schedules.cuts import cut
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
