"""Shape operators.  Those that PyTorch makes views are views here: they share storage."""
from __future__ import annotations

from typing import Any

from jitgrad import ops
from jitgrad.operators.declaration.declare import EVERYWHERE, finish_composite, function
from jitgrad.operators.declaration.schema import number
from jitgrad.operators.joining import clone
from jitgrad.operators.native.layout import CHAINS
from jitgrad.operators.operands import Dims, Integers, integers, normal_dim, normal_dims
from jitgrad.operators.views.layout import is_contiguous, layout, viewed
from jitgrad.operators.views.view import view, view_operator
from jitgrad.tensors.steps import Step
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import broadcast_shapes
from jitgrad.types.dtype import dtype

Ints = tuple[int, ...]
Steps = tuple[Step, ...]
_R = ops.REGISTRY
_PERMUTE, _SQUEEZE, _UNSQUEEZE = _R["permute"], _R["squeeze"], _R["unsqueeze"]
_RESHAPE, _EXPAND, _SLICE = _R["reshape"], _R["expand"], _R["slice"]


# -- reshape ---------------------------------------------------------------------------------------------------------

def complete_shape(shape: Ints, size: int) -> Ints:
    """A shape with its -1 replaced by what is left of `size` elements."""
    known, missing = 1, None
    for i, n in enumerate(shape):
        if n == -1:
            if missing is not None:
                raise RuntimeError("only one dimension can be inferred")
            missing = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
        else:
            known *= n
    if missing is None:
        if known != size:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
        return shape
    if known == 0 and size == 0:
        raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                           "dimension size -1 can be any value and is ambiguous")
    if known == 0 or size % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
    return shape[:missing] + (size // known,) + shape[missing + 1:]


def _reshaped(shape: Ints) -> Steps:
    return (Step(_RESHAPE, (), shape),)


@view_operator("ViewBackward0", name="view", places=("method",))
def view_shape(input: Tensor, size: Integers | dtype) -> Steps | Tensor:
    """The same elements in another shape, sharing storage.  One length may be -1.

    Raises RuntimeError where that needs a copy: use reshape()."""
    if isinstance(size, dtype):
        if size is input.dtype:
            return ()
        raise RuntimeError(f"view(): jitgrad has no bitwise view of {input.dtype!r} as {size!r}; use to() to "
                           "convert")
    old = input._node.type
    to = complete_shape(integers("view", (size,)), old.size)
    if input._chain and viewed(old.shape, layout(input)[0], to) is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension "
                           "spans across two contiguous subspaces). Use .reshape(...) instead.")
    return _reshaped(to)


@view_operator("ViewBackward0")
def reshape(input: Tensor, shape: Integers) -> Steps | Tensor:
    """The same elements in row-major order in another shape; a view where possible.  One length may be -1."""
    old = input._node.type
    return _reshape_or_copy(input, complete_shape(integers("reshape", (shape,)), old.size))


def _reshape_or_copy(input: Tensor, to: Ints) -> Steps | Tensor:
    if not input._chain or viewed(input._node.type.shape, layout(input)[0], to) is not None:
        return _reshaped(to)
    source = clone(input)._node
    return wrap(finish_composite(ops.reshape(source, sizes=to), "UnsafeViewBackward0", (source,), ()))


@view_operator("ViewBackward0")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Steps | Tensor:
    """The dimensions from start_dim to end_dim as one."""
    shape = input._node.type.shape
    start, end = normal_dim(start_dim, len(shape)), normal_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return _reshaped((1,))
    if start == end:
        return input
    n = 1
    for length in shape[start:end + 1]:
        n *= length
    return _reshape_or_copy(input, (*shape[:start], n, *shape[end + 1:]))


@view_operator("ViewBackward0")
def ravel(input: Tensor) -> Steps | Tensor:
    """All elements as one dimension."""
    return _reshape_or_copy(input, (input._node.type.size,))


