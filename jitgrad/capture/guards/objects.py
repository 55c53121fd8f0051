"""The tests on what is inside an object that a captured function reaches.

Objects are told from others by identity, numbers and strings by value, containers and instances by their contents, tensors by a
place to read them anew.
Invariant: an object that is not of the kinds listed here and in understood.py is a reason not to replay.
"""
from __future__ import annotations

import abc
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import cached_property, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy._core import umath

from jitgrad.capture.arrays import lies
from jitgrad.capture.callables import Made
from jitgrad.capture.guards.bytecode import COMPUTED
from jitgrad.capture.guards.lines import Guards, Refusal, article
from jitgrad.capture.guards.understood import (
    ATOMS,
    DYNAMIC_NAMES,
    belongs_to_library,
    fields_of,
    impure,
    is_constant,
    is_understood,
    kind_of,
    state_of,
)
from jitgrad.operators.native.entry_points import EntryPoint
from jitgrad.tensors.tensor import Tensor

MAX_BYTES = 64 * 1024       # of a NumPy array that is compared by its contents
INERT = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__slots__", "__parameters__",
         "__orig_bases__", "__abstractmethods__", "__firstlineno__", "__static_attributes__", "__dataclass_fields__",
         "__dataclass_params__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__classdictcell__",
         "__type_params__", "__hash__", "_abc_impl"}        # of what a class has: Python reads these of no instance by itself
FLOATING_POINT = umath._extobj_contextvar          # what seterr and errstate set
OF_NUMPY = (np.ufunc, type(np.sum), np.ndarray, np.generic)


