"""The public operators.  Importing this package fills `declare.OPERATORS`; `FUNCTIONAL` is what nn.functional shows."""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.operators import (
    activation,
    arithmetic,
    comparison,
    conversion,
    indexing,
    joining,
    losses,
    partition,
    pointwise,
    products,
    reduction,
    selection,
    shape,
)
from jitgrad.operators.declare import OPERATORS

__all__ = ["FUNCTIONAL", "OPERATORS", "activation", "arithmetic", "comparison", "conversion", "indexing", "joining",
           "losses", "partition", "pointwise", "products", "reduction", "selection", "shape"]

FUNCTIONAL: dict[str, Callable] = {name: op.call for name, op in OPERATORS.items() if "functional" in op.places}
FUNCTIONAL.update({name: activation.with_inplace(name) for name in activation.INPLACE})
FUNCTIONAL.update(softmax=activation.functional_softmax, log_softmax=activation.functional_log_softmax)
