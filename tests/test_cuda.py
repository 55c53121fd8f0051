"""Tensors on a CUDA device, simulated: where they are, errors, every operation, what is told of the device, and without one."""
from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import drawn
import numpy as np
import pytest
from cuda_device import calls, copies, raises, vector

import jitgrad
import jitgrad as torch
from jitgrad.graph.recording import input_node
from jitgrad.interpreter import evaluate
from jitgrad.memory.cuda import through_host
from jitgrad.ops.declare import REGISTRY
from jitgrad.requests import execute
from jitgrad.types.array import array_type
from jitgrad.types.dtype import BY_CODE, from_numpy_dtype

pytestmark = pytest.mark.usefixtures("cuda_device")
ROOT = Path(jitgrad.__file__).parents[1]


# -- where tensors are -----------------------------------------------------------------------------------------------

def test_tensors_are_where_they_are_asked_for() -> None:
    x = torch.ones(2, 3)
    for there in (x.cuda(), x.to("cuda"), x.to(torch.device("cuda:0")), x.to(0), x.cuda(0), x.to(torch.ones(1, device="cuda")),
                  torch.tensor([1.0], device="cuda"), torch.zeros(2, device="cuda"), torch.full((2,), 3.0, device="cuda"),
                  torch.arange(3, device="cuda"), torch.linspace(0, 1, 3, device="cuda"), torch.eye(2, device="cuda"),
                  torch.rand(2, device="cuda"), torch.randn(2, device="cuda"), torch.randint(5, (2,), device="cuda"),
                  torch.randperm(4, device="cuda"), torch.empty(2, device="cuda"), torch.as_tensor([1], device="cuda")):
        assert there.is_cuda and not there.is_cpu and there.get_device() == 0
        assert there.device == torch.device("cuda", 0) and str(there.device) == "cuda:0"
        for like in (torch.zeros_like(there), torch.rand_like(there, dtype=torch.float32), there.new_ones(2), there + 1, there[:1],
                     there.detach(), there.clone(), there.cpu().cuda(), copy.deepcopy(there)):
            assert like.is_cuda
        back = there.cpu()
        assert back.device == torch.device("cpu") and back.get_device() == -1 and back.tolist() == there.tolist()
        assert there.to("cuda") is there and back.to("cpu") is back
    assert repr(torch.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"
    with raises(RuntimeError, "invalid device ordinal"):
        torch.ones(1, device="cuda:1")


def test_the_default_device() -> None:
    torch.set_default_device("cuda")
    try:
        assert torch.get_default_device() == torch.device("cuda:0")
        assert torch.ones(1).is_cuda and torch.randn(1).is_cuda and torch.tensor(1).is_cuda and torch.nn.Linear(1, 1).weight.is_cuda
        with torch.device("cpu"):
            assert torch.ones(1).is_cpu
        assert torch.ones(1).is_cuda
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.ones(1).is_cpu))
        thread.start()
        thread.join()
        assert found == [True]
    finally:
        torch.set_default_device(None)
    assert torch.ones(1).is_cpu


