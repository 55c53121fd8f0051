"""Functions that return several views of one tensor: split, chunk, unbind."""
from __future__ import annotations

from collections.abc import Iterable
from operator import index

from jitgrad.operators.operands import Integers, integers, normal_dim
from jitgrad.operators.views.shape import Ints, region, selected
from jitgrad.operators.views.view import Pieces, pieces_operator
from jitgrad.tensors.steps import Part
from jitgrad.tensors.tensor import Tensor


def _pieces(shape: Ints, dim: int, lengths: Iterable[int], grad: str) -> Pieces:
    start, result = 0, []
    for n in lengths:
        result.append((Part(*region(shape, dim, start, n)),))
        start += n
    return grad, result


def _equal_pieces(shape: Ints, dim: int, size: int) -> Pieces:
    n = shape[dim]
    lengths = [min(size, n - start) for start in range(0, n, size)] if n else [0]
    return _pieces(shape, dim, lengths, "SplitBackward0")


@pieces_operator
def split(tensor: Tensor, split_size_or_sections: Integers, dim: int = 0) -> Pieces:
    """The parts of dimension `dim`: of one length (the last may be shorter), or of the given lengths."""
    shape = tensor._node.type.shape
    if not shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = normal_dim(dim, len(shape))
    if isinstance(split_size_or_sections, (tuple, list)):
        lengths = integers("split", (split_size_or_sections,))
        if min(lengths, default=0) < 0 or sum(lengths) != shape[d]:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {shape[d]} (input tensor's "
                               f"size at dimension {d}), but got split_sizes={list(lengths)}")
        return _pieces(shape, d, lengths, "SplitWithSizesBackward0")
    size = index(split_size_or_sections)
    if size < 0 or (size == 0 and shape[d]):
        raise RuntimeError(f"split expects split_size be {'non-negative' if size < 0 else 'positive'}, but got "
                           f"split_size={size}")
    return _equal_pieces(shape, d, max(size, 1))


@pieces_operator
def chunk(input: Tensor, chunks: int, dim: int = 0) -> Pieces:
    """At most `chunks` parts of dimension `dim`, all but the last of one length."""
    shape = input._node.type.shape
    if not shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    chunks = index(chunks)
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = normal_dim(dim, len(shape))
    return _equal_pieces(shape, d, max(1, -(-shape[d] // chunks)))


@pieces_operator
def unbind(input: Tensor, dim: int = 0) -> Pieces:
    """The parts at each position of dimension `dim`, without it."""
    shape = input._node.type.shape
    if not shape:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = normal_dim(dim, len(shape))
    steps = [selected(shape, d, i) for i in range(shape[d])]
    return "UnbindBackward0", [(Part(*first), *rest) for first, *rest in steps]
