"""Entry points: the built-in functions that users call, and what gives them machine code.

An entry point forwards to the Python function of its operator: its code is `PyObject_Vectorcall` itself, whose arguments are those
of Python's fast calling convention, and whose callable is the `self` of the entry point.  `install` puts the code of record.py in
that place; nothing that a program can hold changes.

Invariant: an entry point is one object for the life of the process, installed or not.
"""
from __future__ import annotations

import ctypes
import functools
import types
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import builtin
from jitgrad.builtin import FASTCALL, KEYWORDS, Definition
from jitgrad.memory import buffers
from jitgrad.operators.native import layout, objects


class EntryPoint(functools.partial):
    """The `self` of an entry point: the Python function, and what the machine code needs of the operator.

    header: an array of layout.HEADER words; table: the entries, of which there are `entries` and may be `most`, replaced as a whole;
    templates: by number of entry, what it keeps alive; kind: see layout.py; left: how many more calls are learnt before few are, so
    that a program which never repeats one does not spend its time on it; learner: what is called where there is no template; common:
    what the header refers to; definition: the entry point's, at which CPython looks once more when it frees the entry point (at
    the interpreter's end the module's reference goes first)."""

    __slots__ = ("header", "table", "next", "entries", "most", "templates", "replaced", "left", "name", "kind", "learner", "common",
                 "definition")

    header: np.ndarray
    table: array
    next: array
    entries: int
    most: int
    templates: dict[int, Any]
    replaced: dict[int, Any]
    left: int
    name: str
    kind: int
    learner: Callable
    common: np.ndarray
    definition: Definition

    def prepare(self, common: np.ndarray, learner: Callable) -> None:
        """Make the table.  common: the words that all operators share."""
        self.most = layout.MOST_ENTRIES if self.kind >= layout.CHAINS else layout.ENTRIES
        self.entries = layout.ENTRIES if self.kind < layout.CHAINS else layout.FEW_ENTRIES
        self.table = self.next = array("q", [0]) * (self.entries * layout.ENTRY)
        self.templates = {}
        self.left = 2 * self.most
        self.learner = learner
        self.common = common
        self.header[:] = [id(self.func), self.table.buffer_info()[0], self.kind, buffers.address(common), id(learner), self.entries - 1]

    def replace(self, table: array, templates: dict[int, Any], entries: int) -> None:
        """Have a larger table.  (Whatever comes in between, what machine code sees is there.)"""
        self.next = table
        self.replaced, self.templates = self.templates, templates
        self.header[[layout.TABLE, layout.MASK]] = table.buffer_info()[0], entries - 1
        self.table, self.entries, self.replaced = table, entries, {}

    def __getattribute__(self, name: str) -> Any:       # pickle asks for the entry point by its name, which may be __lt__
        found = ENTRY_POINTS.get(name)
        return found if found is not None and found.__self__ is self else super().__getattribute__(name)

    def __reduce__(self) -> Any:
        return _state, (self.name,)


# usual[0](dtype): True if that is the default dtype, and the present thread records and compiles (backward.py); None: it may be so.
usual: list[Callable[[Any], bool | None]] = [lambda dtype: None]
ENTRY_POINTS: dict[str, Any] = {}          # by name; of a name's first, for pickle
_states: list[EntryPoint] = []
_definitions: list[Definition] = []


def _state(name: str) -> EntryPoint:
    return ENTRY_POINTS[name].__self__


def entry_point(function: Callable, name: str, kind: int = layout.PLAIN, signature: str | None = None) -> Any:
    """What users call instead of `function`; the function itself where there can be no machine code.

    kind: see EntryPoint.  signature: what inspect.signature and help() show."""
    if not objects.SUPPORTED:
        return function
    state = EntryPoint(function)
    state.header = np.zeros(layout.HEADER, np.int64)
    state.name = name
    state.kind = kind
    doc = function.__doc__ or ""
    if signature is not None:           # in the form in which CPython finds it
        doc = f"{name.rpartition('.')[2]}{signature}\n--\n\n{doc}"
    code = objects.api("PyObject_Vectorcall")
    definition = Definition(name.encode(), code, FASTCALL | KEYWORDS, doc.encode())
    made = builtin.function(definition, state, "jitgrad")
    state.definition = definition
    _states.append(state)
    _definitions.append(definition)
    ENTRY_POINTS.setdefault(name, made)
    return made


_method_of = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(("PyInstanceMethod_New", ctypes.pythonapi))


def method(function: Any) -> Any:
    """An entry point as an attribute of a class: built-in functions do not bind by themselves."""
    if not isinstance(function, types.BuiltinFunctionType):
        return function
    return _method_of(function)


def give_code(address: int, common: np.ndarray, learner: Callable[[EntryPoint], Callable]) -> None:
    """Let every entry point run machine code from now on.  learner: makes what is called where there is no template."""
    take_code()         # some may have it, if an exception out of a signal handler came in between last time
    for state in _states:
        state.prepare(common, learner(state))
    for definition in _definitions:
        definition.code = address


def take_code() -> None:
    """Let every entry point forward again (for tests)."""
    for definition in _definitions:
        definition.code = objects.api("PyObject_Vectorcall")
