"""One draw: a tensor of random numbers, and what an elementwise formula makes of them.

Numbers are computed at once, on a device by a program of their own; or recorded, where a function is traced, or where they are drawn
like a tensor that is recorded itself: then they are part of its graph, and of the kernels that are made of that.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind, const, input_node, input_spec, scalar_node
from jitgrad.memory import buffers
from jitgrad.operators.declaration.declare import finish_composite
from jitgrad.operators.operands import cast
from jitgrad.random.filling import COUNT, fill, fillers
from jitgrad.random.generator import MOST, Generator, default_generator, given_or_default
from jitgrad.requests.execute import stored
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import array_type
from jitgrad.types.dtype import dtype, float32, float64, int64

SMALL = 4096                        # elements
Formula = Callable[..., Any]        # of functions (NumPy's, or the primitives of the same names), the draw, and Python's numbers


class Source:
    """What can be drawn: a primitive, of floats in each of their dtypes."""

    def __init__(self, op: Any, floating: bool) -> None:
        self.op = op
        self.floating = floating
        kinds = (float32, float64) if floating else (int64,)
        self.names = {kind: f"{op.name}_{kind.code}" if floating else op.name for kind in kinds}


UNIFORM, NORMAL = Source(ops.random_uniform, True), Source(ops.random_normal, True)
WORD, BITS = Source(ops.random_word, False), Source(ops.random_bits, False)


def array(source: Source, shape: tuple[int, ...], kind: dtype, generator: Generator | None, device: str = "cpu") -> np.ndarray:
    """Numbers, now, for an algorithm of NumPy, of which the results are to be on a device."""
    tracing.refuse("it draws random numbers")
    made = buffers.empty(shape, kind.np)
    seed, offset = given_or_default(generator, device).reserve(made.size)
    fill(source.names[kind], made, seed, offset)
    return made


def small(source: Source, size: tuple[Any, ...], kind: Any, generator: Generator | None) -> Tensor | None:
    """`tensor` for some numbers on the CPU, of a shape given one by one or as a tuple; None where that is for the longer way."""
    filler = fillers.get(source.names.get(kind, ""))
    if filler is None or not size or (generator is not None and generator.place != "cpu"):
        return None
    shape = size[0] if len(size) == 1 and type(size[0]) is tuple else size
    for n in shape:
        if type(n) is not int:
            return None
    found = filler.known.get(shape)
    if found is None:
        if not shape or min(shape) < 0 or math.prod(shape) > SMALL:
            return None
        if len(filler.known) >= SMALL:
            filler.known.clear()
        found = filler.known[shape] = input_spec(array_type(shape, kind)), math.prod(shape)
    spec, count = found
    made = np.empty(shape, kind.np)
    of, words = generator or default_generator, filler.words
    offset = of.offset
    of.offset = end = offset + count
    if end > MOST:
        of.reserve(0)
    words[1] = of.key
    words[2] = offset
    filler.calls[COUNT] = count
    filler.run(made)
    return wrap(Node(spec, (), False, 0, made))


def node(source: Source, donor: Node, kind: dtype, generator: Generator | None) -> Node:
    """Numbers, recorded: as many as the donor has elements."""
    generator, count = given_or_default(generator, donor.type.device), donor.type.size
    seed, offset = generator.reserve(count)
    given = scalar_node(seed, int64, donor.type.device), scalar_node(offset, int64, donor.type.device)
    trace = tracing.current()
    if trace is not None:
        trace.reserved(generator, count, *given)
    return bind(source.op, (donor, *given), (kind.code,) if source.floating else ())


def drawn(source: Source, shape: tuple[int, ...], kind: dtype, generator: Generator | None, formula: Formula | None = None,
          *numbers: Any, to: dtype | None = None, like: Node | None = None, device: str = "cpu") -> Node:
    """A draw of this shape in `kind`, or formula(functions, the draw, *numbers), in `to`.  like: see `recorded`; device: where there is
    none."""
    traced = tracing.traces and tracing.current() is not None
    if not traced and like is None and device == "cpu":
        found = array(source, shape, kind, generator)
        if formula is not None:
            found = np.asarray(formula(np, found, *numbers), (to or kind).np)
        return input_node(found, array_type(shape, to or kind))
    donor = like
    if donor is None:
        donor = bind(ops.expand, (const(0, kind, device),), (), shape)
        donor.depth = int(device != "cpu")      # nothing that is made of it is computed on the host, see input_node
    made = node(source, donor, kind, generator)
    if formula is not None:
        made = formula(ops, made, *[scalar_node(n, kind, donor.type.device) for n in numbers])
    made = finish_composite(made if to is None else cast(made, to), None, (donor,))
    return made if traced or like is not None else input_node(stored(made), made.type)


@tracing.draws()
def tensor(source: Source, shape: tuple[int, ...], kind: dtype, generator: Generator | None, formula: Formula | None = None,
           *numbers: Any, to: dtype | None = None, like: Node | None = None, device: str = "cpu") -> Tensor:
    """`drawn`, as a tensor: under vmap, for each element anew or the same for all."""
    return wrap(drawn(source, shape, kind, generator, formula, *numbers, to=to, like=like, device=device))


def recorded(like: Node) -> Node | None:
    """What a draw is recorded along with, where it is like this node."""
    return like if (like.depth > 0 or like.requires_grad) and (not tracing.traces or tracing.current() is None) else None


# -- formulas, which may overwrite an array that was drawn -------------------------------------------------------------

def between(m: Any, x: Any, low: Any, span: Any) -> Any:
    """From low on, span times as far; of normal numbers, of this mean and standard deviation."""
    x *= span
    x += low
    return x


def below(m: Any, x: Any, p: Any) -> Any:
    """Whether uniform numbers are below p."""
    return x < p


def kept(m: Any, x: Any, p: Any, zero: Any, factor: Any) -> Any:
    """The factor, of uniform numbers; 0 with probability p."""
    if m is np:             # which would do that in float64
        return np.multiply(x >= p, factor, out=x, dtype=x.dtype)
    return m.where(x < p, zero, factor)


def above_0(m: Any, x: Any, least: Any) -> Any:
    """Uniform numbers, 0 among them replaced by the least."""
    return m.maximum(x, least)


def exponential(m: Any, x: Any, least: Any, rate: Any) -> Any:
    """Of uniform numbers; never 0."""
    return -m.log1p(-m.maximum(x, least)) / rate


def geometric(m: Any, x: Any, log_of_failure: Any) -> Any:
    """The number of trials up to the first success, of uniform numbers."""
    return m.floor(m.log1p(-x) / log_of_failure) + 1


def cauchy(m: Any, x: Any, half_turn: Any, quarter: Any, median: Any, width: Any) -> Any:
    """Of uniform numbers."""
    return median + width * m.tan(half_turn * (x - quarter))


def log_normal(m: Any, x: Any, mean: Any, std: Any) -> Any:
    """Of normal numbers."""
    return m.exp(mean + std * x)


def _scaled(m: Any, x: Any, low: Any, span: Any, bits: Any) -> Any:
    """Of words, for a span of at most 2**31."""
    x *= span
    x = m.bitwise_right_shift(x, bits)
    x += low
    return x


def _scaled_bits(m: Any, x: Any, low: Any, upper: Any, lower: Any, word: Any, bits: Any) -> Any:
    """Of 64 bits, for a span of 64 bits, given as two words: the upper 64 bits of their product."""
    def upper_word(x: Any) -> Any:
        return m.bitwise_and(m.bitwise_right_shift(x, bits), word)
    a, b = upper_word(x), m.bitwise_and(x, word)
    middle = a * lower + upper_word(b * lower)
    return low + (a * upper + upper_word(middle) + upper_word(b * upper + m.bitwise_and(middle, word)))


def integers(low: int, high: int) -> tuple[Source, tuple]:
    """What to draw for integers from low to below high, and what to make of it.  Raises RuntimeError where there are none."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    span = high - low
    if span <= 2**31:
        return WORD, (_scaled, low, span, 32)
    return BITS, (_scaled_bits, low, span >> 32, span % 2**32, 2**32 - 1, 32)


def smallest_step(kind: dtype) -> float:
    """Half of the distance between uniform numbers: what stands for 0 where that must not come."""
    return 2.0**-25 if kind is float32 else 2.0**-54

