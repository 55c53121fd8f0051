"""Generators: a seed, and how many numbers have been drawn."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.device import known_device, placement
from jitgrad.types.dtype import uint8

_SPAN, MOST = 2**64, 2**63 - 1


def _signed(number: int) -> int:
    """The int64 with the bits of a number below 2**64."""
    return number - _SPAN if number >> 63 else number


class Generator:
    """A stream of random numbers: `manual_seed(n)` starts it anew, the same for the same n.  place: its device, as array types have it.

    It holds a seed and an offset, both of 64 bits (here as int64).  Each number drawn is a function of the two (ops/random.py), and
    moves the offset on by one; a NumPy algorithm that takes an unknown count of them (see `draw`) moves it on by one in all."""

    def __init__(self, device: Any = "cpu") -> None:
        self.place = placement(device, "Generator")
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to a seed.  Raises RuntimeError for a seed of more than 64 bits."""
        seed = int(seed)
        if not -(2**63) <= seed < _SPAN:
            raise RuntimeError("Overflow when unpacking long long: a seed has at most 64 bits")
        self._restart(seed % _SPAN, 0)
        return self

    def _restart(self, seed: int, offset: int) -> None:
        self.key, self.offset = _signed(seed), _signed(offset)

    def seed(self) -> int:
        """Start a stream that cannot be foretold, and return its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8)) >> 1)
        return self.key

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self.key % _SPAN

    def get_state(self) -> Tensor:
        """Where the stream is: the seed and the offset, 8 bytes each, the least first.  `set_state` goes on from there."""
        tracing.refuse("asks for the state of a random generator")
        return from_array(np.array(self.position(), "<i8").view(np.uint8))

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from where `get_state` was asked.  Raises TypeError or RuntimeError for what is no such state."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"set_state(): argument 'new_state' must be Tensor, not {type(new_state).__name__}")
        if new_state.dtype is not uint8:
            raise RuntimeError("RNG state must be a torch.ByteTensor")
        if new_state.shape != (16,):
            raise RuntimeError("RNG state is wrong size")
        tracing.refuse("sets the state of a random generator")
        seed, offset = np.ascontiguousarray(new_state._array()).view("<u8").tolist()
        self._restart(seed, offset)
        return self

    def clone_state(self) -> Generator:
        """Another generator that goes on from here."""
        return Generator(self.place).set_state(self.get_state())

    @property
    def device(self) -> Any:
        """Whose tensors are drawn: with a seed the same numbers on each."""
        return known_device(self.place)

    def position(self) -> tuple[int, int]:
        """The seed and the offset, as int64."""
        return self.key, self.offset

    def move(self, position: tuple[int, int]) -> None:
        """Go (back) to a position."""
        self.key, self.offset = position

    def reserve(self, count: int) -> tuple[int, int]:
        """The seed and the offset of the next numbers, as int64; nobody else gets these numbers."""
        offset = self.offset
        self.offset = offset + count        # at once: no other thread runs between load and store, see graph.in_grad_mode
        if self.offset > MOST:
            self.offset = _signed(self.offset % _SPAN)
        return self.key, offset

    def draw(self, sample: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        """What an algorithm of NumPy draws, from a generator that is a function of the seed and the offset: for what takes an unknown
        count of numbers, by rejection."""
        tracing.refuse("it draws random numbers")
        seed, offset = self.reserve(1)
        return sample(np.random.Generator(np.random.Philox(key=[seed % _SPAN, offset % _SPAN])))


default_generator = Generator()         # of all devices
default_generator.seed()


def given_or_default(generator: Generator | None, device: str) -> Generator:
    """The generator to draw from for tensors of a device.  Raises RuntimeError for one of another device."""
    if generator is None:
        return default_generator
    if generator.place != device:
        raise RuntimeError(f"Expected a '{device.partition(':')[0]}' device type for generator but found '{generator.device.type}'")
    return generator


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream that belongs to a seed."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start a default stream that cannot be foretold, and return its seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Put the default generator into a state that `get_rng_state` has given."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, device_type: str = "cpu") -> Iterator[None]:
    """A `with` after which the default generator is where it was before."""
    state = default_generator.get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state(state)
