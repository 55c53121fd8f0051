"""Modules, parameters, losses and initialisers, with PyTorch's interface."""
from __future__ import annotations

from jitgrad.missing import lookup as _lookup
from jitgrad.nn import containers, functional, init, layers, losses
from jitgrad.nn.containers import *
from jitgrad.nn.layers import *
from jitgrad.nn.losses import *
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Buffer, Parameter

# What few programs need: imported when it is first named.
_LATER = {name: f"jitgrad.nn.modules.{module}" for module, names in {
    "convolution": ("AvgPool2d", "Conv1d", "Conv2d", "MaxPool2d"), "dropout": ("Dropout",), "embedding": ("Embedding",),
    "normalization": ("BatchNorm1d", "BatchNorm2d", "LayerNorm"), "parameters": ("ParameterDict", "ParameterList"),
    "recurrent": ("GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"),
    "more_losses": ("CosineEmbeddingLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "KLDivLoss", "MarginRankingLoss", "PoissonNLLLoss",
                    "SoftMarginLoss", "TripletMarginLoss")}.items() for name in names}
__getattr__ = _lookup("nn", {**_LATER, "utils": "jitgrad.nn.utils", "modules": "jitgrad.nn.modules"})

__all__ = ["Buffer", "Module", "Parameter", "functional", "init"]
__all__ += _LATER               # pyright: ignore[reportUnsupportedDunderAll]
__all__ += containers.__all__
__all__ += layers.__all__
__all__ += losses.__all__


def __dir__() -> list[str]:
    return sorted({*__all__, "modules", "utils"})
