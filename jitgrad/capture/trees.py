"""Arguments and results of a captured function: nested dicts, lists and tuples.

For arguments, lines of Python are written that take a call of the same structure apart: each tensor's node, checked to
be of the same type, each number and string tested, anything else left to guards.py.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.capture.guards import Guards, Refused
from jitgrad.dtype import from_numpy_dtype
from jitgrad.graph import INPUT, Node
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
        elif kind in (tuple, list, dict):
            g.test(f"type({where}) is {g.constant(kind)} and len({where}) == {len(value)}")
            for key, item in value.items() if kind is dict else enumerate(value):
                if not isinstance(key, (str, int)):
                    raise Refused(f"{what} is a dict with keys that are neither strings nor integers")
                self.take(item, f"{where}[{key!r}]", f"{what}[{key!r}]", wrap)
        else:
            g.value(value, where, what)


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
