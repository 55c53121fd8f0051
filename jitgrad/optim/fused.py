"""Steps of an optimizer as compiled programs over all parameters of a group."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.config import config
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node, scalar_node
from jitgrad.interpreter import quiet
from jitgrad.optim.ahead import MOST, Ahead
from jitgrad.optim.rows import Row, Rule
from jitgrad.optim.steady import Group, Run, Settings, State, Steady, steady
from jitgrad.requests import execute
from jitgrad.requests.programs import interpreting, latest
from jitgrad.types.dtype import dtype

WARM_UP = 4             # steps taken by NumPy before one is compiled: a program that takes fewer needs none
FEW_ELEMENTS = 4096     # of one parameter, with a rule so short that NumPy is as quick
PATIENCE = 8            # steady steps whose gradients one backward gave, before they are computed ahead ...
MORE_PATIENCE = 16      # ... times this after each try that failed


class FusedSteps:
    """The compiled steps of one optimizer, by rule and types of the rows."""

    def __init__(self) -> None:
        self._programs: dict[Any, _Program] = {}
        self._seen: dict[Any, int] = {}
        self.steady: dict[int, Steady] = {}     # by identity of the group
        self._ahead: Ahead | None = None
        self._source: Any = None                # of the last gradients, weakly: see programs.latest
        self._times = 0                         # steps in a row with it ...
        self._t = 0.0                           # ... up to this one
        self._patience = PATIENCE

    def __deepcopy__(self, memo: dict) -> FusedSteps:
        return FusedSteps()

    def __reduce__(self) -> tuple:
        return FusedSteps, ()

    def step(self, group: Group, state: State, settings: Settings,
             updates: Callable[[Group], Sequence[tuple[Rule, list[Row]]]]) -> None:
        """Take a step of one group: like the last one, or as `updates` has it (see Optimizer)."""
        known = self.steady.get(id(group))
        if known is not None:
            if known.step(group, state):
                return
            self.steady.pop(id(group), None)        # another thread may have
        found = [(rule, rows, self.apply(rule, rows)) for rule, rows in updates(group) if rows]
        if len(found) == 1:
            rule, rows, program = found[0]
            run = None if program is None else program.steady()
            if run is not None or (program is None and rule.short and self._seen.get(_key(rule, rows), 0) > WARM_UP):
                made = steady(group, state, settings, rule, rows, run)
                if made is not None:
                    self.steady[id(group)] = made

    def forget(self) -> None:
        """There are other groups now: the next step of each is looked at anew."""
        self.steady.clear()
        self._ahead = None

    def look_ahead(self, groups: Sequence[Group]) -> None:
        """After a step that was not all computed ahead: see whether the next ones can be, or whether that should end."""
        source, latest[0] = latest[0], None
        if source is None and self._ahead is None:
            self._source = None
            return
        own = [s for group in groups if (s := self.steady.get(id(group))) is not None]
        ahead = self._ahead
        if ahead is not None and (ahead.failed or own != list(ahead.groups)):
            for s in ahead.groups:
                s.held, s.misses = None, 0
            self._ahead = ahead = None                  # its source notices
            self._patience *= MORE_PATIENCE
        if source is None or len(own) < len(groups) or (ahead is not None and source is ahead.source):
            self._source = None
            return
        t = own[0].newer.t if own[0].newer is not None else 0.0
        self._times = self._times + 1 if source is self._source and t == self._t + 1 else 1
        self._source, self._t = source, t
        run = source()
        if self._times < self._patience or run is None or sum([len(s.rows) for s in own]) > MOST:
            return
        asked = Ahead(own, source)
        if run.ask(asked):
            self._ahead = asked
        self._source = None

    def apply(self, rule: Rule, rows: Sequence[Row]) -> _Program | None:
        """Give the tensors of all rows their new values; the program that did, or None if NumPy did."""
        program = None if interpreting.active or config.interpret else self._program(rule, rows)
        if program is None:
            for gradient, tensors, numbers, *_ in rows:
                new = quiet.run(rule, gradient, *[t._array() for t in tensors], *numbers)
                for tensor, value in zip(tensors, new, strict=True):
                    tensor._replace(np.asarray(value, tensor._node.spec.type.dtype.np))
            return None
        first, rest = program.run(rule, rows)
        others = iter(rest)
        for row, value in zip(rows, first, strict=True):
            row.tensors[0]._replace(value)
            for tensor in row.tensors[1:]:
                tensor._replace(next(others))
        return program

    def _program(self, rule: Rule, rows: Sequence[Row]) -> _Program | None:
        types = [t._node.spec.type for row in rows for t in row.tensors]
        storages = {id(t._ensure_storage()) for row in rows for t in row.tensors}
        if len(storages) < len(types):
            return None         # tensors may overlap: a row must see what the ones before it have written
        key = _key(rule, rows)
        program = self._programs.get(key)
        if program is None:
            seen = self._seen[key] = self._seen.get(key, 0) + 1
            if seen > WARM_UP and rows and (not rule.short or max([t.size for t in types]) > FEW_ELEMENTS):
                program = self._programs[key] = _Program()
        return program


def _key(rule: Rule, rows: Sequence[Row]) -> tuple:
    """The structure of a step: the rule, the types, and which rows have their numbers in common."""
    common: dict[int, int] = {}
    return (rule, *[common.setdefault(id(row.numbers), len(common)) for row in rows],
            *[t._node.spec.type for row in rows for t in row.tensors])


def _distinct(rows: Sequence[Row]) -> dict[tuple[int, dtype], tuple[float, ...]]:
    """The numbers of all rows, once for those that have them and their dtype in common."""
    return {(id(row.numbers), row.tensors[0]._node.spec.type.dtype): row.numbers for row in rows}


class _Program:
    """The compiled step for one structure, recorded once for each layout of the arrays."""

    def __init__(self) -> None:
        self._layouts: list[bool] | None = None
        self._run: Any = None

    def run(self, rule: Rule, rows: Sequence[Row]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The new values: of the parameters, and of what is kept, row by row."""
        gradients, values = [row.gradient for row in rows], [row.tensors[0]._array() for row in rows]
        kept = [t._array() for row in rows for t in row.tensors[1:]]
        layouts = [a.flags.c_contiguous for a in (*gradients, *values, *kept)]
        if layouts != self._layouts:
            self._layouts = None        # until all of it is recorded
            self._run = _recorded(rule, rows, gradients, values, kept, all(layouts))
            self._layouts = layouts
        return self._run(gradients, values, kept, [x for numbers in _distinct(rows).values() for x in numbers])

    def steady(self) -> Run | None:
        """The run of further steps with numbers that all rows have in common; None for arrays that are not contiguous."""
        return self._run if all(self._layouts or ()) else None


