"""Errors that are found on the device, such as an index out of bounds: noted there, and raised when a value is asked for.

Invariant: nothing waits for the device; the one word that tells is read only after work that may have set it.
"""
from __future__ import annotations

import threading

import numpy as np

from jitgrad.memory.cuda import driver, streams
from jitgrad.memory.cuda.pool import Allocation, pool

_WORD = np.int32
_lock = threading.Lock()
_texts: list[str] = []              # by number, from 1 on
_numbers: dict[str, int] = {}
_words: dict[int, Allocation] = {}       # of a driver, by identity
_pending: set[streams.Queue] = set()        # whose work may set it, since it was read last behind that work


def number(text: str) -> int:
    """The number that stands for an error's text."""
    with _lock:
        if text not in _numbers:
            _texts.append(text)
            _numbers[text] = len(_texts)
        return _numbers[text]


def address() -> int:
    """Where the number of an error is to be written; 0 is none.  What is launched with it may do so."""
    here = driver.current()
    piece = _words.get(id(here))
    if piece is None:
        with _lock:
            piece = _words.get(id(here))
            if piece is None:
                piece = pool.take(_WORD().itemsize)
                here.copy_in(piece.address, np.zeros(1, _WORD), streams.current().handle)
                here.synchronize(streams.current().handle)          # once: other streams read it too
                _words[id(here)] = piece
    piece.used_by(streams.current())
    return piece.address


def may_be_set() -> None:
    """Work that was just given to the current queue may note an error."""
    _pending.add(streams.current())


def check() -> None:
    """Raise IndexError if an error was noted.  Called when the current queue's work is done; that of others may go on."""
    if _pending:
        queue = streams.current()
        _pending.discard(queue)
        found = np.zeros(1, _WORD)
        here, where = driver.current(), address()
        here.copy_out(found, where, queue.handle)
        if found[0]:
            here.copy_in(where, np.zeros(1, _WORD), queue.handle)
            raise IndexError(_texts[int(found[0]) - 1])