class Objects(Guards):
    """The objects reached and the tests on them.  on_tensor(expression, tensor, about): called for each tensor."""

    def __init__(self, on_tensor: Callable[[str, Tensor, str], None]) -> None:
        super().__init__()
        self.functions: dict[CodeType, list[tuple[FunctionType, str | None]]] = {}
        self.reached: dict[int, Any] = {}
        self._inside: dict[int, str] = {}
        self._methods: set[int] = set()         # classes of libraries whose instances are reached
        self.arrays: list[np.ndarray] = []      # that were reached
        self._on_tensor = on_tensor

    def add_space(self, value: Any) -> None:
        """Attributes of an object may be read by name."""
        raise NotImplementedError

    def all_attributes(self, value: Any, about: str) -> None:
        """Attributes of an object may be read whatever their names."""
        raise NotImplementedError

    def everything(self) -> None:
        """Attributes of all objects may be."""
        raise NotImplementedError

    def function_runs(self, function: FunctionType, test: str | None) -> None:
        """A function's code runs."""
        raise NotImplementedError

    def read(self, expression: str, value: Any, about: str, called: bool = False) -> None:
        """Whatever `expression` gives has to be the same again.  called: it is only called, where a profile function sees it."""
        kind = type(value)
        if value is None or kind is bool:
            self.test(f"{expression} is not {value}", about)
        elif kind in ATOMS:
            name = self.constant(value)
            self.test(f"{expression} is not {name} and changed({expression}, {name})", about)
        elif isinstance(value, Tensor):
            self._on_tensor(expression, value, about)
        else:
            self.test(f"{expression} is not {self.constant(value)}", about)
            self.reach(value, about, called)

    def reach(self, value: Any, about: str, called: bool = False) -> None:
        """Guard what is inside an object whose identity is guarded."""
        if isinstance(value, OF_NUMPY):
            self.test_once(f"{self.constant(FLOATING_POINT)}.get() is not {self.constant(FLOATING_POINT.get())}", "numpy.seterr")
        if is_constant(value):
            return
        kind = type(value)
        if kind in (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodWrapperType):
            self._of_c(value, about, called)
            return
        if id(value) in self.reached:
            return
        self.reached[id(value)] = value
        name = self.constant(value)
        if kind is FunctionType:
            self._followed(value, about)
        elif isinstance(value, Made):
            self._fields(value, vars(value), about)
            self.add_space(value)
            self.reach(value.__wrapped__, about)        # type: ignore[attr-defined]
        elif kind is MethodType:
            self.reach(value.__func__, about)
            self._object(value.__self__, about)
        elif kind.__name__ == "instancemethod":         # of C: what makes a method of a built-in function
            self.reach(value.__func__, about, called)
        elif isinstance(value, ModuleType):
            if not belongs_to_library(value.__name__):
                self.test(f"type({name}) is not {self.constant(kind)}", about)
                self.reach(kind, about)
            self.add_space(value)
        elif isinstance(value, type):
            self._type(value)
        elif kind is np.ndarray:
            self.arrays.append(value)
            self.contents(name, value, about)
        elif kind is types.MappingProxyType:
            self._mapping(value, about, dict)
        elif kind is slice:
            for part in ("start", "stop", "step"):
                self.read(f"{name}.{part}", getattr(value, part), about)
        elif kind in (property, staticmethod, classmethod, cached_property):
            for function in (value.fget, value.fset, value.fdel) if kind is property else \
                    (value.func if kind is cached_property else value.__func__,):
                self.reach(function, about)
        else:
            self._instance(value, about)

    def _object(self, value: Any, about: str) -> None:
        """Reach what may be a tensor, of which a bound method is called."""
        if isinstance(value, Tensor):
            self._on_tensor(self.constant(value), value, about)
        else:
            self.reach(value, about)

    def _of_c(self, value: Any, about: str, called: bool) -> None:
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, (ModuleType, type, EntryPoint)):
            self._object(owner, about)
        if value.__name__ in COMPUTED or value.__name__ in DYNAMIC_NAMES and not called:
            self.everything()
        if not called and type(value) is types.BuiltinFunctionType and (name := impure(value)) is not None:
            raise Refusal(f"reads {about}, the function {name}, which others may call")

    def contents(self, expression: str, value: np.ndarray, about: str) -> None:
        """Guard what a NumPy array holds."""
        if value.dtype.hasobject:
            raise Refusal(f"reads {about}, a NumPy array of objects")
        if value.nbytes > MAX_BYTES:
            raise Refusal(f"reads {about}, a NumPy array that is too large to be compared at each call: make it a tensor")
        self.test(f"type({expression}) is not {self.constant(np.ndarray)} or {expression}.dtype != "
                  f"{self.constant(value.dtype)} or {expression}.shape != {self.constant(value.shape)} or "
                  f"{self.constant(lies)}({expression}) != {self.constant(lies(value))} or "
                  f"{expression}.tobytes() != {self.constant(value.tobytes())}", about,
                  f"type({expression}) is not {self.constant(np.ndarray)}")

    def _sequence(self, value: Any, about: str, base: type) -> None:
        name, exact = self.constant(value), type(value) is base
        get = "" if exact else self.constant(base.__getitem__)      # type: ignore[attr-defined]
        if base is not tuple:
            count = name if exact and not value else f"len({name}) != {len(value)}" if exact else \
                f"{self.constant(base.__len__)}({name}) != {base.__len__(value)}"       # type: ignore[attr-defined]
            self.test(count, about)
        for i, item in enumerate(base.__iter__(value)):             # type: ignore[attr-defined]
            self.read(f"{name}[{i}]" if exact else f"{get}({name}, {i})", item, f"{about}[{i}]")

    def keys(self, iterable: str, keys: list[Any], about: str, sized: bool = True) -> None:
        """Guard the keys of a dict or the elements of a set, and their order."""
        if all([type(k) is str for k in keys]):
            self.test(f"[*{iterable}] != {self.constant(keys)}" if keys or not sized else iterable, about)
            return
        for key in keys:
            self._object(key, about)
        self.test(f"differ([*{iterable}], {self.constant(keys)})", about)

    def _mapping(self, value: Any, about: str, base: type) -> None:
        name, exact = self.constant(value), type(value) in (base, types.MappingProxyType)
        items = list(value.items() if exact else base.items(value))         # type: ignore[attr-defined]
        self.keys(name if exact else f"{self.constant(base.__iter__)}({name})", [k for k, _ in items], about,  # type: ignore
                  exact)
        for key, item in items:
            place = repr(key) if type(key) in (int, str) else self.constant(key)
            self.read(f"{name}[{place}]" if exact else f"{self.constant(base.__getitem__)}({name}, {place})", item,  # type: ignore
                      f"{about}[{key!r}]" if type(key) in ATOMS else f"{about}[...]")

    def _type(self, value: type) -> None:
        for cls in value.__mro__:
            if not belongs_to_library(cls.__module__):
                self.reached[id(cls)] = cls
                self._class(cls)
            elif not is_understood(cls):
                raise Refusal(f"reads {cls.__module__}.{cls.__name__}, a class whose state cannot be guarded")
        meta = type(value)
        if issubclass(meta, abc.ABCMeta):
            self.test_once(f"{self.constant(abc.get_cache_token)}() != {abc.get_cache_token()}", "the classes of an ABC")
        if meta is not type:
            self.reach(meta, meta.__name__)

    def _class(self, cls: type) -> None:
        name = self.constant(vars(cls))
        self.test(f"[*{name}] != {self.constant(list(vars(cls)))}", f"the attributes of {cls.__name__}")
        self.test(f"{self.constant(cls)}.__mro__ is not {self.constant(cls.__mro__)}", f"the bases of {cls.__name__}")
        self.add_space(cls)
        for attribute, value in list(vars(cls).items()):
            functions = (value.fget, value.fset, value.fdel) if isinstance(value, property) else \
                (value.__func__,) if isinstance(value, (staticmethod, classmethod)) else (value,)
            found = [f for f in functions if isinstance(f, FunctionType)]
            for function in found:
                test = f"{name}[{attribute!r}] is not {self.constant(value)}"
                self.functions.setdefault(function.__code__, []).append((function, test))
                if (inner := getattr(function, "__wrapped__", None)) is not None:
                    self.reach(inner, attribute)
            if not found and attribute[:2] == "__" == attribute[-2:] and attribute not in INERT:
                self.read(f"{name}[{attribute!r}]", value, f"{cls.__name__}.{attribute}", True)

    def _instance(self, value: Any, about: str) -> None:
        cls = type(value)
        base: Any = state_of(cls)
        if base is None:
            raise Refusal(f"reads {about}, {article(cls.__name__)}, whose state cannot be guarded")
        name = self.constant(value)
        if base in (list, tuple, deque):
            self._sequence(value, about, base)
        elif base in (dict, OrderedDict, defaultdict):
            self._mapping(value, about, base)
        elif base in (set, frozenset):
            self.keys(name if cls is base else f"{self.constant(base.__iter__)}({name})", list(base.__iter__(value)), about,
                      cls is base)
        if base is defaultdict:
            self.read(f"{name}.default_factory", value.default_factory, about)
        elif base is partial:
            for part in ("func", "args", "keywords"):
                self.read(f"{name}.{part}", getattr(value, part), about)
        elif base is BaseException:
            self.read(f"{name}.args", value.args, about)
            self.test(f"{name}.__traceback__ is not None or {name}.__context__ is not None or {name}.__cause__ is not None", about)
        fields = fields_of(value)
        if cls is base and fields is None:
            return
        self.reach(cls, about)
        self.test(f"type({name}) is not {self.constant(cls)}", about)
        module = False
        if fields is not None:
            self._fields(value, fields, about)
            module = "_parameters" in fields and "_modules" in fields
        self.add_space(value)
        library = [c for c in cls.__mro__ if c not in base.__mro__ and belongs_to_library(c.__module__)]
        for c in library:
            if id(c) not in self._methods:
                self._methods.add(id(c))
                self.add_space(c)
                for method in ("forward", "__call__") if module else ():
                    if method in vars(c):
                        self.read(f"{self.constant(vars(c))}[{method!r}]", vars(c)[method], f"{c.__name__}.{method}", True)
        if module and fields is not None:
            self._module(fields, about, len(library) > 1)       # of which the last is nn.Module
        elif library or base is types.SimpleNamespace:
            self.all_attributes(value, about)      # methods of a library read attributes of whatever name

    def inside(self, fields: Any) -> str:
        """How the guard function reads the `__dict__` of an object."""
        return self._inside.get(id(fields)) or self.constant(fields)

    def _fields(self, value: Any, fields: dict[str, Any], about: str) -> None:
        """Guard which attributes an object has: another `__dict__` may be put in place of this one."""
        name = self._inside[id(fields)] = f"d{len(self._inside)}"
        own = type(value).__getattribute__ is not object.__getattribute__
        given = f"{self.constant(object.__getattribute__)}({self.constant(value)}, '__dict__')" if own else \
            f"{self.constant(value)}.__dict__"
        self.constant(fields)           # which keeps it
        self.keys(f"({name} := {given})", list(fields), f"the attributes of {about}")

    def _module(self, fields: dict[str, Any], about: str, layer: bool) -> None:
        """An nn.Module: what its own methods read, whatever their names.  layer: whether it is one of this package's classes."""
        inside = self.inside(fields)
        for attribute, item in fields.items():
            place = f"{inside}[{attribute!r}]"
            if attribute in ("_parameters", "_buffers", "_modules"):
                table = self.constant(item)
                self.test(f"{place} is not {table}", f"{about}.{attribute}")
                self.keys(table, list(item), f"{about}.{attribute}")
                for key, member in item.items():
                    self.read(f"{table}[{key!r}]", member, f"{about}.{key}")
            elif attribute in ("_forward_hooks", "_forward_pre_hooks"):
                self.test(f"{place} is not {self.constant(item)}", f"the hooks of {about}")
                self.reach(item, f"the hooks of {about}") if item else self.test(self.constant(item), f"the hooks of {about}")
            elif attribute == "training" or (fields["_buffers"] if attribute == "_non_persistent_buffers_set" else layer):
                self.read(place, item, f"{about}.{attribute}")

    def _followed(self, function: FunctionType, about: str) -> None:
        """Guard what leads to other functions; the code is read when it runs."""
        kind = kind_of(function.__code__)
        if kind == "user":
            self.functions.setdefault(function.__code__, []).append((function, None))
        elif kind == "pure" and function.__closure__:
            self.function_runs(function, None)
        if kind == "user" or vars(function):
            fields = vars(function)
            self._fields(function, fields, about)
            self.add_space(function)
            if (inner := fields.get("__wrapped__")) is not None:
                self.reach(inner, about)
