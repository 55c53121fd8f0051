"""The account of which tests have run: what ran once is left out, and what ran nowhere is a failure."""
from __future__ import annotations

from pathlib import Path

import pytest
from which_ran import WhichRan

pytest_plugins = ["pytester"]

TESTS = """
import os
import pytest

def test_always():
    assert True

@pytest.mark.parametrize("n", [1, 2])
def test_with(n):
    if os.environ.get("HAVE") != "1":
        pytest.skip("needs it")

@pytest.mark.xfail(strict=True)
def test_known_fault():
    assert False
"""
MODULE = """
import pytest
pytest.importorskip("a_package_that_is_nowhere")

def test_never():
    assert True
"""


@pytest.fixture
def run(pytester: pytest.Pytester, tmp_path: Path):
    """Run the tests above: the exit status, and how many passed."""
    def run(complete: bool) -> tuple[int, int]:
        done = pytester.inline_run(plugins=[WhichRan(tmp_path / "ran", complete)])
        return int(done.ret), done.countoutcomes()[0]

    pytester.makepyfile(TESTS)
    return run


def test_the_second_run_is_of_what_the_first_skipped(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAVE", raising=False)
    assert run(complete=False) == (pytest.ExitCode.OK, 1)
    monkeypatch.setenv("HAVE", "1")
    assert run(complete=True) == (pytest.ExitCode.OK, 2)
    assert run(complete=True) == (pytest.ExitCode.NO_TESTS_COLLECTED, 0)


def test_a_test_that_ran_nowhere_fails_the_run(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAVE", raising=False)
    assert run(complete=True)[0] == pytest.ExitCode.TESTS_FAILED


def test_a_module_that_is_skipped_whole_fails_the_run(run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAVE", "1")
    pytester.makepyfile(test_module=MODULE)
    assert run(complete=False)[0] == pytest.ExitCode.OK
    assert run(complete=True)[0] == pytest.ExitCode.TESTS_FAILED
