"""What a face learns: tapes, and their places in its table.

Input: the arguments of a call that an operator has recorded, and the recipe of what it has recorded.  Output: an entry of the
operator's table, so that the next such call is followed by record.py.
Invariant: an entry is found again only for the very same objects (types of tensors; numbers, strings and tuples), which it
keeps alive.

A tape is an array of words: the number of steps, that of results, what puts several results together (0: there is one); each
step as record.py reads it; the nodes of the results.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.dtype import dtype, get_default_dtype
from jitgrad.graph import SCALAR, Node
from jitgrad.operators.native import words as W
from jitgrad.operators.native.faces import State
from jitgrad.operators.recipe import Recorded, recorded
from jitgrad.operators.recipes import watched
from jitgrad.tensor import Tensor

_SAME = frozenset({int, float, bool, str, type(None), dtype})      # of an object of these types the identity tells all
_MASK = (1 << 64) - 1


class Tape(np.ndarray):
    """The words of a tape; it keeps what they refer to."""

    kept: list[Any]


def learner(state: State) -> Callable:
    """What a face calls where it has no tape: the operator, of which it learns."""
    function = state.func

    def learn(*args: Any, **kwargs: Any) -> Any:
        state.left -= 1
        if state.left < 0:
            state.learn_no_more()
            return function(*args, **kwargs)
        result, refused, tests = watched(function, args, kwargs)
        if not refused and not tests and isinstance(result, (Tensor, tuple)):
            note(state, args, kwargs, result)
        return result

    return learn


def note(state: State, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
    """Make an entry of a call, unless it cannot be one."""
    values = [*args, *kwargs.values()]
    names = list(kwargs)
    words: list[int] = []
    kept: list[Any] = [*names]
    nodes: list[Node] = []
    given: list[tuple[int, float]] = []         # the numbers among the arguments, and which those are
    pattern = 0
    first: list[int] = []                       # by number of operand: its place among the tensors
    for value in values:
        if isinstance(value, Tensor):
            node = value._current()
            word = id(node.spec.type) + W.NEEDS * node.requires_grad + W.PENDING * (node.depth > 0)
            for j, other in enumerate(nodes):
                if other is node:
                    pattern |= (j + 1) << (2 * len(nodes))
            if node not in nodes:
                first.append(len(nodes))
            nodes.append(node)
            kept.append(node.spec.type)
        elif state.numbers and type(value) in (int, float):
            given.append((len(words), float(value)))
            word = id(float) + W.NUMBER
        elif type(value) in _SAME or (type(value) is tuple and all([type(v) is int for v in value])):
            word = id(value)
            kept.append(value)
        else:
            return
        words.append(word)
    words += map(id, names)
    if len(words) > W.MOST_WORDS or len(nodes) > W.MOST_TENSORS:
        return
    found = recorded(list(dict.fromkeys(nodes)), result)
    if found is None or len(found.nodes) > W.MOST_STEPS:
        return
    numbered = _numbers(found, given)
    if len(numbered) != len(given):
        return
    default = get_default_dtype()
    count = W.NAMES * len(names) + len(args)
    place = _place(state, count, default, pattern, words)
    tape = _tape(found, numbered, first, kept)
    entry = state.table[place]
    entry[W.COUNT] = 0
    state.tapes[place] = tape
    entry[W.DEFAULT], entry[W.PATTERN], entry[W.TAPE] = id(default), pattern, id(tape)
    entry[W.WORDS:W.WORDS + len(words)] = words
    entry[W.COUNT] = count


def _place(state: State, count: int, default: dtype, pattern: int, words: list[int]) -> int:
    """The number of the entry for such a call: its own, an empty one, or that of another."""
    mixed = count
    for word in words:
        mixed = ((mixed ^ word) * W.HASH) & _MASK
    places = [((mixed >> 40) + k) % W.ENTRIES for k in range(W.TRIES)]
    own = [count, id(default), pattern]
    for place in places:
        entry = state.table[place].tolist()
        if [entry[W.COUNT], entry[W.DEFAULT], entry[W.PATTERN]] == own and entry[
                W.WORDS:W.WORDS + len(words)] == words:
            return place
    for place in places:
        if not state.table[place, W.COUNT]:
            return place
    return places[state.left % W.TRIES]


def _numbers(found: Recorded, given: Sequence[tuple[int, float]]) -> dict[int, int]:
    """Of the steps that are numbers among the arguments, which those are."""
    leaves = [k for k, step in enumerate(found.nodes) if step.spec.op is SCALAR]
    if len(given) != 1 or len(leaves) != 1 or repr(found.nodes[leaves[0]].value) != repr(given[0][1]):
        return {}
    return {leaves[0]: given[0][0]}


def _tape(found: Recorded, numbered: Mapping[int, int], first: list[int], kept: list[Any]) -> Tape:
    steps, owners, results, make = found
    operands = len(first)

    def number(i: int | None) -> int:
        """Where record.py has a node."""
        return -1 if i is None else first[i] if i < operands else W.MOST_TENSORS + i - operands

    def reference(value: Any) -> int:
        kept.append(value)
        return id(value)

    words = [len(steps), len(results), 0 if make is None else reference(make)]
    for i, (spec, inputs, requires_grad, more, value) in enumerate(steps, operands):
        words += [reference(spec), id(requires_grad), more or -1]
        if i - operands in numbered:
            words += [W.ARGUMENT, numbered[i - operands]]
        elif inputs:
            words += [W.NOTHING, 0]
        else:
            words += [W.LITERAL, reference(value)]
        words += [len(inputs), *map(number, inputs)]
        owner = owners.get(i)
        if owner is None:
            words.append(0)
        else:
            words += [1, reference(owner.name), id(owner.saves_result), reference(owner.number), len(owner.inputs),
                      *map(number, owner.inputs)]
            words += [-1] if owner.saves is None else [len(owner.saves), *map(number, owner.saves)]
    words += map(number, results)
    tape = np.array(words, np.int64).view(Tape)
    tape.kept = kept
    return tape
