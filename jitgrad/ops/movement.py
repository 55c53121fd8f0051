"""Primitives that arrange elements: the same values in another shape, part of them, or zeros between them.

`dims` rules speak in symbols (compiler/ir/dims.py): a length follows an operand, is 1, or is new ("fresh").  Derivatives
use only ops whose lengths follow from operands, hence the `_like` forms beside `reshape`, `expand` and `slice`.
"""
from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np

from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.graph.recording import const
from jitgrad.ops.declare import check_same, movement
from jitgrad.ops.samples import structured
from jitgrad.types.array import ArrayType, array_type, broadcast_shapes

Shape = tuple[int, ...]


def number(value: float, like: Node) -> Node:
    """A 0-d literal of `like`'s dtype, for rules whose first operand is of another dtype."""
    return const(value, like.type.dtype, like.type.device)


def zeros_like(x: Node) -> Node:
    """Zeros of x's shape and dtype."""
    return expand_like(number(0, x), x)


def _with_shape(x: ArrayType, shape: Shape) -> ArrayType:
    return array_type(shape, x.dtype, x.device)


def _listed(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


# -- order and unit dimensions ---------------------------------------------------------------------------------------

def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([dims.index(i) for i in range(len(dims))])


def _squeezed(shape: tuple, dims: tuple[int, ...]) -> tuple:
    return tuple([n for i, n in enumerate(shape) if i not in dims])


def _unsqueezed(shape: tuple, dims: tuple[int, ...], one: Any) -> tuple:
    rest = iter(shape)
    return tuple([one if i in dims else next(rest) for i in range(len(shape) + len(dims))])


def _squeeze_infer(x: ArrayType, *, dims: tuple[int, ...]) -> ArrayType:
    if any([x.shape[d] != 1 for d in dims]):
        raise InternalError(f"squeeze of {x!r} along {dims}: not all of length 1")
    return _with_shape(x, _squeezed(x.shape, dims))


permute = movement(
    "permute(x, *, dims)", role="permute", doc="dimension i of the result is dimension dims[i] of x",
    infer=lambda x, *, dims: _with_shape(x, tuple([x.shape[d] for d in dims])),
    numpy=lambda x, *, dims: x.transpose(dims),
    vjp=lambda g, y, x, *, dims: (permute(g, dims=_inverse(dims)),),
    dims=lambda context, node, dims: tuple([dims[0][d] for d in node.params[0]]),
    put=lambda base, value, *, dims: permute(value, dims=_inverse(dims)), grad_name="PermuteBackward0",
    sample=structured((((2, 3),), {"dims": (1, 0)}), (((2, 1, 3),), {"dims": (2, 0, 1)}), (((),), {"dims": ()}),
                      (((0, 3),), {"dims": (1, 0)})))

squeeze = movement(
    "squeeze(x, *, dims)", role="same", doc="x without the dimensions `dims` (sorted, each of length 1)", infer=_squeeze_infer,
    numpy=lambda x, *, dims: x.reshape(_squeezed(x.shape, dims)),     # np.squeeze takes five times as long
    vjp=lambda g, y, x, *, dims: (unsqueeze(g, dims=dims),),
    dims=lambda context, node, dims: _squeezed(dims[0], node.params[0]),
    put=lambda base, value, *, dims: unsqueeze(value, dims=dims), grad_name="SqueezeBackward1",
    sample=structured((((1, 3),), {"dims": (0,)}), (((1, 2, 1),), {"dims": (0, 2)}), (((1,),), {"dims": (0,)}),
                      (((0, 1),), {"dims": (1,)})))

unsqueeze = movement(
    "unsqueeze(x, *, dims)", role="same", doc="x with new dimensions of length 1 at `dims` (sorted positions in the result)",
    infer=lambda x, *, dims: _with_shape(x, _unsqueezed(x.shape, dims, 1)),
    numpy=lambda x, *, dims: x.reshape(_unsqueezed(x.shape, dims, 1)),
    vjp=lambda g, y, x, *, dims: (squeeze(g, dims=dims),),
    dims=lambda context, node, dims: _unsqueezed(dims[0], node.params[0], context.ONE),
    put=lambda base, value, *, dims: squeeze(value, dims=dims), grad_name="UnsqueezeBackward0",
    sample=structured((((3,),), {"dims": (0,)}), (((2, 3),), {"dims": (1, 3)}), (((),), {"dims": (0,)}),
                      (((0,),), {"dims": (1,)})))


# -- reshape and expand ----------------------------------------------------------------------------------------------

def _reshape_infer(x: ArrayType, *, sizes: Shape) -> ArrayType:
    out = _with_shape(x, sizes)
    if out.size != x.size:
        raise RuntimeError(f"shape '{_listed(sizes)}' is invalid for input of size {x.size}")
    return out


def _reshape_like_infer(x: ArrayType, donor: ArrayType) -> ArrayType:
    if x.size != donor.size:
        raise InternalError(f"reshape_like of {x!r} to {donor!r}")
    return _with_shape(x, donor.shape)


def _expand_infer(x: ArrayType, *, sizes: Shape) -> ArrayType:
    lead = len(sizes) - x.ndim
    if lead < 0:
        raise RuntimeError(f"expand({x.dtype.legacy}{{{_listed(x.shape)}}}, size={_listed(sizes)}): the number of "
                           f"sizes provided ({len(sizes)}) must be greater or equal to the number of dimensions in the "
                           f"tensor ({x.ndim})")
    for i, n in enumerate(x.shape):
        if n != 1 and sizes[lead + i] != n:
            raise RuntimeError(f"The expanded size of the tensor ({sizes[lead + i]}) must match the existing size "
                               f"({n}) at non-singleton dimension {lead + i}.  Target sizes: {_listed(sizes)}.  "
                               f"Tensor sizes: {_listed(x.shape)}")
    return _with_shape(x, sizes)


def _expand_like_infer(x: ArrayType, donor: ArrayType) -> ArrayType:
    if x.ndim > donor.ndim or broadcast_shapes(x.shape, donor.shape) != donor.shape:
        raise InternalError(f"expand_like of {x!r} to {donor!r}")
    return _with_shape(x, donor.shape)


def _expand_like_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    (x, donor), shape = dims, node.inputs[0].type.shape
    lead = len(donor) - len(x)
    return tuple([context.unify(d, x[i - lead]) if i >= lead and shape[i - lead] != 1 else d
                  for i, d in enumerate(donor)])


def _expand_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    lead = node.type.ndim - len(dims[0])
    was = (1,) * lead + node.inputs[0].type.shape
    return tuple([context.ONE if n == 1 else dims[0][i - lead] if was[i] != 1 else context.fresh(i)
                  for i, n in enumerate(node.type.shape)])


reshape = movement(
    "reshape(x)", role="reshape", doc="x's elements in row-major order, in the shape `sizes` (complete, no -1)", has_sizes=True,
    infer=_reshape_infer, numpy=lambda x, *, sizes: np.reshape(x, sizes),
    vjp=lambda g, y, x, *, sizes: (reshape_like(g, x),), dims="fresh",
    put=lambda base, value, *, sizes: reshape_like(value, base), grad_name="ViewBackward0",
    sample=structured((((2, 3),), {}, (3, 2)), (((2, 3),), {}, (6,)), (((1,),), {}, ()), (((0, 3),), {}, (5, 0)),
                      (((),), {}, (1, 1))))

reshape_like = movement(
    "reshape_like(x, donor)", role="reshape", doc="x's elements in row-major order, in the donor's shape", shape_only=(1,),
    infer=_reshape_like_infer, numpy=lambda x, shape: np.reshape(x, shape),
    vjp=lambda g, y, x, donor: (reshape_like(g, x), None), dims="donor:1",
    sample=structured((((2, 3), (3, 2)), {}), (((), (1, 1)), {}), (((0, 3), (0,)), {})))

expand = movement(
    "expand(x)", role="expand", doc="x broadcast to the shape `sizes`", has_sizes=True,
    infer=_expand_infer, numpy=lambda x, *, sizes: np.broadcast_to(x, sizes), vjp=lambda g, y, x, *, sizes: (g,),
    dims=_expand_dims, grad_name="ExpandBackward0",
    sample=structured((((3,),), {}, (2, 3)), (((2, 1),), {}, (2, 4)), (((),), {}, (2,)), (((1,),), {}, (0,)),
                      (((),), {}, ())))

expand_like = movement(
    "expand_like(x, donor)", role="expand", doc="x broadcast to the donor's shape", shape_only=(1,),
    infer=_expand_like_infer, numpy=lambda x, shape: np.broadcast_to(x, shape),
    vjp=lambda g, y, x, donor: (g, None), dims=_expand_like_dims,
    sample=structured((((3,), (2, 3)), {}), (((2, 1), (2, 4)), {}), (((), (2,)), {}), (((1,), (0,)), {})))


# -- slices ----------------------------------------------------------------------------------------------------------

# What of a slice is structure, dimension by dimension: True, the whole; "prefix" and "suffix" of it, and "unit", a part of
# which the step is 1, as it was written, whatever its bounds are; False, any part.  So the compiler knows what lies side
# by side in memory, and which parts meet.
Full = tuple[bool | str, ...]
_ALL = builtins.slice(None)


def _regions(full: Full, sizes: Shape) -> list[tuple[int, int, int] | None]:
    """(start, length, step) a dimension, None where it is untouched."""
    flat = iter(sizes)
    return [None if whole is True else (next(flat), next(flat), next(flat)) for whole in full]


def _key(full: Full, sizes: Shape) -> tuple[builtins.slice, ...]:
    key = []
    flat = iter(sizes)
    for whole in full:
        if whole is True:
            key.append(_ALL)
        else:
            start, length, step = next(flat), next(flat), next(flat)
            key.append(builtins.slice(start, start + (length - 1) * step + 1 if length else start, step))
    return tuple(key)


def _region_shape(x: ArrayType, full: Full, sizes: Shape) -> Shape:
    shape = []
    for n, region, kind in zip(x.shape, _regions(full, sizes), full, strict=True):
        if region is None:
            shape.append(n)
            continue
        start, length, step = region
        if kind is not False and (step != 1 or kind == "prefix" and start or kind == "suffix" and start + length != n):
            raise InternalError(f"slice {region} of a dimension of length {n} is no {kind}")
        if start < 0 or length < 0 or step < 1 or (length and start + (length - 1) * step >= n):
            raise InternalError(f"slice {region} of a dimension of length {n}")
        shape.append(length)
    return tuple(shape)


def _slice_like_infer(x: ArrayType, donor: ArrayType, *, full: Full, sizes: Shape) -> ArrayType:
    if _region_shape(x, full, sizes) != donor.shape:
        raise InternalError(f"slice_like of {x!r} by {full}, {sizes} does not give {donor!r}")
    return _with_shape(x, donor.shape)


def _slice_put_infer(base: ArrayType, value: ArrayType, *, full: Full, sizes: Shape) -> ArrayType:
    check_same("slice_put", (base, value))
    if _region_shape(base, full, sizes) != value.shape:
        raise InternalError(f"slice_put of {value!r} into {base!r} by {full}, {sizes}")
    return base


def _slice_put(base: np.ndarray, value: np.ndarray, *, full: Full, sizes: Shape) -> np.ndarray:
    result = np.array(base)
    result[_key(full, sizes)] = value
    return result


slice = movement(
    "slice(x, *, full)", role="slice", has_sizes=True,
    doc="part of x: whole dimensions where `full` is True, else `sizes` holds (start, length, step >= 1) in order and "
        "`full` says more of them (see `Full`)",
    infer=lambda x, *, full, sizes: _with_shape(x, _region_shape(x, full, sizes)),
    numpy=lambda x, *, full, sizes: x[_key(full, sizes)],
    vjp=lambda g, y, x, *, full, sizes: (slice_put(zeros_like(x), g, full=full, sizes=sizes),),
    dims=lambda context, node, dims: tuple(
        [d if whole is True else context.ONE if n == 1 else context.fresh(i)
         for i, (d, whole, n) in enumerate(zip(dims[0], node.params[0], node.type.shape, strict=True))]),
    put=lambda base, value, *, full, sizes: slice_put(base, value, full=full, sizes=sizes), grad_name="SliceBackward0",
    sample=structured((((5,),), {"full": (False,)}, (1, 2, 2)), (((3, 4),), {"full": (True, False)}, (0, 2, 3)),
                      (((5,),), {"full": ("prefix",)}, (0, 3, 1)), (((5,),), {"full": ("suffix",)}, (2, 3, 1)),
                      (((2, 5),), {"full": (True, "unit")}, (1, 3, 1)), (((5,),), {"full": ("prefix",)}, (0, 1, 1)),
                      (((3, 4),), {"full": (False, False)}, (2, 1, 1, 1, 3, 1)),
                      (((3,),), {"full": (False,)}, (1, 0, 1)), (((0, 2),), {"full": (True, False)}, (1, 1, 1)),
                      (((),), {"full": ()}, ())))

slice_like = movement(
    "slice_like(x, donor, *, full)", role="slice", doc="slice, its lengths taken from the donor", has_sizes=True, shape_only=(1,),
    infer=_slice_like_infer, numpy=lambda x, shape, *, full, sizes: x[_key(full, sizes)],
    vjp=lambda g, y, x, donor, *, full, sizes: (slice_put(zeros_like(x), g, full=full, sizes=sizes), None),
    dims="donor:1",
    sample=structured((((5,), (2,)), {"full": (False,)}, (1, 2, 2)),
                      (((3, 4), (3, 2)), {"full": (True, False)}, (0, 2, 3))))

slice_put = movement(
    "slice_put(base, value, *, full)", role="slice_put", doc="base with the region that `slice` would read replaced by value",
    has_sizes=True, infer=_slice_put_infer, numpy=_slice_put, dims="donor:0", grad_name="CopySlices",
    vjp=lambda g, y, base, value, *, full, sizes: (slice_put(g, zeros_like(value), full=full, sizes=sizes),
                                                   slice_like(g, value, full=full, sizes=sizes)),
    sample=structured((((5,), (2,)), {"full": (False,)}, (1, 2, 2)),
                      (((3, 4), (3, 2)), {"full": (True, False)}, (0, 2, 3)),
                      (((5,), (2,)), {"full": ("unit",)}, (1, 2, 1)), (((5,), (1,)), {"full": ("suffix",)}, (4, 1, 1)),
                      (((2, 5), (2, 3)), {"full": (True, "prefix")}, (0, 3, 1)),
                      (((3,), (0,)), {"full": (False,)}, (1, 0, 1)), (((), ()), {"full": ()}, ())))

flip = movement(
    "flip(x, *, dims)", role="flip", doc="x in reverse order along `dims`", infer=lambda x, *, dims: x,
    numpy=lambda x, *, dims: np.flip(x, dims), vjp=lambda g, y, x, *, dims: (flip(g, dims=dims),), dims="donor:0",
    grad_name="FlipBackward0",
    sample=structured((((3,),), {"dims": (0,)}), (((2, 3),), {"dims": (0, 1)}), (((0, 3),), {"dims": (1,)})))


# -- concatenation ---------------------------------------------------------------------------------------------------

def _cat_infer(*xs: ArrayType, dim: int) -> ArrayType:
    first = check_same("cat", xs)
    length = 0
    for i, x in enumerate(xs):
        if x.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}")
        for d, (have, n) in enumerate(zip(first.shape, x.shape, strict=True)):
            if d != dim and have != n:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size {have} but "
                                   f"got size {n} for tensor number {i} in the list.")
        length += x.shape[dim]
    return _with_shape(first, first.shape[:dim] + (length,) + first.shape[dim + 1:])


