"""What an AttributeError says of names that PyTorch has and jitgrad lacks: that it is so, and what to use instead."""
from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

missed: Counter[str] = Counter()        # names that were asked for, for reports

NOTHING: Mapping[str, str] = {}
_COMPLEX = "there are no complex tensors: give real and imaginary parts as tensors of their own"
_SPARSE = "there are no sparse tensors: use dense ones, or index_add and scatter_add for sums over few positions"
_QUANTIZED = "there are no quantized tensors"
_GRAPH = "graphs are compiled by themselves: leave it out, or decorate the function with jitgrad.compile"
_DTYPE = ("the dtypes are float32, float64, int8, int16, int32, int64, uint8 and bool: convert the data, for instance with "
          "numpy.asarray(data).astype('int64')")
_MANY = "there is one process: use multiprocessing, or set_num_threads for the threads of one"

# By the first part of a name after torch.; what is longest counts.
ADVICE = {
    **dict.fromkeys(("complex", "view_as_complex", "view_as_real", "polar", "fft", "stft", "istft", "cfloat", "cdouble", "chalf",
                     "complex64", "complex128"), _COMPLEX),
    **dict.fromkeys(("sparse", "to_sparse", "sparse_coo_tensor", "sparse_csr_tensor", "to_dense", "coalesce"), _SPARSE),
    **dict.fromkeys(("quantization", "ao", "quantize_per_tensor", "quantize_per_channel", "dequantize", "qint8", "quint8", "qint32"),
                    _QUANTIZED),
    **dict.fromkeys(("jit", "fx", "_dynamo", "export", "package"), _GRAPH),
    **dict.fromkeys(("float16", "half", "bfloat16", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "HalfTensor",
                     "BFloat16Tensor"), _DTYPE),
    **dict.fromkeys(("distributed", "multiprocessing", "futures", "nn.DataParallel", "share_memory_"), _MANY),
    **dict.fromkeys(("autocast", "amp", "GradScaler"), "there is no mixed precision: leave it out, or use float32"),
    **dict.fromkeys(("onnx", "hub", "utils.tensorboard"), "take the arrays out by .numpy() for other tools"),
    **dict.fromkeys(("mps", "xpu", "mtia", "pin_memory"), "tensors are on the CPU: leave it out"),
    **dict.fromkeys(("linalg.eig", "linalg.eigvals", "eig"), f"{_COMPLEX}; of symmetric matrices use linalg.eigh"),
    **dict.fromkeys(("linalg.lu", "linalg.lu_factor", "linalg.lu_solve", "lu", "lu_solve"), "use linalg.solve, inv or slogdet"),
    **dict.fromkeys(("linalg.matrix_exp", "matrix_exp"), "sum its series, or use linalg.eigh of a symmetric matrix"),
    **dict.fromkeys(("svd_lowrank", "pca_lowrank", "lobpcg"), "use linalg.svd or linalg.eigh"),
    **dict.fromkeys(("resize_", "set_"), "make a new tensor"),
    **dict.fromkeys(("storage", "untyped_storage"), "use .numpy(), which gives a snapshot"),
    **dict.fromkeys(("as_strided", "as_strided_"), "use unfold, or index the tensor"),
    "symeig": "use linalg.eigh", "lstsq": "use linalg.lstsq", "solve": "use linalg.solve",
    "nn.Transformer": "build it of nn.Linear, nn.LayerNorm and softmax", "nn.MultiheadAttention": "build it of nn.Linear and softmax",
}


def absent(module: str, name: str) -> AttributeError:
    """The error for a name that `module` ("", "linalg", "nn" ...) lacks."""
    path = f"{module}.{name}" if module else name
    if not name.startswith("__"):
        missed[f"torch.{path}"] += 1
    text = f"module '{'jitgrad' + ('.' + module if module else '')}' has no attribute '{name}'"
    advice = ADVICE.get(path) or ADVICE.get(path.partition(".")[0])
    return AttributeError(f"{text}: of torch.{path} there is nothing here; {advice}" if advice else text)


def lookup(module: str, later: Mapping[str, str] = NOTHING) -> Callable[[str], Any]:
    """The __getattr__ of a module.  later: by name, where what few programs need is imported from when it is first named: a module, or
    what is called so in one."""
    def __getattr__(name: str) -> Any:
        if name not in later:
            raise absent(module, name)
        found = import_module(later[name])
        if not later[name].endswith(f".{name}"):
            found = getattr(found, name)
        setattr(package, name, found)       # from now on it is a name like any other, also to whoever guards what a function reads
        return found

    package = sys.modules[f"jitgrad.{module}" if module else "jitgrad"]
    return __getattr__


def absent_method(kind: str, name: str) -> AttributeError:
    """The error for a method that tensors lack."""
    text = f"'{kind}' object has no attribute '{name}'"
    missed[f"torch.Tensor.{name}"] += 1
    advice = ADVICE.get(name)
    return AttributeError(f"{text}: jitgrad's tensors do not have it; {advice}" if advice else text)
