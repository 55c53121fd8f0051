"""Formulas as text, evaluated on tensors: arithmetic, a few functions, and names that the caller gives."""
from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from jitgrad.operators import OPERATORS
from jitgrad.tensors.tensor import Tensor

CONSTANTS = {"pi": math.pi, "e": math.e}
ALIASES = {"ln": "log", "arctan": "atan"}
NIST_FUNCTIONS = ("exp", "log", "ln", "sin", "cos", "tan", "arctan", "sqrt")

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.FloorDiv, ast.MatMult, ast.UAdd, ast.USub)
_NODES = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.cmpop, ast.Call, ast.Name, ast.Load, ast.Constant,
          ast.keyword, *_OPERATORS)


class FormulaError(ValueError):
    """A formula that cannot be read; the message says what and what would be right."""


def functions(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The operators of these names, for `compile_formula`."""
    return {name: OPERATORS[ALIASES.get(name, name)].call for name in names}


def compile_formula(text: str, names: tuple[str, ...], allowed: Mapping[str, Callable[..., Any]],
                    data: Mapping[str, Tensor] = MappingProxyType({})) -> Callable[..., Tensor]:
    """A function of `names`, in this order, that evaluates the formula.

    Only arithmetic, numbers, the names, those of data, pi, e and calls of `allowed` functions are understood: no attribute, no
    subscript, no statement, so that text from a file or the command line cannot reach anything else.
    Raises FormulaError for anything else."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise FormulaError(f"cannot read the formula {text.strip()!r}: {error.msg}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise FormulaError(f"formula {text.strip()!r}: {type(node).__name__} is not allowed: use numbers, "
                               f"{', '.join(names)}, + - * / ** and functions")
        if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float)):
            raise FormulaError(f"formula {text.strip()!r}: {node.value!r} is not a number")
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in allowed):
            raise FormulaError(f"formula {text.strip()!r}: {ast.unparse(node.func)} is not a function that it can "
                               f"call: there are {', '.join(sorted(allowed))}")
        if isinstance(node, ast.Name) and node.id not in (*names, *data) and node.id not in allowed and node.id not in CONSTANTS:
            raise FormulaError(f"formula {text.strip()!r}: unknown name {node.id}; it can use {', '.join((*names, *data))}")
    arguments = ast.arguments(posonlyargs=[], args=[ast.arg(arg=name) for name in names], kwonlyargs=[], kw_defaults=[],
                              defaults=[])
    function = ast.fix_missing_locations(ast.Expression(ast.Lambda(args=arguments, body=tree.body)))
    scope = {"__builtins__": {}, **CONSTANTS, **allowed, **data}
    return eval(compile(function, f"<formula {text.strip()}>", "eval"), scope)     # the nodes were checked above
