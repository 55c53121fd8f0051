"""Tensors on a CUDA device, simulated: values, errors, what is copied between host and device, memory, streams, other libraries."""
from __future__ import annotations

import contextlib
import copy
import gc
import io
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import drawn
import numpy as np
import pytest
from cuda_device import calls, simulator
from cuda_programs import PROGRAMS
from document_cells import CELLS
from test_documents import run_cell

import jitgrad
import jitgrad as torch
from jitgrad.graph.recording import input_node
from jitgrad.interpreter import evaluate
from jitgrad.memory.cuda import pool, streams, through_host
from jitgrad.ops.declare import REGISTRY
from jitgrad.requests import execute
from jitgrad.types.array import array_type
from jitgrad.types.dtype import BY_CODE, from_numpy_dtype

pytestmark = pytest.mark.usefixtures("cuda_device")
ROOT = Path(jitgrad.__file__).parents[1]


@contextlib.contextmanager
def copies(into: int = 0, out: int = 0) -> Iterator[None]:
    """So many arrays are copied to the device and to the host, and nothing waits for the device."""
    calls.clear()
    yield
    found = calls.count("copy_in"), calls.count("copy_out"), calls.count("synchronize")
    assert found == (into, out, 0), found


@contextlib.contextmanager
def raises(kind: type[Exception], words: str) -> Iterator[None]:
    """This error, with these words in it."""
    try:
        yield
    except kind as error:
        assert words in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


def vector(n: int = 4, requires_grad: bool = True) -> torch.Tensor:
    return torch.arange(1.0, n + 1, device="cuda", requires_grad=requires_grad)


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


# -- gradients -------------------------------------------------------------------------------------------------------

def test_backward_stays_on_the_device() -> None:
    x, w = vector(), vector()
    for _ in range(4):
        with copies():
            (torch.tanh(x) * w + x[1:].sum()).sum().backward()
    assert x.grad.is_cuda
    a, b = [torch.arange(1.0, 5, requires_grad=True) for _ in range(2)]
    (torch.tanh(a) * b + a[1:].sum()).sum().backward()
    np.testing.assert_allclose(x.grad.cpu(), 4 * a.grad, rtol=1e-6)
    np.testing.assert_allclose(w.grad.cpu(), 4 * b.grad, rtol=1e-6)


class Double(torch.autograd.Function):
    """Twice its argument, by its own derivative."""

    @staticmethod
    def forward(ctx, x):                                                    # noqa: D102
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx, g):                                                   # noqa: D102
        (x,) = ctx.saved_tensors
        assert x.is_cuda and g.is_cuda
        return 2 * g


def test_hooks_functions_and_higher_order_stay_on_the_device() -> None:
    def gradients(device: str) -> list[list[float]]:
        x = torch.arange(1.0, 4, device=device, requires_grad=True)
        seen = []
        y = x * x
        y.register_hook(lambda g: seen.append(g) or 3 * g)
        y.retain_grad()
        z = Double.apply(y) if device == "cuda" else 2 * y
        (z + y).sum().backward()
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        g.sum().backward(retain_graph=True)
        h = torch.autograd.grad(g, x, torch.ones(3, device=device))[0]
        assert all([t.device.type == device for t in (x.grad, y.grad, g, h, *seen)])
        return [t.tolist() for t in (x.grad, y.grad, g, h, *seen)]

    assert gradients("cuda") == gradients("cpu")
    x = vector()
    for _ in range(3):
        y = x * x
        y.register_hook(lambda g: 2 * g)
        with copies():
            (Double.apply(y) + y).sum().backward()


def test_tensors_move_with_their_history() -> None:
    w = torch.arange(3.0, requires_grad=True)
    there = (w * 2).cuda()
    assert there.grad_fn.name() == "ToCopyBackward0" and there.is_cuda
    back = (there * there).to("cpu", torch.float64)
    (back.float() * w).sum().backward()
    assert w.grad.is_cpu and w.grad.tolist() == [0, 12, 48]
    x = torch.ones(2, requires_grad=True).cuda()
    x.retain_grad()
    x.sum().backward()
    assert not x.is_leaf and x.grad.is_cuda


def test_gradients_accumulate_and_are_cleared() -> None:
    x = vector(3)
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6, 12, 18]
    x.grad.zero_()
    assert x.grad.tolist() == [0, 0, 0]
    x.grad = None
    x.sum().backward(gradient=torch.tensor(2.0, device="cuda"))
    assert x.grad.tolist() == [2, 2, 2]


