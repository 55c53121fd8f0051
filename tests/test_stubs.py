"""Type stubs: those of the repository are made from the declarations, are in the wheel, and check users' programs."""
from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jitgrad
from jitgrad import stubs
from jitgrad.operators.declaration.declare import OPERATORS

PACKAGE = Path(jitgrad.__file__).parent
PROGRAMS = Path(__file__).parent / "typed"


def test_the_stubs_are_those_of_the_declarations():
    texts = stubs.stubs()
    assert {*texts} == {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.pyi")}
    for path, text in texts.items():
        assert (PACKAGE / path).read_text() == text, f"{path} is stale: run python -m jitgrad.stubs"
        compile(text, path, "exec")


def test_the_stubs_name_every_operator():
    texts = stubs.stubs()
    files = {"torch": "__init__.pyi", "functional": "nn/functional.pyi", "linalg": "linalg.pyi", "special": "special.pyi",
             "method": "tensors/attached.pyi"}
    for place, path in files.items():
        for op in OPERATORS.values():
            if place in op.places and op.name not in ("T", "mT"):
                assert f"def {op.name.removeprefix('linalg_') if place == 'linalg' else op.name}(" in texts[path], op.name
    assert "def sum(input: Tensor, dim: builtins.int | Sequence[builtins.int] | None = None, keepdim: builtins.bool = False, *, " \
           "dtype: dtype | None = None, axis: builtins.int | Sequence[builtins.int] | None = None, keepdims: builtins.bool = False, " \
           "out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:" in texts["__init__.pyi"]
    assert "def add_(self, other: Tensor | builtins.int | builtins.float, *, alpha: builtins.int | builtins.float = 1) -> Tensor:" in \
        texts["tensors/attached.pyi"]


def test_the_wheel_has_the_stubs(tmp_path):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=PACKAGE.parent, check=True,
                   capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = {*zipfile.ZipFile(wheel).namelist()}
    assert {"jitgrad/py.typed", *[f"jitgrad/{path}" for path in stubs.stubs()]} <= names


# -- users' programs, as type checkers see them -----------------------------------------------------------------------

def _installed(folder: Path) -> Path:
    """A Python that has NumPy and jitgrad installed, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = folder.glob("[Ll]ib/**/site-packages")
    for package in (PACKAGE, Path(np.__file__).parent):
        (site / package.name).symlink_to(package, target_is_directory=True)
    [python] = [path for path in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if path.exists()]
    return python


CHECKERS = {"pyright": ["--pythonpath"], "mypy": ["--strict", "--cache-dir", "cache", "--python-executable"]}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_type_checker_passes_what_is_right_and_finds_each_wrong_line(checker, tmp_path):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"needs {checker}")
    for program in PROGRAMS.iterdir():
        shutil.copy(program, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "reportUnusedExpression": false}')
    command = [sys.executable, "-m", checker, *CHECKERS[checker], str(_installed(tmp_path / "python")), "right.py", "wrong.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    errors = [line for line in found.splitlines() if " error: " in line]
    assert not [line for line in errors if "wrong.py:" not in line], found
    lines = (tmp_path / "wrong.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) > 25 and wrong == {int(line.split("wrong.py:")[1].split(":")[0]) for line in errors}, found


def test_the_right_program_runs():
    subprocess.run([sys.executable, str(PROGRAMS / "right.py")], check=True, capture_output=True)
