"""Losses that few programs need, as modules."""
from __future__ import annotations

from typing import Any

from jitgrad.nn import functional as F
from jitgrad.nn.losses import _Loss
from jitgrad.tensors.tensor import Tensor

__all__ = ["CosineEmbeddingLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "KLDivLoss", "MarginRankingLoss", "PoissonNLLLoss",
           "SoftMarginLoss", "TripletMarginLoss"]


class _Named(_Loss):
    """A loss of nn.functional, with arguments that are kept as attributes, in this order before the reduction."""

    function = ""
    options: dict[str, Any] = {}

    def __init__(self, *args: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                 **kwargs: Any) -> None:
        super().__init__(size_average, reduce, reduction)
        names = list(self.options)
        if len(args) > len(names) or set(kwargs) - set(names):
            raise TypeError(f"{type(self).__name__}() takes {', '.join([*names, 'reduction'])}")
        for name, value in (self.options | dict(zip(names, args, strict=False)) | kwargs).items():
            setattr(self, name, value)

    def forward(self, *args: Tensor) -> Tensor:
        """The loss."""
        return getattr(F, self.function)(*args, **{name: getattr(self, name) for name in self.options}, reduction=self.reduction)


class KLDivLoss(_Named):
    """target * (log(target) - input), input being log-probabilities."""

    function = "kl_div"
    options = {"log_target": False}

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                 log_target: bool = False) -> None:
        super().__init__(log_target, size_average=size_average, reduce=reduce, reduction=reduction)


class PoissonNLLLoss(_Named):
    """-log of the probability of counts."""
    function = "poisson_nll_loss"
    options = {"log_input": True, "full": False, "eps": 1e-8}


class GaussianNLLLoss(_Named):
    """-log of the density of a normal distribution; called with input, target and variance."""
    function = "gaussian_nll_loss"
    options = {"full": False, "eps": 1e-6}


class SoftMarginLoss(_Named):
    """log(1 + exp(-target * input))."""
    function = "soft_margin_loss"


class HingeEmbeddingLoss(_Named):
    """The input where the target is 1, max(0, margin - input) where it is -1."""
    function = "hinge_embedding_loss"
    options = {"margin": 1.0}


class MarginRankingLoss(_Named):
    """max(0, -target * (input1 - input2) + margin)."""
    function = "margin_ranking_loss"
    options = {"margin": 0.0}


class TripletMarginLoss(_Named):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    function = "triplet_margin_loss"
    options = {"margin": 1.0, "p": 2.0, "eps": 1e-6, "swap": False}


class CosineEmbeddingLoss(_Named):
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1."""
    function = "cosine_embedding_loss"
    options = {"margin": 0.0}