@view_operator("ViewBackward0")
def unflatten(input: Tensor, dim: int, sizes: Integers) -> Steps | Tensor:
    """Dimension `dim` as several."""
    shape = input._node.type.shape
    d, given = normal_dim(dim, len(shape)), integers("unflatten", (sizes,))
    known = 1
    for n in given:
        known *= abs(n)
    if shape[d] != known if -1 not in given else known == 0 or shape[d] % known:
        raise RuntimeError(f"unflatten: Provided sizes {list(given)} don't multiply up to the size of dim {d} "
                           f"({shape[d]}) in the input tensor")
    return _reshape_or_copy(input, (*shape[:d], *complete_shape(given, shape[d]), *shape[d + 1:]))


@view_operator("ViewBackward0", places=("method",))
def view_as(input: Tensor, other: Tensor) -> Steps | Tensor:
    """view() in the shape of another tensor."""
    return view_shape(input, tuple(other.shape))


@view_operator("ViewBackward0", places=("method",))
def reshape_as(input: Tensor, other: Tensor) -> Steps | Tensor:
    """reshape() to the shape of another tensor."""
    return reshape(input, tuple(other.shape))


# -- order of dimensions ---------------------------------------------------------------------------------------------

def _permuted(dims: Ints) -> Steps:
    return (Step(_PERMUTE, (dims,), None),)


