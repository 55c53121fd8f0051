"""What a captured function reads besides its arguments: globals, cells, attribute chains of its code objects, and a test for each.

The walk starts at what code that runs names: globals, closure cells, defaults, attributes.  Each object that can be reached
so is described (objects.py).  The tests are written down before the code runs and tried after it has: what a function changes
of its own reads is found that way.

Invariant: attributes are walked by name alone, on every object that was reached; more is guarded than was read, never less.
"""
from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from jitgrad.capture.guards.bytecode import HIDDEN, Code
from jitgrad.capture.guards.lines import Refusal
from jitgrad.capture.guards.objects import INERT, Objects
from jitgrad.capture.guards.understood import belongs_to_library, fields_of, slots
from jitgrad.tensors.tensor import Tensor

MISSING = object()
OWN = frozenset([name for c in (Tensor, *Tensor.__subclasses__()) for name in dir(c) if name[:1] == "_" != name[1:2]])


class Reads(Objects):
    """The names read, and the objects that they are read of.  on_tensor: see Objects."""

    def __init__(self, on_tensor: Callable[[str, Tensor, str], None]) -> None:
        super().__init__(on_tensor)
        self.names: set[str] = set()
        self.asks_types = False         # whether code that ran names `type`
        self._spaces: list[tuple[Any, str]] = []
        self._tensors: dict[str, tuple[Tensor, str, list[str]]] = {}    # by name: with place, and attributes that users gave
        self._ran: dict[CodeType, int] = {}
        self._code: dict[CodeType, Code] = {}
        self._nested: set[CodeType] = set()
        self._globals: set[tuple[int, str, bool]] = set()
        self._values: set[str] = set()          # names that are read other than to be called
        self._stored: set[str] = set()          # names of attributes that are written
        self._loose: set[str] = set()           # names that may be an attribute of a tensor
        self._everything = False
        self._catches = False
        self.add_space(Tensor)

    # -- attributes by name ------------------------------------------------------------------------------------------

    def add_space(self, value: Any) -> None:
        about = value.__name__ if isinstance(value, (ModuleType, type)) else type(value).__name__
        self._spaces.append((value, about))
        for name in sorted(self.names):
            self._attribute(value, about, name)
        if self._everything:
            self.all_attributes(value, about)

    def add_tensor(self, name: str, tensor: Tensor, about: str) -> None:
        """A tensor of this name is read: so are the attributes that users gave it."""
        if not belongs_to_library(type(tensor).__module__):
            self.reach(type(tensor), about)
        given = [k for k in vars(tensor) if k not in OWN]
        self._tensors[name] = tensor, about, given
        for attribute in given:
            if attribute in self._loose or self._everything:
                self._of_tensor(name, attribute)

    def _of_tensor(self, name: str, attribute: str) -> None:
        tensor, about, given = self._tensors[name]
        if attribute in given:
            self.read(f"{name}.__dict__[{attribute!r}]", vars(tensor)[attribute], f"{about}.{attribute}")

    def finish(self) -> None:
        """All names are known: guard that no tensor has got an attribute that is read."""
        foreign = sorted([n for n in self._loose if n[:2] != "__"])
        if all([hasattr(Tensor, n) for n in foreign]):
            foreign = []            # they are methods; that one tensor has another one by itself is not looked for
        for name, (_, about, given) in self._tensors.items():
            if self._everything or given:
                self.test(f"[k for k in {name}.__dict__ if k not in {self.constant(OWN)}] != {given}", f"the attributes of {about}")
            elif foreign:
                self.test(f"{foreign[0]!r} in {name}.__dict__" if len(foreign) == 1 else
                          f"not {self.constant(frozenset(foreign))}.isdisjoint({name}.__dict__)", f"the attributes of {about}")
        if self._catches:       # what is not there may come
            for value, about in self._spaces:
                if isinstance(value, ModuleType):
                    absent = frozenset(self.names.difference(vars(value)))
                    self.test(f"not {self.constant(absent)}.isdisjoint({self.constant(vars(value))})", f"the names of {about}")
            for found in self.functions.values():
                for function, _ in found:
                    if not function.__defaults__ and not function.__kwdefaults__:
                        name = self.constant(function)
                        self.test_once(f"{name}.__defaults__ or {name}.__kwdefaults__", f"the defaults of {function.__name__}")
        self._tensors.clear()   # what was given must not be kept alive by its guards

    def _attribute(self, value: Any, about: str, name: str) -> None:
        """Guard one attribute of a module, class, function or instance, if it has it by itself."""
        called = name not in self._values
        own = isinstance(value, (ModuleType, type, FunctionType))
        fields: Any = vars(value) if own else fields_of(value)
        if fields is not None and name in fields:
            self.read(f"{self.inside(fields)}[{name!r}]", fields[name], f"{about}.{name}", called)
            return
        if isinstance(value, ModuleType):
            if name in self._stored:
                self.test(f"{name!r} in {self.constant(fields)}", f"{about}.{name}")
            return
        if own and name[:2] == "__":
            item: Any = getattr(value, name, MISSING)
            if type(item) in (str, dict, tuple, type(None)):
                self.read(f"{self.constant(value)}.{name}", item, f"{about}.{name}")
            return
        kind: Any = type(value)
        for cls in kind.__mro__:
            if name in vars(cls) and name in slots(cls):
                descriptor = self.constant(vars(cls)[name])
                try:
                    item = vars(cls)[name].__get__(value)
                except AttributeError:
                    self.test(f"present({descriptor}, {self.constant(value)})", f"{about}.{name}")
                else:
                    plain = cls.__getattribute__ is object.__getattribute__
                    self.read(f"{self.constant(value)}.{name}" if plain else f"{descriptor}.__get__({self.constant(value)})", item,
                              f"{about}.{name}", called)

    def all_attributes(self, value: Any, about: str) -> None:
        if isinstance(value, ModuleType) and belongs_to_library(value.__name__):
            fields = self.constant(vars(value))
            self.test_once(f"{fields} != {self.constant(dict(vars(value)))}", f"the names of {about}")
            return
        if isinstance(value, type) and belongs_to_library(value.__module__):
            return
        if isinstance(value, FunctionType):
            self.function_runs(value, None)         # of which inspect tells
        if isinstance(value, ModuleType):
            raise Refusal(f"reads attributes of the module {value.__name__} by computed names")
        own = [] if isinstance(value, (type, FunctionType)) else [n for c in type(value).__mro__ for n in slots(c)]
        for name in [*(vars(value) if isinstance(value, type) else fields_of(value) or ()), *own]:
            if not (isinstance(value, type) and name in INERT):
                self._attribute(value, about, name)

    def everything(self) -> None:
        """Attributes are read by computed names (getattr): guard all attributes of instances."""
        if not self._everything:
            self._everything = True
            for value, about in list(self._spaces):
                self.all_attributes(value, about)
            for name, (_, _, given) in list(self._tensors.items()):
                for attribute in given:
                    self._of_tensor(name, attribute)

    def _add_names(self, names: Iterable[str], values: set[str]) -> None:
        fresh = sorted([n for n in names if n not in self.names or n in values and n not in self._values])
        self.names.update(fresh)
        self._values |= values
        spaces = list(self._spaces)
        for value, about in spaces:
            for name in fresh:
                self._attribute(value, about, name)

    # -- code --------------------------------------------------------------------------------------------------------

    def run(self, code: CodeType, scope: dict[str, Any], local: dict[str, Any]) -> None:
        """A user's code object is about to run with these globals and arguments."""
        known = self.functions.get(code, ())
        if not known and code not in self._nested:
            raise Refusal(f"calls {code.co_name}, which no guarded name leads to")
        done = self._ran.get(code)
        self._ran[code] = len(known)
        for function, test in known[done or 0:]:
            self.function_runs(function, test)
        if done is None:
            self._code[code] = Code(code)
        seen = self._code[code]
        loose = set() if done is not None else set(seen.loose)
        for (kind, name), attributes in seen.own.items():
            if isinstance((scope if kind == "global" else local).get(name), Tensor):
                loose |= attributes
        if done is None:
            if seen.unknown is not None:
                raise Refusal(f"has an instruction that is not understood, {seen.unknown[0]} in line {seen.unknown[1]}")
            self.asks_types = self.asks_types or "type" in seen.globals_
            self._catches = self._catches or seen.catches
            self._nested.update([c for c in code.co_consts if isinstance(c, CodeType)])
            if hidden := sorted(HIDDEN & seen.attributes):
                raise Refusal(f"reads {hidden[0]}")
            for name, level in seen.imports:
                self._import(scope, name, level)
            self._stored |= seen.stored
            self._add_names(seen.attributes, seen.values | seen.stored)
            if seen.computed:
                self.everything()
        if fresh := loose - self._loose:
            self._loose |= fresh
            for tensor, (_, _, given) in list(self._tensors.items()):
                for attribute in fresh.intersection(given):
                    self._of_tensor(tensor, attribute)
        for name, called in seen.globals_.items():
            self._global(scope, name, called)

    def _import(self, scope: dict[str, Any], name: str, level: int) -> None:
        """An import of a module that has been imported before reads it from sys.modules."""
        full = importlib.util.resolve_name("." * level + name, scope.get("__package__")) if level else name
        parts = full.split(".")
        self.read(f"{self.constant(vars(builtins))}['__import__']", builtins.__import__, "__import__", True)
        for k in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:k]))
            if module is None:
                raise Refusal(f"changes what is imported: {full}")
            self.read(f"{self.constant(sys.modules)}.get({'.'.join(parts[:k])!r})", module, f"the module {full}")

    def _global(self, scope: dict[str, Any], name: str, called: bool) -> None:
        if (id(scope), name, called) in self._globals:
            return
        self._globals.add((id(scope), name, called))
        table = self.constant(scope)
        if name in scope:
            self.read(f"{table}[{name!r}]", scope[name], f"the global {name}", called)
            return
        self.test(f"{name!r} in {table}", f"the global {name}")
        given: Any = scope.get("__builtins__", builtins)
        given = vars(given) if isinstance(given, ModuleType) else given
        if name in given:
            self.read(f"{self.constant(given)}[{name!r}]", given[name], f"the built-in {name}", called)
        else:
            self.test(f"{name!r} in {self.constant(given)}", f"the built-in {name}")

    def function_runs(self, function: FunctionType, test: str | None) -> None:
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
            except ValueError:      # not yet assigned
                self.test(f"filled({self.constant(cell)})", f"{variable} of {about}")
                continue
            self.read(f"{self.constant(cell)}.cell_contents", value, f"{variable} of {about}")