def _cat_dims(context: Any, node: Node, dims: list[tuple]) -> tuple:
    dim = node.params[0]
    result = list(dims[0])
    for operand in dims[1:]:
        for d, symbol in enumerate(operand):
            if d != dim:
                result[d] = context.unify(result[d], symbol)
    result[dim] = context.ONE if node.type.shape[dim] == 1 else context.fresh(dim)
    return tuple(result)


def _part_key(shapes: tuple[Shape, ...], dim: int, index: int) -> tuple[builtins.slice, ...]:
    start = sum([s[dim] for s in shapes[:index]])
    return (builtins.slice(None),) * dim + (builtins.slice(start, start + shapes[index][dim]),)


def _cat_part_infer(g: ArrayType, *donors: ArrayType, dim: int, index: int) -> ArrayType:
    if sum([d.shape[dim] for d in donors[:index + 1]]) > g.shape[dim]:
        raise InternalError(f"cat_part: operand {index} of {donors} is not in {g!r}")
    return _with_shape(g, donors[index].shape)


def _cat_put(value: np.ndarray, whole: Shape, *donors: Shape, dim: int, index: int) -> np.ndarray:
    result = np.zeros(whole, value.dtype)
    result[_part_key(donors, dim, index)] = value
    return result


# shape_only of an op with any number of donors: every position but the first.
_ALL_BUT_FIRST = range(1, sys.maxsize)

