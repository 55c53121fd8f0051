"""Modules, parameters, losses and initialisers, with PyTorch's interface."""
from __future__ import annotations

from jitgrad.missing import lookup as _lookup
from jitgrad.nn import containers, functional, init, layers, losses
from jitgrad.nn.containers import *
from jitgrad.nn.layers import *
from jitgrad.nn.losses import *
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter

__all__ = ["Module", "Parameter", "functional", "init"]
__all__ += containers.__all__
__all__ += layers.__all__
__all__ += losses.__all__
__getattr__ = _lookup("nn")
