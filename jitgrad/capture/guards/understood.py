"""What a capture understands: the types whose whole state can be guarded, and the library code that has no other state.

Invariant: these are lists of what is allowed.  A type, C function or library file that stands in none of them is a reason to
record on each call.
"""
from __future__ import annotations

import os
import re
import sys
import sysconfig
import types
from collections import OrderedDict, defaultdict, deque, namedtuple
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import CodeType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from jitgrad.operators.native.entry_points import EntryPoint
from jitgrad.operators.provenance import PACKAGE
from jitgrad.tensors.tensor import Size
from jitgrad.types.device import device
from jitgrad.types.dtype import dtype

NUMPY = str(Path(np.__file__).resolve().parent)
STDLIB = sysconfig.get_paths()["stdlib"]
SITE = tuple({sysconfig.get_paths()[k] for k in ("purelib", "platlib")})

# Values.
ATOMS = (int, float, str, bytes, complex, range, Size)      # compared by type and text
CONSTANTS = {dtype, device, type(np.sum), type(Ellipsis), type(NotImplemented), types.CodeType, types.GenericAlias,
             types.UnionType, re.Pattern, types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType,
             types.ClassMethodDescriptorType, type(namedtuple("One", "a").__dict__["a"]),
             *np.sctypeDict.values()} - {np.void, np.object_}
STATES = (object, int, float, complex, str, bytes, list, tuple, OrderedDict, defaultdict, dict, set, frozenset, deque, partial,
          types.SimpleNamespace, BaseException)             # what a class that is written in Python may get its state from

# Code.
PURE_STDLIB = ("contextlib", "functools", "typing", "collections", "dataclasses", "enum", "operator", "abc", "_collections_abc",
               "types", "copy", "numbers", "inspect", "re", "string", "fractions", "statistics", "copyreg")
BY_COMPUTED_NAMES = ("dataclasses.py", "copy.py", "inspect.py", "operator.py", "string.py", "typing.py",
                     "fractions.py")        # of the standard library
PURE_NUMPY = ("array_utils", "arraypad", "arraysetops", "dtype", "dtypes", "einsumfunc", "fft", "fromnumeric", "function_base",
              "getlimits", "globals", "histograms", "index_tricks", "inspect", "internal", "linalg", "methods", "mixins",
              "multiarray", "nanfunctions", "numeric", "numerictypes", "overrides", "polynomial", "scimath", "shape_base",
              "string_helpers", "stride_tricks", "twodim_base", "type_aliases", "type_check", "ufunclike", "umath", "_utils",
              "exceptions")
PURE_PACKAGE = ("__init__", "autograd", "batching", "builtin", "capture", "differentiate", "distributions", "func", "graph", "methods",
                "nn", "operators", "ops", "optim", "random", "tensors", "types")
PURE_MODULES = ("math", "cmath", "_operator", "itertools", "_functools", "_collections", "_abc", "_bisect", "_heapq")
PURE_BUILTINS = ("abs", "all", "any", "ascii", "bin", "callable", "chr", "delattr", "dir", "divmod", "format", "getattr", "hasattr",
                 "hash", "hex", "isinstance", "issubclass", "iter", "len", "max", "min", "next", "oct", "ord", "pow", "repr",
                 "round", "setattr", "sorted", "sum", "vars", "__build_class__")
DYNAMIC_NAMES = ("getattr", "hasattr", "setattr", "delattr", "vars", "dir")
IMPURE_NAMES = ("tofile", "dump", "fromfile", "setbufsize", "getbufsize", "seterrobj", "geterrobj", "mro", "__subclasses__")
CONTAINERS = (str, bytes, int, float, complex, list, tuple, dict, set, frozenset, slice, range, np.ndarray, np.generic, deque)
PURE_TYPES = ("builtins", "collections", "functools", "itertools", "types", "typing", "re", "enum", "abc", "numpy", "datetime",
              "numpy.dtypes", "numpy.exceptions")
LIBRARIES = ("jitgrad", "numpy", "builtins", *sys.stdlib_module_names)
NOT_CALLABLE, IMMUTABLE_TYPE = 1 << 7, 1 << 8           # of type.__flags__ (CPython's object.h)
_libraries: dict[str, bool] = {}


def belongs_to_library(name: str | None) -> bool:
    """Whether a module is one of this package, NumPy or the standard library, and no other of the same name."""
    if name is None or name.partition(".")[0] not in LIBRARIES:
        return False
    known = _libraries.get(name)
    if known is None:
        file = getattr(sys.modules.get(name), "__file__", None) or getattr(sys.modules.get(name.partition(".")[0]), "__file__", None)
        known = file is None or file.startswith((PACKAGE, NUMPY)) or (file.startswith((STDLIB, os.path.dirname(os.__file__)))
                                                                      and not file.startswith(SITE))
        _libraries[name] = known
    return known