def test_writes_in_place() -> None:
    x = torch.zeros(4, device="cuda")
    view = x[2:]
    x[1] = 3
    x[2:] += 1
    x.mul_(2)
    x[torch.tensor([0], device="cuda")] = 5.0
    x.add_(torch.ones(4, device="cuda"))
    assert x.tolist() == [6, 7, 3, 3] and view.tolist() == [3, 3] and view.is_cuda
    y = vector(3)
    with torch.no_grad():
        y -= 0.5 * y
    assert y.is_cuda and y.is_leaf and y.tolist() == [0.5, 1, 1.5]
    y.data.zero_()
    assert y.tolist() == [0, 0, 0]
    z = torch.ones(2, device="cuda")
    z.copy_(torch.arange(2.0))
    assert z.is_cuda and z.tolist() == [0, 1]


def test_looks_cost_one_copy() -> None:
    x = torch.ones(3, device="cuda")
    for k in range(5):
        x = x * 1.5
        with copies(out=1):
            assert x.sum().item() == 3 * 1.5 ** (k + 1)
    if (x > 0).all():
        assert float(x[0]) == 1.5**5 and int(x.to(torch.int64)[0]) == 7


def test_a_network_trains_without_copies() -> None:
    for make in (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=0.01),
                 lambda p: torch.optim.RMSprop(p, lr=0.01)):
        losses: dict[str, list[float]] = {}
        for device in ("cpu", "cuda"):
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2)).to(device)
            x, y = torch.randn(6, 3).to(device), torch.tensor([0, 1, 0, 1, 1, 0]).to(device)
            optimizer = make(model.parameters())
            found = losses[device] = []
            for _ in range(5):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                found.append(loss.item())
            assert all([p.device.type == p.grad.device.type == device for p in model.parameters()])
            state = model.state_dict()
            assert all([v.device.type == device for v in state.values()])
        with copies():                  # the last was on the device
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
    assert all([p.is_cpu for p in model.cpu().parameters()])


def test_captured_functions() -> None:
    f = torch.compile(lambda x: (torch.sin(x) * x).sum())
    for device in ("cuda", "cpu", "cuda"):
        x = torch.arange(4.0, device=device, requires_grad=True)
        for _ in range(3):
            x.grad = None
            loss = f(x)
            loss.backward()
            assert loss.device.type == x.grad.device.type == device
        np.testing.assert_allclose(x.grad.cpu(), np.sin(np.arange(4)) + np.arange(4) * np.cos(np.arange(4)), rtol=1e-5)


def test_interpreted_gives_the_same() -> None:
    x = vector()
    (torch.exp(-x) * x).sum().backward()
    with jitgrad.interpret():
        y = vector()
        (torch.exp(-y) * y).sum().backward()
        assert y.grad.is_cuda
    np.testing.assert_allclose(x.grad.cpu(), y.grad.cpu(), rtol=1e-6)


def test_documents_print_the_same() -> None:
    for name, source in CELLS.items():
        want = run_cell(source, jitgrad, "jitgrad")
        torch.set_default_device("cuda")
        try:
            got = run_cell(source, jitgrad, "jitgrad")
        finally:
            torch.set_default_device(None)
        assert re.sub(r",\s*device='cuda:0'", "", got).split() == want.split(), name


def test_programs_of_two_devices_are_two() -> None:
    from jitgrad.requests import schedule_cache
    schedule_cache.clear()
    for device in ("cuda", "cpu", "cuda", "cpu"):
        x = torch.ones(3, device=device, requires_grad=True)
        (x * 7).sum().backward()
        assert x.grad.device.type == device
    assert len(schedule_cache.known) == 2
    assert "def rows0(" in str(jitgrad.explain((torch.ones(3, device="cuda", requires_grad=True) * 7).sum()))


def arrays_of(value: object) -> list[np.ndarray]:
    """All numbers in a result."""
    if isinstance(value, torch.Tensor):
        return [np.asarray(value.detach().cpu(), float)]
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays_of(v)]
    return [np.asarray(value, float)] if isinstance(value, (int, float, np.ndarray)) else []


@pytest.mark.full
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_what_they_give_on_the_cpu(name: str) -> None:
    warnings.simplefilter("ignore", UserWarning)        # anomaly mode tells that it is on
    want, found = [arrays_of(PROGRAMS[name](device)) for device in ("cpu", "cuda")]
    for a, b in zip(want, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


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
            x.scatter_reduce(0, x.to(torch.int64), x, "amax"), x.repeat_interleave(2), x[x > 1], torch.linalg.inv(x.reshape(2, 2)),
            torch.combinations(x), x.unfold(0, 2, 1), torch.nn.functional.one_hot(x.to(torch.int64)), x.masked_select(x > 2)]
    assert all([t.is_cuda for t in made])
    there = torch.tensor([3.0, 1.0, 3.0, 2.0])
    assert made[0].tolist() == there.unique().tolist() and made[9].item() == there.quantile(0.5).item()
    for name in ("unique", "bincount", "histc", "searchsorted", "isin", "nonzero", "median", "mode", "quantile", "scatter_reduce"):
        assert name in through_host.names, name
    text = str(jitgrad.explain(vector().sum()))
    assert "by NumPy, by way of the host, so far in this process:" in text and "unique: it is NumPy's" in text
    through_host.names.clear()


