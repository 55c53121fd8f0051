"""What stands in for the storages of the results of a replayed call, until their graph is recorded.

Input: a call.  Output: what a Tensor has as its storage, see storage.Deferred.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.capture.replays.captured_graph import Call
from jitgrad.graph.node import Node
from jitgrad.requests import execute
from jitgrad.tensors.storage import Version
from jitgrad.tensors.tensor import Tensor, wrap


class StandIn:
    """What stands in for the storage of a result until it is recorded: see storage.Deferred."""

    __slots__ = ()
    deferred = True
    writes = -1         # never what the tensor has seen
    node: Any = None

    @property
    def cell(self) -> Version:
        """A version counter, at 0: nobody has written to the result yet."""
        return Version()

    def detach(self, tensor: Tensor, tracks: bool) -> Tensor:
        """See storage.Deferred: the graph is recorded when it takes more than the value."""
        result = wrap(Node(tensor._node.spec, (), False, 0))
        result._storage = DetachedResult(tensor, tracks)
        return result


class DetachedResult(StandIn):
    """What detach() or `.data` of a result gives, until more than its value is asked for.

    source: the result; of: its storage when it was detached; tracks: see Tensor._detached."""

    __slots__ = ("source", "of", "tracks", "__weakref__")

    def __init__(self, source: Tensor, tracks: bool) -> None:
        self.source = source
        self.of: Any = source._storage
        self.tracks = tracks

    def materialise(self, tensor: Tensor) -> None:
        """See storage.Deferred."""
        found = self.source._detached(self.tracks)
        tensor._node, tensor._storage, tensor._chain = found._node, found._storage, found._chain
        tensor._seen, tensor._tracks_version = found._seen, found._tracks_version

    def value(self, tensor: Tensor) -> np.ndarray:
        """See storage.Deferred."""
        return self.of.value(self.source) if self.source._storage is self.of else execute.value(tensor._current())

    def backward(self) -> bool:
        """See storage.Deferred."""
        return False

    def detach(self, tensor: Tensor, tracks: bool) -> Tensor:
        """See storage.Deferred."""
        return tensor._detached(tracks)


class LazyResult(StandIn):
    """One of the results of a call.  output: its number."""

    __slots__ = ()
    call: Any
    output = 0

    def materialise(self, tensor: Tensor) -> None:
        """See storage.Deferred."""
        call = self.call
        tensor._node = call.record()[call.template.outputs[self.output]]
        tensor._storage = None

    def value(self, tensor: Tensor) -> np.ndarray:
        """See storage.Deferred."""
        array = self.call.look(self.output)
        return execute.value(tensor._current()) if array is None else array

    def backward(self) -> bool:
        """See storage.Deferred."""
        return self.call.deliver(self.output)


class Single(Call, LazyResult):
    """The call of a function with one result, which stands in for the storage of that itself."""

    call = property(lambda self: self)

    def value(self, tensor: Tensor) -> np.ndarray:
        """See storage.Deferred."""
        array = self.look(0)                    # the usual case, without asking for `call`
        return execute.value(tensor._current()) if array is None else array

    def backward(self) -> bool:
        """See storage.Deferred."""
        plan = self.template.plans.get(0)       # the usual case of `deliver`, without a further call
        return (plan is not None and plan.again is not None and plan.again(self)) or self.deliver(0)


class OneOfSeveral(LazyResult):
    """One of several results of a call."""

    __slots__ = ("call", "output", "__weakref__")

    def __init__(self, call: Call, output: int) -> None:
        self.call = call
        self.output = output


def recorded_result(call: Call, output: int) -> Tensor:
    """The tensor of an output whose graph is recorded at once."""
    template = call.template
    return wrap(call.record()[template.outputs[output]])
