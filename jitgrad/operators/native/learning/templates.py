"""Templates of what an operator's Python function has recorded, written as integers for machine code to follow.

Input: the arguments of a call that an operator has recorded, and the template of what it has recorded.  Output: an entry of the
operator's table, so that the next such call is followed by record.py.
Invariant: an entry is found again only for the very same objects (types of tensors; numbers, strings and tuples), which it
keeps alive.

A template is encoded as an array of words: how many tests there are, and of each the number of the operand and what to call; the
number of steps, that of results, what puts several results together (0: there is one), the steps of a view from its storage (0: it
is none), what is done with the results; each step as record.py reads it; how many nodes have owners, are written over others or
share storage, and each with these; the nodes of the results, or of a write the new base, the value that is written and the base
before.  Where nothing is to be recorded, after the tests: the evaluator (0: the operator is called), the number of operands, each,
and which argument is a number (-1: none).  Without gradient mode an operation of the same types that has been evaluated often is
postponed: RECORDED in place of the evaluator, then as where it is recorded, but for the depths (see graph.Node); AT_ONCE where the
result is so much smaller than the operands that these are not to be held for it: it is computed together with what is postponed below.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jitgrad.graph.node import Composite, Node
from jitgrad.graph.recording import grad_mode, input_node, input_spec
from jitgrad.graph.template import Template
from jitgrad.operators.native import layout as W
from jitgrad.operators.native.entry_points import EntryPoint
from jitgrad.operators.native.learning.call_key import CallWords
from jitgrad.operators.native.learning.filling import encoded, filled, given_numbers, number_word, on
from jitgrad.operators.native.learning.meeting import MOST_MET, index_met, view_written
from jitgrad.operators.native.learning.table import RARELY, enter
from jitgrad.operators.templates.evaluation import evaluator
from jitgrad.operators.templates.template import Test, passes, template, watched, written_template
from jitgrad.requests import execute
from jitgrad.tensors.steps import interned
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tracing import forwarding

VAIN = 16               # learning of a write that is none to be entered counts as so many, since it takes longer
OFTEN = 16              # evaluations without gradient mode, before such an operation is postponed
SMALL, TIMES = 4096, 4          # bytes of operands that it may hold, and so many times those of its result


def learner(state: EntryPoint) -> Callable:
    """What an entry point calls where it has no template: the operator, of which it learns."""
    function = state.func
    index_of = None if state.kind < W.READS else view_written if state.kind in (W.UPDATES, W.SCALED) else index_met
    met: set[int] = set()

    def learn(*args: Any, **kwargs: Any) -> Any:
        if index_of is not None and (known := index_of(args)) and known not in met:        # most indices come once: they are not learnt
            if len(met) >= MOST_MET:
                met.clear()
            met.add(known)
            return function(*args, **kwargs)
        state.left -= 1
        if (state.left < 0 and state.left % RARELY) or "out" in kwargs:
            return function(*args, **kwargs)
        call = CallWords(args, kwargs, state.kind)
        if call.filled or state.kind >= W.UPDATES:
            result = (filled if call.filled else _written)(state, call, args, kwargs)
            if call.valid and not call.entered:
                state.left -= VAIN
            return result
        if not (grad_mode.enabled and any([n.requires_grad for n in call.nodes])):
            return _evaluated(state, call, args, kwargs)
        result, refused, tests = watched(function, args, kwargs)
        if not refused and isinstance(result, (Tensor, tuple)):
            note(state, call, args, result, tests)
        return result

    return learn


def _evaluated(state: EntryPoint, call: CallWords, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of an operator of what is known, of whose evaluation an entry is made.  It is learnt from operands of the same
    types and values for which the operator has to record."""
    distinct = list(dict.fromkeys(call.nodes))
    stand_ins = {n: Node(input_spec(n.type), (), False, 1, execute.value(n)) for n in distinct}
    in_order = map(stand_ins.__getitem__, call.nodes)
    args = tuple([on(v, in_order) for v in args])
    kwargs = {k: on(v, in_order) for k, v in kwargs.items()}
    result, refused, tests = forwarding(watched, state.func, args, kwargs)      # what operators call inside records, too
    nodes = [*stand_ins.values()]
    found = None if refused or any([n not in nodes for n, _ in tests]) else template(nodes, result)
    numbered = {} if found is None else given_numbers(found, call.numbers, True)
    if call.valid and isinstance(result, (Tensor, tuple)):
        call.count += W.VALUES if grad_mode.enabled else W.POSTPONED
        if found is None or len(numbered) != len(call.numbers):
            words = [0, 0]
        else:
            evaluate = evaluator(nodes, found, [len(nodes) + k for k in numbered])
            first, checks = [call.nodes.index(n) for n in distinct], _tests([(nodes.index(n), test) for n, test in tests], call.kept)
            argument = number_word(found, numbered)
            if not grad_mode.enabled and len(found.nodes) <= W.MOST_STEPS and argument < W.WHOLE:
                held = sum([t.size * t.dtype.itemsize for t in {n.type for n in call.nodes}])
                evaluate = _Evaluator(evaluate, functools.partial(_postpone, state, call, held, checks, found, numbered, first))
            call.kept.append(evaluate)
            words = [*checks, id(evaluate), len(distinct), *first, argument]
        enter(state, call, encoded(words, call.kept))
        call.nodes.clear()          # an evaluator may keep the call
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