# -- memory and streams ----------------------------------------------------------------------------------------------

def test_memory_is_used_again_and_returned() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    x = torch.zeros(1 << 16, device="cuda")
    assert torch.cuda.memory_allocated() - before == 4 << 16
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated()
    calls.clear()
    for _ in range(5):
        del x
        x = torch.zeros(1 << 16, device="cuda")
    assert calls.count("allocate") == calls.count("free") == 0
    reserved = torch.cuda.memory_reserved()
    del x
    assert torch.cuda.memory_allocated() == before and torch.cuda.memory_reserved() == reserved
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == reserved - (4 << 16)
    methods = [c.method for c in calls.calls]
    assert methods.index("synchronize") < methods.index("free")         # nothing that is under way loses its memory


def test_a_loop_needs_no_new_memory() -> None:
    x = vector(20)
    for step in range(30):
        if step == 10:
            calls.clear()
            used = torch.cuda.memory_allocated()
        loss = (torch.sin(x) * x).sum()
        loss.backward()
        x.grad = None
        del loss
    assert calls.count("allocate") == calls.count("free") == 0 and torch.cuda.memory_allocated() <= used


def test_temporaries_go_back_during_a_run() -> None:
    a = torch.ones(64, 64, device="cuda")
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.no_grad():
        b = a
        for _ in range(8):
            b = b @ a
        b.sum().item()
    del b
    assert torch.cuda.max_memory_allocated() - before < 6 * a.numel() * 4


def test_out_of_memory() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    kept = torch.zeros(1 << 10, device="cuda")
    before, simulator.limit = simulator.limit, 1 << 20
    try:
        with raises(torch.cuda.OutOfMemoryError, "CUDA out of memory. Tried to allocate 4.00 MiB."):
            torch.zeros(1 << 20, device="cuda")
        assert issubclass(torch.OutOfMemoryError, RuntimeError) and torch.OutOfMemoryError is torch.cuda.OutOfMemoryError
        assert (kept + 1).sum().item() == 1 << 10
        cached = torch.zeros(200_000, device="cuda")
        del cached
        torch.zeros(220_000, device="cuda")         # what is kept to be used again is returned first
    finally:
        simulator.limit = before


def test_streams_and_events() -> None:
    first = torch.cuda.current_stream()
    assert first == torch.cuda.default_stream() and first.query()
    other = torch.cuda.Stream()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    x = torch.ones(3, device="cuda")
    start.record()
    with torch.cuda.stream(other):
        assert torch.cuda.current_stream() == other != first
        other.wait_stream(first)
        calls.clear()
        assert (x * 2).sum().item() == 6
        handles = {c.arguments[-1] for c in calls.calls if c.method == "copy_out"}
        assert handles == {other._queue.handle}
    assert torch.cuda.current_stream() == first
    end.record()
    end.synchronize()
    assert end.query() and start.elapsed_time(end) >= 0
    torch.cuda.synchronize()
    with raises(ValueError, "enable_timing=True"):
        start.elapsed_time(torch.cuda.Event())


def test_memory_of_another_stream_waits() -> None:
    gc.collect()
    other = torch.cuda.Stream()
    x = torch.zeros(5000, device="cuda")
    with torch.cuda.stream(other):
        (x + 1).sum().item()                # uses x
        calls.clear()
        y = torch.zeros(5000, device="cuda")
        del y
        y = torch.zeros(5000, device="cuda")            # by the same stream: nothing waits
        assert not calls.count("wait")
    address = x._stored().address
    calls.clear()
    del x, y
    z = torch.zeros(5000, device="cuda")
    assert z._stored().address == address
    methods = [c.method for c in calls.calls if c.method in ("record", "wait", "copy_in")]
    assert methods == ["record", "wait", "copy_in"]         # of the other stream; by this one; and then it is written to


def test_threads_compute_side_by_side() -> None:
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for _ in range(5):
                    x = torch.full((10,), float(seed), device="cuda", requires_grad=True)
                    (x * x * seed).sum().backward()
                    assert x.grad.tolist() == [2.0 * seed * seed] * 10
        except BaseException as error:                  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_the_pool_is_safe_in_finalizers() -> None:
    x = [torch.zeros(100, device="cuda")]
    x.append(x)         # type: ignore[arg-type]
    del x
    before = pool.pool.used
    gc.collect()
    assert pool.pool.used < before and streams.current() is streams.DEFAULT


