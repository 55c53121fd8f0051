"""Arguments of an operator as its function of nodes takes them: tensors as nodes, 0-d tensors as numbers where it takes numbers."""
from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from itertools import chain, repeat
from typing import Any

from jitgrad.operators.operands import to_node
from jitgrad.operators.recipes import no_recipe
from jitgrad.tensor import Tensor

# Annotations of parameters that take no tensors, the widest first, and what PyTorch's errors call them.
_NUMBERS = {"Scalar": "Number", "float": "float", "int": "int", "Dims": "int", "Integers": "int", "bool": "bool"}


def arguments(called: str, fn: Callable) -> Callable[[tuple, dict[str, Any]], tuple[tuple, dict[str, Any]]]:
    """The conversion of an operator's arguments, which its annotations describe: `input: Node, *, alpha: Scalar = 1`."""
    parameters = signature(fn).parameters.values()
    kinds = {p.name: takes(p) for p in parameters}
    positional = [p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    rest = next((p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL), "")

    def convert(value: Any, name: str) -> Any:
        kind = kinds.get(name)
        if kind is None:
            return to_node(value)
        if isinstance(value, Tensor):
            return number(value, called, name, kind)
        if type(value) in (tuple, list) and any([isinstance(v, Tensor) for v in value]):
            return type(value)([number(v, called, name, kind) if isinstance(v, Tensor) else v for v in value])
        return value

    def converted(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return (tuple([convert(v, name) for v, name in zip(args, chain(positional, repeat(rest)), strict=False)]),
                {name: convert(v, name) for name, v in kwargs.items()} if kwargs else kwargs)

    def nodes(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return tuple([to_node(v) for v in args]), {name: to_node(v) for name, v in kwargs.items()} if kwargs else kwargs

    return converted if any(kinds.values()) else nodes


def takes(parameter: Parameter) -> str | None:
    """What a parameter for numbers takes; None of one that takes tensors, or something else."""
    words = str(parameter.annotation).split(" | ")
    return None if "Node" in words else next((kind for word, kind in _NUMBERS.items() if word in words), None)


def number(tensor: Tensor, called: str, name: str, kind: str = "Number") -> Any:
    """The number in a tensor that is given for one.  The operator that takes it is to be asked again for other values.

    Raises TypeError as PyTorch does for tensors that are no numbers."""
    whole = kind == "int"
    if kind == "bool" or tensor.requires_grad or tensor.numel() != 1 or (tensor.ndim and not whole) or (
            whole and tensor.is_floating_point()):
        raise TypeError(f"{called}(): argument '{name}' must be {kind}, not Tensor")
    no_recipe()
    return tensor.__index__() if whole else tensor.item()
