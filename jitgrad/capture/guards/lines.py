"""Tests of a guard as lines of generated Python: `is` tests of names, cells, attributes and items."""
from __future__ import annotations

import types
from typing import Any, NamedTuple

from jitgrad.capture.guards.understood import ATOMS

MAX_TESTS = 3000


class Test(NamedTuple):
    """A line of the guard function that is false for what was captured, and what it is about.  structure: the same
    without regard to a value, if there is such a thing."""

    condition: str
    about: str
    structure: str | None = None


class Refusal(Exception):
    """A read that cannot be guarded."""


class Guards:
    """Tests, and the objects that they name."""

    def __init__(self) -> None:
        self.tests: list[Test] = []
        self.namespace: dict[str, Any] = {}
        self._constants: dict[int, str] = {}
        self._once: set[str] = set()

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

    def test_once(self, condition: str, about: str) -> None:
        if condition not in self._once:
            self._once.add(condition)
            self.test(condition, about)


def changed(value: Any, before: Any) -> bool:
    """Whether a number or string is another one; nan is itself, and 0.0 is not -0.0."""
    return type(value) is not type(before) or repr(value) != repr(before)


def differ(keys: list[Any], before: list[Any]) -> bool:
    """Whether keys are others than before: numbers, strings and tuples of these by value, others by identity."""
    return len(keys) != len(before) or any([a is not b and (not _by_value(b) or not _by_value(a) or changed(a, b))
                                            for a, b in zip(keys, before, strict=True)])


def _by_value(key: Any) -> bool:
    return type(key) in (*ATOMS, bool) or (type(key) is tuple and all([_by_value(k) for k in key]))


def present(descriptor: Any, value: Any) -> bool:
    """Whether a slot of an object has a value."""
    try:
        descriptor.__get__(value)
    except AttributeError:
        return False
    return True


def filled(cell: types.CellType) -> bool:
    """Whether a closure's variable has been assigned to."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def article(name: str) -> str:
    """The name with "a" or "an"."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