def test_what_is_known_of_the_device() -> None:
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.is_initialized()
    assert torch.cuda.current_device() == 0 and torch.cuda.get_device_capability() == (9, 0)
    assert torch.cuda.get_device_name() == torch.cuda.get_device_properties("cuda:0").name == "simulated CUDA device"
    assert torch.accelerator.is_available() and torch.accelerator.current_accelerator() == torch.device("cuda")
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert "used by tensors" in torch.cuda.memory_summary()


def test_files_and_copies() -> None:
    import pickle
    x = vector(3)
    assert pickle.loads(pickle.dumps(x)).is_cuda and copy.deepcopy(x).requires_grad
    file = io.BytesIO()
    torch.save({"x": x.detach()}, file)
    file.seek(0)
    loaded = torch.load(file)["x"]
    assert loaded.is_cuda and loaded.tolist() == [1, 2, 3]
    for where in ("cpu", torch.device("cuda")):
        file.seek(0)
        assert torch.load(file, map_location=where)["x"].device.type == torch.device(where).type


def test_what_ran_is_told() -> None:
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


def test_other_libraries_share_the_memory() -> None:
    x = torch.arange(6.0, device="cuda").reshape(2, 3)
    x.sum().item()
    address, used = x._stored().address, torch.cuda.memory_allocated()
    with copies():
        y = torch.from_dlpack(x)
        z = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x))
        w = torch.as_tensor(Interface(x))
        for t in (y, z, w):
            assert t._stored().address == address and t.device == x.device and t.shape == (2, 3)
        assert torch.from_dlpack(x, copy=True)._stored().address != address
        assert torch.tensor(Interface(x), device="cuda")._stored().address != address
    assert torch.cuda.memory_allocated() == used
    del x, t
    assert torch.cuda.memory_allocated() == used            # others have it
    assert y.tolist() == z.tolist() == w.tolist() == [[0, 1, 2], [3, 4, 5]]
    del y, z, w
    gc.collect()
    assert torch.cuda.memory_allocated() < used
    for dtype in (torch.float64, torch.int64, torch.int32, torch.bool):
        there = torch.ones(3, dtype=dtype, device="cuda")
        assert torch.from_dlpack(there).dtype is dtype
    capsule = torch.ones(3, device="cuda").__dlpack__()
    torch.from_dlpack(capsule)
    with raises(RuntimeError, "DLTensor capsules can be consumed only once"):
        torch.from_dlpack(capsule)
    used = torch.cuda.memory_allocated()
    torch.ones(1000, device="cuda").__dlpack__()        # nobody takes it
    assert torch.cuda.memory_allocated() == used
    turned = Interface(torch.arange(6.0, device="cuda").reshape(2, 3), (3, 2), (4, 12))
    assert torch.as_tensor(turned).tolist() == [[0, 3], [1, 4], [2, 5]]


class Interface:
    """What another library has, as `__cuda_array_interface__` tells."""

    def __init__(self, x: torch.Tensor, *layout: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = dict(x.__cuda_array_interface__)
        if layout:
            self.__cuda_array_interface__.update(shape=layout[0], strides=layout[1])
        self.kept = x


def test_sharing_is_ordered_and_refused_where_gradients_are() -> None:
    x = torch.ones(3, device="cuda")
    calls.clear()
    x.__dlpack__(stream=7)
    found = [(c.method, c.arguments[-1]) for c in calls.calls if c.method in ("record", "wait")]
    assert [m for m, _ in found] == ["record", "wait"] and found[1][1] == 7        # the other's stream waits for ours
    calls.clear()
    x.__dlpack__(stream=-1)
    assert not calls.count("wait")
    owner = Interface(x)
    owner.__cuda_array_interface__["stream"] = 5
    calls.clear()
    torch.as_tensor(owner)
    found = [(c.method, c.arguments[-1]) for c in calls.calls if c.method in ("record", "wait")]
    assert found == [("record", 5), ("wait", streams.DEFAULT.handle)]               # ours waits for the other's
    with raises(BufferError, "Can't export tensors that require gradient, use tensor.detach()"):
        vector().__dlpack__()
    with raises(RuntimeError, "Can't get __cuda_array_interface__ on Variable that requires grad"):
        _ = vector().__cuda_array_interface__
    assert not hasattr(torch.ones(1), "__cuda_array_interface__") and torch.ones(1).__dlpack_device__() == (1, 0)
    assert np.from_dlpack(torch.arange(3)).tolist() == [0, 1, 2] and torch.from_dlpack(np.arange(3)).tolist() == [0, 1, 2]


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
