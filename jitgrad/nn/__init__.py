"""Modules, parameters, losses and initialisers, with PyTorch's interface."""
from __future__ import annotations

from typing import Any as _Any

from jitgrad.nn import containers, functional, init, layers, losses
from jitgrad.nn.containers import *
from jitgrad.nn.layers import *
from jitgrad.nn.losses import *
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Buffer, Parameter

# What few programs need: imported when it is first named.
_LATER = {name: module for module, names in {
    "convolution": ("AvgPool2d", "Conv1d", "Conv2d", "MaxPool2d"), "dropout": ("Dropout",), "embedding": ("Embedding",),
    "normalization": ("BatchNorm1d", "BatchNorm2d", "LayerNorm"), "parameters": ("ParameterDict", "ParameterList"),
    "recurrent": ("GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"),
    "more_losses": ("CosineEmbeddingLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "KLDivLoss", "MarginRankingLoss", "PoissonNLLLoss",
                    "SoftMarginLoss", "TripletMarginLoss")}.items() for name in names}


def __getattr__(name: str) -> _Any:
    import importlib
    if name in ("utils", "modules"):
        return importlib.import_module(f"jitgrad.nn.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'jitgrad.nn' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"jitgrad.nn.modules.{_LATER[name]}"), name)
    return found


__all__ = ["Buffer", "Module", "Parameter", "functional", "init"]
__all__ += _LATER               # pyright: ignore[reportUnsupportedDunderAll]
__all__ += containers.__all__
__all__ += layers.__all__
__all__ += losses.__all__
