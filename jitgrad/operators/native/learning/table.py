"""The table of an operator: where machine code finds the template of a call by its words.

Invariant: machine code in another thread sees an entry, or a larger table, as a whole; what either refers to is kept by the state.
"""
from __future__ import annotations

import os
from array import array
from typing import Any

import numpy as np

from jitgrad.operators.native import layout as W
from jitgrad.operators.native.entry_points import EntryPoint
from jitgrad.operators.native.learning.call_key import CallWords

_MASK = (1 << 64) - 1
RARELY = 64             # of so many calls without a template one is learnt, by an operator that has met very many: it takes 20 us
_writing = [False]      # whether some thread replaces an entry
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _writing.__setitem__(0, False))


class Encoded(np.ndarray):
    """The words of a template; it keeps what they refer to.  mixed: of the words of its entry, from which its place follows."""

    kept: list[Any]
    mixed: int


def enter(state: EntryPoint, call: CallWords, encoded: Encoded) -> None:
    """Make an entry of the table."""
    call.entered = True
    entry = array("q", [0] * W.ENTRY)
    entry[W.COUNT], entry[W.DEFAULT], entry[W.PATTERN], entry[W.TEMPLATE] = call.count, id(call.default), call.pattern, id(encoded)
    entry[W.WORDS:W.WORDS + len(call.words)] = array("q", call.words)
    encoded.mixed = call.count
    for word in call.words:
        encoded.mixed = ((encoded.mixed ^ word) * W.HASH) & _MASK
    # Whoever finds another in here does not wait: it may be a finalizer of this very thread.  (A store rather than a lock: see
    # recording.in_grad_mode.  No other thread runs between test and store.)
    if not _writing[0]:
        _writing[0] = True
        try:
            place = _place(state, entry, encoded)
            while place is None:
                _grow(state)
                place = _place(state, entry, encoded)
            state.templates[place] = (state.templates.get(place), encoded)         # whatever comes in between, both are there
            state.table[place * W.ENTRY:(place + 1) * W.ENTRY] = entry  # at once, as machine code in another thread sees it
            state.templates[place] = encoded
        finally:
            _writing[0] = False


def _places(encoded: Encoded, entries: int) -> list[int]:
    """Where an entry may be."""
    return [((encoded.mixed >> 40) + k) % entries for k in range(W.TRIES)]


def _place(state: EntryPoint, entry: array, encoded: Encoded) -> int | None:
    """The number of the entry for such a call: its own, an empty one, or that of another; None where the table is to grow."""
    places = _places(encoded, state.entries)
    table = state.table
    for place in places:
        found = table[place * W.ENTRY:(place + 1) * W.ENTRY]
        found[W.TEMPLATE] = entry[W.TEMPLATE]
        if found == entry:
            return place
    for place in places:
        if not table[place * W.ENTRY + W.COUNT]:
            return place
    return None if state.entries < state.most else places[sum(divmod(state.left, RARELY)) % W.TRIES]


def _grow(state: EntryPoint) -> None:
    """A table of four times as many entries.  (What has no place there is learnt again.)"""
    entries = 4 * state.entries
    table, templates = array("q", [0]) * (entries * W.ENTRY), {}
    for number, encoded in state.templates.items():
        for place in _places(encoded, entries):
            if not table[place * W.ENTRY + W.COUNT]:
                table[place * W.ENTRY:(place + 1) * W.ENTRY] = state.table[number * W.ENTRY:(number + 1) * W.ENTRY]
                templates[place] = encoded
                break
    state.replace(table, templates, entries)
