"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
from collections.abc import Sequence
from typing import overload
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import dtype

def digamma(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """derivative of lgamma; -inf at 0, nan at the other poles, element by element."""
def entr(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """-input * log(input), 0 at 0, -inf below."""
def erf(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """error function, element by element."""
def erfc(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 - erf(x), accurate for large x, element by element."""
def erfinv(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The inverse of erf, element by element."""
def exp2(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """2 ** x, element by element."""
def expit(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 / (1 + e ** -x), element by element."""
def expm1(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """e ** x - 1, accurate near 0, element by element."""
def gammaln(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log |gamma(x)|, element by element."""
def log1p(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(1 + x), accurate near 0, element by element."""
@overload
def log_softmax(input: Tensor, dim: builtins.int | None, dtype: dtype | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
@overload
def log_softmax(input: Tensor, *, axis: builtins.int | None, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow."""
def logit(input: Tensor, eps: builtins.float | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(x / (1 - x)), of x clamped to [eps, 1 - eps] if eps is given; no gradient passes where it was clamped."""
@overload
def logsumexp(input: Tensor, dim: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, *, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow."""
@overload
def logsumexp(input: Tensor, *, axis: builtins.int | Sequence[builtins.int], keepdim: builtins.bool = False, keepdims: builtins.bool = False, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow."""
def multigammaln(input: Tensor, p: builtins.int, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
def ndtr(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The distribution function of the standard normal."""
def ndtri(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The quantiles of the standard normal."""
def polygamma(n: builtins.int, input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The n-th derivative of digamma."""
def psi(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """derivative of lgamma; -inf at 0, nan at the other poles, element by element."""
def round(input: Tensor, *, decimals: builtins.int = 0, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The nearest integer, half to even, or the nearest multiple of 10 ** -decimals.  The derivative is 0."""
def sinc(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
@overload
def softmax(input: Tensor, dim: builtins.int | None, dtype: dtype | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """exp(input), divided by its sum along `dim`."""
@overload
def softmax(input: Tensor, *, axis: builtins.int | None, dtype: dtype | None = None, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """exp(input), divided by its sum along `dim`."""
def xlog1py(input: Tensor, other: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input * log1p(other), 0 where input is 0."""
def xlogy(input: Tensor | builtins.int | builtins.float, other: Tensor | builtins.int | builtins.float, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """x * log(y), 0 where x is 0 (unless y is nan), element by element, with broadcasting and type promotion."""
