"""Losses that are composites: by distribution (Kullback-Leibler, Poisson, Gaussian) and by margin."""
from __future__ import annotations

import math
import warnings
from typing import Any

from jitgrad.operators.declaration.declare import OPERATORS, function
from jitgrad.operators.templates.template import no_template
from jitgrad.tensors.tensor import Tensor


def _op(name: str) -> Any:
    return OPERATORS[name].call


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss if reduction == "none" else getattr(loss, reduction)()


@function(places=("functional",))
def kl_div(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """target * (log(target) - input), input being log-probabilities; "batchmean": the sum over the length of the batch."""
    no_template()
    if reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides "
                      "only by the "
                      "batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as "
                      "'batchmean' in "
                      "the next major release.", UserWarning, stacklevel=3)
    if log_target:
        loss = _op("exp")(target) * (target - input)
    else:
        loss = _op("xlogy")(target, target) - target * input
    return loss.sum() / (input.shape[0] if input.ndim else 1) if reduction == "batchmean" else _reduced(loss, reduction)       # type: ignore[attr-defined]


@function(places=("functional",))
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
                     eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """-log of the probability of counts, input being their mean or its logarithm; full: with Stirling's term."""
    no_template()
    loss = _op("exp")(input) - target * input if log_input else input - target * _op("log")(input + eps)
    if full:
        n = _op("where")(target > 1, target, 1.0)
        stirling = n * _op("log")(n) - n + 0.5 * _op("log")(2 * math.pi * n)
        loss = loss + _op("where")(target > 1, stirling, 0.0)
    return _reduced(loss, reduction)


@function(places=("functional",))
def gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Tensor:
    """-log of the density of a normal distribution of this mean (input) and variance, which is kept above eps."""
    no_template()
    if isinstance(var, Tensor):
        if var.shape != input.shape:
            if tuple(input.shape[:-1]) == tuple(var.shape):
                var = var.unsqueeze(-1)                         # type: ignore[attr-defined]
            elif input.ndim != var.ndim or sum([m for n, m in zip(input.shape, var.shape, strict=True) if n != m]) != 1:
                raise ValueError("var is of incorrect size")
        if bool((var < 0).any()):                               # type: ignore[attr-defined]
            raise ValueError("var has negative entry/entries")
        # The gradient of var is that of its value, also where it is below eps.
        value: Any = var.detach()                # type: ignore[union-attr]
        var = var + (_op("clamp")(value, min=eps) - value)
        log = _op("log")(var)
    else:
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = max(var, eps)
        log = math.log(var)
    loss = 0.5 * (log + (input - target) ** 2 / var)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@function(places=("functional",))
def soft_margin_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
                     reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)), targets being 1 or -1."""
    no_template()
    return _reduced(_op("log1p")(_op("exp")(-target * input)), reduction)


@function(places=("functional",))
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None,
                         reduce: bool | None = None,
                         reduction: str = "mean") -> Tensor:
    """The input where the target is 1, max(0, margin - input) where it is -1."""
    no_template()
    return _reduced(_op("where")(target != 1, _op("clamp")(margin - input, min=0.0), 0.0) + _op("where")(target != -1, input, 0.0),
                    reduction)


@function(places=("functional",))
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
                        reduce: bool | None = None,
                        reduction: str = "mean") -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
    no_template()
    return _reduced(_op("clamp")(-target * (input1 - input2) + margin, min=0.0), reduction)


@function(places=("functional",))
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
                        swap: bool = False, size_average: bool | None = None, reduce: bool | None = None,
                        reduction: str = "mean") -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the distance of order p along the last dimension."""
    no_template()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return _op("norm")(a - b + eps, p, -1)

    far = distance(anchor, negative)
    if swap:
        far = _op("minimum")(far, distance(positive, negative))
    return _reduced(_op("clamp")(margin + distance(anchor, positive) - far, min=0.0), reduction)


@function(places=("functional",))
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, size_average: bool | None = None,
                          reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1."""
    no_template()
    product = (input1 * input2).sum(-1)                         # type: ignore[attr-defined]
    sizes = ((input1**2).sum(-1) + 1e-12) * ((input2**2).sum(-1) + 1e-12)       # type: ignore[attr-defined]
    cosine = product / _op("sqrt")(sizes)
    return _reduced(_op("where")(target == 1, 1 - cosine, 0.0) + _op("where")(target == -1,
                                                                              _op("clamp")(cosine - margin, min=0.0), 0.0),
                    reduction)
