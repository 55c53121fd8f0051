"""Invertible functions of values, with the logarithm of the derivative's size: what TransformedDistribution is made of."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import jitgrad
from jitgrad.distributions import constraints
from jitgrad.nn import functional as F
from jitgrad.tensors.tensor import Tensor


class Transform:
    """y = transform(x), x = transform.inv(y).  sign: 1 or -1, of a monotonic one.  domain, codomain: where x and y lie."""

    bijective = True
    sign: Any = 1
    domain: Any = constraints.real
    codomain: Any = constraints.real

    def __init__(self, cache_size: int = 0) -> None:
        self._cache_size = cache_size

    @property
    def event_dim(self) -> int:
        """How many of the last dimensions are one value."""
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy / dx|, of the determinant where a value is a vector."""
        raise NotImplementedError

    def forward_shape(self, shape: Any) -> Any:
        """The shape of y."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of x."""
        return shape

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and {k: v for k, v in vars(self).items() if k != "_cache_size"} == {
            k: v for k, v in vars(other).items() if k != "_cache_size"}

    __hash__ = None        # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """The inverse of a transform."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._inv = transform
        self.domain, self.codomain = transform.codomain, transform.domain
        self.sign, self.bijective = transform.sign, transform.bijective

    @property
    def inv(self) -> Transform:
        """The transform itself."""
        return self._inv

    def __call__(self, x: Tensor) -> Tensor:
        return self._inv._inverse(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        """See Transform."""
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        """See Transform."""
        return self._inv.forward_shape(shape)

    def __repr__(self) -> str:
        return f"_InverseTransform({self._inv!r})"


class ComposeTransform(Transform):
    """Transforms one after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.bijective = all([p.bijective for p in self.parts])
        if self.parts:
            self.domain, self.codomain = _widest([p.domain for p in self.parts]), _widest([p.codomain for p in reversed(self.parts)])
        self.sign = math.prod([p.sign for p in self.parts]) if all([isinstance(p.sign, (int, float)) for p in self.parts]) else 1

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inverse(y) if not isinstance(part, _Inverse) else part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        if not self.parts:
            return jitgrad.zeros_like(x)
        total: Any = 0
        for part in self.parts:
            after = part(x)
            total = total + summed(part.log_abs_det_jacobian(x, after), self.event_dim - part.event_dim)
            x = after
        return total

    def forward_shape(self, shape: Any) -> Any:
        """See Transform."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """See Transform."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        return "ComposeTransform(\n    " + ",\n    ".join([repr(p) for p in self.parts]) + "\n)"


def _widest(given: list[Any]) -> Any:
    most = max([c.event_dim for c in given])
    return given[0] if given[0].event_dim == most else constraints.independent(given[0], most - given[0].event_dim)


def summed(value: Tensor, dims: int) -> Tensor:
    """The sum over so many of the last dimensions."""
    return value.sum(tuple(range(-dims, 0))) if dims > 0 else value         # type: ignore[attr-defined]


class IndependentTransform(Transform):
    """A transform of each element of the last dimensions, as one of vectors."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.base_transform, self.reinterpreted_batch_ndims = base_transform, reinterpreted_batch_ndims
        self.domain = constraints.independent(base_transform.domain, reinterpreted_batch_ndims)
        self.codomain = constraints.independent(base_transform.codomain, reinterpreted_batch_ndims)

    def __call__(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inverse(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return summed(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)


class ExpTransform(Transform):
    """exp(x)."""

    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return x.exp()                  # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()                  # type: ignore[attr-defined]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return x


class PowerTransform(Transform):
    """x ** exponent, of positive numbers."""

    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    def __call__(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)             # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)         # type: ignore[attr-defined]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def __call__(self, x: Tensor) -> Tensor:
        eps = np.finfo(x.dtype.np)
        return jitgrad.clamp(jitgrad.sigmoid(x), min=float(eps.tiny), max=1.0 - float(eps.eps))

    def _inverse(self, y: Tensor) -> Tensor:
        eps = np.finfo(y.dtype.np)
        y = y.clamp(min=float(eps.tiny), max=1.0 - float(eps.eps))         # type: ignore[attr-defined]
        return y.log() - (-y).log1p()           # type: ignore[attr-defined]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return -F.softplus(-x) - F.softplus(x)


class TanhTransform(Transform):
    """tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        return x.tanh()                 # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return jitgrad.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))


class SoftplusTransform(Transform):
    """log(1 + exp(x))."""

    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        return -F.softplus(-x)


class AbsTransform(Transform):
    """|x|, which has no inverse: the positive of both is taken."""

    bijective = False
    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return x.abs()                  # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """loc + scale * x."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim
        self.domain = self.codomain = constraints.real if event_dim == 0 else constraints.independent(constraints.real, event_dim)

    @property
    def sign(self) -> Any:              # type: ignore[override]
        """That of scale."""
        return self.scale.sign() if isinstance(self.scale, Tensor) else (self.scale > 0) - (self.scale < 0)       # type: ignore

    def __call__(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        scale = self.scale
        if not isinstance(scale, Tensor):
            result = jitgrad.full_like(x, math.log(abs(scale)))
        else:
            result = jitgrad.abs(scale).log()
        if self._event_dim:
            result = summed(jitgrad.broadcast_tensors(result, x)[0], self._event_dim)
        return result.expand(x.shape[:x.ndim - self._event_dim])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AffineTransform) and bool(jitgrad.all(jitgrad.as_tensor(
            (self.loc == other.loc) if isinstance(self.loc == other.loc, Tensor) else [self.loc == other.loc]))) and bool(
            jitgrad.all(jitgrad.as_tensor((self.scale == other.scale) if isinstance(self.scale == other.scale, Tensor)
                                          else [self.scale == other.scale])))

    __hash__ = None        # type: ignore[assignment]


class SoftmaxTransform(Transform):
    """softmax along the last dimension; its inverse is the logarithm."""

    bijective = False
    domain = constraints.real_vector
    codomain = constraints.simplex

    def __call__(self, x: Tensor) -> Tensor:
        return F.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()                  # type: ignore[attr-defined]


class StickBreakingTransform(Transform):
    """Vectors to the simplex, with one element more: each takes its part of what is left."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        offset = x.shape[-1] + 1 - jitgrad.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        z = SigmoidTransform()(x - offset.log())
        return z, (1 - z).cumprod(-1)

    def __call__(self, x: Tensor) -> Tensor:
        z, left = self._parts(x)
        one = jitgrad.ones_like(z[..., :1])
        return jitgrad.cat([z, one], -1) * jitgrad.cat([one, left], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        kept = y[..., :-1]
        offset = y.shape[-1] - jitgrad.arange(1, kept.shape[-1] + 1, dtype=y.dtype)
        left = (1 - kept.cumsum(-1)).clamp(min=float(np.finfo(y.dtype.np).tiny))
        return kept.log() - left.log() + offset.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See Transform."""
        offset = x.shape[-1] + 1 - jitgrad.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        x = x - offset.log()
        return (-x + F.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        """See Transform."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        """See Transform."""
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """Matrices to Cholesky factors: the lower triangle, exp of the diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __call__(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()         # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()         # type: ignore[attr-defined]


identity_transform = ComposeTransform([])
