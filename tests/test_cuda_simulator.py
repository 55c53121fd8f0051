"""The CUDA target: its kernels in Numba's simulator equal the interpreter; golden sources; PTX where numba-cuda is.

Numba decides at import whether to simulate, so what runs a kernel runs in a process of its own (cuda_cases.py).
To accept changed golden sources: UPDATE_GOLDEN=1 pytest tests/test_cuda_simulator.py -k golden"""
from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import normal, request, total

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.codegen import target_cuda
from jitgrad.compiler.ir.steps import KernelStep
from jitgrad.compiler.program import Program
from jitgrad.compiler.targets import chosen_target
from jitgrad.graph.node import Node

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
ROOT = Path(jitgrad.__file__).parents[1]


def python(*arguments: str, simulate: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python with the CUDA target; warnings are errors."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JITGRAD_") and k != "NUMBA_ENABLE_CUDASIM"}
    env |= {"JITGRAD_TARGET": "cuda", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    if simulate:
        env["NUMBA_ENABLE_CUDASIM"] = "1"
    return subprocess.run([sys.executable, "-W", "error", *arguments], env=env, capture_output=True, text=True,
                          timeout=300)


# -- in the simulator ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cases", [
    "kernels_run_in_the_simulator same_vocabulary_as_the_cpu chains_and_reductions library_steps inputs_of_any_layout "
    "numbers_and_integers every_op random_numbers random_graphs runs_give_the_same_bits document_cells blocks_of_32_threads",
    "sums_are_compensated"])        # it sets the size of the grid, as blocks_of_32_threads does
def test_simulated_equals_interpreted(cases: str) -> None:
    """As many in a process as can be: imports take longer than most of them."""
    done = python(str(HERE / "cuda_cases.py"), *cases.split())
    assert done.returncode == 0, done.stderr


def test_the_demo_reaches_the_certified_digits() -> None:
    done = python("-m", "jitgrad", "demo", "--problem", "Misra1a", "--starts", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Misra1a    Lower" in done.stdout


def test_without_a_gpu_or_the_simulator_the_error_says_what_to_do() -> None:
    script = ("import jitgrad\n"
              "x = jitgrad.tensor([1.0], requires_grad=True)\n"
              "(x * x).backward()")
    done = python("-c", script, simulate=False)
    assert done.returncode == 1
    assert "RuntimeError: JITGRAD_TARGET=cuda, but Numba finds no CUDA GPU" in done.stderr
    assert "NUMBA_ENABLE_CUDASIM=1" in done.stderr


# -- sources ---------------------------------------------------------------------------------------------------------

def plain(request: Request) -> Program:
    """A program of kernels without phases, as the CUDA target has them."""
    return build(request, dataclasses.replace(chosen_target(), phased=False))


def chain_program() -> Program:
    x = normal(5, dtype="f4")
    y = total(ops.tanh(1.5 * x + 0.1) * ops.exp(-(x * x)))
    return plain(request([y], [x]))


def softmax_program() -> Program:
    x, w = normal(3, 4), normal(3, 4, seed=1, requires_grad=False)
    e = ops.exp(x - ops.amax(x, axes=(1,)))
    return plain(request([total(e / ops.sum(e, axes=(1,)) * w)], [x]))


def column_program() -> Program:
    x, w = normal(2, 3, 4, dtype="f4"), normal(4, seed=1, dtype="f4")
    y: Node = total(ops.square(x - ops.sum(x, axes=(0,)) * w))
    return plain(request([y], [x, w]))


PROGRAMS = {"chain": chain_program, "softmax": softmax_program, "columns": column_program}


def sources(program: Program) -> list[str]:
    """The CUDA source of each kernel, whatever target the program was built for."""
    return [target_cuda.emit(s.kernel) for s in program.listing().steps if isinstance(s, KernelStep)]


@pytest.mark.parametrize("name", ["chain", "columns"])
def test_golden_sources(name: str) -> None:
    text = "\n# ----\n\n".join(sources(PROGRAMS[name]()))
    file = GOLDEN / f"cuda_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text)
    assert text == file.read_text()


def test_the_sources_hold_neither_atomics_nor_warp_shuffles_nor_libdevice() -> None:
    text = "".join([s for make in PROGRAMS.values() for s in sources(make())])
    assert "syncthreads" in text
    assert not any([word in text for word in ("atomic", "shfl", "libdevice", "vectorize")])


PTX = """
from types import SimpleNamespace
import numba.cuda.dispatcher
import numpy as np
# Numba asks the GPU for its compute capability when it compiles the functions that a kernel calls.
numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
import test_cuda_simulator as t
from graphs import leaf, request
from jitgrad.compiler.numba_cuda import kernels as cuda
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.ir.steps import KernelStep
from jitgrad.graph.recording import scalar_node
from jitgrad.types.dtype import BY_CODE, int64
from jitgrad.ops.declare import REGISTRY
cuda.check = lambda: None

def ptx(program):
    steps = [s for s in program.listing().steps if isinstance(s, KernelStep)]
    return "".join([text for s in steps for text in cuda.ptx(s.kernel, s.info.source, (9, 0)).values()])

for name, make in t.PROGRAMS.items():
    text = ptx(make())
    assert ".visible .entry" in text and "sm_90" in text
    assert (".f64" in text) == (name == "softmax"), text
for op in REGISTRY.values():
    if op.facts.role == "random":
        [case, *_] = op.sample.cases(np.random.default_rng(0), BY_CODE["f8"])
        given = [leaf(case.arrays[0], False), *[scalar_node(int(a), int64) for a in case.arrays[1:]]]
        text = ptx(build(request([op(*given, **case.params)])))
        assert ".f64" not in text or case.params["dtype"] == "f8", op.name
    if op.kind in ("elementwise", "reduction"):
        for code in {"f4", "i8", "b1"} & set(op.sample.dtypes):
            case = op.sample.cases(np.random.default_rng(0), BY_CODE[code])[1]
            text = ptx(build(request([op(*[leaf(a, False) for a in case.arrays], **case.params)])))
            # CUDA's own reduction of large angles works in float64, and numbers that are rounded once come so.
            wide = op.name in ("sin", "cos", "tan", "digamma", "cast") or np.float64 in [a.dtype for a in case.arrays]
            assert ".f64" not in text or wide, (op.name, code)
"""


def test_sources_compile_to_ptx_and_float32_stays_float32() -> None:
    try:
        importlib.metadata.version("numba-cuda")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("numba-cuda is not installed")
    done = python("-c", PTX, simulate=False)
    assert done.returncode == 0, done.stderr
