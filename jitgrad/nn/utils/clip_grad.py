"""Gradients kept within a norm, or within bounds."""
from __future__ import annotations

from collections.abc import Iterable

from jitgrad.graph.recording import in_grad_mode
from jitgrad.operators import OPERATORS
from jitgrad.operators.creation import tensor
from jitgrad.tensors.tensor import Tensor


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def get_total_norm(tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Tensor:
    """The norm of all tensors as one vector.  Raises RuntimeError for one that is not finite, if asked."""
    given = _listed(tensors)
    if not given:
        return tensor(0.0)
    norm, p = OPERATORS["norm"].call, float(norm_type)
    total = in_grad_mode(False, lambda: norm(OPERATORS["stack"].call([norm(t, p) for t in given]), p))
    if error_if_nonfinite and not bool(OPERATORS["isfinite"].call(total)):
        raise RuntimeError(f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. "
                           f"To disable "
                           "this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`")
    return total


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor,
                          foreach: bool | None = None) -> None:
    """Scale gradients of this norm to at most max_norm."""
    scale = in_grad_mode(False, lambda: OPERATORS["clamp"].call(float(max_norm) / (total_norm + 1e-6), max=1.0))
    for p in _listed(parameters):
        if p._grad is not None:
            in_grad_mode(False, p._grad.mul_, scale)        # type: ignore[attr-defined]


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                    foreach: bool | None = None) -> Tensor:
    """Scale the gradients so that their norm, as one vector, is at most max_norm; the norm that they had is returned."""
    parameters = _listed(parameters)
    total = get_total_norm([p._grad for p in parameters if p._grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Keep each element of the gradients between -clip_value and clip_value."""
    for p in _listed(parameters):
        if p._grad is not None:
            in_grad_mode(False, lambda g=p._grad: g.clamp_(-float(clip_value), float(clip_value)))
