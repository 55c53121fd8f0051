"""Operators that copy elements into a new arrangement: clone, cat, stack, flip, repeat, roll."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import EVERYWHERE, OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST
from jitgrad.operators.operands import Integers, Tensors, cast, integers, normal_dim, normal_dims, result_dtype
from jitgrad.tensors.tensor import Tensor


@operator("CloneBackward0")
def clone(input: Node, *, memory_format: Any = None) -> Node:
    """A copy that gradients pass through."""
    return ops.copy(input)


# -- joining ---------------------------------------------------------------------------------------------------------

def _tensors(tensors: Any) -> list[Node]:
    for i, n in enumerate(tensors):
        if type(n) is not Node:
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(n).__name__}")
    return list(tensors)


def _cat(tensors: Tensors, dim: int = 0) -> Node:
    """The tensors one after the other along `dim`; of mixed dtypes in their common one."""
    nodes = _tensors(tensors)
    if not nodes:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    to = result_dtype(tuple(nodes))
    for i, n in enumerate(nodes):
        if not n.type.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    shape = next((n.type.shape for n in nodes if n.type.shape != (0,)), (0,))
    d = normal_dim(dim, len(shape))
    nothing = shape[:d] + (0,) + shape[d + 1:]
    parts = [cast(n, to) for n in nodes]
    if len(shape) > 1:      # PyTorch takes 1-d empty tensors for nothing; they stay operands, for their gradients
        parts = [ops.reshape(n, sizes=nothing) if n.type.shape == (0,) else n for n in parts]
    return ops.cat(*parts, dim=d)


for _name in ("cat", "concat", "concatenate"):
    operator("CatBackward0", name=_name, places=("torch",), out=CAST)(_cat)


@operator("StackBackward0", places=("torch",), out=CAST)
def stack(tensors: Tensors, dim: int = 0) -> Node:
    """The tensors, of one shape, along a new dimension `dim`."""
    nodes = _tensors(tensors)
    if not nodes:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = nodes[0].type
    for i, n in enumerate(nodes):
        if n.type.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 "
                               f"and {list(n.type.shape)} at entry {i}")
    to, d = result_dtype(tuple(nodes)), normal_dim(dim, first.ndim + 1)
    return ops.cat(*[ops.unsqueeze(cast(n, to), dims=(d,)) for n in nodes], dim=d)


def each_made(tensors: tuple, made: Callable[[Tensor], Tensor]) -> Any:
    """made() of a tensor; a tuple of those of several, one by one or in a sequence."""
    if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)):
        return made(tensors[0])
    return tuple([made(t) for t in (tensors[0] if len(tensors) == 1 else tensors)])


def _in_front(t: Tensor, least: int) -> Tensor:
    for _ in range(least - t.ndim):
        t = OPERATORS["unsqueeze"].call(t, 0)
    return t


@function(kind=None)
def atleast_1d(*tensors: Tensor | Tensors) -> Any:
    """0-d tensors with one dimension, others as they are."""
    return each_made(tensors, lambda t: _in_front(t, 1))


@function(kind=None)
def atleast_2d(*tensors: Tensor | Tensors) -> Any:
    """The tensors with dimensions put in front until there are two."""
    return each_made(tensors, lambda t: _in_front(t, 2))


def _not_empty(called: str, tensors: Any) -> None:
    if not tensors:
        raise RuntimeError(f"{called} expects a non-empty TensorList")


@function(kind=None, out=CAST)
def hstack(tensors: Tensors) -> Tensor:
    """The tensors side by side: along dimension 1, or 0 for 1-d tensors."""
    _not_empty("hstack", tensors)
    parts = [atleast_1d(t) for t in tensors]
    return OPERATORS["cat"].call(parts, 0 if parts and parts[0].ndim == 1 else 1)


@function(kind=None, out=CAST)
def vstack(tensors: Tensors) -> Tensor:
    """The tensors below each other: along dimension 0, 1-d tensors as rows."""
    _not_empty("vstack", tensors)
    return OPERATORS["cat"].call([atleast_2d(t) for t in tensors], 0)


# -- rearranging -----------------------------------------------------------------------------------------------------

@operator("FlipBackward0")
def flip(input: Node, dims: Integers) -> Node:
    """The elements in reverse order along `dims`."""
    listed = integers("flip", (dims,))
    return ops.flip(input, dims=normal_dims(listed, input.type.ndim) if listed else ())


def _repeated(called: str, x: Node, repeats: tuple[int, ...]) -> Node:
    shape = x.type.shape
    if len(repeats) < len(shape):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(repeats, default=0) < 0:
        raise RuntimeError(f"{called}(): negative number of repeats in {list(repeats)}")
    shape = (1,) * (len(repeats) - len(shape)) + shape
    apart = [v for n in shape for v in (1, n)]
    wide = [v for k, n in zip(repeats, shape, strict=True) for v in (k, n)]
    spread = ops.expand(ops.reshape(x, sizes=tuple(apart)), sizes=tuple(wide))
    return ops.reshape(spread, sizes=tuple([k * n for k, n in zip(repeats, shape, strict=True)]))


@operator("RepeatBackward0", places=("method",))
def repeat(input: Node, repeats: Integers) -> Node:
    """The tensor repeated along each dimension; more numbers than dimensions add dimensions in front."""
    return _repeated("repeat", input, integers("repeat", (repeats,)))


@operator("RepeatBackward0")
def tile(input: Node, dims: Integers) -> Node:
    """repeat(), where fewer numbers than dimensions stand for the last ones."""
    listed = integers("tile", (dims,))
    return _repeated("tile", input, (1,) * (input.type.ndim - len(listed)) + listed)


@operator("RollBackward0")
def roll(input: Node, shifts: Integers, dims: Integers | None = None) -> Node:
    """The elements moved by `shifts` along `dims`, those beyond the end put at the start."""
    moves = [shifts] if isinstance(shifts, int) else list(shifts)
    if not moves:
        raise RuntimeError("`shifts` required")
    if dims is None:
        flat = ops.reshape(input, sizes=(input.type.size,))
        return ops.reshape(_rolled(flat, integers("roll", (shifts,))[0], 0), sizes=input.type.shape)
    along = [dims] if isinstance(dims, int) else list(dims)
    if len(moves) != len(along):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(along)}")
    if along and not input.type.ndim:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    for shift, dim in zip(moves, along, strict=True):
        input = _rolled(input, shift, normal_dim(dim, input.type.ndim))
    return input


def _rolled(x: Node, shift: int, dim: int) -> Node:
    # A window of two copies: the shift is only where it begins, so that one program serves every shift.
    n = x.type.shape[dim]
    full = (True,) * dim + ("unit",) + (True,) * (x.type.ndim - dim - 1)
    return ops.slice(ops.cat(x, x, dim=dim), full=full, sizes=(-shift % n if n else 0, n, 1))


@function(places=EVERYWHERE, kind=None)
def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself."""
    return input
