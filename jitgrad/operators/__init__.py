"""The public operators.  Importing this package fills `declare.OPERATORS`; `FUNCTIONAL` is what nn.functional shows.

declaration/    schemas, and what every call does          elementwise/ views/ indexing/ functional/ and the modules
templates/      what calls record, as data                 beside them: the operators, by family
native/         the same recording in machine code         operands.py, provenance.py, traced*.py: what operators are given
"""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.operators import conversion, joining, products, reduction
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.operators.elementwise import arithmetic, comparison, pointwise
from jitgrad.operators.functional import activation, losses, more_losses, normalizing, windows
from jitgrad.operators.indexing import getitem, selection
from jitgrad.operators.views import partition, shape

__all__ = ["FUNCTIONAL", "OPERATORS", "activation", "arithmetic", "comparison", "conversion", "getitem", "joining",
           "losses", "more_losses", "normalizing", "partition", "pointwise", "products", "reduction", "selection", "shape", "windows"]

FUNCTIONAL: dict[str, Callable] = {name: op.call for name, op in OPERATORS.items() if "functional" in op.places}
FUNCTIONAL.update({name: activation.with_inplace(name) for name in activation.INPLACE})
FUNCTIONAL.update(softmax=activation.functional_softmax, log_softmax=activation.functional_log_softmax)
