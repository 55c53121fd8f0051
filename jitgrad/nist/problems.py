"""The problems, read from NIST's own files: model, data, two starts and certified results."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np

from jitgrad.nist.expression import NIST_FUNCTIONS, FormulaError, compile_formula, functions
from jitgrad.tensors.tensor import Tensor, from_array

CERTIFIED_DIGITS = 11       # what NIST publishes; agreement beyond it means nothing


def _names() -> tuple[str, ...]:
    files = resources.files("jitgrad.nist").joinpath("data").iterdir()
    return tuple(sorted(f.name.removesuffix(".dat") for f in files if f.name.endswith(".dat")))


NAMES = _names()


@dataclass(frozen=True)
class Problem:
    """One problem.  `model(*parameters)` predicts `response` (both of one value per observation, float64) from 0-d
    parameters, or from one copy of each parameter per observation."""

    name: str
    difficulty: str
    formula: str
    parameters: tuple[str, ...]
    starts: tuple[tuple[float, ...], tuple[float, ...]]
    certified: tuple[float, ...]
    residual: float                     # certified residual sum of squares
    response: np.ndarray
    model: Callable[..., Tensor]

    def digits(self, values: np.ndarray) -> float:
        """How many digits agree with the certified values, the least over the parameters (0 to 11)."""
        certified = np.array(self.certified)
        with np.errstate(divide="ignore", invalid="ignore"):
            agree = -np.log10(np.abs((values - certified) / certified))
        return float(np.clip(np.nan_to_num(agree, nan=0.0, posinf=CERTIFIED_DIGITS), 0, CERTIFIED_DIGITS).min())


def load(name: str) -> Problem:
    """The problem of a name (in any case).  Raises ValueError, listing the names, for another one."""
    known = {n.lower(): n for n in NAMES}
    if name.lower() not in known:
        raise ValueError(f"unknown problem {name!r}: there are {', '.join(NAMES)}")
    name = known[name.lower()]
    return parse(resources.files("jitgrad.nist").joinpath("data", f"{name}.dat").read_text("ascii"))


_LINES = re.compile(r"(Certified Values|Data)\s+\(lines\s+(\d+)\s+to\s+(\d+)\)")
_PARAMETER = re.compile(r"\s*(b\d+)\s*=\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)")
_MODEL = re.compile(r"^\s*(?P<response>y|log\[y\])\s*=\s*(?P<formula>.*?)\+\s*e\s*$", re.MULTILINE | re.DOTALL)


def parse(text: str) -> Problem:
    """A problem from the text of NIST's file.  Raises ValueError, naming what is missing, for text that is none."""
    lines = text.splitlines()
    name = _need(re.search(r"Dataset Name:\s*(\S+)", text), "no 'Dataset Name:'")[1]
    section = {kind: (int(first) - 1, int(last)) for kind, first, last in _LINES.findall(text)}
    if set(section) != {"Certified Values", "Data"}:
        raise ValueError(f"{name}: the head does not say which lines hold the certified values and the data")
    rows = [m.groups() for m in map(_PARAMETER.match, lines[slice(*section["Certified Values"])]) if m]
    data = np.array([line.split() for line in lines[slice(*section["Data"])]], np.float64)
    columns = tuple(lines[section["Data"][0] - 1].removeprefix("Data:").split())
    after = text[_need(re.search(r"^Model:.*?Parameters[^\n]*\n", text, re.MULTILINE | re.DOTALL), "no model").end():]
    model = _need(_MODEL.search(after), f"{name}: no line 'y = ... + e'")
    formula = " ".join(model["formula"].split()).replace("[", "(").replace("]", ")")
    values = {column: data[:, i] for i, column in enumerate(columns)}
    response = np.log(values["y"]) if model["response"] != "y" else values["y"]
    return Problem(
        name=name, difficulty=_need(re.search(r"(\w+) Level of Difficulty", text), f"{name}: no level")[1],
        formula=formula, parameters=tuple(row[0] for row in rows),
        starts=(tuple(float(row[1]) for row in rows), tuple(float(row[2]) for row in rows)),
        certified=tuple(float(row[3]) for row in rows),
        residual=float(_need(re.search(r"Residual Sum of Squares:\s*(\S+)", text), f"{name}: no residual")[1]),
        response=np.ascontiguousarray(response), model=_bind(formula, tuple(row[0] for row in rows), values))


def _need(match: re.Match[str] | None, otherwise: str) -> re.Match[str]:
    if match is None:
        raise ValueError(otherwise)
    return match


def _bind(formula: str, parameters: tuple[str, ...], columns: dict[str, np.ndarray]) -> Callable[..., Tensor]:
    """The formula as a function of the parameters alone."""
    predictors = [name for name in columns if name != "y"]
    if missing := [name for name in parameters if not re.search(rf"\b{name}\b", formula)]:
        raise FormulaError(f"formula {formula!r} does not use the parameter {missing[0]}")
    data = {name: from_array(np.ascontiguousarray(columns[name])) for name in predictors}
    return compile_formula(formula, parameters, functions(NIST_FUNCTIONS), data)
