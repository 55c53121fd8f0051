"""Windows over the last dimensions: padding, convolution, pooling.

A window's elements are strided slices of the padded input, one for each place in the window; all together they are the columns
that a convolution multiplies (im2col), and what pooling reduces.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import const, input_node, scalar_node
from jitgrad.operators.declaration.declare import operator
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.operands import Integers
from jitgrad.types.array import array_type
from jitgrad.types.dtype import int64

F = ("functional",)
Lengths = tuple[int, ...]


def _each(value: Any, rank: int, called: str, name: str) -> Lengths:
    """A number for each of the dimensions."""
    given = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(given) == 1:
        given *= rank
    if len(given) != rank:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {rank} values to match the {called} dimensions, "
                           f"but got {name}={list(given)}")
    return given


def _placed(x: Node, before: Sequence[int], after: Sequence[int], value: Any) -> Node:
    """x within a larger array of a value, so many elements from its ends; negative: x without these."""
    shape = x.type.shape
    cut = [(max(-b, 0), n - max(-b, 0) - max(-a, 0)) for b, a, n in zip(before, after, shape, strict=True)]
    if any([start or length != n for (start, length), n in zip(cut, shape, strict=True)]):
        x = ops.slice(x, full=(False,) * len(shape), sizes=tuple([v for start, length in cut for v in (start, length, 1)]))
    rooms = [max(b, 0) + length + max(a, 0) for b, a, (_, length) in zip(before, after, cut, strict=True)]
    if tuple(rooms) == x.type.shape:
        return x
    whole = ops.expand(value, sizes=tuple(rooms))
    return ops.slice_put(whole, x, full=(False,) * len(shape),
                         sizes=tuple([v for b, (_, length) in zip(before, cut, strict=True) for v in (max(b, 0), length, 1)]))


def _around(x: Node, pads: Sequence[int], value: Any) -> Node:
    """_placed in the last dimensions, by as much on both sides."""
    lead = (0,) * (x.type.ndim - len(pads))
    return _placed(x, (*lead, *pads), (*lead, *pads), value)


def _columns(x: Node, kernel: Lengths, stride: Lengths, dilation: Lengths, out: Lengths) -> list[Node]:
    """For each place in the window what all windows have there: of x's shape but for the last dimensions, which are `out`."""
    rank = len(kernel)
    lead = x.type.ndim - rank
    full = (True,) * lead + (False,) * rank
    return [ops.slice(x, full=full, sizes=tuple([v for k, s, d, n in zip(place, stride, dilation, out,
                                                                         strict=True) for v in (k * d, n, s)]))
            for place in itertools.product(*[range(k) for k in kernel])]


def _pad_name(arguments: dict[str, Any]) -> str:
    mode, rank = arguments.get("mode", "constant"), len(arguments["pad"]) // 2
    kind = "Reflection" if mode == "reflect" else "Replication"
    return "ConstantPadNdBackward0" if mode == "constant" else f"{kind}Pad{rank}DBackward0"


