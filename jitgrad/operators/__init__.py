"""The public operators.  Importing this package fills `declare.OPERATORS`; `FUNCTIONAL` is what nn.functional shows.

declaration/    schemas, and what every call does          elementwise/ views/ indexing/ functional/ and the modules
templates/      what calls record, as data                 beside them: the operators, by family
native/         the same recording in machine code         operands.py, provenance.py, traced*.py: what operators are given
"""
from __future__ import annotations

from collections.abc import Callable

from jitgrad.operators import conversion, joining, products, reduction
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.operators.elementwise import arithmetic, comparison, pointwise, special
from jitgrad.operators.functional import activation, losses, more_losses, normalizing, windows
from jitgrad.operators.indexing import getitem, scattering, selection
from jitgrad.operators.linalg import contraction, decompositions, norms, solving
from jitgrad.operators.ordering import counting, scans, sorting, statistics
from jitgrad.operators.views import diagonal, partition, shape, splitting

__all__ = ["FUNCTIONAL", "OPERATORS", "activation", "arithmetic", "comparison", "contraction", "conversion", "counting",
           "decompositions", "diagonal", "getitem", "joining", "losses", "more_losses", "normalizing", "norms", "partition",
           "pointwise", "products", "reduction", "scans", "scattering", "selection", "shape", "solving", "sorting", "special",
           "splitting", "statistics", "windows"]

FUNCTIONAL: dict[str, Callable] = {name: op.call for name, op in OPERATORS.items() if "functional" in op.places}
FUNCTIONAL.update({name: activation.with_inplace(name) for name in activation.INPLACE})
FUNCTIONAL.update(softmax=activation.functional_softmax, log_softmax=activation.functional_log_softmax)
