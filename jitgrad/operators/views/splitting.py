"""More ways to take tensors apart, to turn and to join them; all of them lines of other operators."""
from __future__ import annotations

from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator, overloaded
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.joining import atleast_1d, atleast_2d, each_made
from jitgrad.operators.operands import Integers, Tensors, integers, normal_dim
from jitgrad.operators.views.partition import split
from jitgrad.operators.views.shape import view_shape
from jitgrad.tensors.tensor import Size, Tensor
from jitgrad.types.array import broadcast_shapes as common_shape

BOTH = ("torch", "method")


# -- apart -------------------------------------------------------------------------------------------------------------

def _apart(input: Tensor, given: Any, d: int) -> tuple[Tensor, ...]:
    """The parts of a dimension, from a number of them or from where they begin."""
    n = input.shape[d]
    if isinstance(given, (list, tuple)):
        starts = [0, *[min(max(i + n if i < 0 else i, 0), n) for i in given]]
        ends = [*starts[1:], n]
    elif given <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {given}")
    else:
        ends = [(i + 1) * (n // given) + min(i + 1, n % given) for i in range(given)]
        starts = [0, *ends[:-1]]
    return tuple([input.narrow(d, a, max(b - a, 0)) for a, b in zip(starts, ends, strict=True)])


def _no_dimension(input: Tensor) -> None:
    if not input.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")


@function(name="tensor_split.sections", places=(), kind=None)
def _by_sections(input: Tensor, sections: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As many parts of a dimension, of lengths that differ by 1 at most."""
    _no_dimension(input)
    return _apart(input, sections, normal_dim(dim, input.ndim))


@function(name="tensor_split.indices", places=(), kind=None)
def _by_indices(input: Tensor, indices: Integers, dim: int = 0) -> tuple[Tensor, ...]:
    """The parts of a dimension that begin at given positions."""
    _no_dimension(input)
    return _apart(input, list(indices), normal_dim(dim, input.ndim))


@function(name="tensor_split.tensor", places=(), kind=None)
def _by_tensor(input: Tensor, tensor_indices_or_sections: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The same with a tensor for the number of parts or the positions."""
    _no_dimension(input)
    return _apart(input, tensor_indices_or_sections.tolist(), normal_dim(dim, input.ndim))


overloaded("tensor_split", (_by_sections, _by_indices, _by_tensor), "Parts of a dimension: as many, of lengths that differ by 1 "
                                                                    "at most, or "
           "those that begin at given positions.", kind=None)


def _fixed(called: str, least: int, dim: int, doc: str) -> None:
    def apart(input: Tensor, given: Any) -> tuple[Tensor, ...]:
        if input.ndim < least:
            raise RuntimeError(f"torch.{called} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a "
                               "tensor with "
                               f"{input.ndim} dimensions!")
        d = 0 if dim == 1 and input.ndim == 1 else dim
        if isinstance(given, int) and (given < 1 or input.shape[d] % given):
            raise RuntimeError(f"torch.{called} attempted to split along dimension {d}, but the size of the dimension "
                               f"{input.shape[d]} is "
                               f"not divisible by the split_size {given}!")
        return _apart(input, given, d)

    def by_sections(input: Tensor, sections: int) -> tuple[Tensor, ...]:
        return apart(input, sections)

    def by_indices(input: Tensor, indices: Integers) -> tuple[Tensor, ...]:
        return apart(input, list(indices))

    forms = tuple([function(name=f"{called}.{form}", places=(), kind=None)(fn)
                   for form, fn in (("sections", by_sections), ("indices", by_indices))])
    overloaded(called, forms, doc, kind=None)


_fixed("hsplit", 1, 1, "tensor_split() along dimension 1, or 0 of a vector.")
_fixed("vsplit", 2, 0, "tensor_split() along dimension 0.")
_fixed("dsplit", 3, 2, "tensor_split() along dimension 2.")


@function(places=BOTH, kind=None)
def split_with_sizes(input: Tensor, split_sizes: Integers, dim: int = 0) -> tuple[Tensor, ...]:
    """The parts of dimension `dim` of the given lengths."""
    return split(input, list(split_sizes), dim)


@function(places=BOTH, kind=None)
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """chunk()."""
    return OPERATORS["chunk"].call(input, chunks, dim)


@function(places=BOTH, kind=None)
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """split()."""
    return split(input, split_size, dim)


# -- turned ------------------------------------------------------------------------------------------------------------

@function(places=BOTH)
def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return OPERATORS["flip"].call(input, (1,))


@function(places=BOTH)
def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return OPERATORS["flip"].call(input, (0,))


@function(places=BOTH, kind=None)
def rot90(input: Tensor, k: int = 1, dims: Integers = (0, 1)) -> Tensor:
    """Turned by k right angles in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = normal_dim(dims[0], input.ndim), normal_dim(dims[1], input.ndim)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    flip, k = OPERATORS["flip"].call, k % 4
    if k == 2:
        return flip(input, (a, b))
    if k == 0:
        return input.clone()
    return flip(input, (b,)).transpose(a, b) if k == 1 else flip(input, (a,)).transpose(a, b)


@function(places=BOTH, kind=None)
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged: there are no complex numbers."""
    return OPERATORS["mT"].call(input)


@function(places=BOTH, kind=None, out=EXACT)
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of narrow()."""
    return input.narrow(dim, start, length).clone()


@function(places=("method",), kind=None)
def sum_to_size(input: Tensor, size: Integers) -> Tensor:
    """The sum over the dimensions along which `size` would be broadcast to the tensor's shape."""
    shape = integers("sum_to_size", (size,))
    lead = input.ndim - len(shape)
    if lead < 0 or any([n not in (1, m) for n, m in zip(shape, input.shape[lead:], strict=True)]):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(input.shape)}}}.")
    dims = [*range(lead), *[lead + i for i, n in enumerate(shape) if n == 1 != input.shape[lead + i]]]
    return view_shape(input.sum(dims, keepdim=True), shape) if dims else input


