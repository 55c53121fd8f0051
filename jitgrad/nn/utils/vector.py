"""Parameters as one vector, and back."""
from __future__ import annotations

from collections.abc import Iterable

from jitgrad.operators import OPERATORS
from jitgrad.tensors.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements, one parameter after the other."""
    return OPERATORS["cat"].call([p.reshape(-1) for p in parameters])          # type: ignore[attr-defined]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Put the elements of a vector into the parameters, unseen by autograd."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec)}")
    at = 0
    for p in parameters:
        n = p.numel()                               # type: ignore[attr-defined]
        p.data = vec[at:at + n].reshape(p.shape).data        # type: ignore[attr-defined]
        at += n
