"""What repeats itself in a sequence, and where a part of it occurs.

Input: a sequence of numbers, or a text.  Output: stretches of it, by places.
Invariant: each period that may be one is looked at once over the whole sequence.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jitgrad.compiler.fusion.splitting import WINDOW

MAX_PERIOD = 4096       # operations of the longest body that is looked for
BODY = 256              # of a body in which loops are not loops themselves
LEAST = 3               # iterations of a loop
OFTEN = 4               # times that what tells a period may come in it


def repeating(kinds: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first, period, length) of stretches that repeat, in order: the longest of those that begin first."""
    live = sorted(_stretches(kinds))
    at = 0
    while live := [(first, period, end) for first, period, end in live if end - max(first, at) >= (LEAST + 1) * period]:
        at = max(live[0][0], at)
        here = [(end - at, -period) for first, period, end in live if first <= at]
        run, period = max([found for found in here if -found[1] <= BODY], default=(0, 0))
        if run < BODY:
            run, period = max(here)
            within = [first for first, shorter, end in live if at < first < at - period and shorter <= BODY <= end - first]
            if period < -BODY and within:       # what lies between loops is done once
                at = min(within)
                continue
        yield at, -period, run
        at -= period * (run // -period)


def _stretches(kinds: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first, period, end) of all stretches of LEAST + 1 periods, in each of which something comes at most OFTEN times."""
    n = len(kinds)
    if n <= WINDOW:
        return
    windows: dict[bytes, int] = {}
    width = kinds.itemsize * WINDOW
    data = kinds.tobytes()
    following = np.full(n + 1, n)           # where what begins at a place comes again behind it
    for k in range(n - WINDOW + 1):
        window = data[kinds.itemsize * k:kinds.itemsize * k + width]
        following[windows.get(window, n)] = k
        windows[window] = k
    following[n] = n
    places, distances = np.arange(n), []
    to = following[:n]
    for _ in range(OFTEN):
        distances.append((to - places)[to < n])
        to = following[to]
    periods, counts = np.unique(np.concatenate(distances), return_counts=True)
    for period in periods[(counts > 1) & (periods <= MAX_PERIOD)].tolist():
        same = np.zeros(n - period + 2, np.bool_)
        same[1:-1] = kinds[period:] == kinds[:-period]
        for first, end in np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2).tolist():
            if end - first >= max(LEAST * period, WINDOW):
                yield first, period, end + period


def occurring(text: str, body: str, first: int, end: int) -> Iterator[tuple[int, int]]:
    """A part of a text, cut where something occurs in it."""
    while (at := text.find(body, first, end)) >= 0:
        if at > first:
            yield first, at
        first = at + len(body)
        yield at, first
    if first < end:
        yield first, end
