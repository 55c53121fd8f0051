"""The callable objects that compile, value_and_grad and jacobian return, which can be pickled.

A pickle holds the function and what was made of it, never a capture: another process captures anew (and finds kernels on disk).
"""
from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any


def replayed(state: Any, /, *args: Any, **kwargs: Any) -> Any:
    """A call of a functions.Compiled."""
    replay = state.first            # the usual case of `call`, without a further call
    if replay.result is not None and (found := replay.enter(args, kwargs)) is not None:
        state.hits += 1
        return replay.result(*found)
    return state.call(args, kwargs)


class Made(functools.partial):
    """What users call: `called` with its functions.Compiled, by a call in C, which is cheaper than that of a class with __call__.

    _jitgrad_compiled: the functions.Compiled; _made: what made it of `__wrapped__`, with which options."""

    _jitgrad_compiled: Any
    _made: tuple[Callable[..., Any], tuple[tuple[str, Any], ...]]

    def __new__(cls, state: Any, function: Callable[..., Any], maker: Callable[..., Any], called: Callable[..., Any] = replayed,
                **options: Any) -> Made:
        self = super().__new__(cls, called, state)
        functools.update_wrapper(self, function)
        self._jitgrad_compiled = state
        self._made = maker, tuple(options.items())
        return self

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method of a class."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{self._made[0].__name__} of {self.__wrapped__!r}>"        # type: ignore[attr-defined]

    def __copy__(self) -> Made:
        return self                     # as functions

    def __deepcopy__(self, memo: Any) -> Made:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        function, name, module = self.__wrapped__, getattr(self, "__qualname__", ""), self.__module__      # type: ignore[attr-defined]
        if found(module, name) is self:             # it has taken the function's name: it decorates it
            if module != "__main__":
                return name
            function.__qualname__ = f"{name}.__wrapped__"       # where pickle finds it; cloudpickle takes it by value
        return remade, (function, *self._made)


def found(module: str, name: str) -> Any:
    """What has a name in a module, None for what has none."""
    place: Any = sys.modules.get(module)
    for part in name.split("."):
        place = getattr(place, part, None)
    return place


def remade(function: Callable[..., Any], maker: Callable[..., Any], options: tuple[tuple[str, Any], ...]) -> Any:
    """What `maker` makes of a function: of one that has a name, the same each time."""
    name = getattr(function, "__qualname__", "")
    if isinstance(function, FunctionType) and found(function.__module__, name) is function:
        return _remade(function, maker, options)
    if name.endswith(".__wrapped__"):
        function.__qualname__ = name.removesuffix(".__wrapped__")
    return maker(function, **dict(options))


@functools.lru_cache(maxsize=256)
def _remade(function: Callable[..., Any], maker: Callable[..., Any], options: tuple[tuple[str, Any], ...]) -> Any:
    return maker(function, **dict(options))
