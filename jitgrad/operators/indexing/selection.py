"""The functions that read at positions: gather, take_along_dim, index_select, masked_select; and nonzero, which finds them."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.declaration.declare import EVERYWHERE, function, operator
from jitgrad.operators.declaration.out import EXACT
from jitgrad.operators.operands import cast, normal_dim, number_node, within
from jitgrad.operators.templates.template import holds, no_template
from jitgrad.ops.declare import common_device
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.array import array_type, broadcast_shapes
from jitgrad.types.dtype import bool_, int32, int64


def index_node(called: str, node: Node, input: Node) -> Node:
    """Positions in `input` as int64.  Raises RuntimeError for what is neither int32 nor int64 (small integers index by [] alone, as in
    PyTorch), and for another device."""
    common_device((input.type, node.type))
    if node.type.dtype not in (int32, int64):
        raise RuntimeError(f"{called}(): Expected dtype int32/int64 for index")
    return cast(node, int64)


def _outside(index: Node, length: int) -> int | None:
    """The first position that is not in range(length), of those that are known; a trace, or a template, is told of the look."""
    holds(index, within(0, length))
    trace = tracing.current()
    if index.value is None or index.type.device != "cpu" or (trace is not None and trace.positions(index, 0, length)):
        return None
    at = execute.value(index)
    outside = at[(at < 0) | (at >= length)]
    return int(outside[0]) if outside.size else None


@operator("GatherBackward0", out=EXACT, edges=("input",), saves=("input", "index"))
def gather(input: Node, dim: int, index: Node, *, sparse_grad: bool = False) -> Node:
    """The elements of input at the positions `index` along `dim`; index may be shorter than input elsewhere."""
    index = index_node("gather", index, input)
    d = normal_dim(dim, input.type.ndim)
    if max(index.type.ndim, 1) != max(input.type.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for i, (n, m) in enumerate(zip(index.type.shape, input.type.shape, strict=False)):
        if i != d and n > m:
            raise RuntimeError(f"Size does not match at dimension {i} expected index {list(index.type.shape)} to be no "
                               f"larger than self {list(input.type.shape)} apart from dimension {d}")
    length = input.type.shape[d] if input.type.ndim else 1
    outside = _outside(index, length)
    if outside is not None:
        raise RuntimeError(f"index {outside} is out of bounds for dimension {d} with size {length}")
    if not input.type.ndim:
        input = ops.unsqueeze(input, dims=(0,))
        return ops.reshape(ops.take_along(input, ops.reshape(index, sizes=(1,)), dim=0), sizes=index.type.shape)
    return ops.take_along(input, index, dim=d)


@operator("GatherBackward0", out=EXACT, edges=("input",), saves=("input", "indices"))
def take_along_dim(input: Node, indices: Node, dim: int | None = None) -> Node:
    """gather(), the other dimensions broadcast, positions beyond `dim` counted on from its other end; without `dim` of the
    flattened tensors."""
    given = indices
    indices = index_node("take_along_dim", indices, input)
    if dim is None:
        return ops.take_along(ops.reshape(input, sizes=(input.type.size,)),
                              ops.reshape(indices, sizes=(indices.type.size,)), dim=0)
    if not input.type.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = normal_dim(dim, input.type.ndim)
    inside = within(0, input.type.shape[d])
    if inside(given):
        holds(given, inside)
    else:
        no_template()
        indices = ops.remainder(indices, number_node(input.type.shape[d], int64))
    common = [*broadcast_shapes(input.type.shape[:d] + (1,) + input.type.shape[d + 1:],
                                indices.type.shape[:d] + (1,) + indices.type.shape[d + 1:])]
    shapes = [tuple(common[:d] + [n.type.shape[d]] + common[d + 1:]) for n in (input, indices)]
    x, at = [n if n.type.shape == s else ops.expand(n, sizes=s) for n, s in zip((input, indices), shapes, strict=True)]
    return ops.take_along(x, at, dim=d)


@operator("IndexSelectBackward0", out=EXACT, edges=("input",))
def index_select(input: Node, dim: int, index: Node) -> Node:
    """The parts of input at the positions `index`, 1-d, of dimension `dim`."""
    index = index_node("index_select", index, input)
    if index.type.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector, but got dim: " + str(index.type.ndim))
    d = normal_dim(dim, input.type.ndim)
    if _outside(index, input.type.shape[d] if input.type.ndim else 1) is not None:
        raise IndexError("index out of range in self")
    if not index.type.ndim:
        index = ops.unsqueeze(index, dims=(0,))
    if not input.type.ndim:
        return ops.reshape(ops.index(ops.unsqueeze(input, dims=(0,)), index, axes=(0,)), sizes=())
    return ops.index(input, index, axes=(d,))


@operator("MaskedSelectBackward0", out=EXACT, edges=("input",), saves=("input", "mask"))
def masked_select(input: Node, mask: Node) -> Node:
    """The elements where the bool tensor `mask` is true, 1-d; the two are broadcast."""
    if mask.type.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(input.type.shape, mask.type.shape) or (1,)
    x = input if input.type.shape == shape else ops.expand(input, sizes=shape)
    arrays = np.nonzero(np.broadcast_to(execute.on_host(mask, "masked_select"), shape))
    positions = [input_node(a, array_type(a.shape, int64, input.type.device)) for a in arrays]
    return ops.index(x, *positions, axes=tuple(range(len(shape))))


def _nonzero(input: Tensor) -> tuple[np.ndarray, ...]:
    array = input._array()
    return np.nonzero(array if array.ndim else array.reshape(1))


@function(name="nonzero", places=EVERYWHERE, kind=None, out=EXACT, by_host=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0: a row each, or with as_tuple a tensor a dimension."""
    found = _nonzero(input)
    if as_tuple:
        return tuple([from_array(a.astype(np.int64)) for a in found])
    rows = np.stack(found, 1)
    return from_array(rows.astype(np.int64) if input.ndim else rows[:, :0].astype(np.int64))
