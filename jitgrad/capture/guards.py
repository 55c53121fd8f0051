"""What a captured function reads besides its arguments, and the tests that tell whether it would read the same again.

The walk starts at what code that runs names: globals, closure cells, defaults, attributes.  Each object that can be reached
so is described by tests of identity (objects) or value (numbers and strings), containers and instances by their contents,
and tensors by a place to read them anew.  The tests are written down before the code runs and tried after it has: what a
function changes of its own reads is found that way.  An object that nothing is known of is a reason not to replay.

Invariant: attributes are walked by name alone, on every object that was reached; more is guarded than was read, never less.
"""
from __future__ import annotations

import dis
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from jitgrad.device import device
from jitgrad.dtype import dtype
from jitgrad.tensor import Size, Tensor

ATOMS = (int, float, str, bytes, complex)
FROZEN = (dtype, device, np.dtype, np.ufunc, type(np.sum), type(Ellipsis), type(NotImplemented), types.GetSetDescriptorType,
          types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType, types.MethodWrapperType,
          types.CodeType, types.GenericAlias, re.Pattern, types.MappingProxyType, np.generic)
MAX_TESTS = 3000
MAX_BYTES = 64 * 1024       # of a NumPy array that is compared by its contents
LIBRARIES = ("jitgrad", "numpy", "builtins", *sys.stdlib_module_names)
COMPUTED = {"__dict__", "__getattribute__", "attrgetter", "methodcaller"}       # names that lead to attributes of any name
HIDDEN = {"__globals__", "__closure__", "f_globals", "f_locals", "f_back", "gi_frame", "tb_frame", "cr_frame"}
MISSING = object()
NOT_CALLABLE, IMMUTABLE_TYPE, HEAP_TYPE = 1 << 7, 1 << 8, 1 << 9        # of type.__flags__ (CPython's object.h)


class Test(NamedTuple):
    """A line of the guard function that is false for what was captured, and what it is about.  structure: the same
    without regard to a value, if there is such a thing."""

    condition: str
    about: str
    structure: str | None = None


class Refusal(Exception):
    """A read that cannot be guarded."""


def belongs_to_library(name: str | None) -> bool:
    """Whether a module's name is that of this package, NumPy or the standard library."""
    return name is not None and name.partition(".")[0] in LIBRARIES


