"""The memory of a CUDA device, simulated: its pool, streams, files, and what is shared with other libraries."""
from __future__ import annotations

import copy
import gc
import io
import os
import threading

import numpy as np
import pytest
from cuda_device import calls, copies, raises, simulator, vector

import jitgrad as torch
from jitgrad.memory.cuda import flag, pool, streams

pytestmark = pytest.mark.usefixtures("cuda_device")


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


def test_contexts_of_a_stream_nest_and_are_of_one_thread() -> None:
    first, other = torch.cuda.default_stream(), torch.cuda.Stream()
    context = torch.cuda.stream(other)
    with other, other:
        pass
    assert torch.cuda.current_stream() == first
    with context:
        with context:
            thread = threading.Thread(target=lambda: context.__enter__())
            thread.start()
            thread.join()
        assert torch.cuda.current_stream() == other
        with torch.cuda.stream(None):
            assert torch.cuda.current_stream() == other
    assert torch.cuda.current_stream() == first


def test_many_streams_keep_the_memory_of_few() -> None:
    def use(count: int) -> None:
        for _ in range(count):
            with torch.cuda.stream(torch.cuda.Stream()):
                torch.zeros(10_000, device="cuda")

    use(32)
    before = torch.cuda.memory_reserved()
    use(32)
    assert torch.cuda.memory_reserved() == before


def test_an_error_of_a_stream_is_not_lost_to_another_that_looks_first() -> None:
    x = torch.zeros(3, device="cuda")
    x.sum().item()
    other = torch.cuda.Stream()
    where, text = flag.address(), "an error of a test"
    with torch.cuda.stream(other):
        flag.may_be_set()               # by work that is still under way
    assert x.sum().item() == 0
    calls.copy_in(where, np.array([flag.number(text)], np.int32), other._queue.handle)
    with torch.cuda.stream(other), raises(IndexError, text):
        (x + 1).tolist()
    assert x.tolist() == [0, 0, 0]


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_that_the_device_is_not_its(monkeypatch) -> None:
    event, kept = torch.cuda.Event(), torch.ones(2, device="cuda")
    monkeypatch.setattr(calls, "name", "cuda")          # a GPU, to what asks
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.zeros(2, device="cuda")
        except RuntimeError as error:
            del event                                   # asks nothing of the driver
            status = 0 if "Cannot re-initialize CUDA in forked subprocess" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0 and kept.tolist() == [1, 1]


def test_the_pool_is_safe_in_finalizers() -> None:
    x = [torch.zeros(100, device="cuda")]
    x.append(x)         # type: ignore[arg-type]
    del x
    before = pool.pool.used
    gc.collect()
    assert pool.pool.used < before and streams.current() is streams.DEFAULT


# -- files, other libraries ---------------------------------------------------------------------------------------------

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