@view_operator("PermuteBackward0")
def permute(input: Tensor, dims: Integers) -> Steps | Tensor:
    """Dimension i of the result is dimension dims[i]."""
    ndim = input.ndim
    order = integers("permute", (dims,))
    if len(order) != ndim:
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does not match the length of "
                           f"the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
                           f"{len(order)}")
    normal = tuple([normal_dim(d, ndim) for d in order])
    if len(set(normal)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permuted(normal)


def _transposed(input: Tensor, dim0: int, dim1: int) -> Steps:
    """Two dimensions exchanged."""
    ndim = input.ndim
    a, b = normal_dim(dim0, ndim), normal_dim(dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = b, a
    return _permuted(tuple(order))


for _name in ("transpose", "swapdims"):
    view_operator("TransposeBackward0", name=_name)(_transposed)


@view_operator("TransposeBackward0")
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Steps | Tensor:
    """Two dimensions exchanged."""
    return _transposed(input, axis0, axis1)


@view_operator("TBackward0")
def t(input: Tensor) -> Steps | Tensor:
    """The transpose of a tensor of at most two dimensions."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return _permuted(tuple(reversed(range(input.ndim))))


@view_operator("PermuteBackward0", name="T", places=())
def reversed_dims(input: Tensor) -> Steps | Tensor:
    """All dimensions in reverse order."""
    return _permuted(tuple(reversed(range(input.ndim))))


@view_operator("TransposeBackward0", name="mT", places=())
def matrix_transpose(input: Tensor) -> Steps | Tensor:
    """The last two dimensions exchanged."""
    if input.ndim < 2:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got "
                           f"{input.ndim}-D tensor.")
    return _transposed(input, -2, -1)


def _movedim(input: Tensor, source: Integers, destination: Integers) -> Steps | Tensor:
    """Dimensions `source` moved to the positions `destination`, the others in their order."""
    ndim = input.ndim
    given = {"source": integers("movedim", (source,)), "destination": integers("movedim", (destination,))}
    if len(given["source"]) != len(given["destination"]):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({list(given['source'])} dims) should contain the "
                           f"same number of dims as destination ({list(given['destination'])} dims)")
    old, new = [[normal_dim(d, ndim) for d in dims] for dims in given.values()]
    for (name, dims), normal in zip(given.items(), (old, new), strict=True):
        if len(set(normal)) != len(normal):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    if not ndim:
        return ()
    rest = iter([d for d in range(ndim) if d not in old])
    placed = dict(zip(new, old, strict=True))
    return _permuted(tuple([placed[i] if i in placed else next(rest) for i in range(ndim)]))


for _name in ("movedim", "moveaxis"):
    view_operator("PermuteBackward0", name=_name)(_movedim)


# -- unit dimensions and broadcasting --------------------------------------------------------------------------------

@function(places=EVERYWHERE, kind=CHAINS)
def squeeze(input: Tensor, dim: Dims = None) -> Tensor:
    """The tensor without its dimensions of length 1, or without those among `dim`."""
    shape = input._node.type.shape
    name = "SqueezeBackward0" if dim is None else "SqueezeBackward2" if isinstance(dim, (tuple, list)) else \
        "SqueezeBackward1"
    dims = normal_dims(dim, len(shape)) if dim != () else ()
    return view(input, (Step(_SQUEEZE, (tuple([d for d in dims if shape[d] == 1]),), None),), name)


@view_operator("UnsqueezeBackward0")
def unsqueeze(input: Tensor, dim: int) -> Steps | Tensor:
    """A new dimension of length 1 at `dim`."""
    return (Step(_UNSQUEEZE, ((normal_dim(dim, input.ndim + 1),), ), None),)


def _expanded(called: str, input: Tensor, sizes: Ints) -> Steps:
    shape = input._node.type.shape
    lead = len(sizes) - len(shape)
    full = []
    for i, n in enumerate(sizes):
        if n == -1:
            if i < lead:
                raise RuntimeError("The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
                                   f"dimension {i}")
            n = shape[i - lead]
        elif n < 0:
            raise RuntimeError(f"{called}(): invalid size {n} in {list(sizes)}")
        full.append(n)
    return () if tuple(full) == shape else (Step(_EXPAND, (), tuple(full)),)


@view_operator("ExpandBackward0", places=("method",))
def expand(input: Tensor, size: Integers) -> Steps | Tensor:
    """The tensor broadcast to a larger shape; -1 keeps a length."""
    return _expanded("expand", input, integers("expand", (size,)))


@view_operator("ExpandBackward0")
def broadcast_to(input: Tensor, size: Integers) -> Steps | Tensor:
    """The tensor broadcast to the shape `size`."""
    return _expanded("broadcast_to", input, integers("broadcast_to", (size,)))


@view_operator("ExpandBackward0", places=("method",))
def expand_as(input: Tensor, other: Tensor) -> Steps | Tensor:
    """The tensor broadcast to the shape of another."""
    return _expanded("expand_as", input, tuple(other.shape))


@function(kind=None)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors broadcast to their common shape."""
    shape = broadcast_shapes((), *[t._node.type.shape for t in tensors])
    return tuple([expand(t, shape) for t in tensors])


# -- parts -----------------------------------------------------------------------------------------------------------

def region(shape: Ints, dim: int, start: int, length: int, step: int = 1, kind: str | bool = "unit") -> Step:
    """The step to a part of one dimension.  kind: see ops.movement.Full."""
    full = (True,) * dim + (kind,) + (True,) * (len(shape) - dim - 1)
    return Step(_SLICE, (full,), (start, length, step))


def selected(shape: Ints, dim: int, position: int) -> Steps:
    """The steps to one position of a dimension, which goes away.  Raises IndexError for one that is out of range."""
    n = shape[dim]
    if not -n <= position < n:
        raise IndexError(f"index {position} is out of bounds for dimension {dim} with size {n}")
    return region(shape, dim, position % n, 1), Step(_SQUEEZE, ((dim,),), None)


@view_operator("SelectBackward0")
def select(input: Tensor, dim: int, index: int) -> Steps | Tensor:
    """The part at position `index` of dimension `dim`."""
    shape = input._node.type.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d, position = normal_dim(dim, len(shape)), int(index)
    if not -shape[d] <= position < shape[d]:
        raise IndexError(f"select(): index {position} out of range for tensor of size {list(shape)} at dimension {d}")
    return selected(shape, d, position)


@view_operator("SliceBackward0")
def narrow(input: Tensor, dim: int, start: Tensor | int, length: int) -> Steps | Tensor:
    """`length` positions of dimension `dim` from `start` on."""
    shape = input._node.type.shape
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.category != 1:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = number(start, "narrow", "start", "int")
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d, first = normal_dim(dim, len(shape)), int(start)
    n = shape[d]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= first <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first = first + n if first < 0 else first
    if first + length > n:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return (region(shape, d, first, length),)


@function(places=("method",), kind=None)
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if it is contiguous, else a copy."""
    return input if is_contiguous(input) else clone(input)