@operator(_pad_name, places=F, edges=("input",), saves=())
def pad(input: Node, pad: Integers, mode: str = "constant", value: float | None = None) -> Node:
    """More elements before and after the last dimensions: pad lists pairs, the last dimension first.  mode: "constant" (`value`, 0),
    "reflect", "replicate" or "circular"."""
    pads, ndim = tuple(pad), input.type.ndim
    if len(pads) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pads) > 2 * ndim:
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length "
                           f"{len(pads)} and input of dimension {ndim}")
    rank = len(pads) // 2
    if mode == "constant":
        before, after = [0] * ndim, [0] * ndim
        for i in range(rank):
            before[ndim - 1 - i], after[ndim - 1 - i] = pads[2 * i], pads[2 * i + 1]
        if any([b + a + n < 0 for b, a, n in zip(before, after, input.type.shape, strict=True)]):
            raise RuntimeError(f"The input size {list(input.type.shape)}, plus negative padding {list(pads)} resulted in a negative "
                               "output size, which is invalid.")
        return _placed(input, before, after, scalar_node(value or 0, input.type.dtype, input.type.device))
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if ndim not in (rank + 1, rank + 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    input = ops.kept(input)
    for i in range(rank):
        dim, (before_, after_) = ndim - 1 - i, pads[2 * i:2 * i + 2]
        n = input.type.shape[dim]
        if mode == "reflect" and max(before_, after_) >= n:
            raise RuntimeError(f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                               f"({before_}, {after_}) at dimension {dim} of input {list(input.type.shape)}")
        at = np.arange(-before_, n + after_)
        if mode == "reflect":
            at = np.abs(at) if n > 1 else np.zeros_like(at)
            at = np.where(at >= n, 2 * (n - 1) - at, at)
        else:
            at = np.clip(at, 0, n - 1) if mode == "replicate" else at % n
        input = ops.index(input, input_node(at, array_type(at.shape, int64, input.type.device)), axes=(dim,))
    return input


def _convolved(called: str, rank: int, input: Node, weight: Node, bias: Node | None, stride: Any, padding: Any, dilation: Any,
               groups: int) -> Node:
    if weight.type.ndim != rank + 2:
        raise RuntimeError(f"Expected {rank + 2}D weight of shape (out_channels, in_channels, ...) in {called}, but got weight of "
                           f"size: "
                           f"{list(weight.type.shape)}")
    for operand, name in ((weight, "weight"), (bias, "bias")):
        if operand is not None and operand.type.dtype is not input.type.dtype:
            raise RuntimeError(f"Input type ({input.type.dtype.c_type}) and {name} type ({operand.type.dtype.c_type}) should be "
                               "the same")
    if groups < 1:
        raise RuntimeError("non-positive groups is not supported")
    if weight.type.shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
                           f"{list(weight.type.shape)} instead")
    batched = input.type.ndim == rank + 2
    if input.type.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {called}, but got input of size: "
                           f"{list(input.type.shape)}")
    x = input if batched else ops.unsqueeze(input, dims=(0,))
    steps, apart = [_each(v, rank, "convolution", n) for v, n in ((stride, "stride"), (dilation, "dilation"))]
    if min(steps) < 1:
        raise RuntimeError("non-positive stride is not supported")
    if min(apart) < 1:
        raise RuntimeError("dilation should be greater than zero")
    if not isinstance(padding, str) and min(_each(padding, rank, "convolution", "padding")) < 0:
        raise RuntimeError("negative padding is not supported")
    channels, each, kernel = weight.type.shape[0], weight.type.shape[1], weight.type.shape[2:]
    if x.type.shape[1] != each * groups:
        raise RuntimeError(f"Given groups={groups}, weight of size {list(weight.type.shape)}, expected "
                           f"input{list(input.type.shape)} to "
                           f"have {each * groups} channels, but got {x.type.shape[1]} channels instead")
    zero = const(0, x.type.dtype, x.type.device)
    lead = (0, 0)
    if padding == "same":
        if any([s != 1 for s in steps]):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        total = [d * (k - 1) for d, k in zip(apart, kernel, strict=True)]
        x = _placed(x, (*lead, *[t // 2 for t in total]), (*lead, *[t - t // 2 for t in total]), zero)
    elif padding != "valid":
        pads = _each(padding, rank, "convolution", "padding")
        x = _around(x, pads, zero)
    out = tuple([(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.type.shape[2:], kernel, steps, apart, strict=True)])
    if any([n < 1 for n in out]):
        raise RuntimeError(f"Calculated padded input size per channel: ({' x '.join(map(str, x.type.shape[2:]))}). Kernel size: "
                           f"({' x '.join(map(str, kernel))}). Kernel size can't be greater than actual input size")
    taken = [ops.unsqueeze(c, dims=(2,)) for c in _columns(x, kernel, steps, apart, out)]
    columns = taken[0] if len(taken) == 1 else ops.cat(*taken, dim=2)
    count, places, cells = x.type.shape[0], math.prod(kernel), math.prod(out)
    if groups == 1:
        rows = ops.reshape(weight, sizes=(channels, each * places))
        result = ops.matmul(rows, ops.reshape(columns, sizes=(count, each * places, cells)))
    else:
        rows = ops.reshape(weight, sizes=(groups, channels // groups, each * places))
        result = ops.matmul(rows, ops.reshape(columns, sizes=(count, groups, each * places, cells)))
    result = ops.reshape(result, sizes=(count, channels, *out))
    if bias is not None:
        result = result + ops.unsqueeze(bias, dims=tuple(range(1, rank + 1)))
    return result if batched else ops.squeeze(result, dims=(0,))


@operator("ConvolutionBackward0", places=("torch", "functional"), saves=("input", "weight"), edges=("input", "weight", "bias"))
def conv1d(input: Node, weight: Node, bias: Node | None = None, stride: Integers = 1, padding: Integers | str = 0,
           dilation: Integers = 1,
           groups: int = 1) -> Node:
    """The cross-correlation of (batch, channels, length) with (out_channels, channels / groups, kernel)."""
    return _convolved("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@operator("ConvolutionBackward0", places=("torch", "functional"), saves=("input", "weight"), edges=("input", "weight", "bias"))
def conv2d(input: Node, weight: Node, bias: Node | None = None, stride: Integers = 1, padding: Integers | str = 0,
           dilation: Integers = 1,
           groups: int = 1) -> Node:
    """The cross-correlation of (batch, channels, height, width) with (out_channels, channels / groups, kernel height, width)."""
    return _convolved("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def _windows(called: str, input: Node, kernel: Any, stride: Any, padding: Any, dilation: Any,
             ceil_mode: bool) -> tuple[Lengths, Lengths, Lengths, Lengths, Lengths]:
    """Kernel, stride, padding, dilation and the lengths of the result."""
    kernel, pads, apart = [_each(v, 2, called, n) for v, n in ((kernel, "kernel_size"), (padding, "padding"), (dilation, "dilation"))]
    steps = kernel if stride is None or stride == [] or stride == () else _each(stride, 2, called, "stride")
    if any([2 * p > d * (k - 1) + 1 for p, k, d in zip(pads, kernel, apart, strict=True)]):
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={max(pads)}, "
                           f"kernel_size={max(kernel)} and "
                           f"dilation={max(apart)}")
    if input.type.ndim not in (3, 4):
        raise RuntimeError(f"{called}(): Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got: "
                           f"{list(input.type.shape)}")
    out = []
    for n, k, s, p, d in zip(input.type.shape[-2:], kernel, steps, pads, apart, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        length = (-(-room // s) if ceil_mode else room // s) + 1
        out.append(length - 1 if ceil_mode and (length - 1) * s >= n + p else length)      # each begins inside
    if any([n < 1 for n in out]):
        shape = "x".join(map(str, input.type.shape[-3:]))
        raise RuntimeError(f"Given input size: ({shape}). Calculated output size: ({input.type.shape[-3]}x"
                           f"{'x'.join(map(str, [max(n, 0) for n in out]))}). Output size is too small")
    return kernel, steps, pads, apart, tuple(out)


def _padded(x: Node, kernel: Lengths, steps: Lengths, pads: Lengths, apart: Lengths, out: Lengths, value: Any) -> Node:
    """x with what the windows reach beyond it."""
    lead = (0,) * (x.type.ndim - 2)
    need = [(m - 1) * s + d * (k - 1) + 1 - n - p for n, m, k, s, p, d in
            zip(x.type.shape[-2:], out, kernel, steps, pads, apart, strict=True)]
    return _placed(x, (*lead, *pads), (*lead, *[max(v, 0) for v in need]), value)


@operator("MaxPool2DWithIndicesBackward0", places=F, saves=("input",), edges=("input",))
def max_pool2d(input: Node, kernel_size: Integers, stride: Integers | None = None, padding: Integers = 0, dilation: Integers = 1,
               ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """The largest of each window (and, with return_indices, where it is among the elements of an image)."""
    kernel, steps, pads, apart, out = _windows("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    of = input.type.dtype
    least = const(-np.inf if of.category == 2 else int(np.iinfo(of.np).min), of, input.type.device)
    x = _padded(ops.kept(input), kernel, steps, pads, apart, out, least)
    ndim = x.type.ndim
    columns = ops.cat(*[ops.unsqueeze(c, dims=(ndim,)) for c in _columns(x, kernel, steps, apart, out)], dim=ndim)
    chosen = ops.argmax(columns, axes=(ndim,))
    result = ops.squeeze(ops.take_along(columns, chosen, dim=ndim), dims=(ndim,))
    if not return_indices:
        return result
    rows, across = [np.arange(m) * s - p for m, s, p in zip(out, steps, pads, strict=True)]
    places = np.array([(i * apart[0], j * apart[1]) for i, j in itertools.product(*[range(k) for k in kernel])])
    width = input.type.shape[-1]
    table = ((rows[:, None, None] + places[:, 0]) * width + across[None, :, None] + places[:, 1]).astype(np.int64)
    numbers = ops.expand_like(input_node(table, array_type(table.shape, int64, input.type.device)), columns)
    return result, ops.squeeze(ops.take_along(numbers, chosen, dim=ndim), dims=(ndim,))


@operator("AvgPool2DBackward0", places=F, saves=("input",), edges=("input",), out=EXACT)
def avg_pool2d(input: Node, kernel_size: Integers, stride: Integers | None = None, padding: Integers = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Node:
    """The mean of each window; count_include_pad: padded zeros count; divisor_override: what the sum is divided by."""
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    kernel, steps, pads, apart, out = _windows("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    x = _padded(ops.kept(input), kernel, steps, pads, apart, out, const(0, input.type.dtype, input.type.device))
    columns = _columns(x, kernel, steps, apart, out)
    total = columns[0]
    for c in columns[1:]:
        total = total + c
    if divisor_override is not None:
        return total / scalar_node(float(divisor_override), x.type.dtype)
    counts = []
    for n, m, k, s, p in zip(input.type.shape[-2:], out, kernel, steps, pads, strict=True):
        start = np.arange(m) * s - p
        end = np.minimum(start + k, n + p)
        counts.append(end - start if count_include_pad else np.minimum(end, n) - np.maximum(start, 0))
    table = np.asarray(counts[0][:, None] * counts[1], x.type.dtype.np)
    return total / input_node(table, array_type(table.shape, x.type.dtype, x.type.device))