class Reads:
    """The objects reached and the tests on them.  on_tensor(expression, tensor, about): called for each tensor."""

    def __init__(self, on_tensor: Callable[[str, Tensor, str], None]) -> None:
        self.tests: list[Test] = []
        self.namespace: dict[str, Any] = {}
        self.functions: dict[CodeType, list[tuple[FunctionType, str | None]]] = {}
        self._on_tensor = on_tensor
        self._constants: dict[int, str] = {}
        self._reached: dict[int, Any] = {}
        self._spaces: list[tuple[Any, str]] = []
        self.names: set[str] = set()
        self._ran: dict[CodeType, int] = {}
        self._nested: set[CodeType] = set()
        self._globals: set[tuple[int, str]] = set()
        self._everything = False
        self.arrays: list[np.ndarray] = []      # that were reached
        self.asks_types = False         # whether code that ran names `type`

    # -- tests -------------------------------------------------------------------------------------------------------

    def constant(self, value: Any) -> str:
        """The name of an object in the guard function."""
        name = self._constants.get(id(value))
        if name is None:
            name = self._constants[id(value)] = f"K{len(self.namespace)}"
            self.namespace[name] = value
        return name

    def test(self, condition: str, about: str, structure: str | None = None) -> None:
        """Add a test: `condition` holds when something has changed; structure: see Test."""
        if len(self.tests) >= MAX_TESTS:
            raise Refusal(f"more than {MAX_TESTS} values to guard, {about} among them")
        self.tests.append(Test(condition, about, structure))

    def read(self, expression: str, value: Any, about: str) -> None:
        """Whatever `expression` gives has to be the same again."""
        kind = type(value)
        if value is None or kind is bool:
            self.test(f"{expression} is not {value}", about)
        elif kind in ATOMS:
            name = self.constant(value)
            self.test(f"{expression} is not {name} and changed({expression}, {name})", about)
        elif isinstance(value, Tensor):
            self._on_tensor(expression, value, about)
        elif kind in (range, slice, Size):
            self.test(f"{expression} != {self.constant(value)}", about)
        else:
            self.test(f"{expression} is not {self.constant(value)}", about)
            self.reach(value, about)

    # -- objects -----------------------------------------------------------------------------------------------------

    def reach(self, value: Any, about: str) -> None:
        """Guard what is inside an object whose identity is guarded."""
        if id(value) in self._reached or value is None or isinstance(value, (*ATOMS, *FROZEN, Size, range, slice)):
            return
        self._reached[id(value)] = value
        if isinstance(value, FunctionType):
            if not belongs_to_library(value.__module__):
                self.functions.setdefault(value.__code__, []).append((value, None))
                self._count(vars(value), about)
                self._add_space(value)
                if (inner := getattr(value, "__wrapped__", None)) is not None:
                    self.reach(inner, about)
        elif isinstance(value, types.BuiltinFunctionType):
            if value.__self__ is not None and not isinstance(value.__self__, (ModuleType, type)):
                self.reach(value.__self__, about)
        elif isinstance(value, MethodType):
            self.reach(value.__func__, about)
            self.reach(value.__self__, about)
        elif isinstance(value, ModuleType):
            self._add_space(value)
        elif isinstance(value, type):
            for cls in value.__mro__:
                if not belongs_to_library(cls.__module__):
                    self._reached[id(cls)] = cls
                    self._class(cls)
        elif isinstance(value, (list, tuple, deque)):
            self._sequence(value, about)
        elif isinstance(value, (set, frozenset)):
            if not isinstance(value, frozenset):
                self.test(f"{self.constant(value)} != {self.constant(frozenset(value))}", about)
            for item in value:
                self.reach(item, about)
        elif isinstance(value, dict):
            self._mapping(value, about)
        elif type(value) is np.ndarray:
            self.arrays.append(value)
            self.contents(self.constant(value), value, about)
        elif isinstance(value, (property, staticmethod, classmethod)):
            for function in ((value.fget, value.fset, value.fdel) if isinstance(value, property) else (value.__func__,)):
                self.reach(function, about)
        elif isinstance(value, partial):
            for part in (value.func, value.args, value.keywords):
                self.reach(part, about)
        else:
            self._instance(value, about)

    def contents(self, expression: str, value: np.ndarray, about: str) -> None:
        """Guard what a NumPy array holds."""
        if value.nbytes > MAX_BYTES or value.dtype.hasobject:
            raise Refusal(f"reads {about}, a NumPy array that is too large to be compared at each call: make it a tensor")
        self.test(f"type({expression}) is not {self.constant(np.ndarray)} or {expression}.dtype != "
                  f"{self.constant(value.dtype)} or {expression}.shape != {self.constant(value.shape)} or "
                  f"{expression}.tobytes() != {self.constant(value.tobytes())}", about,
                  f"type({expression}) is not {self.constant(np.ndarray)}")

    def _sequence(self, value: Any, about: str) -> None:
        name = self.constant(value)
        if not isinstance(value, tuple):
            self.test(f"len({name}) != {len(value)}", about)
        for i, item in enumerate(value):
            self.read(f"{name}[{i}]", item, f"{about}[{i}]")

    def _mapping(self, value: dict, about: str) -> None:
        name = self.constant(value)
        keys = list(value)
        if not all([isinstance(k, (*ATOMS, type(None), type, FunctionType, ModuleType)) or type(k) is tuple for k in keys]):
            raise Refusal(f"reads {about}, a dict whose keys cannot be guarded")
        self.test(f"[*{name}] != {self.constant(keys)}", about)
        for key, item in value.items():
            self.read(f"{name}[{key!r}]" if type(key) in (int, str) else f"{name}[{self.constant(key)}]", item,
                      f"{about}[{key!r}]")

    def _count(self, fields: Any, about: str) -> None:
        """Guard how many attributes there are."""
        self.test(f"len({self.constant(fields)}) != {len(fields)}", f"the attributes of {about}")

    def _class(self, cls: type) -> None:
        self._count(vars(cls), cls.__name__)
        self._add_space(cls)
        name = self.constant(vars(cls))
        for attribute, value in list(vars(cls).items()):
            functions = [value]
            if isinstance(value, property):
                functions = [value.fget, value.fset]
            elif isinstance(value, (staticmethod, classmethod)):
                functions = [value.__func__]
            for function in functions:
                if isinstance(function, FunctionType):
                    test = f"{name}[{attribute!r}] is not {self.constant(value)}"
                    self.functions.setdefault(function.__code__, []).append((function, test))

    def _instance(self, value: Any, about: str) -> None:
        cls = type(value)
        if not (is_of_python(cls) or isinstance(value, (BaseException, types.SimpleNamespace))):
            raise Refusal(f"reads {about}, {article(cls.__name__)}, whose state cannot be guarded")
        name = self.constant(value)
        self.reach(cls, about)
        fields = getattr(value, "__dict__", None)
        if type(fields) is dict:
            inside = self.constant(fields)
            self._count(fields, about)
            if "_parameters" in fields and "_modules" in fields:
                self._module(fields, inside, about)
        self.test(f"{name}.__class__ is not {self.constant(cls)}", about)
        self._add_space(value)
        if any([belongs_to_library(c.__module__) for c in cls.__mro__[:-1]]) and not (
                type(fields) is dict and "_modules" in fields):
            self._all_attributes(value, about)      # methods of a library read attributes of whatever name

    def _module(self, fields: dict[str, Any], inside: str, about: str) -> None:
        """An nn.Module: what its own methods read, whatever their names."""
        for attribute, item in fields.items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                table = self.constant(item)
                self.test(f"[*{table}] != {self.constant(list(item))}", f"{about}.{attribute}")
                for key, member in item.items():
                    self.read(f"{table}[{key!r}]", member, f"{about}.{key}")
            elif attribute in ("_forward_hooks", "_forward_pre_hooks"):
                self.test(f"len({self.constant(item)}) != {len(item)}", f"the hooks of {about}")
                for hook in item.values():
                    self.reach(hook, f"a hook of {about}")
            elif item is None or isinstance(item, (*ATOMS, tuple)):
                self.read(f"{inside}[{attribute!r}]", item, f"{about}.{attribute}")

    # -- attributes by name ------------------------------------------------------------------------------------------

    def _add_space(self, value: Any) -> None:
        about = value.__name__ if isinstance(value, (ModuleType, type)) else type(value).__name__
        self._spaces.append((value, about))
        for name in sorted(self.names):
            self._attribute(value, about, name)
        if self._everything:
            self._all_attributes(value, about)

    def _attribute(self, value: Any, about: str, name: str) -> None:
        """Guard one attribute of a module, class or instance, if it has it by itself."""
        if isinstance(value, (ModuleType, type)) or type(getattr(value, "__dict__", None)) is dict:
            fields = vars(value)
            if name in fields:
                self.read(f"{self.constant(fields)}[{name!r}]", fields[name], f"{about}.{name}")
                return
        if not isinstance(value, (ModuleType, type)):
            for cls in type(value).__mro__:
                if name in slots(cls):
                    item = getattr(value, name, MISSING)
                    if item is not MISSING:
                        self.read(f"{self.constant(value)}.{name}", item, f"{about}.{name}")

    def _all_attributes(self, value: Any, about: str) -> None:
        if isinstance(value, (ModuleType, type)) and belongs_to_library(getattr(value, "__module__", value.__name__)):
            return
        if isinstance(value, ModuleType):
            raise Refusal(f"reads attributes of the module {value.__name__} by computed names")
        cls: type = type(value)
        for name in [*getattr(value, "__dict__", ()), *[n for c in cls.__mro__ for n in slots(c)]]:
            self._attribute(value, about, name)

    def everything(self) -> None:
        """Attributes are read by computed names (getattr): guard all attributes of instances."""
        if not self._everything:
            self._everything = True
            for value, about in list(self._spaces):
                self._all_attributes(value, about)

    def _add_names(self, names: Iterable[str]) -> None:
        fresh = sorted(set(names) - self.names)
        self.names.update(fresh)
        spaces = list(self._spaces)
        for value, about in spaces:
            for name in fresh:
                self._attribute(value, about, name)

    # -- code --------------------------------------------------------------------------------------------------------

    def run(self, code: CodeType, scope: dict[str, Any]) -> None:
        """A user's code object is about to run with these globals."""
        known = self.functions.get(code, ())
        if code.co_freevars and not known and code not in self._nested:
            raise Refusal(f"calls {code.co_name}, a closure that no guarded name leads to")
        done = self._ran.get(code)
        self._ran[code] = len(known)
        for function, test in known[done or 0:]:
            self._function(function, test)
        if done is None:
            globals_, attributes = _names_in(code)
            self.asks_types = self.asks_types or "type" in globals_
            self._nested.update([c for c in code.co_consts if isinstance(c, CodeType)])
            if hidden := sorted(HIDDEN & attributes):
                raise Refusal(f"reads {hidden[0]}")
            self._add_names(attributes)
            if COMPUTED & {*attributes, *globals_}:
                self.everything()
            for name in globals_:
                self._global(scope, name)
        elif (id(scope), "") not in self._globals:
            for name in _names_in(code)[0]:
                self._global(scope, name)
        self._globals.add((id(scope), ""))

    def _global(self, scope: dict[str, Any], name: str) -> None:
        if (id(scope), name) in self._globals:
            return
        self._globals.add((id(scope), name))
        table = self.constant(scope)
        if name in scope:
            self.read(f"{table}[{name!r}]", scope[name], f"the global {name}")
        elif name in sys.modules and name not in vars(types.ModuleType("")) and not hasattr(
                sys.modules["builtins"], name):
            self.reach(sys.modules[name], f"the module {name}")
        else:
            self.test(f"{name!r} in {table}", f"the global {name}")

    def _function(self, function: FunctionType, test: str | None) -> None:
        """A function whose code runs."""
        name, about = self.constant(function), function.__qualname__
        if test is not None:
            self.test(test, about)
        self.test(f"{name}.__code__ is not {self.constant(function.__code__)}", f"the code of {about}")
        if function.__defaults__:
            self.read(f"{name}.__defaults__", function.__defaults__, f"the defaults of {about}")
        if function.__kwdefaults__:
            self.read(f"{name}.__kwdefaults__", function.__kwdefaults__, f"the defaults of {about}")
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                value = cell.cell_contents
            except ValueError:
                continue            # not yet assigned: reading it would raise
            self.read(f"{self.constant(cell)}.cell_contents", value, f"{variable} of {about}")


