"""jitgrad: PyTorch's autograd, recorded in Python and compiled by Numba into fused loops.

`import jitgrad as torch` runs PyTorch code about gradients unchanged.  Importing it does not import Numba.
"""
from typing import Any as _Any

from jitgrad import random
from jitgrad.operators import creation, legacy
from jitgrad.types import dtype as _dtype
from jitgrad.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from jitgrad.types.device import device
from jitgrad.types.dtype import (
    bool_ as bool,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    set_default_dtype,
)
from jitgrad.explain import cache_info, clear_cache, explain
from jitgrad.tensors.formatting import set_printoptions
from jitgrad.operators.declaration.declare import OPERATORS as _OPERATORS
from jitgrad.tensors.tensor import Size, Tensor
from jitgrad.memory.threads import get_num_threads, set_num_threads
from jitgrad.version import __version__
from jitgrad import methods as _methods  # attaches the operators to Tensor
from jitgrad.operators.creation import *
from jitgrad.operators.legacy import *
from jitgrad.random import *
from jitgrad import autograd, linalg, nn, optim
from jitgrad.capture import compile, grad, interpret, value_and_grad

float = float32
double = float64
int = int32
long = int64
inf = _dtype.np.inf
nan = _dtype.np.nan
pi = _dtype.np.pi
e = _dtype.np.e


def is_tensor(obj: _Any) -> _Any:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def __getattr__(name: str) -> _Any:
    if name in _dtype.REFUSED:
        raise AttributeError(f"jitgrad has no dtype {name}; the ones it has are float32, float64, int32, int64 and bool")
    raise AttributeError(f"module 'jitgrad' has no attribute {name!r}")


# What `from jitgrad import *` gives: no modules, as of torch.
__all__ = [
    "Size", "Tensor", "bool", "cache_info", "clear_cache", "compile", "device", "double", "dtype", "e", "enable_grad", "explain",
    "float", "float32", "float64", "get_default_dtype", "get_num_threads", "grad", "inf", "inference_mode", "int", "int32", "int64",
    "interpret", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "long", "nan", "no_grad", "pi", "set_default_dtype",
    "set_grad_enabled", "set_num_threads", "set_printoptions", "value_and_grad"]
__all__ += creation.__all__
__all__ += legacy.__all__
__all__ += random.__all__
_operators = {name: op.call for name, op in _OPERATORS.items() if "torch" in op.places}
globals().update(_operators)
__all__.extend(_operators)        # pyright: ignore[reportUnsupportedDunderAll]
