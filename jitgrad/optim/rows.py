"""One parameter of an optimizer's step with its gradient and state, and the update rules on them."""
from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.tensors.tensor import Tensor


class Row(NamedTuple):
    """One parameter: its gradient, the tensors that change (the parameter first), the numbers of the rule, what the
    optimizer keeps for the parameter, and of that the tensor that counts steps."""

    gradient: np.ndarray
    tensors: tuple[Tensor, ...]
    numbers: tuple[float, ...]
    state: dict[str, Any] | None = None
    counter: Tensor | None = None


class Rule(Protocol):
    """New values of the tensors of a row, from (gradient, *values, *numbers): arrays or nodes.  Equal rules are equal
    as objects; `short`: a handful of operations."""

    @property
    def short(self) -> bool: ...                                    # noqa: D102

    def __call__(self, g: Any, *values: Any) -> tuple: ...   # noqa: D102

    def __hash__(self) -> int: ...                                  # noqa: D105


def sqrt(x: Any) -> Any:
    """The square root of an array or a node."""
    return ops.sqrt(x) if type(x) is Node else np.sqrt(x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of two arrays or nodes."""
    return ops.maximum(x, y) if type(x) is Node else np.maximum(x, y)