def slots(cls: type) -> tuple[str, ...]:
    """The attributes of a class's instances that are not in their `__dict__`."""
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _names_in(code: CodeType) -> tuple[list[str], set[str]]:
    """The names that code reads or writes as globals, and as attributes."""
    globals_: list[str] = []
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME"):
            globals_.append(instruction.argval)
            if name == "IMPORT_NAME":
                attributes.update(instruction.argval.split("."))
        elif name in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR", "IMPORT_FROM", "LOAD_SUPER_ATTR"):
            attributes.add(instruction.argval)
    return globals_, attributes


def is_of_python(cls: type) -> bool:
    """Whether the instances of a class have no state besides their attributes.  Iterators and other classes of C that
    cannot be called inherit object's `__new__` too, which their flags tell."""
    new = cls.__new__
    return isinstance(new, FunctionType) or cls is object or (
        new is object.__new__ and bool(cls.__flags__ & HEAP_TYPE) and not cls.__flags__ & (NOT_CALLABLE | IMMUTABLE_TYPE))


def changed(value: Any, before: Any) -> bool:
    """Whether a number or string is another one; nan is itself, and 0.0 is not -0.0."""
    return type(value) is not type(before) or repr(value) != repr(before)


def article(name: str) -> str:
    """The name with "a" or "an"."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
