"""Steps of an optimizer as compiled programs over all parameters of a group."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.config import config
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node, scalar_node
from jitgrad.interpreter import quiet
from jitgrad.optim.rows import Row, Rule
from jitgrad.optim.steady import Group, Settings, State, Steady, Update, steady
from jitgrad.requests import execute
from jitgrad.requests.schedule_cache import interpreting
from jitgrad.types.dtype import dtype

WARM_UP = 4             # steps taken by NumPy before one is compiled: a program that takes fewer needs none
SHORT_WARM_UP = 12      # the same of a rule of a handful of operations


class FusedSteps:
    """The compiled steps of one optimizer, by rule and types of the rows."""

    def __init__(self) -> None:
        self._programs: dict[Any, _Program] = {}
        self._seen: dict[Any, int] = {}
        self.steady: dict[int, Steady] = {}     # by identity of the group

    def __deepcopy__(self, memo: dict) -> FusedSteps:
        return FusedSteps()

    def __reduce__(self) -> tuple:
        return FusedSteps, ()

    def step(self, group: Group, state: State, settings: Settings,
             updates: Callable[[Group], Sequence[tuple[Rule, list[Row]]]]) -> None:
        """Take a step of one group as `updates` has it (see Optimizer)."""
        self.steady.pop(id(group), None)
        found = [(rule, rows, self.apply(rule, rows)) for rule, rows in updates(group) if rows]
        if len(found) == 1:
            rule, rows, update = found[0]
            if update is not None and update.contiguous:
                made = steady(group, state, settings, rule, rows, update)
                if made is not None:
                    self.steady[id(group)] = made

    def apply(self, rule: Rule, rows: Sequence[Row]) -> Update | None:
        """Give the tensors of all rows their new values; what did, or None if NumPy did."""
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
        return program.update

    def _program(self, rule: Rule, rows: Sequence[Row]) -> _Program | None:
        types = [t._node.spec.type for row in rows for t in row.tensors]
        storages = {id(t._ensure_storage()) for row in rows for t in row.tensors}
        if len(storages) < len(types):
            return None         # tensors may overlap: a row must see what the ones before it have written
        key = _key(rule, rows)
        program = self._programs.get(key)
        if program is None:
            seen = self._seen[key] = self._seen.get(key, 0) + 1
            if seen > (SHORT_WARM_UP if rule.short else WARM_UP):
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
        self.update: Update | None = None

    def run(self, rule: Rule, rows: Sequence[Row]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The new values: of the parameters, and of what is kept, row by row."""
        gradients, values = [row.gradient for row in rows], [row.tensors[0]._array() for row in rows]
        kept = [t._array() for row in rows for t in row.tensors[1:]]
        layouts = [a.flags.c_contiguous for a in (*gradients, *values, *kept)]
        update = self.update
        if update is None or layouts != self._layouts:
            self._layouts = None        # until all of it is recorded
            update = self.update = _recorded(rule, rows, gradients, values, kept, all(layouts))
            self._layouts = layouts
        given = [*gradients, *values, *kept, *[x for numbers in _distinct(rows).values() for x in numbers]]
        results = update.call([given[i] for i in update.arguments])
        return [results[i] for i in update.first], [results[i] for i in update.rest]


def _recorded(rule: Rule, rows: Sequence[Row], gradients: list[np.ndarray], values: list[np.ndarray], kept: list[np.ndarray],
              contiguous: bool) -> Update:
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
    arguments = [number[order[p]] for p in bound.positions]
    for n in number:
        n.value = None          # each step brings values: these must not be kept alive
    return Update(bound.run, arguments, outputs[:len(rows)], outputs[len(rows):], contiguous)
