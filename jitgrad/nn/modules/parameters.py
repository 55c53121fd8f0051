"""Modules that hold parameters: ParameterList, ParameterDict."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from jitgrad.nn.containers import position
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.tensors.tensor import Tensor

__all__ = ["ParameterDict", "ParameterList"]


def _parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(key: Any, value: Any, dtype: str) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        size = "x".join(map(str, value.shape))
        return f"  ({key}): {kind} containing: [{dtype} of size {size}]"
    return f"  ({key}): Object of type: {type(value).__name__}"


class ParameterList(Module):
    """A list of parameters, which are the module's own; tensors that it is given become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return type(self)(list(self)[at])
        return getattr(self, str(position(at, len(self))))

    def __setitem__(self, at: int, value: Any) -> None:
        setattr(self, str(position(at, len(self))), _parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add one at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def pop(self, at: int = -1) -> Any:
        """Remove and return one."""
        kept = list(self)
        value = kept.pop(at)
        for i in range(len(self)):
            delattr(self, str(i))
        self._size = 0
        self.extend(kept)
        return value

    def extra_repr(self) -> str:
        """A line for each."""
        return "\n".join([_line(i, p, str(getattr(p, "dtype", ""))) for i, p in enumerate(self)])


class ParameterDict(Module):
    """A dict of parameters by name, in order, which are the module's own; tensors that it is given become parameters."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return [self[k] for k in self._keys]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and parameter."""
        return [(k, self[k]) for k in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """One, or the default."""
        return self[key] if key in self else default

    def pop(self, key: str) -> Any:
        """Remove and return one."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all."""
        for key in list(self._keys):
            del self[key]

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace by name."""
        for key, value in (parameters.items() if hasattr(parameters, "items") else parameters):      # type: ignore[union-attr]
            self[key] = value

    def extra_repr(self) -> str:
        """A line for each."""
        return "\n".join([_line(k, p, p.type() if isinstance(p, Tensor) else "") for k, p in self.items()])       # type: ignore
