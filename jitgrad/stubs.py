"""Type stubs of what users import: `python -m jitgrad.stubs` writes them from the declarations, and tests compare.

Operators are printed from their schemas, what a factory has made (`zeros`) and what methods.py attaches to Tensor from its
signature; everything else is imported from where it is defined, and typed there.
"""
from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jitgrad.operators.declaration.declare import OPERATORS, Operator
from jitgrad.operators.declaration.schema import KINDS, NUMPY_NAMES, REQUIRED, Argument, Schema
from jitgrad.operators.functional.activation import INPLACE
from jitgrad.operators.result_types import RESULTS
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import dtype

MODULES = ("jitgrad", "jitgrad.nn", "jitgrad.nn.functional", "jitgrad.linalg", "jitgrad.special", "jitgrad.optim", "jitgrad.autograd",
           "jitgrad.utils")
METHODS = "jitgrad.tensors.attached"
HEAD = '"""Made by `python -m jitgrad.stubs`: do not edit."""'
IMPORTS = ("import builtins", "import numpy as np", "from collections.abc import Callable", "from collections.abc import Iterator",
           "from collections.abc import Sequence", "from typing import Any", "from typing import NamedTuple",
           "from typing import overload", "from jitgrad import return_types", "from jitgrad.autograd.graph import Tensors",
           "from jitgrad.autograd.reverse.hooks import RemovableHandle", "from jitgrad.graph.node import Node",
           "from jitgrad.random import Generator", "from jitgrad.tensors.steps import Step", "from jitgrad.tensors.tensor import Size",
           "from jitgrad.tensors.tensor import Tensor", "from jitgrad.types.device import DeviceLike",
           "from jitgrad.types.dtype import dtype")
_RETURNED = {"Node": "Tensor", "Steps": "Tensor", "Steps | Tensor": "Tensor", "Pieces": "tuple[Tensor, ...]",
             "tuple[Node, Node]": "tuple[Tensor, Tensor]", "tuple[Node, Node, Node]": "tuple[Tensor, Tensor, Tensor]"}
_BUILTINS = re.compile(r"\b(?<![.\w])(bool|complex|float|int|str|type|object|tuple|list|dict)\b")     # which modules and Tensor shadow
_ARRAY = "Tensor | np.ndarray[Any, Any] | Number"


def _qualified(annotation: Any) -> str:
    """An annotation as it is written in a stub, where `float` is a dtype or a method."""
    if annotation is inspect.Parameter.empty:
        return "Any"
    text = annotation if isinstance(annotation, str) else annotation.__name__
    text = re.sub(r"\bnp\.ndarray\b(?!\[)", "np.ndarray[Any, Any]", text)
    text = re.sub(r"\bCallable\b(?!\[)", "Callable[..., Any]", text).replace("_Arrays", _ARRAY).replace("Number", "int | float")
    return _BUILTINS.sub(r"builtins.\1", text)


def _default(value: Any) -> str:
    """A default, where it is the same in a stub as in the source."""
    plain = isinstance(value, (bool, int, str, type(None))) or (isinstance(value, float) and abs(value) < float("inf"))
    return repr(value) if plain or (isinstance(value, tuple) and all([isinstance(v, int) for v in value])) else "..."


# -- operators ---------------------------------------------------------------------------------------------------------

def _argument(p: Argument) -> str:
    kinds = list(dict.fromkeys([word for kind in p.takes for word in KINDS[kind].stub.split(" | ")]))
    if p.optional and "Any" not in kinds:
        kinds.append("None")
    return f"{p.name}: {_qualified(' | '.join(kinds))}" + ("" if p.default is REQUIRED else f" = {_default(p.default)}")


def _result(schema: Schema) -> str:
    if schema.name in RESULTS and (schema.returns == "Any" or schema.returns.startswith("tuple")):
        return f"return_types.{schema.name}"
    return _qualified(_RETURNED.get(schema.returns, schema.returns))


