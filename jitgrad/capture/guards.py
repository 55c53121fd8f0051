"""What a captured function has read besides its tensors, as tests that a replay makes first.

Input: the arguments of a call, the function, and the code that ran while it was traced.  Output: lines of Python, in
terms of constants, that are true as long as all of it is the same; where the tensors lie that are read anew at each
replay; or the reason why something cannot be tested.
Invariant: nothing that the function may read is left untested: what is not known here is a reason.

The tests are `is` for functions, classes, modules, tensors and nn.Modules, equality for numbers and strings, both
recursively for containers and for the attributes of plain objects.  A function's code tells which globals, closure cells
and attributes it can read.
"""
from __future__ import annotations

import builtins
import dis
import sys
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from jitgrad.device import device
from jitgrad.dtype import dtype
from jitgrad.operators.origin import PACKAGE
from jitgrad.tensor import Hooks, Size, Tensor

MODULES = frozenset({"jitgrad", "math", "cmath", "operator", "itertools", "functools", "typing", "collections", "builtins",
                     "numpy", "types", "abc", "dataclasses", "enum", "numbers", "contextlib", "torch"})
REFUSED = frozenset({"print", "input", "open", "exec", "eval", "compile", "globals", "locals", "vars", "setattr", "delattr",
                     "id", "breakpoint", "__import__", "next"})
WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR"})
PLAIN = (int, float, complex, str, bytes, type(None))
MAX_ITEMS = 256         # of a container that is tested
MAX_ELEMENTS = 4096     # of an array whose contents are tested


class Refused(Exception):
    """Something that cannot be tested; the text says what."""


