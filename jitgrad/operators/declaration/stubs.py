"""Type stubs of the public operators, made from their schemas."""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jitgrad.operators.declaration.declare import OPERATORS, Operator
from jitgrad.operators.declaration.schema import KINDS, REQUIRED, Argument, Schema

HEADER = '''"""Made by jitgrad.operators.declaration.stubs: do not edit."""
from collections.abc import Sequence
from typing import Any, overload

from jitgrad import Tensor
from jitgrad.types import dtype

Number = int | float

'''
PLACES = ("torch", "functional", "linalg", "special", "method")
_RESULTS = {"Node": "Tensor", "Tensor": "Tensor", "bool": "bool", "int": "int", "Steps": "Tensor", "Pieces": "tuple[Tensor, ...]",
            "tuple[Node, Node]": "tuple[Tensor, Tensor]", "tuple[Node, Node, Node]": "tuple[Tensor, Tensor, Tensor]",
            "tuple[Tensor, ...]": "tuple[Tensor, ...]"}


def stub(called: str, schema: Schema, *, method: bool = False) -> str:
    """The line of one form of an operator: `def sum(input: Tensor, dim: int | Sequence[int] | None = None, ...) -> Tensor: ...`."""
    shown = [_argument(p) for p in schema.parameters if not p.named]
    if method:
        shown[0] = "self"
    if schema.rest is not None:
        shown.append(f"*{schema.rest.name}: Tensor")
    by_name = [_argument(p) for p in schema.parameters if p.named]
    if schema.out and not method:
        by_name.append("out: Any = None")
    if by_name and schema.rest is None:
        by_name.insert(0, "*")
    result = _RESULTS.get(schema.returns, "Any")
    return f"def {called}({', '.join([*shown, *by_name])}) -> {result}: ..."


def _argument(p: Argument) -> str:
    kinds = list(dict.fromkeys([word for kind in p.takes for word in KINDS[kind].stub.split(" | ")]))
    if p.optional and "Any" not in kinds:
        kinds.append("None")
    default = "" if p.default is REQUIRED else f" = {p.default!r}"
    return f"{p.name}: {' | '.join(kinds)}{default}"


def _lines(operators: Iterable[Operator], method: bool) -> list[str]:
    lines = []
    for op in operators:
        for schema in op.schemas:
            shown = op.name.removeprefix("linalg_")
            lines += ["@overload"] * (len(op.schemas) > 1) + [stub(shown, schema, method=method)]
        if method and op.inplace:
            lines.append(stub(f"{op.name}_", op.schemas[0], method=True))
    return lines


def stubs(place: str) -> str:
    """The text of a .pyi file: of the functions of "torch", "functional", "linalg" or "special", or of tensors' methods ("method")."""
    found = [op for op in OPERATORS.values() if place in op.places]
    if place != "method":
        return HEADER + "\n".join(_lines(found, False)) + "\n"
    return HEADER + "\n    ".join(["class Methods:", *_lines(found, True)]) + "\n"


def write_stubs(folder: Path) -> list[Path]:
    """Write torch.pyi, functional.pyi, linalg.pyi, special.pyi and method.pyi to a folder."""
    written = []
    for place in PLACES:
        path = folder / f"{place}.pyi"
        path.write_text(stubs(place))
        written.append(path)
    return written