def _recorded(rule: Rule, rows: Sequence[Row], gradients: list[np.ndarray], values: list[np.ndarray], kept: list[np.ndarray],
              contiguous: bool) -> Run:
    """The program of a step of rows like these, for arrays that lie as these."""
    types = [row.tensors[0]._node.spec.type for row in rows]
    first = [[input_node(a, kind) for a, kind in zip(arrays, types, strict=True)] for arrays in (gradients, values)]
    others = [input_node(a, t._node.spec.type) for a, t in zip(kept, [t for row in rows for t in row.tensors[1:]], strict=True)]
    given = {at: [scalar_node(x, at[1]) for x in numbers] for at, numbers in _distinct(rows).items()}
    new: list[Node] = []
    rest: list[Node] = []
    left = iter(others)
    for row, g, p in zip(rows, *first, strict=True):
        result = rule(g, p, *[next(left) for _ in row.tensors[1:]], *given[id(row.numbers), p.type.dtype])
        new.append(result[0])
        rest += result[1:]
    program, order, outputs = execute.values_program([*new, *rest])
    number = {n: i for i, n in enumerate([*first[0], *first[1], *others, *[n for nodes in given.values() for n in nodes]])}
    bound = program.bind(order)
    sources = [number[order[p]] for p in bound.positions]
    call, first_places, rest_places = bound.run, outputs[:len(rows)], outputs[len(rows):]

    def run(gradients: list[np.ndarray], values: list[np.ndarray], kept: list[np.ndarray],
            numbers: Sequence[float]) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
        if contiguous:
            for a in gradients:
                if not a.flags.c_contiguous:
                    return None
            for a in values:
                if not a.flags.c_contiguous:
                    return None
        given = [*gradients, *values, *kept, *numbers]
        results: list[Any] = call([given[i] for i in sources])
        return [results[i] for i in first_places], [results[i] for i in rest_places]

    for n in number:
        n.value = None          # each step brings values: these must not be kept alive
    return run
