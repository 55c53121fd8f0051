"""Argument and result trees: dicts, lists, tuples and what they hold, as lines of generated Python.

`Arguments` describes one structure of arguments by tests (see guards/) that name each tensor t0, t1, ... and each number
x0, x1, ...; `Results` writes the expression that builds a result of the same structure again.
"""
from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from jitgrad.capture.guards.lines import Refusal
from jitgrad.capture.guards.reads import Reads
from jitgrad.capture.guards.understood import CONSTANTS, is_named_tuple
from jitgrad.graph.node import Node
from jitgrad.graph.recording import scalar_node
from jitgrad.operators.traced_array import TracedArray
from jitgrad.operators.traced_float import TracedFloat
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.device import device
from jitgrad.types.dtype import dtype, float64

MAX_LEVELS = 50
STATIC = (int, str, bytes, complex)


def parts(tree: Any) -> list[tuple[Any, Any]] | None:
    """(key, part) of a dict, list, tuple or named tuple; None of anything else."""
    if type(tree) is dict:
        return [*tree.items()]
    return [*enumerate(tree)] if type(tree) in (list, tuple) or is_named_tuple(tree) else None


def like(tree: Any, items: Iterable[Any]) -> Any:
    """A container as `tree` with other parts."""
    kind: Any = type(tree)
    if kind is dict:
        return dict(zip(tree, items, strict=True))
    return kind._make(items) if is_named_tuple(tree) else kind(items)


def text_like(tree: Any, items: list[str], constant: Callable[[Any], str]) -> str:
    """The expression for a container as `tree` of parts that are given by expressions."""
    kind = type(tree)
    if kind is dict:
        return "{" + ", ".join([f"{constant(k)}: {item}" for k, item in zip(tree, items, strict=True)]) + "}"
    if kind is list:
        return "[" + ", ".join(items) + "]"
    inner = "(" + "".join([item + ", " for item in items]) + ")"
    return inner if kind is tuple else f"{constant(kind)}{'._make' if is_named_tuple(tree) else ''}({inner})"