def _postpone(state: EntryPoint, call: CallWords, bytes_held: int, checks: list[int], found: Template, numbered: Mapping[int, int],
              first: list[int]) -> None:
    """Have such calls recorded from now on, to be computed together with what else is asked for.  bytes_held: of the operands."""
    results = [found.nodes[i - len(first)].spec.type for i in found.results]
    at_once = bytes_held > SMALL + TIMES * sum([t.size * t.dtype.itemsize for t in results])    # a list of losses keeps no batches
    if at_once and found.make is not None:
        return
    held = bytes_held // W.HELD
    nodes = [step._replace(depth=-step.depth - (held << W.HOLDS)) for step in found.nodes]
    postponed = Template(nodes, found.owners, found.results, found.make)
    words = [*checks, W.AT_ONCE if at_once else W.RECORDED, *_steps(postponed, None, numbered, first, call.kept)]
    enter(state, call, encoded(words, call.kept))


def _values(result: Any) -> Any:
    """What was recorded of operands that are known, computed."""
    if isinstance(result, Tensor):
        node = result._current()
        return wrap(input_node(execute.value(node), node.type))
    if isinstance(result, tuple):
        values = [_values(v) for v in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    return result


def note(state: EntryPoint, call: CallWords, args: tuple, result: Any, tests: Sequence[Test]) -> None:
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
            chain = interned(result._chain[len(args[0]._chain):])
            if chain is None:
                return
    else:
        found = template(distinct, result)
    if found is None or len(found.nodes) > W.MOST_STEPS:
        return
    numbered = given_numbers(found, call.numbers)
    if len(numbered) != len(call.numbers) or any([node not in call.nodes for node, _ in tests]):
        return
    words = _tests([(call.nodes.index(node), test) for node, test in tests], call.kept)
    words += _steps(found, chain, numbered, [call.nodes.index(n) for n in distinct], call.kept)
    enter(state, call, encoded(words, call.kept))


def _written(state: EntryPoint, call: CallWords, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of an operator that writes to its first argument, of which an entry is made where the write is recorded."""
    if not (call.valid and grad_mode.enabled and any([n.requires_grad for n in call.nodes])):
        return state.func(*args, **kwargs)
    tensor, base = args[0], call.nodes[1 if args[0]._chain else 0]
    result, refused, tests = watched(state.func, args, kwargs)
    storage, distinct = tensor._storage, list(dict.fromkeys(call.nodes))
    if refused or storage is None or storage.deferred or any([node not in call.nodes for node, _ in tests]):
        return result
    new, first = storage.node, [call.nodes.index(n) for n in distinct]
    if call.before:
        if new is base:
            nothing = Template([], {}, [0, 0, 0])
            enter(state, call, encoded([0, *_steps(nothing, None, {}, first, call.kept, W.COUNTED)], call.kept))
        return result
    found = written_template(distinct, base, new, storage.cell)
    if found is None or len(found.nodes) > W.MOST_STEPS:
        return result
    numbered = given_numbers(found, call.numbers)
    if len(numbered) == len(call.numbers):
        words = _tests([(call.nodes.index(node), test) for node, test in tests], call.kept)
        words += _steps(found, None, numbered, first, call.kept, W.UPDATED if result is tensor else W.WRITTEN)
        enter(state, call, encoded(words, call.kept))
    return result


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


def _tests(tests: Sequence[tuple[int, Callable]], kept: list[Any]) -> list[int]:
    words = [len(tests)]
    for i, test in tests:
        kept.append(functools.partial(passes, test))
        words += [i, id(kept[-1])]
    return words


def _steps(found: Template, chain: tuple | None, numbered: Mapping[int, int], first: list[int], kept: list[Any],
           how: int = W.MADE) -> list[int]:
    steps, owners, results, make = found.nodes, found.owners, found.results, found.make
    operands = len(first)

    def number(i: int | None) -> int:
        """Where record.py has a node."""
        return -1 if i is None else first[i] if i < operands else W.MOST_TENSORS + i - operands

    def reference(value: Any) -> int:
        kept.append(value)
        return id(value)

    words = [len(steps), len(results), 0 if make is None else reference(make), 0 if chain is None else reference(chain), how]
    for i, (spec, inputs, requires_grad, more, value) in enumerate(steps, operands):
        words += [reference(spec), id(requires_grad), more or W.NO_DEPTH]
        if i - operands in numbered:
            words += [W.ARGUMENT, numbered[i - operands]]
        elif inputs:
            words += [W.NOTHING, 0]
        else:
            words += [W.LITERAL, reference(value)]
        words += [len(inputs), *map(number, inputs)]
    over = found.in_place
    shared = [] if chain is None and how == W.MADE else [i for i in results if i >= operands]
    extras = {i: owners.get(i) for i in (*owners, *over, *shared)}
    words.append(len(extras))
    for i, owner in extras.items():
        held = over.get(i, False)
        words += [number(i), W.NOT_WRITTEN if held is False else W.WRITTEN_WHOLE if held is True else number(held)]
        if owner is None:
            words.append(0)
        else:
            words += [1, reference(owner.name), id(owner.saves_result), reference(owner.number), len(owner.inputs),
                      *map(number, owner.inputs)]
            words += [-1] if owner.saves is None else [len(owner.saves), *map(number, owner.saves)]
    return [*words, *map(number, results)]