cat = movement(
    "cat(xs..., *, dim)", role="cat", doc="the operands one after the other along dimension `dim`", infer=_cat_infer,
    numpy=lambda *xs, dim: np.concatenate(xs, dim), dims=_cat_dims, grad_name="CatBackward0",
    vjp=lambda g, y, *xs, dim: tuple([cat_part(g, *xs[:i + 1], dim=dim, index=i) for i in range(len(xs))]),
    sample=structured((((2,), (3,)), {"dim": 0}), (((2, 1), (2, 3), (2, 2)), {"dim": 1}),
                      (((0, 2), (1, 2)), {"dim": 0}), (((3,),), {"dim": 0}), (((2, 0), (2, 0)), {"dim": 1})))

cat_part = movement(
    "cat_part(g, donors..., *, dim, index)", role="cat_part", shape_only=_ALL_BUT_FIRST, infer=_cat_part_infer,
    doc="the part of g that came from operand `index` of a cat of the donors (those up to index are enough)",
    numpy=lambda g, *shapes, dim, index: g[_part_key(shapes, dim, index)],
    dims=lambda context, node, dims: dims[1 + node.params[1]],
    vjp=lambda g, y, whole, *donors, dim, index: (cat_put(g, whole, *donors, dim=dim, index=index),
                                                  *[None] * len(donors)),
    sample=structured((((5,), (2,), (3,)), {"dim": 0, "index": 1}), (((2, 4), (2, 1), (2, 3)), {"dim": 1, "index": 0})))

