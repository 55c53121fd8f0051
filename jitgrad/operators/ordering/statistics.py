"""Statistics of rows: covariances and correlations, sums and means without nans."""
from __future__ import annotations

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import COMPUTES
from jitgrad.operators.operands import Dims, cast
from jitgrad.operators.reduction import reduced
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import as_dtype, dtype, int64

BOTH = ("torch", "method")


@function(places=BOTH, kind=None)
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariances of the rows, columns being observations, weighted by how often they came and by what they count."""
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    x = input if input.ndim == 2 else input.reshape(1, -1)
    n = x.shape[1]
    x = x if x.dtype.category == 2 else x.float()
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            weights = given if weights is None else weights * given
    if weights is None:
        total, mean = n, x.sum(1, keepdim=True) / n
        norm = total - correction
        centered = weighted = x - mean
    else:
        total = weights.sum()
        mean = (x * weights).sum(1, keepdim=True) / total
        norm = total - correction if aweights is None else total - correction * (weights * aweights).sum() / total
        centered = x - mean
        weighted = centered * weights
        norm = OPERATORS["clamp"].call(norm, min=0)
    if weights is None:
        norm = max(norm, 0)
    result = (weighted @ centered.T) / norm
    return result.squeeze()


@function(places=BOTH, kind=None)
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows, columns being observations."""
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = OPERATORS["sqrt"].call(c.diagonal())
    return OPERATORS["clip"].call(c / deviation.unsqueeze(1) / deviation.unsqueeze(0), -1, 1)


@operator("NansumBackward0", saves=("input",), out=COMPUTES)
def nansum(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node:
    """The sum over all elements or over `dim`, nans counting as 0."""
    to = as_dtype(dtype or (int64 if input.type.dtype.category < 2 else input.type.dtype))
    x = input if input.type.dtype.category < 2 else ops.where(ops.isnan(input), ops.number(0, input), input)
    return reduced(ops.REGISTRY["sum"], cast(x, to), dim, keepdim)


@function(places=BOTH, kind=None, out=COMPUTES)
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Tensor:
    """The mean over all elements or over `dim`, of those that are not nan."""
    if input.dtype.category < 2:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {input.dtype.title}")
    count = OPERATORS["logical_not"].call(OPERATORS["isnan"].call(input)).sum(dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count
