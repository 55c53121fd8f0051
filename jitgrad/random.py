"""Random tensors.  The streams are jitgrad's own: NumPy's PCG64, not PyTorch's generators."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.recording import grad_mode
from jitgrad.operators.conversion import write_array
from jitgrad.operators.creation import finished, given_sizes, made_as, plain, sizes
from jitgrad.operators.declaration.declare import finish_composite
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.types.device import DeviceLike, known_device, placement
from jitgrad.types.dtype import as_dtype, dtype, float64, get_default_dtype, int64, refuse_complex

__all__ = ["Generator", "bernoulli", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "normal",
           "rand", "rand_like",
           "randint", "randint_like", "randn", "randn_like", "randperm", "seed", "set_rng_state"]


class Generator:
    """A stream of random numbers: `manual_seed(n)` starts it anew, the same for the same n."""

    def __init__(self, device: Any = "cpu") -> None:
        self._device = known_device(placement(device, "Generator"))
        self._lock = threading.RLock()
        self._stream: np.random.Generator | None = None
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to a seed.  Raises RuntimeError for a seed of more than 64 bits."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise RuntimeError("Overflow when unpacking long long: a seed has at most 64 bits")
        seed %= 2**64
        self._seed, self._stream = seed, None
        return self

    def _started(self) -> np.random.Generator:
        """The stream, begun when it is first asked for: NumPy's generators take 20 ms to import."""
        if self._stream is None:
            self._stream = np.random.Generator(np.random.PCG64(self._seed))
        return self._stream

    def seed(self) -> int:
        """Start a stream that cannot be foretold, and return its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8)) >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream is, as a tensor of integers: `set_state` goes on from there."""
        tracing.refuse("asks for the state of a random generator")
        with self._lock:
            state = self._started().bit_generator.state
        inner: Any = state["state"]
        numbers = [self._seed, inner["state"], inner["state"] >> 64, inner["inc"], inner["inc"] >> 64, state["has_uint32"],
                   state["uinteger"]]
        return from_array(np.array([n & (2**64 - 1) for n in numbers], np.uint64).view(np.int64))

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from where `get_state` was asked.  Raises RuntimeError for a tensor that is no such state."""
        if not isinstance(new_state, Tensor) or new_state.dtype is not int64 or new_state.shape != (7,):
            raise RuntimeError("RNG state must be a torch.ByteTensor" if not isinstance(new_state,
                                                                                        Tensor) else "RNG state is wrong size")
        tracing.refuse("sets the state of a random generator")
        seed, low, high, step_low, step_high, has, word = [int(n) for n in new_state._array().view(np.uint64)]
        stream = np.random.Generator(np.random.PCG64(seed))
        stream.bit_generator.state = {"bit_generator": "PCG64", "state": {"state": low | high << 64, "inc": step_low | step_high << 64},
                                      "has_uint32": has, "uinteger": word}
        with self._lock:
            self._seed, self._stream = seed, stream
        return self

    def clone_state(self) -> Generator:
        """Another generator that goes on from here."""
        return Generator().set_state(self.get_state())

    @property
    def device(self) -> Any:
        """Whose tensors are drawn; the numbers come from the CPU."""
        return self._device

    def draw(self, sample: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        """Take numbers from the stream, safely among threads."""
        tracing.refuse("it draws random numbers")
        with self._lock:
            return sample(self._started())


default_generator = Generator()
default_generator.seed()


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


def _floating(called: str, to: Any) -> dtype:
    to = get_default_dtype() if to is None else as_dtype(to)
    if to.category != 2:
        raise NotImplementedError(f"{called}(): not implemented for {to!r}: random floats need float32 or float64")
    return to


def _uniform(shape: tuple[int, ...], to: dtype, generator: Generator | None) -> np.ndarray:
    return np.asarray((generator or default_generator).draw(lambda g: g.random(shape, to.np.type)))


def _gaussian(shape: tuple[int, ...], to: dtype, generator: Generator | None) -> np.ndarray:
    return np.asarray((generator or default_generator).draw(lambda g: g.standard_normal(shape, to.np.type)), to.np)


def placed_by(generator: Generator | None, device: Any, called: str) -> str:
    """Where numbers are wanted.  Raises RuntimeError for a generator of another device."""
    where = placement(device, called)
    if generator is not None and generator.device != known_device(where):
        raise RuntimeError(f"Expected a '{where.partition(':')[0]}' device type for generator but found '{generator.device.type}'")
    return where


def _of_shape(called: str, sample: Callable, doc: str) -> Any:
    def create(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None,
               layout: Any = None, device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False,
               **named: Any) -> Tensor:
        where = placed_by(generator, device, called)
        to = _floating(called, made_as(called, out, dtype, get_default_dtype()))
        return finished(sample(given_sizes(called, size, named), to, generator), requires_grad, out, where)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return tracing.draws()(create)


def _like(called: str, sample: Callable, doc: str) -> Any:
    def create(input: Tensor, *, generator: Generator | None = None, dtype: dtype | None = None, layout: Any = None,
               device: DeviceLike = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
        where = placed_by(generator, input.device if device is None else device, called)
        to = _floating(called, input.dtype if dtype is None else dtype)
        return finished(sample(input._node.type.shape, to, generator), requires_grad, device=where)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return tracing.draws()(create)


rand = _of_shape("rand", _uniform, "Uniform random numbers in [0, 1).")
randn = _of_shape("randn", _gaussian, "Normal random numbers of mean 0 and variance 1.")
rand_like = _like("rand_like", _uniform, "rand() of the shape and dtype of another tensor.")
randn_like = _like("randn_like", _gaussian, "randn() of the shape and dtype of another tensor.")


def _integers(low: int, high: int, shape: tuple[int, ...], generator: Generator | None) -> np.ndarray:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return np.asarray((generator or default_generator).draw(lambda g: g.integers(low, high, shape, np.int64)))


@tracing.draws()
def randint(low: Any, high: Any = None, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
            dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Uniform integers from low (0) to below high: randint(high, size) or randint(low, high, size)."""
    where = placed_by(generator, device, "randint")
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    to = made_as("randint", out, dtype, int64)
    array = _integers(int(low), int(high), sizes("randint", tuple(size)), generator)
    return finished(array.astype(to.np, copy=False), requires_grad, out, where)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: dtype | None = None, device: DeviceLike = None,
                 requires_grad: bool = False) -> Tensor:
    """randint() of the shape and dtype of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=input.dtype if dtype is None else dtype, device=device,
                   requires_grad=requires_grad)


@tracing.draws()
def randperm(n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
             device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """The integers from 0 to below n in random order."""
    where = placed_by(generator, device, "randperm")
    n = index(n)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    to = made_as("randperm", out, dtype, int64)
    return finished((generator or default_generator).draw(lambda g: g.permutation(n)).astype(to.np), requires_grad, out, where)


@tracing.draws(by_element=True)
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
           dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers; mean and std are numbers (with a size) or tensors that are broadcast."""
    given = next((v for v in (mean, std) if isinstance(v, Tensor)), None)
    where = placed_by(generator, device if given is None else given.device, "normal")
    m, s = [v._array() if isinstance(v, Tensor) else np.asarray(v, np.float64) for v in (mean, std)]
    if s.size and s.min() < 0:
        raise RuntimeError("normal expects all elements of std >= 0.0" if isinstance(std, Tensor)
                           else f"normal expects std >= 0.0, but found std {std}")
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        to = (mean if isinstance(mean, Tensor) else std).dtype
        shape = np.broadcast_shapes(m.shape, s.shape)
    else:
        if size is None:
            raise TypeError("normal(): with numbers for mean and std, a size is needed")
        to, shape = _floating("normal", dtype), sizes("normal", (size,) if isinstance(size, int) else tuple(size))
    result = finished((m + s * _gaussian(shape, to, generator)).astype(to.np), requires_grad, device=where)
    name = f"NormalBackward{isinstance(mean, Tensor) + 2 * isinstance(std, Tensor)}"
    return drawn_to("normal", out, _with_zero_derivative(result, name, mean, std))


