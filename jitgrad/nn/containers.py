"""Modules that hold other modules: Sequential, ModuleList, ModuleDict."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import index
from typing import Any, Self

from jitgrad.nn.module import Module, indented

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


def position(at: Any, length: int) -> int:
    """An index of a list of this length, counted from its start.  Raises IndexError for one that is out of range."""
    at = index(at)
    if not -length <= at < length:
        raise IndexError(f"index {at} is out of range")
    return at % length


class _Numbered(Module):
    """Modules under the names "0", "1", ..., as a list."""

    def _extend(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.add_module(str(len(self)), module)

    def _renumber(self, modules: Iterable[Module | None]) -> None:
        modules = list(modules)
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self._from(list(self._modules.values())[at])
        return self._modules[str(position(at, len(self)))]

    def _from(self, modules: list[Any]) -> Module:
        raise NotImplementedError

    def __setitem__(self, at: Any, module: Module) -> None:
        setattr(self, str(position(at, len(self))), module)

    def __delitem__(self, at: Any) -> None:
        kept = list(self._modules.values())
        del kept[at if isinstance(at, slice) else position(at, len(self))]
        self._renumber(kept)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self._extend([module])
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        self._extend(list(modules))
        return self

    def insert(self, at: int, module: Module) -> Any:
        """Put a module before position `at`."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= at <= len(self):
            raise IndexError(f"Index out of range: {at}")
        modules = list(self._modules.values())
        modules.insert(at, module)
        self._renumber(modules)
        return self

    def pop(self, at: int) -> Module:
        """Remove and return the module at a position."""
        module = self[at]
        del self[at]
        return module


class Sequential(_Numbered):
    """Modules applied one after the other; given as arguments, or in an OrderedDict with their names."""

    def __init__(self, *args: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self._extend(args)          # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        """The result of the last module."""
        for module in self._modules.values():
            input = module(input)       # type: ignore[misc]
        return input

    # Its modules may have names: positions are looked up in order.

    def _name(self, at: Any) -> str:
        return list(self._modules)[position(at, len(self))]

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return type(self)(OrderedDict(list(self._modules.items())[at]))      # type: ignore[arg-type]
        return self._modules[self._name(at)]

    def __setitem__(self, at: Any, module: Module) -> None:
        setattr(self, self._name(at), module)

    def __delitem__(self, at: Any) -> None:
        for name in (list(self._modules)[at] if isinstance(at, slice) else [self._name(at)]):
            delattr(self, name)
        self._renumber(self._modules.values())

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of modules, whose parameters are the module's own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._extend(modules or ())

    def _from(self, modules: list[Any]) -> Module:
        return type(self)(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def insert(self, at: int, module: Module) -> None:
        """Put a module before position `at`."""
        modules = list(self._modules.values())
        modules.insert(at, module)
        self._renumber(modules)

    def __repr__(self) -> str:
        texts = [repr(module) for module in self]
        if not texts:
            return f"{type(self).__name__}()"
        lines, first = [], 0
        for text, group in groupby(texts):
            count = len(list(group))
            last = first + count - 1
            lines.append(f"({first}): {text}" if count == 1 else f"({first}-{last}): {count} x {text}")
            first += count
        return f"{type(self).__name__}(\n  " + "\n  ".join(indented(line) for line in lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules by name, in order, whose parameters are the module's own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all."""
        self._modules.clear()

    def pop(self, key: str) -> Module | None:
        """Remove and return one."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def items(self) -> Any:
        """Pairs of name and module."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules by name."""
        for name, module in dict(modules).items():
            self[name] = module
