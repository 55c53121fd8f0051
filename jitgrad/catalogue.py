"""The table of operators and primitives that `python -m jitgrad ops` prints, from their declarations."""
from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jitgrad.graph.node import Op
from jitgrad.operators.declaration.declare import OPERATORS, Operator
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.dtype import BY_CODE

Rows = Sequence[Sequence[str]]
OPERATOR_HEAD = ("operator", "where", "takes", "what it gives")
PRIMITIVE_HEAD = ("primitive", "dtypes", "derivative", "computed", "what it gives")
_PLACES = {"torch": "torch", "method": "Tensor", "functional": "nn.functional", "linalg": "linalg", "special": "special"}


def operator_row(op: Operator) -> tuple[str, ...]:
    """Name, where it is found, what it takes, its first line."""
    where = [_PLACES[place] for place in op.places] + ["in place"] * bool(op.inplace)
    takes = " or ".join([str(schema.signature()) for schema in op.schemas])
    return op.name.removeprefix("linalg_"), ", ".join(where), takes, (op.function.__doc__ or "").splitlines()[0]


def computed(op: Op) -> str:
    """How a primitive is computed."""
    if op.kind == "library":
        return "fused where it can be" if op.facts.role else "by NumPy, between kernels"
    return {"elementwise": "fused", "reduction": "fused", "movement": "fused, or no work at all"}[op.kind]


def primitive_row(op: Op) -> tuple[str, ...]:
    """Name, dtypes, whether there is a derivative, how it is computed, what it is."""
    dtypes = " ".join([BY_CODE[code].name for code in op.sample.dtypes])
    return op.name, dtypes, "yes" if op.vjp is not None else "none", computed(op), op.doc


def tables(name: str | None) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """The tables of all, or of what has a name in it."""
    operators = [op for op in OPERATORS.values() if op.places and (name is None or _matches(name, op.name))]
    primitives = [op for op in REGISTRY.values() if name is None or _matches(name, op.name)]
    return [(OPERATOR_HEAD, [operator_row(op) for op in sorted(operators, key=lambda op: op.name)]),
            (PRIMITIVE_HEAD, [primitive_row(op) for op in sorted(primitives, key=lambda op: op.name)])]


def _matches(wanted: str, name: str) -> bool:
    return name in (wanted, wanted.removeprefix("torch.").replace("linalg.", "linalg_"), f"linalg_{wanted}")


def as_text(head: Sequence[str], rows: Rows) -> str:
    """A table, the last column as long as it is."""
    widths = [max([len(row[i]) for row in (head, *rows)]) for i in range(len(head) - 1)]
    widths = [min(w, 60) for w in widths]
    return "\n".join(["  ".join([*[cell.ljust(w) for cell, w in zip(row, widths, strict=False)], row[-1]]) for row in (head, *rows)])


def as_markdown(head: Sequence[str], rows: Rows) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join([f"| {' | '.join(line)} |" for line in lines])


def as_html(head: Sequence[str], rows: Rows) -> str:
    """A table in HTML."""
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join([f"<{tag}>{escape(cell)}</{tag}>" for cell in cells]) + "</tr>"

    return "\n".join(["<table>", line(head, "th"), *[line(row, "td") for row in rows], "</table>"])


FORMATS = {"text": as_text, "markdown": as_markdown, "html": as_html}
