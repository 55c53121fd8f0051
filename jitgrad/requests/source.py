"""What runs a backward that comes again, and may be asked to compute more than gradients.

Input: a request like one before.  Output: True once its gradients are delivered, None where it is another's.
Invariant: who has asked is referred to weakly; when it is gone, what ran before runs again.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jitgrad.graph.node import Node

if TYPE_CHECKING:
    from jitgrad.compiler.program import AnyProgram, Bound

Run = Callable[[list[Any]], list[Any]]


class Asker(Protocol):
    """Who wants more than gradients.  joint: the program of everything, once it is made."""

    joint: AnyProgram | None

    def wants(self, accumulators: Sequence[Any]) -> bool:
        """Whether this is the backward to be asked about: that of the gradients for these tensor.Accumulators."""
        ...

    def program(self, order: list[Node], root: Node, leaves: Sequence[Node], accumulators: Sequence[Any], bound: Bound,
                constants: Mapping[int, Any]) -> Run | None:
        """What to run in place of `bound.run`, with the same arguments and results; None: nothing else.

        leaves: with gradients, in the order of these; accumulators: of each.  constants: numbers, by
        position of the order, that are fixed in `bound`."""
        ...


class Source:
    """A pattern (matcher.py), or the plan of a replay (capture/replays/replay.py).

    again(request): run and deliver, None where there is no such way; usual: `again` while nobody has asked for more than gradients;
    deliver(run): `again` for another program; asker: who has asked last, weakly; reference: to this, weakly."""

    __slots__ = ()
    again: Any
    usual: Any
    deliver: Any
    asker: Any
    reference: Any

    def asking(self, request: Any) -> tuple[Sequence[Any], Callable[[Asker], Run | None]] | None:
        """Whose gradients a request gives (tensors.Accumulators), and what makes an asker's program for it; None for another's."""
        raise NotImplementedError

    def ask(self, asker: Asker) -> bool:
        """At the next backward, ask what to run from then on.  False if it always runs the same."""
        if self.usual is None:
            return False
        own = self.reference

        def leave(gone: Any) -> None:
            source = own()
            if source is not None and source.asker is gone:
                source.again, source.asker = source.usual, None

        def again(request: Any) -> bool | None:
            source = own()
            return None if source is None else source.decide(request)

        self.asker = weakref.ref(asker, leave)
        self.again = again
        return True

    def decide(self, request: Any) -> bool | None:
        """Ask, and run."""
        found = self.asking(request)
        if found is None:
            return None
        accumulators, program = found
        asked = self.asker and self.asker()
        if asked is None or asked.wants(accumulators):
            run = None if asked is None else program(asked)
            self.again = self.usual if run is None else self.deliver(run)
            return self.again(request)
        return self.usual(request)
