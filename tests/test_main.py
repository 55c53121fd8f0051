"""python -m jitgrad, as its users start it: another process, its output and exit status."""
from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import jitgrad
from jitgrad import __main__ as main
from jitgrad.memory.cuda import driver
from jitgrad.nist import NAMES, demo, load


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Run a command with a cache of its own, shared by the tests of this file."""
    directory = tmp_path_factory.mktemp("cache")

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess:
        # A kernel that is not in this cache yet is compiled: seconds on a busy machine.
        return subprocess.run([sys.executable, "-W", "error", "-m", "jitgrad", *arguments], capture_output=True,
                              text=True, timeout=300,
                              env=os.environ | {"JITGRAD_CACHE_DIR": str(directory)} | environ)

    return run


def test_demo(start):
    """All problems from both starts: 6 digits each, each structure compiled once; a second process compiles nothing."""
    first = start("demo")
    assert (first.returncode, first.stderr) == (0, "")
    rows = re.findall(r"^(\w+) +(?:Lower|Average|Higher) +([12]) +([\d.]+) ", first.stdout, re.MULTILINE)
    assert [(name, number) for name, number, _ in rows] == [(name, n) for name in NAMES for n in "12"]
    assert all(float(digits) >= 6 for _, _, digits in rows)
    assert re.search(r"26 fits, \d+ Jacobians in [\d.]+ s", first.stdout)
    compiled = re.search(r"programs compiled: (\d+) .*interpreted: \d+", first.stdout)
    assert compiled is not None and len(NAMES) - 1 <= int(compiled[1]) <= 2 * len(NAMES)        # the values, and the Jacobian with them
    second = start("demo", "--starts", "2")
    assert second.returncode == 0 and "programs compiled: 0 (0 kernels); found on disk: " in second.stdout
    assert "removed" in start("cache", "clear").stdout


def test_demo_of_one_problem(start):
    found = start("demo", "--problem", "danwood", "--starts", "1")
    assert found.returncode == 0 and found.stdout.count("DanWood") == 2


def test_demo_without_compiling(start):
    found = start("demo", "--problem", "DanWood", JITGRAD_INTERPRET="1")
    assert found.returncode == 0 and "programs compiled: 0" in found.stdout


def test_demo_fails_below_six_digits(monkeypatch, capsys):
    problem = load("DanWood")
    monkeypatch.setattr(demo, "REQUIRED_DIGITS", 12)
    monkeypatch.setattr(demo, "SECONDS", 0.01)
    with jitgrad.interpret():
        assert demo.run([problem], (2,)) == 1
    assert capsys.readouterr().err == "jitgrad demo: fewer than 12 certified digits: DanWood from start 2\n"


def test_info(start):
    assert start("explain", "sum(x)").returncode == 0         # so that there is a kernel on disk
    found = start("info")
    assert (found.returncode, found.stderr) == (0, "")
    rows = dict(line.split(None, 1) for line in found.stdout.splitlines())
    assert set(rows) == {"jitgrad", "python", "numpy", "numba", "llvmlite", "numba-cuda", "cpu", "features", "threads",
                         "cuda", "cache", "kernels"}
    assert rows["jitgrad"] == jitgrad.__version__
    assert re.search(r"entries, [\d.]+ of 512 MiB", rows["cache"])
    assert re.search(r"on disk by Numba [\d.]+ \(jitgrad's pipeline\), \d+ ms each", rows["kernels"])


@pytest.mark.skipif(driver.missing() is None, reason="there is a CUDA device")
def test_info_without_cuda():
    assert "jitgrad[cuda]" in main._cuda() and "jitgrad[cuda12]" in main._cuda()


def test_explain_expression(start):
    found = start("explain", "sum(tanh(x)*exp(-x*x))", "--size", "10", "--dtype", "float64")
    assert (found.returncode, found.stderr) == (0, "")
    assert "def kernel(" in found.stdout and "tanh" in found.stdout and "float64" in found.stdout
    assert "SumBackward0" in found.stdout and "not a scalar" not in found.stdout


def test_explain_sums_what_is_not_a_scalar(start):
    found = start("explain", "where(x > 0, x, exp(x))")
    assert found.returncode == 0 and found.stdout.startswith("not a scalar: its sum is explained\nSumBackward0")


def test_explain_script(start, tmp_path):
    script = tmp_path / "fit.py"
    script.write_text("""import sys
import jitgrad as torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
for i in range(3):
    (x.sin() * x).sum().backward()
print(sys.argv[1:], __name__)
raise SystemExit(5)
""")
    found = start("explain", str(script), "first")
    assert found.returncode == 5 and found.stdout.startswith("['first'] __main__\n")
    assert "1 programs, 2 more backwards served by them, 0 interpreted" in found.stdout
    assert "fit.py:5: sin mul sum" in found.stdout and "def kernel(" in found.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (["explain", "sin(x"], "cannot read the formula"), (["explain", "x.y"], "Attribute is not allowed"),
    (["explain", "matmul(x, 3)"], "argument 'other'"), (["explain", "1 + 2"], "not a function of x"),
    (["explain", "x > 1"], "not a function of x"), (["explain", "absent.py"], "there is no file absent.py"),
    (["explain", "x", "y"], "in quotes"), (["explain", "x", "--size", "-1"], "must be 0 or more"),
    (["demo", "--problem", "Misra9"], "unknown problem 'Misra9'")])
def test_mistakes(arguments, message, capsys):
    assert main.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fit"], ["cache", "shrink"], ["demo", "--starts", "3"]])
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(arguments)
    assert stop.value.code == 2 and "usage: python -m jitgrad" in capsys.readouterr().err


def test_cache(start, tmp_path):
    directory = str(tmp_path / "kernels")
    assert start("cache", "path", JITGRAD_CACHE_DIR=directory).stdout == directory + "\n"
    assert start("cache", "list", JITGRAD_CACHE_DIR=directory).stdout == f"0 entries, 0.0 MiB in {directory}\n"
    assert start("explain", "sum(x*x)", JITGRAD_CACHE_DIR=directory).returncode == 0
    listed = start("cache", "list", JITGRAD_CACHE_DIR=directory).stdout.splitlines()
    assert len(listed) == 5 and re.fullmatch(r"[0-9a-f]{16,} +\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", listed[0])
    cleared = start("cache", "clear", JITGRAD_CACHE_DIR=directory)
    # A program, its kernel, what combines the chunks of that, the driver.
    assert cleared.returncode == 0 and cleared.stdout.startswith("removed 4 entries")
    assert start("cache", "list", JITGRAD_CACHE_DIR=directory).stdout.startswith("0 entries")