def kind_of(code: CodeType) -> str:
    """Whose code it is: "user", "package", or of a library, "pure" or "impure"."""
    name = code.co_filename
    if name.startswith(PACKAGE):
        return "package"
    if name.startswith(NUMPY):
        known = [part for part in _parts(name, NUMPY)[-2:] if part in PURE_NUMPY or _stem(part) in PURE_NUMPY]
        return "pure" if known or name == np.__file__ else "impure"
    if name.endswith(("_weakrefset.py", "weakref.py")) and code.co_name in ("_remove", "remove"):
        return "pure"           # called when an object goes, whoever runs
    if name.startswith("<frozen "):
        return "pure" if "importlib" in name or "abc" in name else "impure"
    if name.startswith(STDLIB) and not name.startswith(SITE):
        return "pure" if _parts(name, STDLIB)[0].removesuffix(".py") in PURE_STDLIB else "impure"
    return "user"


def _parts(name: str, folder: str) -> list[str]:
    return name[len(folder) + 1:].split(os.sep)


def _stem(part: str) -> str:
    return part.removesuffix(".py").removesuffix("_impl").lstrip("_")


def of_package(code: CodeType) -> bool:
    """Whether a function of this package does nothing, and reads nothing, that the trace is not told of."""
    return _parts(code.co_filename, PACKAGE)[0].removesuffix(".py") in PURE_PACKAGE


def is_constant(value: Any) -> bool:
    """Whether a value has no state that can change."""
    kind = type(value)
    if kind in CONSTANTS or value is None or kind is bool or kind in ATOMS:
        return True
    if isinstance(value, np.dtype):
        return value.fields is None
    return kind is np.ufunc and not value.__name__.endswith("(vectorized)")     # of numpy.frompyfunc


def slots(cls: type) -> list[str]:
    """The attributes of a class's instances that are not in their `__dict__`."""
    return [name for name, value in vars(cls).items() if type(value) is MemberDescriptorType]


def fields_of(value: Any) -> dict[str, Any] | None:
    """The `__dict__` of an instance, if it has one."""
    try:
        fields = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return fields if type(fields) is dict else None


def state_of(cls: type) -> type | None:
    """The built-in class that the instances of a class have their state from, besides attributes: `object` where that is none.
    None for classes with state of their own, which their size tells."""
    base = next(c for c in cls.__mro__ if c in STATES)
    spare = cls.__basicsize__ - base.__basicsize__ - 8 * sum([len(slots(c)) for c in cls.__mro__ if not issubclass(base, c)])
    attached = bool(cls.__dictoffset__) + bool(cls.__weakrefoffset__)
    if cls is base:
        return cls
    if spare < 0 or spare > 8 * attached or cls.__itemsize__ != base.__itemsize__ or cls.__flags__ & (IMMUTABLE_TYPE | NOT_CALLABLE):
        return None
    return base


def is_understood(cls: type) -> bool:
    """Whether calling a library's class, which no profile function is told of, is without effects, and instances of it have
    no state besides what `state_of` tells."""
    return cls is itemgetter or cls.__module__ in PURE_TYPES or cls.__module__.partition(".")[0] == "jitgrad" or (
        cls.__module__.partition(".")[0] != "numpy" and state_of(cls) is not None) or issubclass(cls, BaseException)


def is_named_tuple(value: Any) -> bool:
    """Whether a value is an instance of a namedtuple class."""
    return isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(type(value), "_make") and \
        not type(value).__dictoffset__


def impure(function: Any) -> str | None:
    """The name of a C function that may have effects or hidden state, None for those that have none."""
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "?")
    module = owner.__name__ if isinstance(owner, ModuleType) else getattr(function, "__module__", None) or ""
    if name in IMPURE_NAMES:
        return f"{name}()"
    if module == "builtins" and isinstance(owner, ModuleType):
        return None if name in PURE_BUILTINS else f"{name}()"
    if isinstance(owner, ModuleType) or owner is None:
        return None if module in PURE_MODULES or (module.partition(".")[0] == "numpy" and "random" not in module) else \
            f"{module}.{name}()"
    if isinstance(owner, type):
        return None if owner.__module__ == "builtins" or owner.__module__.partition(".")[0] in ("jitgrad", "collections") else \
            f"{owner.__name__}.{name}()"
    if isinstance(owner, (BaseException, EntryPoint, *CONTAINERS)) or name in ("__init_subclass__", "__new__", "__init__") or \
            state_of(type(owner)) is not None:
        return None
    return f"{name}() of {type(owner).__name__}"
