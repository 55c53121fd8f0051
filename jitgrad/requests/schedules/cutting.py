"""Where a graph is cut: hooks, retain_grad and Functions are stops, behind each of which a new segment begins.

Input: a captured graph, and which gradients are wanted of it.  Output: the stops that gradients pass, the segments between them, and
the way back through both.  Invariant: a stop is the last place of its segment.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.graph.node import Node
from jitgrad.requests.capture import Capture
from jitgrad.requests.schedules.segment import Segment
from jitgrad.requests.schedules.stops import Stop


def leading(order: Sequence[Node], children: Sequence[Sequence[int]], wanted: set[int]) -> tuple[list[bool], list[bool]]:
    """Of each place, whether gradients go on from it to a wanted one, and whether they do or it is one."""
    leads, needed = [False] * len(order), [False] * len(order)
    for k, of in enumerate(children):
        leads[k] = order[k].requires_grad and any([needed[j] for j in of if j >= 0])
        needed[k] = leads[k] or k in wanted
    return leads, needed


def stops_needed(captured: Capture, needed: Sequence[bool]) -> list[Stop]:
    """Where Python is called for gradients that are needed."""
    order = captured.order
    outputs: dict[Any, list[int]] = {}          # of an application of a Function
    for k in captured.stops:
        if not order[k].inputs:
            outputs.setdefault(order[k].extra.fn.ctx, []).append(k)         # type: ignore[union-attr]
    found = []
    for k in captured.stops:
        if not needed[k]:
            continue
        of = [] if order[k].inputs else outputs[order[k].extra.fn.ctx]      # type: ignore[union-attr]
        last = bool(of) and k == min(of)        # on the way back
        found.append(Stop(k, bool(of), tuple(of), tuple(captured.children[k])) if last else Stop(k, bool(of)))
    return found


def cut(captured: Capture, stops: Sequence[Stop], outputs: Sequence[int]) -> tuple[list[Segment], list[int | Stop]]:
    """The segments, and the way back through them and the stops."""
    order, children = captured.order, captured.children
    at = {stop.place: stop for stop in stops}
    ends = sorted({*[k + 1 for k in at], len(order)})
    segments: list[Segment] = []
    steps: list[int | Stop] = []
    where = [-1] * len(order)
    start = 0
    for end in ends:
        body = [k for k in range(start, end) if children[k] and order[k].inputs]
        if body:
            for k in body:
                where[k] = len(segments)
            steps.append(len(segments))
            ins = dict.fromkeys([j for k in body for j in children[k] if where[j] != len(segments)])
            segments.append(Segment(list(ins), body, []))
        if end - 1 in at:
            steps.append(at[end - 1])
        start = end
    read = {*outputs, *[j for s in segments for j in s.ins]}
    for s in segments:
        s.outs = [k for k in s.body if k in read and k not in captured.known]
    return segments, steps[::-1]
