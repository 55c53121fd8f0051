"""Kernels for CUDA without a GPU: their text run as Python, one thread of the grid after the other.

Input: the functions of a kernel's source (target_cuda.py), a launch's shape, the addresses of arrays on the host and numbers.
Output: what the kernel writes.
Invariant: stricter than a device.  An access outside of what is registered raises IndexError, an element that two threads of a
launch touch between two waits, and one of them writes, raises RuntimeError, and so does a wait that not all threads of a block
come to.  Numbers are those of the same formulas in machine code of the CPU (numba_cpu), so they are the device's to the bit.

A wait is a `yield` here: what has one is a generator, and the threads of a block run from one to the next in turn.
"""
from __future__ import annotations

import linecache
import math
import operator
import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from types import GeneratorType
from typing import Any

import numpy as np

from jitgrad.compiler.numba_cpu.kernels import Kernel, get_kernel
from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import SCALARS
from jitgrad.compiler.numba_cuda.vocabulary import OPERATIONS
from jitgrad.memory.addresses import simulated as known
from jitgrad.types.dtype import BY_CODE

Function = Callable[..., Any]
Place = tuple[int, int]                 # (x, y) of a thread or a block

# Bounds of launches, so that short arrays take blocks with more than one turn, and several blocks.
THREADS, BLOCKS = 8, 4

_TYPES: dict[str, Any] = {code: BY_CODE[code].np.type for code in SCALARS}
_CODES = {type: code for code, type in _TYPES.items()}


class _Grid:
    """The launch that is running: sizes, whose turn it is, what threads of a block share, and who touched what since the last wait."""

    def __init__(self) -> None:
        self.grid: Place = (1, 1)
        self.block: Place = (1, 1)
        self.block_at: Place = (0, 0)
        self.thread_at: Place = (0, 0)
        self.shared: dict[tuple[int, str], np.ndarray] = {}
        self.readers: dict[Any, set[tuple[Place, Place]]] = {}
        self.writers: dict[Any, tuple[Place, Place]] = {}

    def where(self) -> str:
        return f"thread {self.thread_at} of block {self.block_at}"

    def read(self, key: Any) -> None:
        me = (self.block_at, self.thread_at)
        if self.writers.get(key, me) != me:
            raise RuntimeError(f"{self.where()} reads what another one writes")
        self.readers.setdefault(key, set()).add(me)

    def write(self, key: Any) -> None:
        me = (self.block_at, self.thread_at)
        if self.writers.get(key, me) != me or self.readers.get(key, {me}) != {me}:
            raise RuntimeError(f"{self.where()} writes what another one touches")
        self.writers[key] = me

    def wait(self) -> None:
        """The threads of the block at hand see from now on what the others wrote."""
        for key in [key for key, (block, _) in self.writers.items() if block == self.block_at]:
            del self.writers[key]
        for readers in self.readers.values():
            readers -= {reader for reader in readers if reader[0] == self.block_at}
        self.readers = {key: readers for key, readers in self.readers.items() if readers}


_grid = _Grid()
_lock = threading.RLock()


def run(function: Function, grid: Place, block: Place, arguments: tuple) -> None:
    """A launch."""
    with _lock, np.errstate(all="ignore"):
        _grid.grid, _grid.block = grid, block
        _grid.readers, _grid.writers = {}, {}
        for y, x in product(range(grid[1]), range(grid[0])):
            _grid.block_at, _grid.shared = (x, y), {}
            _run_block(function, [(x, y) for y, x in product(range(block[1]), range(block[0]))], arguments)


def _run_block(function: Function, threads: list[Place], arguments: tuple) -> None:
    running: list[tuple[Place, Iterator[None]]] = []
    for place in threads:
        _grid.thread_at = place
        result = function(*arguments)
        if isinstance(result, GeneratorType):
            running.append((place, result))
    while running:
        waiting = [(place, generator) for place, generator in running if _waits(place, generator)]
        if waiting and len(waiting) < len(running):
            raise RuntimeError(f"only {len(waiting)} of {len(running)} threads of block {_grid.block_at} wait")
        _grid.wait()
        running = waiting


def _waits(place: Place, generator: Iterator[None]) -> bool:
    """Run a thread to its next wait; whether there is one."""
    _grid.thread_at = place
    return next(generator, _END) is not _END


_END = object()


def define(source: str, name: str) -> dict[str, Function]:
    """The functions of a source by name."""
    text = source.replace("wait()", "yield")
    filename = f"<simulated {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = dict(VOCABULARY)
    exec(compile(text, filename, "exec", dont_inherit=True), namespace)
    return {key: value for key, value in namespace.items() if key not in VOCABULARY and callable(value)}


# -- the vocabulary --------------------------------------------------------------------------------------------------


def _element(address: int, code: str) -> np.ndarray:
    try:
        return known.at(address, BY_CODE[code].np)
    except IndexError as error:
        raise IndexError(f"{error}, which {_grid.where()} touches") from error


