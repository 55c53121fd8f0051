"""Tensors on a CUDA device, in Numba's simulator: values, errors, what is copied, memory, streams.

Numba decides at import whether to simulate, so the tests run in processes of their own, several in one (cuda_device_cases.py)."""
from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jitgrad

HERE = Path(__file__).parent
ROOT = Path(jitgrad.__file__).parents[1]
CASES = [node.name for node in ast.parse((HERE / "cuda_device_cases.py").read_text()).body
         if isinstance(node, ast.FunctionDef) and not node.args.args and not node.name.startswith("_") and not node.decorator_list]
LONG = ["a_network_trains_without_copies", "documents_print_the_same"]
EVERYTHING = "all_operations"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python where no GPU is seen; warnings are errors."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JITGRAD_") and k != "NUMBA_ENABLE_CUDASIM"}
    env |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), **environment}
    return subprocess.run([sys.executable, "-W", "error", *arguments], env=env, capture_output=True, text=True, timeout=900)


def simulated(*cases: str) -> None:
    done = python(str(HERE / "cuda_device_cases.py"), *cases, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr


def test_on_the_device() -> None:
    """As many in a process as can be: what is compiled for one serves others."""
    simulated(*[case for case in CASES if case not in LONG and case != EVERYTHING])


@pytest.mark.parametrize("case", LONG)
def test_programs_on_the_device(case: str) -> None:
    simulated(case)


@pytest.mark.full
def test_every_operation_on_the_device() -> None:
    simulated(EVERYTHING)


WITHOUT = """
import sys
import jitgrad as torch
assert not torch.cuda.is_available() and torch.cuda.device_count() == 0 and torch.cuda.memory_allocated() == 0
assert "numba" not in sys.modules
for make in (lambda: torch.ones(1, device="cuda"), lambda: torch.ones(1).cuda(), lambda: torch.nn.Linear(1, 1).to("cuda"),
             torch.cuda.synchronize, torch.cuda.current_stream, torch.cuda.Event):
    try:
        make()
    except AssertionError as error:
        assert str(error).startswith("Torch not compiled with CUDA enabled: ")
        assert "jitgrad[cuda]" in str(error) and "jitgrad[cuda12]" in str(error)
    else:
        raise SystemExit("no error")
x = torch.ones(2, requires_grad=True)
(x * x).sum().backward()
"""


def test_without_a_gpu_the_error_says_what_to_install() -> None:
    done = python("-c", WITHOUT)
    assert done.returncode == 0, done.stderr


def test_info_tells_the_device() -> None:
    done = python("-m", "jitgrad", "info", NUMBA_ENABLE_CUDASIM="1")
    assert "Numba's CUDA simulator, compute capability 9.0" in done.stdout, done.stderr
