"""Element types under PyTorch's names, and PyTorch's promotion among them.

Promotion (torch.result_type): every operand belongs to one of three ranks (tensor with dimensions, 0-d tensor, Python
scalar); a lower rank changes the result's dtype only if its category (bool < integer < floating) is higher than that
of all higher ranks.
"""
from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np


class dtype:
    """An element type.  `name` is PyTorch's name, `np` the NumPy dtype, `category` 0 bool, 1 integer, 2 floating."""

    __slots__ = ("name", "np", "category", "itemsize", "code", "legacy")
    name: str
    np: np.dtype
    category: int
    itemsize: int
    code: str
    legacy: str

    def __init__(self, name: str, np_type: type, category: int, code: str, legacy: str) -> None:
        self.name = name
        self.np = np.dtype(np_type)
        self.category = category
        self.itemsize = self.np.itemsize
        self.code = code            # the suffix used in generated source: f4, f8, i4, i8, b1
        self.legacy = legacy        # torch.FloatTensor and its kin

    @property
    def is_floating_point(self) -> bool:
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.category > 0 and self.code != "u1"

    @property
    def in_kernels(self) -> bool:
        """Whether compiled kernels compute with it; what has small integers among its operands or for a result is left to NumPy."""
        return self.category != 1 or self.itemsize >= 4

    @property
    def title(self) -> str:
        """The name in PyTorch's error messages: Float, Double, Int, Long, Bool, Byte, Char, Short."""
        return self.legacy.removeprefix("torch.").removesuffix("Tensor")

    @property
    def c_type(self) -> str:
        """The name of the C type, which is in some of them."""
        return {"Long": "long int", "Byte": "unsigned char", "Char": "signed char"}.get(self.title, self.title.lower())

    def __repr__(self) -> str:
        return f"torch.{self.name}"      # the same text as PyTorch: programs print it

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


float32 = dtype("float32", np.float32, 2, "f4", "torch.FloatTensor")
float64 = dtype("float64", np.float64, 2, "f8", "torch.DoubleTensor")
int32 = dtype("int32", np.int32, 1, "i4", "torch.IntTensor")
int64 = dtype("int64", np.int64, 1, "i8", "torch.LongTensor")
uint8 = dtype("uint8", np.uint8, 1, "u1", "torch.ByteTensor")
int8 = dtype("int8", np.int8, 1, "i1", "torch.CharTensor")
int16 = dtype("int16", np.int16, 1, "i2", "torch.ShortTensor")
bool_ = dtype("bool", np.bool_, 0, "b1", "torch.BoolTensor")

FUSED = (float32, float64, int32, int64, bool_)     # in_kernels
ALL = (*FUSED, uint8, int8, int16)
BY_NUMPY = {d.np: d for d in ALL}
BY_CODE = {d.code: d for d in ALL}
NAMES = {"float32": float32, "float": float32, "float64": float64, "double": float64, "int32": int32, "int": int32,
         "int64": int64, "long": int64, "bool": bool_, "uint8": uint8, "int8": int8, "int16": int16, "short": int16}
REFUSED = ("float16", "half", "bfloat16", "uint16", "uint32", "uint64", "complex64", "complex128", "cfloat", "cdouble")

_default = float32
default_address = array("q", [id(float32)])      # the same for machine code


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the dtype of new floating-point tensors: float32 or float64."""
    if not isinstance(d, dtype) or d.category != 2:
        raise TypeError(f"only floating-point types are supported as the default type; got {d!r}, "
                        "use float32 or float64")
    global _default
    _default = d
    default_address[0] = id(d)


def from_numpy_dtype(np_dtype: np.dtype) -> dtype:
    """The dtype of a NumPy dtype.  Raises TypeError for one that jitgrad does not have."""
    try:
        return BY_NUMPY[np.dtype(np_dtype)]
    except KeyError:
        raise TypeError(f"can't convert an array of NumPy type {np_dtype}: the supported types are "
                        f"{', '.join(str(d.np) for d in ALL)}; convert it with .astype() first") from None


def _higher(a: dtype | None, b: dtype) -> dtype:
    """The smallest dtype that holds both, within the usual order bool < uint8, int8 < int16 < int32 < int64 < float32 < float64."""
    if a is None:
        return b
    if a is not b and a.itemsize == b.itemsize == 1 and a.category == b.category == 1:
        return int16
    order = (a.category, a.itemsize) >= (b.category, b.itemsize)
    return a if order else b


REAL = (int, float, np.integer, np.floating, np.bool_)      # real; bool is an int
_SCALARS: dict[type, int] = {bool: 0, int: 1, float: 2}


def refuse_complex(value: object) -> None:
    """Raise TypeError for a complex number, whose imaginary part no dtype can hold."""
    if isinstance(value, (complex, np.complexfloating)) or (isinstance(value, np.ndarray) and value.dtype.kind == "c"):
        raise TypeError(f"{value!r} is complex, but jitgrad has no complex tensors; give the real and the imaginary part as tensors "
                        "of their own")


def of_scalar(value: object) -> dtype:
    """The dtype a Python number has on its own (floats take the default dtype)."""
    category = _SCALARS.get(type(value))
    if category is None:
        refuse_complex(value)
        category = 0 if isinstance(value, (bool, np.bool_)) else 1 if isinstance(value, (int, np.integer)) else 2
    return (bool_, int64, get_default_dtype())[category]


def promote(dimensioned: Iterable[dtype], zero_dim: Iterable[dtype] = (), scalars: Iterable[dtype] = ()) -> dtype:
    """torch.result_type over operands grouped by rank.  There must be at least one operand."""
    result: dtype | None = None
    for group in (dimensioned, zero_dim, scalars):
        best: dtype | None = None
        for d in group:
            best = _higher(best, d)
        if best is not None and (result is None or best.category > result.category):
            result = best
    assert result is not None, "promote needs an operand"
    return result


_LARGEST = float(np.finfo(np.float32).max)


def check_fits(value: Any, to: dtype) -> None:
    """Raise RuntimeError for a number that PyTorch does not store: a finite one too large for float32, one beyond the integers."""
    if to is float32 and not -_LARGEST <= value <= _LARGEST and math.isfinite(value):
        raise RuntimeError("value cannot be converted to type float without overflow")
    if to.category == 1 and not (np.iinfo(to.np).min or -np.iinfo(to.np).max) <= value <= np.iinfo(to.np).max:     # uint8 wraps
        raise RuntimeError(f"value cannot be converted to type {'int' if to is int32 else to.name + '_t'} without overflow")


_PYTHON_TYPES = {float: float64, int: int64, bool: bool_}
_BY_NAME = {**NAMES, **{d.legacy: d for d in ALL}, **{f"torch.{name}": d for name, d in NAMES.items()}}


def as_dtype(value: object) -> dtype:
    """A dtype given as itself, as Python's float, int or bool, or as a name such as 'torch.DoubleTensor'.

    Raises TypeError for one that jitgrad does not have."""
    if isinstance(value, dtype):
        return value
    found = None
    if isinstance(value, type):
        found = _PYTHON_TYPES.get(value)
    elif isinstance(value, str):
        found = _BY_NAME.get(value)
    if found is None:
        raise TypeError(f"invalid dtype {value!r}: the dtypes are {', '.join(map(repr, ALL))}")
    return found
