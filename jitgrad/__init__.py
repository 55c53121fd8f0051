"""jitgrad: PyTorch's autograd, recorded in Python and compiled by Numba into fused loops.

`import jitgrad as torch` runs PyTorch code about gradients unchanged.  Importing it does not import Numba.
"""
from typing import Any as _Any

from jitgrad import random, sampling
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
from jitgrad.requests.programs import get_memory_limit, set_memory_limit
from jitgrad.missing import lookup as _lookup
from jitgrad.version import __version__
from jitgrad import methods as _methods  # attaches the operators to Tensor
from jitgrad.operators.creation import *
from jitgrad.operators.legacy import *
from jitgrad.random import *
from jitgrad.sampling import *
from jitgrad import autograd, nn, optim
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


# What few programs need: imported when it is first named.
_LATER = {name: f"jitgrad.{name}" for name in (
    "accelerator", "backends", "cuda", "distributions", "func", "linalg", "special", "testing", "utils")} | dict.fromkeys(
    ("are_deterministic_algorithms_enabled", "can_cast", "finfo", "get_default_device", "get_float32_matmul_precision",
     "get_num_interop_threads", "iinfo", "promote_types", "result_type", "set_default_device", "set_default_tensor_type",
     "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads", "typename", "use_deterministic_algorithms"),
    "jitgrad.type_info") | dict.fromkeys(
    ("jacobian", "value_and_jacobian", "hessian", "hvp"), "jitgrad.capture.jacobians") | dict.fromkeys(
    ("save", "load"), "jitgrad.tensors.serialization") | {"vmap": "jitgrad.func"} | dict.fromkeys(
    ("is_anomaly_enabled", "is_anomaly_check_nan_enabled"), "jitgrad.autograd.anomaly_mode")
__getattr__ = _lookup("", _LATER)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if not name.startswith("_")), *_LATER, "__version__"})


# What `from jitgrad import *` gives: no modules, as of torch.
__all__ = [
    "Size", "Tensor", "bool", "cache_info", "clear_cache", "compile", "device", "double", "dtype", "e", "enable_grad", "explain",
    "float", "float32", "float64", "get_default_dtype", "get_memory_limit", "get_num_threads", "grad", "inf", "inference_mode",
    "int", "int32", "int64", "interpret", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "long", "nan", "no_grad",
    "pi", "set_default_dtype", "set_grad_enabled", "set_memory_limit", "set_num_threads", "set_printoptions", "value_and_grad"]
__all__ += creation.__all__
__all__ += legacy.__all__
__all__ += random.__all__
__all__ += sampling.__all__
_operators = {name: op.call for name, op in _OPERATORS.items() if "torch" in op.places}
globals().update(_operators)
__all__.extend(_operators)        # pyright: ignore[reportUnsupportedDunderAll]
