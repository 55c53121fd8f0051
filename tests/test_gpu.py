"""On a GPU: values against the CPU's, memory over many steps.  Skipped where there is none (NUMBA_ENABLE_CUDASIM=1 simulates one)."""
from __future__ import annotations

import drawn
import numpy as np
import pytest
from cuda_programs import PROGRAMS
from test_cuda_gradients import compare_with_the_cpu

import jitgrad as torch
from jitgrad.graph.node import Op
from jitgrad.graph.recording import input_node
from jitgrad.interpreter import evaluate
from jitgrad.memory.cuda import driver
from jitgrad.ops.declare import REGISTRY
from jitgrad.requests import execute
from jitgrad.types.array import array_type
from jitgrad.types.dtype import BY_CODE, from_numpy_dtype

reason = driver.missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(reason is not None, reason=reason or "")]
STEPS = 50 if driver.is_simulated() else 100_000


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_what_it_gives_on_the_cpu(name: str) -> None:
    compare_with_the_cpu(name)


@pytest.mark.parametrize("op", [op for op in REGISTRY.values() if op.sample is not None], ids=lambda op: op.name)
def test_an_operation_gives_what_it_gives_on_the_cpu(op: Op) -> None:
    for code in sorted({"f4", "f8", "i4", "i8", "b1"} & set(op.sample.dtypes)):
        for case in op.sample.cases(drawn.generator(3), BY_CODE[code]):
            results = []
            for device in ("cpu", "cuda:0"):
                leaves = [input_node(a, array_type(a.shape, from_numpy_dtype(a.dtype), device)) for a in case.arrays]
                node = op(*leaves, sizes=case.sizes, **case.params)
                results.append(evaluate([node])[0] if device == "cpu" else execute.value(node))
            close = {"f4": 1e-5, "f8": 1e-12}.get(code, 0)
            np.testing.assert_allclose(results[1], results[0], rtol=close, atol=close, err_msg=f"{code} {case.params}")


def test_many_steps_need_no_new_memory() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).to("cuda")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(4, 8, device="cuda"), torch.randn(4, 1, device="cuda")
    first = used = None
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        if step == 20:
            first, used = loss.item(), torch.cuda.memory_reserved()
    assert torch.cuda.memory_reserved() == used and loss.item() < first


def test_sums_have_the_same_bits_in_each_run() -> None:
    x = torch.linspace(0, 1, 20_000 if driver.is_simulated() else 10_000_000, device="cuda")
    assert len({torch.sin(x).sum().item() for _ in range(3 if driver.is_simulated() else 20)}) == 1
