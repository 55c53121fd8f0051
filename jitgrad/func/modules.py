"""Modules as functions of their parameters."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitgrad.nn.module import Module
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.tensors.tensor import Tensor


def functional_call(module: Module, parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
                    args: Any = None, kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """module(*args, **kwargs) with other tensors in the place of its parameters and buffers, by dotted name.

    tie_weights: what the module holds under two names is replaced under both where one is given; strict: all names must be
    given, and no others.  Raises RuntimeError for names that are not the module's, if strict."""
    dicts = [parameter_and_buffer_dicts] if isinstance(parameter_and_buffer_dicts, Mapping) else list(parameter_and_buffer_dicts)
    given: dict[str, Any] = {}
    for one in dicts:
        twice = [name for name in one if name in given]
        if twice:
            raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given.update(one)
    tables = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for name, value in table.items():
                if value is not None:
                    tables[f"{path}.{name}" if path else name] = (table, name, value)
    if strict:
        missing, unexpected = [n for n in tables if n not in given], [n for n in given if n not in tables]
        if missing or unexpected:
            what = [f"{kind} key(s): {', '.join(map(repr, names))}." for kind, names in (("Unexpected", unexpected),
                                                                                         ("Missing", missing))
                    if names]
            raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t" + "\n\t".join(what))
    if tie_weights:
        by_value: dict[int, Any] = {}
        for name, new in given.items():
            if name in tables and by_value.setdefault(id(tables[name][2]), new) is not new:
                raise ValueError(f"functional_call got different values for {name} and another name of the same tensor; pass "
                                 "tie_weights=False to replace them one by one")
        given = {n: by_value[id(v)] for n, (_, _, v) in tables.items() if id(v) in by_value} | given
    if args is None:
        args = ()
    before = []
    try:
        for name, new in given.items():
            if name in tables:
                table, key, old = tables[name]
                before.append((table, key, old))
                table[key] = new
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for table, key, old in before:
            table[key] = old


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of modules of one class, stacked by name: what vmap of functional_call takes."""
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    stack = OPERATORS["stack"].call
    parameters = {name: stack([dict(m.named_parameters())[name] for m in models]).detach().requires_grad_(value.requires_grad)
                  for name, value in models[0].named_parameters()}
    return parameters, {name: stack([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