cat_put = movement(
    "cat_put(value, whole, donors..., *, dim, index)", role="cat_put", shape_only=_ALL_BUT_FIRST,
    doc="zeros of the shape of `whole` with value at the place that cat_part reads",
    infer=lambda value, whole, *donors, dim, index: _with_shape(value, whole.shape), numpy=_cat_put, dims="donor:1",
    vjp=lambda g, y, value, whole, *donors, dim, index: (cat_part(g, *donors, dim=dim, index=index), None,
                                                         *[None] * len(donors)),
    sample=structured((((3,), (5,), (2,), (3,)), {"dim": 0, "index": 1}),
                      (((2, 1), (2, 4), (2, 1)), {"dim": 1, "index": 0})))


# -- identities that move gradients ----------------------------------------------------------------------------------

def _attach_infer(history: ArrayType, value: ArrayType) -> ArrayType:
    if history.shape != value.shape:
        raise InternalError(f"attach of {value!r} to the history of {history!r}")
    return check_same("attach", (value, history))


detach = movement(
    "detach(x)", role="same", doc="x, through which no gradient passes", infer=lambda x: x, numpy=lambda x: x, vjp=None,
    dims="donor:0", sample=structured((((2, 3),), {}), (((),), {})))

attach = movement(
    "attach(history, value)", role="value", doc="the elements of value; the gradient goes to history alone", shape_only=(0,),
    history=True, infer=_attach_infer, numpy=lambda shape, value: value, vjp=lambda g, y, history, value: (g, None),
    dims="donor:1", sample=structured((((2, 3), (2, 3)), {}), order=0))

