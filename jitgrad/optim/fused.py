"""A step of an optimizer as one compiled program over all parameters of a group."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from jitgrad import executor, ops
from jitgrad.config import config
from jitgrad.executor import interpreting
from jitgrad.graph import Node, input_node, scalar_node
from jitgrad.tensor import Tensor

WARM_UP = 4             # steps taken by NumPy before one is compiled: a program that takes fewer needs none
FEW_ELEMENTS = 4096     # of one parameter, with a rule so short that NumPy is as quick


class Row(NamedTuple):
    """One parameter: its gradient, the tensors that change (the parameter first), and the numbers of the rule."""

    gradient: np.ndarray
    tensors: tuple[Tensor, ...]
    numbers: tuple[float, ...]


class Rule(Protocol):
    """New values of the tensors of a row, from (gradient, *values, *numbers): arrays or nodes.  Equal rules are equal
    as objects; `short`: a handful of operations."""

    @property
    def short(self) -> bool: ...                                    # noqa: D102

    def __call__(self, g: Any, *values: Any) -> tuple: ...   # noqa: D102

    def __hash__(self) -> int: ...                                  # noqa: D105


def sqrt(x: Any) -> Any:
    """The square root of an array or a node."""
    return ops.sqrt(x) if type(x) is Node else np.sqrt(x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of two arrays or nodes."""
    return ops.maximum(x, y) if type(x) is Node else np.maximum(x, y)


class FusedSteps:
    """The compiled steps of one optimizer, by rule and types of the rows."""

    def __init__(self) -> None:
        self._programs: dict[Any, _Program] = {}
        self._seen: dict[Any, int] = {}

    def __deepcopy__(self, memo: dict) -> FusedSteps:
        return FusedSteps()

    def __reduce__(self) -> tuple:
        return FusedSteps, ()

    def apply(self, rule: Rule, rows: Sequence[Row]) -> None:
        """Give the tensors of all rows their new values."""
        program = None if interpreting.active or config.interpret else self._program(rule, rows)
        if program is None:
            for gradient, tensors, numbers in rows:
                new = rule(gradient, *[t._array() for t in tensors], *numbers)
                for tensor, value in zip(tensors, new, strict=True):
                    tensor._replace(np.asarray(value, tensor._node.spec.type.dtype.np))
            return
        arrays = program.run(rule, rows)
        k = 0
        for row in rows:
            for tensor in row.tensors:
                tensor._replace(arrays[k])
                k += 1

    def _program(self, rule: Rule, rows: Sequence[Row]) -> _Program | None:
        types = [t._node.spec.type for row in rows for t in row.tensors]
        storages = {id(t._ensure_storage()) for row in rows for t in row.tensors}
        if len(storages) < len(types):
            return None         # tensors may overlap: a row must see what the ones before it have written
        key = (rule, *types)
        program = self._programs.get(key)
        if program is None:
            seen = self._seen[key] = self._seen.get(key, 0) + 1
            if seen > WARM_UP and rows and (not rule.short or max([t.size for t in types]) > FEW_ELEMENTS):
                program = self._programs[key] = _Program()
        return program


class _Program:
    """The compiled step for one rule and types, recorded once: each run gives its leaves other values."""

    def __init__(self) -> None:
        self._layouts: list[bool] | None = None

    def _record(self, rule: Rule, rows: Sequence[Row], arrays: list[np.ndarray]) -> None:
        self._leaves: list[Node] = []
        self._numbers: list[Node] = []
        outputs: list[Node] = []
        k = 0
        for row in rows:
            own = []
            type = row.tensors[0]._node.spec.type
            for t in (row.tensors[0], *row.tensors):
                own.append(input_node(arrays[k], t._node.spec.type))
                k += 1
            numbers = [scalar_node(x, type.dtype) for x in row.numbers]
            self._leaves += own
            self._numbers += numbers
            outputs += rule(own[0], *own[1:], *numbers)
        self._program, self._order, self._outputs = executor.values_program(outputs)

    def run(self, rule: Rule, rows: Sequence[Row]) -> list[np.ndarray]:
        """The new values of all tensors, row by row."""
        arrays: list[np.ndarray] = []
        numbers: list[float] = []
        for row in rows:
            arrays.append(row.gradient)
            for t in row.tensors:
                arrays.append(t._array())
            numbers += row.numbers
        layouts = [a.flags.c_contiguous for a in arrays]
        if layouts != self._layouts:
            self._record(rule, rows, arrays)
            self._layouts = layouts
        for node, array in zip(self._leaves, arrays, strict=True):
            node.value = array
        for node, number in zip(self._numbers, numbers, strict=True):
            node.value = number
        results = self._program.run(self._order)
        for node in self._leaves:
            node.value = None       # the next step brings new ones: these must not be kept alive
        return [results[k] for k in self._outputs]      # type: ignore[misc]
