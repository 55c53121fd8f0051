"""What all functions that make tensors have in common: the lengths and dtypes they are given, and what they return."""
from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from jitgrad.operators.conversion import item
from jitgrad.operators.declaration.out import refuse_gradients, write_to
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import as_dtype, dtype, refuse_complex

NO_GRADIENTS = "Only Tensors of floating point and complex dtype can require gradients"


def finished(array: np.ndarray, requires_grad: bool = False, out: Tensor | None = None, device: str = "cpu") -> Tensor:
    """A tensor on an array that nobody else writes to, or a copy of it on another device; or `out`, with its numbers."""
    result = from_array(array, device=device if out is None else out._node.spec.type.device)
    if requires_grad and result.dtype.category != 2:
        raise RuntimeError(NO_GRADIENTS)
    if out is not None:
        write_to(out, result, casts=False)
        result = out
    return result.requires_grad_() if requires_grad else result


def made_as(called: str, out: Any, given: Any, otherwise: dtype) -> dtype:
    """The dtype to make a tensor in: that of `out` or the one that is given, if any.  Raises in PyTorch's words."""
    if out is None:
        return otherwise if given is None else as_dtype(given)
    if not isinstance(out, Tensor):
        raise TypeError(f"{called}(): argument 'out' must be Tensor, not {type(out).__name__}")
    refuse_gradients(called, [out])
    if given is not None and as_dtype(given) is not out.dtype:
        raise RuntimeError(f"dtype {as_dtype(given).title} does not match dtype of out parameter ({out.dtype.title})")
    return out.dtype


# -- lengths -----------------------------------------------------------------------------------------------------------

def sizes(called: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """Lengths given one by one or as a sequence.  Raises TypeError or RuntimeError as PyTorch does."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    found = []
    for i, v in enumerate(args):
        if isinstance(v, (float, str, bool)) or v is None:
            raise TypeError(f"{called}(): argument 'size' (position {i + 1}) must be tuple of ints, not "
                            f"{type(v).__name__}")
        n = index(v)
        if n < 0:
            raise RuntimeError(f"{called}: Dimension size must be non-negative.")
        found.append(n)
    return tuple(found)


def given_sizes(called: str, by_position: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, ...]:
    """Lengths that are given by position, or as `size`.  Raises TypeError in PyTorch's words, and as `sizes`."""
    for name in named:
        if name != "size":
            raise TypeError(f"{called}() got an unexpected keyword argument '{name}'")
        if by_position:
            raise TypeError(f"{called}() got multiple values for argument 'size'")
        by_position = (named[name],)
    if not by_position:
        raise TypeError(f'{called}() missing 1 required positional arguments: "size"')
    return sizes(called, by_position)


def plain(value: Any) -> Any:
    """A 0-d tensor as its number; anything else as it is."""
    refuse_complex(value)
    return item(value) if isinstance(value, Tensor) else value
