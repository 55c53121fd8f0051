"""Arguments and results of a captured function: nested dicts, lists and tuples.

For arguments, lines of Python are written that take a call of the same structure apart: each tensor's node, checked to
be of the same type, each number and string tested, anything else left to guards.py.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.capture.guards import Guards, Refused
from jitgrad.dtype import float64, from_numpy_dtype
from jitgrad.graph import INPUT, Node, scalar_spec
from jitgrad.operators.traced import TracedFloat
from jitgrad.tensor import Tensor


class Slots:
    """The values that a replay gets, one a slot: nodes of tensors, or arrays."""

    def __init__(self, guards: Guards) -> None:
        self.guards = guards
        self.nodes: list[Node] = []             # as of the trace
        self.numbers: dict[Node, int] = {}      # slot of a node
        self.names: list[str] = []              # the variables that hold them

    def tensor(self, value: Tensor, where: str, what: str) -> None:
        """A slot for a tensor; later ones must be of the same type, and leaves."""
        node = value._current()
        if node.inputs or node.spec.op is not INPUT:
            raise Refused(f"{what} is part of a graph: its history would be replayed")
        if not node.value.flags.c_contiguous:
            raise Refused(f"{what} is not contiguous")
        g, k = self.guards, len(self.nodes)
        g.lines.append(f"t = {where}")
        g.test(f"type(t) is {g.constant(type(value))}")
        g.lines.append(f"n{k} = t._node if t._storage is None else t._current()")
        g.test(f"n{k}.spec is {g.constant(node.spec)} and n{k}.requires_grad is {node.requires_grad}")
        if node.type.shape:
            g.test(f"n{k}.value.flags.c_contiguous")
        self._add(node, f"n{k}")

    def array(self, value: Tensor, like: Any, where: str) -> None:
        """A slot for a NumPy array or Python float that `value` was made from: replays take the array itself."""
        g, k = self.guards, len(self.nodes)
        g.lines.append(f"n{k} = {where}")
        if isinstance(like, np.ndarray):
            g.test(f"type(n{k}) is ndarray and n{k}.dtype is {g.constant(like.dtype)} and n{k}.shape == {like.shape} and "
                   f"n{k}.flags.c_contiguous")
        else:
            g.names["asarray"] = np.asarray
            g.test(f"type(n{k}) is float")
            g.lines.append(f"n{k} = asarray(n{k})")
        self._add(value._current(), f"n{k}")

    def number(self, traced: TracedFloat, where: str) -> None:
        """A slot for a float, whatever its value."""
        g, k = self.guards, len(self.nodes)
        g.names["Node"] = Node
        g.lines.append(f"v = {where}")
        g.test(f"type(v) is {g.constant(float)}")
        g.lines.append(f"n{k} = Node({g.constant(traced.node.spec)}, (), False, 0, v)")
        self._add(traced.node, f"n{k}")

    def _add(self, node: Node, name: str) -> None:
        self.numbers.setdefault(node, len(self.nodes))
        self.nodes.append(node)
        self.names.append(name)

    def take(self, value: Any, where: str, what: str, wrap: Callable[[Any, str], bool] | None = None) -> None:
        """Take an argument apart.  wrap(leaf, where): a chance to give a leaf a slot of its own."""
        kind, g = type(value), self.guards
        if wrap is not None and wrap(value, where):
            return
        if isinstance(value, Tensor):
            self.tensor(value, where, what)
        elif kind is TracedFloat:
            self.number(value, where)
        elif kind in (tuple, list, dict):
            g.test(f"type({where}) is {g.constant(kind)} and len({where}) == {len(value)}")
            for key, item in value.items() if kind is dict else enumerate(value):
                if not isinstance(key, (str, int)):
                    raise Refused(f"{what} is a dict with keys that are neither strings nor integers")
                self.take(item, f"{where}[{key!r}]", f"{what}[{key!r}]", wrap)
        else:
            g.value(value, where, what)


class Floats:
    """The arguments of a call with their floats traced."""

    def __init__(self) -> None:
        self._copies: list[tuple[Any, Any, Any]] = []       # container, its copy, what that held

    def traced(self, value: Any) -> Any:
        """The argument; containers are copied where they hold a float."""
        kind = type(value)
        if kind is float:
            return TracedFloat(Node(scalar_spec(float64), (), False, 1, value), value)
        if kind is dict:
            new: Any = {key: self.traced(item) for key, item in value.items()}
            same = all([new[key] is item for key, item in value.items()])
        elif kind in (list, tuple):
            new = kind([self.traced(item) for item in value])
            same = all([a is b for a, b in zip(new, value, strict=True)])
        else:
            return value
        if same:
            return value
        if kind is not tuple:
            self._copies.append((value, new, kind(new)))
        return new

    def written_back(self) -> bool:
        """Whether the function has changed a copy; the changes are made to the original."""
        changed = False
        for original, copy, before in self._copies:
            if len(copy) != len(before) or (any([copy.get(k) is not v for k, v in before.items()]) if type(copy) is dict
                                            else any([a is not b for a, b in zip(copy, before, strict=True)])):
                changed = True
                original.clear()
                original.update(untraced(copy)) if type(original) is dict else original.extend(untraced(copy))
        return changed


def untraced(value: Any) -> Any:
    """A tree with Python's floats again."""
    return mapped(value, lambda v: float(v) if type(v) is TracedFloat else v)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A tree with its leaves changed."""
    kind = type(value)
    if kind is dict:
        return {key: mapped(item, change) for key, item in value.items()}
    if kind in (tuple, list):
        return kind([mapped(item, change) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*[mapped(item, change) for item in value])
    return change(value)


def leaves(value: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


def is_number_array(value: Any) -> bool:
    """Whether a leaf is a NumPy array or number that a tensor can be made from."""
    if isinstance(value, np.ndarray):
        try:
            from_numpy_dtype(value.dtype)
        except TypeError:
            return False
        return True
    return isinstance(value, (float, np.floating))
