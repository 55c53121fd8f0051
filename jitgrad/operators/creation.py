"""Making tensors from data, from shapes and from ranges."""
from __future__ import annotations

import warnings
from operator import index
from typing import Any

import numpy as np

from jitgrad.memory import buffers
from jitgrad.operators.conversion import item, to_dtype
from jitgrad.operators.declaration.out import refuse_gradients, write_to
from jitgrad.operators.traced_array import TracedArray, array_tensor
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.device import DeviceLike, check_device
from jitgrad.types.dtype import (
    REAL,
    as_dtype,
    check_fits,
    dtype,
    float64,
    from_numpy_dtype,
    get_default_dtype,
    int64,
    of_scalar,
    refuse_complex,
    wrapped,
)

__all__ = ["arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace",
           "logspace", "ones", "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like"]


NO_GRADIENTS = "Only Tensors of floating point and complex dtype can require gradients"


def finished(array: np.ndarray, requires_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """A tensor on an array that nobody else writes to; or `out`, with its numbers."""
    result = from_array(array)
    if requires_grad and result.dtype.category != 2:
        raise RuntimeError(NO_GRADIENTS)
    if out is not None:
        write_to(out, result, casts=False)
        result = out
    return result.requires_grad_() if requires_grad else result


def made_as(called: str, out: Any, given: Any, otherwise: dtype) -> dtype:
    """The dtype to make a tensor in: that of `out` or the one that is given, if any.  Raises in PyTorch's words."""
    if out is None:
        return otherwise if given is None else as_dtype(given)
    if not isinstance(out, Tensor):
        raise TypeError(f"{called}(): argument 'out' must be Tensor, not {type(out).__name__}")
    refuse_gradients(called, [out])
    if given is not None and as_dtype(given) is not out.dtype:
        raise RuntimeError(f"dtype {as_dtype(given).title} does not match dtype of out parameter ({out.dtype.title})")
    return out.dtype


# -- from data -------------------------------------------------------------------------------------------------------

def is_sequence(value: Any) -> bool:
    """Whether PyTorch takes a value for a sequence: what has a length and items by position, a deque among them."""
    kind = type(value)
    return kind is list or kind is tuple or (hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not isinstance(
        value, (str, bytes, dict, Tensor, np.ndarray, np.generic)))


def _sequence_array(data: Any) -> np.ndarray:
    """Nested sequences of numbers as an array.  Raises as PyTorch does for ragged ones and for what is no number."""
    try:
        if isinstance(data, (list, tuple, range)):
            array = np.array(data)
            if array.dtype.kind in "bif" and (array.size or array.dtype == np.float64):
                return array
    except (ValueError, TypeError, RuntimeError, OverflowError):
        pass                    # gone through element by element below, for the error or the tensors among them
    if isinstance(_first(data), str):
        raise ValueError("too many dimensions 'str'")
    flat: list[Any] = []
    shape = _collect(data, 0, flat)
    array = np.array(flat) if flat else np.zeros(0)
    if array.dtype.kind not in "bif":
        raise ValueError("Overflow when unpacking long long") if array.dtype.kind in "uO" else _not_a_number(flat[0])
    return array.reshape(shape)


def _collect(data: Any, level: int, flat: list[Any]) -> tuple[int, ...]:
    """Append the numbers in `data` to `flat`; the shape of what was appended."""
    if isinstance(data, Tensor):
        flat.extend(data._array().ravel().tolist())
        return tuple(data.shape)
    if isinstance(data, np.ndarray):
        flat.extend(data.ravel().tolist())
        return data.shape
    if not is_sequence(data):
        if not isinstance(data, REAL):
            raise _not_a_number(data)
        flat.append(data)
        return ()
    shapes = [_collect(v, level + 1, flat) for v in data]
    for v, shape in zip(data, shapes, strict=True):
        if shape != shapes[0]:
            if not shapes[0] or not shape:
                raise TypeError(f"tensor(): not a sequence at dim {level + 1} (got {type(v).__name__}): the nested "
                                "sequences must be of equal length and depth")
            raise ValueError(f"expected sequence of length {shapes[0][0]} at dim {level + 1} (got {shape[0]})")
    return (len(data), *(shapes[0] if shapes else ()))


def _first(data: Any) -> Any:
    """The first number in nested sequences, or the first tensor or array."""
    while is_sequence(data) and len(data):
        data = data[0]
    return data


def _not_a_number(value: Any) -> Exception:
    refuse_complex(value)
    if isinstance(value, (str, bytes)):
        return TypeError(f"new(): invalid data type '{type(value).__name__}'")
    return RuntimeError(f"Could not infer dtype of {type(value).__name__}")


def _data_array(data: Any, to: dtype | None) -> np.ndarray:
    """A fresh array of the data, in `to` or the dtype that PyTorch infers."""
    if isinstance(data, Tensor):
        array = data._array()
        return array.astype(array.dtype if to is None else to.np, order="C")
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        if to is None:
            to = from_numpy_dtype(array.dtype)
        elif array.dtype.kind not in "biuf":
            from_numpy_dtype(array.dtype)
        return array.astype(to.np, order="C")
    if isinstance(data, (int, float)):
        array = np.asarray(data)
        if array.dtype.kind not in "bif":
            raise ValueError("Overflow when unpacking long long")
    elif is_sequence(data):
        array = _sequence_array(data)
        first = _first(data)
        if to is None and isinstance(first, (Tensor, np.ndarray, np.generic)) and array.dtype.kind == "f":
            known = first.dtype.np if isinstance(first, Tensor) else first.dtype
            to = from_numpy_dtype(known) if known.kind == "f" else None
    elif hasattr(data, "__array__"):
        return _data_array(np.asarray(data), to)
    else:
        raise _not_a_number(data)
    if to is None:
        to = get_default_dtype() if array.dtype.kind == "f" else from_numpy_dtype(array.dtype)
    if to.category == 1 and to.itemsize < 8 and array.dtype.kind == "i" and array.size:
        limits = np.iinfo(to.np)
        if not limits.min <= array.min() <= array.max() <= limits.max:
            raise RuntimeError(f"value cannot be converted to type {to.name} without overflow")
    return np.asarray(array, to.np)


def from_data(data: Any, to: dtype | None) -> Tensor:
    """A tensor with a copy of the data, in `to` or the dtype that PyTorch infers."""
    return array_tensor(data, to) if type(data) is TracedArray else finished(_data_array(data, to))


def tensor(data: Any, *, dtype: dtype | None = None, device: DeviceLike = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """A leaf tensor with a copy of the data: a number, nested sequences, an array, or a tensor.

    Floats become the default dtype, ints int64, bools bool; arrays keep their dtype."""
    check_device(device, "tensor")
    if isinstance(data, Tensor):
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
    result = from_data(data, None if dtype is None else as_dtype(dtype))
    if requires_grad:
        if result.dtype.category != 2:
            raise RuntimeError(NO_GRADIENTS)
        result.requires_grad_()
    return result


def as_tensor(data: Any, dtype: dtype | None = None, device: DeviceLike = None) -> Tensor:
    """A tensor with the data: a tensor itself, in `dtype`; of anything else a copy."""
    check_device(device, "as_tensor")
    if isinstance(data, Tensor):
        return data if dtype is None else to_dtype(data, dtype)
    return from_data(data, None if dtype is None else as_dtype(dtype))


def asarray(obj: Any, *, dtype: dtype | None = None, device: DeviceLike = None, copy: bool | None = None,
            requires_grad: bool = False) -> Tensor:
    """as_tensor(), which copies a tensor too if `copy`."""
    result = as_tensor(obj, dtype, device)
    if copy and result is obj:
        result = finished(result._array().copy())
    return result.requires_grad_() if requires_grad else result


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor with a copy of an array (PyTorch shares its memory)."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return array_tensor(ndarray)


def scalar_tensor(s: Any, *, dtype: dtype | None = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor, in the default dtype."""
    return full((), s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


# -- from shapes -----------------------------------------------------------------------------------------------------

def sizes(called: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """Lengths given one by one or as a sequence.  Raises TypeError or RuntimeError as PyTorch does."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    found = []
    for i, v in enumerate(args):
        if isinstance(v, (float, str, bool)) or v is None:
            raise TypeError(f"{called}(): argument 'size' (position {i + 1}) must be tuple of ints, not "
                            f"{type(v).__name__}")
        n = index(v)
        if n < 0:
            raise RuntimeError(f"{called}: Dimension size must be non-negative.")
        found.append(n)
    return tuple(found)


def given_sizes(called: str, by_position: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, ...]:
    """Lengths that are given by position, or as `size`.  Raises TypeError in PyTorch's words, and as `sizes`."""
    for name in named:
        if name != "size":
            raise TypeError(f"{called}() got an unexpected keyword argument '{name}'")
        if by_position:
            raise TypeError(f"{called}() got multiple values for argument 'size'")
        by_position = (named[name],)
    if not by_position:
        raise TypeError(f'{called}() missing 1 required positional arguments: "size"')
    return sizes(called, by_position)


def plain(value: Any) -> Any:
    """A 0-d tensor as its number; anything else as it is."""
    refuse_complex(value)
    return item(value) if isinstance(value, Tensor) else value


def _numbers(called: str, first: int, **values: Any) -> list[Any]:
    """Arguments that are numbers or 0-d tensors, by name, as numbers; first: the position of the first.  Raises in PyTorch's words."""
    found = [plain(v) for v in values.values()]
    for i, (name, v) in enumerate(zip(values, found, strict=True)):
        if not isinstance(v, REAL):
            raise TypeError(f"{called}(): argument '{name}' (position {first + i}) must be Number, not {type(v).__name__}")
    return found


def _whole(called: str, position: int, name: str, value: Any) -> int:
    """An argument that is an integer.  Raises in PyTorch's words."""
    if not hasattr(value, "__index__") or isinstance(value, bool):
        raise TypeError(f"{called}(): argument '{name}' (position {position}) must be int, not {type(value).__name__}")
    return index(value)


def _filled(called: str, shape: tuple[int, ...], value: Any, to: dtype, device: Any, requires_grad: bool,
            out: Tensor | None = None) -> Tensor:
    check_device(device, called)
    check_fits(value, to)
    array = buffers.empty(shape, to.np)
    array.fill(wrapped(int(value), to) if to.category == 1 else value)
    return finished(array, requires_grad, out)


def _constant(called: str, value: int, doc: str) -> Any:
    def create(*size: Any, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None,
               requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
               **named: Any) -> Tensor:
        to = made_as(called, out, dtype, get_default_dtype())
        return _filled(called, given_sizes(called, size, named), value, to, device, requires_grad, out)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return create


zeros = _constant("zeros", 0, "A tensor of zeros of the given shape.")
ones = _constant("ones", 1, "A tensor of ones of the given shape.")
empty = _constant("empty", 0, "A tensor of the given shape whose values are not to be relied on.")


def full(size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
         device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of one value, whose dtype follows from the value unless given."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    [fill_value] = _numbers("full", 2, fill_value=fill_value)
    to = made_as("full", out, dtype, of_scalar(fill_value))
    return _filled("full", sizes("full", tuple(size)), fill_value, to, device, requires_grad, out)


def _like(called: str, value: int) -> Any:
    def create(input: Tensor, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False,
               pin_memory: bool = False, memory_format: Any = None) -> Tensor:
        return full_like(input, value, dtype=dtype, device=device, requires_grad=requires_grad, called=called)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = f"{called.removesuffix('_like')}() of the shape and dtype of another tensor."
    return create


def full_like(input: Tensor, fill_value: Any, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None,
              requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
              called: str = "full_like") -> Tensor:
    """full() of the shape and dtype of another tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{called}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    type_ = input._node.type
    [fill_value] = _numbers(called, 2, fill_value=fill_value)
    return _filled(called, type_.shape, fill_value, type_.dtype if dtype is None else as_dtype(dtype), device,
                   requires_grad)


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)
empty_like = _like("empty_like", 0)


def eye(n: int, m: int | None = None, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
        device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n by m matrix, zeros elsewhere."""
    check_device(device, "eye")
    n, m = _whole("eye", 1, "n", n), m if m is None else _whole("eye", 2, "m", m)
    for name, length in (("n", n), ("m", m)):
        if length is not None and length < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {length}")
    to = made_as("eye", out, dtype, get_default_dtype())
    return finished(np.eye(n, m, dtype=to.np), requires_grad, out)


# -- ranges ----------------------------------------------------------------------------------------------------------

def arange(start: Any = None, end: Any = None, step: Any = 1, *, out: Tensor | None = None, dtype: dtype | None = None,
           layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below end; of ints int64, else the default dtype."""
    check_device(device, "arange")
    if end is None:
        start, end = 0, start if type(start) is int else _numbers("arange", 1, end=start)[0]
    if not type(start) is type(end) is type(step) is int:
        start, end, step = _numbers("arange", 1, start=0 if start is None else start, end=end, step=step)
    if not (np.isfinite(start) and np.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all([isinstance(v, (int, np.integer)) for v in (start, end, step)])
    to = made_as("arange", out, dtype, int64 if whole else get_default_dtype())
    if to is int64 and not whole:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
        whole = True
    count = -((start - end) // step) if whole else int(np.ceil((end - start) / step))
    if to.category < 2:
        start, step = int(start), int(step)
    return finished((np.arange(count) * step + start).astype(to.np), requires_grad, out)


def _spaced(called: str, start: Any, end: Any, steps: int, to: dtype) -> np.ndarray:
    """Evenly spaced numbers, counted from the nearer end, as PyTorch does; for integers in float64, from ends without fractions."""
    dims = [v.ndim if isinstance(v, Tensor) else 0 for v in (start, end)]
    if any(dims):
        raise RuntimeError(f"{called} only supports 0-dimensional start and end tensors, but got start with {dims[0]} dimension(s) and "
                           f"end with {dims[1]} dimension(s).")
    steps = _whole(called, 3, "steps", steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = to.np.type if to.category == 2 else np.float64
    first, last = [kind(to.np.type(v)) for v in _numbers(called, 1, start=start, end=end)]
    at = np.arange(steps)
    step = (last - first) / kind(max(steps - 1, 1))
    forward = first + step * at.astype(kind)
    backward = last - step * (steps - 1 - at).astype(kind)
    return np.where(at < steps // 2, forward, backward) if steps != 1 else np.full(1, first, kind)


def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
             device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    check_device(device, "linspace")
    to = made_as("linspace", out, dtype, get_default_dtype())
    return finished(_spaced("linspace", start, end, steps, to).astype(to.np), requires_grad, out)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: dtype | None = None,
             layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """base to the power of linspace."""
    check_device(device, "logspace")
    to = made_as("logspace", out, dtype, get_default_dtype())
    exponents = _spaced("logspace", start, end, steps, to if to.category < 2 else float64)
    with np.errstate(all="ignore"):
        powers = np.power(float(base), exponents)
        return finished(powers.astype(to.np), requires_grad, out)


# -- methods ---------------------------------------------------------------------------------------------------------

def _new(name: str, create: Any) -> None:
    def method(self: Tensor, *args: Any, dtype: dtype | None = None, **kwargs: Any) -> Tensor:
        return create(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name.removeprefix('new_')}() in this tensor's dtype unless another is given."
    setattr(Tensor, name, method)


for _name, _create in (("new_zeros", zeros), ("new_ones", ones), ("new_empty", empty), ("new_full", full),
                       ("new_tensor", tensor)):
    _new(_name, _create)
