"""ArrayType: what is known of an array before it is computed, and the broadcasting rule."""
from __future__ import annotations

from jitgrad.types.dtype import dtype

Shape = tuple[int, ...]


class ArrayType:
    """Shape, dtype and device of a node.  Interned by `array_type`: two equal types are one object (until the table
    is emptied), so that look-ups may hash by identity; compare with `same_type` where it matters.

    `key` is the structural part, the only one that compiled code depends on: dtype, device, and for each dimension
    whether its length is 1.  All other lengths, 0 among them, are one class.
    """

    __slots__ = ("shape", "dtype", "device", "ndim", "size", "key")

    def __init__(self, shape: Shape, dtype: dtype, device: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.ndim = len(shape)
        size = 1
        for n in shape:
            size *= n
        self.size = size
        self.key = (dtype.code, device, tuple([n == 1 for n in shape]))

    @property
    def legacy(self) -> str:
        """What `type()` calls tensors of this dtype and device: torch.FloatTensor, torch.cuda.FloatTensor."""
        name = self.dtype.legacy
        return name if self.device == "cpu" else name.replace("torch.", "torch.cuda.", 1)

    def __repr__(self) -> str:
        where = "" if self.device == "cpu" else f" on {self.device}"
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]{where}"


_types: dict[tuple[Shape, dtype, str], ArrayType] = {}


def array_type(shape: Shape, dtype: dtype, device: str = "cpu") -> ArrayType:
    """The interned type.  The table is bounded: programs that make ever new shapes start it anew."""
    key = (shape, dtype, device)
    found = _types.get(key)
    if found is None:
        if len(_types) > 50_000:
            _types.clear()
        found = _types[key] = ArrayType(shape, dtype, device)
    return found


def same_type(a: ArrayType, b: ArrayType) -> bool:
    """Equality of types, also across a restart of the intern table."""
    return a is b or (a.shape == b.shape and a.dtype is b.dtype and a.device == b.device)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape, by NumPy's and PyTorch's rule.  Raises RuntimeError with PyTorch's wording."""
    result = list(shapes[0])
    for shape in shapes[1:]:
        if len(shape) > len(result):
            result = [1] * (len(shape) - len(result)) + result
        offset = len(result) - len(shape)
        for i, n in enumerate(shape):
            have = result[offset + i]
            if have != n:
                if have == 1:
                    result[offset + i] = n
                elif n != 1:
                    raise RuntimeError(f"The size of tensor a ({have}) must match the size of tensor b ({n}) at "
                                       f"non-singleton dimension {offset + i}")
    return tuple(result)
