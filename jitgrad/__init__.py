"""jitgrad: PyTorch's autograd, recorded in Python and compiled by Numba into fused loops.

`import jitgrad as torch` runs PyTorch code about gradients unchanged.  Importing it does not import Numba.
"""
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
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from jitgrad.explain import cache_info, clear_cache, explain        # now: a function and its module have one name
from jitgrad.operators.conversion import is_tensor
from jitgrad.operators.declaration.declare import OPERATORS as _OPERATORS
from jitgrad.tensors.tensor import Size, Tensor
from jitgrad.memory.threads import get_num_threads, set_num_threads
from jitgrad.requests.schedule_cache import get_memory_limit, set_memory_limit
from jitgrad.missing import lookup as _lookup
from jitgrad.version import __version__
from jitgrad import methods as _methods  # attaches the operators to Tensor
from jitgrad.operators.creation import *
from jitgrad.operators.legacy import *
from jitgrad.random import *
from jitgrad.sampling import *
from jitgrad import autograd

float = float32
double = float64
int = int32
long = int64
short = int16
inf = _dtype.np.inf
nan = _dtype.np.nan
pi = _dtype.np.pi
e = _dtype.np.e


# What few programs need: imported when it is first named.
_LATER = {name: f"jitgrad.{name}" for name in (
    "accelerator", "backends", "cuda", "distributions", "func", "linalg", "nn", "optim", "return_types", "special", "testing",
    "utils")} | {
    name: f"jitgrad.{module}" for module, names in {
        "autograd.anomaly_mode": ("is_anomaly_check_nan_enabled", "is_anomaly_enabled"),
        "capture": ("compile", "grad", "interpret", "value_and_grad"),
        "capture.jacobians": ("hessian", "hvp", "jacobian", "value_and_jacobian"),
        "func": ("vmap",),
        "profiling": ("profile",),
        "tensors.formatting": ("set_printoptions",),
        "tensors.serialization": ("load", "save"),
        "types.memory_layout": ("contiguous_format", "layout", "memory_format", "preserve_format", "strided"),
        "type_info": (
            "are_deterministic_algorithms_enabled", "can_cast", "finfo", "get_default_device", "get_float32_matmul_precision",
            "get_num_interop_threads", "iinfo", "promote_types", "result_type", "set_default_device", "set_default_tensor_type",
            "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads", "typename",
            "use_deterministic_algorithms"),
    }.items() for name in names}
__getattr__ = _lookup("", _LATER)


# What `from jitgrad import *` gives: no modules, as of torch.
__all__ = [
    "Size", "Tensor", "bool", "cache_info", "clear_cache", "device", "double", "dtype", "e", "enable_grad", "explain", "float",
    "float32", "float64", "get_default_dtype", "get_memory_limit", "get_num_threads", "inf", "inference_mode", "int", "int16", "int32",
    "int64", "int8", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "long", "nan", "no_grad", "pi", "set_default_dtype",
    "set_grad_enabled", "set_memory_limit", "set_num_threads", "short", "uint8"]
__all__ += ["compile", "grad", "interpret", "set_printoptions", "value_and_grad"]      # pyright: ignore[reportUnsupportedDunderAll]
__all__ += creation.__all__
__all__ += legacy.__all__
__all__ += random.__all__
__all__ += sampling.__all__
_operators = {name: op.call for name, op in _OPERATORS.items() if "torch" in op.places}
globals().update(_operators)
__all__.extend(_operators)        # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, "autograd", "random", "__version__"})