# Derivatives that are constant between kinks do not read where they were taken, and yet depend on it: that of relu requires a
# gradient, which is zeros.  `differentiate` adds no zeros that come from here.
constant_in = movement(
    "constant_in(value, x)", role="same", doc="value, a function of x too, of which the derivative is 0 everywhere",
    shape_only=(1,),
    history=True, infer=lambda value, x: value, numpy=lambda value, shape: value, dims="donor:0", grad_name="ConstantBackward0",
    vjp=lambda g, y, value, x: (g, zeros_like(x)), sample=structured((((2, 3), (2, 3)), {}), (((), (2,)), {})))
# Operators that PyTorch differentiates by what they were given, and linearly: a second derivative is there, and is zeros.
kept = movement(
    "kept(x)", role="same", doc="x, on which the derivative depends, too, with a derivative of 0", infer=lambda x: x, numpy=lambda x: x,
    vjp=lambda g, y, x: (constant_in(g, x),), dims="donor:0", sample=structured((((2, 3),), {}), (((),), {})))
overwrite = movement(
    "overwrite(history, value)", role="value", doc="the elements of value; the history of what it is written over gets zeros",
    shape_only=(0,), history=True, infer=_attach_infer, numpy=lambda shape, value: value,
    vjp=lambda g, y, history, value: (zeros_like(history), g), dims="donor:1", grad_name="CopyBackwards",
    sample=structured((((2, 3), (2, 3)), {}), (((), ()), {}), (((0, 3), (0, 3)), {})))

RESHAPED = frozenset([reshape, squeeze, unsqueeze])        # all they do is to give an array its shape