# -- parts replaced ----------------------------------------------------------------------------------------------------

@operator("SelectScatterBackward0", edges=("input", "src"), saves=(), kind=None)
def select_scatter(input: Node, src: Node, dim: int, index: int) -> Node:
    """A copy with the part at a position of a dimension replaced by src."""
    d = normal_dim(dim, input.type.ndim)
    n = input.type.shape[d]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    if src.type.shape != input.type.shape[:d] + input.type.shape[d + 1:]:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.type.shape)}, slice size = "
                           f"{list(input.type.shape[:d] + input.type.shape[d + 1:])}")
    return _with_part(input, ops.unsqueeze(src, dims=(d,)), d, index % n, 1)


@operator("SliceScatterBackward0", edges=("input", "src"), saves=(), kind=None, out=EXACT)
def slice_scatter(input: Node, src: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Node:
    """A copy with a slice of a dimension replaced by src."""
    d = normal_dim(dim, input.type.ndim)
    at = range(*slice(start, end, step).indices(input.type.shape[d]))
    expected = (*input.type.shape[:d], len(at), *input.type.shape[d + 1:])
    if src.type.shape != expected:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.type.shape)}, slice size = "
                           f"{list(expected)}")
    return _with_part(input, src, d, at.start if len(at) else 0, step)


def _with_part(x: Node, part: Node, d: int, start: int, step: int) -> Node:
    full = (True,) * d + (False,) + (True,) * (x.type.ndim - d - 1)
    return ops.slice_put(x, part, full=full, sizes=(start, part.type.shape[d], step))


# -- joined ------------------------------------------------------------------------------------------------------------

@function(kind=None)
def atleast_3d(*tensors: Tensor | Tensors) -> Any:
    """Tensors with dimensions of length 1 added, as NumPy does, until there are three."""
    return each_made(tensors, lambda t: t.reshape(1, 1, 1) if not t.ndim else t[None, :, None] if t.ndim == 1 else
                     t.unsqueeze(-1) if t.ndim == 2 else t)


@function(kind=None, out=CAST)
def dstack(tensors: Tensors) -> Tensor:
    """The tensors behind each other: along dimension 2."""
    return OPERATORS["cat"].call([atleast_3d(t) for t in tensors], 2)


@function(kind=None, out=CAST)
def column_stack(tensors: Tensors) -> Tensor:
    """The tensors side by side, vectors as columns."""
    return OPERATORS["cat"].call([t if t.ndim > 1 else atleast_1d(t).unsqueeze(1) for t in tensors], 1)


@function(kind=None, out=CAST)
def row_stack(tensors: Tensors) -> Tensor:
    """vstack()."""
    return OPERATORS["vstack"].call(tensors)


@function(kind=None)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the tensors, of two dimensions at most, as blocks on its diagonal."""
    for i, t in enumerate(tensors):
        if t.ndim > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t.ndim} dimensions")
    blocks = [atleast_2d(t) for t in tensors]
    width, before, rows = sum([t.shape[1] for t in blocks]), 0, []
    for t in blocks:
        n, m = t.shape
        sides = [t.new_zeros((n, k)) for k in (before, width - before - m)]
        rows.append(OPERATORS["cat"].call([sides[0], t, sides[1]], 1))
        before += m
    return OPERATORS["cat"].call(rows, 0)


@function(kind=None)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of all points of a grid, from those along each axis; indexing "xy": the first two exchanged, as NumPy does."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if not given:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in given:
        if t.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(t.shape)}")
        if t.dtype is not given[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[:2] = given[1::-1]
    shape = [t.numel() for t in given]
    grids = [t.reshape([-1 if i == k else 1 for i in range(len(given))]).expand(shape) for k, t in enumerate(given)]
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@function(kind=None)
def broadcast_shapes(*shapes: Any) -> Size:
    """The common shape of shapes."""
    return Size(common_shape((), *[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


@function(kind=None)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of the elements of a vector, falling from N - 1 on (or rising from 0), in columns."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    powers = range(len(x) if N is None else N)
    columns = [OPERATORS["pow"].call(x, k) for k in (powers if increasing else reversed(powers))]
    return OPERATORS["stack"].call(columns, 1) if columns else x.new_zeros((len(x), 0))


@function(name="linalg_vander", places=("linalg",), kind=None)
def linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of the elements of vectors, as a new last dimension."""
    x = x if x.ndim else x.reshape(1)
    x = x.long() if x.dtype.category < 2 else x
    return OPERATORS["stack"].call([OPERATORS["pow"].call(x, k) for k in range(x.shape[-1] if N is None else N)], -1)