def _load(code: str, aligned: int = 1) -> Function:
    size = BY_CODE[code].np.itemsize

    def load(base: int, index: int) -> Any:
        address = _address(base, index, size, aligned)
        value = _element(address, code)[0]
        _grid.read(address)
        return value
    return load


def _address(base: int, index: int, size: int, aligned: int) -> int:
    address = int(base) + int(index) * size
    if address % aligned:
        raise IndexError(f"{_grid.where()} touches {address:#x}, which is no multiple of {aligned}")
    return address


def _store(code: str, aligned: int = 1) -> Function:
    size, type = BY_CODE[code].np.itemsize, _TYPES[code]

    def store(base: int, index: int, value: Any) -> None:
        _expect(value, type)
        address = _address(base, index, size, aligned)
        target = _element(address, code)
        _grid.write(address)
        target[0] = value
    return store


def _atomic(code: str) -> Function:
    size, type = BY_CODE[code].np.itemsize, _TYPES[code]

    def add(base: int, index: int, value: Any) -> None:
        _expect(value, type)
        _element(int(base) + int(index) * size, code)[0] += value
    return add


def _expect(value: Any, type: Any) -> None:
    if not isinstance(value, type):
        raise TypeError(f"a kernel stores a {value.__class__.__name__} in an array of {type.__name__}")


def _shared(number: int, index: int, code: str) -> tuple[np.ndarray, int]:
    array = _grid.shared.setdefault((number, code), np.zeros(math.prod(_grid.block), BY_CODE[code].np))
    if not 0 <= index < array.size:
        raise IndexError(f"shared element {index} of {array.size}")
    return array, int(index)


def _keep(code: str) -> Function:
    def keep(number: int, index: int, value: Any) -> None:
        _expect(value, _TYPES[code])
        array, at = _shared(number, index, code)
        _grid.write((_grid.block_at, number, code, at))
        array[at] = value
    return keep


def _kept(code: str) -> Function:
    def kept(number: int, index: int) -> Any:
        array, at = _shared(number, index, code)
        _grid.read((_grid.block_at, number, code, at))
        return array[at]
    return kept


def _cast(code: str) -> Function:
    kind = BY_CODE[code].np
    return lambda x: np.asarray(x).astype(kind)[()]


@cache
def _machine_code(name: str, kinds: tuple[str, ...]) -> tuple[Kernel, str]:
    """A kernel that stores what an operation gives for one element of each of its arguments, and the kind of that."""
    result = OPERATIONS[name].check(kinds)
    assert result is not None
    count = len(kinds)
    arguments = ", ".join([f"load_{kind}(p{k}, 0)" for k, kind in enumerate(kinds)])
    lines = [f"    p{k} = arg_i8(args, {k})" for k in range(count + 1)]
    source = "\n".join(["def kernel(lo, hi, args):", *lines, f"    store_{result}(p{count}, 0, {name}({arguments}))"])
    return get_kernel(source + "\n"), result


def _formula(name: str) -> Function:
    def call(*arguments: Any) -> Any:
        kernel, result = _machine_code(name, tuple([_CODES[np.asarray(x).dtype.type] for x in arguments]))
        arrays = [*[np.asarray(x) for x in arguments], np.empty((), BY_CODE[result].np)]
        block = np.array([a.ctypes.data for a in arrays])
        kernel.call(0, 1, block.ctypes.data)
        return arrays[-1][()]
    return call


def _coordinate(name: str) -> Function:
    what, axis = name.split("_")
    attribute = {"thread": "thread_at", "threads": "block", "block": "block_at", "blocks": "grid"}[what]
    return lambda: np.int64(getattr(_grid, attribute)["xy".index(axis)])


_OWN: dict[str, Function] = {
    **{f"{verb}_{code}": _load(code) for verb in ("load", "accload") for code in SCALARS},
    **{f"{verb}_{code}": _store(code) for verb in ("store", "accstore") for code in SCALARS},
    **{f"first_load_{code}": _load(code, 4 if code == "b1" else 16) for code in SCALARS},
    **{f"first_store_{code}": _store(code, 4 if code == "b1" else 16) for code in SCALARS},
    **{f"atomic_add_{code}": _atomic(code) for code in SCALARS if code != "b1"},
    **{f"keep_{code}": _keep(code) for code in SCALARS},
    **{f"kept_{code}": _kept(code) for code in SCALARS},
    **{f"{what}_{axis}": _coordinate(f"{what}_{axis}") for what in ("thread", "threads", "block", "blocks") for axis in "xy"},
    **_TYPES,
    **{f"to_{code}": _cast(code) for code in SCALARS},
    "radd": operator.add, "rmul": operator.mul,
    "quotient": operator.floordiv, "rest": operator.mod,
    "interleave": lambda count: None,
}
VOCABULARY: dict[str, Any] = {"inf": math.inf, "nan": math.nan,
                              **{name: _OWN[name] if name in _OWN else _formula(name) for name in OPERATIONS if name != "wait"}}
