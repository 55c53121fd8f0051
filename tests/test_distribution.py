"""What is published: a source distribution that can run its tests and build the wheel, and a wheel of the package alone."""
from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import jitgrad

ROOT = Path(__file__).parents[1]
LEFT = {"__pycache__", ".pytest_cache", ".hypothesis", ".ruff_cache"}       # by tools that ran in the tree


def files(root: Path, *folders: str) -> set[str]:
    """The files below some folders of a source tree."""
    return {path.relative_to(root).as_posix() for folder in folders for path in (root / folder).rglob("*")
            if path.is_file() and not LEFT & set(path.parts)}


def run(*arguments: str, where: Path) -> str:
    """What Python prints for a command that must succeed."""
    done = subprocess.run([sys.executable, *arguments], cwd=where, env={**os.environ, "PYTHONPATH": str(where), "PYTEST_ADDOPTS": ""},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    run("-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), where=ROOT)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_the_source_distribution_has_what_the_tests_read(unpacked: Path) -> None:
    listed = files(unpacked, "jitgrad", "tests", "benchmarks")
    assert listed == files(ROOT, "jitgrad", "tests", "benchmarks") > {"tests/conftest.py", "tests/golden/chain.txt", "jitgrad/py.typed"}
    assert {path.name for path in unpacked.iterdir()} == {"jitgrad", "tests", "benchmarks", ".ci", ".gitignore", "asv.conf.json",
                                                          "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def test_its_tests_are_collected(unpacked: Path) -> None:
    collected = run("-m", "pytest", "--collect-only", "-q", "--assert=plain", "-p", "no:cacheprovider", "tests/test_compiler_golden.py",
                    "tests/test_distribution.py", where=unpacked)
    assert "tests/test_distribution.py::" in collected and "error" not in collected.splitlines()[-1]


def test_it_builds_a_wheel_of_the_package_alone(unpacked: Path, tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), where=unpacked)
    [wheel] = tmp_path.glob("*.whl")
    version = jitgrad.__version__
    assert wheel.name == f"jitgrad-{version}-py3-none-any.whl"
    information = f"jitgrad-{version}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == files(ROOT, "jitgrad") | {information + n for n in
                                                                    ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