class Arguments:
    """The tests for one structure of (args, kwargs).

    on_tensor(expression, tensor, about): as in guards.Reads.  dynamic: the places ("args[1]['lr']") whose floats are
    inputs; all other floats are guarded by value.  `floats` lists every float by place, `numbers` the names of the dynamic
    ones by their nodes; on_number(name, node) is called for each.  on_ndarray(expression, array, about): what to call with
    in place of an array, whose tests it writes."""

    def __init__(self, reads: Reads, on_tensor: Callable[[str, Tensor, str], None], on_number: Callable[[str, Node], None],
                 on_ndarray: Callable[[str, np.ndarray, str], Any], dynamic: set[str]) -> None:
        self._reads = reads
        self._on_number = on_number
        self._on_tensor = on_tensor
        self._on_ndarray = on_ndarray
        self._dynamic = dynamic
        self.on_array: Callable[[str, Any, str], Any] | None = None     # for what value_and_grad makes tensors of
        self.floats: dict[str, float] = {}
        self.numbers: dict[Node, str] = {}
        self.containers: dict[int, str] = {}    # of the caller, by identity: how each is read
        self.mutable: set[int] = set()          # which of them are lists and dicts
        self.rebuilt: list[tuple[Any, Any, Any, str]] = []  # containers made for stand-ins: theirs, ours, a copy, place

    def describe(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Write the tests; the arguments to call with, dynamic floats replaced."""
        new_args = self._visit("args", args, "args", 0)
        if not kwargs:
            self._reads.test("kwargs", "the keyword arguments")
            return new_args, kwargs
        return new_args, self._visit("kwargs", kwargs, "kwargs", 0)

    def _visit(self, expression: str, value: Any, place: str, level: int) -> Any:
        reads, kind = self._reads, type(value)
        if level > MAX_LEVELS:
            raise Refusal(f"{place} is nested too deeply")
        if self.on_array is not None and (made := self.on_array(expression, value, place)) is not None:
            return made
        if isinstance(value, Tensor):
            self._on_tensor(expression, value, place)
        elif kind is TracedFloat or kind is TracedArray:
            raise Refusal(f"{place} belongs to another capture")
        elif kind is float:
            self.floats[place] = value
            if place in self._dynamic:
                name = f"x{len(self.numbers)}"
                reads.test(f"type({name} := {expression}) is not float", place)
                node = scalar_node(value, float64)
                self.numbers[node] = name
                self._on_number(name, node)
                return TracedFloat(node, value)
            name = reads.constant(value)
            reads.test(f"{expression} is not {name} and changed({expression}, {name})", place,
                       f"type({expression}) is not float")
        elif value is None or kind is bool:
            reads.test(f"{expression} is not {value}", place)
        elif kind in STATIC or (kind in CONSTANTS and isinstance(value, np.generic)):
            name = reads.constant(value)
            reads.test(f"{expression} is not {name} and changed({expression}, {name})", place)
        elif kind is dict:
            keys = list(value)
            if not all([type(k) in (int, str) for k in keys]):
                raise Refusal(f"{place} is a dict with keys that are not strings or integers")
            reads.test(f"type({expression}) is not dict or [*{expression}] != {reads.constant(keys)}", place)
            return self._children(expression, value, place, level)
        elif kind in (list, tuple) or is_named_tuple(value):
            name = kind.__name__ if kind in (list, tuple) else reads.constant(kind)
            reads.test(f"type({expression}) is not {name} or len({expression}) != {len(value)}", place)
            if kind not in (list, tuple):
                reads.reach(kind, place)
            return self._children(expression, value, place, level)
        elif kind is np.ndarray:
            return self._on_ndarray(expression, value, place)
        else:
            reads.test(f"{expression} is not {reads.constant(value)}", place)
            if not isinstance(value, ModuleType):
                place = f"the argument {place}"
            start = len(reads.tests)
            try:
                reads.reach(value, place)
            finally:                # what is inside is not the structure; names that are given there are used further on
                reads.tests[start:] = [t if ":=" in t.condition else t._replace(structure="False")
                                       for t in reads.tests[start:]]
        return value

    def _children(self, expression: str, value: Any, place: str, level: int) -> Any:
        changed, new = False, {}
        if value != () and expression not in ("args", "kwargs"):        # of () there is only one, the others are the call's
            if (known := self.containers.setdefault(id(value), expression)) is not expression and type(value) in (dict, list):
                self._reads.test(f"{expression} is not {known}", place)
            if type(value) in (dict, list):
                self.mutable.add(id(value))
        for key, item in parts(value) or ():
            inner = f"{expression}[{key!r}]"
            if type(item) in (dict, list, tuple) and item:          # named, since its parts are read several times
                name = f"c{len(self._reads.tests)}"
                self._reads.test(f"({name} := {inner}) is None", place)
                inner = name
            new[key] = self._visit(inner, item, f"{place}[{key!r}]", level + 1)
            changed = changed or new[key] is not item
        if not changed:
            return value
        made = like(value, new.values())
        self.rebuilt.append((value, made, made.copy() if type(value) in (dict, list) else None, place))
        return made

    def unchanged(self) -> bool:
        """Whether the containers that were made for stand-ins are as they were; otherwise what the function wrote to them
        is written to the caller's."""
        result = True
        for theirs, ours, copy, _ in self.rebuilt:
            if copy is None or (len(ours) == len(copy) and all([a is b for a, b in zip(_items(ours), _items(copy),
                                                                                       strict=True)])):
                continue
            result = False
            if type(ours) is dict:
                theirs.clear()
                theirs.update({k: plain(v) for k, v in ours.items()})
            else:
                theirs[:] = [plain(v) for v in ours]
        return result


def _items(container: Any) -> list[Any]:
    return [x for pair in container.items() for x in pair] if type(container) is dict else container


def plain(value: Any) -> Any:
    """A result with floats and arrays in place of what stood for them."""
    kind = type(value)
    if kind is TracedFloat:
        return value.number
    if kind is TracedArray:
        return value._real
    return like(value, [plain(v) for _, v in parts(value) or ()]) if _holds_stand_in(value) else value


def _holds_stand_in(value: Any) -> bool:
    return type(value) in (TracedFloat, TracedArray) or any([_holds_stand_in(v) for _, v in parts(value) or ()])


class Results:
    """The expression that builds a result.  on_tensor(tensor): the expression for a tensor in it; numbers: the names of
    run-time numbers and arrays, by node, and of arrays that are guarded by their contents, by identity."""

    def __init__(self, constant: Callable[[Any], str], on_tensor: Callable[[Tensor], str], numbers: dict[Any, str],
                 containers: Container[int]) -> None:
        self._numbers = numbers
        self._containers = containers
        self._constant = constant
        self._on_tensor = on_tensor

    def expression(self, value: Any, level: int = 0) -> str:
        """Raises Refusal for what cannot be built again."""
        kind = type(value)
        if level > MAX_LEVELS:
            raise Refusal("the result is nested too deeply")
        if isinstance(value, Tensor):
            return self._on_tensor(value)
        if kind is TracedFloat:
            name = self._numbers.get(value.node)
            if name is None:
                raise Refusal("returns a number that it has computed")
            return name
        if kind is TracedArray:
            name = self._numbers.get(value._input)
            if name is None:
                raise Refusal("returns a NumPy array that it has made")
            return name
        if kind is np.ndarray and id(value) in self._numbers:
            return self._numbers[id(value)]
        if value is None or kind is bool or value is Ellipsis:
            return repr(value)
        if kind in (float, *STATIC) or isinstance(value, (ModuleType, type, np.generic, dtype, device)):
            return self._constant(value)
        if id(value) in self._containers:
            raise Refusal(f"returns a {kind.__name__} that it was given")
        if kind is dict or kind is list or isinstance(value, tuple):
            items = value.values() if isinstance(value, dict) else value
            return text_like(value, [self.expression(v, level + 1) for v in items], self._constant)
        raise Refusal(f"returns an object of type {kind.__name__}")
