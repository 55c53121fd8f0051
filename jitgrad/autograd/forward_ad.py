"""torch.autograd.forward_ad: dual tensors, which are values with tangents.

A dual is an alias of its primal for which the level, open for as long as there are duals, has the tangent; `unpack_dual` asks for the
derivative along the tangents of all duals that a tensor is made of (transforms/forward.py).  So what is made of duals is recorded,
and requires a gradient, also where the level was opened without grad mode; where it is not (no_grad within the level, detach) the
tangent ends.
"""
from __future__ import annotations

from typing import Any, NamedTuple

from jitgrad.autograd.modes import Mode, enable_grad
from jitgrad.autograd.transforms.forward import alias, edges, is_linked, push_forward
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import grad_mode
from jitgrad.operators.conversion import to
from jitgrad.operators.creation import zeros_like
from jitgrad.tensors.tensor import Tensor, wrap


class UnpackedDualTensor(NamedTuple):
    """A tensor's value and its tangent; None: it has none."""

    primal: Tensor
    tangent: Tensor | None


class _Level:
    """What is between enter_dual_level and exit_dual_level.  duals: their tangents; records: whether it was opened in grad mode."""

    def __init__(self) -> None:
        self.duals: dict[Node, Tensor] = {}
        self.records = grad_mode.enabled
        self.recording = enable_grad()


_levels: list[_Level] = []          # at most one, of all threads, as in PyTorch


def enter_dual_level() -> int:
    """Open a level, and return its number, 0.  Raises RuntimeError where one is open."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    level = _Level()
    level.recording.__enter__()
    _levels.append(level)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: its duals have no tangents any more."""
    if not _levels:
        raise RuntimeError("Dual level must be a positive number.")
    if level not in (None, 0):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not supported.")
    _levels.pop().recording.__exit__()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The dual tensor of this value and this tangent, which is of the value's shape."""
    if not _levels or (level is not None and level < 0):
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first.")
    for what, t in (("primal", tensor), ("tangent", tangent)):
        if not t.dtype.is_floating_point:
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                           f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
                           f"{list(tangent.shape)}.")
    if not grad_mode.enabled:
        raise NotImplementedError("make_dual: inside no_grad within a level nothing is recorded; enter no_grad before the level")
    if _below(tensor):
        raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
                           "supported.")
    dual = alias(tensor)
    _levels[-1].duals[dual._current()] = to(tangent, tensor.dtype)
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a tensor that was made of duals; where the level is closed the tensor alone."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"unpack_dual(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
    duals = _below(tensor)
    if not duals or (level is not None and level < 0):
        return UnpackedDualTensor(tensor, None)
    of = _levels[-1]
    tangents, inputs = [of.duals[n] for n in duals], [wrap(n) for n in duals]
    linked = of.records and is_linked([tensor], inputs)
    primal = tensor if linked else tensor.detach()
    if tensor._current() in of.duals:
        return UnpackedDualTensor(primal, tangents[0])
    create_graph = linked or (of.records and any([t.requires_grad for t in tangents]))
    tangent = push_forward([tensor], inputs)(tangents, create_graph)[0]
    return UnpackedDualTensor(primal, zeros_like(primal) if tangent is None else tangent)


def _below(tensor: Tensor) -> list[Node]:
    """The duals that a tensor is made of."""
    duals: Any = _levels[-1].duals if _levels else ()
    node = tensor._current()
    if not duals or not node.requires_grad:
        return []
    return [n for n in topological([node], lambda n: () if n in duals else edges(n)) if n in duals]


class dual_level(Mode):
    """A level as a context manager, or a decorator."""

    def __enter__(self) -> int:             # type: ignore[override]
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