def test_devices_do_not_mix() -> None:
    a, b = torch.ones(3, device="cuda"), torch.ones(3)
    words = "Expected all tensors to be on the same device, but found at least two devices, "
    for both, order in (((a, b), "cuda:0 and cpu!"), ((b, a), "cpu and cuda:0!")):
        for operation in (torch.add, torch.mul, torch.maximum, lambda x, y: torch.where(x > 0, x, y), lambda x, y: torch.cat([x, y]),
                          lambda x, y: x.reshape(1, 3) @ y.reshape(3, 1)):
            with raises(RuntimeError, words + order):
                operation(*both)
    at = torch.tensor([0])
    for operation in (lambda: a.gather(0, at), lambda: a.index_select(0, at), lambda: a.scatter(0, at, a),
                      lambda: a.index_add(0, at, a[:1]), lambda: a.take_along_dim(at, 0),
                      lambda: torch.nn.functional.embedding(at, a.reshape(3, 1))):
        with raises(RuntimeError, words):
            operation()
    assert a[at].tolist() == [1]            # an index by [] may be on the CPU
    with raises(TypeError, "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory"):
        a.numpy()
    with raises(TypeError, "can't convert cuda:0 device type tensor to numpy"):
        np.asarray(a)
    assert a.numpy(force=True).tolist() == [1.0, 1.0, 1.0]
    with raises(RuntimeError, "Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.rand(1, device="cuda", generator=torch.Generator())
    assert torch.rand(1, device="cuda", generator=torch.Generator("cuda")).is_cuda


def test_numbers_of_the_cpu_mix() -> None:
    a = vector(3)
    w = torch.tensor(2.0, requires_grad=True)
    (a * w + torch.tensor(1.0)).sum().backward()
    assert w.grad.is_cpu and w.grad.item() == 6 and a.grad.is_cuda and a.grad.tolist() == [2.0] * 3


def test_indices_of_the_cpu_select() -> None:
    x = vector(5)
    y = x[torch.tensor([0, 3, 3])]
    assert y.is_cuda and y.tolist() == [1, 4, 4]
    y.sum().backward()
    assert x.grad.tolist() == [1, 0, 0, 2, 0]
    assert x.detach()[torch.tensor([True, False, True, False, False])].tolist() == [1, 3]
    chosen = x.detach()[x.detach() > 3]
    assert chosen.is_cuda and chosen.tolist() == [4, 5]


def test_a_bad_index_is_an_error_when_a_value_is_asked_for() -> None:
    x = vector(5)
    at = torch.tensor([0, 7], device="cuda")
    for operation, words in ((lambda: x[at] * 2, "index out of range for dimension 0 with size 5, in an index on cuda:0"),
                             (lambda: torch.gather(x, 0, at) * 2, "in gather or scatter on cuda:0")):
        for _ in range(2):
            y = operation()
            with raises(IndexError, words):
                y.sum().item()
            with copies(out=1):
                assert x.detach().sum().item() == 15            # it is told once
    good = x[torch.tensor([0, 4, -5], device="cuda")]
    good.sum().backward()
    assert x.grad.tolist() == [2, 0, 0, 0, 1] and good.tolist() == [1, 5, 1]


# -- every operation -------------------------------------------------------------------------------------------------

def _operations(kinds: tuple[str, ...], most: int | None) -> None:
    rng = drawn.generator(3)
    for op in REGISTRY.values():
        if op.kind not in kinds or op.sample is None:
            continue
        for code in sorted({"f4", "f8", "i8", "b1"} & set(op.sample.dtypes)):
            for case in op.sample.cases(rng, BY_CODE[code])[:most]:
                results = []
                for device in ("cpu", "cuda:0"):
                    leaves = [input_node(a, array_type(a.shape, from_numpy_dtype(a.dtype), device)) for a in case.arrays]
                    node = op(*leaves, sizes=case.sizes, **case.params)
                    assert node.type.device == device, op.name
                    results.append(evaluate([node])[0] if device == "cpu" else execute.value(node))
                tight = {"f4": 5e-6, "f8": 1e-12}.get(code, 0)
                np.testing.assert_allclose(results[1], results[0], rtol=tight, atol=tight, err_msg=f"{op.name} {code} {case.params}")


def test_operations() -> None:
    _operations(("movement", "library"), 1)


@pytest.mark.full
def test_all_operations() -> None:
    _operations(("elementwise", "reduction", "movement", "library"), None)


def test_what_numpy_computes_is_told_and_goes_back() -> None:
    x = torch.tensor([3.0, 1.0, 3.0, 2.0], device="cuda")
    through_host.names.clear()
    made = [x.unique(), torch.bincount(x.to(torch.int64)), torch.histc(x, 3), torch.searchsorted(x.sort()[0], x), torch.isin(x, x[:1]),
            x.nonzero(), x.median(), x.median(0).values, x.mode().values, x.quantile(0.5), torch.linalg.lstsq(x[:, None], x)[2],
            x.scatter_reduce(0, x.to(torch.int64), x, "amax"), x.repeat_interleave(x.to(torch.int64)), x[x > 1],
            torch.linalg.inv(x.reshape(2, 2)), torch.combinations(x), x.unfold(0, 2, 1), torch.nn.functional.one_hot(x.to(torch.int64)),
            x.masked_select(x > 2), x.masked_scatter(x > 2, x)]
    assert all([t.is_cuda for t in made])
    there = torch.tensor([3.0, 1.0, 3.0, 2.0])
    assert made[0].tolist() == there.unique().tolist() and made[9].item() == there.quantile(0.5).item()
    for name in ("unique", "bincount", "histc", "searchsorted", "isin", "nonzero", "median", "mode", "quantile", "scatter_reduce",
                 "an index of bools", "masked_select", "one_hot", "repeat_interleave", "masked_scatter"):
        assert name in through_host.names, name
    text = str(jitgrad.explain(vector().sum()))
    assert "by NumPy, by way of the host, so far in this process:" in text and "unique: it is NumPy's" in text
    through_host.names.clear()


# -- random numbers --------------------------------------------------------------------------------------------------

D = torch.distributions
DRAWS: dict[str, Callable[[str], torch.Tensor]] = {
    "rand": lambda d: torch.rand(3, 4, device=d), "rand_f8": lambda d: torch.rand(3, dtype=torch.float64, device=d),
    "randn": lambda d: torch.randn(3, 4, device=d), "empty": lambda d: torch.rand(0, 3, device=d),
    "randint": lambda d: torch.randint(-5, 9, (7,), device=d), "wide": lambda d: torch.randint(-2**40, 2**50, (7,), device=d),
    "rand_like": lambda d: torch.rand_like(torch.ones(3, 2, device=d)) + 1,
    "randint_like": lambda d: torch.randint_like(torch.ones(5, device=d), 9),
    "out": lambda d: torch.rand(3, out=torch.zeros(3, device=d)),
    "normal": lambda d: torch.normal(torch.arange(3.0, device=d), torch.ones(2, 3, device=d)),
    "normal_of_numbers": lambda d: torch.normal(1.0, 2.0, (5,), device=d),
    "bernoulli": lambda d: torch.bernoulli(torch.full((9,), 0.5, device=d)),
    "bernoulli_p": lambda d: torch.bernoulli(torch.zeros(9, device=d), 0.5),
    "uniform_": lambda d: torch.empty(5, device=d).uniform_(2, 3), "exponential_": lambda d: torch.empty(5, device=d).exponential_(),
    "random_": lambda d: torch.empty(5, device=d, dtype=torch.int64).random_(),
    "geometric_": lambda d: torch.empty(5, device=d).geometric_(0.3), "log_normal_": lambda d: torch.empty(5, device=d).log_normal_(),
    "dropout": lambda d: torch.nn.functional.dropout(torch.ones(20, device=d), 0.5),
    "init": lambda d: torch.nn.init.xavier_normal_(torch.empty(3, 4, device=d)),
    "categorical": lambda d: D.Categorical(torch.tensor([0.2, 0.3, 0.5], device=d)).sample((7,)),
    "rsample": lambda d: D.Normal(torch.zeros(3, device=d), 1.0).rsample((2,)),
    "captured": lambda d: torch.compile(lambda x: x + torch.rand(4, device=d))(torch.ones(4, device=d)),
    "vmap": lambda d: torch.vmap(lambda x: x + torch.rand(2, device=d), randomness="different")(torch.zeros(3, 2, device=d)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_drawn_on_the_device(name: str) -> None:
    """Integers and uniform numbers have the CPU's bits, what formulas make of them nearly."""
    torch.manual_seed(5)
    want, after = DRAWS[name]("cpu"), torch.get_rng_state()
    torch.manual_seed(5)
    told, entered = set(through_host.names), calls.count("copy_in")
    found = DRAWS[name]("cuda")
    assert found.is_cuda and found.dtype is want.dtype and set(through_host.names) == told
    if name in ("rand", "rand_f8", "randn", "randint", "wide", "normal_of_numbers"):
        assert calls.count("copy_in") == entered
    nearly = 1e-6 if name in ("randn", "normal", "normal_of_numbers", "exponential_", "log_normal_", "init", "rsample") else 0
    np.testing.assert_allclose(found.cpu().numpy(), want.numpy(), rtol=nearly, atol=nearly)
    assert torch.equal(torch.get_rng_state(), after)


def test_samples_by_numpy_are_those_of_the_cpu() -> None:
    for draw in (lambda d: torch.multinomial(torch.arange(5.0, device=d), 3), lambda d: torch.poisson(torch.arange(5.0, device=d)),
                 lambda d: torch.randperm(11, device=d), lambda d: D.Gamma(torch.ones(3, device=d), 1.0).sample(),
                 lambda d: D.MultivariateNormal(torch.zeros(2, device=d), torch.eye(2, device=d)).sample(),
                 lambda d: torch.testing.make_tensor(3, dtype=torch.float32, device=d)):
        torch.manual_seed(5)
        want = draw("cpu")
        torch.manual_seed(5)
        found = draw("cuda")
        assert found.is_cuda and found.tolist() == want.tolist()
    assert {"multinomial", "poisson", "a sample of a distribution"} <= set(through_host.names)


def test_a_generator_is_of_its_device() -> None:
    ours, the_cpus, there = torch.Generator("cuda"), torch.Generator(), torch.ones(2, device="cuda")
    assert ours.device == torch.device("cuda:0") and ours.clone_state().device == ours.device
    drawn_there = torch.rand(2, device="cuda", generator=ours.manual_seed(3))
    assert drawn_there.tolist() == torch.rand(2, generator=the_cpus.manual_seed(3)).tolist()
    assert there.normal_(generator=ours).is_cuda
    for draw in (torch.rand, torch.randn, torch.randperm, lambda n, device, generator: there.normal_(generator=generator),
                 lambda n, device, generator: torch.multinomial(torch.ones(2, device="cuda"), 1, generator=generator)):
        with raises(RuntimeError, "Expected a 'cuda' device type for generator but found 'cpu'"):
            draw(2, device="cuda", generator=the_cpus)
    with raises(RuntimeError, "Expected a 'cpu' device type for generator but found 'cuda'"):
        torch.rand(2, generator=ours)


# -- what is told of the device ----------------------------------------------------------------------------------------

def test_what_is_known_of_the_device() -> None:
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.is_initialized()
    assert torch.cuda.current_device() == 0 and torch.cuda.get_device_capability() == (9, 0)
    assert torch.cuda.get_device_name() == torch.cuda.get_device_properties("cuda:0").name == "simulated CUDA device"
    assert torch.accelerator.is_available() and torch.accelerator.current_accelerator() == torch.device("cuda")
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert "used by tensors" in torch.cuda.memory_summary()


def test_what_ran_is_told(monkeypatch) -> None:
    monkeypatch.setattr(through_host, "names", {})
    x = torch.ones(4, 4, device="cuda", requires_grad=True)
    loss = (torch.tanh(x) @ x).sum()
    text = str(jitgrad.explain(loss))
    assert "float32[] on cuda:0" in text and "for CUDA" in text and "on the device: all kernels and library calls" in text
    before = jitgrad.cache_info()
    loss.backward()
    assert jitgrad.cache_info().memory_hits > before.memory_hits
    x.grad = None
    with jitgrad.profile() as p:
        (torch.tanh(x) @ x).sum().backward()
    rows = {row.name: row for row in p.kernels}
    assert p.programs == p.runs == 1 and rows["NumPy: matmul"].calls == 3 and "tanh" in str(p)
    with jitgrad.profile() as running:
        x.detach().cumsum(0).sum().item()
    assert any([row.name == "kernel: cumsum" for row in running.kernels])
    kernel = next(row for row in p.kernels if "tanh" in row.operations)
    assert kernel.elements == 16 and kernel.bytes and any(["test_cuda.py" in line for line in kernel.lines])


def test_a_value_of_another_device_is_written() -> None:
    there, x = torch.zeros(3), torch.zeros(3, device="cuda")
    there[0] = torch.tensor(5.0, device="cuda")
    x[1] = torch.tensor(4.0)
    x[torch.tensor([2])] = torch.tensor(6.0)
    x[:1] = there[:1]
    there[1:] = x[1:]
    assert x.is_cuda and there.is_cpu and x.tolist() == there.tolist() == [5, 4, 6]
    with raises(RuntimeError, "Expected all tensors to be on the same device"):
        x[torch.tensor([2])] = torch.ones(1)
    p = torch.ones(3, requires_grad=True)
    y = torch.zeros(3, device="cuda")
    y[:2] = p[:2] * 2
    y.sum().backward()
    assert p.grad.is_cpu and p.grad.tolist() == [2, 2, 0]


def test_gradients_are_where_their_tensors_are() -> None:
    x, there = vector(3), torch.ones(3)
    with raises(RuntimeError, "attempting to assign a gradient with device type 'cpu' to a tensor with device type 'cuda'."):
        x.grad = there
    for run in (lambda: (x * 2).backward(there), lambda: torch.autograd.grad(x * 2, x, there)):
        with raises(RuntimeError, "invalid gradient at index 0 - expected device cuda:0 but got cpu"):
            run()
    y = x * 2
    y.register_hook(lambda g: there)
    with raises(RuntimeError, "has changed the type of value (was torch.cuda.FloatTensor got torch.FloatTensor)"):
        y.sum().backward()
    assert x.type() == torch.typename(x) == "torch.cuda.FloatTensor" and there.type() == "torch.FloatTensor"


# -- without a device ------------------------------------------------------------------------------------------------

def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python where no GPU is seen; warnings are errors."""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    env |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-W", "error", *arguments], env=env, capture_output=True, text=True, timeout=300)


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
    assert "simulated CUDA device, compute capability 9.0" in done.stdout, done.stderr