class Guards:
    """Tests under construction.  `lines`: statements that return None from the checking function where a test fails;
    `names`: the constants in them.  tensors: id -> expression, of tensors found."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"Tensor": Tensor, "ndarray": np.ndarray, "same": _same_array}
        self.tensors: dict[int, tuple[Tensor, str]] = {}
        self.codes: set[CodeType] = set()
        self.classes: list[type] = []
        self._objects: set[tuple[int, str]] = set()
        self._attributes: set[str] = set()
        self._constants: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        """The name of a constant."""
        name = self._constants.get(id(value))
        if name is None:
            name = self._constants[id(value)] = f"C{len(self._constants)}"
            self.names[name] = value
        return name

    def test(self, condition: str) -> None:
        """Add a condition of a replay."""
        self.lines.append(f"if not ({condition}): return None")

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, value: Any, where: str, what: str) -> None:
        """Test that what the expression `where` gives is still this value.  what: its name, for reasons."""
        kind = type(value)
        if kind in PLAIN or kind is bool:
            if value is None or kind is bool:
                self.test(f"{where} is {value}")
            else:
                unlike = " or v != v" if value != value else ""
                self.lines.append(f"v = {where}")
                self.test(f"type(v) is {self.constant(kind)} and (v == {self.constant(value)}{unlike})")
            return
        if (id(value), where) in self._objects:
            return
        self._objects.add((id(value), where))
        if isinstance(value, np.ndarray):
            if value.size > MAX_ELEMENTS or value.dtype == object:
                raise Refused(f"it reads the NumPy array {what}: pass it as an argument, or make it a tensor")
            self.test(f"same({where}, {self.constant(value.copy())})")
            return
        if kind in (tuple, list, dict, Size):
            self._container(value, where, what)
            return
        if kind is slice or (kind in (set, frozenset) and all([type(v) in PLAIN for v in value])):
            copy = value if kind is slice else frozenset(value)
            self.test(f"type({where}) is {self.constant(kind)} and {where} == {self.constant(copy)}")
            return
        if isinstance(value, Hooks):
            if value:
                raise Refused(f"{what} calls hooks")
            self.test(f"not {where}")
            return
        self.test(f"{where} is {self.constant(value)}")
        if isinstance(value, Tensor):
            self.tensors.setdefault(id(value), (value, where))
        elif isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, MethodType):
            self.value(value.__self__, f"{where}.__self__", what)
            self.function(value.__func__)
        elif isinstance(value, ModuleType):
            self._module(value, where, what)
        elif isinstance(value, type):
            self.classes.append(value)
        elif isinstance(value, (BuiltinFunctionType, np.ufunc, dtype, device, np.dtype)) or value is NotImplemented \
                or value is Ellipsis:
            self._builtin(value, what)
        else:
            self._object(value, where, what)

    def _builtin(self, value: Any, what: str) -> None:
        owner = getattr(value, "__self__", None)
        home = getattr(value, "__module__", None) or (owner.__name__ if isinstance(owner, ModuleType) else "builtins")
        if home == "builtins" and getattr(value, "__name__", "") in REFUSED and not isinstance(value, type):
            raise Refused(f"it calls {what}()")
        if isinstance(value, BuiltinFunctionType) and home.split(".")[0] not in MODULES and not home.startswith("_"):
            raise Refused(f"it reads {what} of the module {home}")

    def _container(self, value: Any, where: str, what: str) -> None:
        if len(value) > MAX_ITEMS:
            raise Refused(f"it reads {what}, a {type(value).__name__} of {len(value)} items")
        self.test(f"type({where}) is {self.constant(type(value))} and len({where}) == {len(value)}")
        for key, item in value.items() if type(value) is dict else enumerate(value):
            if not isinstance(key, (str, int)):
                raise Refused(f"it reads {what}, a dict with keys that are neither strings nor integers")
            self.value(item, f"{where}[{key!r}]", f"{what}[{key!r}]")

    def _module(self, module: ModuleType, where: str, what: str) -> None:
        root = module.__name__.split(".")[0]
        if root in MODULES:
            if "random" in self._attributes and root == "numpy":
                raise Refused("it reads numpy.random")
            return
        if root in sys.stdlib_module_names:
            raise Refused(f"it reads the module {module.__name__}")
        for name in sorted(self._attributes & vars(module).keys()):
            self.value(vars(module)[name], f"{where}.__dict__[{name!r}]", f"{what}.{name}")

    def _object(self, value: Any, where: str, what: str) -> None:
        kind = type(value)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and hasattr(value, "is_jitgrad_compiled"):
            self.value(wrapped, f"{where}.__wrapped__", what)
            return
        fields = getattr(value, "__dict__", None)
        if type(fields) is not dict or any(["__slots__" in vars(c) and vars(c)["__slots__"] for c in kind.__mro__]):
            raise Refused(f"it reads {what}, a {kind.__name__}, whose attributes cannot be listed")
        self.classes.append(kind)
        name = self.constant(fields)
        self.test(f"{where}.__dict__ is {name} and len({name}) == {len(fields)}")
        listed = "_modules" in fields and "_parameters" in fields        # an nn.Module: all of it may be read inside
        for key, item in list(fields.items()):
            if listed or key in self._attributes:
                self.value(item, f"{name}[{key!r}]", f"{what}.{key}")

    # -- code --------------------------------------------------------------------------------------------------------

    def function(self, fn: FunctionType) -> None:
        """Test that a function reads what it has read."""
        code = fn.__code__
        if code.co_filename.startswith(PACKAGE) or code in self.codes:
            return
        self.test(f"{self.constant(fn)}.__code__ is {self.constant(code)}")
        self.value(fn.__defaults__, f"{self.constant(fn)}.__defaults__", f"the defaults of {fn.__name__}")
        self.value(fn.__kwdefaults__, f"{self.constant(fn)}.__kwdefaults__", f"the defaults of {fn.__name__}")
        names = self._code(code, set(code.co_freevars))
        for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue                # not assigned yet: reading it would have raised
            self.value(value, f"{self.constant(cell)}.cell_contents", name)
        scope = self.constant(fn.__globals__)
        for name in names:
            if name in fn.__globals__:
                self.value(fn.__globals__[name], f"{scope}[{name!r}]", name)
            elif hasattr(builtins, name):
                self.test(f"{name!r} not in {scope}")
                if name in REFUSED:
                    raise Refused(f"it calls {name}()")

    def _code(self, code: CodeType, outer: set[str]) -> list[str]:
        """Global names that a code object and those inside it read.  outer: variables of enclosing functions."""
        self.codes.add(code)
        if code.co_flags & 0x2A0:       # a generator, coroutine or asynchronous generator
            if code.co_name != "<genexpr>":
                raise Refused(f"{code.co_name} is a generator or coroutine")
        names: dict[str, None] = {}
        for instruction in dis.get_instructions(code):
            if instruction.opname in WRITES or (instruction.opname in ("STORE_DEREF", "DELETE_DEREF")
                                                and instruction.argval in outer):
                raise Refused(f"{code.co_name} assigns to {instruction.argval}, which outlives the call")
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names[instruction.argval] = None
            elif instruction.opname == "IMPORT_NAME" and instruction.argval.split(".")[0] not in MODULES:
                raise Refused(f"{code.co_name} imports {instruction.argval}")
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
                self._attributes.add(instruction.argval)
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                names.update(dict.fromkeys(self._code(inner, outer)))
        return list(names)

    def attributes_of(self, codes: Iterable[CodeType]) -> None:
        """Note the attributes that some code reads, before objects are looked at."""
        for code in codes:
            for instruction in dis.get_instructions(code):
                if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
                    self._attributes.add(instruction.argval)

    def cover(self, codes: Iterable[CodeType]) -> None:
        """Test all functions that have run, methods of known classes included; Refused for code that is not known."""
        left = [code for code in codes if code not in self.codes]
        while left:
            code = next((code for code in left if self._method(code)), None)
            if code is None:
                one = left[0]
                raise Refused(f"it calls {one.co_name} ({one.co_filename.rsplit('/', 1)[-1]}:{one.co_firstlineno}), which "
                              "is reached in a way that cannot be tested")
            left = [code for code in left if code not in self.codes]

    def _method(self, code: CodeType) -> bool:
        """Find the method of a known class that has this code."""
        for kind in list(self.classes):
            for owner in kind.__mro__:
                for name, found in vars(owner).items():
                    fn = _unwrapped(found)
                    if fn is not None and fn.__code__ is code:
                        self.test(f"{self.constant(owner)}.__dict__.get({name!r}) is {self.constant(found)}")
                        self.function(fn)
                        return True
        return False


def _unwrapped(found: Any) -> FunctionType | None:
    """The function behind an entry of a class."""
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    return found if isinstance(found, FunctionType) else None


def _same_array(a: Any, b: np.ndarray) -> bool:
    return type(a) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=(
        b.dtype.kind in "fc")))


def running(run: Callable[[], Any]) -> tuple[Any, list[CodeType]]:
    """The result of a call, and the code outside the package that ran for it (its own frame excluded)."""
    seen: dict[CodeType, None] = {}
    before = sys.getprofile()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and not frame.f_globals.get("__name__", "").startswith("namedtuple_"):
            seen[frame.f_code] = None

    sys.setprofile(note)
    try:
        result = run()
    finally:
        sys.setprofile(before)
    return result, [code for code in seen if not _known(code.co_filename)]


def _known(filename: str) -> bool:
    """Whether code of a file needs no test: the package's, NumPy's, and Python's own that is pure."""
    if filename.startswith((PACKAGE, _NUMPY)) or filename.startswith("<frozen"):
        return True
    return filename in _PURE


_NUMPY = np.__file__.rsplit("__init__", 1)[0]
_PURE = frozenset([sys.modules[name].__file__ or "" for name in ("functools", "contextlib", "typing", "collections", "abc",
                                                                "dataclasses", "enum", "operator", "types")
                   if name in sys.modules])
