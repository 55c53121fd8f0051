"""Functions recorded once for all elements of a batch: what vmap, jacobians and is_grads_batched are made of.

The function is called with stand-ins for an element (batching.element_of), while nothing is computed; what it returns is then
batched.  Whoever asks for the value of a stand-in gets an error.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jitgrad import tracing
from jitgrad.autograd.reverse.owners import fn_name
from jitgrad.batching import UNKNOWN, batch, depends, element_of, whole
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind
from jitgrad.operators.declaration.declare import OPERATORS, finish_composite
from jitgrad.ops import REGISTRY
from jitgrad.tensors.tensor import Tensor, wrap

_T = TypeVar("_T")
RANDOM = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness "
          "flags on "
          "vmap or perform the randomness operation out of vmap")


class Batch(tracing.TraceNotes):
    """One call for a batch of `size`.  elements: the stand-ins, each with what it is an element of."""

    def __init__(self, size: int, randomness: str = "error") -> None:
        super().__init__()
        self.size = size
        self.randomness = randomness
        self.elements: dict[Node, Node] = {}
        self._outer = tracing.current()
        self.reads = _Reads(self)

    def element(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """The stand-in for an element of a tensor along a dimension."""
        node = tensor._current()
        if dim:
            node = bind(REGISTRY["permute"], (node,), ((dim, *[d for d in range(node.type.ndim) if d != dim]),))
        made = element_of(node)
        self.elements[made] = node
        return wrap(made)

    def record(self, function: Callable[..., _T], *args: Any) -> _T:
        """function(*args), of which nothing is computed meanwhile."""
        return tracing.traced(self, function, *args)

    def results(self, outputs: Sequence[Tensor], dims: Sequence[int | None]) -> list[Tensor]:
        """What all elements make of the outputs, the batch at these dimensions; None: the one result of all."""
        nodes = [t._current() for t in outputs]
        made, outside = tracing.traced(self, batch, nodes, self.elements, self.size)
        edges = tuple([n for n in outside if n.requires_grad])
        results = []
        for node, found, dim in zip(nodes, made, dims):         # noqa: B905 (dims may be longer)
            if dim is None:
                if found.batched:
                    raise ValueError("vmap: `None` is in out_dims for an output that depends on the batch. If it is the same for all "
                                     "elements, take one of them afterwards.")
                results.append(wrap(found.node))
                continue
            result = whole(found, self.size)
            if dim:
                order = list(range(1, result.type.ndim))
                order.insert(dim % result.type.ndim, 0)
                result = bind(REGISTRY["permute"], (result,), (tuple(order),))
            if result in outside and not (node in self.elements and node.extra is not None and node.extra.fn is not None):
                result = bind(REGISTRY["copy"], (result,))
            if result in outside:               # what a Function gave
                results.append(wrap(result))
                continue
            # Its grad_fn is named as that of what one element gives.
            name = fn_name(node) if node.requires_grad and node.inputs else "CloneBackward0"
            results.append(wrap(finish_composite(result, name, edges)))
        return results

    # -- what the function must not do -------------------------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """See TraceNotes."""
        if reason == "it draws random numbers":
            if self.randomness == "error":
                raise RuntimeError(RANDOM)
            if self.randomness == "different":
                raise NotImplementedError("vmap: with randomness='different' this cannot be drawn inside (in place, a sample of a "
                                          "distribution): use torch.rand, randn or their kin, or draw outside, for all elements")
        if self._outer is not None:
            self._outer.refuse(reason)

    def positions(self, node: Node, low: int, high: int, also: int | None = None) -> bool:
        """See TraceNotes: the positions of an element are checked when they are used."""
        return depends(node, self.elements) or (self._outer is not None and self._outer.positions(node, low, high, also))

    def divisor(self, node: Node) -> bool:
        """See TraceNotes."""
        return depends(node, self.elements) or (self._outer is not None and self._outer.divisor(node))

    def applied(self, function: Any, args: tuple) -> tuple[Any] | None:
        """See TraceNotes: a Function is applied to the whole batch."""
        if any([isinstance(a, Tensor) and depends(a._current(), self.elements) for a in args]):
            from jitgrad.autograd.transforms.function_batching import apply_to_elements
            return (apply_to_elements(self, function, args),)
        return (tracing.traced(self._outer, function.apply, *args),)

    def drawn(self, function: Any, args: tuple, kwargs: dict[str, Any], by_element: bool) -> Any:
        """See TraceNotes: with randomness="different" the numbers of all elements are drawn, outside."""
        if self.randomness == "error":
            return None
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and depends(a._current(), self.elements)]
        if self.randomness == "same":
            if by_element and given:
                raise RuntimeError("Vmap does not currently support same randomness with a batched tensor input. Please file an issue "
                                   "with functorch")
            return None if self._outer is None else tracing.traced(self._outer, functools.partial(function, *args, **kwargs))
        if by_element and given:
            made, _ = tracing.traced(self, batch, [t._current() for t in given], self.elements, self.size)
            whole_ones = {id(t): wrap(whole(m, self.size)) for t, m in zip(given, made, strict=True)}
            args = tuple([whole_ones.get(id(a), a) for a in args])
            kwargs = {name: whole_ones.get(id(a), a) for name, a in kwargs.items()}
            return self.element(tracing.traced(self._outer, functools.partial(function, *args, **kwargs)))
        one = functools.partial(function, *args, **kwargs)
        return self.element(tracing.traced(self._outer, lambda: OPERATORS["stack"].call([one() for _ in range(self.size)])))

    def array_read(self, node: Node) -> None:
        """See TraceNotes."""
        if self._outer is not None:
            self._outer.array_read(node)

    def array_layout(self, node: Node) -> None:
        """See TraceNotes."""
        if self._outer is not None:
            self._outer.array_layout(node)


class _Reads(list):
    """The nodes of which Python has asked for the value: those of stand-ins are refused."""

    def __init__(self, of: Batch) -> None:
        super().__init__()
        self._of = of

    def append(self, node: Node) -> None:
        """A read."""
        if depends(node, self._of.elements):
            raise RuntimeError(UNKNOWN)
        if self._of._outer is not None:
            self._of._outer.reads.append(node)

