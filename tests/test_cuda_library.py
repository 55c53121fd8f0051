"""Library calls on a device through CuPy: on the current stream, in memory of the pool.  (CuPy is a stand-in on simulated memory.)"""
from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_device import simulator

import jitgrad as torch
from jitgrad.compiler.numba_cuda import device_calls
from jitgrad.memory.cuda import streams, through_host
from jitgrad.memory.cuda.arrays import DeviceArray

pytestmark = pytest.mark.usefixtures("cuda_device")


class StandIn:
    """What `_Cupy` uses of CuPy.  stream, allocator: those of the contexts that are entered; streams: all that were; owners: what keeps
    the memory that it was given."""

    def __init__(self) -> None:
        self.stream: Any = None
        self.allocator: Callable[[int], int] | None = None
        self.streams: list[Any] = []
        self.owners: list[Any] = []
        self.cuda = SimpleNamespace(
            Stream=SimpleNamespace(from_external=self._from_external), using_allocator=self._using_allocator,
            UnownedMemory=self._memory, MemoryPointer=lambda memory, offset: memory.address + offset)

    @contextmanager
    def _from_external(self, stream: Any) -> Iterator[None]:
        self.stream = stream
        self.streams.append(stream)
        yield
        self.stream = None

    @contextmanager
    def _using_allocator(self, allocator: Callable[[int], int]) -> Iterator[None]:
        self.allocator = allocator
        yield
        self.allocator = None

    def _memory(self, address: int, size: int, owner: Any, device_id: int = -1) -> Any:
        assert device_id == 0           # otherwise CuPy asks the driver, for which address 0 is an error
        self.owners.append(owner)
        return SimpleNamespace(address=address)

    def ndarray(self, shape: tuple[int, ...], dtype: np.dtype, address: int, strides: tuple[int, ...] | None = None) -> np.ndarray:
        assert self.stream is not None
        if 0 in shape:
            return np.empty(shape, dtype)
        flat, at = simulator.view_around(address, dtype)
        return np.ndarray(shape, dtype, flat, at * dtype.itemsize, strides)

    def asarray(self, value: Any, dtype: np.dtype) -> np.ndarray:
        """Takes memory, as CuPy does for what it copies to the device."""
        assert self.stream is not None and self.allocator is not None
        made = self.ndarray((), dtype, self.allocator(dtype.itemsize))
        made[...] = value
        return made

    broadcast_to = staticmethod(np.broadcast_to)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    library = StandIn()
    monkeypatch.setitem(__import__("sys").modules, "cupy", library)
    monkeypatch.setattr(device_calls, "_made", [device_calls._Cupy()])
    monkeypatch.setattr(through_host, "names", {})
    return library


def test_calls_are_given_to_the_current_stream(stand_in: StandIn) -> None:
    a = torch.arange(6.0, device="cuda").reshape(2, 3)
    other = torch.cuda.Stream()
    assert (a @ a.T).tolist() == [[5, 14], [14, 50]]
    with torch.cuda.stream(other):
        assert torch.sort(a, descending=True)[0].tolist() == [[2, 1, 0], [5, 4, 3]]
    found = [streams.DEFAULT.handle, other._queue.handle]
    assert stand_in.streams[0] is found[0] and stand_in.streams[-1] is found[1] and stand_in.stream is stand_in.allocator is None
    assert not through_host.names


def test_numbers_and_what_is_computed_between_are_in_the_pool(stand_in: StandIn) -> None:
    library = device_calls._library()
    before = torch.cuda.memory_allocated()
    with library.at_work():
        number = library.number(2.5, (2, 2), np.dtype(np.float32))
        assert number.tolist() == [[2.5, 2.5], [2.5, 2.5]] and torch.cuda.memory_allocated() > before
        empty = DeviceArray(0, (0, 3), np.dtype(np.float32), None)
        assert library.view(empty, (3, 0), empty.dtype, (4, 12), 4).shape == (3, 0)
    stand_in.owners.clear()
    assert torch.cuda.memory_allocated() == before


def test_what_is_to_be_installed_has_the_libraries_that_cupy_calls() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for extra in ("cuda", "cuda12"):
        [cupy] = [text for text in project["optional-dependencies"][extra] if text.startswith("cupy")]
        assert "[ctk]" in cupy
