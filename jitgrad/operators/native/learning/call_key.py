"""The key of an operator's call: types, flags and identities of its arguments as integers, by which its template is found."""
from __future__ import annotations

from typing import Any

from jitgrad.graph.node import Node
from jitgrad.operators.native import layout as W
from jitgrad.tensors.histories import is_fixed
from jitgrad.tensors.steps import interned
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import dtype, get_default_dtype

_SAME = frozenset({int, float, bool, str, type(None), dtype})      # of an object of these types the identity tells all
_SHORT = 1 << (63 - W.BITS)
_OF_NUMBERS = (W.NUMBERS, W.SCALED)


def _is_before(tensor: Any, value: Any) -> bool:
    """Whether a value is a view of a tensor, or what its storage was, that has been written to since it was made."""
    return type(value) is Tensor and isinstance(tensor, Tensor) and value._storage is tensor._storage is not None and (
        not value._storage.deferred and value._seen != value._storage.writes)


class CallWords:
    """The words of a call, as record.py makes them, and what they keep alive.

    filled: whether the first argument is being filled, and no gradient goes to it (Storage.private).  before: whether the last
    argument of a write by index is a view of the first that has itself been written to.  entered: whether it is in the table."""

    entered = False

    def __init__(self, args: tuple, kwargs: dict[str, Any], kind: int) -> None:
        self.kind = kind
        self.words: list[int] = []
        self.kept: list[Any] = [*kwargs]
        self.nodes: list[Node] = []                     # of the tensors among the arguments, in order
        self.numbers: list[tuple[int, int | float]] = []        # the numbers that are run-time arguments, and which arguments they are
        self.pattern = 0
        self.before = kind == W.WRITES and len(args) == 3 and not kwargs and _is_before(args[0], args[2])
        self.count = W.NAMES * len(kwargs) + len(args)
        self.default = get_default_dtype()
        self.filled = kind >= W.READS and bool(args) and self._filled(args[0])
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
        if i == 0 and self.filled:
            return interned(value._chain) is value._chain
        if i is not None and (kind is int or kind is float) and (self.kind in _OF_NUMBERS or (self.kind == W.WRITES and i == 2)):
            self.numbers.append((i, value))
            self.words.append(id(kind) + W.NUMBER)
            return True
        if i == 2 and self.before:
            self.words.append(id(value._chain) + W.BEFORE)
            self.kept.append(value._chain)
            return interned(value._chain) is value._chain and (self.filled or not is_fixed(value._chain))
        return self._part(value) and (i != 0 or self.kind < W.UPDATES or self._written(value))

    def _filled(self, tensor: Any) -> bool:
        """See storing.Storing.see_filled."""
        if not isinstance(tensor, Tensor) or tensor._leaf is not None or not tensor._tracks_version:
            return False
        storage = tensor._storage
        if storage is None or storage.deferred or storage.private is None or storage.owner is not None or (
                storage.history is not None or storage.node.requires_grad):
            return False
        self.words += [id(tensor._node.spec.type) + W.PRIVATE, id(tensor._chain), id(storage.node.spec.type)]
        self.kept += [tensor._node.spec.type, tensor._chain, storage.node.spec.type]
        return True

    def _written(self, tensor: Any) -> bool:
        """Of what is written to."""
        if not isinstance(tensor, Tensor):
            return False
        chain, storage = tensor._chain, tensor._storage
        self.words.append(id(chain))
        self.kept.append(chain)
        if chain:
            if storage.history is not None or self.kind == W.WRITES:
                return False
            self._node(storage.node)
        return interned(chain) is chain and not is_fixed(chain)

    def _part(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            self._node(value._current())
            return True
        if type(value) is slice:
            self.words.append(id(slice) + W.PARTS)
            return all([self._plain(bound) for bound in (value.start, value.stop, value.step)])
        return self._plain(value)

    def _node(self, node: Node) -> None:
        for j, other in enumerate(self.nodes):
            if other is node:
                self.pattern |= (j + 1) << (4 * len(self.nodes))
        self.nodes.append(node)
        self.kept.append(node.spec.type)
        self.words.append(id(node.spec.type) + W.NEEDS * node.requires_grad + W.PENDING * (node.depth > 0))

    def _plain(self, value: Any) -> bool:
        self.kept.append(value)
        is_short = type(value) is int and value != -1 and -_SHORT <= value < _SHORT
        self.words.append((value << W.BITS) + W.INTEGER if is_short else id(value))
        return type(value) in _SAME
