"""What a face learns: templates, and their places in its table.

Input: the arguments of a call that an operator has recorded, and the template of what it has recorded.  Output: an entry of the
operator's table, so that the next such call is followed by record.py.
Invariant: an entry is found again only for the very same objects (types of tensors; numbers, strings and tuples), which it
keeps alive.

A template is encoded as an array of words: how many tests there are, and of each the number of the operand and what to call; the
number of steps, that of results, what puts several results together (0: there is one), the steps of a view from its storage (0: it
is none); each step as record.py reads it; how many nodes have owners or share storage, and each with its owner; the nodes of the
results.  Where nothing is to be recorded, after the tests: the evaluator (0: the operator is called), the number of operands, each,
and which argument is a number (-1: none).  Without gradient mode an operation of the same types that has been evaluated often is
postponed: RECORDED in place of the evaluator, then as where it is recorded, but for the depths (see graph.Node); AT_ONCE where the
result is so much smaller than the operands that these are not to be held for it: it is computed together with what is postponed below.
"""
from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.graph.node import SCALAR, Composite, Node
from jitgrad.graph.recording import grad_mode, input_node, input_spec
from jitgrad.graph.template import Template
from jitgrad.operators.native import words as W
from jitgrad.operators.native.faces import FaceState
from jitgrad.operators.templates.evaluation import evaluator
from jitgrad.operators.templates.template import Test, passes, template, watched
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.dtype import dtype, get_default_dtype

_SAME = frozenset({int, float, bool, str, type(None), dtype})      # of an object of these types the identity tells all
_MASK = (1 << 64) - 1
OFTEN = 16              # evaluations without gradient mode, before such an operation is postponed
SMALL, TIMES = 4096, 4          # bytes of operands that it may hold, and so many times those of its result
RARELY = 64             # of so many calls without a template one is learnt, by an operator that has met very many: it takes 20 us
_writing = [False]      # whether some thread replaces an entry
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _writing.__setitem__(0, False))


class Encoded(np.ndarray):
    """The words of a template; it keeps what they refer to."""

    kept: list[Any]


def learner(state: FaceState) -> Callable:
    """What a face calls where it has no template: the operator, of which it learns."""
    function = state.func

    def learn(*args: Any, **kwargs: Any) -> Any:
        state.left -= 1
        if (state.left < 0 and state.left % RARELY) or "out" in kwargs:
            return function(*args, **kwargs)
        call = _CallWords(args, kwargs, state.kind)
        if not (grad_mode.enabled and any([n.requires_grad for n in call.nodes])):
            return _evaluated(state, call, args, kwargs)
        result, refused, tests = watched(function, args, kwargs)
        if not refused and isinstance(result, (Tensor, tuple)):
            note(state, call, args, result, tests)
        return result

    return learn