def operator_lines(called: str, schema: Schema, doc: str | None, method: bool = False) -> list[str]:
    """The lines of one form of an operator; methods take sizes one by one, too, and what must be given has another name in NumPy:
    each makes two."""
    shown = [_argument(p) for p in schema.parameters if not p.named]
    by_name = [_argument(p) for p in schema.parameters if p.named]
    renamed = [p._replace(name=NUMPY_NAMES[p.name]) for p in schema.parameters if p.name in NUMPY_NAMES]
    by_name += [_argument(p) for p in renamed if p.default is not REQUIRED]
    if method:
        shown[0] = "self"
    if schema.rest is not None:
        shown.append(f"*{_argument(schema.rest)}")
    elif by_name or (schema.out and not method):
        by_name.insert(0, "*")
    if schema.out and not method:
        by_name.append("out: Tensor | tuple[Tensor, ...] | None = None".replace("tuple", "builtins.tuple"))
    result = _result(schema)
    lines = _function(called, [*shown, *by_name], result, doc)
    if method and schema.one_by_one:
        last = schema.parameters[schema.positional - 1].name
        more = [f"*{last}: builtins.int", *by_name[1:]]
        return ["@overload", *lines, "@overload", *_function(called, [*shown[:-1], *more], result, doc)]
    if required := [p for p in renamed if p.default is REQUIRED]:
        at = schema.names.index("dim")
        more = [*shown[:at], "*", *map(_argument, required), *shown[at + 1:], *[text for text in by_name if text != "*"]]
        return ["@overload", *lines, "@overload", *_function(called, more, result, doc)]
    return lines


def _function(name: str, arguments: list[str], result: str, doc: str | None) -> list[str]:
    ignored = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
    head = f"def {name}({', '.join(arguments)}) -> {result}:"
    first = (doc or "").strip().split("\n")[0].replace("\\", "\\\\")
    return [f"{head}{ignored}", f'    """{first}"""'] if first else [f"{head} ...{ignored}"]


def _text(public: list[str], lines: list[str]) -> str:
    """A stub: imports that are public, those of what the lines mention, and the lines."""
    words = set(re.findall(r"\w+", "\n".join(lines)))
    given = {line.split()[-1] for line in public}
    needed = [line for line in IMPORTS if line.split()[-1] in words - given]
    return "\n".join([HEAD, *needed, *sorted(public), "", *lines, ""])


def _overloads(forms: list[list[str]]) -> list[str]:
    """The lines of all forms of one name."""
    marked = [line for form in forms for line in (form if form[0] == "@overload" else ["@overload", *form])]
    return marked if len(forms) > 1 else forms[0]


def _of_operator(called: str, op: Operator, method: bool) -> list[str]:
    return _overloads([operator_lines(called, schema, op.function.__doc__, method) for schema in op.schemas])


# -- functions ---------------------------------------------------------------------------------------------------------

def function_lines(name: str, function: Callable, method: bool = False) -> list[str]:
    """The lines of a function from its signature."""
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values()]
    result = _qualified(signature.return_annotation)
    if method:
        parameters[0] = parameters[0].replace(name="self", annotation=inspect.Parameter.empty)
    sizes = [p for p in parameters if p.kind is p.VAR_POSITIONAL and p.name == "size"]
    if not sizes:
        return _function(name, _arguments(parameters), result, function.__doc__)
    before = ["self"] * method
    rest = _arguments([p for p in parameters[method:] if p.kind is p.KEYWORD_ONLY])[1:]
    return _overloads([_function(name, [*before, "*size: builtins.int", *rest], result, function.__doc__),
                       _function(name, [*before, "size: Sequence[builtins.int]", "*", *rest], result, function.__doc__)])


def _arguments(parameters: list[inspect.Parameter]) -> list[str]:
    shown = []
    starred = False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        starred = starred or p.kind is p.VAR_POSITIONAL
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        annotation = "" if p.name == "self" else f": {_qualified(p.annotation)}"
        shown.append(f"{mark}{p.name}{annotation}" + ("" if p.default is p.empty else f" = {_default(p.default)}"))
    return shown


# -- modules -----------------------------------------------------------------------------------------------------------

