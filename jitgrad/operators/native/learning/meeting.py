"""Which index a call reads or writes by: one that is met for the first time is not learnt, since that takes longer than many calls."""
from __future__ import annotations

from typing import Any

from jitgrad.operators.native import layout as W
from jitgrad.tensors.tensor import Tensor

MOST_MET = 2 * W.MOST_ENTRIES       # of one operator: a loop over more indices than the table has places for need not be learnt
_BOUNDS = (int, type(None))


def index_met(args: tuple) -> int:
    """A number for an index of integers and slices by which a tensor is read, or written to with such a value; 0 of other calls."""
    if len(args) < 2 or not isinstance(args[0], Tensor):
        return 0
    key = args[1]
    if type(key) is not int:
        found: list[Any] = []
        for part in key if type(key) is tuple else (key,):
            if type(part) is slice:
                found += (slice, part.start, part.stop, part.step)
                if type(part.start) not in _BOUNDS or type(part.stop) not in _BOUNDS or type(part.step) not in _BOUNDS:
                    return 0
            elif type(part) is int or part is None or part is Ellipsis:
                found.append(part)
            else:
                return 0
        key = tuple(found)
    return hash((key, id(args[0]._node.spec.type), type(args[-1])))


def view_written(args: tuple) -> int:
    """A number for the steps of a view that is written to, with such operands; 0 of other calls."""
    if not args or not isinstance(args[0], Tensor):
        return 0
    chain = args[0]._chain
    return hash((id(chain), *map(type, args))) if chain else 0