def _evaluated(state: FaceState, call: _CallWords, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of an operator of what is known, of whose evaluation an entry is made.  It is learnt from operands of the same
    types and values for which the operator has to record."""
    distinct = list(dict.fromkeys(call.nodes))
    stand_ins = {n: Node(input_spec(n.type), (), False, 1, execute.value(n)) for n in distinct}
    in_order = map(stand_ins.__getitem__, call.nodes)
    args = tuple([_on(v, in_order) for v in args])
    result, refused, tests = watched(state.func, args, {k: _on(v, in_order) for k, v in kwargs.items()})
    nodes = [*stand_ins.values()]
    found = None if refused or any([n not in nodes for n, _ in tests]) else template(nodes, result)
    numbered = {} if found is None else _numbers(found, call.numbers)
    if call.valid and isinstance(result, (Tensor, tuple)):
        call.count += W.VALUES if grad_mode.enabled else W.POSTPONED
        if found is None or len(numbered) != len(call.numbers):
            words = [0, 0]
        else:
            evaluate = evaluator(nodes, found, [len(nodes) + k for k in numbered])
            first, checks = [call.nodes.index(n) for n in distinct], _tests([(nodes.index(n), test) for n, test in tests], call.kept)
            if not grad_mode.enabled and len(found.nodes) <= W.MOST_STEPS:
                evaluate = _Evaluator(evaluate, functools.partial(_postpone, state, call, checks, found, numbered, first))
            call.kept.append(evaluate)
            words = [*checks, id(evaluate), len(distinct), *first, *(numbered.values() or [-1])]
        _enter(state, call, _encoded(words, call.kept))
    return _values(result)


class _Evaluator:
    """An evaluator of which something becomes after a number of calls."""

    __slots__ = ("run", "then", "left")

    def __init__(self, run: Callable, then: Callable[[], None]) -> None:
        self.run = run
        self.then = then
        self.left = OFTEN

    def __call__(self, *values: Any) -> Any:
        self.left -= 1
        if not self.left:
            self.then()
        return self.run(*values)


def _postpone(state: FaceState, call: _CallWords, checks: list[int], found: Template, numbered: Mapping[int, int],
              first: list[int]) -> None:
    """Have such calls recorded from now on, to be computed together with what else is asked for."""
    bytes_held = sum([t.size * t.dtype.itemsize for t in {n.type for n in call.nodes}])
    results = [found.nodes[i - len(first)].spec.type for i in found.results]
    at_once = bytes_held > SMALL + TIMES * sum([t.size * t.dtype.itemsize for t in results])    # a list of losses keeps no batches
    if at_once and found.make is not None:
        return
    held = bytes_held // W.HELD
    nodes = [step._replace(depth=-step.depth - (held << W.HOLDS)) for step in found.nodes]
    postponed = Template(nodes, found.owners, found.results, found.make)
    words = [*checks, W.AT_ONCE if at_once else W.RECORDED, *_steps(postponed, None, numbered, first, call.kept)]
    _enter(state, call, _encoded(words, call.kept))


def _on(value: Any, nodes: Iterator[Node]) -> Any:
    """An argument with its tensors on the next nodes."""
    if isinstance(value, Tensor):
        return wrap(next(nodes))
    if type(value) is tuple or type(value) is list:
        return type(value)([wrap(next(nodes)) if isinstance(v, Tensor) else v for v in value])
    return value


def _values(result: Any) -> Any:
    """What was recorded of operands that are known, computed."""
    if isinstance(result, Tensor):
        node = result._current()
        return wrap(input_node(execute.value(node), node.type))
    if isinstance(result, tuple):
        values = [_values(v) for v in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    return result


class _CallWords:
    """The words of a call, as record.py makes them, and what they keep alive."""

    def __init__(self, args: tuple, kwargs: dict[str, Any], kind: int) -> None:
        self.kind = kind
        self.words: list[int] = []
        self.kept: list[Any] = [*kwargs]
        self.nodes: list[Node] = []                     # of the tensors among the arguments, in order
        self.numbers: list[tuple[int, float]] = []      # the numbers that are run-time arguments, and which arguments they are
        self.pattern = 0
        self.count = W.NAMES * len(kwargs) + len(args)
        self.default = get_default_dtype()
        self.valid = all([*[self._argument(i, value) for i, value in enumerate(args)],
                          *[self._argument(None, value) for value in kwargs.values()]])
        self.words += map(id, kwargs)
        self.valid = self.valid and len(self.words) <= W.MOST_WORDS and len(self.nodes) <= W.MOST_TENSORS

    def _argument(self, i: int | None, value: Any) -> bool:
        """i: its position; None of what is given by name."""
        kind = type(value)
        if kind is list or kind is tuple:
            self.words += [id(kind) + W.PARTS, len(value)]
            return all([self._part(part) for part in value])
        if i is not None and self.kind == W.NUMBERS and (kind is int or kind is float):
            self.numbers.append((i, float(value)))
            self.words.append(id(float) + W.NUMBER)
            return True
        return self._part(value)

    def _part(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            node = value._current()
            for j, other in enumerate(self.nodes):
                if other is node:
                    self.pattern |= (j + 1) << (4 * len(self.nodes))
            self.nodes.append(node)
            self.kept.append(node.spec.type)
            self.words.append(id(node.spec.type) + W.NEEDS * node.requires_grad + W.PENDING * (node.depth > 0))
            return True
        if type(value) is slice:
            bounds = (value.start, value.stop, value.step)
            self.words += [id(slice) + W.PARTS, *map(id, bounds)]
            self.kept += bounds
            return all([type(bound) in _SAME for bound in bounds])
        self.words.append(id(value))
        self.kept.append(value)
        return type(value) in _SAME


def note(state: FaceState, call: _CallWords, args: tuple, result: Any, tests: Sequence[Test]) -> None:
    """Make an entry of a call, unless it cannot be one.  tests: what operands have to pass."""
    if not call.valid or not call.nodes:
        return
    distinct = list(dict.fromkeys(call.nodes))
    chain: tuple | None = None
    if state.kind >= W.VIEWS:
        if not args:
            return
        found = _view(args[0], call.nodes, result)
        if found is not None:
            if args[0]._chain and state.kind == W.VIEWS:
                return
            chain = result._chain[len(args[0]._chain):]
    else:
        found = template(distinct, result)
    if found is None or len(found.nodes) > W.MOST_STEPS:
        return
    numbered = _numbers(found, call.numbers)
    if len(numbered) != len(call.numbers) or any([node not in call.nodes for node, _ in tests]):
        return
    words = _tests([(call.nodes.index(node), test) for node, test in tests], call.kept)
    words += _steps(found, chain, numbered, [call.nodes.index(n) for n in distinct], call.kept)
    _enter(state, call, _encoded(words, call.kept))


def _enter(state: FaceState, call: _CallWords, encoded: Encoded) -> None:
    """Make an entry of the table."""
    entry = array("q", [0] * W.ENTRY)
    entry[W.COUNT], entry[W.DEFAULT], entry[W.PATTERN], entry[W.TEMPLATE] = call.count, id(call.default), call.pattern, id(encoded)
    entry[W.WORDS:W.WORDS + len(call.words)] = array("q", call.words)
    # Whoever finds another in here does not wait: it may be a finalizer of this very thread.  (A store rather than a lock: see
    # graph.in_grad_mode.  No other thread runs between test and store.)
    if not _writing[0]:
        _writing[0] = True
        try:
            place = _place(state, call)
            state.templates[place] = (state.templates.get(place), encoded)         # whatever comes in between, both are there
            state.table[place * W.ENTRY:(place + 1) * W.ENTRY] = entry  # at once, as machine code in another thread sees it
            state.templates[place] = encoded
        finally:
            _writing[0] = False


def _view(input: Any, nodes: list[Node], result: Any) -> Template | None:
    """How a view came about; None for what is not one."""
    if type(result) is not Tensor or result._storage is None or len(nodes) != 1 or not isinstance(input, Tensor) or (
            input._storage is not result._storage or not input._tracks_version):
        return None
    source = nodes[0]
    made: list[Node] = []
    node = result._node
    while node is not source:
        if len(node.inputs) != 1 or not node.requires_grad:
            return None
        made.append(node)
        node = node.inputs[0]
    if not made:
        return None
    made.reverse()
    known = {source, *made}
    for n in made:
        fn = None if n.extra is None else n.extra.fn
        if fn is not None and (type(fn) is not Composite or fn.saves or any([m not in known for m in fn.inputs if m is not None])):
            return None
    return Template.of([source], made, [made[-1]])


def _place(state: FaceState, call: _CallWords) -> int:
    """The number of the entry for such a call: its own, an empty one, or that of another."""
    words = call.words
    mixed = call.count
    for word in words:
        mixed = ((mixed ^ word) * W.HASH) & _MASK
    places = [((mixed >> 40) + k) % W.ENTRIES for k in range(W.TRIES)]
    own = [call.count, id(call.default), call.pattern]
    for place in places:
        entry = state.table[place * W.ENTRY:(place + 1) * W.ENTRY].tolist()
        if [entry[W.COUNT], entry[W.DEFAULT], entry[W.PATTERN]] == own and entry[
                W.WORDS:W.WORDS + len(words)] == words:
            return place
    for place in places:
        if not state.table[place * W.ENTRY + W.COUNT]:
            return place
    return places[sum(divmod(state.left, RARELY)) % W.TRIES]


def _numbers(found: Template, given: Sequence[tuple[int, float]]) -> dict[int, int]:
    """Of the steps that are numbers among the arguments, which those are."""
    leaves = [k for k, step in enumerate(found.nodes) if step.spec.op is SCALAR]
    if len(given) != 1 or len(leaves) != 1 or repr(found.nodes[leaves[0]].value) != repr(given[0][1]):
        return {}
    return {leaves[0]: given[0][0]}


def _encoded(words: list[int], kept: list[Any]) -> Encoded:
    encoded = np.array(words, np.int64).view(Encoded)
    encoded.kept = kept
    return encoded


def _tests(tests: Sequence[tuple[int, Callable]], kept: list[Any]) -> list[int]:
    words = [len(tests)]
    for i, test in tests:
        kept.append(functools.partial(passes, test))
        words += [i, id(kept[-1])]
    return words


def _steps(found: Template, chain: tuple | None, numbered: Mapping[int, int], first: list[int], kept: list[Any]) -> list[int]:
    steps, owners, results, make = found.nodes, found.owners, found.results, found.make
    operands = len(first)

    def number(i: int | None) -> int:
        """Where record.py has a node."""
        return -1 if i is None else first[i] if i < operands else W.MOST_TENSORS + i - operands

    def reference(value: Any) -> int:
        kept.append(value)
        return id(value)

    words = [len(steps), len(results), 0 if make is None else reference(make), 0 if chain is None else reference(chain)]
    for i, (spec, inputs, requires_grad, more, value) in enumerate(steps, operands):
        words += [reference(spec), id(requires_grad), more or W.NO_DEPTH]
        if i - operands in numbered:
            words += [W.ARGUMENT, numbered[i - operands]]
        elif inputs:
            words += [W.NOTHING, 0]
        else:
            words += [W.LITERAL, reference(value)]
        words += [len(inputs), *map(number, inputs)]
    extras = {i: owners.get(i) for i in (*owners, *(results if chain is not None else ()))}
    words.append(len(extras))
    for i, owner in extras.items():
        words.append(number(i))
        if owner is None:
            words.append(0)
        else:
            words += [1, reference(owner.name), id(owner.saves_result), reference(owner.number), len(owner.inputs),
                      *map(number, owner.inputs)]
            words += [-1] if owner.saves is None else [len(owner.saves), *map(number, owner.saves)]
    return [*words, *map(number, results)]