def module_stub(module: str) -> str:
    """The stub of a public module."""
    found = importlib.import_module(module)
    operators = {id(op.call): op for op in OPERATORS.values()}
    imported: list[str] = []
    defined: list[str] = []
    for name in dir(found):
        value = getattr(found, name)
        if isinstance(value, types.ModuleType):
            imported.append(f"from {module} import {name} as {name}")
        elif id(value) in operators:
            defined += _of_operator(name, operators[id(value)], False)
        elif module == "jitgrad.nn.functional" and name in INPLACE:
            defined += operator_lines(name, OPERATORS[name].schemas[0].extended("inplace", "bool", False), value.__doc__)
        elif isinstance(value, dtype):
            defined.append(f"{name}: dtype")
        elif type(value) in (float, str):
            defined.append(f"{name}: builtins.{type(value).__name__}")
        elif isinstance(value, type) and value.__module__ == module:
            defined.append(f"class {name}(Tensor): ...")            # FloatTensor and its kin
        elif not isinstance(value, (type, types.FunctionType)):
            defined.append(f"{name}: {type(value).__name__}")
        elif isinstance(value, types.FunctionType) and not hasattr(value, "__wrapped__") and (
                value.__module__ == module or "<locals>" in value.__code__.co_qualname):
            defined += function_lines(name, value)
        else:
            imported.append(f"from {value.__module__} import {value.__name__} as {name}")
    return _text(imported, defined)


def _attached() -> Iterator[tuple[str, Any]]:
    """What the class statement of Tensor does not define."""
    for name in sorted(vars(Tensor)):
        value = inspect.getattr_static(Tensor, name)
        if isinstance(value, property):
            if value.fget is not None and value.fget.__module__ != Tensor.__module__:
                yield name, value
        elif callable(found := getattr(Tensor, name, None)) and found.__module__ != Tensor.__module__ and (
                not isinstance(found, (type, types.WrapperDescriptorType))):
            yield name, found


def methods_stub() -> str:
    """The stub of the class Attached: what operators and other modules give to tensors."""
    by_name = {op.name: op for op in OPERATORS.values() if "method" in op.places}
    by_call = {id(op.call): op for op in OPERATORS.values()}
    lines: list[str] = []
    for name, value in _attached():
        if isinstance(value, property):
            assert value.fget is not None
            result = inspect.signature(value.fget).return_annotation
            lines += ["@property", *_function(name, ["self"], _qualified(result), value.__doc__)]
        elif id(value) in by_call:
            lines += _of_operator(name, by_call[id(value)], True)
        elif name.endswith("_") and name[:-1] in by_name:
            lines += _overloads([operator_lines(name, schema, value.__doc__, True) for schema in by_name[name[:-1]].schemas])
        elif name.startswith("new_"):
            lines += function_lines(name, _with_self(getattr(importlib.import_module("jitgrad"), name.removeprefix("new_"))), True)
        else:
            function = getattr(value, "__self__", value)
            lines += function_lines(name, getattr(function, "func", value), True)
    return _text([], ["class Attached:", *[f"    {line}" for line in lines]])


def _with_self(create: Callable) -> Callable:
    """A function that makes tensors, as a method."""
    def method() -> None: ...

    shown = inspect.signature(create)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [p for p in shown.parameters.values() if p.kind is not p.VAR_KEYWORD]
    method.__signature__ = shown.replace(parameters=[first, *[p.replace(kind=p.KEYWORD_ONLY) if p.kind is p.KEYWORD_ONLY else p
                                                              for p in parameters]])        # type: ignore[attr-defined]
    method.__doc__ = create.__doc__
    return method


def results_stub() -> str:
    """The stub of return_types: what operators give that has names."""
    lines = []
    for kind, fields in sorted(RESULTS.items()):
        lines += [f"class {kind}(NamedTuple):", *[f"    {field}: Tensor" for field in fields._fields], ""]
    return _text([], lines)


def stubs() -> dict[str, str]:
    """The text of each stub, by its path in the package."""
    texts = {"tensors/attached.pyi": methods_stub(), "return_types.pyi": results_stub()}
    for module in MODULES:
        inner = module.removeprefix("jitgrad").replace(".", "/").lstrip("/")
        package = hasattr(importlib.import_module(module), "__path__")
        texts[f"{inner}/__init__.pyi".lstrip("/") if package else f"{inner}.pyi"] = module_stub(module)
    return texts


def write(folder: Path) -> None:
    """Write all stubs to the package in `folder`."""
    for path, text in stubs().items():
        (folder / path).write_text(text)


if __name__ == "__main__":
    write(Path(__file__).parent)