def _with_zero_derivative(drawn: Tensor, name: str, *given: Any) -> Tensor:
    """What was drawn, as a function of the tensors among these of which the derivative is 0."""
    edges = tuple([v._current() for v in given if isinstance(v, Tensor)])
    if not grad_mode.enabled or not any([n.requires_grad for n in edges]):
        return drawn
    node = drawn._current()
    for n in edges:
        if n.requires_grad:
            node = ops.constant_in(node, n)
    return wrap(finish_composite(node, name, edges, ()))


def drawn_to(called: str, out: Any, drawn: Tensor) -> Tensor:
    """What was drawn, or `out` with its numbers."""
    if out is None:
        return drawn
    made_as(called, out, None, drawn.dtype)
    return finished(drawn._array(), out=out)


@tracing.draws(by_element=True)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """1 with the probabilities in input, or all with the probability p, else 0."""
    if p is not None:
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        chances, to = np.full(input.shape, p), float64
    else:
        chances, to = input._array(), _floating("bernoulli", input.dtype)
        if chances.size and not (chances.min() >= 0 and chances.max() <= 1):
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got a probability outside [0, 1]")
    drawn = from_array((_uniform(chances.shape, to, generator) < chances).astype(input.dtype.np), device=input._node.spec.type.device)
    return drawn_to("bernoulli", out, _with_zero_derivative(drawn, f"BernoulliBackward{int(p is not None)}", input))


# -- in place --------------------------------------------------------------------------------------------------------

def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None,
             **named: Any) -> Tensor:
    """Overwrite with uniform numbers in [from, to)."""
    low, to = plain(named.pop("from", from_)), plain(to)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument '{next(iter(named))}'")
    refuse_complex(low)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    kind = _floating("uniform_", self.dtype)
    return write_array(self, "uniform_", low + (to - low) * _uniform(self._node.type.shape, kind, generator))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers."""
    mean, std = plain(mean), plain(std)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    kind = _floating("normal_", self.dtype)
    return write_array(self, "normal_", mean + std * _gaussian(self._node.type.shape, kind, generator))


def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1 with probability p, else 0."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    drawn = (generator or default_generator).draw(lambda g: g.random(self._node.type.shape))
    return write_array(self, "bernoulli_", np.asarray(drawn < p))


def random_(self: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with integers: random_(to), random_(from, to), or of the whole range that the dtype holds exactly."""
    if to is None:
        bits = {"float32": 24, "float64": 53, "int32": 31, "int64": 62, "bool": 1, "uint8": 8, "int8": 7, "int16": 15}[self.dtype.name]
        low, high = 0, from_ or 2**bits
    else:
        low, high = from_, to
    return write_array(self, "random_", _integers(low, high, self._node.type.shape, generator))


for _method in (uniform_, normal_, bernoulli_, random_):
    setattr(Tensor, _method.__name__, _method)
