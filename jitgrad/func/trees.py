"""Trees of arguments and results: dicts, lists, tuples and named tuples, and the leaves in them."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any


def parts(tree: Any) -> list[Any] | None:
    """What a container holds, in order; None of a leaf."""
    if type(tree) in (dict, OrderedDict):
        return list(tree.values())
    return list(tree) if type(tree) in (list, tuple) or (isinstance(tree, tuple) and hasattr(tree, "_fields")) else None


def like(tree: Any, items: Any) -> Any:
    """A container as `tree` with other parts."""
    if type(tree) in (dict, OrderedDict):
        return type(tree)(zip(tree, items, strict=True))
    return tree._make(items) if hasattr(tree, "_fields") else type(tree)(items)


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order."""
    inner = parts(tree)
    return [tree] if inner is None else [leaf for part in inner for leaf in leaves(part)]


def rebuilt(tree: Any, items: Iterator[Any]) -> Any:
    """A tree of the same structure with the next item in the place of each leaf."""
    inner = parts(tree)
    return next(items) if inner is None else like(tree, [rebuilt(part, items) for part in inner])


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the same structure with function of each leaf."""
    return rebuilt(tree, iter([function(leaf) for leaf in leaves(tree)]))


def spread(prefix: Any, tree: Any, what: str) -> list[Any]:
    """For each leaf of a tree what `prefix` says of it: a tree of the same structure, or ending earlier.

    Raises ValueError where it is neither."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * len(leaves(tree))
    inner, given = parts(tree), parts(prefix)
    if inner is None or given is None or len(inner) != len(given) or (isinstance(tree, dict) and list(tree) != list(prefix)):
        raise ValueError(f"{what} is not compatible with the structure of what it is about: got {prefix!r}")
    return [found for p, t in zip(given, inner, strict=True) for found in spread(p, t, what)]
